"""A trained task on data: errors, and predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols

from intertwine.data import GraphStore
from intertwine.geometry import Graph, collate
from intertwine.numerics import DataError, IntertwineError
from intertwine.tasks import Task
from intertwine.training.folder import Run
from intertwine.training.loader import Loader
from intertwine.training.scoring import score


def evaluate(run: Run, store: GraphStore, *, batch_size: int = 32) -> dict[str, dict[str, Any]]:
    """Errors of a run on labelled data.

    Args:
        run: from :func:`load_run`.
        store: structures with labels.
        batch_size: structures at a time; changes the speed only.

    Returns:
        For each target that has labels ``mae`` and ``rmse`` in ``unit``, for positions also ``mse``; for vectors also
        ``size``, the root mean square of the label over all components, and, unless that is 0, ``relative``, mae / size.

    Raises:
        DataError: there are no structures, or they have none of the task's labels.
    """
    if not len(store):
        raise DataError("there are no structures", where=store.name or "data", remedy="give data.")
    unseen = set(store.species()) - set(run.species) if run.species else set()
    note = f"{_symbols(unseen)}: not in the training set, so errors of structures with them mean little"
    if unseen and not any("not in the training set" in known for known in store.notes):
        store.notes.append(note)
    alone = store.isolated()
    if "energy" in store.fields and bool(alone.any()) and not bool(alone.all()):  # reference energies, no predictions
        store = store.subset((~alone).nonzero().flatten())
    edges = store.connected(run.task.cutoff)
    scores = score(run.task, Loader(edges, batch_size))
    result: dict[str, dict[str, Any]] = {}
    for target, metric in run.task.metrics.items():
        mae = scores[f"{target}_mae"]
        if mae != mae and not _labelled(run.task, store, target):
            continue
        result[target] = {"mae": mae, "rmse": scores[f"{target}_rmse"], "unit": metric.unit}
        output = run.task.outputs.get(target)
        if output is not None and output.affine:
            result[target]["mse"] = result[target]["rmse"] ** 2  # how the field reports errors of positions
        if target in store.fields and output is not None and output.level == "node" and not output.affine:
            size = metric.factor * float(store.field(target).square().nanmean().sqrt())
            result[target] |= {"size": size} | ({"relative": mae / size} if size > 0 else {})
    if not result:
        labels = ", ".join(run.task.metrics)
        raise DataError(
            f"the data have none of the labels {labels}",
            where=store.name or "data",
            remedy="give labelled data, or map their names with keys.",
        )
    return result


def predict(run: Run, graphs: Iterable[Graph], *, batch_size: int = 32, strict: bool = True) -> list[dict[str, np.ndarray]]:
    """Predictions for structures, in their order.

    Args:
        run: from :func:`load_run`.
        graphs: structures, with or without edges and labels.
        batch_size: structures at a time; changes the speed only.
        strict: refuse species that were not in the training set, for which a model answers something arbitrary.

    Returns:
        For each structure an array for each output: (nodes, ...) for those of nodes, (...) for those of the graph.

    Raises:
        GeometryError, DataError, InputError: a structure can't be predicted; names its number, from 0.
    """
    results: list[dict[str, np.ndarray]] = []
    species = run.species if strict else ()
    for group in _groups(graphs, batch_size):
        try:
            results.extend(_separate(run.task, group, species))
        except IntertwineError:
            for k, graph in enumerate(group):  # find which it is
                try:
                    _separate(run.task, [graph], species)
                except IntertwineError as error:
                    where = f"structure {len(results) + k}" + (f", {error.where}" if error.where else "")
                    raise type(error)(error.what, where=where, remedy=error.remedy) from error
            raise
    return results


def check_species(species: Iterable[int], numbers: Iterable[int]) -> None:
    """Raise a :class:`DataError` if there are atoms of species (atomic numbers) that were not trained on; none given accepts all."""
    species = set(species)
    unseen = set(numbers) - species if species else set()
    if unseen:
        raise DataError(
            f"unknown species: atomic numbers {sorted(unseen)} ({_symbols(unseen)}) not in the training set, which has {_symbols(species)}",
            where="z",
            remedy="train on structures that contain them, or leave these structures out.",
        )


def _symbols(species: Iterable[int]) -> str:
    return ", ".join(chemical_symbols[z] if 0 <= z < len(chemical_symbols) else str(z) for z in sorted(species))


def _separate(task: Task, graphs: Sequence[Graph], species: Iterable[int] = ()) -> list[dict[str, np.ndarray]]:
    for graph in graphs:
        if species and graph.get("z") is not None:
            check_species(species, graph.z.tolist())
    batch = collate([_inputs(graph) for graph in graphs]).to(next(task.parameters()).device)
    prediction = {name: value.detach().cpu() for name, value in task(batch).items()}
    nodes = [graph.num_nodes for graph in graphs]
    of_nodes = {name for name, output in task.outputs.items() if output.level == "node"}
    parts = {name: value.split(nodes) if name in of_nodes else value.unbind(0) for name, value in prediction.items()}
    return [{name: values[k].numpy() for name, values in parts.items()} for k in range(len(graphs))]


def _inputs(graph: Graph) -> Graph:
    """The graph with what a model reads, in float64, so that structures with different labels and edges go in one batch."""
    names = ("pos", "z", "vel", "charge", "x")
    fields = {name: graph[name] for name in names if graph.get(name) is not None}
    result = Graph(**fields, cell=graph.get("cell"), pbc=graph.get("pbc") if graph.get("cell") is not None else None)
    return result.cast(torch.float64)


def _groups(graphs: Iterable[Graph], size: int) -> Iterator[list[Graph]]:
    """Runs of at most ``size`` structures that have the same fields."""
    group: list[Graph] = []
    for graph in graphs:
        if group and (len(group) == size or (graph.get("cell") is None) != (group[0].get("cell") is None)):
            yield group
            group = []
        group.append(graph)
    if group:
        yield group


def _labelled(task: Task, store: GraphStore, target: str) -> bool:
    """Whether any structure has this label; one that is NaN is absent."""
    if target in store.fields:
        return not bool(store.field(target).isnan().all())
    return task.name == "dynamics" and "target_pos" in store.fields
