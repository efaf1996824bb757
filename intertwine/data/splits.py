"""Which entries are for training, validation and test."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from intertwine.numerics import DataError, InputError, write_atomically

#: The three parts, and the names that files use for them.
PARTS = {
    "train": ("train", "train_idx", "training"),
    "validation": ("validation", "val", "valid", "val_idx", "valid_idx"),
    "test": ("test", "test_idx"),
}
MARKS = ("fingerprint", "test_fingerprint")


@dataclass(frozen=True, eq=False)
class Splits:
    """Indices (counted from 0) of the entries of each part.

    Args:
        train, validation, test: indices, each entry in one part at most; lists are taken too.
        fingerprint: of the data that the split was made for (:func:`intertwine.data.partition.fingerprint`), if it is
            known.
        test_fingerprint: the same of the second file, all of which is the test set, if there is one.

    Raises:
        DataError: an index is negative, occurs twice, or is in two parts.
    """

    train: Int[Tensor, " train"]
    validation: Int[Tensor, " validation"]
    test: Int[Tensor, " test"]
    fingerprint: str | None
    test_fingerprint: str | None

    def __init__(
        self, train: Any, validation: Any = (), test: Any = (), *, where: str = "splits",
        fingerprint: str | None = None, test_fingerprint: str | None = None,
    ) -> None:  # fmt: skip
        object.__setattr__(self, "fingerprint", fingerprint)
        object.__setattr__(self, "test_fingerprint", test_fingerprint)
        seen: dict[int, str] = {}
        for part, values in (("train", train), ("validation", validation), ("test", test)):
            indices = _indices(values, f"{where}: {part}")
            for index in indices.tolist():
                if index < 0:
                    raise DataError(
                        f"index {index} is negative", where=f"{where}: {part}", remedy="count entries from 0."
                    )
                if index in seen:
                    both = f"twice in {part}" if seen[index] == part else f"in both {seen[index]} and {part}"
                    raise DataError(
                        f"entry {index} is {both}",
                        where=where,
                        remedy="each entry may be in one part only: a test on training data says nothing.",
                    )
                seen[index] = part
            object.__setattr__(self, part, indices)

    def check(self, n: int, *, where: str = "splits") -> Splits:
        """Itself, if every index is below ``n``.

        Raises:
            DataError: an index is out of range.
        """
        for part in PARTS:
            indices = getattr(self, part)
            if len(indices) and int(indices.max()) >= n:
                raise DataError(
                    f"index {int(indices.max())} is out of range for {n} entries",
                    where=f"{where}: {part}",
                    remedy="was the split made for other data? Indices count from 0.",
                )
        return self

    def save(self, path: str | Path) -> None:
        """Write as JSON: {"train": [...], "validation": [...], "test": [...]}; the file appears whole or not at all.

        Raises:
            CheckpointError: it can't be written.
        """
        marks = {name: getattr(self, name) for name in MARKS if getattr(self, name) is not None}
        write_atomically(Path(path), json.dumps({**self.to_dict(), **marks}).encode())

    def to_dict(self) -> dict[str, list[int]]:
        return {part: getattr(self, part).tolist() for part in PARTS}

    @classmethod
    def load(cls, path: str | Path) -> Splits:
        """Read a ``.json`` file of three lists or an ``.npz`` file of three arrays (``train`` or ``train_idx``, ...).

        Raises:
            DataError: the file is missing, unreadable or has no training part, or the parts overlap.
        """
        path = Path(path)
        remedy = (
            'give {"train": [0, 1, ...], "validation": [...], "test": '
            "[...]} as .json, or arrays of those names as .npz."
        )
        if not path.is_file():
            raise DataError("no such file of splits", where=str(path), remedy="check the path.")
        try:
            content: Any
            if path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as arrays:
                    content = {name: arrays[name] for name in arrays.files}
            else:
                content = json.loads(path.read_text())
        except (OSError, ValueError, zipfile.BadZipFile, RecursionError) as error:
            raise DataError(f"can't read the splits: {error}", where=str(path), remedy=remedy) from error
        if not isinstance(content, Mapping):
            raise DataError("splits must be named lists", where=str(path), remedy=remedy)
        lists = {
            part: next((content[name] for name in names if name in content), None) for part, names in PARTS.items()
        }
        if lists["train"] is None:
            raise DataError(
                f"no training part among {', '.join(map(str, content)) or 'nothing'}", where=str(path), remedy=remedy
            )
        marks = {name: content[name] for name in MARKS if isinstance(content.get(name), str)}
        parts = (() if values is None else values for values in lists.values())
        return cls(*parts, where=str(path), **marks)


def split(
    n: int,
    *,
    train: int | float | None = None,
    validation: int | float | None = 0,
    test: int | float | None = 0,
    seed: int = 0,
) -> Splits:
    """A random split, the same for the same seed on every machine.

    Args:
        n: number of entries.
        train, validation, test: a count, a share of n (a float of at most 1), or None, which one part may be: all the
            rest.
        seed: of the shuffle; the test set is drawn first, then validation, then training, so a smaller training set is
            a subset of a larger one and is tested on the same entries.

    Raises:
        InputError: a size is negative, sizes exceed n, more than one part takes the rest, or nothing is left to train
            on.
    """
    sizes = {"test": test, "validation": validation, "train": train}
    counts = {part: None if size is None else count(size, n, part) for part, size in sizes.items()}
    rest = [part for part, number in counts.items() if number is None]
    if len(rest) > 1:
        raise InputError(f"{' and '.join(rest)} both take the rest", where="split", remedy="give all sizes but one.")
    filled = {part: number or 0 for part, number in counts.items()}
    total = sum(filled.values())
    if total > n:
        terms = [str(number) for number in counts.values() if number]
        asked = " + ".join(terms) + (f" = {total}" if len(terms) > 1 else "")
        raise InputError(
            f"{asked} entries asked for, of a data set of {n}", where="split", remedy=f"ask for at most {n} in all."
        )
    if rest:
        filled[rest[0]] = n - total
    if not filled["train"]:
        raise InputError(
            f"no entry is left for training ({n} in all)",
            where="split",
            remedy="ask for fewer validation and test entries.",
        )
    order = np.random.default_rng(seed).permutation(n)
    test_end, validation_end = filled["test"], filled["test"] + filled["validation"]
    return Splits(
        order[validation_end : validation_end + filled["train"]], order[test_end:validation_end], order[:test_end]
    )


def count(size: int | float, n: int, part: str) -> int:
    """How many of ``n`` entries a size is: itself, or for a share (a float of at most 1) that part of n, rounded down.

    Raises:
        InputError: it is negative, or neither a whole number nor a share.

    >>> count(1, 40, "train"), count(1.0, 40, "train"), count(0.29, 100, "train")
    (1, 40, 29)
    """
    if isinstance(size, float) and 0 < size <= 1:
        return int(size * n + 1e-9 * n)  # 0.29 * 100 is 28.999999999999996
    if not 0 <= size < float("inf") or size != int(size):
        raise InputError(
            f"size {size}", where=part, remedy="give a count, a share between 0 and 1, or None for the rest."
        )
    return int(size)


def _indices(values: Any, where: str) -> Tensor:
    try:
        array = np.asarray(values.tolist() if isinstance(values, Tensor) else values)
        if array.size and array.dtype.kind not in "iu":
            raise ValueError(f"{array.dtype} values")
        return torch.as_tensor(array.reshape(-1).astype(np.int64))
    except (ValueError, TypeError) as error:
        raise DataError(
            f"indices are not whole numbers: {error}", where=where, remedy="give a list of integers counted from 0."
        ) from error
