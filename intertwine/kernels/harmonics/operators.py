r"""Harmonics as operators of torch: differentiated to every order, traced, exported and batched.

Three operators, Y(x), the gradient of :math:`\sum g\,Y(x)`, and the derivatives of that, which a loss on forces needs,
have kernels; third and higher derivatives go through plain torch. Each operator is told its description as a text, so
an exported program needs nothing else. Called directly on ordinary tensors the same derivatives come without the cost
of an operator's dispatch.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.library import Library

from intertwine.kernels.harmonics import definition
from intertwine.kernels.harmonics.kernel import Harmonics, harmonics
from intertwine.kernels.harmonics.plan import Solid
from intertwine.kernels.shared.recording import register_derivative
from intertwine.numerics import safe

_library = Library("intertwine", "FRAGMENT")
_library.define("harmonics(Tensor x, str solid) -> Tensor")
_library.define("harmonics_gradient(Tensor x, Tensor g, str solid) -> Tensor")
_library.define("harmonics_second(Tensor x, Tensor g, Tensor v, str solid) -> (Tensor, Tensor)")


def evaluate(x: Float[Tensor, "n 3"], solid: str) -> Float[Tensor, "n dim"]:
    """Y(x) of ordinary tensors, the fast way.

    Args:
        x: points, in any unit of length; ``safe.plain``.
        solid: :attr:`Solid.text` of what to evaluate.
    """
    kernels = harmonics(solid)
    return _Values.apply(x, kernels) if x.requires_grad and torch.is_grad_enabled() else kernels.values(x)


def operator(x: Float[Tensor, "n 3"], solid: str) -> Float[Tensor, "n dim"]:
    """Y(x) as an operator that compilers and exporters pass through; arguments as in :func:`evaluate`, of any kind."""
    return torch.ops.intertwine.harmonics(x, solid)


# ----------------------------------------------------------------------------------------------------- ordinary tensors


class _Values(torch.autograd.Function):
    """Y(x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Harmonics) -> Tensor:
        ctx.save_for_backward(x)
        ctx.kernels = kernels
        return kernels.values(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        if not safe.plain(g):
            return definition.gradient(x, g, ctx.kernels.solid), None
        return (_Gradient.apply(x, g, ctx.kernels) if torch.is_grad_enabled() else ctx.kernels.gradient(x, g)), None


class _Gradient(torch.autograd.Function):
    """The gradient of the sum of g Y(x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, kernels: Harmonics) -> Tensor:
        ctx.save_for_backward(x, g)
        ctx.kernels = kernels
        return kernels.gradient(x, g)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        x, g = ctx.saved_tensors
        if not safe.plain(v):
            return *definition.second(x, g, v, ctx.kernels.solid), None
        return *(_Second.apply(x, g, v, ctx.kernels) if torch.is_grad_enabled() else ctx.kernels.second(x, g, v)), None


class _Second(torch.autograd.Function):
    """The derivatives with respect to x and g of the inner product of v with the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, v: Tensor, kernels: Harmonics) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, g, v)
        ctx.kernels = kernels
        return kernels.second(x, g, v)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, g, v = ctx.saved_tensors
        return *definition.third(x, g, v, (slopes[0], slopes[1]), ctx.kernels.solid), None


# ------------------------------------------------------------------------------------------------------------ operators


def _values(x: Tensor, solid: str) -> Tensor:
    return harmonics(solid).values(x)


def _gradient(x: Tensor, g: Tensor, solid: str) -> Tensor:
    return harmonics(solid).gradient(x, g)


def _second(x: Tensor, g: Tensor, v: Tensor, solid: str) -> tuple[Tensor, Tensor]:
    return harmonics(solid).second(x, g, v)


# on every device: where there is no kernel, plain torch does it
_library.impl("harmonics", _values, "CompositeExplicitAutograd")
_library.impl("harmonics_gradient", _gradient, "CompositeExplicitAutograd")
_library.impl("harmonics_second", _second, "CompositeExplicitAutograd")


@torch.library.register_fake("intertwine::harmonics", lib=_library)
def _(x: Tensor, solid: str) -> Tensor:
    return x.new_empty(x.shape[0], Solid.read(solid).dim)


@torch.library.register_fake("intertwine::harmonics_gradient", lib=_library)
def _(x: Tensor, g: Tensor, solid: str) -> Tensor:
    return x.new_empty(x.shape)


@torch.library.register_fake("intertwine::harmonics_second", lib=_library)
def _(x: Tensor, g: Tensor, v: Tensor, solid: str) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(g.shape)


def _keep(ctx: Any, inputs: tuple, output: Any) -> None:
    ctx.save_for_backward(*inputs[:-1])
    ctx.solid = inputs[-1]


def _values_backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
    return torch.ops.intertwine.harmonics_gradient(*ctx.saved_tensors, g, ctx.solid), None


def _gradient_backward(ctx: Any, v: Tensor) -> tuple[Tensor, Tensor, None]:
    return *torch.ops.intertwine.harmonics_second(*ctx.saved_tensors, v, ctx.solid), None


def _second_backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
    x, g, v = ctx.saved_tensors
    return *definition.third(x, g, v, (slopes[0], slopes[1]), Solid.read(ctx.solid)), None


for _name, _backward in (
    ("harmonics", _values_backward),
    ("harmonics_gradient", _gradient_backward),
    ("harmonics_second", _second_backward),
):
    register_derivative(_library, _name, _backward, _keep)


def _batched(name: str) -> Any:
    """The rule of vmap: points are independent, so a batch of them is more points."""

    def rule(info: Any, dims: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:
        size, flat = info.batch_size, []
        for tensor, dim in zip(arguments[:-1], dims):
            moved = tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            flat.append(moved.reshape(-1, moved.shape[-1]))
        result = getattr(torch.ops.intertwine, name)(*flat, arguments[-1])
        several = isinstance(result, tuple)
        split = tuple(output.unflatten(0, (size, -1)) for output in (result if several else (result,)))
        return (split, (0,) * len(split)) if several else (split[0], 0)

    return rule


for _name in ("harmonics", "harmonics_gradient", "harmonics_second"):
    torch.library.register_vmap(f"intertwine::{_name}", _batched(_name), lib=_library)
