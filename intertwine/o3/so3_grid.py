r"""Signals on the rotation group: Wigner coefficients to samples on a grid of Euler angles, and back, exactly.

With :math:`R = R_y(\alpha) R_x(\beta) R_y(\gamma)` a Wigner matrix is a product of three, of which the outer two only
mix m with -m. So

.. math:: f(\alpha, \beta, \gamma) = \sum_{pq} e_p(\alpha)\, h_{pq}(\beta)\, e_q(\gamma),

Fourier sums around two circles and, between them, one short sum over degrees for each pair of frequencies. The matrices
:math:`D^l(R_x(\beta))` come from the recursion of :func:`~intertwine.groups.wigner.wigner_d`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.rotations import matrix_x
from intertwine.groups.wigner import wigner_d_blocks
from intertwine.numerics import ExactBuffers, InputError, Rebuildable, choose, ignore_keys
from intertwine.o3.angles import angles_to_matrix
from intertwine.o3.blocks import LAYOUTS
from intertwine.o3.degree_sums import DegreeSums
from intertwine.o3.grids import fourier_table, meridians, parallels, quadrature, require_signal
from intertwine.o3.irreps import Irreps


def flat_wigner(
    lmax: int, alpha: Float[Tensor, "*#batch"], beta: Float[Tensor, "*#batch"], gamma: Float[Tensor, "*#batch"]
) -> Float[Tensor, "... dim"]:
    r""":math:`\sqrt{2l+1}\, D^l_{mn}(\alpha, \beta, \gamma)` for l = 0 ... lmax on one axis of :math:`\sum_l (2l+1)^2`:
    functions on the group that are orthonormal in the Haar measure (Peter and Weyl, Math. Ann. 97, 737 (1927)).

    Args:
        lmax: largest degree.
        alpha, beta, gamma: Euler angles in radians; shapes broadcast.

    Raises:
        InputError: a negative degree.
    """
    blocks = wigner_d_blocks(lmax, angles_to_matrix(alpha, beta, gamma))
    return torch.cat([(2 * l + 1) ** 0.5 * block.flatten(-2) for l, block in enumerate(blocks)], dim=-1)


class SO3Grid(Rebuildable, ExactBuffers):
    r"""A grid of rotations on which signals to degree lmax have exact transforms both ways.

    Args:
        lmax: largest degree; the coefficients are those of ``irreps``.
        resolution: half the number of polar angles; lmax + 1 or more for :meth:`from_grid` to undo :meth:`to_grid`.
        normalization: ``component`` (coefficients of variance 1 make a signal of variance 1).
        aspect_ratio: number of azimuths for each polar angle.
        layout: order of the coefficients within a degree: ``mul_ir``, row after row of :math:`D^l`, or ``ir_mul``,
            column after column.
        dtype, device: of the constants.

    Attributes:
        irreps: ``1x0e + 3x1e + 5x2e + ...``; the left index of D counts the copies, the right one transforms, by
            :math:`f(R) \to f(RQ)`.
        res_alpha, res_beta, res_gamma: numbers of angles.
        alpha, beta, gamma: the angles in radians.
        qw: quadrature weights for each beta, such that those of the whole grid add up to 1.
        D: :func:`flat_wigner` on the grid (res_alpha, res_beta, res_gamma, irreps.dim), computed when asked for; the
            transforms do without.

    Raises:
        InputError: a negative degree, a resolution or aspect ratio that is not positive, an unknown normalisation or
            layout.

    >>> grid = SO3Grid(2, 4)
    >>> grid.to_grid(torch.randn(7, 35)).shape
    torch.Size([7, 16, 8, 16])
    """

    alpha: Tensor
    beta: Tensor
    gamma: Tensor
    qw: Tensor
    fourier: Tensor

    def __init__(
        self,
        lmax: int,
        resolution: int,
        *,
        normalization: str = "component",
        aspect_ratio: int | float = 2,
        layout: str = "mul_ir",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        choose(normalization, ("component",), kind="normalization", where="SO3Grid")
        self.layout = choose(layout, LAYOUTS, kind="layout", where="SO3Grid")
        if not isinstance(resolution, int) or resolution < 1 or not aspect_ratio > 0:
            raise InputError(
                f"resolution {resolution}, aspect ratio {aspect_ratio}", where="SO3Grid", remedy="give positive ones."
            )
        if not isinstance(lmax, int) or lmax < 0:
            raise InputError(f"lmax = {lmax}", where="SO3Grid", remedy="give an integer of 0 or more.")
        nb, na = 2 * resolution, max(round(2 * aspect_ratio * resolution), 1)
        self.lmax, self.res_alpha, self.res_beta, self.res_gamma = lmax, na, nb, na
        self.irreps = Irreps([(2 * l + 1, (l, 1)) for l in range(lmax + 1)])
        self.register_exact("alpha", meridians(na), dtype, device)
        self.register_exact("beta", parallels(nb), dtype, device)
        self.register_exact("gamma", meridians(na), dtype, device)
        self.register_exact("qw", quadrature(nb) / (2 * na * na), dtype, device)
        self.register_exact("fourier", fourier_table(lmax, meridians(na)), dtype, device)
        index, table, present = _tables(lmax, parallels(nb), transpose=layout == "ir_mul")
        self.sums = DegreeSums(index, table, present, self.irreps.dim, dtype, device)
        ignore_keys(self, ["D", "qw", "alpha", "beta", "gamma"])  # e3nn keeps its constants

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        sizes = state["res_alpha"], state["res_beta"]
        lmax = next(
            l for l in range(1000) if (l + 1) * (2 * l + 1) * (2 * l + 3) // 3 >= state["_buffers"]["D"].shape[-1]
        )
        SO3Grid.__init__(self, lmax, sizes[1] // 2, aspect_ratio=sizes[0] / sizes[1])

    @property
    def D(self) -> Float[Tensor, "alpha beta gamma dim"]:
        flat = flat_wigner(self.lmax, self.alpha[:, None, None], self.beta[:, None], self.gamma)
        if self.layout == "mul_ir":
            return flat
        blocks = flat.split([(2 * l + 1) ** 2 for l in range(self.lmax + 1)], dim=-1)
        return torch.cat([x.unflatten(-1, (2 * l + 1, 2 * l + 1)).mT.flatten(-2) for l, x in enumerate(blocks)], dim=-1)

    def to_grid(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch alpha beta gamma"]:
        r""":math:`f(R) = \sum_l \sqrt{2l+1} \sum_{mn} F^l_{mn} D^l_{mn}(R) / \sqrt{dim}` on the grid.

        Args:
            features: coefficients F (..., irreps.dim).

        Returns:
            samples (..., res_alpha, res_beta, res_gamma).

        Raises:
            InputError: features have another size, or another precision than the module.
        """
        require_signal(features, (self.irreps.dim,), self.qw, "SO3Grid.to_grid")
        flat = features.reshape(-1, self.irreps.dim) * self.irreps.dim**-0.5
        waves = 2 * self.lmax + 1
        profiles = self.sums(flat).view(waves, waves, -1)  # frequencies of alpha and gamma; batch and beta
        rings = profiles.mT @ self.fourier.T
        rings = rings.view(waves, flat.shape[0], self.res_beta * self.res_gamma).transpose(0, 1)
        samples = self.fourier @ rings
        return samples.reshape(*features.shape[:-1], self.res_alpha, self.res_beta, self.res_gamma)

    def from_grid(self, features: Float[Tensor, "*batch alpha beta gamma"]) -> Float[Tensor, "*batch dim"]:
        r"""Coefficients :math:`F^l_{mn} = \sqrt{dim (2l+1)} \int f(R)\, D^l_{mn}(R)\, dR` in the Haar measure, by
        quadrature.

        Args:
            features: samples (..., res_alpha, res_beta, res_gamma).

        Returns:
            coefficients (..., irreps.dim).

        Raises:
            InputError: features have another size, or another precision than the module.
        """
        require_signal(features, (self.res_alpha, self.res_beta, self.res_gamma), self.qw, "SO3Grid.from_grid")
        waves = 2 * self.lmax + 1
        rings = (features.reshape(-1, self.res_gamma) @ self.fourier).view(-1, self.res_alpha, self.res_beta * waves)
        profiles = (self.fourier.T @ rings).view(rings.shape[0], waves, self.res_beta, waves)
        profiles = profiles.permute(1, 3, 0, 2).reshape(waves * waves, -1, self.res_beta)
        coefficients = self.sums.transposed(profiles * (self.qw * self.irreps.dim**0.5))
        return coefficients.reshape(*features.shape[:-3], self.irreps.dim)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.lmax}, {self.res_alpha}x{self.res_beta}x{self.res_gamma} "
            "(alpha x beta x gamma))"
        )


def _tables(lmax: int, beta: np.ndarray, transpose: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""For each pair of frequencies (p, q) and each term (l, s): which coefficient, its profile along beta, and whether
    there is one.

    A turn about y takes m to m with :math:`\cos m\alpha` and to -m with :math:`-\sin m\alpha`; a turn about x, which
    commutes with the mirror x -> -x, leaves the sines (m < 0) and the cosines (m >= 0) among themselves. So through the
    middle matrix's element (m', n') = (s|p|, s|q|) frequency (p, q) meets one coefficient of each degree for each sign
    s.
    """
    d = np.zeros((lmax + 1, 2 * lmax + 1, 2 * lmax + 1, len(beta)))
    for l, block in enumerate(wigner_d_blocks(lmax, matrix_x(torch.from_numpy(beta)))):
        inside = slice(lmax - l, lmax + l + 1)
        d[l, inside, inside] = block.permute(1, 2, 0).numpy()
    m = np.arange(-lmax, lmax + 1)
    p, q, degree, s = (
        x.reshape(len(m) ** 2, -1) for x in np.meshgrid(m, m, np.arange(lmax + 1), (1, -1), indexing="ij")
    )
    middle_row, middle_column = s * abs(p), s * abs(q)
    row, column = np.where(p < 0, -middle_row, middle_row), np.where(q < 0, -middle_column, middle_column)
    sign = np.where(p < 0, -np.sign(row), 1) * np.where(q < 0, np.sign(column), 1)
    # the Fourier table has sqrt(2) cos and sqrt(2) sin
    root = np.where(p == 0, 1.0, 2**-0.5) * np.where(q == 0, 1.0, 2**-0.5)
    present = (degree >= abs(p)) & (degree >= abs(q)) & ((s > 0) | ((p != 0) & (q != 0)))
    table = d[degree, lmax + middle_row, lmax + middle_column] * (sign * root * np.sqrt(2 * degree + 1))[..., None]
    first, second = (column, row) if transpose else (row, column)
    before = degree * (4 * degree**2 - 1) // 3  # the sum of (2k+1)^2 over k < l
    return before + (first + degree) * (2 * degree + 1) + second + degree, table, present
