"""Which code runs a straight-line program: a machine, on the CPU or a graphics card, checked on first use, or its
definition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels.polynomial.definition import Evaluator
from intertwine.kernels.polynomial.plan import REMEDY, Program
from intertwine.kernels.shared import card, choice, doors
from intertwine.kernels.shared.processes import preparing
from intertwine.kernels.shared.trust import Trial, numbers, trusted
from intertwine.numerics import InputError, modes


def evaluate(
    program: Program,
    arguments: Sequence[Float[Tensor, "_ _ channels"]],
    group: Int[Tensor, " nodes"],
    groups: int,
    what: str = "group",
) -> list[Float[Tensor, "_ _ channels"]]:
    """Run a program: on the CPU or a graphics card by a machine, elsewhere in plain torch. $INTERTWINE_KERNELS forces
    one.

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
    device = like.device
    on_card = choice.native(device) == "gpu"
    able = card.supports(dtype) if on_card else dtype in (torch.float32, torch.float64) and device.type == "cpu"
    backend = choice.chosen(device, able, str(dtype))
    if backend != "reference":
        key = ("polynomial", backend, program, dtype, device)
        if trusted(key, lambda: trial(*key[1:]), dtype, device):
            return _machine(*key[1:])(arguments, group, groups, what)  # it looks at its arguments itself
    for x, kind in zip(arguments, program.arguments):
        doors.require(x, "argument", (groups if kind.shared else nodes, kind.size, like.shape[-1]), dtype, like.device)
    doors.indices(group, what, groups, what + " {} of a node", REMEDY)
    return plainly(program, arguments, group, groups)


def plainly(
    program: Program, arguments: Sequence[Float[Tensor, "_ _ channels"]], group: Int[Tensor, " nodes"], groups: int
) -> list[Float[Tensor, "_ _ channels"]]:
    """:func:`evaluate` by torch's own operations, which every transform knows; in the precision of the arguments."""
    with modes.without_autocast(group.device):
        return _evaluator(program)(arguments, group, groups)


def fake(program: Program, arguments: Sequence[Tensor], group: Tensor, groups: int) -> list[Tensor]:
    """Tensors of the shapes that :func:`evaluate` would return."""
    channels = arguments[0].shape[-1]
    return [
        arguments[0].new_empty(groups if result.shared else group.shape[0], len(result.registers), channels)
        for result in program.results
    ]


@lru_cache(maxsize=1024)
def _evaluator(program: Program) -> Evaluator:
    return Evaluator(program)


@lru_cache(maxsize=1024)
def _machine(backend: str, program: Program, dtype: torch.dtype, device: torch.device) -> Callable[..., list[Tensor]]:
    with preparing:
        if backend == "gpu":
            from intertwine.kernels.polynomial.gpu import OnCard

            with modes.apart():
                return OnCard(program, dtype, device)
        from intertwine.kernels.polynomial.cpu import Tables

        return Tables(program, dtype)


def trial(backend: str, program: Program, dtype: torch.dtype, device: torch.device) -> Trial:
    """The machine of a backend, "cpu" or "gpu", beside the definition, for nodes of two groups and every width of the
    machine's vectors.
    """
    nodes, groups, channels = (3, 2, 20) if backend == "gpu" else (5, 2, 81)
    shapes = [(groups if kind.shared else nodes, kind.size, channels) for kind in program.arguments]
    group = torch.arange(nodes, device="cpu") % groups
    return Trial(
        f"a program of {program.terms} terms" + " by gpu" * (backend == "gpu"),
        program,
        lambda *arguments: _machine(backend, program, dtype, device)(arguments, group.to(device), groups),
        lambda program, *arguments: _evaluator(program)(arguments, group, groups),
        numbers(*shapes, dtype=dtype),
    )
