"""What predict writes is read back by ASE: each number where it belongs, beside everything that was given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import read

from intertwine.data import open_dataset, read_structures
from intertwine.data.marks import columns_of
from intertwine.groups import Cartesian
from intertwine.integrations import start_of, to_atoms, write_predictions, write_structures
from intertwine.models import PaiNN
from intertwine.numerics import DataError, InputError
from intertwine.tasks import Property
from intertwine.tasks.task import Output

COMPLETE = ["a.xyz", "a.extxyz.gz", "a.traj", "a.db", "a.json"]


def given(kind: str) -> Atoms:
    """A structure with everything that a file can say of it: open, periodic and a slab."""
    atoms = {
        "water": lambda: molecule("H2O"),
        "diamond": lambda: bulk("C", "diamond", a=3.57),
        "slab": lambda: fcc111("Cu", (1, 1, 3), vacuum=5.0),
        "atom": lambda: molecule("O"),
    }[kind]()
    if kind == "water":
        atoms.set_cell([7.0, 8.0, 9.0])  # an open one has a box too
    n, rng = len(atoms), np.random.default_rng(len(atoms))
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5, forces=rng.normal(size=(n, 3)), dipole=np.arange(3.0))
    atoms.info |= {"id": "007", "name": kind, "count": 12, "vector": np.array([0.5, 1.5, 2.5]), "flag": True}
    atoms.info |= {"matrix": np.arange(9.0).reshape(3, 3), "REF_energy": -7.25, "nested": {"a": [1, 2]}}
    atoms.arrays["REF_forces"], atoms.arrays["kind"] = rng.normal(size=(n, 3)), np.array([f"k{k}" for k in range(n)])
    atoms.set_tags(range(n))
    atoms.set_masses(np.arange(1.0, n + 1))
    atoms.set_initial_charges(np.linspace(-1, 1, n))
    atoms.set_constraint(FixAtoms([0]))
    return atoms


def back(path: Path) -> list[Atoms]:
    """The structures through ASE's own readers, with the entries of a row where ASE keeps them apart."""
    if not path.name.endswith((".db", ".json")):
        return read(path, ":")
    frames = []
    for row in ase.db.connect(path).select():
        atoms = row.toatoms()
        atoms.info = row.key_value_pairs | dict(row.data)
        frames.append(atoms)
    return frames


def entry(atoms: Atoms, name: str) -> np.ndarray:
    return np.asarray(atoms.arrays.get(name, atoms.info.get(name)))


@pytest.mark.parametrize("name", COMPLETE)
def test_ase_reads_predictions_beside_what_was_given(
    name: str, force_field: Callable[..., Any], tmp_path: Path
) -> None:
    task, frames = force_field(), [given(kind) for kind in ("water", "diamond", "slab", "atom")]
    rng = np.random.default_rng(0)
    predictions = [
        {"energy": np.array(-100.0 - k), "forces": rng.normal(size=(len(a), 3))} for k, a in enumerate(frames)
    ]
    for k in (1, 2):
        predictions[k]["stress"] = np.arange(9.0).reshape(3, 3) + np.arange(9.0).reshape(3, 3).T
    assert write_predictions(tmp_path / name, frames, predictions, task) == []
    for reader in (back, lambda path: read_structures(path, progress=False).atoms):
        for atoms, before, prediction in zip(reader(tmp_path / name), frames, predictions, strict=True):
            assert np.allclose(atoms.positions, before.positions, atol=1e-8)
            assert np.allclose(atoms.cell, before.cell)
            assert np.array_equal(atoms.pbc, before.pbc)
            assert atoms.get_potential_energy() == -1.5  # the reference, not the prediction
            assert np.allclose(atoms.get_forces(apply_constraint=False), before.calc.results["forces"], atol=1e-8)
            assert atoms.get_dipole_moment().tolist() == [0, 1, 2]
            assert atoms.constraints[0].get_indices().tolist() == [0]
            assert atoms.get_tags().tolist() == before.get_tags().tolist()
            assert atoms.get_masses().tolist() == before.get_masses().tolist()
            assert np.allclose(atoms.get_initial_charges(), before.get_initial_charges())
            for key in ("id", "name", "count", "flag", "REF_energy", "nested"):
                assert atoms.info[key] == before.info[key], key
                assert isinstance(atoms.info[key], str) == isinstance(before.info[key], str), key
            for key in ("vector", "matrix", "REF_forces", "kind"):
                expected = before.info.get(key, before.arrays.get(key))
                found = entry(atoms, key)
                same = np.array_equal if key == "kind" else np.allclose
                assert found.shape == expected.shape, key
                assert same(found, expected), key
            assert atoms.info["predicted_energy"] == prediction["energy"]
            assert atoms.info["predicted_energy_unit"] == "eV"
            assert np.allclose(entry(atoms, "predicted_forces"), prediction["forces"], atol=1e-8)
            assert ("predicted_stress" in atoms.info) == ("stress" in prediction)
            assert "stress" not in prediction or np.allclose(entry(atoms, "predicted_stress"), [0, 8, 16, 12, 8, 4])


