"""Words that a shell completes: names of models, tasks, data sets. Read from the sources, since importing the tables
takes seconds, and a shell waits for no answer.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from importlib import util
from pathlib import Path

PLACES = {"models": "MODELS", "tasks": "TASKS", "data/catalogue": "DATASETS"}
PRESETS = ("small", "paper")
METHODS = ("frames", "weighted", "average", "canonical", "none")
WEIGHTS = ("best", "last")
LOGGERS = ("csv", "tensorboard", "wandb")


@functools.cache
def keys(place: str) -> tuple[str, ...]:
    """The keys of the table in a module of the package, such as "models"; none if its source is not at hand."""
    spec = util.find_spec("intertwine")
    root = Path(spec.origin).parent if spec is not None and spec.origin else Path()
    file = next((path for path in (root / f"{place}.py", root / place / "__init__.py") if path.is_file()), None)
    tree = ast.parse(file.read_text(encoding="utf-8")) if file is not None else ast.Module([], [])
    tables = {
        node.target.id: node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(node.value, ast.Dict)
    }
    table = tables.get(PLACES[place], ast.Dict([], []))
    return tuple(key.value for key in table.keys if isinstance(key, ast.Constant) and isinstance(key.value, str))


def of_table(place: str) -> Callable[[str], list[str]]:
    """Completes the names of a table."""
    return lambda incomplete: [name for name in keys(place) if name.startswith(incomplete)]


def of_words(*words: str) -> Callable[[str], list[str]]:
    """Completes some words."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]
