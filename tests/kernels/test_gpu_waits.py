"""On a card nothing waits for values or sends constants, so that a CUDA graph can record it: seen on the processor in
torch's calls.
"""

from __future__ import annotations

import collections
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from intertwine.geometry import Graph, collate, connect
from intertwine.kernels.convolution import native
from intertwine.kernels.shared import doors
from intertwine.models import MODELS
from intertwine.nn.irreps import contraction_operator
from intertwine.numerics import safe
from intertwine.tasks import ForceField

#: Calls that bring values to the processor, or send some from it.
WAITING = {
    "item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "equal", "allclose", "unique",
    "_unique2", "nonzero", "bincount", "masked_select", "tensor", "as_tensor", "from_numpy",
}  # fmt: skip


#: Convolutions run there in this test, and as a Triton kernel on a card.
STAND_IN = "in kernels/convolution/definition.py"


class Waits(TorchFunctionMode):
    """Collects calls that wait, and where they are."""

    def __init__(self) -> None:
        super().__init__()
        self.found: collections.Counter[str] = collections.Counter()

    def __torch_function__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        masks = (
            args[1]
            if name == "__getitem__" and isinstance(args[1], tuple)
            else args[1:2]
            if name == "__getitem__"
            else ()
        )
        masked = any(isinstance(one, Tensor) and one.dtype == torch.bool for one in masks)
        open_ended = (
            name == "repeat_interleave" and not (kwargs or {}).get("output_size") and isinstance(args[-1], Tensor)
        )
        if name in WAITING or masked or open_ended:
            place = next((one for one in reversed(traceback.extract_stack()) if "/intertwine/" in one.filename), None)
            self.found[f"{name} in {place.filename.split('/intertwine/')[-1]}:{place.lineno}" if place else name] += 1
        return function(*args, **(kwargs or {}))


def molecule(seed: int) -> Graph:
    generator = torch.Generator().manual_seed(seed)
    return connect(Graph(1.5 * torch.randn(6, 3, generator=generator), z=torch.tensor([6, 1, 1, 8, 1, 1])), 5.0)


@pytest.fixture
def as_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are not looked at, kinds of nodes not listed, and nothing runs that is compiled for the processor."""
    monkeypatch.setattr(safe, "inspectable", lambda x: False)
    monkeypatch.setattr(safe, "captured", lambda x: True)
    # ranges of indices: on a card they are torch's assertions
    for module, name in (
        (native, "check_range"),
        (contraction_operator, "_require_known"),
        (doors, "indices"),
    ):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, lambda *arguments, **options: None)
    monkeypatch.setenv("INTERTWINE_KERNELS", "reference")


@pytest.mark.usefixtures("as_on_a_card")
@pytest.mark.parametrize("training", [False, True], ids=["energy and forces", "training step"])
@pytest.mark.parametrize("batched", [False, True], ids=["one", "batch"])
@pytest.mark.parametrize("name", ["nequip", "mace", "painn", "schnet"])
def test_models_wait_for_nothing(name: str, batched: bool, training: bool) -> None:
    task = ForceField(MODELS[name](layers=2)).train(training)
    graph = collate([molecule(0), molecule(1)]) if batched else molecule(0)

    def step() -> None:
        found = task(graph)
        if training:
            (found["energy"].square().sum() + found["forces"].square().sum()).backward()

    step()  # tables, and checks on first use
    with Waits() as waits:
        step()
    assert [place for place in waits.found if STAND_IN not in place] == []


@pytest.mark.parametrize(
    "call",
    [
        lambda x: bool(x.any()),
        lambda x: x.max().item(),
        lambda x: x[x > 0],
        lambda x: torch.tensor([1.0, 2.0]),
        lambda x: x.unique(),
    ],
)
def test_waiting_is_noticed(call: Callable[[Tensor], Any]) -> None:
    with Waits() as waits:
        call(torch.ones(3))
    assert waits.found


@pytest.mark.parametrize(("edges", "nodes"), [(50, 7), (0, 4), (1, 1), (5, 40), (0, 0)])
def test_edges_are_sorted_without_counting(edges: int, nodes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "check_range", lambda *arguments: None)  # on a card it is torch's assertion
    generator = torch.Generator().manual_seed(edges)
    index = torch.randint(0, max(nodes, 1), (edges,), generator=generator)
    with Waits() as waits:
        order, offsets = native._sorted("gpu", index, nodes, edges, index.device, "destination")
    assert dict(waits.found) == {}
    assert torch.equal(order, torch.argsort(index, stable=True))
    assert torch.equal(
        offsets,
        torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(index, minlength=nodes).cumsum(0)])[: nodes + 1],
    )
