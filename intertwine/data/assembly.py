"""From the frames of a file to a data set: labels as decided, in eV and A."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from intertwine.data.frames import Frame, atom, decide_periodicity, several
from intertwine.data.inventory import Inventory, read_comments, value_of
from intertwine.data.label_files import doubtful
from intertwine.data.labels import resolve
from intertwine.data.marks import CALCULATED_BY, OURS, is_predicted
from intertwine.data.properties import QM9
from intertwine.data.resolution import Resolution
from intertwine.data.store import GraphStore
from intertwine.data.units import CANONICAL, DIMENSIONS, complete, factor, units_note
from intertwine.geometry import FIELDS, Graph, from_voigt
from intertwine.numerics import DataError, InputError, nearest

NAMED = 5  # frames that an error names
KNOWN = ("pymatgen", "sdf")  # readers of formats that have one set of units, and declare none


def assemble(
    frames: Sequence[Frame],
    *,
    name: str,
    keys: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    target: str | None = None,
    required: Collection[str] | None = None,
    of_run: Mapping[str, str] | None = None,
) -> GraphStore:
    """The data set made of a file's frames, with labels in eV and A.

    A stress that a structure can't have (it does not repeat along two vectors at least), and the forces of an isolated
    atom where the file gives none, are NaN: absent. So is any label of a frame without it that is not ``required``.

    Args:
        frames: what a reader yielded, all of it.
        name: of the data set (its path), for messages.
        keys: the file's name of a label, such as ``{"energy": "MyE", "forces": "F"}``; other labels may be added
            (``{"dipole": "mu"}``); ``comment:2`` is the second word of an xyz file's comment, ``comment:E`` the number
            behind the word E. Unnamed energies, forces, stress and dipoles are looked for
            (:func:`intertwine.data.labels.resolve`).
        units: units that the file uses, such as ``{"energy": "kcal/mol"}``; default: what the file declares, else eV
            and A.
        target: one more label that the task needs.
        of_run: names that labels had in the data of a run (:func:`intertwine.data.labels.resolve`).
        required: labels that every frame must have if any has them, as the inputs of a model; None: all of them.

    Raises:
        DataError: a required label is in some frames only; a label has a wrong length or is not finite (file and frame
            are named); a key or the target is nowhere (the nearest is named); frames declare different units.
        InputError: a label's name can't be a field, or a unit is unknown.
    """
    keys = dict(keys or {})
    read_comments(frames, keys.values())
    inventory = Inventory(frames)
    decided = resolve(inventory, name=name, keys=keys, target=target, of_run=of_run)
    sources = decided.sources
    check_units(units, sources)
    stressed = next((label for label in ("stress", "virial") if label in sources), None)
    notes = [*decided.notes, *_moved(frames, decided), *decide_periodicity(frames, stressed is not None)]
    if stressed and not any(_repeats(frame) and value_of(frame, sources[stressed]) is not None for frame in frames):
        del sources[stressed]
        notes.append(f"{stressed} not read: no structure repeats along two vectors or more")
        stressed = None
    declared = _declared(frames, {**{label: source.key for label, source in sources.items()}, "pos": "pos"})
    notes += [
        f"the file declares {label} in {unit}: read in {units[label]}, as --unit says"
        for label, unit in declared.items()
        if units and label in units and _differ(units[label], unit, label)
    ]
    if "virial" in sources and "stress" in (units or {}):
        notes.append(
            f"the unit of stress is not used: stress is from {sources['virial'].key!r}, an energy (--unit virial=eV)"
        )
    table = complete(declared | dict(units or {}))
    convert = {label: _factor(table.get(label, ""), label) for label in [*sources, *CANONICAL]}
    blanks = _blanks(inventory, decided, required)
    graphs = [_graph(frame, k, decided, convert, inventory, blanks) for k, frame in enumerate(frames)]
    final = {label: _final(label, table.get(label, "")) for label in sources if label != "virial"}
    if "virial" in sources:
        final["stress"] = CANONICAL["stress"]
        notes.append("stress = -virial / volume")
    notes += _absent(inventory, decided, stressed)
    notes.append(units_note(("pos", *sources), table, {"as --unit says": units or {}, _declares(frames): declared}))
    levels = {
        "stress" if label == "virial" else label: level for label, level in decided.levels.items() if label in sources
    }
    of_file = {label: table[label] for label in sources if table.get(label)}
    store = GraphStore.from_graphs(
        graphs,
        name=name,
        units={"pos": "A"} | final,
        notes=notes,
        levels=levels,
        decisions=decided.table(of_file, len(frames)),
    )
    store.warn(doubtful({frame.where: frame.remark for frame in frames if frame.remark}))
    return store


def check_units(units: Mapping[str, str] | None, sources: Mapping[str, Any]) -> None:
    """Raise an :class:`InputError` if a unit is given for something that is not read."""
    for label in units or {}:
        if label not in sources and label not in DIMENSIONS:
            remedy = nearest(label, [*DIMENSIONS, *sources])
            raise InputError(f"a unit is given for {label!r}, which is not read", where="units", remedy=remedy)


def _declares(frames: Sequence[Frame]) -> str:
    """Who says the units that come with the frames: the file, or its format, of which the reader knows them."""
    return "as in all files of this format" if frames[0].reader in KNOWN else "as the file declares"


def _declared(frames: Sequence[Frame], keys: Mapping[str, str]) -> dict[str, str]:
    """Units that the frames declare, by label.

    Raises:
        DataError: frames declare different ones.
    """
    declared: dict[str, str] = {}
    for label, key in keys.items():
        first = frames[0].units.get(key)
        odd = next((frame for frame in frames if frame.units.get(key) != first), None)
        if odd is not None:
            what = (
                f"the unit of {label} is {odd.units.get(key) or 'not declared'}, "
                f"and {first or 'not declared'} in the first frame"
            )
            raise DataError(what, where=odd.where, remedy="convert the file to one unit.")
        if first is not None:
            declared[label] = first
    return declared


def _moved(frames: Sequence[Frame], decided: Resolution) -> list[str]:
    """Notes where labels are what a model has calculated of structures that it moved, or has predicted."""
    said = dict.fromkeys(str(frame.values.get(CALCULATED_BY, "")) for frame in frames)
    ours = [text for text in said if text.startswith(OURS)]
    labels = [
        label
        for label, source in decided.sources.items()
        if label != "virial" and source.meaning is not None and not source.meaning.family
    ]
    chosen = {label: source.key for label, source in decided.sources.items() if is_predicted(source.key)}
    notes = []
    if any(decided.reasons[label] == "as --key says" for label in chosen):
        names = ", ".join(f"{label} from {key!r}" for label, key in chosen.items())
        notes.append(f"{names}: predictions of a model, not references, as their names say")
    if not ours or not labels:
        return notes
    return [
        *notes,
        f"{', '.join(labels)} are predictions of a model, not references: calculated by {', '.join(ours)}",
    ]


def _repeats(frame: Frame) -> bool:
    """Whether the structure has a stress: it repeats along two lattice vectors at least."""
    return frame.cell is not None and frame.pbc is not None and int(np.sum(frame.pbc)) >= 2


def _absent(inventory: Inventory, decided: Resolution, stressed: str | None) -> list[str]:
    """What is said of structures that have fewer labels than others."""
    notes = []
    frames = inventory.frames
    if stressed:
        has = decided.sources[stressed].frames
        repeating = np.array([_repeats(frame) for frame in frames])
        if not repeating.all():
            notes.append(
                f"{int((~repeating).sum())} of {len(frames)} structures repeat along "
                "fewer than two vectors and have no stress"
            )
        if (repeating & ~has).any():
            notes.append(
                f"{int((repeating & ~has).sum())} of {int(repeating.sum())} "
                "periodic structures have no stress in the file"
            )
    if "energy" in decided.sources and inventory.isolated.any() and not inventory.isolated.all():
        from ase.data import chemical_symbols

        alone = sorted(
            {int(frame.numbers[0]) for frame, single in zip(frames, inventory.isolated, strict=True) if single}
        )
        symbols = ", ".join(chemical_symbols[z] for z in alone)
        notes.append(
            f"isolated atoms ({symbols}): a training takes their energies as the reference energies, and learns them; "
            "they are never tested on"
        )
    return notes


def _blanks(inventory: Inventory, decided: Resolution, required: Collection[str] | None) -> dict[str, tuple[int, ...]]:
    """The shapes, without the leading axis, of the labels that a frame may lack."""
    shapes = {}
    for label, source in decided.sources.items():
        if required is not None and label not in {*required, "stress", "virial"}:
            first = next((frame for frame in inventory.frames if not _empty(value_of(frame, source))), None)
            if first is not None:
                shapes[label] = _shaped(value_of(first, source), label, decided.levels[label], first).shape[1:]
    return shapes


def _empty(value: Any) -> bool:
    """Whether a frame has no label: it is not there, or NaN all through."""
    array = np.asarray(np.nan if value is None else value)
    return array.dtype.kind == "f" and bool(np.isnan(array).all())


def _factor(unit: str, label: str) -> float:
    """From the file's unit; QM9's orbital and total energies are energies."""
    return factor(unit, "energy") if _orbital(label, unit) else factor(unit, label)


def _differ(first: str, other: str, label: str) -> bool:
    return not np.isclose(_factor(first, label), _factor(other, label), rtol=1e-6, atol=0)


def _final(label: str, unit: str) -> str:
    return CANONICAL.get(label, "eV" if _orbital(label, unit) else unit)


def _orbital(label: str, unit: str) -> bool:
    return label in QM9 and QM9[label].unit == "eV" and unit.lower() in ("ha", "hartree")


def _graph(
    frame: Frame,
    k: int,
    decided: Resolution,
    convert: dict[str, float],
    inventory: Inventory,
    blanks: Mapping[str, tuple[int, ...]],
) -> Graph:
    fields: dict[str, Any] = {}
    scale = convert["pos"]
    cell = None if frame.cell is None else frame.cell * scale
    for label, source in decided.sources.items():
        value, level = value_of(frame, source), decided.levels[label]
        tensor = label in ("stress", "virial")
        if tensor and (value is None or not _repeats(frame)):
            fields["stress"] = np.full((1, 3, 3), np.nan)
            continue
        if label in blanks and _empty(value):
            fields[label] = np.full((len(frame.numbers) if level == "node" else 1, *blanks[label]), np.nan)
            continue
        if value is None and label == "forces" and inventory.isolated[k]:
            fields["forces"] = np.full((1, 3), np.nan)
            continue
        if value is None:
            raise _missing(label, source, inventory)
        array = _shaped(value, label, level, frame)
        bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(-1))
        if len(bad):
            owner = f" of {atom(frame, int(bad[0]))}" if len(array) == len(frame.numbers) > 1 else ""
            verb = "are" if label == "forces" else "is"
            raise DataError(
                f"{label}{owner} {verb} not finite", where=frame.where, remedy="remove or repair that frame."
            )
        if label == "virial" and cell is not None:
            fields["stress"] = -array * convert["virial"] / abs(np.linalg.det(cell))
        else:
            fields[label] = array * convert[label]
    return Graph(frame.positions * scale, z=frame.numbers, cell=cell, pbc=frame.pbc, **fields)


def _missing(label: str, source: Any, inventory: Inventory) -> DataError:
    """What is said of a label that some frames lack, with all of them."""
    lacking = [
        frame.where
        for frame, single in zip(inventory.frames, inventory.isolated, strict=True)
        if value_of(frame, source) is None and not (label == "forces" and single)
    ]
    count = f" in {len(lacking):,} of {len(inventory.frames):,} frames" if len(lacking) > 1 else ""
    return DataError(
        f"{label} is missing{count} ({source.key!r}, which other frames have)",
        where=several(lacking, NAMED),
        remedy=f"label or remove {'these frames' if count else 'that frame'}.",
    )


def _shaped(value: Any, label: str, level: str, frame: Frame) -> np.ndarray:
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
    shape: tuple[int, ...]
    if label in ("stress", "virial", "polarizability"):
        if array.size == 6:
            array = from_voigt(array.reshape(6))
        shape = (1, 3, 3)
    elif field is not None and (field.rank or array.size == (n if level == "node" else 1)):
        shape = (n if level == "node" else 1, *(3,) * field.rank)
    elif field is not None and label != "x":
        shape = (n if level == "node" else 1,)
    elif level == "node":
        shape = (n, *array.shape[1:])
    else:
        shape = (1, *(() if array.size == 1 else array.shape))
    if array.size != int(np.prod(shape)) or (level == "node" and array.shape[:1] != (n,)):
        raise DataError(
            f"{label} has shape {array.shape} for {n} atoms",
            where=frame.where,
            remedy=f"{int(np.prod(shape))} numbers are expected.",
        )
    return array.reshape(shape)
