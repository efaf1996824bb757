r"""A linear layer of few samples in one call of a compiled kernel; with torch's operations each block costs several.

.. math:: F(x, W) = x W, \qquad B(x, g, W) = (g W^T,\; x^T g)

for each path of a :class:`~intertwine.kernels.linear.plan.Mixing`. All numbers of a batch should fit in a processor's
cache: above that, a BLAS is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.linear.plan import Block, Mixing, Route
from intertwine.kernels.shared import choice, doors
from intertwine.kernels.shared.processes import preparing, single
from intertwine.numerics import InputError

if TYPE_CHECKING:
    from intertwine.kernels.linear.cpu import Table, Task

#: Numbers of input or output up to which a call is faster than a BLAS; measured on 16 to 128 channels.
FEW_NUMBERS = 300_000
FEW_SUMMED_NUMBERS = 120_000  # for sums over samples, which go through all of them for each tile
_BOUND_EPS = 64  # eps of the largest number: rounding stays far below, a wrong place far above


def small_mixing(plan: Mixing, x: Tensor, limit: int) -> SmallMixing | None:
    """The kernels for features x (z, dim_in) or cotangents (z, dim_out) on the CPU; None where others should do it.

    Args:
        plan: of the layer; x: features or cotangents; limit: :data:`FEW_NUMBERS` or :data:`FEW_SUMMED_NUMBERS`.
    """
    if not plan.innermost or len(x) * max(plan.dim_in, plan.dim_out) > limit or x.dtype not in _TRUSTED:
        return None
    if torch._C._len_torch_dispatch_stack():  # whoever watches torch's operations (a counter of FLOP) would see none
        return None
    if choice.asked() not in ("auto", "cpu") or not trusted(x.dtype):
        return None
    kernels = plan.kernels.get(x.dtype)
    if kernels is None:
        kernels = plan.kernels[x.dtype] = SmallMixing(plan, x.dtype)
    return kernels  # type: ignore[no-any-return]


_TRUSTED: dict[torch.dtype, bool | None] = {torch.float32: None, torch.float64: None}


def trusted(dtype: torch.dtype) -> bool:
    """Whether the kernels give what plain torch gives, found out once; if they do not, a warning says so."""
    verdict = _TRUSTED[dtype]
    if verdict is None and not choice.compiles():
        verdict = _TRUSTED[dtype] = False
    if verdict is None:
        try:
            with preparing, single():
                wrong = deviation(SmallMixing, dtype)
            problem = "" if wrong <= _BOUND_EPS else f"is wrong by {wrong:.3g} eps"
        except (ImportError, InputError) as error:  # no compiler for this machine
            problem = f"is not available ({error})"
        verdict = _TRUSTED[dtype] = not problem
        if problem:
            choice.announce(f"kernel of small linear layers in {dtype}", problem)
    return verdict


def deviation(kernels: Callable[[Mixing, torch.dtype], SmallMixing], dtype: torch.dtype) -> float:
    """The largest difference between kernels and plain torch in float64 on a plan of uneven sizes, in eps of the
    largest number.
    """
    sizes, dims = ((5, 37), (70, 3)), (3, 1)  # channels in and out
    ins, outs = (
        [Block(sum(m * d for m, d in zip(muls, dims[:k])), muls[k], dims[k]) for k in range(2)] for muls in zip(*sizes)
    )
    routes = tuple(Route((a,), (b,), ((at,),), ((f,),)) for a, b, at, f in zip(ins, outs, (0, 185), (0.5, 2.0)))
    plan = Mixing(85, 114, 395, routes, (), "ir_mul")
    generator, worst = torch.Generator("cpu").manual_seed(0), 0.0
    x, g, w = (
        torch.randn(size, generator=generator, dtype=torch.float64, device="cpu")
        for size in ((6, 85), (6, 114), (395,))
    )
    kernel, inputs = kernels(plan, dtype), [tensor.to(dtype) for tensor in (x, g, w)]
    outputs = (
        kernel.forward(inputs[0], inputs[2]),
        kernel.for_x(inputs[1], inputs[2]),
        kernel.for_weight(inputs[0], inputs[1]),
    )
    pairs = [(a.of(x, "ir_mul"), w[at : at + a.mul * b.mul].view(a.mul, b.mul) * f, b.of(g, "ir_mul"))
             for a, b, at, f in zip(ins, outs, (0, 185), (0.5, 2.0))]  # fmt: skip
    right = (
        torch.cat([(left @ matrix).transpose(0, 1).flatten(1) for left, matrix, _ in pairs], 1),
        torch.cat([(right @ matrix.t()).transpose(0, 1).flatten(1) for _, matrix, right in pairs], 1),
        torch.cat(
            [(left.transpose(1, 2) @ right).sum(0).flatten() * f for (left, _, right), f in zip(pairs, (0.5, 2.0))]
        ),
    )
    for mine, exact in zip(outputs, right):
        worst = max(worst, float(((mine - exact).abs().max() / exact.abs().max()).nan_to_num(nan=torch.inf)))
    return worst / torch.finfo(dtype).eps


class SmallMixing:
    """F and B of a plan in one precision.

    Args:
        plan: channels innermost, or all blocks scalar.
        dtype: float32 or float64.
    """

    def __init__(self, plan: Mixing, dtype: torch.dtype) -> None:
        from intertwine.kernels.linear.cpu import Table, Transposition

        self.plan = plan
        factors = [factor for route in plan.routes for row in route.factors for factor in row]
        paths = [
            (a, b, start)
            for route in plan.routes
            for a, starts in zip(route.inputs, route.starts)
            for b, start in zip(route.outputs, starts)
        ]
        dims = plan.dim_in, plan.dim_out
        self._forwards = Table(_products([(a, b, at) for a, b, at in paths], dims), factors, dtype)
        self._backwards = Table(_products([(b, a, at) for a, b, at in paths], dims[::-1]), factors, dtype)
        self._sums = Table([_sum(a, b, at, dims) for a, b, at in paths], factors, dtype)
        self._transposed = Transposition([(at, a.mul, b.mul) for a, b, at in paths], dtype)

    def forward(self, x: Float[Tensor, "z dim_in"], weight: Float[Tensor, " weights"]) -> Float[Tensor, "z dim_out"]:
        """F(x, W)."""
        self._require(x, self.plan.dim_in, weight)
        return self._fill(self._forwards, x, doors.in_memory(weight, "weight"), self.plan.dim_out, self.plan.whole[1])

    def for_x(self, g: Float[Tensor, "z dim_out"], weight: Float[Tensor, " weights"]) -> Float[Tensor, "z dim_in"]:
        """The first of B: g W^T."""
        self._require(g, self.plan.dim_out, weight)
        return self._fill(
            self._backwards,
            g,
            self._transposed(doors.in_memory(weight, "weight")),
            self.plan.dim_in,
            self.plan.whole[0],
        )

    def for_weight(self, x: Float[Tensor, "z dim_in"], g: Float[Tensor, "z dim_out"]) -> Float[Tensor, " weights"]:
        """The second of B: x^T g."""
        self._require(x, self.plan.dim_in, None)
        self._require(g, self.plan.dim_out, None)
        if len(x) != len(g):
            raise InputError(
                f"{len(x)} rows of features, {len(g)} of cotangents", where="features", remedy="give equally many."
            )
        result = x.new_empty(self.plan.weights)
        self._sums(len(x), doors.in_memory(x, "features"), doors.in_memory(g, "cotangents"), result)
        return result

    def _require(self, x: Tensor, dim: int, weight: Tensor | None) -> None:
        """Kernels read where they are told to: this is the last place to notice that there is nothing."""
        if x.ndim != 2 or x.shape[1] != dim:
            raise InputError(f"shape {tuple(x.shape)}", where="features", remedy=f"give (samples, {dim}).")
        if weight is not None and weight.numel() != self.plan.weights:
            raise InputError(f"{weight.numel()} weights", where="weight", remedy=f"give {self.plan.weights}.")

    def _fill(self, table: Table, x: Tensor, weight: Tensor, dim: int, covered: bool) -> Tensor:
        result = x.new_empty(len(x), dim) if covered else x.new_zeros(len(x), dim)
        table(len(x), doors.in_memory(x, "features"), weight, result)
        return result


def products(plan: Mixing, dtype: torch.dtype, *, backward: bool = False, add: bool = False) -> Table:
    """F of a plan as a table of tasks, or with ``backward`` the first of B, which takes :func:`transposed` weights.

    Args:
        plan: channels innermost, or all blocks scalar.
        dtype: float32 or float64.
        backward: cotangents in, derivatives by the features out.
        add: to what the result has.
    """
    from intertwine.kernels.linear.cpu import Table

    ends, dims = [], (plan.dim_in, plan.dim_out)
    for route in plan.routes:
        for a, starts in zip(route.inputs, route.starts):
            ends += [(b, a, at) if backward else (a, b, at) for b, at in zip(route.outputs, starts)]
    tasks = [task._replace(add=1) if add else task for task in _products(ends, dims[::-1] if backward else dims)]
    return Table(tasks, [factor for route in plan.routes for row in route.factors for factor in row], dtype)


def transposed(plan: Mixing, weight: Float[Tensor, " weights"]) -> Float[Tensor, " weights"]:
    """Weights with the matrix of each path transposed where it is.

    Args:
        plan: of the layer.
        weight: contiguous, float32 or float64.
    """
    from intertwine.kernels.linear.cpu import Transposition

    matrices = [
        (at, a.mul, b.mul)
        for route in plan.routes
        for a, starts in zip(route.inputs, route.starts)
        for b, at in zip(route.outputs, starts)
    ]
    return Transposition(matrices, weight.dtype)(weight)


def _products(paths: list[tuple[Block, Block, int]], dims: tuple[int, int]) -> list[Task]:
    """Rows of samples times the matrix of each path, for each component."""
    from intertwine.kernels.linear.cpu import SIZE_AT_CALL, Task

    tasks: list[Task] = []
    reached: set[Block] = set()
    for a, b, start in paths:
        tasks.append(
            Task(
                a=a.start, b=start, c=b.start, rows=SIZE_AT_CALL, columns=b.mul, depth=a.mul, outer=1, batch=a.dim,
                a_row=dims[0], c_row=dims[1], a_depth=1, b_depth=b.mul, a_outer=0, b_outer=0, a_batch=a.mul,
                c_batch=b.mul, add=int(b in reached),
            )
        )  # fmt: skip
        reached.add(b)
    return tasks


def _sum(a: Block, b: Block, start: int, dims: tuple[int, int]) -> Task:
    """Channels times channels, summed over samples and components."""
    from intertwine.kernels.linear.cpu import SIZE_AT_CALL, Task

    return Task(
        a=a.start, b=b.start, c=start, rows=a.mul, columns=b.mul, depth=SIZE_AT_CALL, outer=a.dim, batch=1, a_row=1,
        c_row=b.mul, a_depth=dims[0], b_depth=dims[1], a_outer=a.mul, b_outer=b.mul, a_batch=0, c_batch=0, add=0,
    )  # fmt: skip
