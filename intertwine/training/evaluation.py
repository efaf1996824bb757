"""A trained task on data: errors, and predictions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import nn

from intertwine.data import GraphStore, to_graph
from intertwine.data.loader import Loader
from intertwine.data.store import INPUTS
from intertwine.data.suspicion import Frames, Seen, examine
from intertwine.geometry import LEVELS, Graph, collate, connect, six
from intertwine.numerics import CheckpointError, DataError, GeometryError, InputError, IntertwineError
from intertwine.tasks import Classification, Task
from intertwine.tasks.verdict import compared_with
from intertwine.training.departures import departures
from intertwine.training.folder import SEEN, Run
from intertwine.training.scored import known_part, labelled_part, places_of, symbols, unlabelled, without_isolated
from intertwine.training.scoring import score


def evaluate(run: Run, store: GraphStore, *, batch_size: int = 32) -> dict[str, dict[str, Any]]:
    """Errors of a run on labelled data.

    Args:
        run: from :func:`load_run`.
        store: structures with labels, of which some may lack labels (NaN): each target is scored on those that have
            it, and ``store.notes`` says which lack it. What is suspicious in them, and beside the training set of the
            run (copies of its structures, compositions that it lacks, structures far outside), is added to
            ``store.warnings``.
        batch_size: structures at a time; changes the speed only.

    Returns:
        For each target that has labels what the task says of its errors (:meth:`intertwine.tasks.Task.errors`), and
        beside it ``baseline`` and ``ratio`` (:func:`intertwine.tasks.verdict.compared_with`): what a prediction that
        does not look at the geometry makes of the same labels.

    Raises:
        DataError: there are no structures, or they have none of the task's labels.
        GeometryError, CheckpointError: a prediction, or the weights, are not finite.
    """
    if not len(store):
        raise DataError("there are no structures", where=store.name or "data", remedy="give data.")
    for line in unlabelled(run, store):
        store.note(line)
    store = in_classes_of(run, labelled_part(run, store))
    examine(store)
    frames = Frames.of_store(store)
    if frames is not None:
        store.warn([*doubts(run, frames), *departures(run, frames, places_of(store))])
    return errors_of(run, store, batch_size=batch_size)


def in_classes_of(run: Run, store: GraphStore) -> GraphStore:
    """Data whose classes are numbered as those of a run; of other tasks the data as they are."""
    if isinstance(run.task, Classification):
        return store.numbered_as({run.task.target: run.task.classes})
    return store


def doubts(run: Run, frames: Frames) -> list[str]:
    """What is said of structures beside the training set of a run: which are in it, and whose composition it lacks;
    nothing if the run's folder does not tell.
    """
    seen = Seen.load(run.folder / SEEN)
    return seen.lines(frames) if seen is not None else []


def errors_of(run: Run, store: GraphStore, *, batch_size: int = 32) -> dict[str, dict[str, Any]]:
    """:func:`evaluate` of data that were looked at before."""
    structures = known_part(store, run.species)
    store = without_isolated(structures)
    store.warn(run.task.doubts(store))
    edges = store.connected(run.task.cutoff) if run.task.backbone.EDGES else store
    with torch.inference_mode(False):
        scores = score(run.task, Loader(edges, batch_size), baselines=True)
    result: dict[str, dict[str, Any]] = {}
    for target in run.task.metrics:
        mae = scores[f"{target}_mae"]
        output = run.task.outputs.get(run.task.output_of(target))
        label = (output.label if output is not None else "") or target
        truth = store.field(label) if label in store.fields else None
        if mae != mae and (truth is None or bool(truth.isnan().all())):
            continue
        if not isfinite(mae):
            # names the structure, or the weights
            everything = range(len(structures))
            predict(run, (structures[k] for k in everything), strict=False, places=places_of(structures))
        errors = run.task.errors(target, mae, scores[f"{target}_rmse"], truth)
        if (blind := scores.get(f"{target}_baseline_mae")) is not None:
            name = run.task.baselines[run.task.output_of(target)].name
            both = blind, scores[f"{target}_baseline_rmse"]
            errors |= compared_with(name, errors, *both, run.task.errors(target, *both, truth))
        result[target] = errors
    if not result:
        labels = ", ".join(run.task.metrics)
        raise DataError(
            f"the data have none of the labels {labels}",
            where=store.name or "data",
            remedy="give labelled data, or map their names with keys.",
        )
    return result


def predict(
    run: Run,
    structures: Iterable[Graph | Atoms],
    *,
    batch_size: int = 32,
    strict: bool = True,
    keys: Mapping[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
    places: Sequence[str] = (),
) -> list[dict[str, np.ndarray]]:
    """Predictions for structures, in their order.

    Args:
        run: from :func:`load_run`.
        structures: graphs, with or without edges and labels, or structures of ASE (A), whose inputs (charges, ...) have
            the run's names.
        batch_size: structures at a time, 1 or more; changes the speed and the memory only.
        strict: refuse species that were not in the training set, for which a model answers something arbitrary.
        keys: other names of the inputs, over those of the run.
        progress: called after every batch with the number of structures that are done.
        places: file and frame of each structure, for messages; by default they say its number, from 0.

    Returns:
        For each structure an array for each output that it has, (rows, ...) of nodes, pairs
        (:func:`intertwine.geometry.pair_list`), points, or edges (as :func:`intertwine.geometry.connect` lists them),
        (...) of the graph. A stress has six numbers, xx, yy, zz, yz, xz, xy; an open structure has none.

    Raises:
        GeometryError, DataError, InputError: a structure can't be predicted, or what is predicted is not finite; names
            its place.
        CheckpointError: the weights are not finite.
    """
    if not batch_size >= 1:
        raise InputError(f"batches of {batch_size}", where="batch_size", remedy="give 1 or more structures.")
    results: list[dict[str, np.ndarray]] = []
    species = run.species if strict else ()
    names = inputs_of(run.task)
    called = (run.config.data.keys or {}) | dict(keys or {})
    with torch.inference_mode(False):  # a tensor of inference mode has no derivatives, and forces are some
        for group in _groups(
            (_graph(s, names, called, _where(places, k)) for k, s in enumerate(structures)), batch_size
        ):
            try:
                results.extend(_separate(run.task, group, species))
            except IntertwineError:
                for k, graph in enumerate(group):  # find which it is
                    try:
                        _separate(run.task, [graph], species)
                    except IntertwineError as error:
                        raise _of_structure(error, _where(places, len(results) + k)) from error
                raise
            if progress is not None:
                progress(len(results))
    return results


def inputs_of(task: nn.Module) -> tuple[str, ...]:
    """The fields that a task or model reads besides positions, species and cell: "charge", "vel", "x", or those of its
    own vectors.
    """
    inputs: dict[str, None] = dict.fromkeys(getattr(task, "reads", ()))
    fields = {"speed": "vel", "charge_product": "charge", "edge_attr": ""}
    for module in task.modules():
        for attribute in ("inputs", "node_inputs", "edge_inputs", "vector_inputs"):
            names = vars(module).get(attribute, ())
            if isinstance(names, tuple | list | dict) and all(isinstance(name, str) for name in names):
                inputs |= dict.fromkeys(fields.get(str(name), str(name)) for name in names)
        if vars(module).get("velocity") is True:
            inputs["vel"] = None
    return tuple(name for name in inputs if name)


def fields_of(task: Task, have: Collection[str]) -> list[str]:
    """The labels that a task learns from, and the inputs of its model, of the fields that the data have."""
    return [*task.labels(have), *(name for name in inputs_of(task) if name in have)]


def sound(task: Task, prediction: dict[str, np.ndarray], bulk: bool) -> dict[str, np.ndarray]:
    """What was predicted for one structure, if it is finite; its stress in six numbers, if it has one.

    Args:
        task: whose prediction it is.
        prediction: arrays by name.
        bulk: the structure repeats in three directions.

    Raises:
        CheckpointError: the weights are not finite.
        GeometryError: they are, and the prediction is not.
    """
    prediction = dict(prediction)
    if "stress" in prediction and not bulk and np.isnan(prediction["stress"]).all():
        del prediction["stress"]
    for name, value in prediction.items():
        if not np.isfinite(value).all():
            check_weights(task)
            remedy = "look at the structure: atoms that nearly coincide, or are far outside of what was trained on."
            raise GeometryError(f"the predicted {name} is not finite", where=name, remedy=remedy)
    return prediction | {name: six(prediction[name]) for name in ("stress",) if name in prediction}


def check_weights(task: Task) -> None:
    """Raise a :class:`CheckpointError` that names the first parameter or buffer which is not finite."""
    for name, value in (*task.named_parameters(), *task.named_buffers()):
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                f"the weights are not finite ({name})",
                where="weights",
                remedy="use another checkpoint (--which last), or train again.",
            )


def check_species(species: Iterable[int], numbers: Iterable[int]) -> None:
    """Raise a :class:`DataError` if there are atoms of species (atomic numbers) that were not trained on; none given
    accepts all.
    """
    species, numbers = set(species), list(numbers)
    unseen = set(numbers) - species if species else set()
    if unseen:
        first = next(k for k, z in enumerate(numbers) if z in unseen)
        raise DataError(
            f"unknown species: atomic numbers {sorted(unseen)} ({symbols(unseen)}; the first is atom {first}) "
            "not in the training set, "
            f"which has {symbols(species)}",
            where="z",
            remedy="train on structures that contain them, or leave these structures out.",
        )


def _graph(structure: Graph | Atoms, names: Sequence[str], keys: Mapping[str, str], where: str) -> Graph:
    """What a model reads of a structure, in float64, so that structures of different labels and edges share a batch."""
    try:
        graph = structure if isinstance(structure, Graph) else to_graph(structure, names, keys)
    except IntertwineError as error:
        raise _of_structure(error, where) from error
    fields = {name: graph[name] for name in dict.fromkeys((*INPUTS, *names)) if graph.get(name) is not None}
    if "cell" not in fields:
        fields.pop("pbc", None)
    said = {name: graph.get(name) for name in ("representations", "levels")}
    return Graph(**fields, **said).cast(torch.float64)


def _where(places: Sequence[str], k: int) -> str:
    return places[k] if places else f"structure {k}"


def _of_structure(error: IntertwineError, where: str) -> IntertwineError:
    inside = f", {error.where}" if error.where else ""
    return type(error)(error.what, where=where + inside, remedy=error.remedy)


def _separate(task: Task, graphs: Sequence[Graph], species: Iterable[int] = ()) -> list[dict[str, np.ndarray]]:
    for graph in graphs:
        if species and graph.get("z") is not None:
            check_species(species, graph.z.tolist())
    if any(LEVELS[output.level].lists == "edge_index" for output in task.outputs.values()):
        graphs = [connect(graph, task.cutoff) for graph in graphs]
    batch = collate(graphs).to(next(task.parameters()).device)
    prediction = {name: value.detach().cpu() for name, value in task(batch).items()}
    levels = {name: LEVELS[task.outputs[name].level if name in task.outputs else "graph"] for name in prediction}
    parts = {name: levels[name].parts(value, graphs) for name, value in prediction.items()}
    bulk = [graph.get("cell") is not None and bool(graph.pbc.all()) for graph in graphs]
    return [
        task.answer(sound(task, {name: values[k].numpy() for name, values in parts.items()}, bulk[k]))
        for k in range(len(graphs))
    ]


def _groups(graphs: Iterable[Graph], size: int) -> Iterator[list[Graph]]:
    """Runs of at most ``size`` structures that have the same fields, as a batch must."""
    group: list[Graph] = []
    for graph in graphs:
        if group and (len(group) == size or set(graph.keys()) != set(group[0].keys())):
            yield group
            group = []
        group.append(graph)
    if group:
        yield group
