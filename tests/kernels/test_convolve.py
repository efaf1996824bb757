"""The fused convolution against its definition, for random plans and graphs: values, gradients and second
derivatives.
"""

from __future__ import annotations

import pytest
import torch
from random_plans import Case, D, case_of, convolved, depthwise, derivatives, deviation, random_plan, with_weights
from torch import Tensor

from intertwine.kernels.convolution.fused import Fused
from intertwine.kernels.llvm import compile as compilation

PLANS = 200
BOUND = {torch.float32: 40, torch.float64: 500}
SMALL = [seed for seed in range(PLANS) if 0 < random_plan(seed).in1.dim * len(random_plan(seed).paths) < 60][:6]

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")  # the self-check's: no plan may fall back


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of kernels that nobody will ask for again."""
    monkeypatch.setattr(compilation, "_folder", lambda: None)


def leaf_and_view(t: Tensor, kind: int) -> tuple[Tensor, Tensor]:
    """A leaf, and a tensor with the shape of t that is made from it: contiguous, transposed, every second number, or
    one row for all.
    """
    if kind == 1:
        leaf = t.detach().t().contiguous().requires_grad_()
        return leaf, leaf.t()
    if kind == 2:
        leaf = t.detach().repeat_interleave(2, 1).requires_grad_()
        return leaf, leaf[:, ::2]
    if kind == 3 and len(t):
        leaf = t.detach()[:1].clone().requires_grad_()
        return leaf, leaf.expand(t.shape)
    leaf = t.detach().clone().requires_grad_()
    return leaf, leaf


def case(seed: int) -> tuple[Case, tuple[int, int, int]]:
    """A graph, and how the tensors lie in memory; among the graphs some without edges, without nodes, with one node,
    sparse or dense.
    """
    senders, nodes, edges = ((5, 4, 9), (3, 8, 6), (6, 6, 1), (1, 1, 7), (7, 30, 24), (4, 3, 0), (0, 0, 0), (2, 0, 0))[
        seed % 16 % 8 if seed % 16 < 13 else 0
    ]
    return case_of(random_plan(seed), seed, senders=senders, nodes=nodes, edges=edges), (
        seed % 4,
        seed // 4 % 4,
        seed // 16 % 4,
    )


def everything(function, one: Case, kinds: tuple[int, int, int], dtype: torch.dtype, seed: int) -> dict[str, Tensor]:
    made = [leaf_and_view(t.to(dtype), kind) for t, kind in zip((one.x, one.y, one.w), kinds) if t is not None]
    leaves, views = zip(*made)
    w = views[2] if one.w is not None else None
    source, destination = (torch.stack([index, index], 1)[:, 0] for index in one.ends[:2])  # not contiguous either
    return derivatives(function(views[0], views[1], w, source, destination, one.nodes), leaves, seed)


@pytest.mark.parametrize("group", range(20))
def test_random_plans(group: int) -> None:
    worst = dict.fromkeys(BOUND, 0.0)
    for seed in range(group, PLANS, 20):
        one, kinds = case(seed)
        wanted = everything(lambda *given, plan=one.plan: convolved(plan, *given), one, kinds, D, seed)
        for dtype, bound in BOUND.items():
            found = everything(Fused(one.plan).convolve, one, kinds, dtype, seed)
            for name, value in found.items():
                off = deviation(value, wanted[name], torch.finfo(dtype).eps)
                assert off <= bound, f"plan {seed}, {name}, {dtype}: {off}"
                worst[dtype] = max(worst[dtype], off)
    print({str(dtype): round(off, 1) for dtype, off in worst.items()})


def test_the_random_plans_have_everything() -> None:
    """What the issue asks for is among them."""
    plans = [random_plan(seed) for seed in range(PLANS)]
    paths = [(plan, path) for plan in plans for path in plan.paths]
    muls = {block.mul for plan in plans for block in plan.in1.blocks}
    assert {0, 1} <= muls
    assert len(muls) > 60
    assert {path.mode for _, path in paths} == {"uvu", "uvuv", "uvw", "uuu", "uvv", "uuw"}
    assert {(plan.in1.layout, plan.in2.layout, plan.out.layout) for plan in plans} == {
        (a, b, c) for a in L for b in L for c in L
    }
    assert {plan.blocks(path)[1].mul for plan, path in paths} == {0, 1, 2, 3}
    assert {block.dim for plan in plans for block in plan.out.blocks} == {1, 3, 5, 7, 9}
    assert any(path.factor == 0 for _, path in paths)
    assert any(not path.table.entries for _, path in paths)
    assert any(len({path.out for path in plan.paths}) < len(plan.paths) for plan in plans)
    assert any({path.weighted for path in plan.paths} == {True, False} for plan in plans)
    assert any(not plan.paths for plan in plans)


L = ("mul_ir", "ir_mul")


@pytest.mark.parametrize("seed", SMALL)
def test_gradients_by_finite_differences(seed: int) -> None:
    one = case_of(random_plan(seed), seed, senders=2, nodes=2, edges=3)
    fused = Fused(one.plan)
    arguments = tuple(t for t in (one.x, one.y, one.w) if t is not None)

    def function(x: Tensor, y: Tensor, w: Tensor | None = None) -> Tensor:
        return fused.convolve(x, y, w, *one.ends)

    assert torch.autograd.gradcheck(function, arguments, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, arguments, fast_mode=True)


@pytest.mark.parametrize(
    "plan",
    [
        depthwise("3x0e+2x1o", "0e+1o", 1),
        depthwise("2x0e+1x2e", "0e+1o+2e", 2, "mul_ir"),
        with_weights(depthwise("3x0e+2x1o", "0e+1o", 1), "some"),
        *(random_plan(seed) for seed in SMALL[:3]),
    ],
)
def test_third_and_fourth_derivatives(plan) -> None:
    def fourth(function) -> list[Tensor]:
        one = case_of(plan, 0)
        leaves = [t for t in (one.x, one.y, one.w) if t is not None]
        total = function(one.x, one.y, one.w, *one.ends).sin().sum()
        found = []
        for order in range(4):
            slopes = torch.autograd.grad(total, leaves, create_graph=order < 3)
            found += slopes
            total = sum((slope**3).sum() for slope in slopes)
        return found

    for found, wanted in zip(fourth(Fused(plan).convolve), fourth(lambda *given: convolved(plan, *given)), strict=True):
        assert deviation(found, wanted, torch.finfo(D).eps) <= 500


@pytest.mark.parametrize("dtype", list(BOUND))
def test_the_same_bits_every_time_and_with_any_number_of_threads(dtype: torch.dtype) -> None:
    plan = depthwise("16x0e+16x1o", "0e+1o+2e", 2)
    one = case_of(plan, 0, senders=200, nodes=220, edges=4000)
    before = torch.get_num_threads()
    runs = []
    try:
        for threads in (1, 1, 2, 3):
            torch.set_num_threads(threads)
            runs.append(everything(Fused(plan).convolve, one, (0, 0, 0), dtype, 0))
    finally:
        torch.set_num_threads(before)
    for run in runs[1:]:
        assert all(torch.equal(value, run[name]) for name, value in runs[0].items())
    wanted = everything(lambda *given: convolved(plan, *given), one, (0, 0, 0), D, 0)
    assert all(
        deviation(value, wanted[name], torch.finfo(dtype).eps) <= BOUND[dtype] for name, value in runs[0].items()
    )


def test_the_product_is_the_convolution_of_edges_by_themselves() -> None:
    for seed in range(12):
        one = case_of(random_plan(seed), seed, senders=6, nodes=6, edges=6)
        places = torch.arange(6)
        found = Fused(one.plan).product(one.x, one.y, one.w)
        assert torch.equal(found, Fused(one.plan).convolve(one.x, one.y, one.w, places, places, 6))
        assert deviation(found, convolved(one.plan, one.x, one.y, one.w, places, places, 6), torch.finfo(D).eps) <= 500
    assert Fused(one.plan).product(one.x[:0], one.y[:0], None if one.w is None else one.w[:0]).shape == (
        0,
        one.plan.out.dim,
    )
