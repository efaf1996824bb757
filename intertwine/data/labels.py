"""Which of a file's numbers are the labels: decided once, from all frames, and said in one table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from intertwine.data.inventory import NUMBER, Found, Inventory
from intertwine.data.names import Name, is_method, preference
from intertwine.data.properties import QM9
from intertwine.geometry import FIELDS, Graph
from intertwine.numerics import DataError, InputError, nearest

LABELS = ("energy", "forces", "stress", "virial", "dipole")  # what is looked for without being asked for
TENSORS = (1, 3, 6, 9)  # numbers of atoms for which one row an atom could as well be a vector or a tensor
LISTED = 12  # unread quantities that a note names


class Decision(NamedTuple):
    """One label: ``key``, its name in the file; ``level``, "structure" or "atoms"; ``unit``, of the file; in ``frames``
    of ``of``; why.
    """

    label: str
    key: str
    level: str
    unit: str
    frames: int
    of: int
    why: str


def table(decisions: Sequence[Decision]) -> list[str]:
    """The decisions as lines of a table."""
    rows = [
        (
            each.label,
            f"from {each.key}",
            f"of the {each.level}",
            each.unit,
            f"{each.frames} of {each.of} structures",
            each.why,
        )
        for each in decisions
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(5)] if rows else []
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    ]


@dataclass
class Resolution:
    """What was decided for a file: ``sources`` by label, why each (``reasons``), the level of each, and ``notes`` for
    the user.
    """

    sources: dict[str, Found] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def take(self, label: str, found: Found, why: str) -> None:
        self.sources[label], self.reasons[label] = found, why

    def table(self, units: Mapping[str, str], frames: int) -> tuple[Decision, ...]:
        """The decisions, one a label; ``units`` by label."""
        word = {"node": "atoms", "graph": "structure"}
        return tuple(
            Decision(
                label,
                found.key,
                word[self.levels[label]],
                units.get(label, ""),
                found.count,
                frames,
                self.reasons[label],
            )
            for label, found in self.sources.items()
        )


def resolve(inventory: Inventory, *, name: str, keys: Mapping[str, str], target: str | None) -> Resolution:
    """Decide which quantities are the labels.

    What the user names is taken. Of the rest, one family - one method, as the affix of the names says (``REF_energy``,
    ``REF_forces``) - labels the whole file: the one that labels most frames. Energies are those that the forces are
    derivatives of.

    Args:
        inventory: of all frames.
        name: of the file, for messages.
        keys: the file's name of a label, by label.
        target: one more label that the task needs.

    Raises:
        DataError: a key or the target is nowhere (the nearest is named).
        InputError: a label's name can't be a field.
    """
    for label in [*keys, *([target] if target else [])]:
        check_name(label)
    result = Resolution()
    for label, key in keys.items():
        found = _require(inventory, key, label, name)
        result.take(_tensor_of(label, found), found, "as --key says")
    _drop_invented(inventory, result)
    qm9 = inventory.readers == {"qm9"}
    _take_family(inventory, result)
    for label in [target] if target else QM9 if qm9 else []:
        if label not in result.sources and not (label == "stress" and "virial" in result.sources):
            result.take(label, _require(inventory, label, label, name), "the target" if target else "QM9's own file")
    if "stress" in result.sources:
        told = result.reasons.get("virial") == "as --key says" and result.reasons["stress"] != "as --key says"
        result.sources.pop("stress" if told else "virial", None)
    result.notes += [
        f"no {label} in the file" for label in ("energy", "forces") if label not in result.sources and not qm9
    ]
    if "energy" not in result.sources and not qm9:
        _hint_at_comments(inventory, result)
    for label, found in result.sources.items():
        result.levels[label] = _level(label, found, result.notes)
        if found.also:
            result.notes.append(
                f"{label} read from {found.key!r}, not from {', '.join(map(repr, sorted(found.also)))} beside it"
            )
    _say_unread(inventory, result)
    return result


def check_name(label: str) -> None:
    """Raise an :class:`InputError` unless a label can be an attribute of a graph; PyG's batching gives some names a
    meaning of its own.
    """
    structure = label in ("pos", "z", "cell", "pbc", "batch", "ptr", "edge_index", "shifts")
    special = any(part in label for part in ("index", "batch", "face", "adj"))
    if not label.isidentifier() or structure or special or (label in dir(Graph) and label not in FIELDS):
        remedy = f"use a plain word, such as energy, forces, homo, for what the file calls so: --key homo={label!r}, and --target homo."
        raise InputError(f"a label can't be called {label!r}", where="keys", remedy=remedy)


def _require(inventory: Inventory, key: str, label: str, name: str) -> Found:
    """The quantity of that name, or of one that differs in case, if any frame has it."""
    found = inventory.get(key)
    if found is None:
        remedy = nearest(key, {entry.key for entry in inventory})
        raise DataError(f"there is no {inventory.noun}{key!r} to read {label!r} from", where=name, remedy=remedy)
    return found


def _tensor_of(label: str, found: Found) -> str:
    """ "stress" or "virial" by the quantity's own name, where either was asked for; the label itself for all others."""
    meant = found.meaning.quantity if found.meaning is not None else label
    return meant if {label, meant} == {"stress", "virial"} else label


