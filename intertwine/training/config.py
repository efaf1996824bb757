"""The settled configuration of a run: every argument of the constructors, in sections."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intertwine.models import MODELS
from intertwine.nn import Backbone
from intertwine.numerics import InputError, choose
from intertwine.numerics.plugins import find, spelled
from intertwine.numerics.signature import arguments, bind
from intertwine.symmetrize import SymmetrizedBackbone
from intertwine.tasks import TASKS, ForceField, Task
from intertwine.training.options import DataOptions, StartOptions, SymmetrizeOptions, TrainingOptions
from intertwine.training.sections import Sections, merge, read_config, write_sections

DEFAULT_TASK = ForceField.name  # of the tasks, where nothing says which
KINDS: dict[str, tuple[type, Mapping[str, type]]] = {"model": (Backbone, MODELS), "task": (Task, TASKS)}


@dataclass(frozen=True)
class Choice:
    """A class, its name (in ``MODELS`` or ``TASKS``, or ``module:Class``), and the arguments of its constructor."""

    name: str
    arguments: dict[str, Any]
    constructor: Any


@dataclass(frozen=True)
class Config:
    """A resolved configuration: every argument has its value.

    Args:
        data: where the structures are.
        model: the backbone.
        task: what it is for.
        training: how it is trained.
        start: with whose weights.
        symmetrize: how the model is made equivariant from outside, if it is.
        allow: modules outside the package whose classes it may name.
    """

    data: DataOptions
    model: Choice
    task: Choice
    training: TrainingOptions
    start: StartOptions = field(default_factory=StartOptions)
    symmetrize: SymmetrizeOptions = field(default_factory=SymmetrizeOptions)
    allow: tuple[str, ...] = field(default=(), compare=False)

    def build(self) -> Task:
        """The untrained task around its untrained backbone, weights drawn from ``training.seed``, in
        ``training.precision``.

        Raises:
            InputError: arguments that the constructors refuse.
        """
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            backbone: Backbone = self.model.constructor(**self.model.arguments)
            task: Task = self.task.constructor(self.symmetrized(backbone), **self.task.arguments)
        if self.start.freeze:
            task.freeze(self.start.freeze)
        return task.to(getattr(torch, self.training.precision))

    def symmetrized(self, backbone: Backbone) -> Backbone:
        """The backbone, made equivariant from outside if that is asked for."""
        options = dataclasses.asdict(self.symmetrize)
        method = options.pop("method")
        return backbone if method == "none" else SymmetrizedBackbone(backbone, method, **options)

    def sections(self) -> dict[str, dict[str, Any]]:
        """Nested plain values: what :func:`resolve` accepts and TOML can hold."""
        start = {"start": _plain(dataclasses.asdict(self.start), StartOptions)} if self.start.run else {}
        if self.symmetrize.method != "none":
            start["symmetrize"] = _plain(dataclasses.asdict(self.symmetrize), SymmetrizeOptions)
        return {
            "data": _plain(dataclasses.asdict(self.data), DataOptions),
            "model": {"name": self.model.name, **_plain(self.model.arguments, self.model.constructor)},
            "task": {"name": self.task.name, **_plain(self.task.arguments, self.task.constructor)},
            "training": _plain(dataclasses.asdict(self.training), TrainingOptions),
            **start,
        }

    def save(self, path: Path | str, by_user: Sequence[str] | None = None) -> None:
        """Write it as TOML, atomically; a comment at the head says which settings a user gave, if that is known.

        Raises:
            CheckpointError: the file can't be written.
        """
        write_sections(self.sections(), Path(path), by_user)


def as_given(config: Config | Mapping[str, Any] | str | Path | None = None, allow: Collection[str] = ()) -> Sections:
    """The sections of a configuration, a mapping or a TOML file; raises as :func:`intertwine.training.read_config`."""
    if isinstance(config, str | Path):
        config = read_config(config)
    return merge(
        config.sections() if isinstance(config, Config) else config or {}, allow=[*allow, *getattr(config, "allow", ())]
    )


def check(sections: Sections) -> tuple[DataOptions, TrainingOptions]:
    """The two sections that need no class, after a look at all that is given of the others: the data may yet say which
    model and task.

    Raises:
        InputError: as :func:`resolve`.
    """
    for kind in KINDS:
        if "name" in sections[kind]:
            _choice(kind, sections[kind], sections)
    _options(StartOptions, sections)
    _options(SymmetrizeOptions, sections)
    return _options(DataOptions, sections), _options(TrainingOptions, sections)


def resolve(
    sections: Mapping[str, Any] | Config | None = None,
    suggested: Mapping[str, Any] | None = None,
    *,
    allow: Collection[str] = (),
) -> Config:
    """Defaults of the constructors, under what the data suggest, under what the user gave; checked.

    Args:
        sections: as a TOML file has them; a section may be missing, ``model`` and ``task`` may be just a name.
            ``preset`` in the model's section stands for the arguments of that name in its ``PRESETS`` which are not
            given.
        suggested: the same, of lower precedence.
        allow: modules outside the package whose classes may be named (as ``module:Class``), besides those that
            ``sections`` allows.

    Raises:
        InputError: an unknown section, key, model or task (the nearest right one is named), a value of the wrong type
            or range, or a class of a module that is not allowed.
    """
    sections = as_given(sections, allow)
    merged = merge(suggested or {}, sections)
    task = _choice("task", {"name": DEFAULT_TASK} | merged["task"], sections)
    model = _choice("model", {"name": task.constructor.model} | merged["model"], sections)
    kinds = (DataOptions, TrainingOptions, StartOptions, SymmetrizeOptions)
    data, training, start, symmetrize = (_options(kind, merged) for kind in kinds)
    return Config(data, model, task, training, start, symmetrize, sections.allow)


def model_class(name: str, allow: Collection[str] = ()) -> type[Backbone]:
    """The architecture of that name.

    Raises:
        InputError: it is unknown, its module is not allowed, or it is no model.
    """
    return _named("model", name, allow)


def task_class(name: str, allow: Collection[str] = ()) -> type[Task]:
    """The task of that name; raises as :func:`model_class`."""
    return _named("task", name, allow)


def wants_labels(name: str | None, allow: Collection[str] = ()) -> bool:
    """Whether the task of that name, or one that the data are to choose, needs labels of images; raises as
    :func:`model_class`."""
    return name is None or task_class(name, allow).labelled


def _named(kind: str, name: str, allow: Collection[str]) -> Any:
    base, table = KINDS[kind]
    candidate = find(spelled(name, table, f"{kind}s"), table, kind=kind, where=f"{kind}.name", allow=allow)
    if not (inspect.isclass(candidate) and issubclass(candidate, base)):
        remedy = f"name a subclass of {base.__module__}.{base.__name__}; docs/extending.md has one."
        raise InputError(f"{name} is no {base.__name__}", where=name, remedy=remedy)
    return candidate


def _choice(kind: str, section: Mapping[str, Any], sections: Sections) -> Choice:
    """The class that a section names, and its arguments; those of a preset rank above what the data suggest, below what
    was given.
    """
    constructor: Any = _named(kind, section["name"], sections.allow)
    preset: Any = {}
    if kind == "model" and "preset" in section:
        preset = constructor.PRESETS[
            choose(section["preset"], constructor.PRESETS, kind="preset", where="model.preset")
        ]
    values = {
        key: value for key, value in {**section, **preset, **sections[kind]}.items() if key not in ("name", "preset")
    }
    return Choice(
        spelled(section["name"], KINDS[kind][1], f"{kind}s"), bind(constructor, values, where=kind), constructor
    )


def _options(kind: Any, sections: Sections) -> Any:
    return kind(**bind(kind, sections[kind.section], where=kind.section))


def _plain(values: Mapping[str, Any], function: Any) -> dict[str, Any]:
    """Values as TOML has them: lists for tuples, None left out where it is the default and "none" where it is not."""
    parameters = arguments(function)
    result: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            if parameters[name].default is not None:
                result[name] = "none"
        else:
            result[name] = list(value) if isinstance(value, tuple) else value
    return result
