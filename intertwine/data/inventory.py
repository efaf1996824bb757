"""What a file holds, over all of its frames: every quantity under its name, where it stands, and in which frames."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from intertwine.data.frames import Frame, is_isolated
from intertwine.data.names import Name, parse
from intertwine.numerics import DataError

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"


@dataclass
class Found:
    """A quantity of a file; spellings that differ in case only are one.

    Args:
        key: its name, as most frames spell it.
        per_atom: it stands in the columns of the atoms, not with the whole structure.
        frames: which frames have it (frames,).
        shapes: pairs of a number of atoms and the shape of the quantity that occur together.
        numeric: it consists of numbers wherever it stands.
        meaning: what its name says.
        also: other spellings of its name in one frame with it, which are not read.
    """

    key: str
    per_atom: bool
    frames: np.ndarray
    shapes: set[tuple[int, tuple[int, ...]]] = field(default_factory=set)
    numeric: bool = True
    meaning: Name | None = None
    also: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        return int(self.frames.sum())

    def one_row_an_atom(self) -> bool:
        return all(len(shape) > 0 and shape[0] == atoms for atoms, shape in self.shapes)


class Inventory:
    """The quantities of all frames of a file.

    Args:
        frames: all of them.

    Attributes:
        size: number of frames.
        quantities: by whether one has a row for each atom, and by name in lower case.
        isolated: which frames are an isolated atom (frames,).
        readers: what made the frames.
        comments: the comment lines.
        noun: what a quantity is stored in, for messages.
    """

    noun = ""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames, self.size = frames, len(frames)
        self.readers, self.comments = {frame.reader for frame in frames}, [frame.comment for frame in frames]
        self.isolated = np.array([is_isolated(frame) for frame in frames], dtype=bool)
        self.quantities: dict[tuple[bool, str], Found] = {}
        spellings: dict[tuple[bool, str], Counter[str]] = {}
        for k, frame in enumerate(frames):
            for per_atom, group in ((False, frame.values), (True, frame.columns)):
                for key, value in group.items():
                    name = (per_atom, key.lower())
                    if name not in self.quantities:
                        self.quantities[name] = Found(key, per_atom, np.zeros(len(frames), dtype=bool))
                        spellings[name] = Counter()
                    entry = self.quantities[name]
                    if entry.frames[k]:
                        entry.also |= {other for other in group if other.lower() == key.lower()}
                    entry.frames[k] = True
                    spellings[name][key] += 1
                    kind, shape = _kind(value)
                    entry.numeric &= kind
                    entry.shapes.add((len(frame.numbers), shape))
        for name, entry in self.quantities.items():
            entry.key = max(spellings[name], key=lambda key: (spellings[name][key], key))
            entry.meaning = parse(entry.key)
            entry.also -= {entry.key}

    def __iter__(self) -> Iterator[Found]:
        return iter(self.quantities.values())

    def get(self, key: str) -> Found | None:
        """A quantity by name, in any case; one of the structure before one of the atoms."""
        return self.quantities.get((False, key.lower())) or self.quantities.get((True, key.lower()))

    def zero(self, entry: Found) -> bool:
        """Whether a quantity is exactly 0 wherever it stands."""
        return not any(np.any(value_of(self.frames[k], entry)) for k in np.flatnonzero(entry.frames).tolist())

    def remove(self, entry: Found) -> None:
        del self.quantities[entry.per_atom, entry.key.lower()]

    def equal(self, first: Found, other: Found) -> bool:
        """Whether two quantities have the same values wherever both stand."""
        pairs = ((value_of(frame, first), value_of(frame, other)) for frame in self.frames)
        return all(a is None or b is None or np.array_equal(a, b) for a, b in pairs)


class Arrays(Inventory):
    """The quantities of a file that has one array, over all frames of one molecule, for each.

    Args:
        arrays: by name; the first axis counts frames.
        frames: their number.
        atoms: the number of atoms of the molecule.
        aliases: usual names that the file's own names stand for, such as ``{"E": "energy"}``.
    """

    noun = "array "

    def __init__(self, arrays: Mapping[str, np.ndarray], frames: int, atoms: int, aliases: Mapping[str, str]) -> None:
        self.arrays, self.frames, self.size = arrays, (), frames
        self.readers, self.comments, self.isolated = {"npz"}, [], np.zeros(frames, dtype=bool)
        self.quantities = {}
        for key, array in arrays.items():
            meaning = parse(aliases.get(key, key))
            if meaning is not None and meaning.quantity in ("stress", "virial"):
                meaning = None  # nothing is periodic
            entry = Found(key, False, np.ones(frames, dtype=bool), {(atoms, array.shape[1:])}, True, meaning)
            self.quantities.setdefault(
                (False, key.lower()) if array.shape[:1] == (frames,) or meaning else (True, key.lower()), entry
            )

    def get(self, key: str) -> Found | None:
        return next((entry for entry in self if entry.key == key), None) or super().get(key)

    def zero(self, entry: Found) -> bool:
        return not self.arrays[entry.key].any()

    def equal(self, first: Found, other: Found) -> bool:
        return np.array_equal(self.arrays[first.key], self.arrays[other.key])


def value_of(frame: Frame, entry: Found) -> Any:
    """The quantity of one frame, whichever way that frame spells its name; None if it has none."""
    group: Mapping[str, Any] = frame.columns if entry.per_atom else frame.values
    if entry.key in group:
        return group[entry.key]
    lower = entry.key.lower()
    return next((value for key, value in group.items() if key.lower() == lower), None)


def _kind(value: Any) -> tuple[bool, tuple[int, ...]]:
    """Whether a value consists of numbers, and its shape."""
    if isinstance(value, bool | np.bool_ | str | dict) or value is None:
        return False, ()
    if isinstance(value, int | float | np.number):
        return True, ()
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        return False, ()
    return array.dtype.kind in "iuf", array.shape


def read_comments(frames: Sequence[Frame], keys: Iterable[str]) -> None:
    """Numbers of comment lines that ``keys`` ask for, as values of the frames under those keys.

    ``comment:2`` is the second word of the line; ``comment:WORD`` is the number behind that word (and a colon or an
    equals sign).

    Raises:
        DataError: a comment line has no such number; file and frame are named.
    """
    for key in keys:
        kind, colon, what = key.partition(":")
        if kind.lower() != "comment" or not colon or not what:
            continue
        for frame in frames:
            words = frame.comment.split()
            if what.isdigit():
                match = re.fullmatch(f"({NUMBER})", words[int(what) - 1]) if 0 < int(what) <= len(words) else None
            else:
                match = re.search(rf"(?<!\S){re.escape(what.rstrip(':='))}\s*[:=]?\s*({NUMBER})(?!\S)", frame.comment)
            if match is None:
                remedy = "comment:2 is the second word of the comment line, comment:E the number behind the word E."
                raise DataError(
                    f"the comment {frame.comment[:60]!r} has no number at {key!r}", where=frame.where, remedy=remedy
                )
            frame.values[key] = float(match[1].replace("D", "e").replace("d", "e"))
