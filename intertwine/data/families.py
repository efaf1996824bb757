"""Families of labels: of the methods that label a file, the one that is read, and energies that its forces fit."""

from __future__ import annotations

import numpy as np

from intertwine.data.inventory import Found, Inventory
from intertwine.data.marks import is_predicted
from intertwine.data.names import Name, is_method, preference
from intertwine.data.resolution import Resolution

#: By family, the quantity of each usual label.
Families = dict[str, dict[str, Found]]


def take_family(inventory: Inventory, result: Resolution) -> None:
    """Fill the labels that were not told from one family, and from others only what is no second opinion on it."""
    families = _references(_families(inventory), result)
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
            # a dipole of some frames: nobody asked for it
            partial = label == "dipole" and label in labels and labels[label].count < inventory.size
            if label in labels and label not in result.sources and not partial:
                result.take(label, labels[label], _why(labels[label], label, family))
                if family != chosen:
                    result.notes.append(
                        f"{label} read from {labels[label].key!r}, of other names than the rest: "
                        f"--key {label}=NAME chooses"
                    )
    for label, source in result.sources.items():
        if (
            source.key != label
            and result.reasons[label] != "as --key says"
            and not any(note.startswith(f"{label} read") for note in result.notes)
        ):
            result.notes.append(f"{label} read from {source.key!r}")


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


def _references(families: Families, result: Resolution) -> Families:
    """The families without those of predictions, unless the file has nothing else or the user names one of theirs: a
    model is not scored against itself because its predictions stand beside the labels."""
    told = {source.meaning.family for source in result.sources.values() if source.meaning is not None}
    references = {name: labels for name, labels in families.items() if not is_predicted(name) or name in told}
    if references or result.sources:
        return references
    if families:
        result.notes.append("the labels are predictions of a model: the file has no others")
    return families


def _stands_right(meaning: Name, entry: Found) -> bool:
    """Forces are of atoms, everything else of the structure; some databases call a dipole's norm the dipole."""
    if meaning.quantity == "forces":
        return entry.per_atom or all(shape for _, shape in entry.shapes)
    if meaning.quantity == "dipole":
        return not entry.per_atom and all(int(np.prod(shape)) == 3 for _, shape in entry.shapes)
    return not entry.per_atom


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
    told = {source.key for source in result.sources.values()}
    others = [source.key for family in sorted(rivals) for source in families[family].values() if source.key not in told]
    if others:
        own = {label: result.sources.get(label, source) for label, source in families[chosen].items()}
        used = ", ".join(source.key for source in own.values())
        how = " ".join(
            f"--key {label}={families[rivals[0]][label].key}"
            for label in ("energy", "forces", "stress", "virial")
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


def _why(source: Found, label: str, family: str) -> str:
    return "its usual name" if not family else f"of the family {family!r}"
