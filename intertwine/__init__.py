"""intertwine: equivariant graph neural networks on one proven core.

Names are imported when they are first used, so that ``import intertwine`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intertwine.certify import assert_equivariant
    from intertwine.data import open_dataset
    from intertwine.geometry import Graph, act, connect
    from intertwine.integrations import Calculator
    from intertwine.models import EGNN, MODELS, PaiNN, SchNet
    from intertwine.o3 import Irreps
    from intertwine.tasks import TASKS, Dynamics, ForceField, Property
    from intertwine.training import load_run, train

__version__ = "0.1.0"

_HOME = {
    "EGNN": "models",
    "MODELS": "models",
    "TASKS": "tasks",
    "Calculator": "integrations",
    "Dynamics": "tasks",
    "ForceField": "tasks",
    "Graph": "geometry",
    "Irreps": "o3",
    "PaiNN": "models",
    "Property": "tasks",
    "SchNet": "models",
    "act": "geometry",
    "assert_equivariant": "certify",
    "connect": "geometry",
    "load_run": "training",
    "open_dataset": "data",
    "train": "training",
}

__all__ = [
    "EGNN",
    "MODELS",
    "TASKS",
    "Calculator",
    "Dynamics",
    "ForceField",
    "Graph",
    "Irreps",
    "PaiNN",
    "Property",
    "SchNet",
    "act",
    "assert_equivariant",
    "connect",
    "load_run",
    "open_dataset",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'intertwine' has no attribute {name!r}")
    return getattr(importlib.import_module(f"intertwine.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
