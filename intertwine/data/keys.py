"""Which of a file's numbers are the labels: by their usual names, or as the user says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from intertwine.data.frames import Frame, decide_periodicity
from intertwine.data.properties import QM9
from intertwine.data.store import GraphStore
from intertwine.data.units import CANONICAL, DIMENSIONS, complete, factor
from intertwine.geometry import FIELDS, Graph
from intertwine.numerics import DataError, InputError, nearest

#: Usual names of each label, best first; upper and lower case don't matter.
USUAL: dict[str, tuple[str, ...]] = {
    "energy": (
        "energy", "energies", "total_energy", "tot_energy", "totenergy", "etot", "e_tot", "ref_energy", "dft_energy", "energy_dft",
        "energy_ref", "potential_energy", "qm_energy",
    ),
    "forces": (
        "forces", "force", "ref_forces", "ref_force", "dft_forces", "dft_force", "forces_dft", "forces_ref", "atomic_forces", "qm_forces",
    ),
    "stress": ("stress", "ref_stress", "dft_stress", "stress_dft", "stress_ref"),
    "virial": ("virial", "virials", "ref_virial", "dft_virial", "ref_virials", "dft_virials"),
    "dipole": ("dipole", "ref_dipole", "dft_dipole", "dipole_moment"),
}  # fmt: skip
PER_ATOM = "forces"


def assemble(
    frames: Sequence[Frame],
    *,
    name: str,
    keys: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    target: str | None = None,
) -> GraphStore:
    """The data set made of a file's frames, with labels in eV and A.

    Args:
        frames: what a reader yielded, all of it.
        name: of the data set (its path), for messages.
        keys: the file's name of a label, such as ``{"energy": "MyE", "forces": "F"}``; other labels may be added
            (``{"dipole": "mu"}``); unnamed energies, forces, stress and dipoles are looked for under :data:`USUAL`.
        units: units that the file uses, such as ``{"energy": "kcal/mol"}``; default: what the file declares, else eV and A.
        target: one more label that the task needs.

    Raises:
        DataError: a label is in some frames only, has a wrong length or is not finite (file and frame are named); a key or the
            target is nowhere (the nearest is named).
        InputError: a label's name can't be a field, or a unit is unknown.
    """
    keys = dict(keys or {})
    for label in [*keys, *([target] if target else [])]:
        check_name(label)
    sources = {label: _require(key, label, frames, name) for label, key in keys.items()}
    notes = []
    for label, usual in USUAL.items():
        if label not in sources and (found := _usual(frames, usual, label)) is not None:
            sources[label] = found
            if found != label:
                notes.append(f"{label} read from {found!r}")
    if "stress" in sources:
        sources.pop("virial", None)
    is_qm9 = any("mulliken" in frame.columns for frame in frames)
    extra = [target] if target else list(QM9) if is_qm9 else []
    for label in extra:
        if label not in sources and label != "stress":
            sources[label] = _require(label, label, frames, name)
    for label in units or {}:
        if label not in sources and label not in DIMENSIONS:
            raise InputError(
                f"a unit is given for {label!r}, which is not read", where="units", remedy=nearest(label, [*DIMENSIONS, *sources])
            )
    notes += [f"no {label} in the file" for label in ("energy", "forces") if label not in sources and not is_qm9]
    notes += decide_periodicity(frames, "stress" in sources or "virial" in sources)
    declared = {label: frames[0].units[key] for label, key in {**sources, "pos": "pos"}.items() if key in frames[0].units}
    table = complete(declared | dict(units or {}))
    convert = {label: _factor(table.get(label, ""), label) for label in [*sources, *CANONICAL]}
    graphs = [_graph(frame, sources, convert) for frame in frames]
    final = {label: _final(label, table.get(label, "")) for label in sources if label != "virial"}
    if "virial" in sources:
        final["stress"] = CANONICAL["stress"]
        notes.append("stress = -virial / volume")
    stated = "as told" if units else "as the file declares" if declared else "assumed"
    used = [f"{label} in {table[label]}" for label in ("pos", *sources) if table.get(label)]
    notes.append(f"units {stated}: {', '.join(used)}")
    return GraphStore.from_graphs(graphs, name=name, units={"pos": "A"} | final, notes=notes)


def check_name(label: str) -> None:
    """Raise an :class:`InputError` unless a label can be an attribute of a graph; PyG's batching gives some names a meaning of its own."""
    structure = label in ("pos", "z", "cell", "pbc", "batch", "ptr", "edge_index", "shifts")
    special = any(part in label for part in ("index", "batch", "face", "adj"))
    if not label.isidentifier() or structure or special or (label in dir(Graph) and label not in FIELDS):
        raise InputError(f"a label can't be called {label!r}", where="keys", remedy="use a plain word, such as energy, forces, homo.")


