"""Bases by name from PySCF's files: the only place where a basis comes from PySCF."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable
from typing import Any

from ase.data import chemical_symbols

from intertwine.numerics import DataError, InputError
from intertwine.orbitals import Basis, Shell


def pyscf_basis(name: str, elements: Iterable[int]) -> Basis:
    """A basis that PySCF knows by name, of some elements.

    Args:
        name: as PySCF takes it: "def2-svp", "def2-tzvp", "6-31g**", "sto-3g" ...
        elements: atomic numbers.

    Raises:
        InputError: PySCF is not installed, or does not know the basis.
        DataError: the basis does not have an element, or has a core potential for it.
    """
    gto = require_pyscf("gto")
    if _loaded(gto, name, "H") is None:
        remedy = 'give one by its name, "def2-svp" for example.'
        raise InputError(f"PySCF does not know the basis {name!r}", where="basis", remedy=remedy)
    shells: dict[int, tuple[Shell, ...]] = {}
    for z in sorted(set(map(int, elements))):
        symbol = chemical_symbols[z]
        table = _loaded(gto, name, symbol)
        if table is None:
            what = f"the basis {name} has no shells for {symbol}"
            raise DataError(what, where="basis", remedy="choose a basis that has the element.")
        shells[z] = _shells(table)
    return Basis(name, shells)


def require_pyscf(part: str) -> Any:
    """A module of PySCF; an :class:`InputError` where it is not installed."""
    try:
        return importlib.import_module(f"pyscf.{part}")
    except ImportError as error:
        remedy = 'pip install "intertwine[quantum]"'
        raise InputError("PySCF is not installed", where="pyscf", remedy=remedy) from error


def _loaded(gto: Any, name: str, symbol: str) -> Any:
    """PySCF's table of an element in a basis; None if it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that another package might know it
        try:
            return gto.basis.load(name, symbol)
        except Exception:  # PySCF has a class of its own for each way to go wrong, and raises others too
            return None


def _shells(table: Iterable[Any]) -> tuple[Shell, ...]:
    """PySCF's table of one element: rows [l, [exponent, coefficient, ...], ...]; sorted by degree as PySCF sorts."""
    shells: list[Shell] = []
    for degree, *rows in sorted(table, key=lambda entry: entry[0]):
        exponents = tuple(float(row[0]) for row in rows)
        for column in range(1, len(rows[0])):
            shells.append(Shell(int(degree), exponents, tuple(float(row[column]) for row in rows)))
    return tuple(shells)
