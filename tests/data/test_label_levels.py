"""Labels' levels, tensors and units: stress and virial, isolated atoms, what is refused and what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.db import connect
from ase.io import write
from labelled import BOX, WATER, frame, opened, said

from intertwine.data import open_dataset, read_structures
from intertwine.models import PaiNN
from intertwine.numerics import DataError
from intertwine.tasks import ForceField


def test_levels_do_not_follow_from_shapes(tmp_path: Path) -> None:
    """A stress of a three-atom cell, a dipole of three atoms or one, a target with as many numbers as atoms."""
    stress = np.arange(9.0).reshape(3, 3) + np.arange(9.0).reshape(3, 3).T
    images = [
        Atoms(
            "OHH",
            WATER,
            cell=[9, 9, 9],
            pbc=True,
            info={"REF_stress": stress, "dipole": np.ones(3), "q3": np.arange(3.0)},
        )
    ]
    write(tmp_path / "a.traj", images)
    with connect(str(tmp_path / "a.db")) as database:
        database.write(images[0], data={"REF_stress": stress, "dipole": np.ones(3), "q3": np.arange(3.0)})
    for name in ("a.traj", "a.db"):
        store = open_dataset(str(tmp_path / name), target="q3", progress=False)
        assert store.levels["stress"] == store.levels["dipole"] == store.levels["q3"] == "graph"
        assert np.array_equal(store[0].stress[0].numpy(), stress)
        assert store[0].q3.shape == (1, 3)
        assert said(store, "q3", "chance")
    many = [Atoms("OHH"[:n], WATER[:n], info={"q": np.arange(float(n)), "energy": -1.0}) for n in (1, 2, 3)]
    write(tmp_path / "b.traj", many)
    store = open_dataset(str(tmp_path / "b.traj"), target="q", progress=False)
    assert store.levels["q"] == "node"  # one row an atom in structures of every size
    assert store.field("q").tolist() == [0.0, 0.0, 1.0, 0.0, 1.0, 2.0]
    single = [
        Atoms("O", WATER[:1], info={"energy": -1.0, "dipole": np.arange(3.0), "t": np.array([k])}) for k in range(2)
    ]
    write(tmp_path / "c.traj", single)
    store = open_dataset(str(tmp_path / "c.traj"), target="t", progress=False)
    assert store.levels["t"] == store.levels["dipole"] == "graph"
    np.savez(tmp_path / "d.npz", Z=[8, 1, 1], R=np.zeros((2, 3, 3)), mu=np.ones((2, 3)), q=np.ones((2, 3)))
    assert (
        open_dataset(str(tmp_path / "d.npz"), keys={"dipole": "mu"}, target="q", progress=False).levels["q"] == "graph"
    )


@pytest.mark.parametrize("label", ["stress", "virial"])
@pytest.mark.parametrize(("pbc", "present"), [("T T T", True), ("T T F", True), ("T F F", False), ("F F F", False)])
def test_stress_where_two_directions_repeat(label: str, pbc: str, present: bool, tmp_path: Path) -> None:
    """The file's number, for the cell as given; a file may mix structures with and without."""
    numbers = '"1 6 5 6 2 4 5 4 3"'
    bulk = frame({"forces": 1.0}, f'energy=-1 {BOX.format(5)}pbc="T T T" {label}={numbers}')
    this = frame({"forces": 1.0}, f'energy=-1 {BOX.format(5)}pbc="{pbc}" ' + (f"{label}={numbers}" if present else ""))
    store = opened(tmp_path, bulk + this + frame({"forces": 1.0}, "energy=-1"))
    expected = torch.tensor([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]], dtype=torch.float64) * (
        1 if label == "stress" else -1 / 125
    )
    assert torch.allclose(store[0].stress[0], expected, rtol=1e-14, atol=0)
    assert torch.equal(store[1].stress.isnan(), torch.full((1, 3, 3), not present))
    assert store[2].stress.isnan().all()
    assert said(store, "have no stress")
    assert not present or torch.equal(store[1].stress, store[0].stress)


