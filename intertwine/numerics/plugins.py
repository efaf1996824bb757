"""The user's own code by name: ``module:Class``, or a name under which an installed package offers it. It runs only
where it is allowed.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

from intertwine.numerics.errors import InputError, nearest
from intertwine.numerics.fence import fenced

_SPEC = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


GROUPS = ("models", "tasks", "datasets")  # of entry points
OURS = ("intertwine.integrations",)  # heads of other libraries' models, which are in no table


class NotAllowed(InputError):  # noqa: N818 - what happened, as in InputError
    """Code outside the package is named and is not allowed to run."""


def is_code(name: str) -> bool:
    """Whether a name is of the form ``module:Class``."""
    return _SPEC.fullmatch(name) is not None


def module_of(spec: str) -> str:
    """The module of ``module:Class``."""
    return spec.partition(":")[0].removesuffix(".py")


def load(spec: str) -> Any:
    """What ``module:name`` names. The module is imported from the folder that the user is in, or from what is
    installed. If an installed package offers the name, that package is imported, and a file of the same name in the
    folder is not.

    Raises:
        InputError: no such module or name, or importing it fails.
    """
    module_name, _, name = spec.partition(":")
    installed = any(spec in specs for group in GROUPS for specs in offered(group).values())
    if not installed and "" not in sys.path:
        sys.path.insert(0, "")
    with (
        _without_folder() if installed else nullcontext(),
        fenced(
            f"can't import {module_name!r}",
            spec,
            "run in the folder of the module, or install it; correct what its import does.",
        ),
    ):
        module = importlib.import_module(module_name.removesuffix(".py"))
        if not hasattr(module, name):
            known = ", ".join(k for k in vars(module) if k[0] != "_")
            raise InputError(f"{module_name!r} has no {name!r}", where=spec, remedy=f"use one of: {known}.")
        return getattr(module, name)


@contextmanager
def _without_folder() -> Iterator[None]:
    """Modules are not looked for first in the folder that the user is in, inside the ``with`` block."""
    first = sys.path[:1] if sys.path and sys.path[0] in ("", str(Path.cwd())) else []
    del sys.path[: len(first)]
    try:
        yield
    finally:
        sys.path[:0] = first


def offered(group: str) -> dict[str, list[str]]:
    """What installed packages offer under the entry points ``intertwine.<group>``: name -> every ``module:Class`` of
    that name.
    """
    by_name: dict[str, list[str]] = {}
    for point in metadata.entry_points(group=f"intertwine.{group}"):
        specs = by_name.setdefault(point.name, [])
        if (spec := point.value.replace(" ", "")) not in specs:
            specs.append(spec)
    return by_name


def spelled(name: str, table: Mapping[str, Any], group: str) -> str:
    """A name of the table as it is; one that an installed package offers as ``module:Class``; anything else as it is.

    Raises:
        InputError: several packages offer that name.
    """
    if not isinstance(name, str) or name in table or is_code(name):
        return name
    specs = offered(group).get(name, [name])
    if len(specs) > 1:
        what = f"several installed packages offer {name!r}"
        remedy = f"name one of them in full: {', '.join(sorted(specs))}."
        raise InputError(what, where=f"entry points intertwine.{group}", remedy=remedy)
    return specs[0]


def find(name: str, table: Mapping[str, Any], *, kind: str, where: str, allow: Collection[str] = ()) -> Any:
    """What a name stands for: an entry of the table, or the user's own code.

    Args:
        name: of the table, or ``module:Class`` (see :func:`spelled`).
        table: the library's own.
        kind: what it is, for messages.
        where: where the name was given.
        allow: modules whose code may run; a package allows all modules in it.

    Raises:
        NotAllowed: the module is not among those that may run.
        InputError: an unknown name, or a module that can't be imported.
    """
    if name in table:
        return table[name]
    if not isinstance(name, str) or not is_code(name):
        remedy = f"{nearest(str(name), table)[:-1]}; or module:Class of your own."
        raise InputError(f"unknown {kind} {name!r}", where=where, remedy=remedy)
    module = module_of(name)
    if not any(module == allowed or module.startswith(f"{allowed}.") for allowed in (*OURS, *allow)):
        raise NotAllowed(
            f"{name} is code outside intertwine, and loading it would run it",
            where=where,
            remedy=f"if you trust it, allow it: --allow {module} (from Python: allow=[{module!r}]).",
        )
    return load(name)
