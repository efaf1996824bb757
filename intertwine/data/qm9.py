"""QM9 from the extra ``qm9``: 130,831 consistent small molecules with twelve scalar properties."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import torch

from intertwine.data.kept import cached
from intertwine.data.progress import progress_bar
from intertwine.data.properties import QM9
from intertwine.data.store import GraphStore
from intertwine.data.units import factor
from intertwine.numerics import DataError, InputError, cache_folder

MOLECULES = 130_831
#: qm9pack's tables, and the SHA-256 of each.
PARTS = {
    "qm9_part1.csv": "19f0a5d595462d52cd82eef3370f3e9eb55a1f52cb14985657200349568deff3",
    "qm9_part2.csv": "2bca113fdc0b28a13563c80ed9b240e934f3da6c64c64fe74ddb4f0f36036e61",
    "qm9_part3.csv": "9c5efb5733d2af149db8d95d36ff198b4ffed12d9f7b344220a1e5877d5c6a43",
}
CACHE_VERSION = 1  # of the cache
BRACKETS = str.maketrans("", "", "[]")


def qm9(*, target: str | None = None, limit: int | None = None, progress: bool = True) -> GraphStore:
    """QM9 (Ramakrishnan et al. 2014) without its 3,054 inconsistent molecules, as packed by its authors in qm9pack.

    Converted once into a memory-mapped cache. Geometries and properties are B3LYP/6-31G(2df,p); the targets with their
    units are in :data:`intertwine.data.QM9`. Energies are in eV, total (no atomic references subtracted).

    Args:
        target: keep this target alone; None keeps all twelve.
        limit: the first molecules only; read directly, without the cache, if there is none yet.
        progress: show a progress bar on the terminal.

    Raises:
        InputError: qm9pack is not installed; or the limit is not positive.
        DataError: qm9pack's files are damaged, or there is no such target.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}", where="limit", remedy="give a positive number of molecules.")
    name = f"qm9-v{CACHE_VERSION}"
    if limit is not None and not (cache_folder() / name).is_dir():
        store = convert(csv_files(), limit, progress)
    else:
        store = cached(name, lambda: _whole(progress))
    if limit is not None and limit < len(store):
        store = store.subset(range(limit))
    return store if target is None else store.only(target)


def _whole(progress: bool) -> GraphStore:
    store = convert(csv_files(), None, progress)
    if len(store) != MOLECULES:
        remedy = 'pip install --force-reinstall "intertwine[qm9]"'
        raise DataError(f"{len(store)} molecules instead of {MOLECULES}", where="qm9pack", remedy=remedy)
    return store


def csv_files() -> list[Path]:
    """qm9pack's three tables, found without importing it (that would need the long-gone pkg_resources).

    Raises:
        InputError: the package is not installed.
        DataError: a table is missing, or not what the package was released with.
    """
    spec = importlib.util.find_spec("qm9pack")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("QM9 needs the package qm9pack", where="qm9", remedy='pip install "intertwine[qm9]"')
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    missing = [name for name in PARTS if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{missing[0]} is missing", where=str(folder), remedy='pip install --force-reinstall "intertwine[qm9]"'
        )
    for name, known in PARTS.items():
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != known:
                what = "the table is damaged: it is not the one that qm9pack 1.0 was released with"
                raise DataError(
                    what, where=str(folder / name), remedy='pip install --force-reinstall "intertwine[qm9]"'
                )
    return [folder / name for name in PARTS]


def convert(files: list[Path], limit: int | None = None, progress: bool = False) -> GraphStore:
    """The tables as a store in memory; ``limit`` stops after that many molecules."""
    from ase.data import atomic_numbers

    counts: list[int] = []
    numbers: list[int] = []
    positions: list[np.ndarray] = []
    index: list[int] = []
    targets: dict[str, list[float]] = {name: [] for name in QM9}
    with progress_bar("converting QM9 (once)", limit or MOLECULES, progress) as advance:
        for file in files:
            with open(file, newline="", encoding="utf-8") as text:
                for line, row in enumerate(csv.DictReader(text), 2):
                    if limit is not None and len(counts) >= limit:
                        break
                    try:
                        symbols = row["Elements"].strip("[]").replace("'", "").split(",")
                        words = row["XYZ_Ang"].translate(BRACKETS).replace("*^", "e").split(",")
                        coordinates = np.array(words, dtype=np.float64).reshape(-1, 3)
                        values = {name: float(row[target.column]) for name, target in QM9.items()}
                        numbers.extend(atomic_numbers[symbol.strip()] for symbol in symbols)
                        index.append(int(row["Index"]))
                    except (KeyError, TypeError, ValueError, AttributeError) as error:
                        raise DataError(
                            f"line {line} can't be read: {error}", where=str(file), remedy="reinstall qm9pack."
                        ) from error
                    if coordinates.shape != (len(symbols), 3):
                        raise DataError(
                            f"line {line} has {len(symbols)} atoms and positions {coordinates.shape}", where=str(file)
                        )
                    counts.append(len(symbols))
                    positions.append(coordinates)
                    for name, value in values.items():
                        targets[name].append(value)
                    advance(1)
    fields = {
        "pos": torch.from_numpy(np.concatenate(positions)),
        "z": torch.tensor(numbers),
        "gdb": torch.tensor(index),
    }
    for name, target in QM9.items():
        scale = factor("Ha", "energy") if target.raw == "Ha" else 1.0
        fields[name] = torch.tensor(targets[name], dtype=torch.float64) * scale
    return GraphStore(
        fields,
        torch.tensor([0, *counts]).cumsum(0),
        {name: "node" if name in ("pos", "z") else "graph" for name in fields},
        name="qm9",
        units={"pos": "A"} | {name: target.unit for name, target in QM9.items()},
        notes=["B3LYP/6-31G(2df,p); energies converted from Hartree to eV; 3,054 inconsistent molecules are left out"],
    )
