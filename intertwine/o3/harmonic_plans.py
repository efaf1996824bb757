"""Lists of degrees in e3nn's normalisations as plans of the kernels of harmonics."""

from __future__ import annotations

from functools import lru_cache
from math import factorial, pi, sqrt

import torch

from intertwine.kernels.harmonics.kernel import compilable
from intertwine.kernels.harmonics.plan import PLAIN, Solid
from intertwine.kernels.shared import choice


def solid(degrees: tuple[int, ...], normalization: str, normalize: bool) -> Solid:
    """The plan of a list of degrees, in the order of the output.

    Args:
        degrees: l, repeats allowed.
        normalization: ``component``, ``norm`` or ``integral``.
        normalize: whether to evaluate at unit vectors.
    """
    # dynamo warns about caches and would not use them
    return (_solid.__wrapped__ if torch.compiler.is_compiling() else _solid)(degrees, normalization, normalize)


@lru_cache(maxsize=256)
def _solid(degrees: tuple[int, ...], normalization: str, normalize: bool) -> Solid:
    pairs = [(l, m) for l in range(max(degrees, default=0) + 1) for m in range(l + 1)]
    return Solid(degrees, tuple(_scale(l, m, normalization) for l, m in pairs), normalize)


def _scale(l: int, m: int, normalization: str) -> float:
    """n_lm in one of the normalisations; the square root of an exact ratio of integers."""
    component = sqrt((2 * l + 1) * (2 if m else 1) * factorial(l + m) * factorial(l - m) / factorial(l) ** 2)
    return component / {"component": 1.0, "norm": sqrt(2 * l + 1), "integral": sqrt(4 * pi)}[normalization]


@lru_cache(maxsize=256)
def described(degrees: tuple[int, ...], normalization: str, normalize: bool, plain: bool = False) -> str | None:
    """The text of the plan, if there are kernels for these degrees; ``plain``: to be evaluated without one."""
    plan = solid(degrees, normalization, normalize)
    return PLAIN + plan.text if plain else plan.text if compilable(plan) else None


def wanted(
    degrees: tuple[int, ...], normalization: str, normalize: bool, few: bool, device: torch.device | None = None
) -> str | None:
    """:func:`described`, if kernels are to be used on a device, a processor by default; ``few``: for vectors that are
    too few for one of a processor, unless it is forced.

    Raises:
        InputError: ``INTERTWINE_KERNELS`` asks for something unknown.
    """
    backend = choice.asked()
    if backend == "gpu" or (device is not None and device.type != "cpu"):
        on_card = device is not None and choice.native(device) == "gpu"
        return described(degrees, normalization, normalize) if on_card else None
    if backend == "reference" or (backend == "auto" and few):
        return None
    return described(degrees, normalization, normalize)
