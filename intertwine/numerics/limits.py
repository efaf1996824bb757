"""How far degrees and sizes go: beyond, tables fill any memory and recursions don't end, so it is said before they
begin.
"""

from __future__ import annotations

from collections.abc import Iterable

from intertwine.numerics import InputError

LARGEST_DEGREE = 100  # of a harmonic or a Wigner matrix that is computed: 20 is far beyond what models use
LARGEST_NAMED_DEGREE = 10_000  # degree of a representation that is only named
MOST_COMPONENTS = 1_000_000  # of harmonics of one vector
MOST_ENTRIES = 50_000_000  # of a table of constants, 400 MB in float64


def check_degrees(degrees: Iterable[int], where: str, most: int = LARGEST_DEGREE) -> None:
    """Raise an :class:`InputError` that names the largest degree if it is beyond ``most``."""
    largest = max(degrees, default=0)
    if largest > most:
        raise InputError(f"degree {largest}", where=where, remedy=f"give {most} at most.")


def check_size(number: int, what: str, where: str, most: int = MOST_ENTRIES) -> None:
    """Raise an :class:`InputError` if there are more than ``most`` of ``what``."""
    if number > most:
        raise InputError(
            f"{number:,} {what}", where=where, remedy=f"lower degrees, multiplicities or resolutions: {most:,} at most."
        )
