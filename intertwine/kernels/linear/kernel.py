r"""A linear layer in one call of a compiled kernel, of few samples on a CPU and of any number on a graphics card; with
torch's operations each block costs several.

.. math:: F(x, W) = x W, \qquad B(x, g, W) = (g W^T,\; x^T g)

for each path of a :class:`~intertwine.kernels.linear.plan.Mixing`. On a CPU all numbers of a batch should fit in the
cache: above that, a BLAS is faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.linear import blas, definition
from intertwine.kernels.linear.plan import Block, Mixing, Route
from intertwine.kernels.shared import card, choice, doors
from intertwine.kernels.shared.processes import preparing
from intertwine.kernels.shared.trust import Trial, numbers, trusted
from intertwine.numerics import InputError, modes

if TYPE_CHECKING:
    from intertwine.kernels.linear.cpu import Table, Task
    from intertwine.kernels.linear.gpu import OnCard

#: Numbers of input or output up to which a call is faster than a BLAS; measured on 16 to 128 channels.
FEW_NUMBERS = 300_000
FEW_SUMMED_NUMBERS = 120_000  # for sums over samples, which go through all of them for each tile
#: Precisions of the compiled kernels.
DTYPES = (torch.float32, torch.float64)


def forward(
    plan: Mixing, x: Float[Tensor, "z dim_in"], weight: Float[Tensor, " weights"], bias: Tensor | None
) -> Float[Tensor, "z dim_out"]:
    """F(x, W) plus the biases, outside of autograd.

    Raises:
        InputError: a tensor does not fit the plan.
    """
    x, weight = x.detach(), weight.detach()
    if (kernels := _kernels(plan, x, FEW_NUMBERS)) is not None:
        result = kernels.forward(x, weight)
    else:
        require(plan, x, None, weight)
        with modes.without_autocast(x.device):
            result = (blas if x.is_cpu else definition).forward(plan, x, weight)
    if bias is not None:
        doors.require(bias, "bias", (sum(block.mul for block, _ in plan.biases),), x.dtype, x.device)
        for block, start in plan.biases:
            result.narrow(1, block.start, block.mul).add_(bias.detach()[start : start + block.mul])
    return result


def backward(
    plan: Mixing,
    needs: Sequence[bool],
    x: Float[Tensor, "z dim_in"],
    g: Float[Tensor, "z dim_out"],
    weight: Float[Tensor, " weights"],
) -> tuple[Float[Tensor, "z dim_in"] | None, Float[Tensor, " weights"] | None]:
    """B(x, g, W) as needed, outside of autograd.

    Raises:
        InputError: a tensor does not fit the plan or the others: what was saved may have changed since.
    """
    if not any(needs):
        return None, None
    x, g, weight = x.detach(), g.detach(), weight.detach()
    if (kernels := _kernels(plan, x, FEW_SUMMED_NUMBERS if needs[1] else FEW_NUMBERS)) is not None:
        if len(x) != len(g):
            raise doors.refusal(g, "cotangents", (len(x), plan.dim_out), x.dtype, x.device)
        return kernels.for_x(g, weight) if needs[0] else None, kernels.for_weight(x, g) if needs[1] else None
    require(plan, x, g, weight)
    with modes.without_autocast(x.device):
        if not x.is_cpu:
            return definition.backward(plan, needs, x, g, weight)
        return blas.backward(plan, x, g, weight, needs)


def require(plan: Mixing, x: Tensor, g: Tensor | None, weight: Tensor) -> None:
    """Blocks are cut out of features, cotangents and weights by their strides: those must be of the plan.

    Raises:
        InputError: they are not.
    """
    samples = doors.rows(x, "features", plan.dim_in)
    doors.require(x, "features", (samples, plan.dim_in), x.dtype, x.device)
    if g is not None:
        doors.require(g, "cotangents", (samples, plan.dim_out), x.dtype, x.device)
    doors.require(weight, "weight", (plan.weights,), x.dtype, x.device)


def _kernels(plan: Mixing, x: Tensor, limit: int) -> SmallMixing | OnCard | None:
    """The kernels for features x (z, dim_in); None where a BLAS or the definition should do it. ``limit``: numbers of
    the largest batch on a CPU.
    """
    if not x.is_cpu or choice.asked() not in ("auto", "cpu"):
        return _on_card(plan, x)
    if not plan.innermost or len(x) * max(plan.dim_in, plan.dim_out) > limit or x.dtype not in DTYPES:
        return None
    kernels = plan.kernels.get(x.dtype)
    if kernels is None and choice.compiles() and trusted(("linear", x.dtype), lambda: trial(x.dtype), x.dtype):
        kernels = plan.kernels[x.dtype] = SmallMixing(plan, x.dtype)
    return kernels


def _on_card(plan: Mixing, x: Tensor) -> OnCard | None:
    """The kernels of a graphics card, if that is where x is."""
    if choice.native(x.device) != "gpu" or not card.supports(x.dtype):
        return None
    key = (x.dtype, x.device)
    kernels = plan.kernels.get(key)
    if kernels is None:
        with preparing:
            from intertwine.kernels.linear import gpu
        columns = gpu.columns_of(plan)
        title = ("linear", "gpu", columns, *key)
        if trusted(title, lambda: trial(x.dtype, x.device, columns), x.dtype, x.device):
            with modes.apart():
                kernels = plan.kernels[key] = gpu.OnCard(plan, x.dtype, x.device, columns)
    return kernels


def trial(dtype: torch.dtype, device: torch.device | None = None, columns: int = 0) -> Trial:
    """The kernels beside their definition, on a plan of uneven sizes: one kernel reads the tables of all plans.

    Args:
        dtype: of the numbers; device: of a graphics card's kernels, whose tiles have so many ``columns``; None: those
            of the CPU.
    """
    if device is not None:
        from intertwine.kernels.linear.gpu import OnCard
    sizes, dims = ((5, 37), (70, 3)), (3, 1)  # channels in and out
    ins, outs = (
        [Block(sum(m * d for m, d in zip(muls, dims[:k])), muls[k], dims[k]) for k in range(2)] for muls in zip(*sizes)
    )
    routes = tuple(Route((a,), (b,), ((at,),), ((f,),)) for a, b, at, f in zip(ins, outs, (0, 185), (0.5, 2.0)))
    plan = Mixing(85, 114, 395, routes, (), "ir_mul")

    def run(x: Tensor, g: Tensor, w: Tensor) -> Sequence[Tensor]:
        kernels: Any = SmallMixing(plan, dtype) if device is None else OnCard(plan, dtype, device, columns)
        return kernels.forward(x, w), kernels.for_x(g, w), kernels.for_weight(x, g)

    def define(plan: Mixing, x: Tensor, g: Tensor, w: Tensor) -> Any:
        return definition.forward(plan, x, w), *definition.backward(plan, (True, True), x, g, w)

    return Trial(
        "small linear layers" if device is None else f"linear layers, {columns} channels at a time, by gpu",
        plan,
        run,
        define,
        numbers((6, plan.dim_in), (6, plan.dim_out), (plan.weights,), dtype=dtype),
    )


class SmallMixing:
    """F and B of a plan in one precision.

    Args:
        plan: channels innermost, or all blocks scalar.
        dtype: float32 or float64.
    """

    def __init__(self, plan: Mixing, dtype: torch.dtype) -> None:
        from intertwine.kernels.linear.cpu import Table, Transposition

        self.plan, dims = plan, (plan.dim_in, plan.dim_out)
        self._forwards, self._backwards = products(plan, dtype), products(plan, dtype, backward=True)
        self._sums = Table([_sum(a, b, at, dims) for a, b, at in plan.paths], plan.factors, dtype)
        self._transposed = Transposition([(at, a.mul, b.mul) for a, b, at in plan.paths], dtype)

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

    ends = [(b, a, at) if backward else (a, b, at) for a, b, at in plan.paths]
    dims = (plan.dim_out, plan.dim_in) if backward else (plan.dim_in, plan.dim_out)
    tasks = [task._replace(add=1) if add else task for task in _products(ends, dims)]
    return Table(tasks, plan.factors, dtype)


def transposed(plan: Mixing, weight: Float[Tensor, " weights"]) -> Float[Tensor, " weights"]:
    """Weights with the matrix of each path transposed where it is.

    Args:
        plan: of the layer.
        weight: contiguous, float32 or float64.
    """
    from intertwine.kernels.linear.cpu import Transposition

    return Transposition([(at, a.mul, b.mul) for a, b, at in plan.paths], weight.dtype)(weight)


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
