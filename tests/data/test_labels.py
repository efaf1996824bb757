"""Labels are decided once for a whole file: names in any case, one family, the energy that forces belong to, nothing
invented.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write
from labelled import WATER, factor, frame, opened, said

from intertwine.data import open_dataset
from intertwine.data.names import parse
from intertwine.numerics import DataError


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title, str.swapcase])
def test_names_count_in_any_case(change, tmp_path: Path) -> None:
    """Half a file in one case, half in another."""
    lattice, pbc, properties, energy, forces, stress = map(
        change, ("Lattice", "pbc", "Properties", "energy", "forces", "stress")
    )
    atoms = "\n".join(f"{symbol} {x} {y} {z} {x} {y} {z}" for symbol, (x, y, z) in zip("OHH", WATER, strict=True))
    other = (
        f'3\n{lattice}="4 0 0 0 5 0 0 0 6" {pbc}="T T F" {properties}=species:S:1:pos:R:3:{forces}:R:3 '
        f'{energy}=-2 {stress}="1 2 3 4 5 6"\n'
    )
    usual = (
        '3\nLattice="4 0 0 0 5 0 0 0 6" pbc="T T F" Properties=species:S:1:pos:R:3:forces:R:3 '
        'energy=-1 stress="1 2 3 4 5 6"\n'
    )
    store = opened(tmp_path, (usual + atoms + "\n") * 3 + (other + atoms + "\n") * 3)
    assert store.field("energy").tolist() == [-1.0] * 3 + [-2.0] * 3
    assert store.field("pbc").tolist() == [[True, True, False]] * 6
    assert factor(store) == [1.0] * 6
    assert store[5].stress[0, 0].tolist() == [1.0, 6.0, 5.0]


@pytest.mark.parametrize("names", ["REF_{}", "{}_dft", "mace_{}", "{}.wb97m", "my_code_{}"])
def test_one_family_labels_the_file(names: str, tmp_path: Path) -> None:
    """The family that has energies and forces is read, and not the other one's forces."""
    energy, forces = names.format("energy"), names.format("forces")
    store = opened(tmp_path, frame({"forces": 2.0, forces: 3.0}, f"{energy}=-7") * 4)
    assert store.field("energy").tolist() == [-7.0] * 4
    assert factor(store) == [3.0] * 4
    assert said(store, "several families", energy, "forces not", "--key")
    assert [(each.label, each.key) for each in store.decisions] == [("energy", energy), ("forces", forces)]


def test_the_user_chooses_the_family(tmp_path: Path) -> None:
    text = frame({"forces": 1.0, "REF_forces": 2.0, "dft_forces": 3.0}, "energy=-1 REF_energy=-2 dft_energy=-3") * 3
    for keys, energy, forces in (
        ({}, -2.0, 2.0),
        ({"energy": "dft_energy"}, -3.0, 3.0),
        ({"forces": "forces"}, -1.0, 1.0),
        ({"energy": "REF_energy", "forces": "dft_forces"}, -2.0, 3.0),
    ):
        store = opened(tmp_path, text, keys=keys)
        assert (store[0].energy.item(), factor(store)[0]) == (energy, forces)
        assert said(store, "several families")


def test_a_family_that_labels_more_frames_wins(tmp_path: Path) -> None:
    both = frame({"forces": 1.0, "REF_forces": 2.0}, "energy=-1 REF_energy=-2")
    one = frame({"forces": 1.0}, "energy=-1")
    assert opened(tmp_path, both * 2 + one * 3).field("energy").tolist() == [-1.0] * 5


def test_names_of_other_quantities_are_no_energies(tmp_path: Path) -> None:
    for name in (
        "kinetic_energy",
        "formation_energy",
        "energy_per_atom",
        "energy_error",
        "energy_above_hull",
        "zero_point_energy",
    ):
        assert parse(name) is None
        store = opened(tmp_path, frame({}, f"{name}=1.5") * 2)
        assert "energy" not in store.fields
        assert said(store, "not used", name)
    assert parse("dft_total_energy").family == "dft"
    assert parse("REF_free_energy").quantity == "free_energy"