def test_isolated_atoms(tmp_path: Path) -> None:
    told = frame({}, f'energy=-13.6 config_type=IsolatedAtom {BOX.format(30)}pbc="T T T"', symbols="H")
    bare = frame({}, "energy=-432.1", symbols="O")
    store = opened(tmp_path, told + frame({"forces": 1.0}, "energy=-460") * 3 + bare)
    assert store.isolated().tolist() == [True, False, False, False, True]
    assert store[0].forces.isnan().all()
    assert not bool(store[0].pbc.any()) if "pbc" in store.fields else True
    assert said(store, "isolated atoms (H, O)")
    crystal = frame({}, f'energy=-1 {BOX.format(2)}pbc="T T T"', symbols="H")
    with pytest.raises(DataError, match=r"frame 3.*forces is missing"):  # one atom of a crystal is not isolated
        opened(tmp_path, frame({"forces": 1.0}, "energy=-460") * 3 + crystal)


@pytest.mark.parametrize(
    ("side", "pbc", "alone"), [(15, "T T T", True), (40, "T T T", True), (14, "T T T", False), (40, "T T F", False)]
)
def test_atoms_in_wide_boxes_are_isolated(side: float, pbc: str, alone: bool, tmp_path: Path) -> None:
    single = frame({"forces": 0.0}, f'energy=-13.6 {BOX.format(side)}pbc="{pbc}"', symbols="H")
    water = frame({"forces": 1.0}, f'energy=-460 {BOX.format(40)}pbc="T T T"')
    store = opened(tmp_path, single + water * 3)
    assert store.isolated().tolist() == [alone, False, False, False]
    assert store.field("pbc").any(1).tolist() == [not alone, True, True, True]  # water stays as it is
    assert said(store, "isolated atoms (H)") == alone


@pytest.mark.parametrize(
    ("options", "stress", "note"),
    [
        ({"units": {"virial": "Hartree"}}, -27.211386 / 125, "virial in Hartree"),
        ({"units": {"energy": "Hartree"}}, -27.211386 / 125, "virial in Hartree"),
        ({"units": {"energy": "Hartree", "virial": "eV"}}, -1 / 125, "virial in eV"),
        ({"units": {"stress": "GPa"}}, -1 / 125, "unit of stress is not used"),
        ({"keys": {"stress": "virial"}}, -1 / 125, "stress = -virial / volume"),
    ],
)
def test_a_virial_is_a_virial(options: dict, stress: float, note: str, tmp_path: Path) -> None:
    """Whatever it is asked for as, and in its own unit."""
    text = frame({"forces": 1.0}, f'energy=-1 {BOX.format(5)}pbc="T T T" virial="1 0 0 0 1 0 0 0 1"')
    store = opened(tmp_path, text, **options)
    assert store[0].stress[0, 0, 0].item() == pytest.approx(stress, rel=1e-6)
    assert said(store, note)


def test_the_tensor_that_was_asked_for(tmp_path: Path) -> None:
    """Of a stress and a virial in one file; the other way round too."""
    both = 'virial="1 0 0 0 1 0 0 0 1" stress="7 0 0 0 7 0 0 0 7"'
    text = frame({"forces": 1.0}, f'energy=-1 {BOX.format(5)}pbc="T T T" {both}')
    for keys, expected in (
        ({}, 7),
        ({"virial": "virial"}, -1 / 125),
        ({"stress": "virial"}, -1 / 125),
        ({"virial": "stress"}, 7),
    ):
        assert opened(tmp_path, text, keys=keys)[0].stress[0, 0, 0].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["a.traj", "a.json", "a.extxyz"])
def test_a_stress_of_zeros(name: str, tmp_path: Path) -> None:
    """ASE's files may hold one that nobody calculated. Where it counts as a label, it does not blow up the loss."""
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.ones((4, 3)), stress=np.zeros(6))
    atoms.write(tmp_path / name)
    store = open_dataset(str(tmp_path / name), progress=False)
    assert ("stress" in store.fields) == (name == "a.extxyz")
    assert said(store, "stress", "not a label") == (name != "a.extxyz")
    told = open_dataset(str(tmp_path / name), keys={"stress": "stress"}, progress=False)
    task = ForceField(PaiNN(width=4, layers=1, species=(29,)), stress_weight=1.0)
    task.fit([told[0]])
    assert float(task.stress_scale) == 1.0


