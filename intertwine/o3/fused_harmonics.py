"""Spherical harmonics by the kernels of :mod:`intertwine.kernels.harmonics`, where those pay."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from intertwine.kernels import choice
from intertwine.kernels.harmonics import DTYPES, compilable
from intertwine.kernels.harmonics_dispatch import evaluate, operator
from intertwine.kernels.solid import Solid
from intertwine.numerics import safe
from intertwine.o3.harmonic_constants import constants

#: Vectors: fewer cost less than a kernel's first use, and much code asks for many lists of degrees at a few points.
_FEWEST = 32


def fused(x: Tensor, normalize: bool, degrees: tuple[int, ...], normalization: str) -> Tensor | None:
    """Harmonics of x (..., 3) by a kernel, or None where plain torch is the way.

    Kernels are for float32 and float64 on the CPU and degrees up to 12. Compilers see one operator; ``torch.func``,
    forward mode and other tracers see plain torch. ``INTERTWINE_KERNELS=reference`` in the environment turns the
    kernels off, ``cpu`` takes them for few vectors too.

    Raises:
        InputError: ``INTERTWINE_KERNELS`` asks for something unknown.
    """
    if not x.is_cpu or x.dtype not in DTYPES:
        return None
    compiling = torch.compiler.is_compiling()
    if compiling:
        from intertwine.o3.compiled_harmonics import fixed  # it needs torch's compiler, which takes long to import

        text = fixed(degrees, normalization, normalize, _FEWEST)
    else:
        text = wanted(degrees, normalization, normalize, x.numel() // 3) if safe.plain(x) else None
    if text is None:
        return None
    run = operator if compiling else evaluate
    if x.ndim == 2:
        return run(x, text)
    result = run(x.reshape(-1, 3), text)
    return result.reshape(*x.shape[:-1], result.shape[-1])


def wanted(degrees: tuple[int, ...], normalization: str, normalize: bool, number: int) -> str | None:
    """The description of the kernels, if they are to be used for so many vectors.

    Raises:
        InputError: ``INTERTWINE_KERNELS`` asks for something unknown.
    """
    backend = choice.asked()
    if backend in ("reference", "gpu") or (backend == "auto" and number < _FEWEST):
        return None
    return _described(degrees, normalization, normalize)


@lru_cache(maxsize=256)
def _described(degrees: tuple[int, ...], normalization: str, normalize: bool) -> str | None:
    """The description of the kernels, if there are kernels for these degrees."""
    scales = constants(degrees, normalization)[1]
    solid = Solid(degrees, tuple(float(scale) for scale in scales), normalize)
    return solid.text if compilable(solid) else None
