r"""Solid harmonics in plain torch: any device and precision, differentiable to every order, and what compiled kernels
are compared with.

The formula is that of :mod:`intertwine.kernels.harmonics.plan`, in other steps: the recursion is over Q itself,

.. math:: Q_{lm} = \frac{l(2l-1)}{l^2-m^2} \left(y\, Q_{l-1,m} - \frac{l-1}{2l-1} r^2 Q_{l-2,m}\right), \qquad
    Q_{ll} = 2^{-l},

degree by degree, with all orders of a degree and all points at once, and derivatives come from autograd. Arrays have
components on the first axis and points on the last one, so that each operation streams contiguous rows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels.harmonics.plan import Solid
from intertwine.numerics import modes, safe


class Tables(NamedTuple):
    """The constants of a description; ``pairs`` are the (l, m >= 0) of all degrees up to the largest."""

    recursion: Float[Tensor, "pairs 1"]  # l (2l-1) / (l^2 - m^2), and 2^-l for m = l
    scale: Float[Tensor, "pairs 1"]  # n_lm
    polar: Int[Tensor, " dim"]  # component -> its pair
    azimuth: Int[Tensor, " dim"]  # component -> its row of (s_L ... s_1, 1, c_1 ... c_L)


def values(x: Float[Tensor, "n 3"], solid: Solid) -> Float[Tensor, "n dim"]:
    """Y(x), in differentiable operations.

    Args:
        x: points, in any unit of length.
        solid: what to evaluate.
    """
    tables, largest = tables_for(solid, x), max(solid.degrees, default=0)
    first, y, third = (_direction(x, solid.minus) if solid.normalize else x).unbind(-1)
    square = first * first + y * y + third * third
    q = torch.cat(polar(y, square, tables.recursion, largest, solid.minus)) * tables.scale
    c, s = _azimuthal(first, third, largest, solid.minus)
    u = torch.cat([s.flip(0), c]).index_select(0, tables.azimuth)
    return (q.index_select(0, tables.polar) * u).t().contiguous()


def polar(
    y: Float[Tensor, " n"],
    square: Float[Tensor, " n"],
    recursion: Float[Tensor, "pairs 1"],
    largest: int,
    minus: float = -1.0,
) -> list[Tensor]:
    """:math:`Q_{lm}` for all l up to ``largest``: a list of arrays (l + 1, n), rows m = 0 ... l.

    Args:
        y: the coordinate along the polar axis, in the unit of length; square: :math:`r^2`.
        recursion: of the tables; minus: of the description.
    """
    one = torch.ones_like(y)[None]
    parts = [one]
    if largest:
        parts.append(torch.cat([y[None], 0.5 * one]))
    for l in range(2, largest + 1):
        top = y * parts[-1]
        body = torch.addcmul(top[:-1], square, parts[-2], value=minus * (l - 1) / (2 * l - 1))
        start = l * (l + 1) // 2
        parts.append(torch.cat([body, top[-1:], one]) * recursion[start : start + l + 1])
    return parts


def _azimuthal(x: Tensor, z: Tensor, largest: int, minus: float) -> tuple[Tensor, Tensor]:
    """:math:`c_m + i s_m = (z + i x)^m`: arrays c (largest + 1, n) for m = 0, 1, ... and s (largest, n) for m = 1, 2,
    ...

    The powers known so far times the highest of them are the next ones, so a few operations suffice.
    """
    if not largest:
        return torch.ones_like(x)[None], x[None][:0]
    c, s = z[None], x[None]
    while c.shape[0] < largest:
        count = min(c.shape[0], largest - c.shape[0])
        real, imaginary = c[:count], s[:count]
        next_c = torch.addcmul(real * c[-1], imaginary, s[-1], value=minus)
        next_s = torch.addcmul(real * s[-1], imaginary, c[-1])
        c, s = torch.cat([c, next_c]), torch.cat([s, next_s])
    return torch.cat([torch.ones_like(x)[None], c]), s


def _direction(x: Tensor, minus: float) -> Tensor:
    """x / |x|."""
    if minus < 0:
        return safe.normalize(x)
    square = (x * x).sum(-1, keepdim=True)
    return x * (2 * square.detach() - square).rsqrt()  # the same value, and derivatives without a minus


def tables_of(solid: Solid, dtype: torch.dtype, device: torch.device) -> Tables:
    """The constants of a description, rounded once from double precision."""
    largest = max(solid.degrees, default=0)
    pairs = [(l, m) for l in range(largest + 1) for m in range(l + 1)]
    signed = [(l, m) for l in solid.degrees for m in range(-l, l + 1)]
    recursion = [l * (2 * l - 1) / (l * l - m * m) if m < l else 2.0**-l for l, m in pairs]
    columns = [torch.tensor(column, dtype=dtype, device=device)[:, None] for column in (recursion, solid.scales)]
    rows = [l * (l + 1) // 2 + abs(m) for l, m in signed], [largest + m for _, m in signed]
    return Tables(*columns, *(torch.tensor(row, dtype=torch.int64, device=device) for row in rows))


_TABLES: dict[tuple[Solid, torch.dtype, torch.device], Tables] = {}


def tables_for(solid: Solid, x: Tensor) -> Tables:
    """The constants in the precision and on the device of x, kept for the next call; a compiler gets its own, which it
    folds.
    """
    if torch.jit.is_tracing():  # exact in whatever precision the trace is called with later
        exact = tables_of(solid, torch.float64, x.device)
        return exact._replace(recursion=exact.recursion.type_as(x), scale=exact.scale.type_as(x))
    if modes.traced(x):
        return tables_of(solid, x.dtype, x.device)
    key = (solid, x.dtype, x.device)
    tables = _TABLES.get(key)
    if tables is None:
        with modes.apart():
            tables = tables_of(*key)
        if not modes.traced(tables.scale):  # nor fake or functional, under somebody's mode
            if len(_TABLES) >= 256:
                _TABLES.clear()
            _TABLES[key] = tables
    return tables


def gradient(x: Float[Tensor, "n 3"], g: Float[Tensor, "n dim"], solid: Solid) -> Float[Tensor, "n 3"]:
    """The gradient of the sum of g Y(x), a differentiable function of x and g where they ask for one.

    A derivative with respect to x does not count the ways in which g depends on it: autograd follows those itself.
    """
    if not solid.largest:
        return torch.zeros_like(x)
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        x, g = _node(x), g.view_as(g)
        (slope,) = torch.autograd.grad(values(x, solid), x, g, create_graph=keep, materialize_grads=True)
    return slope


def second(
    x: Float[Tensor, "n 3"], g: Float[Tensor, "n dim"], v: Float[Tensor, "n 3"], solid: Solid
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n dim"]]:
    """Derivatives with respect to x and g of the inner product of v with :func:`gradient`."""
    if not solid.largest:
        return torch.zeros_like(x), torch.zeros_like(g)
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        x, g, v = _node(x), _node(g), v.view_as(v)
        dx, dg = torch.autograd.grad(gradient(x, g, solid), (x, g), v, create_graph=keep, materialize_grads=True)
    return dx, dg


def third(
    x: Float[Tensor, "n 3"],
    g: Float[Tensor, "n dim"],
    v: Float[Tensor, "n 3"],
    slopes: tuple[Float[Tensor, "n 3"] | None, Float[Tensor, "n dim"] | None],
    solid: Solid,
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n dim"], Float[Tensor, "n 3"]]:
    """Derivatives with respect to x, g and v of the inner product of ``slopes`` with :func:`second`."""
    if not solid.largest:
        return torch.zeros_like(x), torch.zeros_like(g), torch.zeros_like(v)
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = _node(x), _node(g), _node(v)
        # degree 1 has no Hessian
        pairs = [
            (y, slope) for y, slope in zip(second(*inputs, solid), slopes) if y.requires_grad and slope is not None
        ]
        if not pairs:
            return torch.zeros_like(x), torch.zeros_like(g), torch.zeros_like(v)
        outputs, cotangents = zip(*pairs)
        dx, dg, dv = torch.autograd.grad(outputs, inputs, cotangents, create_graph=keep, materialize_grads=True)
    return dx, dg, dv


def _node(x: Tensor) -> Tensor:
    """x as a new node of the graph."""
    return x.view_as(x) if x.requires_grad else modes.leaf(x)
