"""The sections of a configuration as they are given: by a TOML file, by options, by settings; merged, not yet checked
against constructors.

TOML has no null. A key that is left out takes its default; the string ``"none"`` is read as None, and None is written
as ``"none"`` where it is not the default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from intertwine.numerics import InputError, nearest, write_atomically

MOST_KEY_PARTS = 8  # parts of a key
NAMED = {
    "model": "name",
    "symmetrize": "method",
    "task": "name",
    "start": "run",
}  # the key that the others of a section belong to
GIVEN = "# Given by the user: "  # at the head of the configuration that a run writes
SECTIONS = ("data", "model", "symmetrize", "task", "training", "start")


class Sections(dict[str, dict[str, Any]]):
    """What is given of a configuration, by section; ``allow`` has the modules outside the package whose classes it may
    name.
    """

    allow: tuple[str, ...] = ()


def merge(*layers: Mapping[str, Any], allow: Iterable[str] = ()) -> Sections:
    """Sections of several configurations, later ones first in rank; what one of them, or ``allow``, allows is allowed.

    A layer that names another model, task or run to begin with drops the arguments of the former.

    Raises:
        InputError: an unknown section, or a section that is not a table.
    """
    result = Sections({name: {} for name in SECTIONS})
    result.allow = tuple(
        dict.fromkeys([*allow, *(module for layer in layers for module in getattr(layer, "allow", ()))])
    )
    for layer in layers:
        for section, content in layer.items():
            if section not in SECTIONS:
                raise InputError(
                    f"unknown section {section!r}", where="configuration", remedy=nearest(section, SECTIONS)
                )
            if section in ("model", "symmetrize", "task") and isinstance(content, str):
                content = {NAMED[section]: content}
            if not isinstance(content, Mapping):
                raise InputError(
                    f"{content!r} is not a table",
                    where=f"[{section}]",
                    remedy=f'write "[{section}]" and keys below it.',
                )
            key = NAMED.get(section, "")
            if content.get(key, result[section].get(key)) != result[section].get(key):
                result[section] = {}
            result[section].update(content)
    return result


def given(sections: Sections, state: Mapping[str, Any] | None = None) -> list[str] | None:
    """Names of the settings that a user gave, ``section.key``: in these sections, and before in the state of a run that
    goes on; None where that does not tell, as in former versions.
    """
    names = {f"{section}.{key}" for section, content in sections.items() for key in content}
    before = [] if state is None else state.get("given")
    return None if before is None else sorted({*names, *before})


def given_in(path: Path) -> dict[str, list[str]] | None:
    """What the head of a written configuration says of :func:`given`, as a state has it; None where it says nothing."""
    try:
        head = path.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return None
    return {"given": head.removeprefix(GIVEN).split(", ")} if head.startswith(GIVEN) else None


def read_config(path: Path | str) -> Sections:
    """The sections of a TOML file.

    Raises:
        InputError: the file does not exist, is not TOML, or has unknown sections.
    """
    try:
        with Path(path).open("rb") as file:
            return merge(tomllib.load(file))
    except OSError as error:
        raise InputError(
            f"can't be read: {error.strerror}", where=str(path), remedy="give the path of a TOML file."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"is not valid TOML: {error}", where=str(path), remedy="correct the file at that place."
        ) from error
    except RecursionError as error:
        raise InputError(
            "is nested too deeply", where=str(path), remedy="write a configuration of sections and keys."
        ) from error
    except InputError as error:
        raise InputError(error.what, where=f"{path}, {error.where}", remedy=error.remedy) from error


def parse_settings(settings: Iterable[str]) -> Sections:
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
        if path in (["model"], ["symmetrize"], ["task"]):
            path.append(NAMED[path[0]])
        if not equals or not 2 <= len(path) <= MOST_KEY_PARTS or not all(path):
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
        raise InputError(
            f"{text[:40]}... is nested too deeply", where="--set", remedy="give a number, a word or a list."
        ) from error


def write_sections(sections: Mapping[str, Any], path: Path, by_user: Sequence[str] | None = None) -> None:
    """Write sections as TOML, atomically; a comment at the head says which settings a user gave.

    Raises:
        CheckpointError: the file can't be written.
        InputError: a name is not UTF-8.
    """
    import tomli_w

    try:
        head = f"{GIVEN}{', '.join(by_user)}\n" if by_user else ""
        text = (head + tomli_w.dumps(dict(sections))).encode()
    except UnicodeEncodeError as error:
        remedy = "rename the file; a configuration is UTF-8."
        raise InputError(
            f"{error.object!a} has bytes that are not UTF-8", where="configuration", remedy=remedy
        ) from error
    write_atomically(path, text)
