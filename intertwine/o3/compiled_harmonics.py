"""The harmonics' kernels in a compiled graph; imported by a compiler only."""

from __future__ import annotations

import torch

from intertwine.o3.harmonic_kernels import wanted


@torch.compiler.assume_constant_result
def fixed(degrees: tuple[int, ...], normalization: str, normalize: bool, number: int) -> str | None:
    """The description of the kernels as a constant of the graph, which is for any number of vectors; None within
    ``torch.func``.
    """
    if torch._C._functorch.maybe_current_level() is not None:
        return None
    return wanted(degrees, normalization, normalize, number)
