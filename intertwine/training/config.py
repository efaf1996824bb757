"""The configuration of a run: the arguments of constructors, in four sections, as a TOML file holds them.

TOML has no null. A key that is left out takes its default; the string ``"none"`` is read as None, and None is written as
``"none"`` where it is not the default.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intertwine.models import MODELS
from intertwine.nn import Backbone
from intertwine.numerics import InputError, choose, nearest, write_atomically
from intertwine.tasks import TASKS, Task
from intertwine.training.options import POSITIVE, SMALLEST, DataOptions, TrainingOptions
from intertwine.training.signature import arguments, bind

DEEPEST = 8  # parts of a key
SECTIONS = ("data", "model", "task", "training")


@dataclass(frozen=True)
class Choice:
    """A class by its name in ``MODELS`` or ``TASKS``, and the arguments of its constructor."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Config:
    """A resolved configuration: every argument has its value.

    Args:
        data: where the structures are.
        model: the backbone.
        task: what it is for.
        training: how it is trained.
    """

    data: DataOptions
    model: Choice
    task: Choice
    training: TrainingOptions

    def build(self) -> Task:
        """The untrained task around its untrained backbone, weights drawn from ``training.seed``, in ``training.precision``.

        Raises:
            InputError: arguments that the constructors refuse.
        """
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            backbone: Backbone = MODELS[self.model.name](**self.model.arguments)
            task = TASKS[self.task.name](backbone, **self.task.arguments)
        return task.double() if self.training.precision == "float64" else task

    def sections(self) -> dict[str, dict[str, Any]]:
        """Nested plain values: what :func:`resolve` accepts and TOML can hold."""
        return {
            "data": _plain(dataclasses.asdict(self.data), DataOptions),
            "model": {"name": self.model.name, **_plain(self.model.arguments, MODELS[self.model.name])},
            "task": {"name": self.task.name, **_plain(self.task.arguments, TASKS[self.task.name])},
            "training": _plain(dataclasses.asdict(self.training), TrainingOptions),
        }

    def save(self, path: Path | str) -> None:
        """Write it as TOML, atomically.

        Raises:
            CheckpointError: the file can't be written.
        """
        write_sections(self.sections(), Path(path))


def default_model(task: str, *, particles: bool = False) -> str:
    """The model that is trained where the user names none; whoever needs that name has it from here.

    Args:
        task: name of the task.
        particles: the nodes are not atoms in space: they move, or lie in a plane.
    """
    if particles or task == "dynamics":
        return "egnn"
    return "mace" if task == "force_field" else "painn"


def resolve(given: Mapping[str, Any] | Config | None = None, suggested: Mapping[str, Any] | None = None) -> Config:
    """Defaults of the constructors, under what the data suggest, under what the user gave; checked.

    Args:
        given: sections as a TOML file has them; a section may be missing, ``model`` and ``task`` may be just a name. ``preset`` in the
            model's section stands for the arguments of that name in its ``PRESETS`` which are not given.
        suggested: the same, of lower precedence.

    Raises:
        InputError: an unknown section, key, model or task (the nearest right one is named), or a value of the wrong type or range.
    """
    if isinstance(given, Config):
        given = given.sections()
    asked = merge(suggested or {}, given or {})
    merged = merge({"model": {"name": default_model(asked["task"].get("name", "force_field"))}}, suggested or {}, given or {})
    if preset := _preset(merged["model"]):  # above what the data suggest, below what the user gave
        merged = merge(suggested or {}, {"model": {"name": merged["model"]["name"], **preset}}, given or {})
        del merged["model"]["preset"]
    data = DataOptions(**bind(DataOptions, merged["data"], where="data"))
    training = TrainingOptions(**bind(TrainingOptions, merged["training"], where="training"))
    for section, options in (("data", data), ("training", training)):
        for name, value in dataclasses.asdict(options).items():
            _check_range(f"{section}.{name}", name, value)
            _check_text(f"{section}.{name}", value)
    if training.average >= 1:
        raise InputError(f"{training.average} is not below 1", where="training.average", remedy="give a decay such as 0.99.")
    task = _choice({"name": "force_field"} | merged["task"], TASKS, "task")
    return Config(data, _choice(merged["model"], MODELS, "model"), task, training)


