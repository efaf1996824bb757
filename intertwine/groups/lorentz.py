r"""The Lorentz group SO^+(1, 3), by its double cover SL(2, C).

A four-vector is (t, x, y, z) with the metric :math:`\eta = \mathrm{diag}(1, -1, -1, -1)`. With the Pauli matrices
:math:`\sigma_0 = 1, \sigma_1, \sigma_2, \sigma_3` and M in SL(2, C), :math:`\Lambda^\mu{}_\nu = \frac12
\mathrm{tr}(\sigma_\mu M \sigma_\nu M^\dagger)`.
"""

from __future__ import annotations

from math import factorial

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from intertwine.groups.affine import SO
from intertwine.groups.matrix import MatrixGroup
from intertwine.groups.series import horner


class Lorentz(MatrixGroup):
    r"""SO^+(1, 3): matrices (..., 4, 4) with :math:`\Lambda^T \eta \Lambda = \eta`, determinant 1 and
    :math:`\Lambda^0{}_0 \ge 1`.

    Coordinates: a rotation vector (3, radians) and a rapidity (3), :math:`M = \exp(\frac12(\zeta - i\omega) \cdot
    \sigma)`. Every element has a logarithm; with a half turn, one of two.
    Not compact: ``sample`` takes :math:`R_1\, B(\zeta e_z)\, R_2` with Haar rotations and :math:`\zeta` uniform in (0,
    2).
    """

    dim, name = 6, "SO+(1,3)"

    def __init__(self) -> None:
        super().__init__(4)

    def metric(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "4 4"]:
        """diag(1, -1, -1, -1)."""
        return torch.diag(torch.tensor([1.0, -1.0, -1.0, -1.0], dtype=dtype))

    def inverse(self, g: Tensor) -> Tensor:
        signs = self.metric(g.dtype).diagonal().to(g.device)
        return signs[:, None] * g.mT * signs

    def exp(self, x: Float[Tensor, "*batch dim"]) -> Tensor:
        x = self.coordinates(x)
        z = torch.complex(x[..., 3:], -x[..., :3]) / 2
        square = z.square().sum(-1)  # the matrix Z = z . sigma has Z^2 = z^2
        m = _cosh(square)[..., None, None] * _pauli(x)[0] + _sinhc(square)[..., None, None] * _matrix(z)
        pauli = _pauli(x)
        return torch.einsum("aij,...jk,bkl,...il->...ab", pauli, m, pauli, m.conj()).real / 2

    def log(self, g: Tensor) -> Float[Tensor, "*batch dim"]:
        pauli = _pauli(g)
        # sum of Lambda_mn sigma_m A sigma_n = 2 tr(M^+ A) M, because sum of sigma_n B sigma_n = 2 tr B; of four A that
        # with the largest factor, which is not small at any M
        every = torch.einsum("...ab,aij,cjk,bkl->...cil", g.to(pauli.dtype), pauli, pauli, pauli)
        square = every[..., 0, 0] * every[..., 1, 1] - every[..., 0, 1] * every[..., 1, 0]
        best = square.detach().abs().argmax(-1)[..., None]
        root = square.gather(-1, best).squeeze(-1).sqrt()
        n = every.gather(-3, best[..., None, None].expand(*best.shape, 2, 2)).squeeze(-3)
        m = n / root[..., None, None]
        m = torch.where((m[..., :1, :1] + m[..., 1:, 1:]).real < 0, -m, m)  # both are above the same element
        half = (m[..., 0, 0] + m[..., 1, 1]) / 2
        sinh = torch.stack([(m * sigma.mT).sum((-2, -1)) / 2 for sigma in pauli[1:]], dim=-1)  # sinh(s)/s z
        z = _arsinhc(sinh.square().sum(-1), half)[..., None] * sinh
        return torch.cat([-2 * z.imag, 2 * z.real], dim=-1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        turns = torch.eye(4, dtype=torch.float64).repeat(2, n, 1, 1)
        turns[..., 1:, 1:] = SO(3).sample(2 * n, generator).unflatten(0, (2, n))
        boost = torch.zeros(n, 6, dtype=torch.float64)
        boost[:, 5] = 2 * torch.rand(n, generator=generator, dtype=torch.float64)
        return turns[0] @ self.exp(boost) @ turns[1]


def _pauli(like: Tensor) -> Complex[Tensor, "4 2 2"]:
    matrices = [[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]]
    return torch.tensor(matrices, dtype=like.dtype.to_complex(), device=like.device)


def _matrix(z: Tensor) -> Tensor:
    """z . sigma of complex vectors (..., 3)."""
    a, b, c = z.unbind(-1)
    return torch.stack([c, a - 1j * b, a + 1j * b, -c], dim=-1).unflatten(-1, (2, 2))


def _cosh(square: Tensor) -> Tensor:
    """cosh of the root of a complex number."""
    return _entire(square, [1 / factorial(2 * k) for k in range(12)], torch.cosh)


def _sinhc(square: Tensor) -> Tensor:
    """sinh(s)/s as a function of the square of s."""
    return _entire(square, [1 / factorial(2 * k + 1) for k in range(12)], lambda s: s.sinh() / s)


def _arsinhc(square: Tensor, cosh: Tensor) -> Tensor:
    """s/sinh(s) from the square of sinh(s), and cosh(s) with a real part of 0 or more."""
    series, coefficients = 1.0, []
    for k in range(20):  # arsinh(x)/x
        coefficients.append(series)
        series *= -((2 * k + 1) ** 2) / ((2 * k + 2) * (2 * k + 3))
    small = square.abs() < 0.05
    far = torch.where(small, 1.0, square).sqrt()
    near = horner(coefficients, torch.where(small, square, 0.0))
    return torch.where(small, near, (torch.where(small, 1.0, cosh) + far).log() / far)


def _entire(square: Tensor, coefficients: list[float], of_root) -> Tensor:  # type: ignore[no-untyped-def]
    small = square.abs() < 0.5
    near = horner(coefficients, torch.where(small, square, 0.0))
    return torch.where(small, near, of_root(torch.where(small, 1.0, square).sqrt()))
