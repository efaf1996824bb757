"""What is trained on, validated on and tested on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols

from intertwine.data import DATASETS, GraphStore, Splits, open_dataset, split
from intertwine.numerics import DataError, InputError, write_atomically
from intertwine.training.options import DataOptions

ENTRIES = 1000  # at each end of the data, that tell whether they have changed
LARGEST_VALIDATION = 1000


@dataclass
class Sets:
    """The three parts of the data, and where they came from.

    Args:
        source: the whole data set.
        splits: indices of the parts in ``source``; the test part is empty if a test file was given.
        train, validation, test: the parts.
    """

    source: GraphStore
    splits: Splits
    train: GraphStore
    validation: GraphStore
    test: GraphStore

    def species(self) -> tuple[int, ...]:
        """Atomic numbers of all parts: a species that only the test set has must not stop a run."""
        return tuple(sorted({z for part in (self.train, self.validation, self.test) if len(part) for z in part.species()}))

    def prepared(self, cutoff: float | None, labels: list[str]) -> Sets:
        """The same with edges, computed when first asked for, and with only the labels that the task reads."""
        whole = self.source.only(*labels).connected(cutoff)
        apart = self.test.only(*[name for name in labels if name in self.test.fields]).connected(cutoff)
        test = whole.subset(self.splits.test) if len(self.splits.test) else apart
        return Sets(whole, self.splits, whole.subset(self.splits.train), whole.subset(self.splits.validation), test)


def open_sets(
    options: DataOptions,
    *,
    splits: Splits | None = None,
    store: GraphStore | None = None,
    progress: bool = True,
    allow: Collection[str] = (),
) -> Sets:
    """Read the data and divide them.

    Args:
        options: the section ``data``.
        splits: of a run that is resumed; otherwise as the options say.
        store: the data, if they are already open; then ``options.source`` is only a name.
        progress: show a bar.
        allow: modules outside the package whose data sets may be named.

    Raises:
        DataError, InputError: the data can't be read, or there are too few.
    """
    about: dict[str, Any] = {"keys": options.keys, "units": options.units, "target": options.target, "progress": progress, "allow": allow}
    whole = store if store is not None else open_dataset(options.source, limit=options.limit, **about)
    apart = open_dataset(options.test, **about) if options.test else None
    if splits is None:
        splits = divide(whole, options, has_test=apart is not None)
        if apart is not None:
            splits = Splits(splits.train, splits.validation)
    elif options.source not in DATASETS and (known := getattr(splits, "fingerprint", None)) and known != fingerprint(whole):
        remedy = "restore the data that the run was trained on, or start a new run."
        raise DataError("the data have changed since the run began", where=options.source, remedy=remedy)
    splits.check(len(whole), where=options.indices or options.source)
    if not len(splits.train):
        raise DataError("the training set is empty", where=options.source, remedy="give more data, or a larger share for training.")
    test = apart if apart is not None else whole.subset(splits.test)
    sets = Sets(whole, splits, whole.subset(splits.train), whole.subset(splits.validation), test)
    unseen = [chemical_symbols[z] for z in sets.species() if z not in sets.train.species()]
    if unseen:
        whole.note(f"{', '.join(unseen)}: not in the training set, so predictions for them mean little")
    return sets


def divide(store: GraphStore, options: DataOptions, *, has_test: bool) -> Splits:
    """The split that the options ask for: from a file, the data set's own, or random.

    Raises:
        DataError, InputError: as :func:`intertwine.data.split`.
    """
    if options.indices:
        return Splits.load(options.indices)
    sizes = (options.train, options.validation, options.test_size)
    if store.splits is not None:
        return _first(store, store.splits, sizes)
    n = len(store)
    validation = options.validation if options.validation is not None else min(LARGEST_VALIDATION, n // 10)
    test = 0 if has_test else (options.test_size if options.test_size is not None else n // 10)
    return split(n, train=options.train, validation=validation, test=test, seed=options.seed)


def _first(store: GraphStore, own: Splits, sizes: tuple[int | float | None, ...]) -> Splits:
    """The data set's own parts, shortened to their first entries where a size is given: the test set stays the protocol's."""
    parts: list[torch.Tensor] = []
    for (name, part), size in zip((("train", own.train), ("validation", own.validation), ("test", own.test)), sizes, strict=True):
        count = len(part) if size is None else int(size * len(part)) if isinstance(size, float) and 0 < size < 1 else int(size)
        if count > len(part) or count < 0 or (size is not None and size >= 1 and size != count):
            remedy = f"ask for at most {len(part)}, or give your own split with data.indices."
            raise InputError(f"{size} entries of a part of {len(part)}", where=f"{store.name}: {name}", remedy=remedy)
        if count < len(part):
            store.note(f"{name}: the first {count} of the {len(part)} entries that {store.name} prescribes")
        parts.append(part[:count])
    return Splits(*parts)


class KeptSplits(Splits):
    """The split of a run, and the fingerprint of the data that it was made for; None in old runs."""

    fingerprint: str | None = None


def read_splits(path: Path) -> Splits | None:
    """The split that a run folder keeps, if it is there.

    Raises:
        DataError: the file is damaged.
    """
    if not path.is_file():
        return None
    splits = Splits.load(path)
    kept = KeptSplits(splits.train, splits.validation, splits.test)
    object.__setattr__(kept, "fingerprint", json.loads(path.read_text()).get("fingerprint"))
    return kept


def save_splits(sets: Sets, path: Path) -> None:
    """Write the split of a run, with the fingerprint of its data.

    Raises:
        CheckpointError: the file can't be written.
    """
    write_atomically(path, json.dumps({**sets.splits.to_dict(), "fingerprint": fingerprint(sets.source)}).encode())


def fingerprint(store: GraphStore) -> str:
    """SHA-256 of the number of entries, and of all fields of the first and the last 1,000 of them."""
    n = len(store)
    ends = store.subset(range(n) if n <= 2 * ENTRIES else [*range(ENTRIES), *range(n - ENTRIES, n)])
    digest = hashlib.sha256(str(n).encode())
    for name in sorted(ends.fields):
        value = ends.field(name).contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
