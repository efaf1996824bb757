"""The kernels of harmonics on a graphics card: what is launched, on which tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from intertwine.kernels.harmonics.gpu.tape import job
from intertwine.kernels.harmonics.plan import VECTORS, WORDS, Solid
from intertwine.kernels.shared import card, doors

#: Points of a program, and its warps: one point for each thread.
POINTS, WARPS = 128, 4
#: Steps of the longest code: to compile more takes longer than most would wait (1,095 of degrees up to 8: 14 s).
MOST_STEPS = 700


def able(kind: str, solid: Solid, dtype: torch.dtype) -> bool:
    """Whether there is a program for a kernel, a key of :data:`~intertwine.kernels.harmonics.plan.WORDS`."""
    return card.supports(dtype) and len(job(kind, solid).steps) <= MOST_STEPS


def run(kind: str, solid: Solid, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Write the results of a kernel.

    Args:
        kind: a key of :data:`~intertwine.kernels.harmonics.plan.WORDS`; solid: what to evaluate.
        inputs: x and, as the kernel asks, g and v; outputs: made by the caller, contiguous.

    Raises:
        InputError: a tensor does not fit the others, Triton is missing, or the device is no graphics card.
    """
    x, n = inputs[0], len(inputs[0])
    tensors = [doors.in_memory(tensor, name) for name, tensor in zip(WORDS[kind][1:], inputs)]
    tensors += outputs
    for name, tensor in zip(WORDS[kind][1:], tensors, strict=True):
        doors.address(tensor, name, (n, 3 if name in VECTORS else solid.dim), x.dtype, x.device)
    if not n:
        return
    card.require()
    from intertwine.kernels.harmonics.gpu import programs

    read, written = tensors[1 : len(inputs)], tensors[len(inputs) :]
    pointers = (tensors[0], *[*read, x, x][:2], *[*written, x][:2])
    with card.on(x):
        card.fit(programs, x).points[(-(-n // POINTS),)](
            *pointers, n, job(kind, solid), card.real(x.dtype), POINTS=POINTS, num_warps=WARPS, enable_fp_fusion=True
        )
