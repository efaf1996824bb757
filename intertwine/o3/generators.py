r"""Infinitesimal rotations, and the unitary change from real to complex spherical harmonics."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from intertwine.numerics import InputError


def su2_generators(
    j: int | float, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Complex[Tensor, "3 m m"]:
    r"""Generators :math:`X_k` of SU(2) in the basis :math:`m = -j, \ldots, j`, (3, 2j+1, 2j+1), anti-Hermitian.

    They satisfy :math:`[X_a, X_b] = \epsilon_{abc} X_c` and :math:`-\sum_k X_k^2 = j(j+1)`;
    :math:`X_1 = \mathrm{diag}(i m)`.

    Args:
        j: spin 0, 1/2, 1, ...
        dtype: real or complex precision; the result is complex. None is torch's default.
        device: where to put the result.

    Raises:
        InputError: 2j is not an integer of 0 or more.
    """
    return torch.from_numpy(_su2(j)).to(dtype=_precision(dtype).to_complex(), device=device)


def so3_generators(
    l: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Float[Tensor, "3 m m"]:
    r"""Generators :math:`X_k` of the real representation of degree l, (3, 2l+1, 2l+1), antisymmetric.

    :math:`D^l(R) = \exp(\theta\,\hat n \cdot X)` for the rotation by :math:`\theta` about :math:`\hat n = (x, y, z)`.

    Args:
        l: degree, 0 or more.
        dtype: precision; None is torch's default.
        device: where to put the result.

    Raises:
        InputError: l is not an integer of 0 or more.

    >>> so3_generators(1)[2].tolist()
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    q = _real_to_complex(l)  # adding 0 below makes -0 positive
    return torch.from_numpy((q.conj().T @ _su2(l) @ q).real / 2 + 0.0).to(dtype=_precision(dtype), device=device)


def change_basis_real_to_complex(
    l: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Complex[Tensor, "m m"]:
    r"""Unitary matrix Q (2l+1, 2l+1) from real to complex spherical harmonics,
    :math:`Y^{complex}_m = \sum_\mu Q_{m\mu} Y^{real}_\mu`.

    The real form with the Condon-Shortley phase, times :math:`(-i)^l`, which makes the coupling coefficients real.

    Args:
        l: degree, 0 or more.
        dtype: real or complex precision; the result is complex. None is torch's default.
        device: where to put the result.

    Raises:
        InputError: l is not an integer of 0 or more.
    """
    return torch.from_numpy(_real_to_complex(l) / np.sqrt(2)).to(dtype=_precision(dtype).to_complex(), device=device)


def _su2(j: int | float) -> np.ndarray:
    size = round(2 * j) + 1
    if size != 2 * j + 1 or size < 1:
        raise InputError(f"{j!r} is not a spin", where="su2_generators", remedy="give 0, 1/2, 1, 3/2, ...")
    m = np.arange(size) - j
    ladder = np.sqrt(j * (j + 1) - m[:-1] * m[1:])
    raising, lowering = np.diag(-ladder, -1), np.diag(ladder, 1)
    return np.stack([0.5 * (raising + lowering) + 0j, np.diag(1j * m), -0.5j * (raising - lowering)])


def _real_to_complex(l: int) -> np.ndarray:
    """The change of basis times the square root of 2: its entries are then exact but for one."""
    if not isinstance(l, int) or isinstance(l, bool) or l < 0:
        raise InputError(f"{l!r} is not a degree", where="degree", remedy="give an integer of 0 or more.")
    q = np.zeros((2 * l + 1, 2 * l + 1), dtype=np.complex128)
    q[l, l] = np.sqrt(2)
    for m in range(1, l + 1):
        q[l - m, l + m], q[l - m, l - m] = 1, -1j
        q[l + m, l + m], q[l + m, l - m] = (-1) ** m, 1j * (-1) ** m
    return q * (1, -1j, -1, 1j)[l % 4]


def _precision(dtype: torch.dtype | None) -> torch.dtype:
    return torch.empty(0, dtype=dtype).dtype.to_real()
