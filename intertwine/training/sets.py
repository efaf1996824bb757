"""What is trained on, validated on and tested on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from intertwine.data import DATASETS, GraphStore, Splits, declared_units, open_dataset
from intertwine.data.partition import divide, fingerprint, without_isolated
from intertwine.data.suspicion import Frames, Seen, examine, other_units
from intertwine.data.turning import turned_store
from intertwine.numerics import DataError, InputError
from intertwine.tasks import Task
from intertwine.training.options import DataOptions
from intertwine.training.scored import strange


@dataclass
class Sets:
    """The three parts of the data, and where they came from.

    Args:
        source: the whole data set.
        splits: indices of the parts in ``source``, and its fingerprint; the test part is empty if a test file was
            given.
        train, validation, test: the parts.
        seen: what the training set holds; None if its nodes are not atoms.
    """

    source: GraphStore
    splits: Splits
    train: GraphStore
    validation: GraphStore
    test: GraphStore
    seen: Seen | None = None

    def species(self) -> tuple[int, ...]:
        """Atomic numbers of all parts: a species that only the test set has must not stop a run."""
        return tuple(
            sorted({z for part in (self.train, self.validation, self.test) if len(part) for z in part.species()})
        )

    def prepared(self, task: Task, labels: list[str]) -> Sets:
        """The same with only these fields besides inputs, and with the edges that the task's model looks at, if it
        does, computed when first asked for."""
        graphs = self.source.only(*labels)
        apart = self.test.only(*[name for name in labels if name in self.test.fields])
        if task.backbone.EDGES:
            graphs, apart = graphs.connected(task.cutoff), apart.connected(task.cutoff)
        test = graphs.subset(self.splits.test) if len(self.splits.test) else apart
        return Sets(graphs, self.splits, graphs.subset(self.splits.train), graphs.subset(self.splits.validation), test)


def target_of(sections: Mapping[str, Any], data: GraphStore) -> str | None:
    """The label to learn: that of the sections as given, else the one that the data set is meant for."""
    return sections["data"].get("target") or sections["task"].get("target") or data.target or None


def open_sets(
    options: DataOptions,
    *,
    splits: Splits | None = None,
    store: GraphStore | None = None,
    progress: bool = True,
    allow: Collection[str] = (),
    labelled: bool = True,
) -> Sets:
    """Read the data and divide them.

    Args:
        options: the section ``data``.
        splits: of a run that is resumed; otherwise as the options say.
        store: the data, if they are already open; then ``options.source`` is only a name.
        progress: show a bar.
        allow: modules outside the package whose data sets may be named.
        labelled: whether images need labels.

    Raises:
        DataError, InputError: the data can't be read, or there are too few.
    """
    about: dict[str, Any] = {
        "keys": options.keys,
        "units": options.units,
        "target": options.target,
        "progress": progress,
        "allow": allow,
        "points": options.points,
        "seed": options.seed,
        "labelled": labelled,
    }
    data = store if store is not None else open_dataset(options.source, limit=options.limit, **about)
    apart = _apart(options, data, about).numbered_as(data.classes) if options.test else None
    mark, mark_apart = (fingerprint(each, turns(options)) if each is not None else None for each in (data, apart))
    if splits is None:
        sizes = {name: getattr(options, name) for name in ("train", "validation", "test_size", "seed")}
        splits = Splits.load(options.indices) if options.indices else divide(data, **sizes, has_test=apart is not None)
        if apart is not None:
            splits = Splits(splits.train, splits.validation)
    else:
        _check_same(options.source, splits.fingerprint, mark)
        _check_same(options.test, splits.test_fingerprint, mark_apart)
    splits.check(len(data), where=options.indices or options.source)
    if not len(splits.train):
        raise DataError(
            "the training set is empty", where=options.source, remedy="give more data, or a larger share for training."
        )
    splits = without_isolated(data, splits, options.indices or "the split")
    if apart is not None and bool((alone := apart.isolated()).any()):
        data.note(f"{int(alone.sum())} isolated atoms of {options.test} are not tested on")
        apart = apart.subset((~alone).nonzero().flatten())
    if apart is not None and store is None:
        for label in (decision.label for decision in data.decisions):
            if label in data.fields and label not in apart.fields:
                data.note(f"{options.test} has no {label}, which is not tested then")
    data, apart = _turned(data, apart, splits, options)
    test = apart if apart is not None else data.subset(splits.test)
    splits = Splits(splits.train, splits.validation, splits.test, fingerprint=mark, test_fingerprint=mark_apart)
    sets = _examined(Sets(data, splits, data.subset(splits.train), data.subset(splits.validation), test), apart)
    trained = sets.train.species()
    for line in (
        strange(sets.validation, trained, "the validation set", counted_in=True),
        strange(sets.test, trained, "the test set"),
    ):
        if line:
            data.note(line)
    return sets


def turns(options: DataOptions) -> str:
    """How entries are turned, as a word that tells data apart; empty where they are not."""
    both = options.rotate, options.rotate_test or options.rotate
    return "" if set(both) == {"none"} else f"turned {both[0]} {both[1]} {options.seed}"


def _turned(
    data: GraphStore, apart: GraphStore | None, splits: Splits, options: DataOptions
) -> tuple[GraphStore, GraphStore | None]:
    """The data, and the file that is the test set, with their entries turned as the options say."""
    how, seed = options.rotate, options.seed
    of_test = options.rotate_test or how
    if apart is not None:
        return turned_store(data, how, seed), turned_store(apart, of_test, seed)
    if of_test == how:
        return turned_store(data, how, seed), None
    data = turned_store(data, how, seed, torch.cat([splits.train, splits.validation]))
    return turned_store(data, of_test, seed, splits.test), None


def _examined(sets: Sets, apart: GraphStore | None) -> Sets:
    """The sets, with what is suspicious in them, and in how they are divided, among the warnings of the source."""
    examine(sets.source)
    for view in (sets.train, sets.validation, sets.test):
        view.examined = view is not apart
    if apart is not None:
        examine(apart)
        sets.source.warn(_of_the_other(line, apart.name) for line in apart.warnings)
    frames = Frames.of_store(sets.train)
    if apart is not None and frames is not None and (others := Frames.of_store(apart)) is not None:
        told = {kind for kind, _ in apart.suspects}
        for suspect in other_units(frames, others, Path(apart.name).name or "the test set"):
            if suspect.kind not in told:
                sets.source.warn([suspect.line])
                apart.suspects.append((suspect.kind, ()))
    sets.seen = Seen.of(frames) if frames is not None else None
    for part, whose in ((sets.validation, "the validation set"), (sets.test, "the test set")):
        others = Frames.of_store(part)
        if sets.seen is not None and others is not None:
            sets.source.warn(sets.seen.lines(others, whose))
    return sets


def _of_the_other(line: str, name: str) -> str:
    """A warning on a second file, which it names; an option for its units would be of both files."""
    named = line if Path(name).name in line else f"{Path(name).name or 'the test set'}: {line}"
    return f"{named}; convert this file, for an option --unit would be of both" if "--unit" in line else named


def _check_same(source: str | None, before: str | None, now: str | None) -> None:
    """Raise a :class:`DataError` if data that a run began with, and that are no data set of ours, have changed."""
    if source not in DATASETS and before not in (None, now):
        remedy = (
            "give the data that the run was trained on (--data PATH, --test PATH for a second file), or train anew."
        )
        raise DataError(
            "not the data that the run was trained on: another file, or they have changed",
            where=str(source),
            remedy=remedy,
        )


def _apart(options: DataOptions, data: GraphStore, about: dict[str, Any]) -> GraphStore:
    """The file that is the test set. Its labels are read from what those of ``data`` were read from, or a note says
    from what.
    """
    if str(options.test).isdigit():
        remedy = "--test takes a file; say how many of the data to test on as --set data.test_size=" + str(options.test)
        raise InputError(f"{options.test} is no file", where="--test", remedy=remedy)
    keys = {decision.label: decision.key for decision in data.decisions}
    if options.units and options.test not in DATASETS and Path(str(options.test)).is_file():
        declared = declared_units(str(options.test))
        own = {name: declared[key] for name in options.units for key in (keys.get(name, name), name) if key in declared}
        if own:
            data.note(
                f"units of {options.test}, as it declares: "
                + ", ".join(f"{name} in {unit}" for name, unit in own.items())
            )
        about = about | {"units": {name: unit for name, unit in options.units.items() if name not in own} or None}
    try:
        return open_dataset(
            str(options.test), **about | {"keys": (keys if options.test not in DATASETS else {}) or about["keys"]}
        )
    except DataError:
        apart = open_dataset(str(options.test), **about)
    other = {decision.label: decision.key for decision in apart.decisions}
    names = [
        f"{label} from {key!r}" for label, key in other.items() if label in keys and key.lower() != keys[label].lower()
    ]
    if names:
        data.note(f"{options.test} has labels of other names: {', '.join(names)}")
    return apart
