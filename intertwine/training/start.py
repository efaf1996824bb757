"""How a run begins: with random weights of the right size, or with another's. Then: what they fix, what is added to
them, and what is fitted anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols

from intertwine.data import GraphStore
from intertwine.models import MODELS
from intertwine.nn import grown
from intertwine.nn.checks import columns
from intertwine.nn.embedding import LARGEST_Z
from intertwine.numerics import CheckpointError, InputError, IntertwineError
from intertwine.numerics.checkpoint import save_checkpoint
from intertwine.numerics.plugins import is_code, module_of
from intertwine.numerics.signature import bind
from intertwine.symmetrize import SymmetrizedBackbone
from intertwine.tasks import TASKS, Task
from intertwine.tasks.verdict import beaten
from intertwine.training.calibration import calibrate
from intertwine.training.config import Config, resolve, task_class
from intertwine.training.evaluation import errors_of
from intertwine.training.folder import Run, load_run
from intertwine.training.options import StartOptions
from intertwine.training.sections import Sections, merge
from intertwine.training.sets import Sets, target_of

TRIED_STRUCTURES = 50  # structures that the weights are tried on before the training
_OWN = "leave it out, or train from random weights."


def begun(sets: Sets, sections: Sections) -> Sections:
    """The sections as given, with what the weights fix if there is a section ``start``: the model with the species of
    both, the task and its head if it is the same, the precision.

    Raises:
        InputError: an argument, or the data, contradict the weights; it is named.
        CheckpointError, InputError: as :func:`intertwine.training.load_run`.
    """
    options = StartOptions(**bind(StartOptions, sections["start"], where="start"))
    if options.run is None:
        return sections
    source = _source(options, sections.allow)
    model, precision = source.config.model, source.config.training.precision
    asked_species = _check_arguments(sections["model"], source)
    fixed = source.config.sections()["model"]
    # else the data would suggest something
    fixed |= {name: "none" for name, value in model.arguments.items() if value is None}
    if trained_species := model.arguments.get("species"):
        fixed["species"] = sorted({*trained_species, *sets.species(), *asked_species})
    carried = _carried(sets.train, sections, source)
    _check_data(sets, sections, source, bool(carried))
    start = {"run": str(Path(options.run).resolve()), "weights": fingerprint(source.task)}
    kept = source.config.sections().get("symmetrize", {})
    if sections["symmetrize"].get("method", kept.get("method")) != kept.get("method"):
        kept = {}
    layer = {
        "model": fixed,
        "symmetrize": kept | sections["symmetrize"],
        "task": carried | sections["task"],
        "training": {"precision": precision} | sections["training"],
    }
    return merge(sections | layer | {"start": sections["start"] | start}, allow=sections.allow)


def begin(task: Task, config: Config, graphs: GraphStore) -> tuple[list[str], tuple[int, ...]]:
    """Give a task, whose statistics are those of the training set, the weights that the run begins with: another run's,
    or its random ones, of the size that the labels ask for (:func:`~intertwine.training.calibration.calibrate`).

    Args:
        task: as the configuration builds it; changed in place.
        config: of the run.
        graphs: the training set, with edges.

    Returns:
        What to tell the user, and the species that the weights were trained on, or those of the training set.

    Raises:
        CheckpointError: the weights are no longer those that the run was begun with.
        InputError: they can't read these data.
    """
    if config.start.run is None:
        return calibrate(task, graphs, config.training.batch_size), tuple(graphs.species())
    start, source = config.start, _source(config.start, config.allow)
    with_head = type(source.task) is type(task) and _structural(source.config) == _structural(config)
    fresh, before = task.state_dict(), source.config.model.arguments.get("species") or ()
    weights = {name: value for name, value in source.task.state_dict().items() if name not in task.loss_buffers}
    weights = _within(weights, source.config.symmetrize.method, config.symmetrize.method)
    if not with_head:
        weights = {name: value for name, value in weights.items() if name.startswith("backbone.")}
    after = config.model.arguments.get("species") or ()
    task.load_state_dict(fresh | grown(weights, fresh, before, after, where=str(start.run)))
    task.eval()  # without dropout
    try:
        if with_head and start.references == "fit":
            task.refit(graphs)
        run = Run(source.folder, config, task, (), 0, "last")
        errors = errors_of(run, graphs.subset(range(min(TRIED_STRUCTURES, len(graphs)))))
    except IntertwineError as error:
        raise InputError(
            f"the weights can't read these data: {error.what}", where=str(start.run), remedy=error.remedy
        ) from error
    task.train()
    return _lines(task, config, source, with_head, sorted({*after} - {*before}), errors), source.species


def _within(weights: dict[str, torch.Tensor], before: str, after: str) -> dict[str, torch.Tensor]:
    """Weights under the names that they have in a task whose backbone is symmetrized from outside, or is not any
    more.
    """
    outer, inner = "backbone.", "backbone.network."
    if (before == "none") == (after == "none"):
        return weights
    if before == "none":
        moved = {name.replace(outer, inner, 1): v for name, v in weights.items() if name.startswith(outer)}
    else:
        moved = {name.replace(inner, outer, 1): v for name, v in weights.items() if name.startswith(inner)}
    return {name: v for name, v in weights.items() if not name.startswith(outer)} | moved


def save_task(
    task: Task, path: Path | str, *, species: Sequence[int] = (), units: Mapping[str, str] | None = None
) -> None:
    """Write a task of any origin, such as a converted model of mace-torch or nequip, as a file that runs begin with and
    commands read.

    Args:
        task: of a model and a head of this library, or of classes that can be imported.
        path: by custom it ends in ``.safetensors``.
        species: atomic numbers that it was trained on; those that its model knows, if empty.
        units: of the labels, by name.

    Raises:
        InputError: its precision is not one that runs have, or an argument of its constructor is no plain value.
        CheckpointError: the file can't be written.
    """
    backbone = task.backbone.network if isinstance(task.backbone, SymmetrizedBackbone) else task.backbone
    model, head = _name(backbone, MODELS), _name(task, TASKS)
    sections = {"model": {"name": model, **backbone.settings}, "task": {"name": head, **task.settings}}
    if backbone is not task.backbone:
        sections["symmetrize"] = {"method": "frames", **task.backbone.settings}
    precision = {"training": {"precision": str(task.dtype).removeprefix("torch.")}}
    config = resolve(sections | precision, allow=[module_of(name) for name in (model, head) if is_code(name)])
    numbers = sorted(species or config.model.arguments.get("species") or ())
    content = {
        "config": config.sections(),
        "weights": task.state_dict(),
        "species": numbers,
        "epoch": 0,
        "units": dict(units or {}),
    }
    save_checkpoint(path, content)


def fingerprint(task: Task) -> str:
    """SHA-256 of the weights, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(task.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _name(instance: Any, table: Mapping[str, type]) -> str:
    """Its class's name in the table, or ``module:Class``."""
    return next(
        (name for name, kind in table.items() if kind is type(instance)),
        f"{type(instance).__module__}:{type(instance).__qualname__}",
    )


def _source(options: StartOptions, allow: Collection[str]) -> Run:
    path = Path(str(options.run))
    if path.is_file() and path.suffix != ".safetensors":
        remedy = (
            "convert a model of mace-torch or nequip first: save_task(from_mace(model), 'mace.safetensors') in Python."
        )
        raise InputError("is neither a run folder nor a .safetensors file", where=str(path), remedy=remedy)
    source = load_run(path, which=options.which, device="cpu", allow=allow)
    if options.weights not in (None, fingerprint(source.task)):
        raise CheckpointError(
            "the weights have changed since the run began", where=str(path), remedy="start a new run."
        )
    return source


def _structural(config: Config) -> dict[str, Any]:
    """The arguments of the task but for those that only the loss looks at."""
    task_type: Any = config.task.constructor
    return {name: value for name, value in config.task.arguments.items() if name not in task_type.loss_arguments}


def _check_arguments(section: Mapping[str, Any], source: Run) -> Sequence[int]:
    """The species that are given; an :class:`InputError` for any other argument that is not the source's."""
    model = source.config.model
    if section.get("name", model.name) != model.name or "preset" in section:
        key = "name" if section.get("name", model.name) != model.name else "preset"
        raise InputError(f"the weights are of {model.name}, which fixes it", where=f"model.{key}", remedy=_OWN)
    values = bind(model.constructor, {k: v for k, v in section.items() if k != "name"}, where="model")
    for name, value in values.items():
        if name in section and name != "species" and value != model.arguments[name]:
            what = f"{value!r}, and the weights are of a model with {model.arguments[name]!r}"
            raise InputError(what, where=f"model.{name}", remedy=_OWN)
    asked = values["species"] if "species" in section else ()
    return range(1, LARGEST_Z + 1) if asked is None else asked


def _carried(data: GraphStore, sections: Mapping[str, Any], source: Run) -> dict[str, Any]:
    """The arguments of the source's task that decide what it predicts, if these data, and what is given, ask for the
    same.
    """
    task_type: Any = source.config.task.constructor
    arguments, plain = _structural(source.config), source.config.sections()["task"]
    target = target_of(sections, data)
    asked = task_class(sections["task"]["name"], source.allow) if "name" in sections["task"] else task_type
    label = arguments.get("target", target)
    same = asked is task_type and label == (target or label) and (label is None or label in data.fields)
    return (
        {k: plain[k] for k in ("name", *arguments) if k in plain}
        if same and task_type.suits(data, target or label)
        else {}
    )


def _check_data(sets: Sets, sections: Mapping[str, Any], source: Run, carried: bool) -> None:
    """An :class:`InputError` where the data are of another dimension, suggest other inputs, or have a label in another
    unit.
    """
    data, model, where = sets.train, source.config.model, str(sections["start"]["run"])
    dimension = data.fields["pos"].shape[-1]
    if model.arguments.get("dimension", dimension) != dimension:
        what = f"the weights are of {model.arguments['dimension']} dimensions, the data of {dimension}"
        raise InputError(what, where=where, remedy="begin with a run on such data.")
    task = task_class(sections["task"].get("name") or source.config.task.name, source.allow)
    target = target_of(sections, data) or source.config.task.arguments.get("target")
    wishes = (
        task.suggest(data, target, model.constructor, sections["task"]).get("model", {})
        if task.suits(data, target)
        else {}
    )
    for name, wish in wishes.items():
        if (
            name in model.arguments
            and name.endswith("_inputs")
            and columns(wish, name) != columns(model.arguments[name], name)
        ):
            what = f"{name} of the weights are {list(model.arguments[name])}, these data have {list(wish)}"
            raise InputError(what, where=where, remedy="begin with a run on data of the same inputs.")
    for name in source.task.labels(data.fields) if carried else ():
        units = source.units.get(name), sets.source.units.get(name)
        if all(units) and units[0] != units[1]:
            what = f"{name} is in {units[1]}, and the weights predict {units[0]}"
            raise InputError(
                what,
                where=sets.source.name,
                remedy=f"convert the data, or say what they are in: --unit {name}={units[0]}.",
            )


def _lines(
    task: Task, config: Config, source: Run, with_head: bool, new: list[int], errors: Mapping[str, Any]
) -> list[str]:
    start, symbols = config.start, [chemical_symbols[z] for z in new]
    scores = "; ".join(f"{name}: {task.line(name, e)}" for name, e in errors.items())
    kept = "with its head; scales of the network stay, references are " + (
        "fitted anew" if start.references == "fit" else "kept"
    )
    lines = [
        (
            f"from     {start.run} ({source.which}, {str(start.weights)[:12]}): "
            f"{kept if with_head else 'the backbone alone, the head is new'}"
        ),
        *([f"species  {', '.join(symbols)} added, with random weights"] if symbols else []),
        f"before   on the training set's first {TRIED_STRUCTURES} at most: {scores}",
    ]
    for words in beaten(errors, remedy="are these the same labels as those of the weights?") if with_head else ():
        lines.append(f"warning: {words}")
    if start.freeze:
        still = sum(p.numel() for p in task.parameters() if not p.requires_grad)
        lines.append(
            f"frozen   {', '.join(task.frozen or start.freeze)}: {still:,} weights of "
            f"{sum(p.numel() for p in task.parameters()):,}"
        )
    return lines
