"""What is done so far, on the disk after every structure: a file that only grows, and is read again after a kill.

It begins with a line of JSON, the recipe and a digest of the structures. A record follows for each structure: mark,
length, frame, checksum, seconds, whether there are labels, and the labels as npz or the reason why there are none. A
record is written by one call and synchronised; what a killed process left of one at the end is cut off by the next.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from intertwine.labels.recipe import OPTIONS, Recipe
from intertwine.labels.structure import Outcome
from intertwine.numerics import CheckpointError, InputError, write_atomically
from intertwine.numerics.locks import claim

FORMAT = "intertwine labels, journal 1"
HEAD = struct.Struct("<4sQQId?")  # mark, bytes, frame, checksum, seconds, whether there are labels
MARK = b"\nITW"
REMARK = "remark"  # among the labels of a record


class Journal:
    """The journal of an output, of one writer at a time. Use it in a ``with`` block.

    Args:
        path: of the journal.
        recipe: how labels are computed.
        structures: digest of the structures.

    Raises:
        InputError: it is there, and of another recipe or of other structures; what differs is told.
        CheckpointError: another process writes it, or it can't be written.
    """

    def __init__(self, path: Path, recipe: Recipe, structures: str) -> None:
        self.path, self.recipe, self.structures = path, recipe, structures
        if not path.exists():
            about = {"format": FORMAT, "structures": structures, "recipe": json.loads(recipe.text())}
            write_atomically(path, json.dumps(about).encode() + b"\n")
        try:
            self.file = path.open("r+b")
        except OSError as error:
            raise CheckpointError(
                f"can't be written: {error.strerror}", where=str(path), remedy="name another --output."
            ) from error
        try:
            if claim(self.file.fileno()) is False:
                remedy = "wait for it to end, or end it; or name another --output."
                raise CheckpointError("another process labels into it", where=str(path), remedy=remedy)
            self._compare()
            #: frame -> where its record begins.
            self.places = dict(self._records())
            self.file.truncate(self.end)
        except BaseException:
            self.file.close()
            raise

    def _compare(self) -> None:
        """Raise an :class:`InputError` unless it is the journal of this recipe and these structures."""
        line = self.file.readline()
        self.begin = self.end = self.file.tell()
        try:
            about = json.loads(line)
            former = Recipe.of(json.dumps(about["recipe"]))
            structures = about["structures"] if about["format"] == FORMAT else None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError("it is no journal of labels", where=str(self.path), remedy=_ANEW) from error
        same = structures == self.structures
        if said := differing(former, self.recipe, same):
            what = f"the labelling that it keeps was begun otherwise ({said})"
            raise InputError(what, where=str(self.path), remedy=f"{_as_then(former, self.recipe, same)}; or {_ANEW}")

    def _records(self) -> Iterator[tuple[int, int]]:
        """Frame and place of each record that is whole."""
        size = os.fstat(self.file.fileno()).st_size
        while self.end + HEAD.size <= size:
            self.file.seek(self.end)
            mark, length, frame, checksum, _, _ = HEAD.unpack(self.file.read(HEAD.size))
            if mark != MARK or self.end + HEAD.size + length > size or zlib.crc32(self.file.read(length)) != checksum:
                return
            yield frame, self.end
            self.end += HEAD.size + length

    def append(self, outcome: Outcome) -> None:
        """Add what came of a structure; when this returns it is on the disk.

        Raises:
            CheckpointError: the disk is full, or fails.
        """
        content = _packed(outcome)
        head = HEAD.pack(MARK, len(content), outcome.frame, zlib.crc32(content), outcome.seconds, not outcome.reason)
        try:
            self.file.seek(self.end)
            self.file.write(head + content)
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            what = f"can't be written: {error.strerror}"
            raise CheckpointError(
                what, where=str(self.path), remedy="free space on the disk; the same command goes on."
            ) from error
        self.places[outcome.frame] = self.end
        self.end += HEAD.size + len(content)

    def read(self, frame: int) -> Outcome:
        """What came of a structure that is in it."""
        seconds, labelled, content = self._content(frame)
        if not labelled:
            return Outcome(frame, {}, content.decode(), seconds)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            labels = dict(arrays)
        remark = str(labels.pop(REMARK, ""))
        return Outcome(frame, labels, "", seconds, remark)

    def reason(self, frame: int) -> str:
        """Why a structure that is in it has no labels; "" if it has."""
        _, labelled, content = self._content(frame)
        return "" if labelled else content.decode()

    def remark(self, frame: int) -> str:
        """What speaks against the labels of a structure that is in it; "" if nothing does, or it has none."""
        _, labelled, content = self._content(frame)
        if not labelled:
            return ""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return str(arrays[REMARK]) if REMARK in arrays.files else ""

    def _content(self, frame: int) -> tuple[float, bool, bytes]:
        self.file.seek(self.places[frame])
        _, length, _, _, seconds, labelled = HEAD.unpack(self.file.read(HEAD.size))
        return seconds, labelled, self.file.read(length)

    def remove(self) -> None:
        """Delete it: everything is elsewhere."""
        self.path.unlink()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()


_ANEW = "begin anew with --overwrite, or name another --output."


def differing(former: Recipe, recipe: Recipe, same: bool) -> str:
    """What differs between two runs, each by what it was then and what it is now; "" if nothing does.

    Args:
        former: how labels were computed.
        recipe: how they are to be computed.
        same: the structures are those of then.
    """
    spoken = {name: OPTIONS.get(name, name.replace("_", " ")) for name in former.differences(recipe)}
    said = [
        f"{words}: {former.told(name, recipe)} then, {recipe.told(name, former)} now" for name, words in spoken.items()
    ]
    return "; ".join(said if same else [*said, "the structures"])


def _as_then(former: Recipe, recipe: Recipe, same: bool) -> str:
    """How the run of then goes on."""
    differences = former.differences(recipe)
    parts = [f"the options {former.options()}"] if any(name in OPTIONS for name in differences) else []
    parts += [] if same else ["the structures of then, with their --unit and --limit"]
    parts += [] if all(name in OPTIONS for name in differences) else ["the programs of then"]
    return f"to go on, give {' and '.join(parts)}"


def _packed(outcome: Outcome) -> bytes:
    if outcome.reason:
        return outcome.reason.encode()
    buffer = io.BytesIO()
    arrays: dict[str, np.ndarray] = outcome.labels
    remark = {REMARK: np.array(outcome.remark)} if outcome.remark else {}
    np.savez(buffer, allow_pickle=False, **arrays, **remark)
    return buffer.getvalue()
