"""Files of labelled water: written, opened, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intertwine.data import GraphStore, open_dataset

WATER = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.96], [0.93, 0.0, -0.24]])
BOX = 'Lattice="{0} 0 0 0 {0} 0 0 0 {0}" '


def frame(columns: dict[str, float], comment: str, *, symbols: str = "OHH") -> str:
    """A structure whose column of forces is a multiple of the positions."""
    names = "".join(f":{name}:R:3" for name in columns)
    rows = []
    for symbol, place in zip(symbols, WATER, strict=False):
        numbers = [*place, *(factor * x for factor in columns.values() for x in place)]
        rows.append(f"{symbol} {' '.join(f'{x:.8f}' for x in numbers)}")
    return "\n".join([str(len(rows)), f"Properties=species:S:1:pos:R:3{names} {comment}", *rows]) + "\n"


def opened(folder: Path, text: str, **options) -> GraphStore:
    (folder / "a.xyz").write_text(text)
    return open_dataset(str(folder / "a.xyz"), progress=False, **options)


def factor(store: GraphStore) -> list[float]:
    """What the forces of each structure are a multiple of."""
    return [round(float(graph.forces[1, 2] / 0.96), 6) for graph in store]


def said(store: GraphStore, *words: str) -> bool:
    return any(all(word in note for word in words) for note in store.notes)
