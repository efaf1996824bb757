r"""Values and derivatives of the solid harmonics by closed formulas, block of points after block.

A block is small enough for the processor's cache and only the points are kept for the backward pass, so the cost is
that of reading and writing the arguments once. With :math:`Y = n\,Q\,u`, u one of the :math:`c_m, s_m`, and the
cotangent g, the gradient of :math:`\sum g\,Y` is bilinear in (g, Q, u); its derivative along a direction v, which is
all that a second backward pass needs because the Hessian is symmetric, follows from the product rule with
:math:`\dot Q, \dot u`, which are again Q and u of lower order. Third and higher derivatives go through the plain
operations of :mod:`intertwine.o3.solid_harmonics`.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.shared import doors
from intertwine.numerics.safe import plain
from intertwine.o3 import low_harmonics
from intertwine.o3.harmonic_constants import Tables
from intertwine.o3.low_harmonics import Polynomials, exact_products, monomials
from intertwine.o3.solid_harmonics import azimuthal_part, solid_harmonics

COMPONENTS_PER_BLOCK = 2**19  # components of a block: two megabytes in float32, the cache of a core
POINTS_PER_LOW_BLOCK = 2**13  # points of a block where the degrees are low


class Harmonics(torch.autograd.Function):
    """Y(x): points (3, n) to harmonics (n, dim)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, tables: Tables) -> Tensor:
        ctx.save_for_backward(x)
        ctx.tables = tables
        return values(x, tables)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        if not plain(g):
            return _by_operations(x, g, ctx.tables)[2], None
        _require(ctx.tables, x, g)
        return (Gradient.apply(x, g, ctx.tables) if torch.is_grad_enabled() else gradient(x, g, ctx.tables)), None


