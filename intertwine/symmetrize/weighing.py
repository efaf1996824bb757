r"""The weighted sum of what a network returns for many copies, :math:`y_r = \sum_k w_{kr} x_{kr}`, in one pass over it.

Weights add up to 1 over the copies, so their derivatives add up to 0, and what the copies have in common cancels. It
is taken out first, for it loses digits:

.. math:: \partial L / \partial w_{kr} = \sum_c \bar y_{rc} (x_{krc} - y_{rc}), \qquad
    \partial L / \partial x_{krc} = w_{kr} \bar y_{rc}
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import safe

#: Numbers of all copies, from which on derivatives read one copy after the other.
MANY = 2**19


class _WeightedSum(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, weight: Tensor, whole: bool) -> Tensor:
        return _sum(value, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
        value, weight, ctx.whole = inputs
        ctx.save_for_backward(value, weight, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        value, weight, total = ctx.saved_tensors
        common = total.detach() if ctx.whole else torch.zeros_like(grad)
        of_value = weight.unsqueeze(-1) * grad if ctx.needs_input_grad[0] else None
        return of_value, _along(value, common, grad) if ctx.needs_input_grad[1] else None, None


def weighted_sum(
    value: Float[Tensor, "copies rows *shape"], weight: Float[Tensor, "copies rows"], whole: bool = True
) -> Float[Tensor, "rows *shape"]:
    """The sum over copies, in the precision of the values.

    Args:
        value: of each copy.
        weight: of each copy and row.
        whole: the weights add up to 1 over the copies, whatever derivatives are taken along; if not, as those of a
            part of the copies, nothing is taken out.
    """
    columns = value.flatten(2) if value.ndim > 2 else value.unsqueeze(2)
    weight = weight.to(value)
    if weight.requires_grad or value.requires_grad:
        result = _WeightedSum.apply(columns, weight, whole)
    else:
        result = _sum(columns, weight)
    return result.view(value.shape[1:])


def _sum(value: Float[Tensor, "copies rows c"], weight: Float[Tensor, "copies rows"]) -> Float[Tensor, "rows c"]:
    weight = weight.unsqueeze(-1)
    if not _at_hand(value, weight):
        return (weight * value).sum(0)
    total = weight[0] * value[0]
    for k in range(1, len(value)):  # each copy is read once, and nothing of the size of all is written
        total.addcmul_(weight[k], value[k])
    return total


def _along(
    value: Float[Tensor, "copies rows c"], common: Float[Tensor, "rows c"], grad: Float[Tensor, "rows c"]
) -> Float[Tensor, "copies rows"]:
    if not _at_hand(value, common, grad):
        return ((value - common) * grad).sum(-1)
    if value.numel() < MANY:
        return (value - common).mul_(grad).sum(-1)
    result, apart = value.new_empty(value.shape[:2]), torch.empty_like(common)
    for k in range(len(value)):
        torch.sub(value[k], common, out=apart)
        torch.sum(apart.mul_(grad), -1, out=result[k])
    return result


def _at_hand(*values: Tensor) -> bool:
    """Whether one copy after the other is faster than all at once: on the CPU, where nobody records it."""
    recorded = torch.is_grad_enabled() and any(x.requires_grad for x in values)
    return not recorded and all(x.device.type == "cpu" and safe.plain(x) for x in values)
