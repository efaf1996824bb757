"""The settled configuration of a run: every argument of the constructors, in sections."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intertwine.models import MODELS
from intertwine.nn import Backbone
from intertwine.numerics import InputError, choose
from intertwine.numerics.plugins import find, spelled
from intertwine.numerics.signature import arguments, bind
from intertwine.tasks import TASKS, ForceField, Task
from intertwine.training.options import POSITIVE, SMALLEST, DataOptions, StartOptions, TrainingOptions
from intertwine.training.sections import merge, write_sections

FIRST = ForceField.name  # of the tasks, where nothing says which


@dataclass(frozen=True)
class Choice:
    """A class, its name (in ``MODELS`` or ``TASKS``, or ``module:Class``), and the arguments of its constructor."""

    name: str
    arguments: dict[str, Any]
    made: type


@dataclass(frozen=True)
class Config:
    """A resolved configuration: every argument has its value.

    Args:
        data: where the structures are.
        model: the backbone.
        task: what it is for.
        training: how it is trained.
        start: with whose weights.
    """

    data: DataOptions
    model: Choice
    task: Choice
    training: TrainingOptions
    start: StartOptions = field(default_factory=StartOptions)

    def build(self) -> Task:
        """The untrained task around its untrained backbone, weights drawn from ``training.seed``, in ``training.precision``.

        Raises:
            InputError: arguments that the constructors refuse.
        """
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            backbone: Backbone = self.model.made(**self.model.arguments)
            task: Task = self.task.made(backbone, **self.task.arguments)
        if self.start.freeze:
            task.freeze(self.start.freeze)
        return task.double() if self.training.precision == "float64" else task

    def sections(self) -> dict[str, dict[str, Any]]:
        """Nested plain values: what :func:`resolve` accepts and TOML can hold."""
        start = {"start": _plain(dataclasses.asdict(self.start), StartOptions)} if self.start.run else {}
        return {
            "data": _plain(dataclasses.asdict(self.data), DataOptions),
            "model": {"name": self.model.name, **_plain(self.model.arguments, self.model.made)},
            "task": {"name": self.task.name, **_plain(self.task.arguments, self.task.made)},
            "training": _plain(dataclasses.asdict(self.training), TrainingOptions),
            **start,
        }

    def save(self, path: Path | str) -> None:
        """Write it as TOML, atomically.

        Raises:
            CheckpointError: the file can't be written.
        """
        write_sections(self.sections(), Path(path))


def resolve(
    given: Mapping[str, Any] | Config | None = None, suggested: Mapping[str, Any] | None = None, *, allow: Collection[str] = ()
) -> Config:
    """Defaults of the constructors, under what the data suggest, under what the user gave; checked.

    Args:
        given: sections as a TOML file has them; a section may be missing, ``model`` and ``task`` may be just a name. ``preset`` in the
            model's section stands for the arguments of that name in its ``PRESETS`` which are not given.
        suggested: the same, of lower precedence.
        allow: modules outside the package whose classes may be named (as ``module:Class``).

    Raises:
        InputError: an unknown section, key, model or task (the nearest right one is named), a value of the wrong type or range, or a class
            of a module that is not allowed.
    """
    if isinstance(given, Config):
        given = given.sections()
    merged = merge(suggested or {}, given or {})
    task_name = merged["task"].get("name", FIRST)
    task = task_class(task_name, allow)
    name = merged["model"].get("name", task.model)
    model = model_class(name, allow)
    if preset := _preset(model, merged["model"]):  # above what the data suggest, below what the user gave
        merged = merge(suggested or {}, {"model": {"name": name, **preset}}, given or {})
    data = DataOptions(**bind(DataOptions, merged["data"], where="data"))
    training = TrainingOptions(**bind(TrainingOptions, merged["training"], where="training"))
    start = StartOptions(**bind(StartOptions, merged["start"], where="start"))
    for section, options in (("data", data), ("training", training), ("start", start)):
        for option, value in dataclasses.asdict(options).items():
            _check_range(f"{section}.{option}", option, value)
            _check_text(f"{section}.{option}", value)
    if training.average >= 1:
        raise InputError(f"{training.average} is not below 1", where="training.average", remedy="give a decay such as 0.99.")
    if start.freeze and start.run is None:
        raise InputError("random weights are not worth keeping", where="start.freeze", remedy="say whose weights: --from RUN.")
    return Config(
        data,
        _choice(spelled(name, MODELS, "models"), model, merged["model"], "model"),
        _choice(spelled(task_name, TASKS, "tasks"), task, merged["task"], "task"),
        training,
        start,
    )


def model_class(name: str, allow: Collection[str] = ()) -> type[Backbone]:
    """The architecture of that name.

    Raises:
        InputError: it is unknown, its module is not allowed, or it is no model.
    """
    return _subclass(find(spelled(name, MODELS, "models"), MODELS, kind="model", where="model.name", allow=allow), Backbone, name)


def task_class(name: str, allow: Collection[str] = ()) -> type[Task]:
    """The task of that name; raises as :func:`model_class`."""
    return _subclass(find(spelled(name, TASKS, "tasks"), TASKS, kind="task", where="task.name", allow=allow), Task, name)


def _subclass(found: Any, base: type, name: str) -> Any:
    if not (inspect.isclass(found) and issubclass(found, base)):
        remedy = f"name a subclass of {base.__module__}.{base.__name__}; docs/extending.md has one."
        raise InputError(f"{name} is no {base.__name__}", where=name, remedy=remedy)
    return found


def _preset(model: type[Backbone], section: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the preset that a section asks for; none if it asks for none."""
    if "preset" not in section:
        return {}
    return dict(model.PRESETS[choose(section["preset"], model.PRESETS, kind="preset", where="model.preset")])


def _choice(name: str, made: type, section: Mapping[str, Any], where: str) -> Choice:
    return Choice(name, bind(made, {key: value for key, value in section.items() if key not in ("name", "preset")}, where=where), made)


def _check_range(where: str, name: str, value: Any) -> None:
    if isinstance(value, int | float) and name in SMALLEST:
        least = SMALLEST[name]
        if not value >= least or (name in POSITIVE and value == least) or value == float("inf"):
            raise InputError(
                f"{value} is out of range", where=where, remedy=f"give a number {'above' if name in POSITIVE else 'of at least'} {least}."
            )


def _check_text(where: str, value: Any) -> None:
    """Raise an :class:`InputError` for text that no file of a run can hold: a path whose bytes are not UTF-8, for one."""
    for text in (*value, *value.values()) if isinstance(value, dict) else (value,):
        try:
            str(text).encode()
        except UnicodeEncodeError as error:
            shown = str(text).encode("utf-8", "backslashreplace").decode()
            raise InputError(f"{shown} is not UTF-8", where=where, remedy="rename the file.") from error


def _plain(values: Mapping[str, Any], function: Any) -> dict[str, Any]:
    """Values as TOML has them: lists for tuples, None left out where it is the default and "none" where it is not."""
    known = arguments(function)
    result: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            if known[name].default is not None:
                result[name] = "none"
        else:
            result[name] = list(value) if isinstance(value, tuple) else value
    return result
