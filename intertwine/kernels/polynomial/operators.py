r"""Polynomials of channels as one operator of torch.

The operator evaluates a straight-line program, and its derivative is the same operator with the program's gradient:
compilers and exporters see one opaque call, and derivatives of every order exist. It is told its program as a text, and
the steps of differentiation since, so an exported program needs nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels.polynomial.kernel import evaluate, fake, plainly
from intertwine.kernels.polynomial.plan import REMEDY, differentiated, step
from intertwine.kernels.shared import doors
from intertwine.kernels.shared.operator import Operator, Tensors
from intertwine.numerics import modes


def contract(
    arguments: Sequence[Float[Tensor, "_ _ channels"]], group: Int[Tensor, " nodes"], groups: int, program: str
) -> list[Float[Tensor, "_ _ channels"]]:
    """The results of a program, differentiable to every order.

    Args:
        arguments: of the program, channels innermost, one precision and device.
        group: the group of each node, in [0, groups); groups: how many there are.
        program: :attr:`~intertwine.kernels.polynomial.plan.Program.text` of one.

    Raises:
        InputError: a group is out of range.
    """
    return list(CONTRACT(*arguments, group, groups, program, ""))


def _compute(arguments: Sequence[Tensor], group: Tensor, groups: int, program: str, steps: str) -> list[Tensor]:
    return evaluate(differentiated(program, steps), arguments, group, groups, "species")


def _plain(*flat: Any) -> list[Tensor]:
    *arguments, group, groups, program, steps = flat
    return plainly(differentiated(program, steps), arguments, group, groups)


def _derivative(tensors: Tensors, rest: Sequence[Any], needed: Sequence[bool], cotangents: Tensors) -> Tensors:
    """Those of the arguments that need one: the operator again, with one more step."""
    groups, program, steps = rest
    results = [k for k, cotangent in enumerate(cotangents) if cotangent is not None]
    wanted = [k for k, need in enumerate(needed[:-1]) if need]
    slopes: list[Tensor | None] = [None] * len(needed)
    if results and wanted:
        everything = (*tensors[:-1], *(cotangents[k] for k in results), tensors[-1])
        for k, slope in zip(wanted, CONTRACT(*everything, groups, program, steps + step(results, wanted))):
            slopes[k] = slope
    return slopes


def _batch(size: int, tensors: Tensors, rest: Sequence[Any]) -> list[Tensor]:
    """The samples of a batch are nodes, with groups of their own."""
    (*arguments, group), groups = tensors, rest[0]
    if modes.inspectable(group):
        doors.indices(group, "species", groups, "species {} of a node", REMEDY)
    # must not become one of another sample
    group = torch.where((group >= 0) & (group < groups), group, -groups * size - 1)
    own = group + groups * torch.arange(size, device=group.device).unsqueeze(1)
    flat = [x.flatten(0, 1) for x in (*arguments, own)]
    results = CONTRACT(*flat, groups * size, *rest[1:])
    return [values.reshape(size, values.shape[0] // max(size, 1), *values.shape[1:]) for values in results]


CONTRACT = Operator(
    "symmetric_contraction",
    _compute,
    _derivative,
    definition=_plain,
    schema="(Tensor[] arguments, Tensor group, int groups, str program, str steps) -> Tensor[]",
    shapes=lambda arguments, group, groups, *text: fake(differentiated(*text), arguments, group, groups),
    batch=_batch,
    listed=4,
)
