"""Smooth one-hot encodings of a number, and smooth steps."""

from __future__ import annotations

from math import exp, pi, sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError, choose, safe

BASES = ("gaussian", "cosine", "smooth_finite", "fourier", "bessel")


def soft_unit_step(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""The smooth step :math:`\theta(x)\, e^{-1/x}`, with all derivatives zero for :math:`x \le 0`."""
    positive = x > 1e-3  # below, the value is zero in every precision, and 1/x would overflow in a derivative
    return torch.where(positive, torch.exp(-1 / torch.where(positive, x, 1.0)), 0.0)


def bessel(x: Float[Tensor, "*shape"], n: int, x_max: int | float = 1.0) -> Float[Tensor, "*shape n"]:
    r"""Radial Bessel functions :math:`\sqrt{2/c}\, \sin(k \pi x / c) / x` for k = 1 ... n, finite at x = 0.

    Source: Gasteiger, Gross, Guennemann, Directional message passing (2020), eq. 7.

    Args:
        x: distances, 0 or more.
        n: how many.
        x_max: c, where they vanish, in the unit of x.

    Returns:
        values with a last axis k, in the unit of :math:`x^{-3/2}`.

    Raises:
        InputError: n is not a positive integer or c not positive.
    """
    if not isinstance(n, int) or n < 1 or not x_max > 0:
        raise InputError(
            f"n={n!r}, x_max={x_max!r}",
            where="bessel",
            remedy="give a positive number of functions and a positive range.",
        )
    waves = torch.arange(1, n + 1, dtype=x.dtype, device=x.device) * (pi / x_max)
    return sqrt(2 / x_max) * waves * safe.sinc(waves * x.unsqueeze(-1))


def soft_one_hot_linspace(
    x: Float[Tensor, "*shape"], start: int | float, end: int | float, number: Any, basis: Any = None, cutoff: Any = None
) -> Float[Tensor, "*shape number"]:
    r"""A number as the values of smooth functions centred on a grid, :math:`\sum_k y_k(x)^2 \approx 1` inside the
    interval.

    Args:
        x: numbers.
        start, end: the interval, in the unit of x.
        number: how many functions.
        basis: "gaussian", "cosine", "smooth_finite", "fourier" or "bessel" (the last has no normalisation: it falls as
            1/x).
        cutoff: whether the functions vanish outside of the interval; the grid then lies inside, otherwise its ends are
            the interval's.

    Returns:
        values with a last axis of the functions.

    Raises:
        InputError: unknown basis, or no choice of cutoff.

    >>> soft_one_hot_linspace(torch.tensor([0.5]), 0.0, 1.0, 3, basis="cosine", cutoff=False)
    tensor([[0., 1., 0.]])
    """
    if cutoff not in (True, False):
        raise InputError(f"cutoff={cutoff!r}", where="soft_one_hot_linspace", remedy="say True or False.")
    choose(str(basis), BASES, kind="basis", where="soft_one_hot_linspace")
    if not isinstance(number, int) or number < 1 or not end > start:
        raise InputError(
            f"{number} functions on [{start}, {end}]",
            where="soft_one_hot_linspace",
            remedy="give a number and an interval.",
        )
    if basis in ("fourier", "bessel"):
        return _waves(x.unsqueeze(-1) - start, float(end - start), number, basis, bool(cutoff))
    step = (end - start) / (number + 1 if cutoff else max(number - 1, 1))
    first = start + step if cutoff else start
    t = (x.unsqueeze(-1) - first) / step - torch.arange(number, dtype=x.dtype, device=x.device)
    if basis == "gaussian":
        return torch.exp(-t * t) / 1.12
    if basis == "cosine":
        return torch.where(t.abs() < 1, torch.cos(pi / 2 * t), 0.0)
    return 1.14136 * exp(2.0) * soft_unit_step(t + 1) * soft_unit_step(1 - t)


def _waves(x: Tensor, width: float, number: int, basis: str, cutoff: bool) -> Tensor:
    """Sines and cosines on [0, width]."""
    inside = (x > 0) & (x < width)
    if basis == "bessel":
        values = bessel(x.squeeze(-1), number, width)
    else:
        k = torch.arange(1, number + 1, dtype=x.dtype, device=x.device)
        values = (torch.sin(pi * k * x / width) if cutoff else torch.cos(pi * (k - 1) * x / width)) / sqrt(
            0.25 + number / 2
        )
    return torch.where(inside, values, 0.0) if cutoff else values
