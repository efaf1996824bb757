"""Floor 0: numbers that stay finite, reductions over segments, and the errors that everything above raises."""

from intertwine.numerics import safe, segment
from intertwine.numerics.constants import ExactBuffers, ignore_keys
from intertwine.numerics.engine import needed_now
from intertwine.numerics.errors import (
    CheckpointError,
    DataError,
    GeometryError,
    InputError,
    IntertwineError,
    choose,
    nearest,
)
from intertwine.numerics.files import cache_folder, replacing, write_atomically
from intertwine.numerics.rebuilding import Rebuildable

__all__ = [
    "CheckpointError",
    "DataError",
    "ExactBuffers",
    "GeometryError",
    "InputError",
    "IntertwineError",
    "Rebuildable",
    "cache_folder",
    "choose",
    "ignore_keys",
    "nearest",
    "needed_now",
    "replacing",
    "safe",
    "segment",
    "write_atomically",
]
