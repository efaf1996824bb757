"""Structures of proteins: the task, its data, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from intertwine import plots
from intertwine.certify import certify
from intertwine.data import DATASETS, GraphStore, residue_graph, structure
from intertwine.data.folds import fold, perturbed
from intertwine.geometry import Graph, act, collate, deviation
from intertwine.geometry.residues import LETTERS
from intertwine.groups import Isometry
from intertwine.models import MODELS, InvariantPointAttention
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.tasks import TASKS, Structure

LITTLE = {"width": 8, "heads": 2, "channels": 4, "values": 2, "layers": 2, "pair_width": 6, "angle_width": 8}


@pytest.fixture(scope="module")
def store() -> GraphStore:
    return structure(seed=3, train=6, validation=1, test=1)


def task(store: GraphStore, **options: object) -> Structure:
    torch.manual_seed(0)
    wanted = Structure.suggest(store, None, InvariantPointAttention, {})["model"]
    return Structure(InvariantPointAttention(**wanted | LITTLE | options)).double().eval()


def test_certified_for_proper_motions_only(store: GraphStore) -> None:
    """SE(3) holds and E(3) does not: a mirror image is another structure."""
    graphs = [store[k] for k in range(2)]
    certificate = certify(task(store), graphs, symmetry="SE(3)", quick=True, dtypes=(torch.float64,))
    assert certificate.passed, certificate.summary()
    assert not certify(task(store), graphs[:1], symmetry="E(3)", quick=True, dtypes=(torch.float64,)).passed


def test_the_loss_does_not_ask_where_a_structure_is(store: GraphStore, generator: torch.Generator) -> None:
    """Input and target moved by other motions: the same loss; the target's mirror image: another one."""
    learned, graph = task(store), store[1]
    plain = {name: float(value) for name, (value, _) in learned.losses(learned(graph), graph).items()}
    other = graph.clone()
    other.target_atoms = Isometry.random(3, generator=generator, shift=20.0)(graph.target_atoms)
    other = act(Isometry.random(3, generator=generator, shift=20.0), other)
    for name, (value, count) in learned.losses(learned(other), other).items():
        assert float(value) == pytest.approx(plain[name], rel=1e-6)
        assert count == 1
    other = graph.clone()
    other.target_atoms = -graph.target_atoms
    mirrored = learned.losses(learned(other), other)
    assert all(abs(float(value) - plain[name]) > 1e-3 for name, (value, _) in mirrored.items())


def test_a_batch_is_its_graphs(store: GraphStore) -> None:
    learned, graphs = task(store), [store[k] for k in range(4)]
    batch = collate(graphs)
    together, alone = learned(batch), [learned(graph) for graph in graphs]
    for name, value in together.items():
        expected = torch.cat([each[name] for each in alone])
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-11, msg=name)
    whole = learned.losses(together, batch)
    for name, (value, count) in whole.items():
        parts = [learned.losses(each, graph)[name][0] for each, graph in zip(alone, graphs, strict=True)]
        assert float(value) == pytest.approx(float(sum(parts)), rel=1e-9)
        assert count == 4
    residuals = learned.residuals(together, batch)
    assert residuals["rmsd"].shape == residuals["remaining"].shape == (4,)
    assert set(residuals) == set(learned.metrics)


def test_the_truth_as_a_prediction_has_no_error(store: GraphStore) -> None:
    """Also of residues whose names of atoms are exchanged in the target."""
    learned, graph = task(store), store[0]
    prediction = learned(graph)
    true = learned.truth(prediction, graph)
    assert true is not None
    prediction |= {
        "pos": true.atoms[:, 1], "frame": true.axes.transpose(1, 2), "atoms": true.atoms, "angles": true.angles,
        "path": true.atoms[:, 1:2].expand(-1, 3, -1),
        "axes": true.axes.transpose(1, 2).unsqueeze(1).expand(-1, 2, 3, 3),
        "pairs": true.angles.unsqueeze(1).expand(-1, 2, 7, 2),
    }  # fmt: skip
    again = learned.residuals(prediction, graph)
    assert again["rmsd"].max() < 1e-6
    assert again["heavy_atoms"].max() < 1e-6
    assert again["torsion"].abs().max() < 1e-6
    assert again["iterations"].max() < 1e-6
    assert again["fape"].max() < 1.1e-3  # the square root of epsilon, 0.01 A, by 10 A


def test_each_weight_is_learned(store: GraphStore) -> None:
    learned, graph = task(store).train(), collate([store[k] for k in range(3)])
    losses = learned.losses(learned(graph), graph)
    sum(value for value, _ in losses.values()).backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in learned.parameters())


