"""Which code runs a straight-line program: the machine on the CPU, or plain torch; and the check of the one against the
other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels.polynomial.definition import Evaluator
from intertwine.kernels.polynomial.plan import REMEDY, Program
from intertwine.kernels.shared import choice, doors
from intertwine.kernels.shared.processes import preparing, single
from intertwine.numerics import InputError, safe

_BOUND_EPS = 1e3  # eps, of the largest value: rounding stays far below, a wrong coefficient far above
_CHECKED_SHAPE = (5, 2, 81)  # nodes, groups and channels of the check: every width of the machine's vectors


def evaluate(
    program: Program,
    arguments: Sequence[Float[Tensor, "_ _ channels"]],
    group: Int[Tensor, " nodes"],
    groups: int,
    what: str = "group",
) -> list[Float[Tensor, "_ _ channels"]]:
    """Run a program: on the CPU by the machine, elsewhere in plain torch. $INTERTWINE_KERNELS forces one.

    Args:
        program: the program.
        arguments: for each node (nodes, size, channels), or shared ones for each group (groups, size, channels); one
            precision, device.
        group: that of each node, in [0, groups).
        groups: how many there are; what: one is, for messages.

    Returns:
        The results, for each node or summed over each group, as the program says.

    Raises:
        InputError: an argument is not what the program takes it for, or a group does not exist; the forced backend is
            unknown, or can't do it.
    """
    like = arguments[0] if len(arguments) == len(program.arguments) else None
    if like is None or like.ndim != 3 or not like.dtype.is_floating_point:
        description = f"{len(arguments)} arguments" + (
            "" if like is None else f", the first {like.dtype} of {like.ndim} axes"
        )
        raise InputError(
            description, where="program", remedy=f"give {len(program.arguments)} of 3 axes, of floating-point numbers."
        )
    dtype, nodes = like.dtype, doors.count(group, what, like.device)
    able = dtype in (torch.float32, torch.float64)
    # Triton's interpreter has no such programs
    ours = group.device.type == "cpu" and choice.native(group.device) != "gpu"
    if ours and choice.chosen(group.device, able, str(dtype)) == "cpu":
        fastest = _fastest(program, dtype)
        if fastest is not None:
            return fastest(arguments, group, groups, what)  # it looks at its arguments itself
    for x, kind in zip(arguments, program.arguments):
        doors.require(x, "argument", (groups if kind.shared else nodes, kind.size, like.shape[-1]), dtype, like.device)
    doors.indices(group, what, groups, what + " {} of a node", REMEDY)
    return plainly(program, arguments, group, groups)


def plainly(
    program: Program, arguments: Sequence[Float[Tensor, "_ _ channels"]], group: Int[Tensor, " nodes"], groups: int
) -> list[Float[Tensor, "_ _ channels"]]:
    """:func:`evaluate` by torch's own operations, which every transform knows; in the precision of the arguments."""
    with safe.without_autocast(group.device):
        return _reference(program)(arguments, group, groups)


def fake(program: Program, arguments: Sequence[Tensor], group: Tensor, groups: int) -> list[Tensor]:
    """Tensors of the shapes that :func:`evaluate` would return."""
    channels = arguments[0].shape[-1]
    return [
        arguments[0].new_empty(groups if result.shared else group.shape[0], len(result.registers), channels)
        for result in program.results
    ]


@lru_cache(maxsize=1024)
def _reference(program: Program) -> Evaluator:
    return Evaluator(program)


@lru_cache(maxsize=1024)
def _fastest(program: Program, dtype: torch.dtype) -> Callable[..., list[Tensor]] | None:
    """The machine, if it gives what the reference gives."""
    with preparing, single():
        from intertwine.kernels.polynomial.cpu import Tables

        machine = Tables(program, dtype)
        worst = deviation(machine, program, dtype)
    if worst <= _BOUND_EPS:
        return machine
    choice.announce(f"kernel of a program of {program.terms} terms in {dtype}", f"is wrong by {worst:.3g} eps")
    return None


def deviation(run: Callable[..., list[Tensor]], program: Program, dtype: torch.dtype) -> float:
    """The largest difference between ``run`` and the reference in float64, for random arguments; in eps of the largest
    value.
    """
    nodes, groups, channels = _CHECKED_SHAPE
    generator, worst = torch.Generator().manual_seed(0), 0.0
    rows = [groups if argument.shared else nodes for argument in program.arguments]
    arguments = [
        torch.randn(count, argument.size, channels, generator=generator, dtype=torch.float64, device="cpu").to(dtype)
        for count, argument in zip(rows, program.arguments)
    ]
    group = torch.arange(nodes, device="cpu") % groups
    with torch.no_grad():
        expected = _reference(program)([x.double() for x in arguments], group, groups)
        for output, exact in zip(run(arguments, group, groups), expected):
            if exact.numel():
                scale = exact.abs().max().clamp(min=1.0)
                worst = max(worst, float(((output - exact).abs().max() / scale).nan_to_num(nan=torch.inf)))
    return worst / torch.finfo(dtype).eps
