"""What both suites share: their options, and findings as lines of a certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from intertwine.certify.certificate import FAILED, NOT_CLAIMED, SKIPPED, Line
from intertwine.certify.measured import Findings

#: Called with (tests done, tests in all, name of the test about to run).
Progress = Callable[[int, int, str], None]


class Options(NamedTuple):
    """How a certificate is made: the arguments of :func:`~intertwine.certify.certify` of these names."""

    dtypes: Sequence[torch.dtype]
    cutoff: float | None
    bounds: Mapping[torch.dtype, float]
    seed: int
    rotations: int
    spread: int
    draws: int
    progress: Progress | None
    device: torch.device | None = None
    approximation: float | None = None


def lines_of(test: str, symmetry: str, dtype: str, findings: Findings, claimed: bool = True) -> list[Line]:
    """A line for each output that a test is about; one that says why where it is about none."""
    if isinstance(findings, str):
        return [Line(test, symmetry, "", dtype, None, None, SKIPPED, findings)]
    lines = [
        Line(
            test,
            symmetry,
            output,
            dtype,
            finding.error,
            finding.bound,
            NOT_CLAIMED if not claimed else finding.sense if finding.error <= finding.bound else FAILED,
            finding.worst,
        )
        for output, finding in findings.items()
        if finding.sense != SKIPPED
    ]
    untold = [finding.worst for finding in findings.values() if finding.sense == SKIPPED]
    return lines + [Line(test, symmetry, "", dtype, None, None, SKIPPED, words) for words in untold]


def reason_of(error: Exception) -> str:
    """An exception in one line."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
    return f"{type(error).__name__}: {first[:200]}"


def short(dtype: torch.dtype) -> str:
    """Its name without torch's."""
    return str(dtype).removeprefix("torch.")
