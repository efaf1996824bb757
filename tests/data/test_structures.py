"""What a file says of a structure is there when it is used: nothing is lost, no label is read, units are those that
hold.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian
from ase.io import read, write

from intertwine.data import declared_units, input_of, open_dataset, read_structures, to_graph, unread
from intertwine.integrations import to_atoms, write_structures
from intertwine.numerics import DataError, InputError

CASES = Path(__file__).resolve().parents[1] / "cases"


def rich() -> Atoms:
    """Heavy water in a box, with all that ASE keeps of a structure."""
    atoms = molecule("H2O", vacuum=2.0)
    atoms.set_masses([15.999, 2.014, 2.014])
    atoms.set_tags([1, 2, 3])
    atoms.set_initial_charges([-0.8, 0.4, 0.4])
    atoms.set_initial_magnetic_moments([0.0, 1.0, -1.0])
    atoms.set_momenta(np.arange(9.0).reshape(3, 3) / 8)
    atoms.info |= {"config_type": "liquid", "weight": 2.5, "path": [1, 2, 3], "flag": True}
    atoms.arrays["q"] = np.array([0.25, -0.5, 0.25])
    atoms.arrays["axis"] = np.arange(9.0).reshape(3, 3)
    atoms.set_constraint([FixAtoms([0]), FixCartesian([2], [True, False, True])])
    atoms.pbc = [True, True, False]
    return atoms


def same(a: Atoms, b: Atoms, arrays: bool = True, info: bool = True) -> None:
    assert np.array_equal(a.numbers, b.numbers)
    assert np.allclose(a.positions, b.positions, atol=1e-8)
    assert np.allclose(a.cell, b.cell)
    assert np.array_equal(a.pbc, b.pbc)
    for of in (fixed, Atoms.get_masses, Atoms.get_initial_charges, Atoms.get_initial_magnetic_moments):
        assert np.allclose(of(a), of(b))
    assert np.array_equal(a.get_tags(), b.get_tags())
    assert np.allclose(a.get_momenta(), b.get_momenta(), atol=1e-8)
    if arrays:
        assert a.arrays.keys() == b.arrays.keys()
        assert all(np.allclose(a.arrays[name], b.arrays[name], atol=1e-8) for name in a.arrays)
    if info:
        assert a.info.keys() == b.info.keys()
        assert all(np.array_equal(a.info[name], b.info[name]) for name in a.info)


def fixed(atoms: Atoms) -> np.ndarray:
    """Which coordinates constraints hold (N, 3)."""
    moved = atoms.copy()
    moved.set_positions(atoms.positions + 1.0)
    return np.isclose(moved.positions, atoms.positions)


@pytest.mark.parametrize("name", ["a.xyz", "a.extxyz", "a.traj", "a.json", "a.db", "a.xyz.gz"])
def test_nothing_that_ase_keeps_is_lost(name: str, tmp_path: Path) -> None:
    atoms = rich()
    kind = "extxyz" if "xyz" in name else None
    write(tmp_path / name, atoms, format=kind)
    (found,) = read_structures(tmp_path / name, progress=False).atoms
    theirs = read(tmp_path / name)
    same(found, theirs, info=".db" not in name)
    assert np.allclose(fixed(found), fixed(atoms))
    assert fixed(found).sum() == 5
    assert np.allclose(found.get_masses(), atoms.get_masses())
    if kind:
        same(found, atoms)


def test_slabs_and_heavy_water_of_the_cases() -> None:
    for name in ("slab-selective.vasp", "slab-fixed.traj"):
        (atoms,) = read_structures(CASES / name, progress=False).atoms
        assert fixed(atoms).all(1).tolist() == [True] * 8 + [False] * 8
    assert "adsorbate_info" in atoms.info
    assert atoms.get_tags().any()
    (water,) = read_structures(CASES / "heavy-water.traj", progress=False).atoms
    assert water.get_masses().tolist() == [15.999, 2.014, 2.014]
    assert len(read_structures(CASES / "energy-in-last-frame.xyz", progress=False).atoms) == len(
        read(CASES / "energy-in-last-frame.xyz", ":")
    )


def test_the_cell_of_an_open_structure_and_where_it_lies(tmp_path: Path) -> None:
    atoms = molecule("H2O", vacuum=30.0)
    atoms.set_celldisp([1.0, 2.0, 3.0])
    for name in ("a.traj", "a.xyz", "a.json"):
        write(tmp_path / name, atoms, format="extxyz" if name == "a.xyz" else None)
        (found,) = read_structures(tmp_path / name, progress=False).atoms
        assert np.allclose(found.cell, atoms.cell), name
        assert not found.pbc.any()
    (tmp_path / "b.xyz").write_text('1\nLattice="50 0 0 0 50 0 0 0 50" Properties=species:S:1:pos:R:3\nHe 1 1 1\n')
    found = read_structures(tmp_path / "b.xyz", progress=False)
    assert found.atoms[0].cell.lengths().tolist() == [50, 50, 50]
    assert not found.atoms[0].pbc.any()
    assert "taken as open" in found.notes[0]
    assert to_graph(found.atoms[0]).get("cell") is None


LABELS = {
    "of one frame": ("", "energy=1.0 "),
    "a word": ("energy=unknown ", "energy=1.0 "),
    "not a number": ("energy=nan ", "energy=inf "),
    "a stress of a molecule": ('stress="1 2 3 4 5 6" ', 'stress="1 2" '),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_not_read(name: str, tmp_path: Path) -> None:
    frames = "".join(
        f'1\n{label}pbc="F F F" Properties=species:S:1:pos:R:3\nHe 0 0 {k}\n' for k, label in enumerate(LABELS[name])
    )
    (tmp_path / "a.xyz").write_text(frames)
    assert [atoms.positions[0, 2] for atoms in read_structures(tmp_path / "a.xyz", progress=False).atoms] == [0, 1]
    assert read_structures(tmp_path / "a.xyz", progress=False, last=True).atoms[0].positions[0, 2] == 1


def test_the_last_of_many(tmp_path: Path) -> None:
    for name in ("a.xyz", "a.traj", "a.db"):
        write(
            tmp_path / name,
            [Atoms("He", positions=[[0, 0, z]]) for z in range(4)],
            format="extxyz" if name == "a.xyz" else None,
        )
        assert [a.positions[0, 2] for a in read_structures(tmp_path / name, progress=False, last=True).atoms] == [3]
        assert [a.positions[0, 2] for a in read_structures(tmp_path / name, progress=False, limit=2).atoms] == [0, 1]


def test_arrays_of_an_npz(tmp_path: Path) -> None:
    pos = np.random.default_rng(0).normal(size=(2, 3, 3))
    np.savez(
        tmp_path / "a.npz", z=[8, 1, 1], R=pos, E=[[1.0], [np.nan]], q=np.ones((2, 3)), mu=np.arange(6).reshape(2, 3)
    )
    found = read_structures(tmp_path / "a.npz", progress=False, units={"pos": "nm"}).atoms
    assert np.allclose([atoms.positions for atoms in found], 10 * pos)
    assert found[1].arrays["q"].tolist() == [1, 1, 1]
    assert "mu" not in found[1].arrays
    assert found[1].info["mu"].tolist() == [
        3,
        4,
        5,
    ]  # three numbers of three atoms: a vector, unless its name says else
    with pytest.raises(DataError, match="no array 'xyz' to read 'pos' from"):
        read_structures(tmp_path / "a.npz", progress=False, keys={"pos": "xyz"})


@pytest.mark.parametrize("name", ["a.xyz", "a.traj", "a.db", "a.vasp", "a.cif"])
def test_which_unit_holds(name: str, tmp_path: Path) -> None:
    """Told, else declared by the file, else the run's, else A; and formats of one program have its unit."""
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    write(tmp_path / name, atoms, format="extxyz" if name == "a.xyz" else None)

    def volume(**options) -> float:
        found = read_structures(tmp_path / name, progress=False, **options)
        assert np.allclose(found.atoms[0].get_scaled_positions(), read(tmp_path / name).get_scaled_positions())
        assert (found.atoms[0].info.get("pos_unit") == "A") == bool(options)
        return float(found.atoms[0].get_volume() / atoms.get_volume())

    assert volume() == pytest.approx(1, rel=1e-6)
    assert volume(units={"pos": "nm"}) == pytest.approx(1000, rel=1e-6)
    assert volume(units={"pos": "pm"}, of_run={"pos": "nm"}) == pytest.approx(1e-6, rel=1e-6)
    assert volume(of_run={"pos": "Bohr"}) == pytest.approx(
        1 if name in ("a.vasp", "a.cif") else units.Bohr**3, rel=1e-6
    )
    with pytest.raises(InputError, match="unknown unit 'furlong'"):
        volume(units={"pos": "furlong"})


