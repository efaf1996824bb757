"""What all programs for graphics cards share: whether Triton is there, precisions, constants that it compiles in.

Triton itself is imported late: it is not there on every machine.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from intertwine.numerics import InputError

#: Precisions of numbers in memory, and of their sums.
SUMS = {torch.float32: torch.float32, torch.float64: torch.float64, torch.bfloat16: torch.float32}


def supports(dtype: torch.dtype) -> bool:
    """Whether programs can run in this precision here: Triton is needed."""
    return dtype in SUMS and installed()


def require() -> None:
    """Make sure that Triton is there.

    Raises:
        InputError: it is not.
    """
    if not installed():
        remedy = (
            "install it (`pip install triton`; on Linux it comes with torch's CUDA builds), "
            "or set INTERTWINE_KERNELS=reference."
        )
        raise InputError(
            "the kernels for graphics cards are written in Triton, which is not installed",
            where="kernels",
            remedy=remedy,
        )


@lru_cache(maxsize=1)
def installed() -> bool:
    """Whether Triton can be imported."""
    return find_spec("triton") is not None


def fit(programs: ModuleType, tensor: Tensor) -> ModuleType:
    """The programs of a module, which says whether they are ``INTERPRETED``, for tensors on the device of one.

    Raises:
        InputError: a program that is compiled for a card can't run on the CPU.
    """
    if tensor.device.type == "cpu" and not programs.INTERPRETED:
        remedy = (
            "move the tensors to a graphics card; to run on the CPU, slowly, "
            "set TRITON_INTERPRET=1 before Triton is imported."
        )
        raise InputError("a kernel for graphics cards can't run on the CPU", where="kernels", remedy=remedy)
    return programs


def real(dtype: torch.dtype) -> Any:
    """Triton's name of the precision of sums of numbers in a precision."""
    import triton.language as tl

    return {torch.float32: tl.float32, torch.float64: tl.float64}[SUMS[dtype]]


@contextlib.contextmanager
def on(tensor: Tensor) -> Iterator[None]:
    """Launches go to the card of the tensor."""
    with torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext():
        yield


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that Triton compiles in: cheap to compare (there is one object of each), and named by a digest of what it
    holds.
    """

    def __post_init__(self) -> None:
        content = repr([getattr(self, field.name) for field in fields(self)])
        object.__setattr__(self, "_digest", hashlib.sha256(content.encode()).hexdigest()[:20])

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self._digest}"  # type: ignore[attr-defined]
