"""HDF5 files of molecules: conformation by conformation, in the layouts of SPICE, of ANI and of modelforge."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.data.frames import Frame, place
from intertwine.data.hdf5_layouts import Group, Quantity, describe, plain, quantity, words
from intertwine.data.label_files import described, recipe_of, remarks_of
from intertwine.data.opening import COMPRESSED, ending
from intertwine.data.units import factor
from intertwine.numerics import DataError, InputError, IntertwineError

ENDINGS = (".h5", ".hdf5", ".hdf")
CONFORMATIONS_AT_ONCE = 256  # conformations read at a time: a group can hold a million
SAMPLED_GROUPS = 64  # groups whose shapes tell what an array of an unknown name belongs to
READ = (
    "the layouts that are read: SPICE (conformations, atomic_numbers), ANI (coordinates, species or atomic_numbers), "
    "modelforge (attributes `format` and `u`); convert other files to extended xyz."
)


def read_hdf5(path: Path, name: str) -> Iterator[Frame]:
    """Conformations of an HDF5 file, one at a time, under the file's own names and in its own units.

    A gradient is given as the forces it means: ``dft_total_gradient`` as ``dft_total_forces``, with the other sign.
    What the ANI layout leaves as NaN was not computed, and is left out of its frame. Matrices of pairs and tensors of
    more than nine numbers an atom are left out and named in the notes.

    Args:
        path: the file; it may be compressed (.gz, .bz2, .xz), which takes its unpacked size in memory.
        name: how messages name it.

    Raises:
        InputError: h5py is not installed.
        DataError: not HDF5, truncated, of another layout (its first arrays are shown), or an array is missing or has a
            wrong shape.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            "HDF5 files need the package h5py", where=name, remedy='pip install "intertwine[hdf5]"'
        ) from error
    packing = ending(path)[1]
    try:
        source: Any = path
        if packing:
            with COMPRESSED[packing](path, "rb") as packed:
                source = io.BytesIO(packed.read())
        with h5py.File(source, "r") as file:
            yield from _frames(file, name)
    except IntertwineError:
        raise
    except (OSError, EOFError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        # a damaged file has them all
        what = f"not HDF5, or damaged: {str(error)[:200]}"
        raise DataError(what, where=name, remedy="get the file again, or check its ending.") from error


def _frames(file: Any, name: str) -> Iterator[Frame]:
    quantities, notes = _survey(file)
    recipe = recipe_of(file, name)
    if recipe:
        notes = (described(recipe), *notes[1:])  # instead of the layout, which is SPICE's
    remarks = remarks_of(file) if recipe else {}
    units: dict[str, str] = {}
    count = 0
    for group in _groups(file):
        where = place(name, count)
        if group.lacks:
            raise DataError(f"group {group.name!r} {group.lacks}", where=where, remedy=READ)
        if group.layout is None:
            continue
        for key, unit in group.units(quantities).items():
            if units.setdefault(key, unit) != unit:
                what = f"group {group.name!r}: {key} is in {unit}, and in {units[key]} before it"
                raise DataError(what, where=where, remedy="convert the file to one unit.")
        _check_length(units.get("pos", "A"), name)
        for frame in _conformations(group, quantities, name, count):
            frame.units, frame.notes, frame.recipe = units, notes, recipe
            frame.remark = remarks.get(frame.values.get("frame", -1), "")
            yield frame
            count += 1
    if not count:
        raise DataError(f"HDF5 of an unknown layout: {describe(file)}", where=name, remedy=READ)


def _groups(node: Any) -> Iterator[Group]:
    """Every group that holds arrays, in the file's order."""
    import h5py

    items = {plain(name): node.get(name) for name in node}  # None where a link leads nowhere
    arrays = {name: item for name, item in items.items() if isinstance(item, h5py.Dataset)}
    if arrays:
        yield Group(plain(node.name), arrays)
    for item in items.values():
        if isinstance(item, h5py.Group):
            yield from _groups(item)


def _survey(file: Any) -> tuple[dict[str, Quantity], tuple[str, ...]]:
    """What each array is, from the first groups, and the notes about that."""
    sample = list(islice((group for group in _groups(file) if group.layout is not None), SAMPLED_GROUPS))
    names = dict.fromkeys(name for group in sample for name in group.rest)
    quantities = {name: quantity(name, [group for group in sample if name in group.arrays]) for name in names}
    twice = {name for name, kind in quantities.items() if kind.negated and kind.name in quantities}
    kept = {name: kind for name, kind in quantities.items() if name not in twice}
    notes = [
        f"HDF5 of the {layout} layout"
        for layout in dict.fromkeys(group.layout.name for group in sample if group.layout)
    ]
    turned = [f"{kind.name} = -{name}" for name, kind in kept.items() if kind.negated]
    skipped = [name for name in quantities if name in twice or quantities[name].level == "skipped"]
    silent = dict.fromkeys(name for group in sample for name in group.assumed(kept))
    notes += turned
    notes += [f"left out: {', '.join(skipped)}"] if skipped else []
    notes += [f"where the file declares no units, the layout's are taken: {', '.join(silent)}"] if silent else []
    return kept, tuple(notes)


def _check_length(unit: str, name: str) -> None:
    try:
        factor(unit, "pos")
    except InputError as error:
        raise DataError(f"positions are in an unknown unit, {unit!r}", where=name, remedy=error.remedy) from error


def _conformations(group: Group, quantities: dict[str, Quantity], name: str, first: int) -> Iterator[Frame]:
    """The conformations of one group, read in blocks."""
    where = place(name, first)
    numbers, positions = group.structure(where)
    kinds = {key: kind for key, kind in quantities.items() if key in group.arrays}
    texts = {
        kind.name: text for key, kind in kinds.items() if kind.level == "text" and (text := words(group.arrays[key]))
    }
    series = [
        (key, kind, group.each(key, kind, where)) for key, kind in kinds.items() if kind.level in ("structure", "atom")
    ]
    once = {key: np.asarray(group.arrays[key][()]) for key, _, each in series if not each}
    total = group.size[0]
    for start in range(0, total, CONFORMATIONS_AT_ONCE):
        rows = slice(start, min(start + CONFORMATIONS_AT_ONCE, total))
        pos = np.asarray(positions[rows] if positions.ndim == 3 else positions[()][None], dtype=np.float64)
        blocks = {key: np.asarray(group.arrays[key][rows]) for key, _, each in series if each}
        for k in range(len(pos)):
            z = numbers if numbers.ndim == 1 else numbers[start + k]
            frame = Frame(z, pos[k], place(name, first + start + k), values=dict(texts), reader="hdf5")
            for key, kind, each in series:
                value = np.asarray(blocks[key][k] if each else once[key])
                if group.omits(value):
                    continue
                value = -value if kind.negated else value
                if kind.level == "atom":  # without the axis that a column of numbers is wrapped in
                    frame.columns[kind.name] = value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value
                else:
                    frame.values[kind.name] = value.item() if value.size == 1 else value
            yield frame