def test_a_file_that_declares_its_unit(tmp_path: Path) -> None:
    atoms = Atoms("He", positions=[[0, 0, 3.0]], info={"pos_unit": "nm", "energy_unit": "Ry"})
    for name in ("a.xyz", "a.traj"):
        write(tmp_path / name, atoms, format="extxyz" if name == "a.xyz" else None)
        assert declared_units(tmp_path / name) == {"pos": "nm", "energy": "Ry"}
        found = read_structures(tmp_path / name, progress=False, of_run={"pos": "Bohr"})
        assert found.atoms[0].positions[0, 2] == 30
        assert found.notes == ["positions read in nm, as the file declares"]
        assert found.atoms[0].info["pos_unit"] == "A"


def test_fixed_atoms_are_scaled_too(tmp_path: Path) -> None:
    write(tmp_path / "a.traj", rich())
    (found,) = read_structures(tmp_path / "a.traj", progress=False, units={"pos": "nm"}).atoms
    assert np.allclose(found.positions, 10 * rich().positions)


CIF = """data_alloy
_cell_length_a 3.8
_cell_length_b 3.8
_cell_length_c 3.8
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cu1 Cu 0 0 0 {0}
{1}
"""
PDB = "ATOM      1  O   HOH A   1       0.000   0.000   0.120  {:4.2f}  0.00           O\nEND\n"
PARTIAL = {
    "two elements on a site": ("a.cif", CIF.format(0.5, "Au1 Au 0 0 0 0.5")),
    "a vacancy": ("a.cif", CIF.format(0.9, "Au1 Au 0.5 0.5 0.5 1.0")),
    "half an atom": ("a.pdb", PDB.format(0.5)),
    "a column": ("a.xyz", "1\nProperties=species:S:1:pos:R:3:Occupancy:R:1\nHe 0 0 0 0.25\n"),
}
WHOLE = {
    "a.cif": CIF.format(1.0, "Au1 Au 0.5 0.5 0.5 1.0"),
    "a.pdb": PDB.format(1.0),
    "b.pdb": PDB.format(0.0),  # as some programs write where they have nothing to say
    "a.xyz": "1\nProperties=species:S:1:pos:R:3:occupancy:R:1\nHe 0 0 0 1\n",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PARTIAL)
