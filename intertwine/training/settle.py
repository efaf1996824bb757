"""From the sections as given, and the data, to the settled configuration: what the data suggest, where the user says
nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import torch

from intertwine.geometry import connect
from intertwine.numerics import InputError
from intertwine.numerics.signature import arguments
from intertwine.tasks import TASKS
from intertwine.tasks.pace import warmup_steps
from intertwine.training.config import Config, model_class, resolve, task_class
from intertwine.training.options import TrainingOptions
from intertwine.training.sections import merge
from intertwine.training.sets import Sets, target_of

COUNTED_STRUCTURES = 100  # structures whose neighbours are counted
HOW_TO_NAME = (
    "name the file's labels: --key energy=NAME --key forces=NAME (units by --unit energy=kcal/mol), "
    "or one by --target NAME."
)


def settle(sets: Sets, sections: Mapping[str, Any], *, allow: Collection[str] = ()) -> Config:
    """The resolved configuration for these data; ``allow`` as in :func:`intertwine.training.resolve`.

    Raises:
        InputError: as :func:`intertwine.training.resolve`; no task suits the labels.
    """
    sections = merge(sections, allow=allow)
    config = resolve(sections, suggest(sets, sections))
    cutoff = config.model.arguments.get("cutoff")
    preset = model_class(config.model.name, sections.allow).PRESETS.get(sections["model"].get("preset", ""), {})
    looks = model_class(config.model.name, sections.allow).EDGES
    if "average_degree" in config.model.arguments and "average_degree" not in {*sections["model"], *preset}:
        config.model.arguments["average_degree"] = _degree(sets, cutoff)
    if config.start.run is not None and "warmup" not in sections["training"]:
        config = replace(config, training=replace(config.training, warmup=_warmup(sets, config.training)))
    if "threads" in sections["training"]:
        return config
    return replace(config, training=replace(config.training, threads=_threads(sets, config, cutoff, looks)))


def suggest(sets: Sets, sections: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the data say about task, model and training, where the user did not.

    The task is the user's, else the one that the data set is meant for, else the first that suits the labels. Species
    and dimension are those of the data; the rest is what the task takes from them
    (:meth:`intertwine.tasks.Task.suggest`).

    Raises:
        InputError: no task suits the labels, or the data are not for the task.
    """
    sections = merge(sections)
    data = sets.train
    target = target_of(sections, data)
    meant = data.task if target in (None, data.target) else ""
    task_name = sections["task"].get("name") or meant or _suited(sets, target)
    task = task_class(task_name, sections.allow)
    name = sections["model"].get("name") or task.default_model(data, target)
    model = model_class(name, sections.allow)
    wishes = task.suggest(data, target, model, sections["task"])
    settings = {"species": sets.species(), "dimension": data.fields["pos"].shape[-1]} | wishes.get("model", {})
    return {
        "task": {"name": task_name, **wishes.get("task", {})},
        "model": {"name": name, **{key: value for key, value in settings.items() if key in arguments(model)}},
        "training": task.pace.options(len(data), model.CARD.rate) | wishes.get("training", {}),
    }


def _suited(sets: Sets, target: str | None) -> str:
    """The first task that the labels ask for."""
    for name, task in TASKS.items():
        if task.suits(sets.train, target):
            return name
    labels = ", ".join(name for name in sets.train.fields if name not in ("pos", "z", "cell", "pbc")) or "none"
    hint = next((f"{note}." for note in sets.source.notes if note.startswith("the comment lines hold")), HOW_TO_NAME)
    unread = next(
        (
            note.partition(";")[0].removeprefix("not used: ")
            for note in sets.source.notes
            if note.startswith("not used: ")
        ),
        "",
    )
    labels += f"; the file also has {unread}" if unread else ""
    raise InputError(f"which label to learn? The data have {labels}", where="data.target", remedy=hint)


def _degree(sets: Sets, cutoff: float | None) -> float:
    """Average number of neighbours in the first structures of the training set, at least 1."""
    store = sets.train.connected(cutoff)
    graphs = [store[k] for k in range(min(len(store), COUNTED_STRUCTURES))]
    nodes, edges = (sum(getattr(graph, name) for graph in graphs) for name in ("num_nodes", "num_edges"))
    return float(f"{max(edges / max(nodes, 1), 1.0):.3g}")


def _warmup(sets: Sets, options: TrainingOptions) -> int:
    return warmup_steps(len(sets.train), options.batch_size * options.devices * options.nodes, options.epochs)


def _threads(sets: Sets, config: Config, cutoff: float | None, looks: bool) -> int:
    """One thread for every thousand edges of a batch, or nodes where the model does not look at edges: on less, threads
    wait for each other, and badly where cores are shared.
    """
    first = [sets.train[k] for k in range(min(8, len(sets.train)))]
    counts = [connect(graph, cutoff).edge_index.shape[1] if looks else graph.num_nodes for graph in first]
    edges = config.training.batch_size * sum(counts) / len(counts)
    cores = (
        torch.get_num_threads() if config.training.devices == 1 else (os.cpu_count() or 1) // config.training.devices
    )
    return max(1, min(cores, 1 + int(edges / 1000)))