SHAPES = {
    "vector of three atoms": ("H2O", "graph", (3,)),
    "tensor of three atoms": ("H2O", "graph", (3, 3)),
    "nine numbers of nine atoms": ("CH3CH2OH", "graph", (9,)),
    "tensor of nine atoms": ("CH3CH2OH", "graph", (3, 3)),
    "third rank of three atoms": ("H2O", "graph", (3, 3, 3)),
    "as many numbers as atoms": ("CH4", "graph", (5,)),
    "scalar of one atom": ("O", "graph", ()),
    "vector of one atom": ("O", "graph", (3,)),
    "scalars of three atoms": ("H2O", "node", (3,)),
    "vectors of three atoms": ("H2O", "node", (3, 3)),
    "tensors of three atoms": ("H2O", "node", (3, 3, 3)),
    "tensors of nine atoms": ("CH3CH2OH", "node", (9, 3, 3)),
    "vector of a node": ("O", "node", (1, 3)),
    "scalar of a node": ("O", "node", (1,)),
}


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("case", SHAPES)
def test_a_vector_is_never_a_column(name: str, case: str, tmp_path: Path) -> None:
    """Each is where the task says that it belongs, whatever its shape, in extended xyz also by name: Properties."""
    formula, level, shape = SHAPES[case]
    atoms, task = molecule(formula), Property(PaiNN(width=4, layers=1), target="mu")
    task.outputs = {"mu": Output(Cartesian(0), level, "e*A")}
    value = np.random.default_rng(1).normal(size=shape)
    write_predictions(tmp_path / name, [atoms, atoms], [{"mu": value}, {"mu": value + 1}], task)
    for number, found in enumerate(back(tmp_path / name)):
        got = entry(found, "predicted_mu")
        assert np.allclose(got.reshape(shape), value + number, atol=1e-8)
        assert got.shape == shape or (level == "node" and name.startswith(("a.xyz", "a.extxyz")))
        if name.endswith(".xyz"):
            assert ("predicted_mu" in found.arrays) == (level == "node")
            assert ("predicted_mu:R" in (tmp_path / name).read_text().splitlines()[1]) == (level == "node")
    for found in read_structures(tmp_path / name, progress=False).atoms:  # ours knows it in formats without columns
        assert ("predicted_mu" in found.arrays) == (level == "node")
        assert found.info["predicted_mu_unit"] == "e*A"


@pytest.mark.parametrize(
    ("name", "word"),
    [("a.cif", "cif"), ("a.vasp", "vasp"), ("a.pdb", "proteindatabank"), ("POSCAR", "vasp"), ("a.png", "png")],
)
def test_formats_without_places_are_refused_by_name(
    name: str, word: str, force_field: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"{word} holds structures and no predictions"):
        write_predictions(tmp_path / name, [bulk("C")], [{"energy": np.array(1.0)}], force_field())
    assert not list(tmp_path.iterdir())


def test_arrays_say_what_they_do_not_hold(force_field: Callable[..., Any], tmp_path: Path) -> None:
    frames = [given(kind) for kind in ("water", "diamond", "slab")]
    predictions = [{"energy": np.array(1.0 * k), "forces": np.ones((len(a), 3))} for k, a in enumerate(frames)]
    (note,) = write_predictions(tmp_path / "a.npz", frames, predictions, force_field())
    assert all(word in note for word in ("REF_energy", "id", "energy", "tags"))
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["numbers"].tolist() == [z for atoms in frames for z in atoms.numbers]
        assert np.allclose(np.split(arrays["positions"], np.cumsum(arrays["atoms"]))[1], frames[1].positions)
        assert np.allclose(arrays["cell"][2], frames[2].cell)
        assert arrays["pbc"].tolist() == [[False] * 3, [True] * 3, [True, True, False]]
        assert arrays["predicted_energy"].tolist() == [0, 1, 2]
        assert str(arrays["predicted_forces_unit"]) == "eV/A"
    with pytest.raises(DataError, match=r"holds predictions .*predicted_energy.* and no labels"):
        open_dataset(tmp_path / "a.npz", progress=False)
    assert write_predictions(tmp_path / "a.json", frames, predictions, force_field()) == []
    document = json.loads((tmp_path / "a.json").read_text())  # and without ASE
    assert document["units"]["forces"] == "eV/A"
    assert [p["energy"] for p in document["predictions"]] == [0, 1, 2]


