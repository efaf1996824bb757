"""Files of chemiscope: what its page on the format asks for, predictions as they are, errors as they follow from
labels, and the same document as chemiscope's own package makes.
"""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import bulk

from intertwine.geometry import Graph
from intertwine.integrations.chemiscope import write_chemiscope
from intertwine.models import MODELS, SchNet
from intertwine.numerics import InputError
from intertwine.tasks import Classification, ForceField, Property

WATER = Graph([[0.0, 0.0, 0.1], [0.8, 0.6, 0.0], [-0.7, 0.6, 0.0]], z=[8, 1, 1])
HYDROGEN = Graph([[0.0, 0.0, 0.0], [0.0, 0.0, 0.8]], z=[1, 1])


def labelled(graph: Graph, energy: float, forces: float) -> Graph:
    graph = graph.clone()
    graph.energy = torch.tensor([energy], dtype=torch.float64)
    graph.forces = torch.full((graph.num_nodes, 3), forces, dtype=torch.float64)
    return graph


def read(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)


def assert_valid(document: dict[str, Any]) -> None:
    """What chemiscope's page on its format says, and its program asks."""
    assert {"meta", "structures", "properties"} <= set(document)
    assert isinstance(document["meta"]["name"], str)
    atoms = 0
    for structure in document["structures"]:
        size = structure["size"]
        assert all(len(structure[name]) == size for name in ("names", "x", "y", "z"))
        assert len(structure.get("cell", range(9))) == 9
        atoms += size
    sizes = {"structure": len(document["structures"]), "atom": atoms}
    for property in document["properties"].values():
        assert len(property["values"]) == sizes[property["target"]]
        kinds = {str if isinstance(value, str) else float for value in property["values"]}
        assert len(kinds) == 1
        assert all(isinstance(value, str | int | float) for value in property["values"])
        assert isinstance(property.get("units", ""), str)
    for target in sizes:  # a map needs two axes
        assert sum(property["target"] == target for property in document["properties"].values()) >= 2
    for environment in document["environments"]:
        assert 0 <= environment["center"] < document["structures"][environment["structure"]]["size"]
        assert environment["cutoff"] > 0
    assert len(document["environments"]) == atoms
    for shape in document.get("shapes", {}).values():
        assert len(shape["parameters"]["atom"]) == atoms
        assert all(len(atom["vector"]) == 3 for atom in shape["parameters"]["atom"])
    axes = document["settings"]["map"]
    assert {axis["property"] for axis in axes.values()} <= set(document["properties"])


@pytest.fixture
def ours(force_field) -> tuple[ForceField, list[Graph], list[dict[str, np.ndarray]]]:
    task = force_field("painn", scale=0.5)
    graphs = [labelled(WATER, -14.0, 0.1), HYDROGEN, labelled(HYDROGEN, -27.0, -0.2)]
    predictions = []
    for graph in graphs:
        made = task(Graph(graph.pos, z=graph.z))
        predictions.append({"energy": made["energy"].numpy().reshape(()), "forces": made["forces"].numpy()})
    return task, graphs, predictions


@pytest.mark.parametrize("name", ["out.json.gz", "out.json"])
def test_predictions_and_errors_of_a_force_field(ours, name: str, tmp_path: Path) -> None:
    task, graphs, predictions = ours
    notes = write_chemiscope(tmp_path / name, graphs, predictions, task, name="three", frames=[4, 5, 9])
    document = read(tmp_path / name)
    assert not notes
    assert_valid(document)
    assert document["meta"]["name"] == "three"
    properties = document["properties"]
    assert properties["frame"]["values"] == [4, 5, 9]
    assert properties["predicted energy"]["values"] == pytest.approx([float(p["energy"]) for p in predictions])
    assert properties["predicted energy"]["units"] == "eV"
    per_atom = [float(p["energy"]) / n for p, n in zip(predictions, (3, 2, 2), strict=True)]
    assert properties["predicted energy per atom"]["values"] == pytest.approx(per_atom)
    forces = np.concatenate([p["forces"] for p in predictions])
    assert properties["predicted forces[2]"]["values"] == pytest.approx(forces[:, 1])
    assert properties["length of predicted forces"]["values"] == pytest.approx(np.linalg.norm(forces, axis=1))
    assert properties["length of predicted forces"]["target"] == "atom"
    error = properties["error of energy"]
    assert error["units"] == "eV/atom"
    assert error["values"][0] == pytest.approx(abs(float(predictions[0]["energy"]) + 14) / 3)
    assert math.isnan(error["values"][1])
    assert properties["error of forces"]["values"][2] == pytest.approx(np.abs(predictions[2]["forces"] + 0.2).mean())
    of_atoms = properties["error of forces (atom)"]["values"]
    assert of_atoms[:3] == pytest.approx(np.linalg.norm(predictions[0]["forces"] - 0.1, axis=1))
    assert all(math.isnan(value) for value in of_atoms[3:5])
    ((words, shape),) = document["shapes"].items()
    arrows = np.array([atom["vector"] for atom in shape["parameters"]["atom"]])
    scale = float(words.split("1 A for ")[1].split()[0])
    np.testing.assert_allclose(arrows * scale, forces, rtol=1e-2, atol=1e-4 * scale)
    assert np.linalg.norm(arrows, axis=1).max() == pytest.approx(1.5, abs=1e-3)


