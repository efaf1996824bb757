"""The transforms to and from a grid on the sphere, with the table that programs take out of e3nn's to make one matrix
of it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from intertwine.o3 import s2_transforms
from intertwine.o3.grids import legendre_table, parallels


class _Tabulated(s2_transforms._GridTransform):
    """Adds the buffer ``shb`` (2 lmax + 1, res_beta, (lmax + 1)^2): with ``sha`` (res_alpha, 2 lmax + 1) the matrix of
    the transform is ``einsum("mbi,am->bai", shb, sha)``."""

    shb: Tensor

    def _prepare(
        self,
        resolution: tuple[int, int, int],
        scale: np.ndarray,
        weights: np.ndarray,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
    ) -> None:
        super()._prepare(resolution, scale, weights, dtype, device)
        lmax, res_beta, _ = resolution
        table = legendre_table(lmax, parallels(res_beta)) * scale[:, None] * weights  # (m, l, beta)
        shb = np.zeros((2 * lmax + 1, res_beta, (lmax + 1) ** 2))
        for l in range(lmax + 1):
            for m in range(-l, l + 1):
                shb[lmax + m, :, l * (l + 1) + m] = table[abs(m), l]
        self.register_exact("shb", shb, dtype, device)


class ToS2Grid(_Tabulated, s2_transforms.ToS2Grid):
    """:class:`intertwine.o3.ToS2Grid` with the buffer ``shb``."""


class FromS2Grid(_Tabulated, s2_transforms.FromS2Grid):
    """:class:`intertwine.o3.FromS2Grid` with the buffer ``shb``."""