@pytest.mark.parametrize(
    ("label", "declared", "told"), [("energy", "eV", "Hartree"), ("pos", "nm", "A"), ("forces", "eV/A", "kcal/mol/A")]
)
def test_units_told_against_the_file_are_said(label: str, declared: str, told: str, tmp_path: Path) -> None:
    text = frame({"forces": 1.0}, f"energy=-1 {label}_unit={declared}")
    assert said(opened(tmp_path, text, units={label: told}), f"declares {label} in {declared}", f"read in {told}")
    assert not said(opened(tmp_path, text, units={label: declared.lower()}), "the file declares")


@pytest.mark.parametrize("name", ["cell", "Lattice", "pbc", "box"])
def test_arrays_of_crystals_are_refused(name: str, tmp_path: Path) -> None:
    """npz files are read as molecules; whoever reads one, for training or for use."""
    arrays = {"r": np.zeros((2, 2, 3)), "Nuclear_Charges": [8, 1], "e": [1.0, 2], "f": np.ones((2, 2, 3))}
    arrays["r"][:, 1] = 1
    np.savez(tmp_path / "a.npz", **arrays, **{name: np.eye(3) * 5 if name != "pbc" else np.array([True, False, False])})
    for read in (open_dataset, read_structures):
        with pytest.raises(DataError, match=rf"a\.npz: the file has a '{name.lower()}'"):
            read(str(tmp_path / "a.npz"), progress=False)
    np.savez(tmp_path / "b.npz", **arrays, cell=np.eye(3), pbc=np.zeros(3, dtype=bool))  # open, and says so
    assert open_dataset(str(tmp_path / "b.npz"), progress=False).field("energy").tolist() == [1, 2]
    assert len(read_structures(tmp_path / "b.npz", progress=False).atoms) == 2


def test_what_nobody_reads_is_said(tmp_path: Path) -> None:
    atoms = Atoms("OHH", WATER, magmoms=[1, 0, 0], charges=[-1, 0.5, 0.5])
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=WATER)
    write(tmp_path / "a.traj", [atoms])
    store = open_dataset(str(tmp_path / "a.traj"), progress=False)
    assert said(store, "not used", "constraints", "initial_magmoms", "initial_charges")
    cif = """data_x
_cell_length_a 5
_cell_length_b 5
_cell_length_c 5
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
Na1 Na 0 0 0 {}
Cl1 Cl 0.5 0.5 0.5 1.0
"""
    (tmp_path / "b.cif").write_text(cif.format("0.5"))
    with pytest.raises(DataError, match=r"frame 0.*occupied in part \(0.5\)"):
        open_dataset(str(tmp_path / "b.cif"), progress=False)
    (tmp_path / "b.cif").write_text(cif.format("1.0"))
    assert len(open_dataset(str(tmp_path / "b.cif"), progress=False)[0].z) == 2
    with pytest.raises(DataError, match="occupied in part"):
        opened(tmp_path, "1\nProperties=species:S:1:pos:R:3:occupancy:R:1\nNa 0 0 0 0.7\n")


def test_energies_in_comments(tmp_path: Path) -> None:
    for comment, key in {
        "-76.5 converged=true": "comment:1",
        "Coordinates from ORCA-job w E -76.5": "comment:E",
        " energy: -76.5 gnorm: 0.01 xtb: 6.6": "comment:energy:",
        "step 3 Etot=-7.65D+01 eV": "comment:Etot",
    }.items():
        text = "".join(f"1\n{comment}\nHe 0 0 {k}\n" for k in range(2))
        assert opened(tmp_path, text, keys={"energy": key}).field("energy").tolist() == [-76.5] * 2
    with pytest.raises(DataError, match=r"frame 1.*no number at 'comment:2'"):
        opened(tmp_path, "1\na 1.5\nHe 0 0 0\n1\na b\nHe 0 0 0\n", keys={"energy": "comment:2"})
    assert said(opened(tmp_path, "1\n-1.5 x\nHe 0 0 0\n"), "--key energy=comment:1")


def test_frames_of_different_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"frame 1.*unit of energy is Ha, and eV"):
        opened(tmp_path, frame({}, "energy=-1 energy_unit=eV") + frame({}, "energy=-1 energy_unit=Ha"))
