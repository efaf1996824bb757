r"""Solid harmonics in plain torch: any device and precision, differentiable to every order, and what compiled kernels
are compared with.

A derivative of a harmonic is harmonics of one degree less, and these give the harmonic back: with
:math:`F_{lm} = Q_{lm} \{\mathrm{Re}, \mathrm{Im}\} (z + i x)^m` of :mod:`intertwine.kernels.harmonics.plan`,

.. math:: \partial_k F_l = l\, D_{lk} F_{l-1}, \qquad F_l = \sum_k x_k D_{lk} F_{l-1}, \qquad F_0 = 1,

where D are constants, 1 and :math:`\pm 1/2` (Hobson 1931, chapter IV). One climb through the degrees gives values and
gradient; the climb of the points, and that of a step that they take beside it, what a second derivative needs. Arrays
have components on the first axis and points on the last one, so that each operation streams contiguous rows.

Tracers get :func:`recursion`: other steps to the same numbers, without matrix products. A compiler makes one program of
it, and it is right in whatever precision of products a trace runs later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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


class Climb(NamedTuple):
    """The constants of a climb through its degrees."""

    rates: tuple[Float[Tensor, "dim 1"], ...]  # n_lm, l times it, and l - 1 times that
    up: tuple[Float[Tensor, "higher three_lower"], ...]  # D_1 ... D_L, the three axes side by side
    down: tuple[Float[Tensor, "three_higher lower"], ...]  # the same, the three axes one above the other


def values(x: Float[Tensor, "n 3"], solid: Solid) -> Float[Tensor, "n dim"]:
    """Y(x), in differentiable operations.

    Args:
        x: points, in any unit of length.
        solid: what to evaluate.
    """
    if modes.traced(x):
        return recursion(x, solid)
    constants, (u, _) = _kept(climb_of, solid, x), _places(x, solid)
    parts = _climb(u, None, constants.up)
    return _turned(torch.cat([parts[l] for l in solid.degrees] or [u[:0]]) * constants.rates[0])


def gradient(x: Float[Tensor, "n 3"], g: Float[Tensor, "n dim"], solid: Solid) -> Float[Tensor, "n 3"]:
    """The gradient of the sum of g Y(x), in differentiable operations."""
    if not solid.largest:
        return torch.zeros_like(x)
    constants, (u, inverse) = _kept(climb_of, solid, x), _places(x, solid)
    slopes = _slopes(_climb(u, None, constants.up[:-1]), solid, constants)
    p = (slopes * (_turned(g) * constants.rates[1])).sum(1)
    return _turned(p if inverse is None else _across(p, u, solid.minus) * inverse)


def second(
    x: Float[Tensor, "n 3"], g: Float[Tensor, "n dim"], v: Float[Tensor, "n 3"], solid: Solid
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n dim"]]:
    """Derivatives with respect to x and g of the inner product of v with :func:`gradient`, in differentiable
    operations.
    """
    if not solid.largest:
        return torch.zeros_like(x), torch.zeros_like(g)
    constants, (u, inverse) = _kept(climb_of, solid, x), _places(x, solid)
    g, v, minus = _turned(g), _turned(v), solid.minus
    step = v if inverse is None else _across(v, u, minus) * inverse  # of u, along v
    parts = _climb(u, step, constants.up)
    g = torch.cat([g * constants.rates[1], g * constants.rates[2]], 1)
    p, dx = (_slopes(parts, solid, constants) * g).sum(1).chunk(2, 1)
    if inverse is not None:  # of (p - u (u p)) v / |x|, with p, u and 1 / |x| as functions of x
        slope = _across(p, u, minus) * inverse
        inward = step * (u * p).sum(0) + slope * (u * v).sum(0) + u * (step * p).sum(0)
        dx = torch.add(_across(dx, u, minus), inward, alpha=minus) * inverse
    along = torch.cat([parts[l] for l in solid.degrees])[:, u.shape[1] :]
    return _turned(dx), _turned(along * constants.rates[1])


def _climb(u: Float[Tensor, "3 n"], step: Float[Tensor, "3 n"] | None, up: Sequence[Tensor]) -> list[Tensor]:
    """F of all degrees (2l+1, n); if the points take a step, 1 / l of what F changes by stands beside it (2l+1, 2n)."""
    product, start = modes.exact_product(u), torch.ones_like(u[:1])
    parts, vectors = [start], u[:, None]
    if step is not None:
        parts, vectors = [torch.cat([start, torch.zeros_like(start)], 1)], torch.cat([u, step], 1)[:, None]
    for matrix in up:
        still = parts[-1] if step is None else parts[-1][:, : u.shape[1]].repeat(1, 2)
        parts.append(product(matrix, (vectors * still).flatten(0, 1)))
    return parts


def _slopes(parts: Sequence[Tensor], solid: Solid, constants: Climb) -> Float[Tensor, "3 dim n"]:
    """1 / l of the derivatives of F along three axes; beside them 1 / (l-1) of what these change by in the step."""
    product, still = modes.exact_product(parts[0]), parts[0].new_zeros(3, 1, parts[0].shape[1])
    slopes = {l: product(constants.down[l - 1], parts[l - 1]).view(3, 2 * l + 1, -1) for l in set(solid.degrees) - {0}}
    return torch.cat([slopes.get(l, still) for l in solid.degrees], 1)


def _places(x: Float[Tensor, "n 3"], solid: Solid) -> tuple[Float[Tensor, "3 n"], Float[Tensor, " n"] | None]:
    """Where the harmonics are evaluated, u, and 1 / |x| where that is x / |x|."""
    rows = torch.stack(x.unbind(1))
    return safe.direction(rows, 0) if solid.normalize else (rows, None)


def _across(v: Float[Tensor, "3 n"], u: Float[Tensor, "3 n"], minus: float) -> Float[Tensor, "3 n"]:
    """v - u (u v)."""
    return torch.addcmul(v, u, (u * v).sum(0), value=minus)


def _turned(x: Tensor) -> Tensor:
    return x.t().contiguous()


def recursion(x: Float[Tensor, "n 3"], solid: Solid) -> Float[Tensor, "n dim"]:
    r"""Y(x) by the recursion over Q itself, all orders of a degree and all points at once.

    .. math:: Q_{lm} = \frac{l(2l-1)}{l^2-m^2} \left(y\, Q_{l-1,m} - \frac{l-1}{2l-1} r^2 Q_{l-2,m}\right), \qquad
        Q_{ll} = 2^{-l}
    """
    tables, largest = tables_for(solid, x), solid.largest
    first, y, third = (safe.normalize(x) if solid.normalize else x).unbind(-1)
    square = first * first + y * y + third * third
    q = torch.cat(polar(y, square, tables.recursion, largest)) * tables.scale
    c, s = _azimuthal(first, third, largest)
    u = torch.cat([s.flip(0), c]).index_select(0, tables.azimuth)
    return (q.index_select(0, tables.polar) * u).t().contiguous()


def polar(
    y: Float[Tensor, " n"],
    square: Float[Tensor, " n"],
    recursion: Float[Tensor, "pairs 1"],
    largest: int,
) -> list[Tensor]:
    """:math:`Q_{lm}` for all l up to ``largest``: a list of arrays (l + 1, n), rows m = 0 ... l.

    Args:
        y: the coordinate along the polar axis, in the unit of length; square: :math:`r^2`.
        recursion: of the tables.
    """
    one = torch.ones_like(y)[None]
    parts = [one]
    if largest:
        parts.append(torch.cat([y[None], 0.5 * one]))
    for l in range(2, largest + 1):
        top = y * parts[-1]
        body = torch.addcmul(top[:-1], square, parts[-2], value=-(l - 1) / (2 * l - 1))
        start = l * (l + 1) // 2
        parts.append(torch.cat([body, top[-1:], one]) * recursion[start : start + l + 1])
    return parts


def _azimuthal(x: Tensor, z: Tensor, largest: int) -> tuple[Tensor, Tensor]:
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
        next_c = torch.addcmul(real * c[-1], imaginary, s[-1], value=-1)
        next_s = torch.addcmul(real * s[-1], imaginary, c[-1])
        c, s = torch.cat([c, next_c]), torch.cat([s, next_s])
    return torch.cat([torch.ones_like(x)[None], c]), s


def tables_of(solid: Solid, dtype: torch.dtype, device: torch.device) -> Tables:
    """The constants of a description, rounded once from double precision."""
    largest = max(solid.degrees, default=0)
    pairs = [(l, m) for l in range(largest + 1) for m in range(l + 1)]
    signed = [(l, m) for l in solid.degrees for m in range(-l, l + 1)]
    recursion = [l * (2 * l - 1) / (l * l - m * m) if m < l else 2.0**-l for l, m in pairs]
    columns = [torch.tensor(column, dtype=dtype, device=device)[:, None] for column in (recursion, solid.scales)]
    rows = [l * (l + 1) // 2 + abs(m) for l, m in signed], [largest + m for _, m in signed]
    indices = [torch.tensor(row, dtype=torch.int64, device=device) for row in rows]
    return Tables(*columns, *indices)


def climb_of(solid: Solid, dtype: torch.dtype, device: torch.device) -> Climb:
    """The constants of the climb of a description, rounded likewise."""
    pairs = [(l, solid.scale(l, abs(m))) for l in solid.degrees for m in range(-l, l + 1)]
    rates = torch.tensor([[n, l * n, l * (l - 1) * n] for l, n in pairs], dtype=dtype, device=device)
    axes = [_axes(l, solid.minus).to(device, dtype) for l in range(1, solid.largest + 1)]
    up, down = tuple(d.transpose(0, 1).flatten(1) for d in axes), tuple(d.flatten(0, 1) for d in axes)
    return Climb(rates.reshape(-1, 3, 1).unbind(1), up, down)


def _axes(l: int, minus: float) -> Float[Tensor, "3 higher lower"]:
    """D of a degree, from d(z + i x)^m = m (z + i x)^(m-1) (dz + i dx) and the derivatives of Q; rows and columns are
    orders, from the least.
    """
    d = torch.zeros(3, 2 * l + 1, 2 * l - 1, dtype=torch.float64, device="cpu")
    for m in range(-l, l + 1):
        side, row = (-1 if m < 0 else 1), l + m
        if abs(m) < l:
            d[1, row, row - 1] = 1
        for n, share in ((abs(m) - 1, 0.5), (abs(m) + 1, 0.5 * minus)):
            share *= 1 if m else 2  # both neighbours of m = 0 are the same
            if 0 <= n < l and (n or m > 0):
                d[2, row, l - 1 + side * n] = share
            if 0 <= n < l and (n or m < 0):
                d[0, row, l - 1 - side * n] = abs(share) * (minus if side > 0 else 1)
    return d


_TABLES: dict[tuple[Callable[..., Any], Solid, torch.dtype, torch.device], Any] = {}


def tables_for(solid: Solid, x: Tensor) -> Tables:
    """The constants in the precision and on the device of x, kept for the next call; a compiler gets its own, which it
    folds.
    """
    if torch.jit.is_tracing():  # exact in whatever precision the trace is called with later
        exact = tables_of(solid, torch.float64, x.device)
        return exact._replace(recursion=exact.recursion.type_as(x), scale=exact.scale.type_as(x))
    if modes.traced(x):
        return tables_of(solid, x.dtype, x.device)
    return _kept(tables_of, solid, x)


def _kept(make: Callable[..., Any], solid: Solid, x: Tensor) -> Any:
    """Constants in the precision and on the device of x, made once."""
    key = (make, solid, x.dtype, x.device)
    tables = _TABLES.get(key)
    if tables is None:
        with modes.apart():
            tables = make(*key[1:])
        if not modes.traced(tables[0][0]):  # nor fake or functional, under somebody's mode
            if len(_TABLES) >= 256:
                _TABLES.clear()
            _TABLES[key] = tables
    return tables