def merge(*layers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sections of several configurations, later ones first in rank.

    A layer that names another model or task drops the arguments of the former.

    Raises:
        InputError: an unknown section, or a section that is not a table.
    """
    result: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for layer in layers:
        for section, content in layer.items():
            if section not in SECTIONS:
                raise InputError(f"unknown section {section!r}", where="configuration", remedy=nearest(section, SECTIONS))
            if section in ("model", "task") and isinstance(content, str):
                content = {"name": content}
            if not isinstance(content, Mapping):
                raise InputError(f"{content!r} is not a table", where=f"[{section}]", remedy=f'write "[{section}]" and keys below it.')
            if section in ("model", "task") and content.get("name", result[section].get("name")) != result[section].get("name"):
                result[section] = {}
            result[section].update(content)
    return result


def read_config(path: Path | str) -> dict[str, dict[str, Any]]:
    """The sections of a TOML file.

    Raises:
        InputError: the file does not exist, is not TOML, or has unknown sections.
    """
    try:
        with Path(path).open("rb") as file:
            return merge(tomllib.load(file))
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=str(path), remedy="give the path of a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is not valid TOML: {error}", where=str(path), remedy="correct the file at that place.") from error
    except RecursionError as error:
        raise InputError("is nested too deeply", where=str(path), remedy="write a configuration of sections and keys.") from error
    except InputError as error:
        raise InputError(error.what, where=f"{path}, {error.where}", remedy=error.remedy) from error


def parse_settings(settings: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Sections from strings ``section.key=value``; the value is a TOML literal, or a bare word.

    >>> parse_settings(["model.width=64", "model.name=painn", "training.minutes=2.5"])["model"]
    {'width': 64, 'name': 'painn'}

    Raises:
        InputError: a string of another form.
    """
    result: dict[str, dict[str, Any]] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = key.strip().split(".")
        if path in (["model"], ["task"]):
            path.append("name")
        if not equals or not 2 <= len(path) <= DEEPEST or not all(path):
            remedy = "write for example --set training.epochs=100."
            raise InputError(f"{setting[:80]!r} is not of the form section.key=value", where="--set", remedy=remedy)
        table = result.setdefault(path[0], {})
        for name in path[1:-1]:
            table = table.setdefault(name, {})
        table[path[-1]] = _literal(text.strip())
    return merge(result)


def _literal(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    except RecursionError as error:
        raise InputError(f"{text[:40]}... is nested too deeply", where="--set", remedy="give a number, a word or a list.") from error


def _preset(model: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the preset that a section asks for; none if it asks for none."""
    if "preset" not in model:
        return {}
    presets = MODELS[choose(model["name"], MODELS, kind="model", where="model.name")].PRESETS
    return dict(presets[choose(model["preset"], presets, kind="preset", where="model.preset")])


def _choice(section: Mapping[str, Any], options: Mapping[str, type], kind: str) -> Choice:
    section = dict(section)
    name = choose(section.pop("name"), options, kind=kind, where=f"{kind}.name")
    return Choice(name, bind(options[name], section, where=kind))


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


def write_sections(sections: Mapping[str, Any], path: Path) -> None:
    """Write sections as TOML, atomically.

    Raises:
        CheckpointError: the file can't be written.
        InputError: a name is not UTF-8.
    """
    import tomli_w

    try:
        text = tomli_w.dumps(dict(sections)).encode()
    except UnicodeEncodeError as error:
        remedy = "rename the file; a configuration is UTF-8."
        raise InputError(f"{error.object!a} has bytes that are not UTF-8", where="configuration", remedy=remedy) from error
    write_atomically(path, text)
