"""Predictions come back from the files that they were written to, through other people's readers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.io import read

from intertwine.data import open_dataset
from intertwine.geometry import Graph, six
from intertwine.integrations import to_atoms, write_predictions
from intertwine.numerics import InputError


def graph_of(atoms) -> Graph:
    return Graph(atoms.positions, z=atoms.numbers, cell=np.asarray(atoms.cell) if atoms.pbc.any() else None)


@pytest.fixture
def predicted(force_field):
    """A task, graphs (open and periodic) and what it says of them."""
    task = force_field()
    graphs = [graph_of(atoms) for atoms in (molecule("CH3CH2OH"), molecule("H2O"), bulk("C", "diamond", a=3.57))]
    predictions = [
        {name: (value if name == "forces" else value.squeeze(0)).numpy() for name, value in task(g).items()}
        for g in graphs
    ]
    return task, graphs, predictions


def test_extended_xyz_through_ase(predicted, tmp_path) -> None:
    task, graphs, predictions = predicted
    write_predictions(tmp_path / "p.xyz", graphs, predictions, task)
    frames = read(tmp_path / "p.xyz", index=":")
    assert len(frames) == 3
    for atoms, graph, prediction in zip(frames, graphs, predictions, strict=True):
        assert np.allclose(atoms.positions, graph.pos.numpy(), atol=1e-8)
        assert atoms.calc is None  # nothing was given, and a prediction is no calculation that was
        assert atoms.info["predicted_energy"] == pytest.approx(float(prediction["energy"]), rel=1e-12)
        assert atoms.info["predicted_energy_unit"] == "eV"
        assert np.allclose(atoms.arrays["predicted_forces"], prediction["forces"], atol=1e-8)
    assert frames[2].pbc.all()
    assert np.allclose(frames[2].info["predicted_stress"], six(predictions[2]["stress"]), atol=1e-10)
    store = open_dataset(str(tmp_path / "p.xyz"), progress=False, limit=2)  # and through ours, as labels
    assert np.allclose(store[1].forces.numpy(), predictions[1]["forces"], atol=1e-8)


def test_json_and_npz(predicted, tmp_path) -> None:
    task, graphs, predictions = predicted
    graphs, predictions = graphs[:2], predictions[:2]
    write_predictions(tmp_path / "p.json", graphs, predictions, task)
    content = json.loads((tmp_path / "p.json").read_text())
    assert content["units"]["energy"] == "eV"
    assert content["units"]["forces"] == "eV/A"
    assert np.array_equal(content["predictions"][0]["forces"], predictions[0]["forces"])
    write_predictions(tmp_path / "p.npz", graphs, predictions, task)
    with np.load(tmp_path / "p.npz") as arrays:
        assert arrays["atoms"].tolist() == [9, 3]
        assert np.array_equal(np.split(arrays["predicted_forces"], [9])[1], predictions[1]["forces"])
        assert np.array_equal(arrays["predicted_energy"], [p["energy"] for p in predictions])


def test_mixed_outputs_and_unknown_formats(predicted, tmp_path) -> None:
    """Stress is there for periodic frames only: every frame says what it has."""
    task, graphs, predictions = predicted
    write_predictions(tmp_path / "p.npz", graphs, predictions, task)
    with np.load(tmp_path / "p.npz") as arrays:
        assert arrays["predicted_stress"].shape == (3, 6)
        assert np.isnan(arrays["predicted_stress"][:2]).all()
        assert np.array_equal(arrays["predicted_stress"][2], six(predictions[2]["stress"]))
        assert arrays["predicted_energy"].shape == (3,)
    with pytest.raises(InputError, match="no format that can be written"):
        write_predictions(tmp_path / "p.banana", graphs, predictions, task)


def test_properties_that_ase_has_no_name_for() -> None:
    graph = graph_of(molecule("H2O"))
    atoms = to_atoms(
        graph, {"homo": np.array(-7.5), "dipole": np.array([0.0, 0.0, 1.8]), "charges": np.array([-0.6, 0.3, 0.3])}
    )
    assert atoms.info["predicted_homo"] == -7.5
    assert atoms.info["predicted_dipole"].tolist() == [0.0, 0.0, 1.8]
    assert atoms.arrays["predicted_charges"].tolist() == [-0.6, 0.3, 0.3]


def test_particles_that_are_no_atoms() -> None:
    with pytest.raises(InputError, match="no atomic numbers"):
        to_atoms(Graph(torch.zeros(2, 3), vel=torch.zeros(2, 3)))