def test_partial_occupancies_are_refused(name: str, tmp_path: Path) -> None:
    file, text = PARTIAL[name]
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match="occupied in part") as error:
        read_structures(tmp_path / file, progress=False)
    assert "frame 0" in str(error.value)
    if file != "a.xyz":
        with pytest.raises(DataError, match="occupied in part"):
            to_graph(read(tmp_path / file))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WHOLE)
def test_whole_atoms_are_not_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(WHOLE[name])
    assert len(read_structures(tmp_path / name, progress=False).atoms) == 1


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("masses:R:2", "masses has shape"),
        ("momenta:R:1", "momenta has shape"),
        ("move_mask:L:2", "move_mask has shape"),
        ("tags:S:1", "tags"),
    ],
)
def test_columns_that_mean_something_must_be_right(column: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text(f"1\nProperties=species:S:1:pos:R:3:{column}\nHe 0 0 0 1 1\n")
    with pytest.raises(DataError, match=words):
        read_structures(tmp_path / "a.xyz", progress=False)


def test_no_file_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "empty.xyz").touch()
    for name, words in (
        ("gone.xyz", "no such file"),
        ("", r"empty\.xyz: the file is empty"),
        ("empty.xyz", "is empty"),
    ):
        with pytest.raises(DataError, match=words):
            read_structures(tmp_path / name, progress=False)
    (tmp_path / "a.xyz").write_text("1\n\nHe 0 0 0\n")
    with pytest.raises(InputError, match="'charge', which is not read"):
        read_structures(tmp_path / "a.xyz", progress=False, units={"charge": "e"})


