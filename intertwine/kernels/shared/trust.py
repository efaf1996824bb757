r"""The one self-check: the first time a kernel is used, its results are held against those of its definition.

Both are given the same numbers, the definition in float64. A result is a sum of terms t, each a product of coefficients
and arguments, and whatever the order in which a kernel adds and multiplies them,

.. math:: |\text{kernel} - \text{definition}| \le n\, \varepsilon \sum |t|

with n the roundings that a term goes through (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, chapter
3). So :math:`\varepsilon \sum |t|` is the one unit of error here, and every plan has a plan ``absolute`` whose
definition gives the sum. A kernel that is beyond the bound is not used: one warning names it, and its definition does
the work.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from intertwine.kernels.shared.choice import announce
from intertwine.kernels.shared.processes import preparing, single
from intertwine.numerics import InputError, modes

#: n of the bound: above the roundings of a term in any kernel here, far below a coefficient that is wrong by a percent.
BOUND = 64

_verdicts: dict[Hashable, bool] = {}


@dataclass(frozen=True)
class Trial:
    """A kernel beside its definition.

    Attributes:
        name: of the kernel, for the warning.
        plan: what both compute, with a plan ``absolute``: every coefficient by its absolute value, every minus a plus.
        kernel: of the arguments, its results.
        definition: of a plan and the arguments, the same results, in any precision.
        arguments: exact in the precision of the kernel, in float64 on the CPU: see :func:`numbers`.
    """

    name: str
    plan: Any
    kernel: Callable[..., Sequence[Tensor]]
    definition: Callable[..., Sequence[Tensor]]
    arguments: Sequence[Tensor]


def trusted(key: Hashable, trial: Callable[[], Trial], dtype: torch.dtype, device: torch.device | None = None) -> bool:
    """Whether a kernel gives the numbers of its definition; found out once.

    Args:
        key: the kernel; trial: gives it beside its definition.
        dtype: of its numbers; device: where it runs, the CPU by default.
    """
    verdict = _verdicts.get(key)
    if verdict is None:
        with preparing, single():
            verdict = _verdicts.get(key)
            if verdict is None:
                with modes.apart():
                    pair = trial()
                problem = _problem(pair, dtype, device)
                verdict = _verdicts[key] = not problem
                if problem:
                    announce(f"kernel of {pair.name} in {dtype} on {device or 'cpu'}", problem)
    return verdict


def _problem(trial: Trial, dtype: torch.dtype, device: torch.device | None) -> str:
    """What is wrong with a kernel; nothing if it is right."""
    try:
        excess = deviation(trial, dtype, device)
    except (ImportError, InputError) as error:  # no compiler for this machine
        return f"is not available ({error})"
    return "" if excess <= 1 else f"is wrong: {excess:.3g} times the bound of its rounding errors"


def deviation(trial: Trial, dtype: torch.dtype, device: torch.device | None = None) -> float:
    """Largest error of a kernel, over the bound of its rounding errors; infinite for NaN."""
    with modes.apart(), torch.device("cpu"), torch.no_grad():
        exact = trial.definition(trial.plan, *trial.arguments)
        sums = trial.definition(trial.plan.absolute, *(x.abs() for x in trial.arguments))
        results = trial.kernel(*(x.to(device=device, dtype=dtype) for x in trial.arguments))
        wide = max(torch.float32, dtype, key=lambda real: torch.finfo(real).bits)  # half precision is summed in single
        worst = 0.0
        for result, right, scale in zip(results, exact, sums, strict=True):
            bound = BOUND * torch.finfo(wide).eps * scale + torch.finfo(dtype).eps * right.abs()
            excess = (result.cpu() - right).abs() / (bound + torch.finfo(dtype).tiny)
            worst = max(worst, float(excess.nan_to_num(nan=torch.inf).max()) if excess.numel() else 0.0)
        return worst


def numbers(*shapes: Sequence[int], dtype: torch.dtype) -> list[Tensor]:
    """Normal random numbers of these shapes that a precision holds exactly; the same ones every time."""
    generator = np.random.default_rng(0)  # which no mode of torch concerns itself with
    with modes.apart():
        return [torch.from_numpy(generator.standard_normal(shape)).to(dtype).double() for shape in shapes]
