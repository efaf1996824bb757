r"""Channels of equal irreps mixed by matrices, :math:`z_{w i} = \sum_u x_{u i} W_{u w}`.

Two functions that are closed under differentiation,

.. math::
    F(x, W) = x W, \qquad B(x, g, W) = (g W^T,\; x^T g), \qquad
    dF \to B(x, g, W), \qquad dB \to \big(B(a, g, V)_x,\; F(a, W) + F(x, V),\; B(a, g, V)_W\big)

for a cotangent g of F, and cotangents (a, V) of B; dB is for its arguments x, g, W. Compilers and whoever watches
torch's operations see the products of the definition, which they know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.linear import definition, kernel
from intertwine.kernels.linear.plan import Mixing
from intertwine.kernels.shared import card, choice
from intertwine.kernels.shared.operator import Operator, Tensors
from intertwine.numerics import modes


def applicable(*tensors: Tensor) -> bool:
    """Whether a layer may be one operator here: plain real tensors of one precision on the CPU, or on a graphics card
    that has kernels for it, and no autocast.
    """
    first, dtype = tensors[0], tensors[0].dtype
    if not dtype.is_floating_point or not modes.plain(*tensors):
        return False
    if first.is_cpu:
        return not torch.is_autocast_enabled("cpu") and all(x.dtype is dtype and x.is_cpu for x in tensors)
    if not first.is_cuda or torch.is_autocast_enabled("cuda") or not card.supports(dtype):
        return False
    device = first.device
    return choice.native(device) == "gpu" and all(x.dtype is dtype and x.device == device for x in tensors)


def mix(
    x: Float[Tensor, "z dim_in"],
    weight: Float[Tensor, " weights"],
    plan: Mixing,
    bias: Float[Tensor, " biases"] | None = None,
) -> Float[Tensor, "z dim_out"]:
    """F, and the biases, differentiable to every order, of tensors that are :func:`applicable`."""
    return MIX.here(plan, x, weight, bias)


def _derivative(tensors: Tensors, rest: Sequence[Any], needed: Sequence[bool], cotangents: Tensors) -> Tensors:
    """Of F."""
    (x, weight, _), (plan,), (g,) = tensors, rest, cotangents
    if g is None:
        return [None] * 3
    for_bias = torch.cat([g.narrow(1, b.start, b.mul).sum(0) for b, _ in plan.biases]) if needed[2] else None
    return [*BACKWARD(plan, (needed[0], needed[1]), x, g, weight), for_bias]


def _derivative_of_backward(
    tensors: Tensors, rest: Sequence[Any], needed: Sequence[bool], cotangents: Tensors
) -> Tensors:
    """Of B."""
    (x, g, weight), plan, (a, v) = tensors, rest[0], cotangents
    if modes.plain(x, g, weight):  # what was saved may have changed since
        kernel.require(plan, x, g, weight)
    needs = (needed[0] and v is not None, needed[2] and a is not None)
    for_x, for_weight = BACKWARD(plan, needs, x if a is None else a, g, weight if v is None else v)
    for_g = MIX(plan, a, weight, None) if needed[1] and a is not None else None
    if needed[1] and v is not None:
        from_v = MIX(plan, x, v, None)
        for_g = from_v if for_g is None else for_g + from_v
    return [for_x, for_g, for_weight]


MIX = Operator("mix", kernel.forward, _derivative, definition=definition.forward)
BACKWARD = Operator("mix_backward", kernel.backward, _derivative_of_backward, definition=definition.backward)
