r"""The grid on the sphere, its exact quadrature, and the two factors of the harmonics on it, in e3nn's conventions.

The nodes are :math:`\beta_i = \pi (i + \tfrac12) / N` and :math:`\alpha_j = 2\pi j / M`: N parallels, none at a pole,
and M meridians. The y axis is the polar axis, :math:`x = (\sin\beta \sin\alpha, \cos\beta, \sin\beta \cos\alpha)`. On
the grid a harmonic is a product,

.. math:: Y^l_m(\beta, \alpha) = \bar P_{l|m|}(\beta)\, e_m(\alpha), \qquad
    e_m(\alpha) = \sqrt2 \sin|m|\alpha, \; 1, \; \sqrt2 \cos m\alpha \quad (m < 0, \, m = 0, \, m > 0),

so sums over degrees concern beta alone, and sums over m are a real Fourier transform. Fejér's first quadrature rule
integrates polynomials of degree N - 1 in :math:`\cos\beta` exactly from these nodes: products of harmonics to
:math:`l_{max} \le (N-1)/2`.

The constants are made in float64 by numpy and cast at the end; nothing is computed at import.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError, safe
from intertwine.numerics.limits import check_size


def parallels(n: int) -> Float[np.ndarray, "n"]:
    r"""Polar angles :math:`\beta_i = \pi (i + 1/2) / n` in radians, float64."""
    return (np.arange(n) + 0.5) * (np.pi / n)


def meridians(n: int) -> Float[np.ndarray, "n"]:
    r"""Azimuths :math:`\alpha_j = 2\pi j / n` in radians, float64."""
    return np.arange(n) * (2 * np.pi / n)


def quadrature(n: int) -> Float[np.ndarray, "n"]:
    r"""Weights on :func:`parallels`: :math:`\sum_i w_i\, p(\cos\beta_i) = \int_{-1}^1 p(t)\,dt` for polynomials p of
    degree below n.

    Source: Fejér's first rule (Math. Z. 37, 287 (1933)): the cosine series of the interpolating polynomial, integrated
    term by term.

    >>> round(float(quadrature(4) @ np.cos(parallels(4)) ** 2), 12)  # 2/3
    0.666666666667
    """
    k = np.arange(1, n // 2 + 1)
    return 2 / n * (1 - 2 * (np.cos(2 * np.outer(parallels(n), k)) / (4 * k * k - 1)).sum(1))


def legendre_table(lmax: int, beta: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m l n"]:
    r""":math:`\bar P_{lm}(\beta)` for :math:`0 \le m \le l \le l_{max}` at [m, l], zero for l < m: (lmax+1, lmax+1, n).

    Normalised so that :math:`\bar P_{l|m|}\, e_m` has norm 1 on the sphere, positive as :math:`\beta \to 0`. The
    recursion upward in the degree at fixed m is stable: both factors are of order one, and it starts from
    :math:`\bar P_{mm} \propto \sin^m\beta`.

    Source: Holmes and Featherstone, J. Geodesy 76, 279 (2002), equations 11-13, in this normalisation.
    """
    cosine, sine = np.cos(beta), np.sin(beta)
    table = np.zeros((lmax + 1, lmax + 1, len(beta)))
    table[0, 0] = np.sqrt(1 / (4 * np.pi))
    for l in range(1, lmax + 1):
        m = np.arange(l)[:, None]
        below = (l - 1) ** 2 - m**2
        table[:l, l] = cosine * table[:l, l - 1]
        if l > 1:
            table[:l, l] -= np.sqrt(below / (4 * (l - 1) ** 2 - 1)) * table[:l, l - 2]
        table[:l, l] *= np.sqrt((4 * l * l - 1) / (l * l - m * m))
        table[l, l] = np.sqrt((2 * l + 1) / (2 * l)) * sine * table[l - 1, l - 1]
    return table


def fourier_table(lmax: int, alpha: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n m"]:
    r""":math:`e_m(\alpha)` for m = -lmax ... lmax: (n, 2 lmax + 1)."""
    phase = np.outer(alpha, np.arange(1, lmax + 1))
    return np.concatenate(
        [np.sqrt(2) * np.sin(phase[:, ::-1]), np.ones((len(alpha), 1)), np.sqrt(2) * np.cos(phase)], axis=1
    )


def s2_grid(
    res_beta: int, res_alpha: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> tuple[Float[Tensor, "beta"], Float[Tensor, "alpha"]]:
    r"""The nodes of the grid: polar angles (res_beta) and azimuths (res_alpha) in radians.

    Args:
        res_beta: number of parallels N.
        res_alpha: number of meridians M.
        dtype, device: of the result, as in ``torch.zeros``.

    Raises:
        InputError: a resolution is not a positive integer.

    >>> s2_grid(2, 4)
    (tensor([0.7854, 2.3562]), tensor([0.0000, 1.5708, 3.1416, 4.7124]))
    """
    _require_counts(1, "s2_grid", res_beta=res_beta, res_alpha=res_alpha)
    return _cast(parallels(res_beta), dtype, device), _cast(meridians(res_alpha), dtype, device)


def spherical_harmonics_s2_grid(
    lmax: int, res_beta: int, res_alpha: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> tuple[Float[Tensor, "beta"], Float[Tensor, "alpha"], Float[Tensor, "beta lm"], Float[Tensor, "alpha m"]]:
    r"""Both factors of the harmonics (normalisation ``integral``) on the grid.

    Args:
        lmax: largest degree.
        res_beta, res_alpha: numbers of parallels and meridians.
        dtype, device: of the result, as in ``torch.zeros``.

    Returns:
        polar angles (res_beta), azimuths (res_alpha), :math:`\bar P_{l|m|}` (res_beta, (lmax+1)^2) and :math:`e_m`
        (res_alpha, 2 lmax + 1).

    Raises:
        InputError: a negative degree, or a resolution that is not a positive integer.
    """
    _require_counts(0, "spherical_harmonics_s2_grid", lmax=lmax)
    betas, alphas = s2_grid(res_beta, res_alpha, dtype, device)
    l = np.repeat(np.arange(lmax + 1), 2 * np.arange(lmax + 1) + 1)
    m = np.abs(np.arange((lmax + 1) ** 2) - l * (l + 1))
    shb = legendre_table(lmax, parallels(res_beta))[m, l].T
    return betas, alphas, _cast(shb, dtype, device), _cast(fourier_table(lmax, meridians(res_alpha)), dtype, device)


def rfft(x: Float[Tensor, "*batch res"], l: int) -> Float[Tensor, "*batch m"]:
    r"""Real Fourier transform of samples on the meridians, :math:`\sum_j x_j\, e_m(\alpha_j)` for m = -l ... l, by FFT.

    Args:
        x: samples (..., res).
        l: largest frequency, at most res / 2.

    Returns:
        (..., 2l+1), without a factor 1/res.

    Raises:
        InputError: l negative or above res / 2.

    >>> rfft(torch.ones(5), 1).abs()
    tensor([0., 5., 0.])
    """
    _require_counts(0, "rfft", l=l)
    if l > x.shape[-1] // 2:
        raise InputError(
            f"{x.shape[-1]} samples do not resolve frequency {l}", where="rfft", remedy=f"give {2 * l} samples or more."
        )
    spectrum = torch.fft.rfft(x, dim=-1)
    waves = spectrum[..., 1 : l + 1] * 2**0.5
    return torch.cat([-waves.imag.flip(-1), spectrum[..., :1].real, waves.real], dim=-1)


def irfft(x: Float[Tensor, "*batch m"], res: int) -> Float[Tensor, "*batch res"]:
    r"""Samples on the meridians of a real Fourier series, :math:`\sum_m x_m\, e_m(\alpha_j)`, by FFT.

    Args:
        x: coefficients (..., 2l+1) for m = -l ... l.
        res: number of meridians, odd or even, at least 2l+1.

    Returns:
        (..., res); ``rfft(irfft(x, res), l)`` is ``res * x``.

    Raises:
        InputError: an even number of coefficients, or fewer meridians than coefficients.

    >>> irfft(torch.tensor([0.0, 2.0, 0.0]), 4)
    tensor([2., 2., 2., 2.])
    """
    l, even = divmod(x.shape[-1] - 1, 2)
    if even or l < 0:
        raise InputError(
            f"{x.shape[-1]} coefficients are not 2l+1", where="irfft", remedy="give those of m = -l ... l."
        )
    if res < 2 * l + 1:
        raise InputError(
            f"{res} meridians for frequencies up to {l}", where="irfft", remedy=f"give res of {2 * l + 1} or more."
        )
    real = torch.cat([x[..., l : l + 1], x[..., l + 1 :] * 0.5**0.5], dim=-1)
    imaginary = torch.cat([torch.zeros_like(x[..., :1]), x[..., :l].flip(-1) * -(0.5**0.5)], dim=-1)
    return torch.fft.irfft(torch.complex(real, imaginary), n=res, dim=-1) * res


def complete_resolution(lmax: int | None, res: int | Sequence[int | None] | None) -> tuple[int, int, int]:
    """Fill in what the caller left open, by e3nn's rules: the smallest grid for a degree, or the largest degree for it.

    Args:
        lmax: largest degree, or None.
        res: number of parallels, or a pair of parallels and meridians, any of them None.

    Returns:
        lmax, res_beta, res_alpha.

    Raises:
        InputError: nothing is given, the parallels do not resolve lmax, or the tables would have more than 50 million
            entries.

    >>> complete_resolution(6, 20), complete_resolution(None, (8, 5))
    ((6, 20, 19), (2, 8, 5))
    """
    res_beta, res_alpha = (res, None) if isinstance(res, int) or res is None else res
    if res_beta is None:
        if lmax is None and res_alpha is None:
            raise InputError(
                "neither a degree nor a resolution is given", where="grid on the sphere", remedy="give lmax or res."
            )
        res_beta = 2 * (lmax + 1) if lmax is not None else 2 * ((res_alpha + 1) // 2)  # type: ignore[operator]
    if res_alpha is None:
        res_alpha = max(2 * lmax + 1, res_beta - 1) if lmax is not None else max(res_beta - 1, 1)
    _require_counts(1, "grid on the sphere", res_beta=res_beta, res_alpha=res_alpha)
    if lmax is None:
        lmax = min((res_beta - 1) // 2, (res_alpha - 1) // 2)
    _require_counts(0, "grid on the sphere", lmax=lmax)
    check_size(res_beta * max(res_alpha, res_beta, (lmax + 1) ** 2), "entries of its tables", "grid on the sphere")
    if 2 * lmax + 1 > res_beta:
        raise InputError(
            f"{res_beta} parallels do not resolve degree {lmax}",
            where="grid on the sphere",
            remedy=f"give res of {2 * lmax + 2} or more.",
        )
    return lmax, res_beta, res_alpha


def require_signal(x: Tensor, last: tuple[int, ...], constants: Tensor, where: str) -> None:
    """Features or samples of the right size, and of the precision of the module's constants (mixed precision casts by
    itself).

    Raises:
        InputError: they are not.
    """
    if tuple(x.shape[-len(last) :]) != last or not x.is_floating_point():
        wanted = ", ".join(str(n) for n in last)
        raise InputError(f"expected floats of shape (..., {wanted}), got {x.dtype} {tuple(x.shape)}", where=where)
    if x.dtype != constants.dtype and not safe.autocasting(x):
        raise InputError(
            f"{x.dtype} on constants of {constants.dtype}", where=where, remedy=f"move the module: .to({x.dtype})."
        )


def _require_counts(least: int, where: str, **counts: int) -> None:
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} = {value!r}", where=where, remedy=f"give an integer of {least} or more.")


def _cast(value: np.ndarray, dtype: torch.dtype | None, device: torch.device | str | None) -> Tensor:
    like = torch.empty(0, dtype=dtype, device=device)
    return torch.from_numpy(np.ascontiguousarray(value)).to(like)
