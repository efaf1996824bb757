"""Python imports this when it starts, if this folder is on its path: the process then has our namespaces for e3nn's."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path

HERE = Path(__file__).resolve().parent


def start() -> None:
    """Install the replacement, then run the start-up file that this one hides, if there is one."""
    if importlib.util.find_spec("intertwine") is None:
        sys.path.append(str(HERE.parents[2]))
    from intertwine.e3nn.replacement import install

    install()
    hidden = PathFinder.find_spec(
        "sitecustomize", [place for place in sys.path if not place or Path(place).resolve() != HERE]
    )
    if hidden is not None and hidden.loader is not None:
        hidden.loader.exec_module(importlib.util.module_from_spec(hidden))


if __name__ == "sitecustomize":
    start()