class Gradient(torch.autograd.Function):
    """The gradient of sum(g Y(x)): (3, n)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, tables: Tables) -> Tensor:
        ctx.save_for_backward(x, g)
        ctx.tables = tables
        return gradient(x, g, tables)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, Tensor | None, None]:  # type: ignore[override]
        x, g = ctx.saved_tensors
        if plain(v):
            _require(ctx.tables, x, g, v)
        if plain(v) and not torch.is_grad_enabled():
            return *second(x, g, v, ctx.tables), None
        x, g, first = _by_operations(x, g, ctx.tables)
        inputs = (x, g) if g.requires_grad else (x,)
        derivatives = torch.autograd.grad(
            first, inputs, v, create_graph=torch.is_grad_enabled(), materialize_grads=True
        )
        return derivatives[0], derivatives[1] if g.requires_grad else None, None


def _require(tables: Tables, x: Tensor, g: Tensor, *directions: Tensor) -> None:
    """Points, cotangents and directions that fit each other: what was saved may have changed since.

    Raises:
        InputError: they do not.
    """
    shape, dtype, device = g.shape[:1], g.dtype, g.device
    doors.require(g, "g", (*shape, tables.polar.shape[0]), dtype, device)
    for name, tensor in zip("xv", (x, *directions)):
        doors.require(tensor, name, (3, *shape), dtype, device)


def _by_operations(x: Tensor, g: Tensor, tables: Tables) -> tuple[Tensor, Tensor, Tensor]:
    """x, g and the gradient of sum(g Y(x)) as a differentiable function of them.

    The x and g returned are new nodes: g is often a function of x, and a derivative with respect to x itself would
    count that way too.
    """
    with torch.enable_grad():
        x = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
        g = g.view_as(g) if g.requires_grad else g
        return x, g, torch.autograd.grad(solid_harmonics(x, tables), x, g.t(), create_graph=True)[0]


def values(x: Float[Tensor, "3 n"], tables: Tables) -> Float[Tensor, "n dim"]:
    """Y(x), outside autograd."""
    x = _contiguous(x)
    low, degree = _low(x, tables), max(tables.degrees, default=0)
    if low and x.shape[1] <= POINTS_PER_LOW_BLOCK:
        return torch.mm(monomials(x, degree).t(), low.values)
    out = x.new_empty(x.shape[1], tables.polar.shape[0])
    if low:
        for block in _blocks(x, tables):
            torch.mm(monomials(x[:, block], degree).t(), low.values, out=out[block])
        return out
    for block in _blocks(x, tables):
        part, start = x[:, block], 0
        n_q = _polar(part, tables, degree).mul_(tables.scale).index_select(0, tables.polar)
        c, s = azimuthal_part(part[0], part[2], degree)
        u = torch.cat([s.flip(0), c])
        for l in tables.degrees:
            n_q[start : start + 2 * l + 1].mul_(u[degree - l : degree + l + 1])
            start += 2 * l + 1
        out[block].copy_(n_q.t())
    return out


def gradient(x: Float[Tensor, "3 n"], g: Float[Tensor, "n dim"], tables: Tables) -> Float[Tensor, "3 n"]:
    """The gradient of sum(g Y(x)), outside autograd."""
    x = _contiguous(x)
    low, degree = _low(x, tables), max(tables.degrees, default=0)
    if low and x.shape[1] <= POINTS_PER_LOW_BLOCK:
        return low_harmonics.gradient(x, g, degree, low)
    out = torch.empty_like(x)
    for block in _blocks(x, tables):
        if low:
            out[:, block] = low_harmonics.gradient(x[:, block], g[block], degree, low)
        else:
            out[:, block] = _Block(x[:, block], g[block].t().contiguous(), tables).gradient()
    return out


def second(
    x: Float[Tensor, "3 n"], g: Float[Tensor, "n dim"], v: Float[Tensor, "3 n"], tables: Tables
) -> tuple[Float[Tensor, "3 n"], Float[Tensor, "n dim"]]:
    """Derivatives with respect to x and g of ``v`` dot the gradient, outside autograd: the Hessian times v, and dY
    along v.
    """
    x, v = _contiguous(x), _contiguous(v)
    low, degree = _low(x, tables), max(tables.degrees, default=0)
    if low and x.shape[1] <= POINTS_PER_LOW_BLOCK:
        return low_harmonics.second(x, g, v, degree, low)
    dx, dg = torch.empty_like(x), g.new_empty(g.shape)
    for block in _blocks(x, tables):
        if low:
            dx[:, block], dg[block] = low_harmonics.second(x[:, block], g[block], v[:, block], degree, low)
        else:
            dx[:, block], tangent = _Block(x[:, block], g[block].t().contiguous(), tables).second(v[:, block])
            dg[block].copy_(tangent.t())
    return dx, dg


class _Block:
    """Q, u and the two contractions at a block of points; names as in the module's equation, rows first."""

    def __init__(self, x: Tensor, g: Tensor, tables: Tables) -> None:
        self.x, self.g, self.tables = x, g, tables
        self.largest = max(tables.degrees, default=0)
        self.q = _polar(x, tables, self.largest)
        self.c, self.s = azimuthal_part(x[0], x[2], self.largest)
        self.u = torch.cat([self.s.flip(0), self.c])
        self.n_q = self.select(self.q)

    def select(self, q: Tensor) -> Tensor:
        """n Q of each component."""
        return (q * self.tables.scale).index_select(0, self.tables.polar)

    def fold(self, u: Tensor) -> Tensor:
        """l n (g_m u_m + g_-m u_-m) for each (l, m >= 0) of the list: the cotangent of Q, times l."""
        product = u.index_select(0, self.tables.azimuth).mul_(self.g)
        pair = product.index_select(0, self.tables.positive).add_(product.index_select(0, self.tables.negative))
        return pair.mul_(self.tables.weight)

    def collect(self, n_q: Tensor) -> Tensor:
        """The cotangent of u: the sum over the degrees of g n Q."""
        total, start = torch.zeros_like(self.u), 0
        for l in self.tables.degrees:
            rows = slice(start, start + 2 * l + 1)
            total[self.largest - l : self.largest + l + 1].addcmul_(self.g[rows], n_q[rows])
            start += 2 * l + 1
        return total

    def along_polar(self, cotangent: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Contraction with dQ/dy and with dQ/d(x, z) / (x, z)."""
        axis, radial, start = torch.zeros_like(self.c), torch.zeros_like(self.c), 0
        for l in self.tables.degrees:
            if l:
                before = q[_rows(l - 1)]
                axis[:l].addcmul_(cotangent[start : start + l], before)
                radial[: l - 1].addcmul_(cotangent[start : start + l - 1], before[1:])
            start += l + 1
        return axis.sum(0), radial.sum(0).neg_()

    def along_azimuth(self, cotangent: Tensor, c: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Contraction with du/dx and du/dz, from d(z + i x)^m = m (z + i x)^(m-1) (dz + i dx)."""
        m = torch.arange(1, self.largest + 1, dtype=c.dtype, device=c.device)[:, None]
        g_c, g_s = cotangent[self.largest + 1 :] * m, cotangent[: self.largest].flip(0) * m
        c, s = c[:-1], s[:-1]
        along_x = (g_s * c).sum(0) - (g_c[1:] * s).sum(0)
        along_z = (g_c * c).sum(0) + (g_s[1:] * s).sum(0)
        return along_x, along_z

    def gradient(self) -> Tensor:
        """The gradient of sum(g Y)."""
        polar = self.along_polar(self.fold(self.u), self.q)
        return self.assemble(*polar, *self.along_azimuth(self.collect(self.n_q), self.c, self.s))

    def assemble(self, axis: Tensor, radial: Tensor, along_x: Tensor, along_z: Tensor) -> Tensor:
        return torch.stack([along_x.addcmul(radial, self.x[0]), axis, along_z.addcmul(radial, self.x[2])])

    def second(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives along v of the gradient (3, n) and of Y (dim, n)."""
        q, c, s = self._dq(v), *self._du(v)
        u, n_q = torch.cat([s.flip(0), c]), self.select(q)
        cotangent_q = self.fold(self.u)
        _, radial = self.along_polar(cotangent_q, self.q)
        polar = [a + b for a, b in zip(self.along_polar(cotangent_q, q), self.along_polar(self.fold(u), self.q))]
        azimuth = zip(
            self.along_azimuth(self.collect(n_q), self.c, self.s), self.along_azimuth(self.collect(self.n_q), c, s)
        )
        hessian = self.assemble(*polar, *(a + b for a, b in azimuth))
        hessian[0].addcmul_(radial, v[0])
        hessian[2].addcmul_(radial, v[2])
        rows = self.tables.azimuth
        return hessian, n_q.mul_(self.u.index_select(0, rows)).addcmul_(self.n_q, u.index_select(0, rows))

    def _dq(self, v: Tensor) -> Tensor:
        """dQ along v: l (v_y Q_(l-1, m) - (x v_x + z v_z) Q_(l-1, m+1))."""
        radial = self.x[0] * v[0] + self.x[2] * v[2]
        rates = torch.zeros_like(self.q)
        for l in range(1, self.largest + 1):
            rate, before = rates[_rows(l)][:-1], self.q[_rows(l - 1)]
            torch.mul(before, v[1], out=rate)
            rate[:-1].addcmul_(before[1:], radial, value=-1)
            rate.mul_(l)
        return rates

    def _du(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """du along v: of c (largest + 1 rows) and of s (largest rows)."""
        m = torch.arange(1, self.largest + 1, dtype=v.dtype, device=v.device)[:, None]
        zero = torch.zeros_like(v[:1])
        c, s = self.c[:-1] * m, torch.cat([zero, self.s[:-1]]) * m if self.largest else self.s
        return torch.cat([zero, c * v[2] - s * v[0]]), s * v[2] + c * v[0]


def _contiguous(x: Tensor) -> Tensor:
    """Contiguous rows; ``Tensor.contiguous`` transposes three columns four times more slowly."""
    return x if x.is_contiguous() else torch.stack(x.unbind())


def _rows(l: int) -> slice:
    """Where degree l lies among the pairs (l, m >= 0)."""
    return slice(l * (l + 1) // 2, (l + 1) * (l + 2) // 2)


def _polar(x: Tensor, tables: Tables, largest: int) -> Tensor:
    """Q of all pairs (pairs, n): :func:`intertwine.o3.solid_harmonics.polar_part` written in place."""
    y, square = x[1], (x * x).sum(0)
    q = x.new_empty(_rows(largest).stop, x.shape[1])
    q[0] = 1.0
    for l in range(1, largest + 1):
        rows, factors = q[_rows(l)], tables.recursion[_rows(l)]
        rows[-1] = 2.0**-l
        torch.mul(q[_rows(l - 1)], y, out=rows[:-1])
        if l > 1:
            rows[:-2].addcmul_(q[_rows(l - 2)], square, value=-(l - 1) / (2 * l - 1))
            rows[:-1].mul_(factors[:-1])
    return q


def _low(x: Tensor, tables: Tables) -> Polynomials | None:
    """The constants of the short way, if these degrees and this setting of torch have one."""
    return tables.low if exact_products(x) else None


def _blocks(x: Tensor, tables: Tables) -> list[slice]:
    """Slices of the points: on the CPU as many as fit the cache, elsewhere all."""
    if x.device.type != "cpu":
        return [slice(0, x.shape[1])]
    size = POINTS_PER_LOW_BLOCK if tables.low else max(COMPONENTS_PER_BLOCK // max(tables.polar.shape[0], 1), 512)
    return [slice(start, start + size) for start in range(0, x.shape[1], size)]
