"""Chemical symbols of a file: elements, isotopes with their masses, and what must not be taken for an element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intertwine.numerics import DataError

#: Symbols that are isotopes: atomic number and mass (u), AME2020.
ISOTOPES = {"D": (1, 2.014101778), "T": (1, 3.016049281)}
TYPES = (
    "say which elements the types are: write symbols in their place (in LAMMPS `dump_modify ID element O H`, "
    "with the column element)."
)


def elements(
    symbols: Sequence[str], first: int, where: str, *, typed: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Atomic numbers (N,), and masses (N,) in u if there are isotopes among them.

    Args:
        symbols: chemical symbols in any case, D and T, or atomic numbers as text.
        first: number of the line of the first one, for messages.
        where: file and frame.
        typed: the program that wrote the file numbers its atom types from 1.

    Raises:
        DataError: an unknown element, or numbers that are types of atoms (1, 2, ... would be hydrogen and helium).
    """
    from ase.data import atomic_masses, atomic_numbers

    numbers, isotopes = np.empty(len(symbols), dtype=np.int64), {}
    for k, symbol in enumerate(symbols):
        name = symbol.capitalize()
        z = int(symbol) if symbol.isascii() and symbol.isdigit() and len(symbol) < 4 else atomic_numbers.get(name, 0)
        if name in ISOTOPES:
            z, isotopes[k] = ISOTOPES[name]
        if not 1 <= z <= 118:
            what = f"unknown element {symbol!r} in line {first + k}"
            remedy = "use chemical symbols such as H, C, O, or atomic numbers."
            raise DataError(what, where=where, remedy=remedy)
        numbers[k] = z
    present = set(numbers.tolist())
    if any(symbol.isdigit() for symbol in symbols) and (
        typed or (2 in present and present == set(range(1, len(present) + 1)))
    ):
        raise DataError(
            f"the atoms have types ({', '.join(map(str, sorted(present)))}) and no elements", where=where, remedy=TYPES
        )
    if not isotopes:
        return numbers, None
    masses = atomic_masses[numbers].copy()
    masses[list(isotopes)] = list(isotopes.values())
    return numbers, masses
