"""intertwine: equivariant graph neural networks on one proven core.

Names are imported when they are first used, so that ``import intertwine`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intertwine.certify import assert_equivariant
    from intertwine.data import open_dataset
    from intertwine.geometry import Graph, act, connect
    from intertwine.integrations import Calculator
    from intertwine.models import (
        EGNN,
        EQGAT,
        ESEN,
        GVP,
        MACE,
        MODELS,
        MPNN,
        PONITA,
        SEGNN,
        BSplineLieConv,
        Clifford,
        Cormorant,
        DimeNet,
        FAENet,
        FrameAveragedGNN,
        FrameTransformer,
        GemNet,
        GroupMPNN,
        InvariantMPNN,
        InvariantPointAttention,
        LieConv,
        LocalFrames,
        NequIP,
        PaiNN,
        PointConv,
        PointNet,
        RegularGroupCNN,
        ScalarVector,
        SchNet,
        SE3Transformer,
        TensorField,
    )
    from intertwine.o3 import Irreps
    from intertwine.tasks import TASKS, Dynamics, ForceField, Property, TensorForm
    from intertwine.training import load_run, train

__version__ = "0.1.0"

_HOME = {
    "BSplineLieConv": "models",
    "Calculator": "integrations",
    "Clifford": "models",
    "Cormorant": "models",
    "DimeNet": "models",
    "Dynamics": "tasks",
    "EGNN": "models",
    "EQGAT": "models",
    "ESEN": "models",
    "FAENet": "models",
    "ForceField": "tasks",
    "FrameAveragedGNN": "models",
    "FrameTransformer": "models",
    "GVP": "models",
    "GemNet": "models",
    "Graph": "geometry",
    "GroupMPNN": "models",
    "InvariantMPNN": "models",
    "InvariantPointAttention": "models",
    "Irreps": "o3",
    "LieConv": "models",
    "LocalFrames": "models",
    "MACE": "models",
    "MODELS": "models",
    "MPNN": "models",
    "NequIP": "models",
    "PONITA": "models",
    "PaiNN": "models",
    "PointConv": "models",
    "PointNet": "models",
    "Property": "tasks",
    "RegularGroupCNN": "models",
    "SE3Transformer": "models",
    "SEGNN": "models",
    "ScalarVector": "models",
    "SchNet": "models",
    "TASKS": "tasks",
    "TensorField": "models",
    "TensorForm": "tasks",
    "act": "geometry",
    "assert_equivariant": "certify",
    "connect": "geometry",
    "load_run": "training",
    "open_dataset": "data",
    "train": "training",
}

__all__ = [
    "EGNN",
    "EQGAT",
    "ESEN",
    "GVP",
    "MACE",
    "MODELS",
    "MPNN",
    "PONITA",
    "SEGNN",
    "TASKS",
    "BSplineLieConv",
    "Calculator",
    "Clifford",
    "Cormorant",
    "DimeNet",
    "Dynamics",
    "FAENet",
    "ForceField",
    "FrameAveragedGNN",
    "FrameTransformer",
    "GemNet",
    "Graph",
    "GroupMPNN",
    "InvariantMPNN",
    "InvariantPointAttention",
    "Irreps",
    "LieConv",
    "LocalFrames",
    "NequIP",
    "PaiNN",
    "PointConv",
    "PointNet",
    "Property",
    "RegularGroupCNN",
    "SE3Transformer",
    "ScalarVector",
    "SchNet",
    "TensorField",
    "TensorForm",
    "act",
    "assert_equivariant",
    "connect",
    "load_run",
    "open_dataset",
    "train",
]


#: Subpackages, by what ``dir`` and tab completion list; each is imported when it is first used.
_ROOMS = (
    "bench", "certify", "cli", "data", "e3nn", "geometry", "groups", "integrations", "kernels", "labels", "models",
    "nn", "numerics", "o3", "orbitals", "plots", "symmetrize", "tasks", "training",
)  # fmt: skip


def __getattr__(name: str) -> object:
    import importlib

    if name in _ROOMS:
        return importlib.import_module(f"intertwine.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'intertwine' has no attribute {name!r}")
    return getattr(importlib.import_module(f"intertwine.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Public names and subpackages, and other modules that have been imported."""
    own = (
        name
        for name, value in globals().items()
        if name.startswith("__") or getattr(value, "__name__", "") == f"{__name__}.{name}"
    )
    return sorted({*__all__, *_ROOMS, *own})
