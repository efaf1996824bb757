"""Which structures of a store are trained on, validated on and tested on; and whether the store is still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch

from intertwine.data.splits import Splits, count, split
from intertwine.data.store import GraphStore
from intertwine.numerics import InputError

Size = int | float | None  # a number of structures, a share, or what is usual

COMPARED_ENTRIES = 1000  # at each end of the data, that tell whether they have changed
MOST_VALIDATION_STRUCTURES = 1000


def divide(
    store: GraphStore,
    *,
    train: Size = None,
    validation: Size = None,
    test_size: Size = None,
    seed: int = 0,
    has_test: bool = False,
) -> Splits:
    """The data set's own split, shortened to the sizes, or a random one.

    Args:
        store: the data; isolated atoms, which are references, are trained on.
        train, validation, test_size: numbers, shares (below 1), or None for what is usual.
        seed: of a random split.
        has_test: the test set is elsewhere.

    Raises:
        InputError: as :func:`intertwine.data.split`; a part that the data set prescribes has fewer entries.
    """
    sizes: dict[str, Size] = {"train": train, "validation": validation, "test": 0 if has_test else test_size}
    if store.splits is not None:
        return _first(store, store.splits, {**sizes, "test": test_size})
    alone = store.isolated() if "energy" in store.fields else torch.zeros(len(store), dtype=torch.bool)
    if alone.all():
        alone = ~alone
    others = (~alone).nonzero().flatten()
    parts = split(len(others), **_sizes(store, sizes, len(others)), seed=seed)
    picked = {part: others[getattr(parts, part)] for part in sizes}
    return Splits(torch.cat([alone.nonzero().flatten(), picked["train"]]), picked["validation"], picked["test"])


def _sizes(store: GraphStore, requested: Mapping[str, Size], n: int) -> dict[str, int | None]:
    """Numbers of structures of the three parts: those given, shares of ``n`` as counts; the others take what is usual,
    and at most what is left. Shares that together are 1 fill the set, to the last structure.

    Raises:
        InputError: a share for training rounds to nothing.
    """
    counts = {part: count(size, n, part) for part, size in requested.items() if size is not None}
    if requested["train"] and not counts["train"]:
        remedy = "give a number of structures, or a larger share."
        raise InputError(f"the share {requested['train']} of {n} structures is none", where="data.train", remedy=remedy)
    shares = sum(size for size in requested.values() if isinstance(size, float) and size <= 1)
    numbers = any(size and not (isinstance(size, float) and size <= 1) for size in requested.values())
    if abs(shares - 1) < 1e-9 and not numbers and "train" in counts:
        counts = {"validation": 0, "test": 0} | counts
        counts["train"] = n - counts["validation"] - counts["test"]
    left = max(n - sum(counts.values()), 0)
    if "validation" not in counts:
        counts["validation"] = min(MOST_VALIDATION_STRUCTURES, n // 10, left if "test" in counts else (left + 1) // 2)
    if "test" not in counts:
        counts["test"] = min(n // 10, max(n - counts.get("train", 0) - counts["validation"], 0))
    for part in ("validation", "test"):
        if counts[part] == 0 and requested[part]:
            store.note(f"{part}: the share {requested[part]} of {n} structures is none")
        elif counts[part] == 0 and requested[part] is None and n >= 10:
            store.note(f"no {part} set: the sizes given fill the data")
    return {part: counts.get(part) for part in requested}


def without_isolated(store: GraphStore, splits: Splits, where: str) -> Splits:
    """The split (made ``where``) without isolated atoms in the validation and test sets: their energies are references,
    not predicted.
    """
    if "energy" not in store.fields:
        return splits
    alone = store.isolated()
    moved = [part for part in ("validation", "test") if bool(alone[getattr(splits, part)].any())]
    if not moved or alone.all():
        return splits
    store.note(f"isolated atoms left out of the {' and '.join(moved)} set{'s' if len(moved) > 1 else ''} of {where}")
    validation, test = (part[~alone[part]] for part in (splits.validation, splits.test))
    return Splits(splits.train, validation, test)


def _first(store: GraphStore, own: Splits, sizes: Mapping[str, Size]) -> Splits:
    """The data set's own parts, shortened to their first entries where a size is given: the test set stays the
    protocol's.
    """
    parts: list[torch.Tensor] = []
    for name, size in sizes.items():
        part = getattr(own, name)
        number = len(part) if size is None else count(size, len(part), f"{store.name}: {name}")
        if number > len(part):
            remedy = f"ask for at most {len(part)}, or give your own split with data.indices."
            raise InputError(f"{size} entries of a part of {len(part)}", where=f"{store.name}: {name}", remedy=remedy)
        if number < len(part):
            store.note(f"{name}: the first {number} of the {len(part)} entries that {store.name} prescribes")
        parts.append(part[:number])
    return Splits(*parts)


def fingerprint(store: GraphStore, changes: str = "") -> str:
    """SHA-256 of the number of entries, of all fields of the first and the last 1,000 of them, and of what is changed
    after they are read, in words.
    """
    n = len(store)
    ends = store.subset(
        range(n) if n <= 2 * COMPARED_ENTRIES else [*range(COMPARED_ENTRIES), *range(n - COMPARED_ENTRIES, n)]
    )
    digest = hashlib.sha256(f"{n}{changes}".encode())
    for name in sorted(ends.fields):
        value = ends.field(name).contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
