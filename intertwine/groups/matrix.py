r"""Groups of matrices that act on R^n: the orthogonal ones, scalings, and scalings with rotations of the plane.

Coordinates of the exponential map: angle of SO(2), rotation vector of SO(3), logarithm of the factor of a scaling. For
a group with translations (:mod:`intertwine.groups.affine`) each also gives :math:`\Phi(x) = \int_0^1 \exp(s x)\, ds`,
which the translation part of an exponential is multiplied with.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from intertwine.groups import series
from intertwine.groups.group import Grid, Group, Representation, require_real
from intertwine.groups.plane import PlaneIrrep
from intertwine.groups.quadrature import circle_grid, rotation_grid
from intertwine.groups.rotations import matrix_to_rotation_vector, rotation_vector_to_matrix
from intertwine.groups.spherical import SphericalIrrep
from intertwine.numerics import InputError
from intertwine.numerics.linalg import apply

PHI_NODES = 12  # of the quadrature of Phi


class MatrixGroup(Group):
    """Invertible matrices (..., n, n) with their product, which move the points of R^n."""

    def __init__(self, n: int) -> None:
        if n < 1:
            raise InputError(f"n = {n}", where=type(self).__name__, remedy="give a dimension of 1 or more.")
        self.space = n
        self.element_shape = (n, n)

    @property
    def n(self) -> int:
        """Dimension of the space."""
        return self.element_shape[0]

    def identity(self, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
        return torch.eye(self.n, dtype=dtype, device=device)

    def product(self, g: Tensor, h: Tensor) -> Tensor:
        return g @ h

    def inverse(self, g: Tensor) -> Tensor:
        return torch.linalg.inv(g)

    def act(self, g: Tensor, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        require_real(x, f"points of {self.name}")
        return apply(g.to(x), x)

    def linear(self, g: Tensor) -> Float[Tensor, "*batch n n"]:
        return g

    def phi(self, x: Tensor, v: Tensor, inverse: bool = False) -> Tensor:
        r""":math:`\Phi(x) v` or :math:`\Phi(x)^{-1} v` for coordinates x (..., dim) and vectors v (..., n):
        :math:`\Phi(x) = \int_0^1 \exp(t x)\, dt`.

        Here by a quadrature with 12 nodes, which is exact to rounding where no eigenvalue of the generator is larger
        than 3 or so; the groups that have names have it in closed form.
        """
        nodes, weights = (torch.from_numpy(half).to(x) / 2 for half in leggauss(PHI_NODES))
        nodes = nodes + 0.5
        matrix = torch.einsum("k,...kab->...ab", weights, self.exp(x[..., None, :] * nodes[:, None]))
        return torch.linalg.solve(matrix, v[..., None]).squeeze(-1) if inverse else apply(matrix, v)

    def generators(self) -> Tensor:
        return self.sample(4, torch.Generator().manual_seed(7))


class NoTurn(MatrixGroup):
    """The group of the identity alone, on R^n: what translations are extended by to give T(n)."""

    is_compact, order = True, 1

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.name = "1"

    def inverse(self, g: Tensor) -> Tensor:
        return g

    def exp(self, x: Float[Tensor, "*batch dim"]) -> Tensor:
        return self.identity(x.dtype, x.device).expand(*x.shape[:-1], self.n, self.n)

    def log(self, g: Tensor) -> Float[Tensor, "*batch dim"]:
        return g.new_zeros(*g.shape[:-2], 0)

    def phi(self, x: Tensor, v: Tensor, inverse: bool = False) -> Tensor:
        return v

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.identity().expand(n, self.n, self.n)

    def elements(self) -> Tensor:
        return self.identity()[None]

    def grid(self, order: int) -> Grid:
        return Grid(self.elements(), torch.ones(1, dtype=torch.float64), float("inf"))


class Orthogonal(MatrixGroup):
    r"""O(n), or SO(n) if ``special``: orthogonal matrices, of determinant 1.

    ``exp`` and ``log`` for n = 2 (the angle) and n = 3 (the rotation vector, in radians); the logarithm of a half turn
    is one of two, that of a reflection does not exist.
    """

    is_compact = True

    def __init__(self, n: int, special: bool = False) -> None:
        super().__init__(n)
        self.special, self.name = special, f"{'S' if special else ''}O({n})"
        self.dim = n * (n - 1) // 2

    def inverse(self, g: Tensor) -> Tensor:
        return g.mT

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n Haar-random elements."""
        q, r = torch.linalg.qr(torch.randn(n, self.n, self.n, generator=generator, dtype=torch.float64))
        q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]  # without the signs the distribution is not Haar
        if not self.special:
            return q
        flip = torch.linalg.det(q).sign()
        return torch.cat([q[..., :1] * flip[:, None, None], q[..., 1:]], dim=-1)

    def exp(self, x: Float[Tensor, "*batch dim"]) -> Tensor:
        if self.n in (2, 3):
            self.coordinates(x)
        if self.n == 2:
            c, s = x[..., 0].cos(), x[..., 0].sin()
            return torch.stack([c, -s, s, c], dim=-1).unflatten(-1, (2, 2))
        if self.n == 3:
            return rotation_vector_to_matrix(x)
        return super().exp(x)

    def log(self, g: Tensor) -> Float[Tensor, "*batch dim"]:
        if self.n == 2:
            if not self.special and bool((torch.linalg.det(g.detach()) < 0).any()):
                raise InputError("a reflection has no logarithm", where=self.name, remedy="take SO(2) apart first.")
            return torch.atan2(g[..., 1:, 0] - g[..., :1, 1], g[..., :1, 0] + g[..., 1:, 1])
        if self.n == 3:
            return matrix_to_rotation_vector(g)
        return super().log(g)

    def phi(self, x: Tensor, v: Tensor, inverse: bool = False) -> Tensor:
        if self.n == 2:
            return series.plane_phi(torch.zeros_like(x[..., 0]), x[..., 0], v, inverse)
        return series.rotation_phi(x, v, inverse) if self.n == 3 else super().phi(x, v, inverse)

    def grid(self, order: int) -> Grid:
        """A product quadrature, exact for frequencies or degrees up to ``order``: equal angles for n = 2, Euler angles
        with Gauss-Legendre nodes for n = 3; O(n) has each rotation twice, once with a reflection.
        """
        if self.n not in (1, 2, 3):
            return super().grid(order)
        if self.n == 1:
            turns, weights = torch.ones(1, 1, 1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
        elif self.n == 2:
            angles, weights = circle_grid(order)
            turns = self.exp(angles[:, None])
        else:
            turns, weights = rotation_grid(order)
        if self.special:
            return Grid(turns, weights, float(order))
        return Grid(torch.cat([turns, turns @ self.reflection()]), torch.cat([weights, weights]) / 2, float(order))

    def irreps(self, limit: int = 8) -> list[Representation]:
        """Frequencies up to the limit for n = 2, degrees for n = 3 (of O(3) in both parities)."""
        if self.n == 3:
            parities = (1,) if self.special else (1, -1)
            return [SphericalIrrep(self, l, p) for l in range(limit + 1) for p in parities]
        if self.n != 2:
            return super().irreps(limit)
        zero = [PlaneIrrep(self, 0)] + ([] if self.special else [PlaneIrrep(self, 0, odd=True)])
        return [*zero, *(PlaneIrrep(self, k) for k in range(1, limit + 1))]

    def reflection(self) -> Float[Tensor, "n n"]:
        """An element of determinant -1: the inversion for odd n, the reflection of the last axis for even n."""
        eye = self.identity()
        return -eye if self.n % 2 else torch.cat([eye[:-1], -eye[-1:]])

    def generators(self) -> Tensor:
        turns = Orthogonal(self.n, special=True).sample(4, torch.Generator().manual_seed(7))
        return turns if self.special else torch.cat([turns, self.reflection()[None]])


class Scaling(MatrixGroup):
    r"""R_+: dilations :math:`x \mapsto e^s x` of R^n; the coordinate is s, dimensionless.

    Not compact. ``sample`` takes s uniform in (-1, 1).
    """

    dim = 1

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.name = f"R+({n})"

    def inverse(self, g: Tensor) -> Tensor:
        return self.identity(g.dtype, g.device) / g[..., :1, :1]

    def exp(self, x: Float[Tensor, "*batch dim"]) -> Tensor:
        return self.coordinates(x).exp()[..., None] * self.identity(x.dtype, x.device)

    def log(self, g: Tensor) -> Float[Tensor, "*batch dim"]:
        return g[..., 0, :1].log()

    def phi(self, x: Tensor, v: Tensor, inverse: bool = False) -> Tensor:
        factor = series.expm1_ratio(x)
        return v / factor if inverse else v * factor

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.exp(2 * torch.rand(n, 1, generator=generator, dtype=torch.float64) - 1)


class ScaledRotation(MatrixGroup):
    r"""R_+ x SO(2): rotations of the plane with dilations, :math:`e^s R(\theta)`; coordinates (s, theta).

    Not compact. ``sample`` takes s uniform in (-1, 1) and the angle uniform.
    """

    dim = 2

    def __init__(self) -> None:
        super().__init__(2)
        self.name = "R+ x SO(2)"

    def inverse(self, g: Tensor) -> Tensor:
        return g.mT / g[..., :, :1].square().sum(-2, keepdim=True)

    def exp(self, x: Float[Tensor, "*batch dim"]) -> Tensor:
        return self.coordinates(x)[..., :1, None].exp() * Orthogonal(2, special=True).exp(x[..., 1:])

    def log(self, g: Tensor) -> Float[Tensor, "*batch dim"]:
        length = g[..., 0].square().sum(-1, keepdim=True).log() / 2
        return torch.cat([length, Orthogonal(2, special=True).log(g)], dim=-1)

    def phi(self, x: Tensor, v: Tensor, inverse: bool = False) -> Tensor:
        return series.plane_phi(x[..., 0], x[..., 1], v, inverse)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        scale, angle = torch.rand(2, n, generator=generator, dtype=torch.float64)
        return self.exp(torch.stack([2 * scale - 1, 2 * torch.pi * angle], dim=-1))