def test_inputs_of_a_model() -> None:
    atoms = rich()
    atoms.arrays["charge"] = np.array([1.0, 2.0, 3.0])
    assert input_of(atoms, "charge").tolist() == [1, 2, 3]
    assert input_of(atoms, "charge", {"charge": "Q"}).tolist() == [0.25, -0.5, 0.25]  # in whatever case
    del atoms.arrays["charge"]
    assert input_of(atoms, "charge").tolist() == [-0.8, 0.4, 0.4]
    assert input_of(atoms, "spin").tolist() == [0, 1, -1]
    assert np.allclose(input_of(atoms, "vel"), atoms.get_velocities())
    atoms.info["x"] = np.ones((3, 2))  # where a trajectory keeps it
    assert to_graph(atoms, ("x", "charge")).x.shape == (3, 2)
    for name, words in (
        ("field", "has none"),
        ("x2", "has none"),
        ("q2", "2 rows|for 3 atoms"),
        ("q3", "not a number"),
    ):
        atoms.info |= {"q2": np.ones(2), "q3": ["a", "b", "c"]}
        with pytest.raises(DataError, match=words):
            input_of(atoms, name)


def test_what_is_said_and_not_read_is_noted() -> None:
    atoms = rich()
    atoms.info |= {"total_charge": 1, "multiplicity": 1, "spin": 0}
    notes = unread([molecule("H2O"), atoms], ("charge",), {"charge": "q"})
    assert len(notes) == 2
    assert "initial_magmoms, first in structure 1: kept" in notes[0]
    assert "total_charge" in notes[1]
    assert unread([molecule("H2O")]) == []


def test_what_others_calculated_stays_theirs(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.ones((3, 3)), dipole=np.array([0.0, 0, 1]))
    for name in ("a.xyz", "a.traj"):
        write(tmp_path / name, atoms, format="extxyz" if name == "a.xyz" else None)
        (found,) = read_structures(tmp_path / name, progress=False).atoms
        assert found.calc.results.keys() == atoms.calc.results.keys()
        assert not {"energy", "forces", "dipole"} & {*found.info, *found.arrays}


@pytest.mark.parametrize("name", ["a.xyz", "a.traj", "a.db"])
def test_kept_labels_say_their_unit(name: str, tmp_path: Path) -> None:
    """Positions become A, labels stay: forces whose unit followed from the two others would else be read wrongly."""
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.ones((3, 3)))
    atoms.info |= {"REF_energy": -2.0, "energy_unit": "Hartree", "pos_unit": "Bohr"}
    assert write_structures(tmp_path / name, [atoms]) == []
    (read_as_declared,) = read_structures(tmp_path / name, progress=False).atoms
    info = read_as_declared.info
    assert (info["pos_unit"], info["energy_unit"], info["forces_unit"]) == ("A", "Hartree", "Hartree/Bohr")
    told = read_structures(tmp_path / name, progress=False, units={"energy": "kcal/mol", "pos": "nm"}).atoms[0].info
    assert (told["energy_unit"], told["forces_unit"], told["REF_energy_unit"]) == (
        "kcal/mol",
        "kcal/mol/nm",
        "kcal/mol",
    )
    again = tmp_path / f"again-{name}"
    assert write_structures(again, [to_atoms(read_as_declared)]) == []
    first, second = (open_dataset(str(path), progress=False) for path in (tmp_path / name, again))
    for field in ("pos", "energy", "forces"):
        assert torch.allclose(first.field(field), second.field(field), atol=1e-7), field
    plain = molecule("H2O")
    plain.info["energy"] = -1.0
    assert write_structures(tmp_path / name, [plain]) == []
    assert not [key for key in read_structures(tmp_path / name, progress=False).atoms[0].info if key.endswith("_unit")]
