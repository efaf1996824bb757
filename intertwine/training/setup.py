"""From a configuration to data sets: what is trained on, validated on and tested on, and what the data suggest to the model."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols

from intertwine.data import DATASETS, QM9, GraphStore, Splits, declared_units, open_dataset
from intertwine.geometry import connect
from intertwine.models import MODELS
from intertwine.numerics import DataError, InputError, write_atomically
from intertwine.training.config import Config, default_model, merge, resolve
from intertwine.training.options import DataOptions, TrainingOptions
from intertwine.training.partition import divide, fingerprint, note, without_isolated
from intertwine.training.signature import arguments, convert

#: Labels, besides QM9's, that do not grow with the size of a structure, and so are means over atoms.
INTENSIVE = re.compile(r"homo|lumo|.*gap|temperature|.*_per_atom", re.IGNORECASE)
COUNTED = 100  # structures whose neighbours and displacements are looked at
HOW_TO_NAME = "name the file's labels: --key energy=NAME --key forces=NAME (units by --unit energy=kcal/mol), or one by --target NAME."


@dataclass
class Sets:
    """The three parts of the data, and where they came from.

    Args:
        source: the whole data set.
        splits: indices of the parts in ``source``; the test part is empty if a test file was given.
        train, validation, test: the parts.
    """

    source: GraphStore
    splits: Splits
    train: GraphStore
    validation: GraphStore
    test: GraphStore

    def species(self) -> tuple[int, ...]:
        """Atomic numbers of all parts: a species that only the test set has must not stop a run."""
        return tuple(sorted({z for part in (self.train, self.validation, self.test) if len(part) for z in part.species()}))

    def prepared(self, cutoff: float | None, labels: list[str]) -> Sets:
        """The same with edges, computed when first asked for, and with only the labels that the task reads."""
        whole = self.source.only(*labels).connected(cutoff)
        apart = self.test.only(*[name for name in labels if name in self.test.fields]).connected(cutoff)
        test = whole.subset(self.splits.test) if len(self.splits.test) else apart
        return Sets(whole, self.splits, whole.subset(self.splits.train), whole.subset(self.splits.validation), test)


def open_sets(options: DataOptions, *, splits: Splits | None = None, store: GraphStore | None = None, progress: bool = True) -> Sets:
    """Read the data and divide them.

    Args:
        options: the section ``data``.
        splits: of a run that is resumed; otherwise as the options say.
        store: the data, if they are already open; then ``options.source`` is only a name.
        progress: show a bar.

    Raises:
        DataError, InputError: the data can't be read, or there are too few.
    """
    about: dict[str, Any] = {"keys": options.keys, "units": options.units, "target": options.target, "progress": progress}
    whole = store if store is not None else open_dataset(options.source, limit=options.limit, **about)
    apart = _apart(options, whole, about) if options.test else None
    if splits is None:
        splits = divide(whole, options, has_test=apart is not None)
        if apart is not None:
            splits = Splits(splits.train, splits.validation)
    elif options.source not in DATASETS and (known := getattr(splits, "fingerprint", None)) and known != fingerprint(whole):
        remedy = "restore the data that the run was trained on, or start a new run."
        raise DataError("the data have changed since the run began", where=options.source, remedy=remedy)
    splits.check(len(whole), where=options.indices or options.source)
    if not len(splits.train):
        raise DataError("the training set is empty", where=options.source, remedy="give more data, or a larger share for training.")
    splits = without_isolated(whole, splits, options)
    if apart is not None and bool((alone := apart.isolated()).any()):
        note(whole, f"{int(alone.sum())} isolated atoms of {options.test} are not tested on")
        apart = apart.subset((~alone).nonzero().flatten())
    test = apart if apart is not None else whole.subset(splits.test)
    sets = Sets(whole, splits, whole.subset(splits.train), whole.subset(splits.validation), test)
    unseen = [chemical_symbols[z] for z in sets.species() if z not in sets.train.species()]
    if unseen:
        note(whole, f"{', '.join(unseen)}: not in the training set, so predictions for them mean little")
    return sets


def _apart(options: DataOptions, whole: GraphStore, about: dict[str, Any]) -> GraphStore:
    """The file that is the test set. Its labels are read from what those of ``whole`` were read from, or a note says from what."""
    keys = {decision.label: decision.key for decision in whole.decisions}
    if options.units and options.test not in DATASETS:
        declared = declared_units(str(options.test))
        own = {name: declared[key] for name in options.units for key in (keys.get(name, name), name) if key in declared}
        if own:
            note(whole, f"units of {options.test}, as it declares: " + ", ".join(f"{name} in {unit}" for name, unit in own.items()))
        about = about | {"units": {name: unit for name, unit in options.units.items() if name not in own} or None}
    try:
        return open_dataset(str(options.test), **about | {"keys": (keys if options.test not in DATASETS else {}) or about["keys"]})
    except DataError:
        apart = open_dataset(str(options.test), **about)
    other = {decision.label: decision.key for decision in apart.decisions}
    names = [f"{label} from {key!r}" for label, key in other.items() if label in keys and key.lower() != keys[label].lower()]
    if names:
        note(whole, f"{options.test} has labels of other names: {', '.join(names)}")
    return apart


def suggest(sets: Sets, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the data say about task and model, where the user did not.

    Energies and forces ask for a force field, a target for a property, later positions for dynamics; species are those of the
    training set; charges and velocities become inputs of models that take them.

    Raises:
        InputError: no task fits the labels.
    """
    fields, given = sets.source.fields, merge(given)
    dynamic = "target_pos" in fields
    info = DATASETS.get(given["data"].get("source", DataOptions.source))
    target = given["data"].get("target") or given["task"].get("target")
    if target is None and info is not None and info.task == "property":
        target = info.target
    task: dict[str, Any] = {"name": given["task"].get("name") or _task_of(sets.source, target)}
    if task["name"] == "dynamics" and not dynamic:
        remedy = "`intertwine train nbody` is such a data set; of your own, give positions at the later time as the label target_pos."
        raise InputError("no later positions to learn", where=sets.source.name or "data", remedy=remedy)
    if task["name"] == "property":
        task |= _property(sets.source, target or "energy")
    if task["name"] == "force_field" and "forces" not in fields:
        task["force_weight"] = 0.0
    if task["name"] == "force_field" and "stress" in fields:
        task["stress_weight"] = 10.0
    flat = fields["pos"].shape[-1] != 3
    name = given["model"].get("name", default_model(task["name"], particles=dynamic or flat))
    model: dict[str, Any] = {"name": name}
    if name in MODELS:
        wanted: dict[str, Any] = {"species": sets.species(), "dimension": fields["pos"].shape[-1]}
        if dynamic and "vel" in fields:
            wanted |= {"velocity": True, "node_inputs": ("speed",), "vector_inputs": ("vel",), "gate": "sigmoid"}
        if dynamic:
            wanted |= {"outputs": "0e+1o"}
        if dynamic and "charge" in fields:
            wanted |= {"edge_inputs": ("charge_product",)}
        known = arguments(MODELS[name])
        if task["name"] == "force_field" and "cutoff" in known and known["cutoff"].default is None:
            wanted |= {"cutoff": 5.0}  # a model that does not look at positions has no forces
        model |= {key: value for key, value in wanted.items() if key in known}
        if dynamic and "cutoff" in known and type(None) in getattr(known["cutoff"].hint, "__args__", ()):
            model["cutoff"] = None
        elif dynamic and "cutoff" in known:
            model["cutoff"] = _extent(sets)
        if "average_degree" in known and "average_degree" not in given["model"]:
            chosen = (
                {"cutoff": known["cutoff"].default}
                | model
                | MODELS[name].PRESETS.get(given["model"].get("preset", ""), {})
                | given["model"]
            )
            model["average_degree"] = _degree(sets, convert(chosen["cutoff"], known["cutoff"].hint, where="model.cutoff"))
    training = _pace(task["name"], len(sets.train), MODELS[name].rate if name in MODELS else 1.0)
    if task["name"] == "dynamics":
        training["clip"] = _clip(sets)
    return {"task": task, "model": model, "training": training}