@pytest.mark.parametrize("name", COMPLETE)
def test_references_are_read_before_predictions(name: str, force_field: Callable[..., Any], tmp_path: Path) -> None:
    """Also where only some structures have references; predictions are labels if asked for, or if there is no other."""
    task, frames = force_field(), [molecule("H2O") for _ in range(4)]
    predictions = [{"energy": np.array(5.0), "forces": np.ones((3, 3))} for _ in frames]
    write_predictions(tmp_path / name, frames, predictions, task)
    alone = open_dataset(str(tmp_path / name), progress=False)
    assert alone.field("energy").tolist() == [5.0] * 4
    assert "the labels are predictions of a model: the file has no others" in alone.notes
    for number, atoms in enumerate(frames):
        atoms.calc = SinglePointCalculator(atoms, energy=float(number))  # no forces: those of another surface don't fit
    write_predictions(tmp_path / name, frames, predictions, task)
    store = open_dataset(str(tmp_path / name), progress=False)
    assert store.field("energy").tolist() == [0, 1, 2, 3]
    assert "forces" not in store.fields
    assert any("predicted_energy" in note and "not used" in note for note in store.notes)
    keys = {"energy": "predicted_energy", "forces": "predicted_forces"}
    told = open_dataset(str(tmp_path / name), progress=False, keys=keys)
    assert told.field("energy").tolist() == [5.0] * 4
    frames[3].calc = None
    write_predictions(tmp_path / name, frames, predictions, task)
    with pytest.raises(DataError, match="energy is missing"):
        open_dataset(str(tmp_path / name), progress=False)


def test_names_that_are_taken_are_refused(force_field: Callable[..., Any], tmp_path: Path) -> None:
    task, atoms = force_field(), molecule("H2O")
    prediction = {"energy": np.array(1.0), "forces": np.ones((3, 3))}
    first = to_atoms(atoms, prediction)
    with pytest.raises(InputError, match=r"structure 1: has predicted_energy, predicted_forces already") as error:
        write_predictions(tmp_path / "a.xyz", [atoms, first], [prediction, prediction], task)
    assert "--tag" in error.value.remedy
    assert not list(tmp_path.iterdir())
    write_predictions(tmp_path / "a.xyz", [atoms, first], [prediction, prediction], task, prefix="predicted_b")
    assert read(tmp_path / "a.xyz", 1).info.keys() >= {"predicted_energy", "predicted_b_energy"}


@pytest.mark.parametrize("atoms", [molecule("H2O"), molecule("O"), molecule("CH3CH2OH")], ids=str)
def test_shapes_that_say_nothing_are_refused(atoms: Atoms) -> None:
    """Where no task tells what an array belongs to, chance does not."""
    with pytest.raises(InputError, match="a row for each, or of the structure"):
        to_atoms(atoms, {"mu": np.ones(len(atoms))})
    assert to_atoms(atoms, {"mu": np.ones(len(atoms))}, {"mu": "node"}).arrays["predicted_mu"].shape == (len(atoms),)
    assert "predicted_mu" in to_atoms(atoms, {"mu": np.ones(len(atoms))}, {"mu": "graph"}).info
    assert "predicted_mu" in to_atoms(molecule("CH4"), {"mu": np.ones(5)}).arrays


@pytest.mark.parametrize("suffix", ["xyz", "traj", "db"])
@pytest.mark.parametrize("own", ["charges", "magmoms", "forces", "energy", "both"])
def test_labels_of_the_start_replace_nothing_of_the_structure(own: str, suffix: str, tmp_path: Path) -> None:
    """Charges and moments that ASE has of the start are another thing than those that were calculated."""
    atoms, rng = molecule("H2O"), np.random.default_rng(0)
    given: dict[str, np.ndarray] = {}
    names = ("charges", "magmoms", "forces") if own == "both" else (own,)
    for name in set(names) - {"energy"}:
        given[f"initial_{name}"] = rng.normal(size=(3, 3) if name == "forces" else 3)
        atoms.set_array(f"initial_{name}", given[f"initial_{name}"])
    if own in ("energy", "both"):
        atoms.info |= {"initial_energy": 7.0, "initial_calculated_energy": 8.0}
    calculated = {"charges": rng.normal(size=3), "magmoms": rng.normal(size=3), "forces": rng.normal(size=(3, 3))}
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5, **calculated)
    labels = start_of(atoms, "run a")
    assert labels.keys() == {"energy", "forces", "charges", "magmoms"}
    atoms.calc = SinglePointCalculator(atoms, energy=-2.0, forces=np.ones((3, 3)))
    path = tmp_path / f"a.{suffix}"
    assert write_structures(path, [to_atoms(atoms)]) == []
    again = read_structures(path, progress=False).atoms[0]
    columns = again.arrays | columns_of(again.info, 3)
    for name, array in given.items():
        assert np.allclose(columns[name], array, atol=1e-8), name
    for name, array in calculated.items():
        assert np.allclose(columns[labels[name]], array, atol=1e-8), name
    assert again.has("initial_charges") == ("initial_charges" in given)  # none is made up
    assert again.info[labels["energy"]] == -1.5
    if own in ("energy", "both"):
        assert again.info["initial_energy"] == 7.0
        assert again.info["initial_calculated_energy"] == 8.0
        assert labels["energy"] == "initial_calculated_energy_2"


