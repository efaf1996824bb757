"""Irreps as they are written: strings and pairs."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from intertwine.numerics import InputError
from intertwine.o3.irrep import Irrep, MulIr, is_irrep


def read_block(entry: Any) -> MulIr:
    """One block: a string, an irrep, or a pair of multiplicity and irrep.

    Raises:
        InputError: it is none of them.
    """
    if isinstance(entry, MulIr):
        return entry
    if isinstance(entry, str) or is_irrep(entry):
        return MulIr(1, Irrep(entry))
    if not isinstance(entry, tuple | list) or len(entry) != 2:
        raise InputError(
            f"{entry!r} is not a block", where="irreps", remedy='give (multiplicity, irrep), such as (16, "1o").'
        )
    return MulIr(entry[0], entry[1])


@lru_cache(maxsize=1024)
def read_terms(spec: str) -> tuple[MulIr, ...]:
    """The blocks of a string such as ``"16x0e + 8x1o"``.

    Raises:
        InputError: a term is not ``[multiplicity x] degree parity``.
    """
    return tuple(_term(term, spec) for term in spec.split("+") if term.strip())


def _term(term: str, spec: str) -> MulIr:
    match = re.fullmatch(r"\s*(?:(\d+)\s*x\s*)?(\d+[eoy])\s*", term)
    if match is None:
        raise InputError(
            f"{term.strip()!r} is not an irrep",
            where=f"irreps {spec!r}",
            remedy='write terms like "16x0e + 8x1o": multiplicity, x, degree, e or o.',
        )
    return MulIr(int(match[1] or 1), Irrep(match[2]))