def _clip(sets: Sets) -> float:
    """A largest norm of gradients in proportion to the mean squared displacement, the unit of the loss: an order above what is usual.

    Particles that nearly collide have gradients a thousand times as large, which would spoil Adam's steps for hundreds of others."""
    squares = [(graph.target_pos - graph.pos).square().mean() for graph in (sets.train[k] for k in range(min(len(sets.train), COUNTED)))]
    square = float(sum(squares)) / max(len(squares), 1)
    return float(f"{0.75 * square:.2g}") if isfinite(square) and square > 0 else TrainingOptions.clip


def _extent(sets: Sets) -> float:
    """A cutoff beyond the most distant particles of the first systems of the training set: all of them act on each other."""
    systems = [sets.train[k].pos for k in range(min(len(sets.train), COUNTED))]
    radius = max((float((pos - pos.mean(0)).norm(dim=-1).max()) for pos in systems if len(pos) > 1), default=1.0)
    return float(f"{2.5 * max(radius, 1e-3):.2g}")


def _degree(sets: Sets, cutoff: float | None) -> float:
    """Average number of neighbours in the first structures of the training set, at least 1."""
    store = sets.train.connected(cutoff)
    graphs = [store[k] for k in range(min(len(store), COUNTED))]
    nodes, edges = (sum(getattr(graph, name) for graph in graphs) for name in ("num_nodes", "num_edges"))
    return float(f"{max(edges / max(nodes, 1), 1.0):.3g}")


