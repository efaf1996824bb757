"""Code of the user's own on the command line: what a line itself names may run, what a run folder or a file names must
be allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from intertwine.numerics.plugins import is_code, module_of, spelled

Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="MODULE",
        help="Module of your own from which the run may load classes; repeatable. Default: none.",
    ),
]


def own(*names: Any) -> list[str]:
    """The modules of names of the form ``module:Class``."""
    return [module_of(name) for name in names if isinstance(name, str) and is_code(name)]


def named(sections: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The modules that the sections of a configuration name, in full or by the name under which an installed package
    offers them.
    """
    data = sections["data"]
    names = [(data.get("source"), "datasets"), (data.get("test"), "datasets")]
    names += [(sections[part].get("name"), f"{part}s") for part in ("model", "task")]
    return own(
        *sections["training"].get("loggers", ()),
        *(spelled(name, {}, group) for name, group in names if isinstance(name, str)),
    )
