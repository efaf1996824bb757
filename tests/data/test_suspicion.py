"""Data that are read and are suspicious: each kind is one line with the frame's number; sound data are silent."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from suspicious import changed, first_of_ethanol, kinds

from intertwine.data import GraphStore, open_dataset
from intertwine.data.suspicion import Frames, Seen, marks, suspicions
from intertwine.data.units import factor
from intertwine.geometry import Graph

#: Sets that are in eV and A as they are read; what one of them has to be told is beside it.
SOUND: dict[str, dict[str, str]] = {
    **{f"rmd17/{name}_train_01.xyz.gz": {} for name in ("aspirin", "benzene", "malonaldehyde", "uracil")},
    **{f"crystals/{name}_training.json.gz": {} for name in ("Ge", "Li", "Mo", "Si")},
    **{f"crystals/{name}.gz": {} for name in ("high_level_water.xyz", "toy_c3h8_relax.extxyz")},
    **{f"forcefield/dataset_{name}_train_300K.xyz.gz": {} for name in ("3BPA", "acac")},
    **{f"formats/hdf5/{name}.hdf5": {} for name in ("SPICE-1.1.4_n2", "ani1_n5", "qm9_dataset_v1.1_ntc_10")},
    **{f"formats/metatrain/{name}_reduced_100.xyz": {} for name in ("carbon", "qm7x", "qm9")},
    "formats/metatrain/ethanol_reduced_100.xyz": {"energy": "kcal/mol"},
    **{name: {} for name in ("formats/asedb/10_mptraj_systems.db", "formats/qm9_xyz", "formats/sdf/gdb1k.sdf.gz")},
    "tensors/salted_water_monomers_1k.xyz.gz": {},
}


@pytest.fixture(scope="module")
def molecules() -> GraphStore:
    return first_of_ethanol(200)


@pytest.fixture(scope="module")
def copper() -> GraphStore:
    """Crystals of copper and aluminium without hydrogen, whose energies are not those of all electrons."""
    graphs = []
    for k in range(24):
        atoms = bulk("Cu" if k % 3 else "Al", "fcc", a=3.6 if k % 3 else 4.05, cubic=True)
        atoms.rattle(0.03, seed=k)
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        cell = np.array(atoms.cell)
        graphs.append(
            Graph(atoms.positions, z=atoms.numbers, cell=cell, energy=energy - 3.5 * len(atoms), forces=forces)
        )
    return GraphStore.from_graphs(graphs, name="metals")


def test_sound_data_are_silent(molecules: GraphStore, copper: GraphStore) -> None:
    assert kinds(molecules) == kinds(copper) == {}
    assert kinds(molecules.subset([3])) == {}
    assert kinds(GraphStore.from_graphs([Graph(torch.zeros(5, 3).double(), charge=torch.ones(5))], name="points")) == {}


@pytest.mark.parametrize("name", SOUND)
def test_the_sets_beside_the_repository_are_silent(name: str, shared_data: Path) -> None:
    assert kinds(open_dataset(str(shared_data / name), units=SOUND[name], limit=300, progress=False)) == {}


@pytest.mark.parametrize("frame", [0, 17, 199])
@pytest.mark.parametrize("error", [5000.0, -5000.0, 60.0])
def test_an_energy_far_off_is_named(frame: int, error: float, molecules: GraphStore) -> None:
    energy = molecules.fields["energy"].clone()
    energy[frame] += error
    said = kinds(changed(molecules, energy=energy))
    assert list(said) == ["energy"]
    assert f"frame {frame} of changed (counted from 0)" in said["energy"]
    number = re.search(r"is ([+-][\d,.]+) eV from", said["energy"])
    assert number is not None
    assert float(number[1].replace(",", "")) == pytest.approx(error, abs=1.0)


@pytest.mark.parametrize("error", [3.0, -2.0, 1.0])
def test_an_energy_that_stands_alone_is_named(error: float, copper: GraphStore) -> None:
    """Less than forty times the usual, and far from all others: eV/atom."""
    energy = copper.fields["energy"].clone()
    energy[7] += 4 * error
    (suspect,) = suspicions(changed(copper, energy=energy))
    assert suspect.frames == (7,)


def test_energies_far_off_in_a_set_of_several_compositions(copper: GraphStore) -> None:
    energy = copper.fields["energy"].clone()
    energy[[5, 9]] += torch.tensor([900.0, -300.0], dtype=torch.float64)
    (suspect,) = suspicions(changed(copper, energy=energy))
    assert suspect.frames == (5, 9)
    assert "likewise frame 9" in suspect.line


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_an_element_of_few_structures_has_no_elsewhere(count: int, copper: GraphStore) -> None:
    """Whatever their energies are, nobody knows which of two is wrong; the others tell of one of three."""
    energy, z = copper.fields["energy"].clone(), copper.fields["z"].clone()
    for frame in (7, 10, 1, 4, 13, 16)[:count]:
        z[4 * frame : 4 * frame + 4] = 79
    energy[7] += 800.0
    wild = [suspect.frames for suspect in suspicions(changed(copper, energy=energy, z=z)) if suspect.kind == "energy"]
    assert wild == ([(7,)] if count > 2 else [])


@pytest.mark.parametrize("frame", [2, 11, 23])
def test_a_wild_force_is_named(frame: int, copper: GraphStore) -> None:
    forces = copper.fields["forces"].clone()
    forces[4 * frame + 1] = torch.tensor([0.0, 1e4, 0.0], dtype=torch.float64)
    assert f"frame {frame} of" in kinds(changed(copper, forces=forces))["forces"]


@pytest.mark.parametrize(
    ("frame", "shift"),
    [(0, (0.0, 0.0, 0.0)), (7, (0.0, 0.0, 0.1)), (23, (0.02, 0.0, 3.6))],
    ids=["same", "near", "image"],
)
def test_coincident_atoms_are_named(frame: int, shift: tuple[float, float, float], copper: GraphStore) -> None:
    """The third is on the periodic image of the other."""
    pos = copper.fields["pos"].clone()
    cell = copper.fields["cell"][frame]
    image = torch.tensor(shift, dtype=torch.float64)
    if frame == 23:
        image = cell[2] + torch.tensor([0.02, 0.0, 0.0], dtype=torch.float64)
    pos[4 * frame + 3] = pos[4 * frame] + image
    said = kinds(changed(copper, pos=pos))["coincident atoms"]
    assert f"atoms 0 and 3 (Cu, Cu) of frame {frame} of" in said or f"(Al, Al) of frame {frame} of" in said


def test_coincident_atoms_of_large_and_open_structures() -> None:
    generator = torch.Generator().manual_seed(0)
    grid = 2.0 * torch.cartesian_prod(*(torch.arange(5.0),) * 3).double()
    frames = [Graph(grid + 0.05 * torch.randn(125, 3, generator=generator), z=[6] * 125) for _ in range(3)]
    frames[1].pos[100] = frames[1].pos[7] + 0.01
    said = kinds(GraphStore.from_graphs(frames, name="grid"))
    assert "atoms 7 and 100 (C, C) of frame 1 of grid" in said["coincident atoms"]


@pytest.mark.parametrize("unit", ["kcal/mol", "kJ/mol", "Hartree", "Ry"])
def test_total_energies_of_another_unit(unit: str, molecules: GraphStore) -> None:
    energy = molecules.fields["energy"] / factor(unit, "energy")
    store = GraphStore({k: v for k, v in molecules.fields.items() if k != "forces"} | {"energy": energy},
                       molecules.node_ptr, molecules.levels, name="m")  # fmt: skip
    assert kinds(store)["energy unit"].endswith(f"--unit energy={unit}")
    both = kinds(changed(molecules, energy=energy))["energy unit"]  # whose forces would be read in another unit, too
    assert both.endswith(f"--unit energy={unit} --unit forces=eV/A")


@pytest.mark.parametrize("unit", ["kcal/mol/A", "kJ/mol/A", "Hartree/Bohr", "Hartree/A"])
def test_forces_of_another_unit(unit: str, molecules: GraphStore) -> None:
    forces = molecules.fields["forces"] / factor(unit, "forces")
    energy = molecules.fields["energy"]
    assert f"(--unit forces={unit})" in kinds(changed(molecules, forces=forces))["force unit"]  # energies are in eV
    whole = unit.rpartition("/")[0]
    said = kinds(changed(molecules, forces=forces, energy=energy / factor(whole, "energy")))
    assert said["energy unit"].endswith(f": --unit energy={whole} --unit forces={unit}")
    assert f"(--unit energy={whole} --unit forces={unit})" in said["force unit"]
    said = kinds(changed(molecules, forces=forces, energy=energy - energy.mean()))
    too = f"; with --unit energy={whole} if energies are in it too"
    assert f"(--unit forces={unit}{too})" in said["force unit"]
    alone = GraphStore(molecules.fields, molecules.node_ptr, molecules.levels).only("forces")
    assert f"(--unit forces={unit})" in kinds(changed(alone, forces=forces))["force unit"]


@pytest.mark.parametrize("unit", ["kcal/mol/A", "kJ/mol/A", "Hartree/Bohr", "Hartree/A"])
def test_the_work_of_the_forces_tells_the_unit_of_the_energies(unit: str) -> None:
    """Bonds to hydrogen that are springs of 30 eV/A^2, whose energies are not those of electrons."""
    first, generator = Graph.from_ase(molecule("CH4")), torch.Generator().manual_seed(0)
    graphs, whole, length = [], unit.rpartition("/")[0], float((first.pos[1] - first.pos[0]).norm())
    for _ in range(60):
        pos = first.pos + 0.04 * torch.randn(first.pos.shape, generator=generator, dtype=torch.float64)
        bonds = pos[1:] - pos[0]
        longer = bonds.norm(dim=1, keepdim=True) - length
        forces = torch.cat([torch.zeros_like(pos[:1]), -30 * longer * bonds / bonds.norm(dim=1, keepdim=True)])
        forces[0] = -forces.sum(0)
        graphs.append(Graph(pos, z=first.z, energy=15 * float(longer.square().sum()), forces=forces))
    store = GraphStore.from_graphs(graphs, name="springs")
    forces, energy = (store.fields[name] for name in ("forces", "energy"))
    for other, too in ((energy / factor(whole, "energy"), f" --unit energy={whole}"), (energy, "")):
        said = kinds(changed(store, forces=forces / factor(unit, "forces"), energy=other))
        assert f"(--unit forces={unit}{too})" in said["force unit"]


@pytest.mark.parametrize("unit", ["Bohr", "nm", "pm"])
def test_positions_of_another_unit(unit: str, molecules: GraphStore) -> None:
    said = kinds(changed(molecules, pos=molecules.fields["pos"] / factor(unit, "pos")))
    assert list(said) == ["length unit"]
    assert f"--unit pos={unit}" in said["length unit"]


@pytest.mark.parametrize("unit", ["kcal/mol", "Hartree", "kJ/mol"])
def test_energies_that_do_not_go_with_the_forces(unit: str, copper: GraphStore) -> None:
    """Nothing is known of these energies but that they change by the work of the forces."""
    energy = copper.fields["energy"] / factor(unit, "energy")
    assert "different units" in kinds(changed(copper, energy=energy))["work"]


def test_gradients_instead_of_forces(molecules: GraphStore, copper: GraphStore) -> None:
    assert "gradient" in kinds(changed(molecules, forces=-molecules.fields["forces"]))["force unit"]
    assert "gradient" in kinds(changed(copper, forces=-copper.fields["forces"]))["work"]


@pytest.mark.parametrize(("unit", "symbols"), [("kcal/mol", "HCO"), ("Hartree", "HCO"), ("kJ/mol", "HCO")])
def test_isolated_atoms_expose_the_unit(unit: str, symbols: str) -> None:
    """Valence electrons only (pseudopotentials), so that totals do not tell: binding energies do, or hydrogen."""
    valence = {"H": -13.6, "C": -147.0, "O": -432.0}
    scale = 1 / factor(unit, "energy")
    graphs = [Graph([[0.0, 0, 0]], z=[Atoms(s).numbers[0]], energy=scale * valence[s]) for s in symbols]
    generator = np.random.default_rng(0)
    for _ in range(10):
        pos = np.array([[0, 0, 0], [0, 0, 1.2], [0.9, 0, -0.6], [-0.9, 0, -0.6]]) + 0.02 * generator.normal(size=(4, 3))
        free = valence["C"] + valence["O"] + 2 * valence["H"]
        graphs.append(Graph(pos, z=[6, 8, 1, 1], energy=scale * (free - 16.0 + 0.1 * generator.normal())))
    said = kinds(GraphStore.from_graphs(graphs, name="isolated"))
    if unit == "Hartree":  # binding energies are small in it; hydrogen alone tells where it stands alone
        only = GraphStore.from_graphs([graphs[0]], name="hydrogen")
        assert "--unit energy=Hartree" in kinds(only)["energy unit"]
    else:
        assert "energy" in said["energy unit"]
        assert unit in said["energy unit"] or "not in eV" in said["energy unit"]


def moved(atoms: Atoms) -> Atoms:
    copy = atoms.copy()
    copy.rotate(33.0, (1.0, 2.0, 0.5), rotate_cell=True)
    copy.translate((3.0, -1.0, 7.0))
    return copy


@pytest.mark.parametrize(
    "how",
    [lambda a: a, moved, lambda a: a[np.random.default_rng(1).permutation(len(a))]],
    ids=["exact", "moved", "reordered"],
)
@pytest.mark.parametrize("what", ["molecule", "crystal"])
def test_copies_have_the_same_number(how: Callable[[Atoms], Atoms], what: str) -> None:
    first = bulk("Cu", cubic=True).repeat((2, 1, 1)) if what == "crystal" else Atoms("OCHH", np.eye(4)[:, :3] * 1.2)
    first.rattle(0.05, seed=0)
    other = first.copy()
    other.rattle(1e-3, seed=1)
    copy = how(first)
    if what == "crystal":
        copy.wrap()
    rows = marks(Frames.of_structures([first, copy, other], "x"))
    assert rows[0] == rows[1] != rows[2]


def test_copies_and_compositions_of_a_training_set(molecules: GraphStore) -> None:
    training = Frames.of_store(molecules.subset(range(100)))
    seen = Seen.of(training)
    assert seen.lines(Frames.of_store(molecules.subset(range(100, 200)))) == []
    (line,) = seen.lines(Frames.of_store(molecules.subset([150, 17, 60])), "the test set")
    assert "2 of the 3 structures of the test set are copies of training structures (frame 17 of ethanol" in line
    assert "likewise frame 60" in line
    (line,) = seen.lines(Frames.of_store(molecules.subset([5])))
    assert line.startswith("1 structure is a copy")
    methanol, dimer = Atoms("COHHHH", np.eye(6)[:, :3]), Atoms("C4O2H12", 1.3 * np.arange(54.0).reshape(18, 3))
    (line,) = seen.lines(Frames.of_structures([methanol, dimer], "new.xyz"))
    (same,) = seen.lines(Frames.of_structures([methanol, dimer], "new.xyz"), "the validation set")
    assert same == line.replace("(counted from 0), CH4O", "(counted from 0) of the validation set, CH4O")
    (same,) = seen.lines(Frames.of_structures([dimer], "new.xyz"), "the test set")
    assert "(counted from 0) of the test set, C4H12O2, is not in the training set" in same
    assert "frame 0 of new.xyz (counted from 0), CH4O, can't be made up of those of the training set (C2H6O)" in line
    (line,) = seen.lines(Frames.of_structures([dimer], "new.xyz"))
    assert "C4H12O2, is not in the training set" in line
    copper = bulk("Cu", cubic=True)
    cell = Seen.of(Frames.of_structures([copper], "cu.xyz"))
    assert cell.lines(Frames.of_structures([copper * (2, 1, 1), copper * (2, 2, 2)], "large.xyz")) == []
    cluster = Atoms("Cu8", (copper * (2, 1, 1)).positions)  # is open: other surroundings
    assert "Cu8, is not in the training set (Cu4)" in cell.lines(Frames.of_structures([cluster], "new.xyz"))[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seen.npz"
        assert Seen.load(path) is None
        seen.save(path)
        again = Seen.load(path)
        assert again is not None
        assert np.array_equal(again.marks, seen.marks)
        path.write_bytes(path.read_bytes()[:50])
        assert Seen.load(path) is None


@pytest.mark.parametrize("singles", ["H", "HO", "CHO"])
def test_isolated_atoms_beside_structures_are_no_new_composition(singles: str, molecules: GraphStore) -> None:
    """They are references, and are not tested on; alone they are what is asked of."""
    seen = Seen.of(Frames.of_store(molecules.subset(range(100))))
    ethanol = molecules[150].to_ase()
    atoms = [Atoms(symbol, [(0.1, 0.2, 0.3)]) for symbol in singles]
    assert seen.compositions_of(Frames.of_structures([*atoms, ethanol], "mixed.xyz")) == []
    (line,) = seen.compositions_of(Frames.of_structures(atoms, "atoms.xyz"))
    assert "frame 0 of atoms.xyz" in line


def test_frames_of_several_files_are_named_by_file(tmp_path: Path, molecules: GraphStore) -> None:
    for part in range(3):
        frames = []
        for k in range(10):
            graph = molecules[10 * part + k]
            atoms = Atoms(graph.z.numpy(), graph.pos.numpy())
            wrong = 5000.0 if (part, k) == (1, 4) else 0.0
            atoms.calc = SinglePointCalculator(atoms, energy=float(graph.energy) + wrong, forces=graph.forces.numpy())
            frames.append(atoms)
        write(tmp_path / f"part{part}.xyz", frames, format="extxyz")
    (suspect,) = suspicions(open_dataset(str(tmp_path), progress=False))
    assert "frame 4 of" in suspect.line
    assert "part1.xyz (counted from 0)" in suspect.line


@pytest.mark.parametrize("z", [1, 7, 8])
@pytest.mark.parametrize("furthest", [3.0, 6.0, 60.0])
def test_dissociation_curves_are_silent(z: int, furthest: float) -> None:
    graphs = [Graph([[0, 0, 0], [0, 0, d]], z=[z, z]) for d in np.linspace(0.8, furthest, 60)]
    assert kinds(GraphStore.from_graphs(graphs, name="curve")) == {}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_molecules_are_silent_on_units(seed: int) -> None:
    generator = np.random.default_rng(seed)
    graphs = [Graph(generator.normal(size=(n, 3)) * 1.5, z=generator.choice([1, 6, 8], n)) for n in [3, 4, 5, 6] * 10]
    assert "length unit" not in kinds(GraphStore.from_graphs(graphs, name="random"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("z", [[119, 119, 1], [0, 6, 6], [0, 0, 0]])
def test_odd_atomic_numbers(z: list[int]) -> None:
    pos, counts = np.array([[0, 0, 0], [1.4, 0, 0], [2.8, 0, 0.0]]), np.array([3, 0])
    two = np.arange(2)
    frames = Frames(pos, np.array(z), counts, None, None, None, None, {}, (("odd", 0),), two)
    assert [s.kind for s in suspicions(frames)] in ([], ["coincident atoms"])
    assert len(np.unique(marks(frames))) == 2
