"""The reference against the literal sum, for every mode, layout and kind of weights."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from literal import literal

from intertwine.kernels import MODES, Operand, Plan, Reference, Table
from intertwine.numerics import InputError

SIZES = {
    "uvu": (3, 2, 3),
    "uvv": (3, 2, 2),
    "uvuv": (3, 2, 6),
    "uvu<v": (3, 3, 3),
    "u<vw": (3, 3, 2),
    "uuw": (3, 3, 2),
    "uuu": (3, 3, 3),
}
CASES = [
    (mode, weighted) for mode in MODES for weighted in (True, False) if weighted or mode not in ("uvw", "u<vw", "uuw")
]


def table(seed: int, *shape: int) -> Table:
    random = np.random.default_rng(seed)
    return Table.of(random.normal(size=shape) * (random.random(shape) < 0.6))


def plan_of(
    mode: str, weighted: bool, layouts: tuple[str, str, str] = ("mul_ir",) * 3, muls: tuple[int, int, int] | None = None
) -> Plan:
    """Blocks of 1, 3 and 5 components everywhere, all triples of them connected, and an output that nothing reaches."""
    mul1, mul2, mul3 = muls or SIZES.get(mode, (3, 2, 4))
    operands = [Operand.of([(mul, dim) for dim in (1, 3, 5)], layout) for mul, layout in zip((mul1, mul2), layouts)]
    out = Operand.of([(mul3, 1), (mul3, 3), (2, 4), (mul3, 5)], layouts[2])
    triples = [(i, j, k) for i in range(3) for j in range(3) for k in (0, 1, 3) if "<" not in mode or i == j]
    paths = [
        (i, j, k, mode, weighted, 0.3 + n, table(n, (1, 3, 5)[i], (1, 3, 5)[j], (1, 3, 4, 5)[k]))
        for n, (i, j, k) in enumerate(triples)
    ]
    return Plan.of(*operands, out, paths)


def inputs(plan: Plan, shared: bool, n: int = 3, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (plan.weight_numel,) if shared else (n, plan.weight_numel)
    sizes = [(n, plan.in1.dim), (n, plan.in2.dim), shape]
    return [torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes]


def expected(plan: Plan, x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    rows = [
        literal(plan, x[n].numpy(), y[n].numpy(), (weight if weight.ndim == 1 else weight[n]).numpy())
        for n in range(len(x))
    ]
    return torch.from_numpy(np.stack(rows))


def assert_literal(plan: Plan, shared: bool) -> None:
    x, y, weight = inputs(plan, shared)
    z = Reference(plan, shared=shared, dtype=torch.float64)(x, y, weight)
    wanted = expected(plan, x, y, weight)
    assert (z - wanted).abs().max() <= 1e-13 * wanted.abs().max()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("mode", "weighted"), CASES)
def test_every_mode_is_the_literal_sum(mode: str, weighted: bool, shared: bool) -> None:
    assert_literal(plan_of(mode, weighted), shared)


@pytest.mark.parametrize("layouts", [("ir_mul",) * 3, ("mul_ir", "ir_mul", "mul_ir"), ("ir_mul", "mul_ir", "ir_mul")])
@pytest.mark.parametrize(("mode", "weighted"), CASES)
def test_every_layout(mode: str, weighted: bool, layouts: tuple[str, str, str]) -> None:
    assert_literal(plan_of(mode, weighted, layouts), True)


MULTIPLICITIES = [
    ("uvu", (4, 1, 4)),
    ("uvu", (40, 1, 40)),
    ("uvv", (1, 4, 4)),
    ("uvw", (4, 1, 3)),
    ("uvw", (1, 4, 3)),
    ("uvw", (40, 1, 4)),
    ("uvw", (2, 3, 40)),
    ("uvuv", (3, 1, 3)),
    ("uuw", (3, 3, 1)),
    ("uvu<v", (1, 1, 0)),
]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize(("mode", "muls"), MULTIPLICITIES)
def test_every_order_of_evaluation(mode: str, muls: tuple[int, int, int], layout: str, shared: bool) -> None:
    """One channel or many on either side: the groups differ."""
    assert_literal(plan_of(mode, True, (layout,) * 3, muls), shared)


def test_a_sum_over_channels_without_weights() -> None:
    assert_literal(plan_of("uuw", False, muls=(3, 3, 1)), True)


def test_many_components_are_evaluated_block_by_block() -> None:
    first, second = Operand.of([(4, 3), (4, 1)]), Operand.of([(1, dim) for dim in range(1, 14)])
    paths = [
        (n % 2, n, n % 2, mode, True, 1.0, table(n, (3, 1)[n % 2], n + 1, 3))
        for n in range(13)
        for mode in ("uvu", "uvw", "uvuv")
    ]
    assert_literal(Plan.of(first, second, Operand.of([(4, 3), (4, 3)]), paths), True)


def test_all_modes_together_add_up() -> None:
    vectors = Operand.of([(3, 3), (0, 3), (1, 3)])
    out = Operand.of([(3, 3), (3, 3), (0, 1)])
    paths = [
        (0, 0, 0, mode, True, 1.0, table(n, 3, 3, 3))
        for n, mode in enumerate(("uvw", "uvu", "uvv", "uuw", "uuu", "uvu<v", "u<vw", "uvw"))
    ]
    paths += [(1, 0, 1, "uvw", True, 1.0, table(9, 3, 3, 3)), (0, 2, 1, "uvuv", False, 0.0, table(9, 3, 3, 3))]
    for shared in (True, False):
        assert_literal(Plan.of(vectors, vectors, out, paths), shared)


def test_an_empty_table_gives_zero() -> None:
    nothing = Table.of(np.zeros((3, 3, 1)))
    vectors = Operand.of([(2, 3)])
    for mode in ("uuu", "uvw", "uuw"):
        plan = Plan.of(vectors, vectors, Operand.of([(2, 1)]), [(0, 0, 0, mode, True, 1.0, nothing)])
        assert_literal(plan, True)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("mode", "weighted"), CASES)
def test_first_and_second_derivatives(mode: str, weighted: bool, shared: bool) -> None:
    full = plan_of(
        mode, weighted, muls={"uvw": (2, 2, 1), "uvu": (2, 2, 2), "uvv": (2, 2, 2), "uvuv": (1, 2, 2)}.get(mode)
    )
    plan = Plan.of(
        full.in1,
        full.in2,
        full.out,
        [(p.in1, p.in2, p.out, p.mode, p.weighted, p.factor, p.table) for p in full.paths[4:9]],
    )
    arguments = tuple(tensor.requires_grad_() for tensor in inputs(plan, shared, n=2))
    function: Callable[..., torch.Tensor] = Reference(plan, shared=shared, dtype=torch.float64)
    assert torch.autograd.gradcheck(function, arguments, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, arguments, fast_mode=True)


def test_broadcasting_and_empty_batches() -> None:
    plan = plan_of("uvw", True)
    module = Reference(plan, dtype=torch.float64)
    x, y, weight = inputs(plan, True, n=6)
    assert torch.equal(module(x.view(2, 3, -1), y.view(2, 3, -1), weight), module(x, y, weight).view(2, 3, -1))
    crossed = module(x[:2, None], y[None, :3], weight)
    assert crossed.shape == (2, 3, plan.out.dim)
    assert torch.allclose(crossed[1, 2], module(x[1], y[2], weight), atol=1e-12, rtol=0)
    assert module(x[:0], y[:0], weight).shape == (0, plan.out.dim)
    for mode, weighted in CASES:
        some = plan_of(mode, weighted)
        x, y, weight = inputs(some, False, n=0)
        assert Reference(some, shared=False, dtype=torch.float64)(x, y, weight).shape == (0, some.out.dim)


def test_no_paths_and_no_blocks() -> None:
    empty = Plan.of(Operand.of([(2, 3)]), Operand.of([]), Operand.of([(1, 3)]), [])
    assert torch.equal(Reference(empty)(torch.ones(2, 6), torch.ones(1, 0), None), torch.zeros(2, 3))
    nothing = Plan.of(Operand.of([]), Operand.of([]), Operand.of([]), [])
    assert Reference(nothing)(torch.ones(2, 0), torch.ones(2, 0), None).shape == (2, 0)


def test_the_constants_stay_exact_and_the_module_can_be_copied() -> None:
    plan = plan_of("uvw", True)
    module = Reference(plan, dtype=torch.float64)
    x, y, weight = inputs(plan, True)
    z = module(x, y, weight)
    assert not module.state_dict()
    assert torch.equal(copy.deepcopy(module)(x, y, weight), z)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x, y, weight), z)
    assert torch.equal(module.float().double()(x, y, weight), z)


def test_bad_input_is_named() -> None:
    plan = plan_of("uvw", True)
    module = Reference(plan, dtype=torch.float64)
    x, y, weight = inputs(plan, True)
    for arguments, named in (
        ((x[:, 1:], y, weight), "x: the shape"),
        ((x, y[:, 1:], weight), "y: the shape"),
        ((x, y, weight[1:]), "weight: the shape"),
        ((x, y, weight[None]), "weight: the shape"),
        ((x, y, None), "weight: the shape"),
        ((x, y.float(), weight), "float32"),
    ):
        with pytest.raises(InputError, match=named):
            module(*arguments)
