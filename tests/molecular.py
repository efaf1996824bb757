"""The architectures that take molecules: those of the command line but for networks of images, voxels and signals."""

from __future__ import annotations

import inspect

from intertwine import models
from intertwine.nn import Backbone

#: Name -> class, as in :data:`intertwine.models.MODELS`.
MODELS: dict[str, type[Backbone]] = {name: kind for name, kind in models.MODELS.items() if kind.EDGES}
#: Those of them that have a cutoff: the others see a whole structure at once, and no crystal.
LOCAL: dict[str, type[Backbone]] = {
    name: kind for name, kind in MODELS.items() if "cutoff" in inspect.signature(kind).parameters
}


def within(name: str, cutoff: float) -> dict[str, float]:
    """The cutoff as an argument of a model that has one."""
    return {"cutoff": cutoff} if name in LOCAL else {}