def _pace(task: str, structures: int, faster: float) -> dict[str, Any]:
    """Batch size, rate and epochs that suit a task and the size of its training set, for minutes to hours on a CPU; ``faster``: the model's
    :attr:`~intertwine.nn.Backbone.rate`."""
    batch, rate, steps, least, most = {
        "force_field": (5, 2e-3, 40_000, 20, 150),
        "property": (32, 1e-3, 60_000, 20, 300),
        "dynamics": (100, 1e-3, 9_000, 20, 300),
    }[task]
    epochs = round(steps / max(1, structures / batch))
    return {"batch_size": batch, "learning_rate": rate * faster, "epochs": min(max(epochs, least), most)}


def settle(sets: Sets, given: Mapping[str, Any]) -> Config:
    """The resolved configuration for these data.

    Raises:
        InputError: as :func:`intertwine.training.resolve`.
    """
    suggested = suggest(sets, given)
    suggested["training"]["threads"] = _threads(sets, resolve(given, suggested))
    return resolve(given, suggested)


def _threads(sets: Sets, config: Config) -> int:
    """One thread for every thousand edges of a batch: on less, threads wait for each other, and badly where cores are shared."""
    cutoff = config.model.arguments.get("cutoff")
    few = [connect(sets.train[k], cutoff).edge_index.shape[1] for k in range(min(8, len(sets.train)))]
    edges = config.training.batch_size * sum(few) / len(few)
    cores = torch.get_num_threads() if config.training.devices == 1 else (os.cpu_count() or 1) // config.training.devices
    return max(1, min(cores, 1 + int(edges / 1000)))


def labels_of(config: Config, store: GraphStore) -> list[str]:
    """The fields that the task learns from."""
    if config.task.name == "property":
        return [config.task.arguments["target"]]
    if config.task.name == "dynamics":
        return ["target_pos"]
    stress = config.task.arguments["stress_weight"] > 0
    return ["energy", *(["forces"] if "forces" in store.fields else []), *(["stress"] if stress else [])]


def _task_of(store: GraphStore, target: str | None) -> str:
    fields = store.fields
    if target is not None and target not in ("energy", "forces"):
        return "dynamics" if target == "target_pos" else "property"
    if "target_pos" in fields:
        return "dynamics"
    if "energy" in fields and "forces" in fields:
        return "force_field"
    if "energy" in fields:
        if target is None:
            note(store, "no forces: energy is learned as a property; --key forces=NAME, if the file calls them so")
        return "property"
    labels = ", ".join(name for name in fields if name not in ("pos", "z", "cell", "pbc")) or "none"
    hint = next((f"{note}." for note in store.notes if note.startswith("the comment lines hold")), HOW_TO_NAME)
    raise InputError(f"which label to learn? The data have {labels}", where="data.target", remedy=hint)


def _property(store: GraphStore, target: str) -> dict[str, Any]:
    values = store.field(target)
    vector = values.ndim > 1 and values.shape[-1] == 3
    known = QM9.get(target.lower())
    mean = not known.extensive if known is not None else INTENSIVE.fullmatch(target) is not None
    readout = "mean" if mean and not vector else "sum"
    if readout == "sum" and known is None and not vector and target != "energy":
        note(store, f"readout sum: {target} is taken as extensive; for an intensive quantity say --set task.readout=mean")
    return {"target": target, "unit": store.units.get(target, ""), "representation": "1o" if vector else "0e", "readout": readout}


def save_splits(sets: Sets, path: Path) -> None:
    """Write the split of a run, with the fingerprint of its data.

    Raises:
        CheckpointError: the file can't be written.
    """
    write_atomically(path, json.dumps({**sets.splits.to_dict(), "fingerprint": fingerprint(sets.source)}).encode())
