"""What frames refuse, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from ase.build import bulk, molecule
from networks import Perceptron
from torch import nn

from intertwine.geometry import Graph, collate
from intertwine.groups import Cartesian
from intertwine.models import CNN
from intertwine.numerics import Caution, GeometryError, InputError
from intertwine.symmetrize import (
    BuiltFrames,
    Canonicalize,
    FrameAverage,
    GridFrames,
    SortedAverage,
    SymmetrizedBackbone,
)

CRYSTAL, EMPTY = Graph.from_ase(bulk("Cu")), Graph(torch.zeros(0, 3, dtype=torch.float64), z=[])
ETHANOL = Graph.from_ase(molecule("CH3CH2OH"))
VECTOR = Cartesian(1)


def pca(network: Any, rep: Any = VECTOR, **options: Any) -> FrameAverage:
    return FrameAverage(network, "pca", rep, **options)


def positions(graph: Graph) -> torch.Tensor:
    return graph.pos


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no such frames": (lambda: FrameAverage(positions, "axes"), InputError, "axes"),
    "no such group": (lambda: pca(positions, group="U(3)"), InputError, r"U\(3\)"),
    "no chunk": (lambda: pca(positions, chunk=0), InputError, "0 copies"),
    "no draw": (lambda: pca(positions, draw="sometimes"), InputError, "sometimes"),
    "an empty graph": (lambda: pca(positions)(EMPTY), GeometryError, "without nodes"),
    "an empty graph in a batch": (lambda: pca(positions)(collate([ETHANOL, EMPTY])), GeometryError, "graph 1"),
    "an empty set": (lambda: pca(nn.Flatten(), points=True)(torch.zeros(2, 0, 3)), GeometryError, "without points"),
    "no graph": (lambda: pca(positions)(torch.zeros(2, 3)), InputError, "points=True"),
    "points of the plane": (lambda: pca(nn.Flatten(), points=True)(torch.zeros(2, 4, 2)), InputError, "sets of points"),
    "a crystal": (lambda: pca(positions)(CRYSTAL), GeometryError, "symmetrize average"),
    "a crystal's learned frame": (lambda: Canonicalize(positions)(CRYSTAL), GeometryError, "symmetrize average"),
    "another shape": (
        lambda: pca(lambda g: g.pos[:, :2])(ETHANOL), InputError, r"\(72, 2\)(?s:.*)return \(72, ..., 3\)"
    ),
    "another tensor": (
        lambda: pca(positions, Cartesian(2))(ETHANOL), InputError, r"\(72, 3\)(?s:.*)return \(72, ..., 3, 3\)"
    ),
    "other rows": (lambda: pca(lambda g: g.pos[:5])(ETHANOL), InputError, "8 x 9 nodes"),
    "no tensor": (lambda: pca(lambda g: None)(ETHANOL), InputError, "returns NoneType"),
    "other names": (lambda: pca(lambda g: {"e": g.pos})(ETHANOL), InputError, r"\['e'\]"),
    "other vectors": (lambda: Canonicalize(positions, positions)(ETHANOL), InputError, "frame network"),
    "no such option": (lambda: BuiltFrames("pca", width=0.3), InputError, "option of pca frames"),
    "no width": (
        lambda: FrameAverage(positions, BuiltFrames("weighted", width=2.0))(ETHANOL), InputError, "width of 2"
    ),
    "no samples": (lambda: GridFrames(samples=-1), InputError, "-1 samples"),
    "a method": (lambda: SymmetrizedBackbone(Perceptron(), "median"), InputError, "median"),
    "frames of a finite group": (lambda: SymmetrizedBackbone(Perceptron(), group="octahedral"), InputError, "average"),
    "frames of images": (lambda: SymmetrizedBackbone(CNN()), InputError, "average"),
    "a set without rows": (lambda: SortedAverage(nn.Flatten(), 3)(torch.zeros(1, 0, 2)), GeometryError, "without rows"),
    "a set of another size": (lambda: SortedAverage(nn.Flatten(), 3)(torch.zeros(1, 4, 2)), InputError, "give"),
    "no size": (lambda: SortedAverage(nn.Flatten(), 0), InputError, "0 rows"),
    "other rows of a set": (
        lambda: SortedAverage(nn.Flatten(), 3, rows=True)(torch.zeros(1, 3, 2)), InputError, "6 rows of 3"
    ),
    "fewer sets": (lambda: SortedAverage(lambda x: x[:1], 3)(torch.randn(2, 3, 2)), InputError, "a row for each set"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    action, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        action()


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3), nn.Dropout(0.5)])
def test_layers_that_depend_on_the_batch_or_on_chance_are_named_in_training(layer: nn.Module) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, graph: Graph) -> torch.Tensor:
            return self.layer(graph.pos.float())

    with pytest.warns(Caution, match=rf"{type(layer).__name__} \(layer\) in training mode"):
        pca(Network())(ETHANOL)
