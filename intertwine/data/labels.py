"""Which of a file's numbers are the labels: decided once, from all frames, and said in one table."""

from __future__ import annotations

import re
from collections.abc import Mapping

from intertwine.data.families import take_family
from intertwine.data.inventory import NUMBER, Found, Inventory
from intertwine.data.properties import QM9
from intertwine.data.resolution import Resolution
from intertwine.geometry import FIELDS, Graph
from intertwine.numerics import DataError, InputError, nearest

LABELS = ("energy", "forces", "stress", "virial", "dipole")  # what is looked for without being asked for
AMBIGUOUS_ATOM_COUNTS = (1, 3, 6, 9)  # numbers of atoms for which one row an atom could as well be a vector or a tensor
LISTED_QUANTITIES = 12  # unread quantities that a note names


def resolve(
    inventory: Inventory,
    *,
    name: str,
    keys: Mapping[str, str],
    target: str | None,
    of_run: Mapping[str, str] | None = None,
) -> Resolution:
    """Decide which quantities are the labels.

    What the user names is taken. Of the rest, one family - one method, as the affix of the names says (``REF_energy``,
    ``REF_forces``) - labels the whole file: the one that labels most frames. Energies are those that the forces are
    derivatives of.

    Args:
        inventory: of all frames.
        name: of the file, for messages.
        keys: the file's name of a label, by label.
        target: one more label that the task needs.
        of_run: names that labels had in the data of a run, which are taken where the file has them and the user names
            no others.

    Raises:
        DataError: a key or the target is nowhere (the nearest is named).
        InputError: a label's name can't be a field.
    """
    for label in [*keys, *([target] if target else [])]:
        check_name(label)
    result = Resolution()
    for label, key in keys.items():
        source = _require(inventory, key, label, name)
        result.take(_tensor_of(label, source), source, "as --key says")
    _drop_invented(inventory, result)
    _take_as_before(inventory, result, of_run or {})
    qm9 = inventory.readers == {"qm9"}
    take_family(inventory, result)
    for label in [target] if target else QM9 if qm9 else []:
        if label not in result.sources and not (label == "stress" and "virial" in result.sources):
            result.take(label, _require(inventory, label, label, name), "the target" if target else "QM9's own file")
    if "stress" in result.sources:
        told = result.reasons.get("virial") == "as --key says" and result.reasons["stress"] != "as --key says"
        result.sources.pop("stress" if told else "virial", None)
    if target is None and not qm9:
        result.notes += [f"no {label} in the file" for label in ("energy", "forces") if label not in result.sources]
    if "energy" not in result.sources and not qm9:
        _hint_at_comments(inventory, result)
    for label, source in result.sources.items():
        result.levels[label] = _level(label, source, result.notes)
        if source.also:
            result.notes.append(
                f"{label} read from {source.key!r}, not from {', '.join(map(repr, sorted(source.also)))} beside it"
            )
    _say_unread(inventory, result)
    return result


def _take_as_before(inventory: Inventory, result: Resolution, names: Mapping[str, str]) -> None:
    """Take an energy from where the data of a run had it, and say it where the file has a free energy that is another:
    the two are derived by the same forces. Of all other labels a file has one of a family.
    """
    source = inventory.get(names.get("energy", ""))
    if source is None or "energy" in result.sources or source.meaning is None or source.per_atom:
        return
    if source.meaning.quantity not in ("energy", "free_energy"):
        return
    other = {"energy": "free_energy", "free_energy": "energy"}[source.meaning.quantity]
    beside = [
        entry
        for entry in inventory
        if entry.meaning is not None
        and entry.meaning.quantity == other
        and entry.meaning.family == source.meaning.family
    ]
    if not beside or source.count < beside[0].count:  # it is the only one, or some structures have the other alone
        return
    result.take("energy", source, "as in the data of the run")
    if not inventory.equal(source, beside[0]):
        result.notes.append(
            f"energy read from {source.key!r}, as in the data of the run, not from {beside[0].key!r} "
            f"(--key energy={beside[0].key} would)"
        )


def check_name(label: str) -> None:
    """Raise an :class:`InputError` unless a label can be an attribute of a graph; PyG's batching gives some names a
    meaning of its own.
    """
    structure = label in ("pos", "z", "cell", "pbc", "batch", "ptr", "edge_index", "shifts")
    special = any(part in label for part in ("index", "batch", "face", "adj"))
    if not label.isidentifier() or structure or special or (label in dir(Graph) and label not in FIELDS):
        remedy = (
            "use a plain word, such as energy, forces, homo, for what the file calls so: "
            f"--key homo={label!r}, and --target homo."
        )
        raise InputError(f"a label can't be called {label!r}", where="keys", remedy=remedy)


def _require(inventory: Inventory, key: str, label: str, name: str) -> Found:
    """The quantity of that name, or of one that differs in case, if any frame has it."""
    source = inventory.get(key)
    if source is None:
        remedy = nearest(key, {entry.key for entry in inventory})
        raise DataError(f"there is no {inventory.noun}{key!r} to read {label!r} from", where=name, remedy=remedy)
    return source


def _tensor_of(label: str, source: Found) -> str:
    """The label; where stress or virial was asked for, that which the quantity's own name says."""
    meant = source.meaning.quantity if source.meaning is not None else label
    return meant if {label, meant} == {"stress", "virial"} else label


def _drop_invented(inventory: Inventory, result: Resolution) -> None:
    """Forget labels that are 0 in every frame: some of ASE's readers write them where the file has none."""
    if not all(reader.startswith("ase:") for reader in inventory.readers):
        return
    told = [id(source) for source in result.sources.values()]
    for entry in list(inventory):
        meaning = entry.meaning
        invented = meaning is not None and meaning.quantity != "dipole" and entry.numeric and id(entry) not in told
        if invented and inventory.zero(entry):
            inventory.remove(entry)
            result.notes.append(
                f"{entry.key} is 0 in every frame, as readers write it where a file has none: not a label"
            )


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


def _level(label: str, source: Found, notes: list[str]) -> str:
    """The level, "node" or "graph": by the meaning of the label, by where the file has it, or by all frames' shapes."""
    if label in ("stress", "virial", "polarizability"):
        return "graph"
    if label in FIELDS:
        return FIELDS[label].level
    if source.per_atom:
        return "node"
    if label in QM9 or not source.one_row_an_atom():
        return "graph"
    sizes = {atoms for atoms, _ in source.shapes}
    if len(sizes) > 1 or not sizes & set(AMBIGUOUS_ATOM_COUNTS):
        notes.append(f"{label} has one row for each atom in every frame: taken as a quantity of the atoms")
        return "node"
    notes.append(
        f"{label} has as many rows as there are atoms, which may be chance: taken as a quantity of the structure"
    )
    return "graph"


def _say_unread(inventory: Inventory, result: Resolution) -> None:
    """One note of what the file says and nothing reads."""
    read = {id(source) for source in result.sources.values()}
    unread = [entry for entry in inventory if id(entry) not in read and (entry.numeric or entry.key == "constraints")]
    unread.sort(key=lambda entry: (entry.meaning is None, not entry.per_atom, entry.key.lower()))
    if unread:
        names = [f"{entry.key} (of atoms)" if entry.per_atom else entry.key for entry in unread[:LISTED_QUANTITIES]]
        more = f" and {len(unread) - LISTED_QUANTITIES} more" if len(unread) > LISTED_QUANTITIES else ""
        hint = (
            "; --key LABEL=NAME reads one as a label or an input"
            if any(entry.key != "constraints" for entry in unread)
            else ""
        )
        result.notes.append(f"not used: {', '.join(names)}{more}{hint}")
