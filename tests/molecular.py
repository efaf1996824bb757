"""The architectures that take molecules: those of the command line but for networks of images, voxels and signals."""

from __future__ import annotations

from intertwine import models
from intertwine.nn import Backbone

#: Name -> class, as in :data:`intertwine.models.MODELS`.
MODELS: dict[str, type[Backbone]] = {name: kind for name, kind in models.MODELS.items() if kind.EDGES}