@pytest.mark.parametrize(
    ("energy", "free"), [("energy", "free_energy"), ("REF_energy", "REF_free_energy"), ("Energy", "FREE_ENERGY")]
)
def test_forces_belong_to_the_free_energy(energy: str, free: str, tmp_path: Path) -> None:
    forces = "REF_forces" if "REF" in energy else "forces"
    text = frame({forces: 1.0}, f"{energy}=-1 {free}=-1.25")
    store = opened(tmp_path, text * 3)
    assert store.field("energy").tolist() == [-1.25] * 3
    assert said(store, free, "derivative", f"--key energy={energy}")
    assert opened(tmp_path, text * 3, keys={"energy": energy}).field("energy").tolist() == [-1.0] * 3
    alone = opened(tmp_path, frame({}, f"{energy}=-1 {free}=-1.25") * 3)  # no forces: the energy proper
    assert alone.field("energy").tolist() == [-1.0] * 3
    assert said(alone, free)
    half = opened(tmp_path, text * 2 + frame({forces: 1.0}, f"{energy}=-1"))
    assert half.field("energy").tolist() == [-1.0] * 3
    assert said(half, "2 of 3 frames")


def test_a_free_energy_alone(tmp_path: Path) -> None:
    """With forces it is their energy; without, it may be Gibbs's."""
    assert opened(tmp_path, frame({"forces": 1.0}, "free_energy=-1.25")).field("energy").tolist() == [-1.25]
    store = opened(tmp_path, frame({}, "free_energy=-1.25"))
    assert "energy" not in store.fields
    assert said(store, "not used", "free_energy")


def test_two_spellings_in_one_frame_are_said(tmp_path: Path) -> None:
    store = opened(tmp_path, frame({"forces": 1.0}, "energy=-1 Energy=-2 ENERGY=-3") * 2)
    assert store.field("energy").tolist() == [-1.0, -1.0]
    assert said(store, "energy read from 'energy'", "'ENERGY', 'Energy'")


@pytest.mark.parametrize("name", ["a.traj", "a.json", "a.db"])
def test_free_energies_of_calculators(name: str, tmp_path: Path) -> None:
    images = []
    for k in range(3):
        atoms = Atoms("OHH", WATER)
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0 - k, free_energy=-1.5 - k, forces=WATER)
        images.append(atoms)
    if name.endswith("db"):
        with connect(str(tmp_path / name)) as database:
            for atoms in images:
                database.write(atoms)
    else:
        write(tmp_path / name, images)
    store = open_dataset(str(tmp_path / name), progress=False)
    assert store.field("energy").tolist() == [-1.5, -2.5, -3.5]


def test_what_a_reader_invents_is_no_label(tmp_path: Path) -> None:
    """ASE's reader of LAMMPS dumps makes an energy of 0, and forces are there for one that has none in
    others' files.
    """
    atoms = Atoms("OHH", WATER)
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=WATER)
    write(tmp_path / "a.traj", [atoms, atoms])
    store = open_dataset(str(tmp_path / "a.traj"), progress=False)
    assert "energy" not in store.fields
    assert said(store, "energy is 0 in every frame")
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=0 * WATER)
    write(tmp_path / "b.traj", [atoms, atoms])
    assert "forces" not in open_dataset(str(tmp_path / "b.traj"), progress=False).fields
    dump = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
    dump += "ITEM: ATOMS id type element x y z fx fy fz\n"
    (tmp_path / "c.lammpstrj").write_text(dump + "1 1 O 1 1 1 0 0 0.5\n2 2 H 1 1 2 0 0 -0.5\n")
    store = open_dataset(str(tmp_path / "c.lammpstrj"), progress=False)
    assert "energy" not in store.fields
    assert store[0].z.tolist() == [8, 1]
    assert store[0].forces[0].tolist() == [0.0, 0.0, 0.5]


