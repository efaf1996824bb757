"""Put our namespaces in e3nn's place, and take them away again."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from types import ModuleType

from intertwine.e3nn.namespace import THEIRS, Finder, model_files

CHILDREN = str(Path(__file__).with_name("children"))
_AWAY: dict[str, ModuleType] = {}


def install(children: bool = False) -> None:
    """From now on ``import e3nn``, and any module of it, gives our namespaces, whether or not e3nn is installed.

    Modules of e3nn that were imported before are put aside; a program that holds some of their classes keeps those.

    Args:
        children: also for the Python processes that this one starts (subprocesses, workers of multiprocessing and
            pytest-xdist), through a start-up file on their PYTHONPATH.

    >>> install()
    >>> from e3nn import o3
    >>> o3.Irreps.__module__
    'intertwine.o3.irreps'
    >>> uninstall()
    """
    if not installed():
        if THEIRS in sys.modules:
            message = (
                "e3nn was imported before: what the program holds of it already stays e3nn's. Call install() first."
            )
            warnings.warn(message, stacklevel=2)
        _AWAY.update(_take_out())
        sys.meta_path.insert(0, Finder(THEIRS, model_files()))
    if children and CHILDREN not in _python_path():
        os.environ["PYTHONPATH"] = os.pathsep.join([CHILDREN, *_python_path()])


def uninstall() -> None:
    """Undo :func:`install`: e3nn is e3nn again, with the modules of it that were imported before."""
    if not installed():
        return
    sys.meta_path[:] = [finder for finder in sys.meta_path if not _ours(finder)]
    _take_out()
    sys.modules.update(_AWAY)
    _AWAY.clear()
    if CHILDREN in _python_path():
        os.environ["PYTHONPATH"] = os.pathsep.join(place for place in _python_path() if place != CHILDREN)


def installed() -> bool:
    """Whether our namespaces are in e3nn's place."""
    return any(_ours(finder) for finder in sys.meta_path)


def _ours(finder: object) -> bool:
    return isinstance(finder, Finder) and finder.root == THEIRS


def _take_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name == THEIRS or name.startswith(f"{THEIRS}.")]
    return {name: sys.modules.pop(name) for name in names}


def _python_path() -> list[str]:
    return [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