def test_folds() -> None:
    """Helices and sheets by turns, of the same seed the same; perturbed as much as asked."""
    first, again, other = (structure(seed=seed, train=20, validation=0, test=0) for seed in (0, 0, 1))
    assert torch.equal(first.fields["pos"], again.fields["pos"])
    assert not torch.equal(first.fields["pos"][:5], other.fields["pos"][:5])
    errors = torch.cat([(first[k].pos - first[k].target_atoms[:, 1]).flatten() for k in range(20)])
    assert float(errors.std()) == pytest.approx(1.0, abs=0.1)
    generator = torch.Generator().manual_seed(0)
    of_helices, of_sheets = [], []
    for k in range(20):
        made = fold(k % 2 == 0, generator)
        kinds = [LETTERS[kind] for kind in made.residue.tolist()]
        oxygen, nitrogen = made.atoms[:, 3], made.atoms[:, 0]
        bonds = (torch.cdist(nitrogen, oxygen) - 2.95).abs() < 0.35
        bonds &= (made.number.unsqueeze(1) - made.number).abs() >= 4
        if k % 2 == 0:
            of_helices.append(int(bonds.sum()) / (len(kinds) - 4))
        else:
            of_sheets.append(int(bonds.sum()) / int((made.number.diff() > 1).sum()))
        assert "P" not in kinds[1:]
        still = perturbed(made, 0.0, 0.0, generator)
        assert deviation(still.pos, made.atoms[:, 1], torch.zeros(len(kinds), dtype=torch.int64), 1) < 1e-6
        torch.testing.assert_close(still.pos, made.atoms[:, 1])
    assert sum(of_helices) / len(of_helices) > 0.6  # of those from each N to the fourth O before it
    assert sum(of_sheets) / len(of_sheets) > 2  # hydrogen bonds between neighbouring strands


@pytest.mark.parametrize("options", [{"train": -1}, {"noise": -0.1}, {"train": 0, "validation": 0, "test": 0}])
def test_folds_that_are_refused(options: dict) -> None:
    with pytest.raises(InputError):
        structure(**options)


def chain(sequence: str, **options: object) -> Graph:
    generator = torch.Generator().manual_seed(0)
    ca = torch.cumsum(2 * torch.randn(len(sequence), 3, generator=generator, dtype=torch.float64), dim=0)
    n, c = ca + torch.randn(2, len(sequence), 3, generator=generator, dtype=torch.float64)
    return residue_graph(n, ca, c, sequence, **options)


@pytest.mark.parametrize("sequence", ["G", "W", "GA"])
def test_one_and_two_residues(sequence: str, store: GraphStore) -> None:
    learned, graph = task(store), chain(sequence)
    prediction = learned(graph)
    assert prediction["atoms"].shape == (len(sequence), 14, 3)
    assert all(torch.isfinite(value).all() for value in prediction.values())
    graph.target_atoms, graph.atom_mask = prediction["atoms"], torch.ones(len(sequence), 14, dtype=torch.int64)
    labelled = chain(sequence, target_atoms=prediction["atoms"])
    assert all(torch.isfinite(value) for value, _ in learned.losses(prediction, labelled).values())


def test_gaps_and_chains() -> None:
    """A jump in the numbers, another chain, or a C that is far from the next N: no bond, and pairs say which."""
    made = fold(True, torch.Generator().manual_seed(0))
    plain = perturbed(made, 0.5, 5.0, torch.Generator().manual_seed(0))
    assert plain.follows.tolist() == [0] + [1] * (len(made.residue) - 1)
    apart = made.atoms.clone()
    apart[4:] += 3.0
    cases = [
        ({"number": made.number + 10 * (made.number >= 4)}, made.atoms),
        ({"chain": (made.number >= 4).long()}, made.atoms),
        ({}, apart),
    ]
    for options, target in cases:
        graph = residue_graph(*made.atoms[:, :3].unbind(1), made.residue.tolist(), target_atoms=target, **options)
        assert graph.follows.tolist() == [0, 1, 1, 1, 0] + [1] * (len(made.residue) - 5)
    two = residue_graph(*made.atoms[:, :3].unbind(1), made.residue.tolist(), chain=(made.number >= 4).long())
    pair = two.pair.unflatten(0, (len(made.residue), -1)).argmax(-1)
    assert pair[2, 1] == 33
    assert pair[1, 2] == 31
    assert pair[1, 5] == 65