def test_labels_of_the_start_are_no_labels_of_the_end(tmp_path: Path) -> None:
    """In extended xyz and a database, whatever the label is called and wherever it stands."""
    for kind in ("water", "diamond", "slab"):
        atoms = given(kind)
        atoms.info |= {"energy_unit": "eV", "predicted_energy": 3.0}
        labels = start_of(atoms, "run a")
        assert set(labels) == {"energy", "forces", "dipole", "REF_energy", "REF_forces", "predicted_energy"}
        assert atoms.calc is None
        assert atoms.info["initial_energy"] == -1.5
        assert atoms.info["initial_energy_unit"] == "eV"
        assert atoms.arrays["initial_forces"].shape == (len(atoms), 3)
        assert atoms.info["initial_REF_energy"] == -7.25
        assert atoms.info["calculated_by"] == "intertwine, run a"
        atoms.calc = SinglePointCalculator(atoms, energy=-2.0, forces=np.ones((len(atoms), 3)))
        for name in ("a.xyz", "a.db", "a.traj"):
            assert write_structures(tmp_path / name, [to_atoms(atoms)]) == []
            store = open_dataset(str(tmp_path / name), progress=False)
            assert store.field("energy").tolist() == [-2.0]
            assert any("energy, forces are predictions of a model" in note for note in store.notes)


FORMS = {  # the label in the file, and the prediction, of a molecule of three atoms
    "nine numbers": (np.arange(9.0), np.arange(9.0).reshape(3, 3) + 0.5),
    "a list of nine": (list(range(9)), np.arange(9.0).reshape(3, 3) + 0.5),
    "a matrix": (np.arange(9.0).reshape(3, 3), np.arange(9.0) + 0.5),
    "a row": (np.arange(3.0)[None], np.arange(3.0) + 0.5),
    "Voigt": (np.arange(6.0), np.array([[0.0, 5, 4], [5, 1, 3], [4, 3, 2]]) + 0.5),
}


@pytest.mark.parametrize("name", ["a.xyz", "a.traj", "a.db"])
@pytest.mark.parametrize("form", FORMS)
def test_predictions_have_the_form_of_the_label(form: str, name: str, tmp_path: Path) -> None:
    """Under the name of the file or that of the target: they can be subtracted, and scored."""
    label, prediction = FORMS[form]
    task = Property(PaiNN(width=4, layers=1), target="mu")
    task.outputs = {"mu": Output(Cartesian(0), "graph", "")}
    for keys, called in ((None, "mu"), ({"mu": "theirs"}, "theirs")):
        atoms = molecule("H2O")
        atoms.info[called] = label
        write_predictions(tmp_path / name, [atoms], [{"mu": prediction}], task, keys=keys)
        (found,) = back(tmp_path / name)
        difference = np.asarray(found.info["predicted_mu"]) - np.asarray(found.info[called])
        assert difference.shape == np.shape(label)
        assert difference == pytest.approx(0.5)


def test_forms_that_do_not_fit_stay(tmp_path: Path) -> None:
    """Other counts, and what belongs to the atoms where the label does not."""
    atoms, task = molecule("H2O"), Property(PaiNN(width=4, layers=1), target="mu")
    for level, label, value in (("graph", np.ones(4), np.ones((3, 3))), ("node", np.ones(9), np.ones((3, 3)))):
        task.outputs = {"mu": Output(Cartesian(0), level, "")}
        atoms.info["mu"] = label
        write_predictions(tmp_path / "a.db", [atoms], [{"mu": value}], task)
        assert entry(back(tmp_path / "a.db")[0], "predicted_mu").shape == (3, 3)
