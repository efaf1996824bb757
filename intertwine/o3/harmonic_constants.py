"""The constants of the solid harmonics (see :mod:`intertwine.o3.solid_harmonics`), exact in the precision that asks for
them.
"""

from __future__ import annotations

from functools import lru_cache
from math import factorial, pi, sqrt
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import safe
from intertwine.o3.low_harmonics import HIGHEST_DEGREE, Polynomials, coefficients


class Tables(NamedTuple):
    """The constants of a list of degrees; ``pairs`` are the (l, m >= 0) of all degrees up to the largest, ``listed`` of
    the list.
    """

    degrees: tuple[int, ...]
    recursion: Float[Tensor, "pairs 1"]  # l (2l-1) / (l^2 - m^2)
    scale: Float[Tensor, "pairs 1"]  # n_lm, times the normalisation
    polar: Int[Tensor, " dim"]  # component -> its pair
    azimuth: Int[Tensor, " dim"]  # component -> its row of (s_L ... s_1, 1, c_1 ... c_L)
    positive: Int[Tensor, " listed"]  # pair of the list -> its component +m
    negative: Int[Tensor, " listed"]  # and -m
    weight: Float[Tensor, "listed 1"]  # l n_lm, halved at m = 0, where the two components are one
    low: Polynomials | None = None


@lru_cache(maxsize=256)
def constants(degrees: tuple[int, ...], normalization: str) -> tuple[tuple[float, ...] | tuple[int, ...], ...]:
    """The numbers of :class:`Tables`, field after field, in double precision.

    Args:
        degrees: the degrees of the harmonics, in the order of the output.
        normalization: ``component``, ``norm`` or ``integral``.
    """
    largest = max(degrees, default=0)
    pairs = [(l, m) for l in range(largest + 1) for m in range(l + 1)]
    signed = [(l, m) for l in degrees for m in range(-l, l + 1)]
    listed = [(l, m) for l in degrees for m in range(l + 1)]
    recursion = tuple(l * (2 * l - 1) / (l * l - m * m) if m < l else 2.0**-l for l, m in pairs)
    scale = {(l, m): _scale(l, m, normalization) for l, m in pairs}
    centres, start = [], 0
    for l in degrees:
        centres.append(start + l)
        start += 2 * l + 1
    return (
        recursion,
        tuple(scale.values()),
        tuple(l * (l + 1) // 2 + abs(m) for l, m in signed),
        tuple(largest + m for _, m in signed),
        tuple(centre + m for l, centre in zip(degrees, centres) for m in range(l + 1)),
        tuple(centre - m for l, centre in zip(degrees, centres) for m in range(l + 1)),
        tuple(l * scale[l, m] * (1.0 if m else 0.5) for l, m in listed),
    )


def tables_of(
    degrees: tuple[int, ...], normalization: str, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> Tables:
    """The :class:`Tables` of some degrees, rounded once from double precision."""
    compiling = torch.compiler.is_compiling()  # dynamo warns about caches and would not use them
    numbers = (constants.__wrapped__ if compiling else constants)(degrees, normalization)
    recursion, scale, polar, azimuth, positive, negative, weight = numbers
    rows = [torch.tensor(row, dtype=torch.int64, device=device) for row in (polar, azimuth, positive, negative)]
    columns = [torch.tensor(column, dtype=dtype, device=device)[:, None] for column in (recursion, scale, weight)]
    low = None
    if max(degrees, default=0) <= HIGHEST_DEGREE:
        values, slopes, below, power = (coefficients.__wrapped__ if compiling else coefficients)(degrees, scale)
        low = Polynomials(
            torch.tensor(values, dtype=dtype, device=device),
            torch.tensor(slopes, dtype=dtype, device=device),
            torch.tensor(below, dtype=torch.int64, device=device),
            torch.tensor(power, dtype=dtype, device=device)[:, None],
        )
    return Tables(degrees, columns[0], columns[1], rows[0], rows[1], rows[2], rows[3], columns[2], low)


def _scale(l: int, m: int, normalization: str) -> float:
    """n_lm in one of the normalisations; the square root of an exact ratio of integers."""
    component = sqrt((2 * l + 1) * (2 if m else 1) * factorial(l + m) * factorial(l - m) / factorial(l) ** 2)
    return component / {"component": 1.0, "norm": sqrt(2 * l + 1), "integral": sqrt(4 * pi)}[normalization]


_TABLES: dict[tuple[tuple[int, ...], str, torch.dtype, torch.device], Tables] = {}


def tables_for(degrees: tuple[int, ...], normalization: str, x: Tensor) -> Tables:
    """The tables in the precision and on the device of x, kept for the next call; a compiler gets its own, which it
    folds.
    """
    if torch.jit.is_tracing():  # exact in whatever precision the trace is called with later
        exact = tables_of(degrees, normalization, torch.float64, x.device)
        low = exact.low and Polynomials(
            *(table.type_as(x) if table.is_floating_point() else table for table in exact.low)
        )
        return exact._replace(
            **{name: getattr(exact, name).type_as(x) for name in ("recursion", "scale", "weight")}, low=low
        )
    if safe.traced(x):
        return tables_of(degrees, normalization, x.dtype, x.device)
    key = (degrees, normalization, x.dtype, x.device)
    tables = _TABLES.get(key)
    if tables is None:
        # what is made in inference mode could never be part of a backward pass; what torch.func makes ends with its
        # transform
        with torch.inference_mode(False), torch._C._DisableFuncTorch():
            tables = tables_of(degrees, normalization, x.dtype, x.device)
        if not safe.traced(tables.scale):  # nor fake or functional, under somebody's mode
            if len(_TABLES) >= 256:
                _TABLES.clear()
            _TABLES[key] = tables
    return tables
