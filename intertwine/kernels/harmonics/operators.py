r"""Harmonics as operators of torch: differentiated to every order, traced, exported and batched.

Three operators, Y(x), the gradient of :math:`\sum g\,Y(x)`, and the derivatives of that, which a loss on forces needs,
have kernels; third and higher derivatives are autograd's of the definition. Each operator is told its description as a
text, so an exported program needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.harmonics import definition
from intertwine.kernels.harmonics.kernel import harmonics
from intertwine.kernels.shared.operator import Operator, Tensors


def evaluate(x: Float[Tensor, "n 3"], solid: str) -> Float[Tensor, "n dim"]:
    """Y(x), differentiable to every order.

    Args:
        x: points, in any unit of length.
        solid: :attr:`Solid.text` of what to evaluate.
    """
    return VALUES(x, solid)


def _derivative(tensors: Tensors, rest: Sequence[Any], _: Any, cotangents: Tensors) -> Tensors:
    """Of the values."""
    (g,) = cotangents
    return [None if g is None else GRADIENT(*tensors, g, *rest)]


def _derivative_of_gradient(tensors: Tensors, rest: Sequence[Any], _: Any, cotangents: Tensors) -> Tensors:
    (v,) = cotangents
    return [None, None] if v is None else SECOND(*tensors, v, *rest)


def _operator(name: str, method: str, schema: str, derivative: Callable[..., Tensors] | None, shapes: Any) -> Operator:
    """An operator whose results are those of a method of the kernels, and a function of the definition."""

    def compute(*arguments: Any) -> Any:
        return getattr(harmonics(arguments[-1]), method)(*arguments[:-1])

    def plain(*arguments: Any) -> Any:
        return getattr(definition, method)(*arguments[:-1], harmonics(arguments[-1]).solid)

    def batch(size: int, tensors: Tensors, rest: Sequence[Any]) -> Any:
        """Points are independent, so a batch of them is more points."""
        results = operator(*(x.reshape(-1, x.shape[-1]) for x in tensors), *rest)
        several = isinstance(results, tuple)
        parts = tuple(y.unflatten(0, (size, -1)) for y in (results if several else (results,)))
        return parts if several else parts[0]

    operator = Operator(name, compute, derivative, definition=plain, schema=schema, shapes=shapes, batch=batch)
    return operator


def _shape(x: Tensor, solid: str) -> Tensor:
    return x.new_empty(x.shape[0], harmonics(solid).solid.dim)


def _shapes(x: Tensor, g: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(g.shape)


_GRADIENT, _SECOND = "(Tensor x, Tensor g, str solid) -> Tensor", "(Tensor x, Tensor g, Tensor v, str solid)"
VALUES = _operator("harmonics", "values", "(Tensor x, str solid) -> Tensor", _derivative, _shape)
GRADIENT = _operator("harmonics_gradient", "gradient", _GRADIENT, _derivative_of_gradient, lambda *x: _shapes(*x)[0])
SECOND = _operator("harmonics_second", "second", _SECOND + " -> (Tensor, Tensor)", None, _shapes)
