"""Which structures of a data set count in the errors of a run: those with labels, and of elements that it has seen."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch
from ase.data import chemical_symbols
from torch import Tensor

from intertwine.data import GraphStore
from intertwine.data.frames import in_file, place, several
from intertwine.numerics.showing import counted
from intertwine.training.folder import Run

NAMED = 5  # structures that a note names


def labelled_part(run: Run, store: GraphStore) -> GraphStore:
    """The structures that have a label of a run's task at least; all of them where none has."""
    there = [*_labelled(run, store).values()]
    kept = torch.stack(there).any(0) if there else torch.ones(len(store), dtype=torch.bool)
    return store if bool(kept.all()) or not bool(kept.any()) else store.subset(kept.nonzero().flatten())


def unlabelled(run: Run, store: GraphStore) -> list[str]:
    """Which structures lack a label of a run's task that others have: a sentence for all labels that the same ones
    lack. The forces of an isolated atom, and the stress of a structure that does not repeat along two vectors at
    least, are not counted: they need not be there. Nor is an isolated atom beside other structures, of which no errors
    are.
    """
    lacking: dict[tuple[int, ...], list[str]] = {}
    alone = store.isolated()
    repeating = store.field("pbc").sum(1) >= 2 if "pbc" in store.fields else torch.zeros_like(alone)
    rest = ~alone if "energy" in store.fields and not bool(alone.all()) else torch.ones_like(alone)
    for label, there in _labelled(run, store).items():
        needed = {"forces": ~alone, "stress": repeating}.get(label, rest)
        lacking.setdefault(tuple((needed & ~there).nonzero().flatten().tolist()), []).append(label)
    lines = []
    for which, labels in lacking.items():
        if which:
            places = places_of(store)
            named = several([places[k] for k in which], NAMED)
            count = f"{len(which):,} of {len(store):,} structures, which have none"
            lines.append(f"left out of the errors of {' and '.join(labels)}: {count}: {named}")
    return lines


def known_part(store: GraphStore, species: Collection[int]) -> GraphStore:
    """The structures whose species were all trained on, with a note on the others; all, where no others are left.

    Args:
        store: the structures.
        species: atomic numbers of the training set; none accepts all.
    """
    which = strangers(store, species)
    if not which:
        return store
    if not any(UNSEEN in line for line in store.notes):
        store.note(strange(store, species))
    kept = sorted(set(range(len(store))) - set(which))
    return store.subset(kept) if kept else store


def scored_part(store: GraphStore, species: Collection[int]) -> GraphStore:
    """What errors are of: :func:`known_part` without isolated atoms, whose energies are references, if others are left.

    Args:
        store: the structures.
        species: atomic numbers of the training set; none accepts all.
    """
    return without_isolated(known_part(store, species))


def without_isolated(store: GraphStore) -> GraphStore:
    """The structures that are no isolated atoms, where they have energies; all, if they are nothing else."""
    alone = store.isolated()
    if "energy" not in store.fields or not bool(alone.any()) or bool(alone.all()):
        return store
    return store.subset((~alone).nonzero().flatten())


UNSEEN = "not in the training set, but in"


def strange(store: GraphStore, species: Collection[int], whose: str = "", *, counted_in: bool = False) -> str:
    """What is said of structures with species that were not trained on; empty where there are none.

    Args:
        store: the structures.
        species: atomic numbers of the training set; none accepts all.
        whose: "the test set", ...
        counted_in: whether its errors count them, as those that choose the best epoch do.
    """
    which = strangers(store, species)
    if not which:
        return ""
    places = places_of(store)
    count = f"{len(which):,} of the {counted(len(store), 'structures')}{f' of {whose}' if whose else ''}"
    if counted_in or len(which) == len(store):
        why = "whose errors say nothing about the model"
    else:
        why = "left out of the errors: predict refuses them"
    names = symbols(set(store.species()) - set(species))
    return f"{names}: {UNSEEN} {count} ({several([places[k] for k in which], NAMED)}), {why}"


def strangers(store: GraphStore, species: Collection[int]) -> list[int]:
    """The structures that have species which were not trained on, by their place in the store."""
    unseen = sorted(set(store.species()) - set(species)) if species and len(store) else []
    if not unseen:
        return []
    atoms = torch.isin(store.field("z"), torch.tensor(unseen))
    return _of_graphs(atoms, store.counts()).nonzero().flatten().tolist()


def places_of(store: GraphStore) -> list[str]:
    """File and frame of each structure."""
    files = store.files or ((store.name or "data", 0),)
    return [place(*in_file(files, number)) for number in store.numbers().tolist()]


def symbols(species: Iterable[int]) -> str:
    """Chemical symbols of atomic numbers, in words."""
    return ", ".join(chemical_symbols[z] if 0 <= z < len(chemical_symbols) else str(z) for z in sorted(species))


def _labelled(run: Run, store: GraphStore) -> dict[str, Tensor]:
    """Which structures (structures,) have each label of a task."""
    there = {}
    for label in dict.fromkeys(output.label or name for name, output in run.task.outputs.items()):
        if label in store.fields and store.levels[label] in ("graph", "node"):
            value = store.field(label)
            rows = ~value.reshape(len(value), -1).isnan().all(1)
            there[label] = rows if store.levels[label] == "graph" else _of_graphs(rows, store.counts())
    return there


def _of_graphs(rows: Tensor, counts: Tensor) -> Tensor:
    """Which graphs (graphs,) have any of the nodes (nodes,) that are marked."""
    owners = torch.repeat_interleave(torch.arange(len(counts)), counts)
    return torch.zeros(len(counts), dtype=torch.bool).index_put((owners[rows],), torch.tensor(True))
