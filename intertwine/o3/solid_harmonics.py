"""Harmonics of a list of degrees in one of e3nn's normalisations: by kernels where they pay, or by the definition."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.harmonics import definition
from intertwine.kernels.harmonics.kernel import DTYPES
from intertwine.kernels.harmonics.operators import evaluate
from intertwine.numerics import modes
from intertwine.o3.harmonic_plans import plainly, solid, wanted

#: Vectors: fewer cost less than a kernel's first use, and much code asks for many lists of degrees at a few points. A
#: module is made for many calls, and asks for them from the first one.
FEWEST_VECTORS = 32


def solid_harmonics(
    x: Float[Tensor, "*batch 3"], degrees: tuple[int, ...], normalization: str, normalize: bool, fewest: int
) -> Float[Tensor, "*batch dim"]:
    """Harmonics of x.

    Args:
        x: vectors.
        degrees, normalization, normalize: as of :func:`~intertwine.o3.harmonic_plans.solid`.
        fewest: vectors for which kernels are asked.

    Kernels are for float32 and float64 on the CPU and degrees up to 12. Compilers see one operator, other tracers plain
    torch. ``INTERTWINE_KERNELS=reference`` turns the kernels off, ``cpu`` takes them for few vectors too.

    Raises:
        InputError: ``INTERTWINE_KERNELS`` asks for something unknown.
    """
    plan, points = (degrees, normalization, normalize), x if x.ndim == 2 else x.reshape(-1, 3)
    able, text = x.is_cpu and x.dtype in DTYPES, None
    if torch.compiler.is_compiling():
        if able:
            from intertwine.o3.compiled_harmonics import fixed  # it needs torch's compiler, which takes long to import

            text = fixed(*plan)
    elif not modes.traced(x):
        text = (wanted(*plan, len(points) < fewest) if able else None) or plainly(*plan)
    y = definition.values(points, solid(*plan)) if text is None else evaluate(points, text)
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], y.shape[-1])