def _drop_invented(inventory: Inventory, result: Resolution) -> None:
    """Forget labels that are 0 in every frame: some of ASE's readers write them where the file has none."""
    if not all(reader.startswith("ase:") for reader in inventory.readers):
        return
    told = [id(found) for found in result.sources.values()]
    for entry in list(inventory):
        meaning = entry.meaning
        invented = meaning is not None and meaning.quantity != "dipole" and entry.numeric and id(entry) not in told
        if invented and inventory.zero(entry):
            inventory.remove(entry)
            result.notes.append(
                f"{entry.key} is 0 in every frame, as readers write it where a file has none: not a label"
            )


Families = dict[str, dict[str, Found]]


def _families(inventory: Inventory) -> Families:
    """By family, the best quantity for each usual label: the one that is in most frames, then the one of the most usual
    name.
    """
    families: Families = {}
    ranks: dict[tuple[str, str], tuple[int, int]] = {}
    for entry in inventory:
        meaning = entry.meaning
        if meaning is None or not _stands_right(meaning, entry):
            continue
        rank = (-entry.count, meaning.rank)
        if rank < ranks.get((meaning.family, meaning.quantity), (1, 0)):
            ranks[meaning.family, meaning.quantity] = rank
            families.setdefault(meaning.family, {})[meaning.quantity] = entry
    return {
        family: labels
        for family, labels in families.items()
        if is_method(family) or ("forces" in labels and ("energy" in labels or "free_energy" in labels))
    }


def _stands_right(meaning: Name, entry: Found) -> bool:
    """Forces are of atoms, everything else of the structure; some databases call a dipole's norm the dipole."""
    if meaning.quantity == "forces":
        return entry.per_atom or all(shape for _, shape in entry.shapes)
    if meaning.quantity == "dipole":
        return not entry.per_atom and all(int(np.prod(shape)) == 3 for _, shape in entry.shapes)
    return not entry.per_atom


def _take_family(inventory: Inventory, result: Resolution) -> None:
    """Fill the labels that were not told from one family, and from others only what is no second opinion on it."""
    families = _families(inventory)
    if not families:
        return
    chosen = _best(families, inventory, result)
    _say_families(families, chosen, result)
    _take_energy(families[chosen], chosen, inventory, result)
    own = families[chosen].get("energy")
    if (
        own is not None
        and "forces" in families[chosen]
        and not {"forces"} & set(result.sources)
        and result.sources.get("energy", own) is not own
    ):
        told = result.sources["energy"].key
        if (
            told != getattr(families[chosen].get("free_energy"), "key", None)
            and result.reasons["energy"] == "as --key says"
        ):
            text = f"forces read from {families[chosen]['forces'].key!r}, which stand beside {own.key!r}, not {told!r}"
            result.notes.append(f"{text}: --key forces=NAME chooses")
    taken = set(families[chosen])
    sources = {chosen: families[chosen]} | {
        family: labels
        for family, labels in sorted(families.items(), key=lambda item: (preference(item[0]), item[0]))
        if not taken & set(labels)
    }
    for family, labels in sources.items():
        if family != chosen and "energy" not in result.sources:
            _take_energy(labels, family, inventory, result)
        for label in ("forces", "stress", "virial", "dipole"):
            partial = (
                label == "dipole" and label in labels and labels[label].count < inventory.size
            )  # nobody asked for it
            if label in labels and label not in result.sources and not partial:
                result.take(label, labels[label], _why(labels[label], label, family))
                if family != chosen:
                    result.notes.append(
                        f"{label} read from {labels[label].key!r}, of other names than the rest: --key {label}=NAME chooses"
                    )
    for label, found in result.sources.items():
        if (
            found.key != label
            and result.reasons[label] != "as --key says"
            and not any(note.startswith(f"{label} read") for note in result.notes)
        ):
            result.notes.append(f"{label} read from {found.key!r}")


