"""Data sets that are made once, and kept in the cache folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from intertwine.data.store import GraphStore
from intertwine.numerics import DataError, cache_folder


def cached(name: str, make: Callable[[], GraphStore]) -> GraphStore:
    """The data set of that name in the cache folder; made, and put there, if it is absent.

    One that is damaged, or another's, is made again, and one that can't be written stays in memory; the notes say so.
    """
    folder, damage = cache_folder() / name, ""
    if folder.is_dir():
        try:
            store = GraphStore.load(folder)
            if store.folder == name:
                return store
            damage = f"it holds {store.folder!r}"
        except DataError as error:
            damage = error.what
        shutil.rmtree(folder, ignore_errors=True)
    store = make()
    try:
        store.save(folder, replace=bool(damage))
        store = GraphStore.load(folder)
    except DataError as error:
        store.notes.append(f"not cached ({error.what})")
    if damage:
        store.notes.append(f"made again, because the copy in {folder.parent} could not be used ({damage})")
    return store