def test_a_side_chain_that_is_not_known(store: GraphStore) -> None:
    """Missing side-chain atoms are left out: the loss is finite, and does not depend on where they would be."""
    made, learned = fold(True, torch.Generator().manual_seed(1)), task(store)
    atoms = made.atoms.clone()
    atoms[3, 4:] = torch.nan
    atoms[5, 3] = torch.nan  # an oxygen: psi is not known
    graph = residue_graph(*made.atoms[:, :3].unbind(1), made.residue.tolist(), target_atoms=atoms)
    prediction = learned(graph)
    losses = learned.losses(prediction, graph)
    assert all(torch.isfinite(value) for value, _ in losses.values())
    graph.target_atoms = torch.where(graph.atom_mask.unsqueeze(-1) > 0, graph.target_atoms, 7.0)
    assert {k: v[0].item() for k, v in learned.losses(prediction, graph).items()} == {
        k: v[0].item() for k, v in losses.items()
    }
    true = learned.truth(prediction, graph)
    assert true is not None
    assert not true.has_angle[5, 2]
    assert not true.has_angle[3, 3:].any()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda a: a["atoms"].__setitem__((2, 0), torch.nan), DataError, "the atom N of residue 2 is missing"),
        (lambda a: a["atoms"].__setitem__((1, 2), torch.inf), DataError, "the atom C of residue 1 is missing"),
        (lambda a: a["atoms"].__setitem__((1, 2), a["atoms"][1, 1]), GeometryError, "CA and C of residue 1 coincide"),
        (lambda a: a["n"].__setitem__(3, torch.nan), GeometryError, "N of residue 3 is missing"),
        (lambda a: a["ca"].__setitem__(0, a["n"][0]), GeometryError, "N and CA of residue 0 coincide"),
        (lambda a: a.update(sequence="AAXAA"), InputError, "'X'"),
        (lambda a: a.update(sequence=[0, 1, 20, 0, 0]), DataError, "unknown residue 20"),
        (lambda a: a.update(sequence="AAA"), DataError, "rows for a sequence of 3"),
        (lambda a: a.update(number=[0, 1]), DataError, "number"),
        (lambda a: a.update(atoms=a["atoms"][:, :5]), DataError, "14"),
        (lambda a: a.update(n=[], ca=[], c=[], sequence=""), DataError, "no residues"),
    ],
)
def test_residues_that_are_refused(change, error: type[Exception], words: str) -> None:
    generator = torch.Generator().manual_seed(0)
    atoms = fold(True, generator).atoms[:5].clone()
    n, ca, c = (x.clone() for x in atoms[:, :3].unbind(1))
    given = {"n": n, "ca": ca, "c": c, "sequence": "AAAAA", "atoms": atoms}
    change(given)
    with pytest.raises(error, match=words):
        residue_graph(target_atoms=given.pop("atoms"), **given)


@pytest.mark.parametrize("value", [-1, 20, 99])
def test_types_of_a_graph_that_are_refused(value: int, store: GraphStore) -> None:
    graph = chain("AAA")
    graph.residue = torch.tensor([0, value, 0])
    with pytest.raises(DataError, match=f"unknown residue {value} of node 1"):
        task(store)(graph)
    del graph["residue"]
    with pytest.raises(GeometryError, match="residue"):
        task(store)(graph)


def test_models_that_do_not_refine(store: GraphStore) -> None:
    with pytest.raises(InputError, match="does not show its iterations"):
        Structure(MODELS["painn"](**MODELS["painn"].PRESETS["small"]))
    with pytest.raises(InputError, match="0 angles"):
        task(store, angles=0)
    with pytest.raises(InputError, match="loss"):
        Structure(task(store).backbone, loss="l1")


def test_it_describes_itself(store: GraphStore) -> None:
    assert TASKS["structure"] is Structure
    assert DATASETS["structure"].task == "structure"
    assert Structure.suits(store, None)
    assert not Structure.suits(store, "energy")
    with pytest.raises(InputError, match="no target_atoms"):
        Structure.suggest(GraphStore.from_graphs([chain("AA")]), None, InvariantPointAttention, {})
    learned = task(store)
    learned.fit([store[0]])
    with pytest.raises(DataError, match="no 'target_atoms'"):
        learned.fit([chain("AAA")])
    with pytest.raises(DataError, match="empty"):
        learned.fit([])
    assert "RMSD of the given" in learned.line("remaining", {"mae": 31.0, "unit": "%"})


def test_picture_of_the_iterations(store: GraphStore, tmp_path: Path) -> None:
    learned, graphs = task(store), [store[k] for k in range(2)]
    predictions = [{name: value.numpy() for name, value in learned(graph).items()} for graph in graphs]
    pictures = learned.pictures(graphs, predictions)
    pictures["iterations.png"](path=tmp_path / "iterations.png")
    with Image.open(tmp_path / "iterations.png") as picture:
        assert np.asarray(picture).std() > 1
    with pytest.raises(InputError, match="structure 0"):
        plots.iterations([np.zeros((3, 2, 3))], [np.zeros((4, 3))], tmp_path / "x.png")
    with pytest.raises(InputError, match="no structures"):
        plots.iterations([], [], tmp_path / "x.png")
