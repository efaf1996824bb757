"""Classes of graphs and of nodes: the loss by hand, what a user is told, and what can't be learned."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from intertwine import Graph
from intertwine.certify import certify
from intertwine.data import GraphStore
from intertwine.geometry import collate
from intertwine.models import EGNN, PaiNN
from intertwine.models.pointnet import PointNet
from intertwine.nn import invariant_columns
from intertwine.numerics import DataError, InputError
from intertwine.tasks import TASKS, Classification
from intertwine.tasks.verdict import baseline_line, beaten
from intertwine.training.scoring import score


def clouds(labels: list[int], nodes: int = 6, dimension: int = 3, of_nodes: bool = False) -> list[Graph]:
    generator = torch.Generator().manual_seed(1)
    graphs = []
    for y in labels:
        pos = (1 + y) * torch.randn(nodes, dimension, generator=generator, dtype=torch.float64)
        graphs.append(Graph(pos, **({"node_label": (pos[:, 0] > 0).long()} if of_nodes else {"label": [y]})))
    return graphs


def task(classes: int | list[str] = 3, **options) -> Classification:
    torch.manual_seed(0)
    return Classification(EGNN(width=8, layers=1, cutoff=None, species=()), classes, **options).double()


def test_the_loss_is_the_definition_with_smoothing_and_weights() -> None:
    graphs, weights, smoothing = clouds([0, 2, 1, 2]), [1.0, 3.0, 0.5], 0.2
    learner = task(smoothing=smoothing, class_weights=weights).train()
    batch = collate(graphs)
    logits = learner(batch)["logits"].detach().numpy()
    total, norm = 0.0, 0.0
    for row, y in zip(logits, [0, 2, 1, 2]):
        log_p = row - np.log(np.exp(row).sum())
        # torch weighs the smoothed part by the weight of each class
        smooth = -sum(w * lp for w, lp in zip(weights, log_p)) / 3
        total += (1 - smoothing) * weights[y] * -log_p[y] + smoothing * smooth
        norm += weights[y]
    loss, count = learner.losses(learner(batch), batch)["cross_entropy"]
    assert float(loss) == pytest.approx(total, rel=1e-12)
    assert count == pytest.approx(norm)


def test_balanced_weights_make_classes_count_alike() -> None:
    learner = task(2, class_weights="balanced")
    learner.gather(clouds([0, 0, 0, 1]))
    assert learner.balance.tolist() == pytest.approx([4 / 6, 2.0])
    assert learner.counts.tolist() == [3, 1]


@pytest.mark.parametrize("readout", ["mean", "max", "sum"])
def test_pooling_is_over_the_nodes_of_each_graph(readout: str) -> None:
    learner = task(readout=readout).eval()
    graphs = clouds([0, 1, 2])
    for graph, logits in zip(graphs, learner(collate(graphs))["logits"]):
        f = learner.backbone(graph)[:, :8]
        pooled = f.amax(0) if readout == "max" else getattr(f, readout)(0)
        torch.testing.assert_close(learner.head(pooled), logits, rtol=1e-10, atol=1e-10)


def test_the_baseline_is_the_most_frequent_class() -> None:
    graphs = clouds([0, 1, 1, 1, 2])
    learner = task(["a", "b", "c"])
    learner.gather(graphs)
    blind = learner.baselines["logits"]
    assert blind.name == "always 'b'"
    torch.testing.assert_close(
        blind.predict(graphs[0], torch.zeros(1, 3)).exp(), torch.tensor([[2, 4, 2]]) / 8.0, check_dtype=False
    )
    scores = score(learner, [collate(graphs)], baselines=True)
    assert scores["error_baseline_mae"] == pytest.approx(40.0)
    assert scores["cross_entropy_baseline_mae"] == pytest.approx(-(3 * math.log(0.5) + 2 * math.log(0.25)) / 5)
    assert scores["loss"] == pytest.approx(scores["cross_entropy_mae"])


def test_errors_are_told_in_the_words_of_classes() -> None:
    learner = task()
    own, blind = learner.errors("error", 60.0, 7.0, None), learner.errors("error", 40.0, 6.0, None)
    from intertwine.tasks.verdict import compared_with

    e = own | compared_with("always 'b'", own, 40.0, 6.0, blind)
    assert (e["error"], e["accuracy"], e["unit"]) == (60.0, 40.0, "%")
    assert e["ratio"] == {"error": 1.5}
    assert baseline_line(e) == "always 'b': error 40 %"
    assert "error 40 against 60 %" in beaten({"error": e})[0]
    assert learner.line("error", e) == "60 % wrong, accuracy 40 % (150 % of the baseline's)"


def test_a_user_is_told_names_and_probabilities() -> None:
    learner = task(["left", "right"])
    told = learner.answer({"logits": np.array([1.0, 3.0])})
    assert told["class"] == "right"
    assert told["probability"] == pytest.approx([1 / (1 + math.e**2), 1 / (1 + math.e**-2)])
    told = learner.answer({"logits": np.array([[2.0, 0.0], [0.0, 1e4]])})
    assert told["class"].tolist() == ["left", "right"]
    assert np.isfinite(told["probability"]).all()


def test_logits_are_certified_as_invariants() -> None:
    graphs = clouds([0, 1])
    good = certify(task().double(), graphs, symmetry="E(3)", quick=True)
    assert good.passed, good.summary()
    torch.manual_seed(0)
    turned = Classification(PointNet(8, 16, 8, species=()), 3)
    claim = certify(turned, graphs, symmetry="E(3)", quick=True, dtypes=[torch.float64])
    assert {line.symmetry for line in claim.lines if line.verdict == "failed"} >= {"rotation"}
    assert certify(turned, graphs, symmetry="T(3)", quick=True).passed


def test_nodes_are_classified_where_their_labels_are() -> None:
    graphs = clouds([0, 1, 2], of_nodes=True)
    store = GraphStore.from_graphs(graphs)
    assert Classification.suits(store, None)
    wishes = Classification.suggest(store, None, EGNN, {})
    assert wishes["task"] == {"target": "node_label", "classes": 2, "level": "node"}
    learner = task(2, target="node_label", level="node")
    learner.gather(graphs)
    batch = collate(graphs)
    assert learner(batch)["logits"].shape == (18, 2)
    assert learner.losses(learner(batch), batch)["cross_entropy"][1] == 18


def test_in_the_plane_scalars_are_found_too() -> None:
    graphs = clouds([0, 1], dimension=2)
    model = EGNN(width=8, layers=1, cutoff=None, species=(), dimension=2)
    assert invariant_columns(model.irreps_out) == list(range(8))
    assert Classification(model, 2)(collate(graphs))["logits"].shape == (2, 2)
    assert invariant_columns(PaiNN(width=8, layers=1).irreps_out) == list(range(8))
    with pytest.raises(InputError, match="a class needs invariant features; the model gives 4x1o"):
        invariant_columns(PaiNN(width=8, layers=1).irreps_out.__class__("4x1o"))


def test_a_model_that_has_pooled_gives_a_row_a_graph() -> None:
    class Pooled(EGNN):
        level = "graph"

        def features(self, graph):
            from intertwine.nn import pool

            return pool(super().features(graph), graph, "mean")

    model = Pooled(width=8, layers=1, cutoff=None, species=()).double()
    graphs = clouds([0, 1, 2])
    assert Classification(model, 3).double()(collate(graphs))["logits"].shape == (3, 3)
    with pytest.raises(InputError, match="Pooled pools over the nodes"):
        Classification(model, 3, level="node")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes: 1 class"),
        ({"classes": ["a", "a"]}, "two classes of one name"),
        ({"classes": 3, "smoothing": 1.0}, "smoothing is 1.0"),
        ({"classes": 3, "class_weights": [1.0, 2.0]}, "2 weights for 3 classes"),
        ({"classes": 3, "class_weights": [1.0, -2.0, 1.0]}, "not positive"),
        ({"classes": 3, "loss": "l2"}, "loss 'l2'"),
        ({"classes": 3, "hidden": -1}, "hidden is -1"),
    ],
)
def test_wrong_options_are_named(options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        task(**options)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3], "graph 1 of the training set: label 3 of graph 0, and the classes are 0 to 2"),
        ([0, -1], "graph 1 of the training set: label -1"),
        ([1, 1], "of a single class"),
        ([], "the training set is empty"),
    ],
)
def test_labels_that_are_no_classes_are_named(labels: list[int], message: str) -> None:
    graphs = [Graph(torch.zeros(1, 3), label=[y]) for y in labels]
    with pytest.raises(DataError, match=message):
        task().gather(graphs)


def test_a_class_that_was_never_trained_is_told() -> None:
    learner = task(["a", "b", "c"])
    learner.gather(clouds([0, 1, 0]))
    assert learner.cautions() == ["no entry of class 'c' in the training set: it is never predicted rightly"]
    test = GraphStore.from_graphs(clouds([2, 2, 1]))
    assert learner.doubts(test) == ["class 'c' was never trained: its 2 entries can't be right"]


def test_it_is_the_task_of_labels_and_of_nothing_else() -> None:
    store = GraphStore.from_graphs(clouds([0, 1, 1]))
    assert [name for name, kind in TASKS.items() if kind.suits(store, None)] == ["classification"]
    energies = GraphStore.from_graphs([Graph(torch.zeros(1, 3), z=[1], energy=[1.0])])
    assert not Classification.suits(energies, None)
    assert not Classification.suits(energies, "energy")
    wishes = Classification.suggest(store, None, PaiNN, {})
    assert wishes["task"]["classes"] == 2
    assert 0 < wishes["model"]["cutoff"] < 20
    with pytest.raises(InputError, match="a single class"):
        Classification.suggest(GraphStore.from_graphs(clouds([0, 0])), None, PaiNN, {})
    odd = GraphStore.from_graphs([Graph(torch.zeros(1, 3), kind=torch.tensor([0.5]), levels={"kind": "graph"})])
    with pytest.raises(DataError, match=r"kind 0\.5 is no class"):
        Classification.suggest(odd, "kind", PaiNN, {})