def _best(families: Families, inventory: Inventory, result: Resolution) -> str:
    """The family of a label that was told, or the one that labels most frames with energies and forces, energies,
    anything.
    """
    for label in ("energy", "forces"):
        told = result.sources[label].meaning if label in result.sources else None
        if told is not None and told.family in families:
            return told.family

    def order(family: str) -> tuple[int, int, int, int, str]:
        labels, none = families[family], np.zeros(inventory.size, dtype=bool)
        energies = (labels["energy"].frames if "energy" in labels else none) | (
            labels["free_energy"].frames if "free_energy" in labels else none
        )
        forces = labels["forces"].frames | inventory.isolated if "forces" in labels else none
        return (
            -int((energies & forces).sum()),
            -int(energies.sum() + forces.sum()),
            -len(labels),
            preference(family),
            family,
        )

    return min(families, key=order)


def _say_families(families: Families, chosen: str, result: Resolution) -> None:
    rivals = [family for family, labels in families.items() if family != chosen and set(labels) & set(families[chosen])]
    told = {found.key for found in result.sources.values()}
    others = [found.key for family in sorted(rivals) for found in families[family].values() if found.key not in told]
    if others:
        own = {label: result.sources.get(label, found) for label, found in families[chosen].items()}
        used = ", ".join(found.key for found in own.values())
        how = " ".join(
            f"--key {label}={families[rivals[0]][label].key}"
            for label in ("energy", "forces")
            if label in families[rivals[0]]
        )
        result.notes.append(
            f"several families of labels: {used} read; {', '.join(others)} not" + (f" ({how} would)" if how else "")
        )


def _take_energy(labels: dict[str, Found], family: str, inventory: Inventory, result: Resolution) -> None:
    """Of energy and free energy, that which forces and stress are derivatives of."""
    if "energy" in result.sources:
        return
    energy, free = labels.get("energy"), labels.get("free_energy")
    derivatives = any(label in labels or label in result.sources for label in ("forces", "stress", "virial"))
    if energy is None and free is not None and derivatives:  # with nothing derived from it, it may well be Gibbs's
        result.take("energy", free, "the only energy")
    if free is None and energy is not None:
        result.take("energy", energy, _why(energy, "energy", family))
    if free is None or energy is None:
        return
    same, whole = inventory.equal(energy, free), not (energy.frames & ~free.frames).any()
    if derivatives and whole and not same:
        result.take("energy", free, "the forces are its derivative")
        text = f"energy read from {free.key!r}, which forces are the derivative of, not from {energy.key!r}"
        result.notes.append(f"{text} (--key energy={energy.key} would)")
        return
    result.take("energy", energy, _why(energy, "energy", family))
    if not same:
        part = "" if whole else f", which {free.count} of {inventory.size} frames have"
        result.notes.append(
            f"energy read from {energy.key!r}, not from {free.key!r}{part} (--key energy={free.key} would)"
        )


def _why(found: Found, label: str, family: str) -> str:
    return "its usual name" if not family else f"of the family {family!r}"


def _hint_at_comments(inventory: Inventory, result: Resolution) -> None:
    comments = [comment.split() for comment in inventory.comments]
    place = next(
        (
            k
            for k in range(min(map(len, comments), default=0))
            if all(re.fullmatch(NUMBER, words[k]) for words in comments)
        ),
        None,
    )
    if place == 0 or (place is not None and not any("=" in comment for comment in inventory.comments)):
        result.notes.append(f"the comment lines hold a number: --key energy=comment:{place + 1} reads it as the energy")


def _level(label: str, found: Found, notes: list[str]) -> str:
    """ "node" or "graph": by the meaning of the label, by where the file has it, and else by its shapes over all
    frames.
    """
    if label in ("stress", "virial", "polarizability"):
        return "graph"
    if label in FIELDS:
        return FIELDS[label].level
    if found.per_atom:
        return "node"
    if label in QM9 or not found.one_row_an_atom():
        return "graph"
    sizes = {atoms for atoms, _ in found.shapes}
    if len(sizes) > 1 or not sizes & set(TENSORS):
        notes.append(f"{label} has one row for each atom in every frame: taken as a quantity of the atoms")
        return "node"
    notes.append(
        f"{label} has as many rows as there are atoms, which may be chance: taken as a quantity of the structure"
    )
    return "graph"


def _say_unread(inventory: Inventory, result: Resolution) -> None:
    """One note of what the file says and nothing reads."""
    read = {id(found) for found in result.sources.values()}
    unread = [entry for entry in inventory if id(entry) not in read and (entry.numeric or entry.key == "constraints")]
    unread.sort(key=lambda entry: (entry.meaning is None, not entry.per_atom, entry.key.lower()))
    if unread:
        names = [f"{entry.key} (of atoms)" if entry.per_atom else entry.key for entry in unread[:LISTED]]
        more = f" and {len(unread) - LISTED} more" if len(unread) > LISTED else ""
        hint = (
            "; --key LABEL=NAME reads one as a label or an input"
            if any(entry.key != "constraints" for entry in unread)
            else ""
        )
        result.notes.append(f"not used: {', '.join(names)}{more}{hint}")