def test_structures_of_ase_have_a_cell_and_no_errors(force_field, tmp_path: Path) -> None:
    task, copper = force_field("painn"), bulk("Cu", cubic=True)
    made = [{"energy": np.array(1.5), "forces": np.zeros((4, 3)), "stress": np.arange(6.0)}, {"energy": np.array(2.5)}]
    write_chemiscope(tmp_path / "a.json", [copper, bulk("Cu")], made, task)
    document = read(tmp_path / "a.json")
    assert_valid(document)
    assert document["structures"][0]["cell"] == copper.cell.array.ravel().tolist()
    assert document["properties"]["predicted stress[6]"]["values"][0] == 5.0
    assert math.isnan(document["properties"]["predicted stress[6]"]["values"][1])
    assert not [name for name in document["properties"] if name.startswith("error")]
    assert "shapes" not in document  # a vector is missing


def test_charges_classes_and_what_has_no_place(tmp_path: Path) -> None:
    charges = Property(SchNet(width=4, layers=1), "charge", level="node")
    made = [{"charge": np.array([-0.8, 0.4, 0.4])}]
    write_chemiscope(tmp_path / "a.json", [WATER], made, charges)
    document = read(tmp_path / "a.json")
    assert_valid(document)
    assert document["properties"]["predicted charge"] == {"target": "atom", "values": [-0.8, 0.4, 0.4]}
    classes = Classification(SchNet(width=4, layers=1), classes=["dry", "wet"])
    made = [{"logits": np.array([0.0, 1.0]), "class": np.array("wet"), "probability": np.full(12, 0.5)}]
    (note,) = write_chemiscope(tmp_path / "b.json", [WATER], made, classes)
    document = read(tmp_path / "b.json")
    assert_valid(document)
    assert document["properties"]["predicted class"]["values"] == ["wet"]
    assert "no place for probability" in note


def test_bad_input(force_field, tmp_path: Path) -> None:
    task, made = force_field("painn"), [{"energy": np.array(0.0)}]
    with pytest.raises(InputError, match="no name of a chemiscope file"):
        write_chemiscope(tmp_path / "a.xyz", [WATER], made, task)
    with pytest.raises(InputError, match="no structures"):
        write_chemiscope(tmp_path / "a.json", [], [], task)
    with pytest.raises(InputError, match="no atoms"):
        write_chemiscope(tmp_path / "a.json", [Graph([[0.0, 0.0], [1.0, 0.0]])], made, task)
    assert not list(tmp_path.iterdir())
    assert "painn" in MODELS


def test_as_chemiscopes_own_package_makes_it(ours, tmp_path: Path) -> None:
    """From the same structures and numbers the package makes the same document."""
    chemiscope = pytest.importorskip("chemiscope")
    task, graphs, predictions = ours
    write_chemiscope(tmp_path / "a.json.gz", graphs, predictions, task)
    document = read(tmp_path / "a.json.gz")
    theirs = chemiscope.create_input(
        structures=[graph.to_ase() for graph in graphs],
        metadata=document["meta"],
        properties={name: dict(each) for name, each in document["properties"].items()},
        environments=[(e["structure"], e["center"], e["cutoff"]) for e in document["environments"]],
        shapes=document["shapes"],
        settings=document["settings"],
    )
    theirs = json.loads(json.dumps(theirs))
    for name in ("meta", "environments", "shapes", "settings"):
        assert document[name] == theirs[name], name
    for here, there in zip(document["structures"], theirs["structures"], strict=True):
        assert {**there, **here} == there | {key: here[key] for key in ("size", "names", "x", "y", "z")}
        assert there["names"] == here["names"]
        assert there["x"] == pytest.approx(here["x"])
    assert set(document["properties"]) == set(theirs["properties"])
    for name, each in document["properties"].items():
        if isinstance(each["values"][0], str):
            assert theirs["properties"][name] == each
        else:
            np.testing.assert_allclose(theirs["properties"][name]["values"], each["values"])
