"""The certificate of a deployed force field: whether the calculator that a file makes does what the file says, and what
any potential must.

Everything is asked of ASE calculators, so any engine that looks like one can be tried. Energies are compared beyond
those of isolated atoms.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms

from intertwine.certify import Certificate
from intertwine.certify.certificate import FAILED, PASSED, SKIPPED, Line
from intertwine.certify.lines import reason_of, short
from intertwine.integrations import conformance_trials as trials
from intertwine.numerics import IntertwineError

#: Largest difference from the eager model of the file, over the root mean square of the quantity.
BOUNDS = {torch.float64: 1e-6, torch.float32: 2e-5}
#: Of what only the order of a sum decides.
ROUNDING = {torch.float64: 1e-9, torch.float32: 2e-5}
DIFFERENCES = 1e-6  # of forces and stress from differences of energies, over their size
SIZES = (1023, 1024, 1025)
MANY = 10_001


@dataclass(frozen=True)
class Vector:
    """A structure of the file with what the eager model says of it.

    Attributes:
        name: in a few words.
        atoms: the structure.
        values: "energy" (eV), "forces" (eV/A) and, where it has one, "stress" (eV/A^3, six numbers) by precision.
    """

    name: str
    atoms: Atoms
    values: Mapping[torch.dtype, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Subject:
    """What is tried.

    Attributes:
        name: of it.
        make: a precision -> a fresh calculator.
        vectors: of the file.
        cutoff: A; None where all atoms see each other.
        batched: structures -> energies (eV) of all at once; None where nothing of the kind is there.
        dtypes: the precisions that it computes in.
    """

    name: str
    make: Callable[[torch.dtype], Any]
    vectors: Sequence[Vector]
    cutoff: float | None
    batched: Callable[[Sequence[Atoms]], np.ndarray] | None = None
    dtypes: Sequence[torch.dtype] = (torch.float64, torch.float32)


#: Called with what is about to be tried, and in which precision.
Say = Callable[[str, str], None]


def conformance(
    subject: Subject, *, only: Collection[str] | None = None, slow: bool = False, say: Say | None = None
) -> Certificate:
    """Try a deployed model.

    Args:
        subject: the model.
        only: names of :data:`TESTS`; None for all.
        slow: also more than 10,000 atoms.
        say: told what is tried.

    Returns:
        A certificate; of each test and precision the largest error, in words where.
    """
    lines: list[Line] = []
    for dtype in subject.dtypes:
        shared = subject.make(dtype)
        for name in TESTS if only is None else only:
            if say is not None:
                say(name, short(dtype))
            try:
                findings = [*TESTS[name](trials.Trial(subject, dtype, slow, shared))]
            except (IntertwineError, RuntimeError, ValueError, ArithmeticError, MemoryError, LookupError) as error:
                findings = [trials.Found(name, np.inf, 0.0, reason_of(error))]
            lines += [_line(name, each, dtype) for each in findings]
    return Certificate(subject.name, "conformance", len(subject.vectors), tuple(lines), "structures")


def _line(test: str, finding: Any, dtype: torch.dtype) -> Line:
    if isinstance(finding, str):
        return Line(test, "", "", short(dtype), None, None, SKIPPED, finding)
    error = float(np.nan_to_num(finding.error, nan=np.inf))
    verdict = PASSED if error <= finding.bound else FAILED
    return Line(
        test,
        "",
        finding.output,
        short(dtype),
        error if np.isfinite(error) else None,
        finding.bound,
        verdict,
        finding.worst,
    )


def as_the_file_says(trial: trials.Trial) -> Iterator[Any]:
    """Energies, forces and stress of the test vectors."""
    for name in ("energy", "forces", "stress"):
        yield trial.vectors_of(name, BOUNDS[trial.dtype])


def forces_by_differences(trial: trials.Trial) -> Iterator[Any]:
    """Forces are minus the derivative of the energy, by central differences."""
    yield trial.forces_by_differences(DIFFERENCES) if trial.exact else "differences are taken in float64"


def stress_by_differences(trial: trials.Trial) -> Iterator[Any]:
    """The stress is the derivative by strain, in sign and size."""
    yield trial.stress_by_differences(DIFFERENCES) if trial.exact else "differences are taken in float64"


def one_atom(trial: trials.Trial) -> Iterator[Any]:
    """An atom alone, with nothing within the cutoff: what the file says, and no force."""
    yield trial.alone(ROUNDING[trial.dtype])


def no_neighbours(trial: trials.Trial) -> Iterator[Any]:
    """Atoms that don't see each other: the sum of atoms alone."""
    yield trial.apart(ROUNDING[trial.dtype])


def odd_and_even(trial: trials.Trial) -> Iterator[Any]:
    """One, two, three and four atoms more, far away: each adds its own energy."""
    yield trial.growing(ROUNDING[trial.dtype])


def sizes(trial: trials.Trial) -> Iterator[Any]:
    """1,023, 1,024 and 1,025 atoms: copies of a structure that don't see each other."""
    yield trial.copies(SIZES, ROUNDING[trial.dtype])


def more_than_10000(trial: trials.Trial) -> Iterator[Any]:
    """10,001 atoms."""
    yield trial.copies((MANY,), ROUNDING[trial.dtype]) if trial.slow else "not asked for (--slow)"


def periodic(trial: trials.Trial) -> Iterator[Any]:
    """A cell twice as large has twice the energy, and the same forces and stress; a molecule in a wide box is alone."""
    yield from trial.periodic(ROUNDING[trial.dtype])


def order(trial: trials.Trial) -> Iterator[Any]:
    """Atoms in another order."""
    yield trial.order(ROUNDING[trial.dtype])


def batch(trial: trials.Trial) -> Iterator[Any]:
    """Structures together, and one by one."""
    yield trial.batch(BOUNDS[trial.dtype])


def after_a_move(trial: trials.Trial) -> Iterator[Any]:
    """A calculator that has moved along gives what a fresh one gives."""
    yield trial.after_moves(ROUNDING[trial.dtype])


def after_a_failure(trial: trials.Trial) -> Iterator[Any]:
    """A structure that can't be computed has no result, and spoils none that follows."""
    yield trial.after_failure(ROUNDING[trial.dtype])


TESTS: dict[str, Callable[[trials.Trial], Iterator[Any]]] = {
    "as the eager model": as_the_file_says,
    "forces by differences": forces_by_differences,
    "stress by differences": stress_by_differences,
    "one atom": one_atom,
    "no neighbours": no_neighbours,
    "odd and even numbers of atoms": odd_and_even,
    "1,023, 1,024 and 1,025 atoms": sizes,
    "more than 10,000 atoms": more_than_10000,
    "periodic and not": periodic,
    "order of the atoms": order,
    "batch": batch,
    "after a move": after_a_move,
    "after a failure": after_a_failure,
}
