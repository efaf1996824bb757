"""What a fused convolution refuses, and what it lets through: indices out of range, shapes, precisions, NaN."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from random_plans import D, case_of, convolved, depthwise
from switches import as_users_run_it
from torch import Tensor

from intertwine.kernels.convolution.cpu_order import sort_edges
from intertwine.kernels.convolution.fused import Fused
from intertwine.numerics import InputError

PLAN = depthwise("3x0e+2x1o", "0e+1o", 1)
FUSED = Fused(PLAN)


@pytest.fixture(autouse=True)
def _as_users_run_it() -> Iterator[None]:
    """The check of annotations would come before our own errors."""
    with as_users_run_it():
        yield


BAD = {
    "x of another size": ({"x": lambda t: t[:, 1:]}, r"^x: shape"),
    "x with one axis": ({"x": lambda t: t[0]}, r"^x: shape"),
    "x with three axes": ({"x": lambda t: t[None]}, r"^x: shape"),
    "y of another size": ({"y": lambda t: t[:, 1:]}, r"^y: shape"),
    "weights of another size": ({"w": lambda t: t[:, 1:]}, r"^weight: shape"),
    "shared weights": ({"w": lambda t: t[0]}, r"^weight: shape"),
    "no weights": ({"w": lambda t: None}, "weights are missing"),
    "weights of fewer edges": ({"w": lambda t: t[1:]}, "8 rows of weights, 9 of y"),
    "y of fewer edges": ({"y": lambda t: t[1:], "w": lambda t: t[1:]}, "9 sources, 9 destinations and 8 rows of y"),
    "fewer sources": ({"source": lambda t: t[1:]}, "8 sources"),
    "fewer destinations": ({"destination": lambda t: t[1:]}, "8 destinations"),
    "int32 sources": ({"source": lambda t: t.int()}, "source: torch.int32"),
    "float destinations": ({"destination": lambda t: t.float()}, "destination: torch.float32"),
    "two axes of sources": ({"source": lambda t: t[None]}, r"source: torch.int64, shape \(1, 9\)"),
    "sources on meta": ({"source": lambda t: t.to("meta")}, "source: .* on meta"),
    "y on meta": ({"y": lambda t: t.to("meta")}, "y: is on meta, x on cpu"),
    "mixed precisions": ({"y": lambda t: t.float()}, "torch.float64, torch.float32"),
    "integers": ({name: lambda t: t.long() for name in "xyw"}, "the arguments are torch.int64"),
    "complex": ({name: lambda t: t.to(torch.complex64) for name in "xyw"}, "the arguments are torch.complex64"),
    "too large a source": (
        {"source": lambda t: t.index_fill(0, torch.tensor([3]), 5)},
        "source: node 5 .* there are 5",
    ),
    "a negative source": ({"source": lambda t: t.index_fill(0, torch.tensor([8]), -1)}, "source: node -1"),
    "too large a destination": (
        {"destination": lambda t: t.index_fill(0, torch.tensor([0]), 4)},
        "destination: node 4 .* there are 4",
    ),
    "a negative destination": (
        {"destination": lambda t: t.index_fill(0, torch.tensor([0]), -(2**62))},
        "destination: node -46116",
    ),
    "a huge destination": (
        {"destination": lambda t: t.index_fill(0, torch.tensor([0]), 2**62)},
        "destination: node 46116",
    ),
    "no nodes": ({"nodes": lambda n: 0}, "destination: node . of an edge does not exist: there are 0"),
    "fewer nodes than none": ({"nodes": lambda n: -1}, "nodes: -1 nodes"),
    "no senders": ({"x": lambda t: t[:0]}, "source: node . of an edge does not exist: there are 0"),
}


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str, kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTWINE_KERNELS", kernels)
    changes, message = BAD[name]
    one = case_of(PLAN, 0)
    given = {
        "x": one.x,
        "y": one.y,
        "w": one.w,
        "source": one.source,
        "destination": one.destination,
        "nodes": one.nodes,
    }
    given = {key: changes[key](value) if key in changes else value for key, value in given.items()}
    with pytest.raises(InputError, match=message):
        FUSED.convolve(**given)


def test_samples_that_do_not_match_are_named() -> None:
    one = case_of(PLAN, 0, senders=9)
    with pytest.raises(InputError, match="8 samples of x, 9 of y"):
        FUSED.product(one.x[1:], one.y, one.w)


def test_indices_that_are_wrong_in_the_operators_are_named_too() -> None:
    """The derivatives are operators of their own, which a program may call with anything."""
    one = case_of(PLAN, 0)
    g = torch.zeros(one.nodes, PLAN.out.dim, dtype=D)
    operators = torch.ops.intertwine
    for ends, where in (
        ((one.source + 5, one.destination), "source"),
        ((one.source, one.destination - 4), "destination"),
    ):
        with pytest.raises(InputError, match=f"^{where}: node"):
            operators.convolve_backward(FUSED.text, "xyw", g, one.x, one.y, one.w, *ends)
        with pytest.raises(InputError, match=f"^{where}: node"):
            operators.convolve_second(FUSED.text, "gxyw", g, one.x, one.y, one.w, one.x, None, None, *ends)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["x", "y", "w"])
def test_nan_goes_to_the_nodes_it_reaches_and_no_further(name: str, value: float) -> None:
    one = case_of(depthwise("19x0e+5x1o", "0e+1o", 1, "mul_ir"), 0, senders=6, nodes=7, edges=12)
    fused = Fused(one.plan)
    tensors = {"x": one.x.detach(), "y": one.y.detach(), "w": one.w.detach()}
    clean = fused.convolve(*tensors.values(), *one.ends)
    edge = 5
    row = int(one.source[edge]) if name == "x" else edge
    tensors[name] = tensors[name].clone()
    tensors[name][row, 1] = value
    z = fused.convolve(*tensors.values(), *one.ends)
    touched = one.source == row if name == "x" else torch.arange(12) == edge
    reached = torch.zeros(7, dtype=torch.bool).index_fill_(0, one.destination[touched], True)
    assert not z[reached].isfinite().all(1).any()
    assert torch.equal(z[~reached], clean[~reached])
    wanted = convolved(one.plan, *tensors.values(), *one.ends)
    assert (~wanted.isfinite() | z.isfinite()).all()  # no number is lost that the definition keeps


def test_nan_in_a_cotangent_goes_to_the_senders_and_edges_it_reaches() -> None:
    one = case_of(PLAN, 0, senders=6, nodes=7, edges=12)
    z = FUSED.convolve(one.x, one.y, one.w, *one.ends)
    g = torch.randn(z.shape, dtype=D, generator=torch.Generator().manual_seed(0))
    node = int(one.destination[0])
    g[node] = float("nan")
    touched = one.destination == node
    senders = torch.zeros(6, dtype=torch.bool).index_fill_(0, one.source[touched], True)
    dx, dy, dw = torch.autograd.grad(z, (one.x, one.y, one.w), g)
    assert [bool(t.isnan().any(1)[rows].all()) for t, rows in ((dx, senders), (dy, touched), (dw, touched))] == [
        True
    ] * 3
    assert not any(t[~rows].isnan().any() for t, rows in ((dx, senders), (dy, touched), (dw, touched)))


@pytest.mark.parametrize(("edges", "nodes"), [(0, 0), (0, 5), (1, 1), (1000, 1), (1000, 7), (1000, 3000)])
def test_the_sort_is_stable(edges: int, nodes: int) -> None:
    index = torch.randint(max(nodes, 1), (edges,), generator=torch.Generator().manual_seed(edges))
    order, offsets = sort_edges(index, nodes, "index")
    assert torch.equal(order, index.argsort(stable=True))
    assert torch.equal(offsets[1:] - offsets[:-1], torch.bincount(index, minlength=nodes)[:nodes])
    strided = torch.stack([index, index], 1)[:, 1]
    assert all(torch.equal(a, b) for a, b in zip(sort_edges(strided, nodes, "index"), (order, offsets)))


def test_rows_of_no_numbers() -> None:
    """Representations that are empty, on any side."""
    from intertwine.kernels import Operand, Plan

    empty, some = Operand.of([]), Operand.of([(0, 3), (2, 3)])
    for first, second, out in ((empty, some, some), (some, empty, some), (some, some, empty), (empty, empty, empty)):
        one = case_of(Plan.of(first, second, out, []), 0)
        z = Fused(one.plan).convolve(one.x, one.y, None, *one.ends)
        assert torch.equal(z, torch.zeros(4, out.dim, dtype=D))
        slopes: tuple[Tensor, ...] = torch.autograd.grad(z.sum() + 0 * one.x.sum(), (one.x, one.y), allow_unused=True)
        assert not any(slope is not None and slope.any() for slope in slopes)
