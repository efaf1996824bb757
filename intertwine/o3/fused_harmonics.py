"""Spherical harmonics by the kernels of :mod:`intertwine.kernels.harmonics.kernel`, where those pay."""

from __future__ import annotations

import torch
from torch import Tensor

from intertwine.kernels.harmonics.kernel import DTYPES
from intertwine.kernels.harmonics.operators import evaluate, operator
from intertwine.numerics import safe
from intertwine.o3.harmonic_kernels import FEWEST_VECTORS, wanted


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

        text = fixed(degrees, normalization, normalize, FEWEST_VECTORS)
    else:
        text = wanted(degrees, normalization, normalize, x.numel() // 3) if safe.plain(x) else None
    if text is None:
        return None
    run = operator if compiling else evaluate
    if x.ndim == 2:
        return run(x, text)
    result = run(x.reshape(-1, 3), text)
    return result.reshape(*x.shape[:-1], result.shape[-1])