def _factor(unit: str, label: str) -> float:
    """From the file's unit; QM9's orbital and total energies are energies, and a virial is converted with the energy's unit."""
    if label == "virial":
        return 1.0
    return factor(unit, "energy") if _orbital(label, unit) else factor(unit, label)


def _final(label: str, unit: str) -> str:
    return CANONICAL.get(label, "eV" if _orbital(label, unit) else unit)


def _orbital(label: str, unit: str) -> bool:
    return label in QM9 and QM9[label].unit == "eV" and unit.lower() in ("ha", "hartree")


def _group(frame: Frame, label: str) -> dict[str, Any]:
    return frame.columns if label == PER_ATOM else frame.values


def _usual(frames: Sequence[Frame], names: Sequence[str], label: str) -> str | None:
    """The best of the usual names that occurs; one that is in every frame is better than one that is not."""
    counts: dict[str, int] = {}
    for frame in frames:
        for key, value in _group(frame, label).items():
            if key.lower() in names and (label != "dipole" or np.size(value) == 3):  # some databases call its norm the dipole
                counts[key] = counts.get(key, 0) + 1
    return min(counts, key=lambda key: (-counts[key], names.index(key.lower()), key)) if counts else None


def _require(key: str, label: str, frames: Sequence[Frame], name: str) -> str:
    """The key, or the one that differs only in case, if any frame has it."""
    present = {found: None for frame in frames for found in (*frame.values, *frame.columns)}
    for found in (key, *(found for found in present if found.lower() == key.lower())):
        if found in present:
            return found
    raise DataError(f"there is no {key!r} to read {label!r} from", where=name, remedy=nearest(key, present))


def _graph(frame: Frame, sources: dict[str, str], convert: dict[str, float]) -> Graph:
    fields: dict[str, Any] = {}
    scale = convert["pos"]
    cell = None if frame.cell is None else frame.cell * scale
    for label, key in sources.items():
        value = frame.columns.get(key) if label == PER_ATOM or key not in frame.values else frame.values[key]
        if value is None:
            raise DataError(
                f"{label} is missing ({key!r}, which other frames have)", where=frame.where, remedy="label or remove that frame."
            )
        array = _shaped(value, label, label == PER_ATOM or key not in frame.values, frame)
        bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(-1))
        if len(bad):
            atom = f" of atom {bad[0]}" if len(array) == len(frame.numbers) > 1 else ""
            raise DataError(f"{label}{atom} is not finite", where=frame.where, remedy="remove or repair that frame.")
        if label == "virial":
            if cell is None or frame.pbc is None or not frame.pbc.any():
                continue
            fields["stress"] = -array * convert["energy"] / abs(np.linalg.det(cell))
        else:
            fields[label] = array * convert[label]
    return Graph(frame.positions * scale, z=frame.numbers, cell=cell, pbc=frame.pbc, **fields)


def _shaped(value: Any, label: str, per_atom: bool, frame: Frame) -> np.ndarray:
    """A label as float64 with the leading axis of its level.

    Raises:
        DataError: it is not numbers, or their count is wrong.
    """
    remedy = "repair or remove that frame."
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{label} is not a number: {str(value)[:40]!r}", where=frame.where, remedy=remedy) from error
    n = len(frame.numbers)
    field = FIELDS.get(label)
    if label in ("stress", "virial", "polarizability"):
        if array.size == 6:
            xx, yy, zz, yz, xz, xy = array.reshape(6)
            array = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        shape: tuple[int, ...] = (1, 3, 3)
    elif field is not None and field.level == "node":
        shape = (n, *(3,) * field.rank)
    elif field is not None:
        shape = (1, *(3,) * field.rank)
    else:
        shape = array.shape if per_atom else (1, *(() if array.size == 1 else array.shape))
    if array.size != int(np.prod(shape)) or (per_atom and len(array) != n):
        raise DataError(
            f"{label} has shape {array.shape} for {n} atoms", where=frame.where, remedy=f"{int(np.prod(shape))} numbers are expected."
        )
    return array.reshape(shape)
