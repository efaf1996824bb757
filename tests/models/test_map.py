"""Every cell of the map of architectures is what a measurement finds."""

from __future__ import annotations

import types
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Unpack

import measured
import pytest
import torch
from molecular import MODELS
from switches import as_users_run_it
from torch import Tensor

from intertwine.geometry import Graph, distances, edge_vectors
from intertwine.nn import Backbone, MessagePassing
from intertwine.nn.inputs import RadialInputs
from intertwine.o3 import Irreps

PAPERS = Path(__file__).resolve().parents[2] / "benchmarks" / "papers"
#: Arguments that make another of the same architecture.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("mpnn", {"cutoff": 5.0}),
    ("gemnet", {"quadruplets": False}),
    ("mace", {"correlation": 1}),
    ("mace", {"correlation": 2}),
    ("mace", {"correlation": 4}),
    ("esen", {"reflections": False}),
    ("eqgat", {"cross_product": False}),
]
KINDS = [(name, {}) for name in MODELS] + VARIANTS
every_kind = pytest.mark.parametrize(
    ("name", "arguments"), KINDS, ids=[" ".join([name, *map(str, more.values())]) for name, more in KINDS]
)


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(PAPERS))
    return import_module("pairs")


@every_kind
def test_every_cell_is_what_is_measured(name: str, arguments: dict[str, Any], pairs: types.ModuleType) -> None:
    kind = measured.Kind(MODELS[name], arguments)
    card = kind.card()
    with as_users_run_it():  # annotations of the same calls are checked by the contract of models
        assert measured.message(kind) == card.message
        assert measured.domain(kind) == card.domain
        assert measured.geometry(kind) == card.geometry
        assert measured.body_order(kind, pairs) == card.body_order
        assert measured.group(kind) == card.symmetry
    assert arguments or card == MODELS[name].CARD


class Sum(MessagePassing):
    """A layer whose message, which a test hands in, is summed, and then squared."""

    def __init__(self, m: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.m = m

    def message(self, f_i: Tensor, f_j: Tensor, a_ij: Tensor) -> Tensor:
        return self.m(f_i, f_j, a_ij)

    def update(self, f_i: Tensor, m_i: Tensor) -> Tensor:
        return torch.cat([f_i, m_i.square(), m_i.tanh()], dim=1)


MESSAGES: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], Tensor], str]] = {
    "distance times neighbour": (lambda f_i, f_j, a: a * f_j, "linear"),
    "both ends": (lambda f_i, f_j, a: (a * f_i).sin() * f_j, "linear"),
    "no neighbour": (lambda f_i, f_j, a: a * f_i, "linear"),
    "square": (lambda f_i, f_j, a: a * f_j.square(), "nonlinear"),
    "almost linear": (lambda f_i, f_j, a: a * (f_j + 0.01 * f_j.tanh()), "nonlinear"),
    "one channel": (lambda f_i, f_j, a: a * torch.cat([f_j[:, 1:], f_j[:, :1].exp()], dim=1), "nonlinear"),
    "attention": (lambda f_i, f_j, a: (f_i * f_j).sum(1, keepdim=True).sigmoid() * a * f_j, "nonlinear"),
}


@pytest.mark.parametrize("what", MESSAGES)
def test_linearity_is_told_whatever_follows_the_sum(what: str) -> None:
    """Of messages that are known: f(a + b) = f(a) + f(b), although the layer squares their sum."""
    m, expected = MESSAGES[what]

    class Layer(Backbone):
        CARD = MODELS["schnet"].CARD

        def __init__(self, width: int = 4, layers: int = 1, **inputs: Unpack[RadialInputs]) -> None:
            super().__init__(5.0, inputs)
            self.irreps_out = Irreps(f"{3 * width}x0e")
            self.embedding, self.layer = self.embed_nodes(width), Sum(m)

        def features(self, graph: Graph) -> Tensor:
            a_ij = distances(edge_vectors(graph)).unsqueeze(1)
            return self.layer(self.embedding(graph), a_ij, graph.edge_index)

    assert measured.message(measured.Kind(Layer, {})) == expected
