"""The four things that can be wrong, each said in full: what is wrong, where, and what to do about it."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable


class IntertwineError(Exception):
    """Base of every error that the library raises on purpose.

    Args:
        what: what is wrong, in one sentence.
        where: the file, frame, argument or option in which it is wrong; may be empty.
        remedy: what the user can do about it; may be empty.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        place = f"{where}: " if where else ""
        advice = f"\n  Remedy: {remedy}" if remedy else ""
        super().__init__(f"{place}{what}{advice}")

    def __reduce__(self):  # keyword-only arguments would be lost when a worker process sends the error home
        return _rebuild, (type(self), self.what, self.where, self.remedy)


class InputError(IntertwineError, ValueError):
    """An argument, option or configuration is not acceptable."""


class GeometryError(IntertwineError, ValueError):
    """A structure is not one that the operation is defined for (singular cell, NaN position, missing edges)."""


class DataError(IntertwineError, ValueError):
    """A data set or file is broken, incomplete or lacks a label."""


class CheckpointError(IntertwineError, RuntimeError):
    """A run folder or checkpoint can't be read or written."""


class Caution(RuntimeWarning):
    """What works, and not as is hoped: slower, elsewhere, or with a property lost. Commands print it as one line."""


def _rebuild(kind: type[IntertwineError], what: str, where: str, remedy: str) -> IntertwineError:
    return kind(what, where=where, remedy=remedy)


def nearest(name: str, options: Iterable[str]) -> str:
    """A remedy for a misspelt ``name``: the nearest of ``options`` if one is near, and all of them."""
    options = sorted(set(options))
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    listed = ", ".join(options) if options else "none"
    return f"did you mean {close[0]!r}? Known: {listed}." if close else f"use one of: {listed}."


def choose(name: str, options: Iterable[str], *, kind: str, where: str = "") -> str:
    """``name`` if it is one of ``options``; an :class:`InputError` that names the nearest one otherwise."""
    options = list(options)
    if name not in options:
        raise InputError(f"unknown {kind} {name!r}", where=where, remedy=nearest(str(name), options))
    return name


#: What libraries call a lack of memory: torch on the CPU and on GPUs, C++, the system.
_LACKING = re.compile(
    r"can't allocate memory|not enough memory|out of memory|bad_alloc|Unable to allocate|Cannot allocate memory|"
    r"failed to map segment|can't start new thread|mmap.*failed|out of shared memory",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"allocate ([\d.]+) ?(bytes|[KMGTP]i?B)")


def lack_of_memory(error: BaseException) -> str | None:
    """What is wrong if an error, whatever library it is of, means that memory is lacking, with how much was wanted if
    it says; else None.

    >>> lack_of_memory(RuntimeError("can't allocate memory: you tried to allocate 8589934592 bytes."))
    'there is not enough memory (8 GiB were wanted at once)'
    >>> lack_of_memory(MemoryError())
    'there is not enough memory'
    >>> lack_of_memory(ValueError("out of range")) is None
    True
    """
    text = str(error)
    known = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    said = isinstance(error, RuntimeError | OSError | ImportError) and _LACKING.search(text)
    if isinstance(error, IntertwineError) or not (known or said):
        return None
    place = " of the GPU" if "cuda" in text.lower() or "GPU" in text else ""
    amount = _AMOUNT.search(text)
    wanted = f" ({_size(amount[1], amount[2])} were wanted at once)" if amount else ""
    return f"there is not enough memory{place}{wanted}"


def _size(number: str, unit: str) -> str:
    if unit != "bytes":
        return f"{number} {unit}"
    value = float(number)
    for name in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.3g} {name}"
        value /= 1024
    return f"{value:.3g} TiB"
