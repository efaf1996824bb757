r"""Signals on the sphere: coefficients of the harmonics to samples on the grid, and back, exactly.

On a small grid each transform is one matrix product; on a larger one it is two, the sums over degrees along each
parallel and the Fourier sums around it, which need neither the memory nor the time of the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import ExactBuffers, InputError, Rebuildable, choose, ignore_keys
from intertwine.o3.angles import angles_to_xyz
from intertwine.o3.degree_sums import DegreeSums
from intertwine.o3.grids import (
    complete_resolution,
    fourier_table,
    legendre_table,
    meridians,
    parallels,
    quadrature,
    require_signal,
)

NORMALIZATIONS = ("norm", "component", "integral")
SMALL_TABLE_ENTRIES = 2**15  # entries of a table up to which one product is faster than two (measured on a CPU)


class _GridTransform(Rebuildable, ExactBuffers):
    """The grid and the two tables; ``scale`` is a factor for each degree, ``weights`` one for each parallel."""

    betas: Tensor
    alphas: Tensor
    sha: Tensor
    basis: Tensor

    def _prepare(
        self,
        resolution: tuple[int, int, int],
        scale: np.ndarray,
        weights: np.ndarray,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
    ) -> None:
        self.lmax, self.res_beta, self.res_alpha = lmax, res_beta, res_alpha = resolution
        alpha = meridians(res_alpha)
        fourier = fourier_table(lmax, alpha)
        self.register_exact("betas", parallels(res_beta), dtype, device)
        self.register_exact("alphas", alpha, dtype, device)
        self.register_exact("sha", fourier, dtype, device)
        l, m = np.arange(lmax + 1), np.arange(-lmax, lmax + 1)[:, None]
        table = legendre_table(lmax, parallels(res_beta))[abs(m[:, 0])] * scale[:, None] * weights  # (m, l, beta)
        index, present = l * (l + 1) + m, l >= abs(m)
        dim = (lmax + 1) ** 2
        self.sums: DegreeSums | None = None
        if dim * res_beta * res_alpha > SMALL_TABLE_ENTRIES:
            self.sums = DegreeSums(index, table, present, dim, dtype, device)
        else:
            basis = np.empty((dim, res_beta, res_alpha))
            basis[index[present]] = np.einsum("mlb,am->mlba", table, fourier)[present]
            self.register_exact("basis", basis.reshape(dim, -1), dtype, device)
        ignore_keys(self, ["alphas", "betas", "sha", "shb"])  # e3nn keeps its constants

    def _scale_of(self, state: Mapping[str, Any], weights: np.ndarray) -> tuple[np.ndarray, int]:
        """The factor of each degree in e3nn's table ``shb`` (m, beta, i), which is all it keeps of the normalisation;
        and lmax.
        """
        lmax, res_beta = state["lmax"], state["res_beta"]
        zonal = legendre_table(lmax, parallels(res_beta))[0] * weights  # l, beta
        l = np.arange(lmax + 1)
        theirs = state["_buffers"]["shb"].double().cpu().numpy()[lmax][:, l * (l + 1)].T
        return (theirs * zonal).sum(1) / (zonal * zonal).sum(1), lmax

    @property
    def grid(self) -> Float[Tensor, "beta alpha 3"]:
        """Positions of the nodes on the unit sphere."""
        beta, alpha = torch.meshgrid(self.betas, self.alphas, indexing="ij")
        return angles_to_xyz(alpha, beta)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lmax={self.lmax} res={self.res_beta}x{self.res_alpha} (beta x alpha))"


class ToS2Grid(_GridTransform):
    r"""Samples :math:`f(\beta_i, \alpha_j) = \sum_l n_l\, A^l \cdot Y^l(\beta_i, \alpha_j)` of a spherical tensor; the
    inverse of :class:`FromS2Grid`.

    Args:
        lmax: largest degree; the largest that the grid resolves if None.
        res: number of parallels, or a pair of parallels and meridians; the smallest that resolves lmax where None.
        normalization: what the coefficients are. ``integral``: :math:`n_l = 1`, those of orthonormal harmonics.
            ``component`` and ``norm``: of variance 1 in each component, or in each norm; :math:`n_l` makes f of
            variance 1, the same share from each degree. Or the factors themselves, a tensor (lmax + 1).
        dtype, device: of the constants.

    Attributes:
        lmax, res_beta, res_alpha: what was filled in.
        grid: positions (res_beta, res_alpha, 3).
        betas, alphas, sha: angles of the nodes, and the Fourier table (res_alpha, 2 lmax + 1).

    Raises:
        InputError: too few parallels for lmax, nothing given, or an unknown normalisation.

    >>> ToS2Grid(6, (100, 101))(torch.randn(3, 49)).shape
    torch.Size([3, 100, 101])
    """

    def __init__(
        self,
        lmax: int | None = None,
        res: int | Sequence[int | None] | None = None,
        normalization: str | Tensor = "component",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        resolution = complete_resolution(lmax, res)
        degrees = np.arange(resolution[0] + 1)
        scale = np.sqrt(4 * np.pi / len(degrees)) * np.ones(len(degrees))
        if isinstance(normalization, Tensor):
            scale = _given(normalization, len(degrees))
        elif choose(normalization, NORMALIZATIONS, kind="normalization", where="ToS2Grid") == "integral":
            scale = np.ones(len(degrees))
        elif normalization == "component":
            scale = scale / np.sqrt(2 * degrees + 1)
        self._prepare(resolution, scale, np.ones(resolution[1]), dtype, device)

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        factors, lmax = self._scale_of(state, np.ones(state["res_beta"]))
        l, even = np.arange(lmax + 1), np.sqrt(4 * np.pi / (lmax + 1))
        scale = _nearest(factors, [np.ones(lmax + 1), even * np.ones(lmax + 1), even / np.sqrt(2 * l + 1)])
        type(self).__init__(self, lmax, (state["res_beta"], state["res_alpha"]), torch.from_numpy(scale))

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch beta alpha"]:
        """Coefficients (..., (lmax+1)^2) to samples (..., res_beta, res_alpha).

        Raises:
            InputError: x has another size, or another precision than the module.
        """
        require_signal(x, ((self.lmax + 1) ** 2,), self.sha, "ToS2Grid")
        flat = x.reshape(-1, x.shape[-1])
        samples = flat @ self.basis if self.sums is None else self.sums(flat).flatten(1).T @ self.sha.T
        return samples.reshape(*x.shape[:-1], self.res_beta, self.res_alpha)


class FromS2Grid(_GridTransform):
    r"""Spherical tensor of the samples of a signal, :math:`A^l = \frac1{n_l} \int f\, Y^l`; the inverse of
    :class:`ToS2Grid`.

    Exact for signals without degrees above ``res_beta - 1 - lmax`` and ``res_alpha - 1 - lmax``; higher ones are taken
    for lower ones.

    Args:
        res: number of parallels, or a pair of parallels and meridians; the smallest that resolves lmax where None.
        lmax: largest degree of the result; the largest that the grid resolves if None.
        normalization: as in :class:`ToS2Grid`. A tensor (lmax + 1) is the factor of :math:`\frac1{4\pi} \int f\,Y^l`.
        lmax_in: largest degree of the transform to the grid whose normalisation this one undoes; lmax if None.
        dtype, device: of the constants.

    Attributes:
        lmax, res_beta, res_alpha, grid, betas, alphas, sha: as of :class:`ToS2Grid`.

    Raises:
        InputError: too few parallels for lmax, nothing given, or an unknown normalisation.

    >>> x = torch.randn(3, 49)
    >>> torch.allclose(FromS2Grid((100, 101), 6)(ToS2Grid(6, (100, 101))(x)), x, atol=1e-5)
    True
    """

    def __init__(
        self,
        res: int | Sequence[int | None] | None = None,
        lmax: int | None = None,
        normalization: str | Tensor = "component",
        lmax_in: int | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        resolution = complete_resolution(lmax, res)
        degrees = np.arange(resolution[0] + 1)
        scale = np.sqrt(4 * np.pi * ((resolution[0] if lmax_in is None else lmax_in) + 1)) * np.ones(len(degrees))
        if isinstance(normalization, Tensor):
            scale = _given(normalization, len(degrees))
        elif choose(normalization, NORMALIZATIONS, kind="normalization", where="FromS2Grid") == "integral":
            scale = 4 * np.pi * np.ones(len(degrees))
        elif normalization == "component":
            scale = scale * np.sqrt(2 * degrees + 1)
        self._prepare(resolution, scale, quadrature(resolution[1]) / (2 * resolution[2]), dtype, device)

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        factors, lmax = self._scale_of(state, quadrature(state["res_beta"]) / (2 * state["res_alpha"]))
        even = np.sqrt(
            4 * np.pi * max(round(factors[0] ** 2 / (4 * np.pi)), 1)
        )  # of degree 0 in "norm" and "component"
        scale = _nearest(
            factors,
            [4 * np.pi * np.ones(lmax + 1), even * np.ones(lmax + 1), even * np.sqrt(2 * np.arange(lmax + 1) + 1)],
        )
        type(self).__init__(self, (state["res_beta"], state["res_alpha"]), lmax, torch.from_numpy(scale))

    def forward(self, x: Float[Tensor, "*batch beta alpha"]) -> Float[Tensor, "*batch dim"]:
        """Samples (..., res_beta, res_alpha) to coefficients (..., (lmax+1)^2).

        Raises:
            InputError: x has another size, or another precision than the module.
        """
        require_signal(x, (self.res_beta, self.res_alpha), self.sha, "FromS2Grid")
        if self.sums is None:
            resampled = x.reshape(-1, self.res_beta * self.res_alpha) @ self.basis.T
        else:
            modes = self.sha.T @ x.reshape(-1, self.res_alpha).T
            resampled = self.sums.transposed(modes.unflatten(1, (-1, self.res_beta)))
        return resampled.reshape(*x.shape[:-2], (self.lmax + 1) ** 2)


def _nearest(scale: np.ndarray, exact: Sequence[np.ndarray]) -> np.ndarray:
    """Those of the exact factors that were rounded to single precision, or the rounded ones."""
    return next((candidate for candidate in exact if np.allclose(scale, candidate, rtol=1e-5, atol=0)), scale)


def _given(normalization: Tensor, count: int) -> np.ndarray:
    if normalization.shape != (count,):
        raise InputError(
            f"{tuple(normalization.shape)} factors", where="normalization", remedy=f"give {count}, one for each degree."
        )
    return normalization.detach().to(device="cpu", dtype=torch.float64).numpy()