def test_types_are_no_elements(tmp_path: Path) -> None:
    header = (
        "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
        "ITEM: ATOMS id type x y z\n1 1 1 1 1\n"
    )
    data = (
        "LAMMPS\n\n2 atoms\n2 atom types\n\n0 9 xlo xhi\n0 9 ylo yhi\n0 9 zlo zhi\n\n"
        "Atoms # atomic\n\n1 1 0 0 0\n2 2 0 0 1\n"
    )
    for name, text in {
        "a.lammpstrj": header,
        "a.lammps-data": data,
        "a.xyz": "2\nAtoms. Timestep: 0\n1 0 0 0\n1 0 0 1\n",
        "b.xyz": "3\nenergy=1\n2 0 0 0\n1 0 0 1\n1 0 1 0\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=r"types.*no elements[\s\S]*symbols") as caught:
            open_dataset(str(tmp_path / name), progress=False)
        assert "frame 0" in str(caught.value)
    assert opened(tmp_path, "3\nenergy=1\n8 0 0 0\n1 0 0 1\n1 0 1 0\n")[0].z.tolist() == [8, 1, 1]
    masses = data.replace("Atoms #", "Masses\n\n1 15.999\n2 1.008\n\nAtoms #")
    (tmp_path / "b.lammps-data").write_text(masses)
    assert open_dataset(str(tmp_path / "b.lammps-data"), progress=False)[0].z.tolist() == [8, 1]


def test_the_reader_decides_what_is_qm9(tmp_path: Path) -> None:
    for column in ("mulliken", "Mulliken", "gdb", "homo"):
        text = frame({}, "energy=-1").replace("pos:R:3", f"pos:R:3:{column}:R:1")
        store = opened(
            tmp_path, "\n".join(line + " 0.5" if line[:1] in "OH" else line for line in text.splitlines()) + "\n"
        )
        assert store.field("energy").tolist() == [-1.0]
        assert said(store, "not used", column)


def test_one_resolver_for_arrays_too(tmp_path: Path) -> None:
    shape = {"R": np.zeros((2, 2, 3)), "Z": [8, 1]}
    np.savez(
        tmp_path / "a.npz", **shape, REF_energy=[1.0, 2], forces=np.ones((2, 2, 3)), REF_forces=np.full((2, 2, 3), 2.0)
    )
    store = open_dataset(str(tmp_path / "a.npz"), progress=False)
    assert (store[0].energy.item(), store[0].forces[0, 0].item()) == (1.0, 2.0)
    assert said(store, "several families")
    np.savez(tmp_path / "b.npz", **shape, energy=[1.0, 2], free_energy=[3.0, 4], forces=np.ones((2, 2, 3)))
    store = open_dataset(str(tmp_path / "b.npz"), progress=False)
    assert store.field("energy").tolist() == [3.0, 4.0]
    assert [each.key for each in store.decisions] == ["free_energy", "forces"]


@pytest.mark.parametrize("lacking", [[3], [1, 4], [0, 1, 2, 3, 4, 5, 7]])
def test_all_frames_without_a_label_are_named(lacking: list[int], tmp_path: Path) -> None:
    frames = []
    for k in range(9):
        atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.7 + 0.01 * k]])
        atoms.calc = SinglePointCalculator(atoms, forces=np.zeros((2, 3)), **({} if k in lacking else {"energy": -1.0}))
        frames.append(atoms)
    write(tmp_path / "part.xyz", frames, format="extxyz")
    with pytest.raises(DataError) as error:
        open_dataset(str(tmp_path / "part.xyz"), progress=False)
    text = str(error.value)
    named = ", ".join(map(str, lacking[:5])) + ("; and 2 more" if len(lacking) > 5 else "")
    assert f"part.xyz, frame{'s' * (len(lacking) > 1)} {named} (counted from 0)" in text
    assert (f"in {len(lacking)} of 9 frames" in text) == (len(lacking) > 1)
