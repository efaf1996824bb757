"""Irreps as they are written, read as plain numbers: ``"1o"`` and ``"16x0e + 8x1o"``."""

from __future__ import annotations

import re

from intertwine.numerics import InputError


def read_irrep(name: str) -> tuple[int, int]:
    r"""Degree and parity of a string such as ``"1o"``; ``"2y"`` has the parity :math:`(-1)^l` of the harmonics.

    Raises:
        InputError: it is no degree followed by e, o or y.
    """
    match = re.fullmatch(r"\s*(\d+)([eoy])\s*", name)
    if match is None:
        raise InputError(
            f"{name.strip()!r} is not an irrep", where="irrep", remedy='write degree and parity: "0e", "1o" or "2y".'
        )
    l = int(match[1])
    return l, {"e": 1, "o": -1, "y": (-1) ** l}[match[2]]


def read_terms(spec: str) -> list[tuple[int, int, int]]:
    """Multiplicity, degree and parity of each term of a string such as ``"16x0e + 8x1o"``.

    Raises:
        InputError: a term is not ``[multiplicity x] degree parity``.
    """
    return [_term(term, spec) for term in spec.split("+") if term.strip()]


def _term(term: str, spec: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"\s*(?:(\d+)\s*x\s*)?(\d+[eoy])\s*", term)
    if match is None:
        raise InputError(
            f"{term.strip()!r} is not an irrep",
            where=f"irreps {spec!r}",
            remedy='write terms like "16x0e + 8x1o": multiplicity, x, degree, e or o.',
        )
    return int(match[1] or 1), *read_irrep(match[2])
