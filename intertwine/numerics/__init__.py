"""Floor 0: numbers that stay finite, reductions over segments, and the errors that everything above raises."""

from intertwine.numerics import safe, segment
from intertwine.numerics.errors import (
    CheckpointError,
    DataError,
    GeometryError,
    InputError,
    IntertwineError,
    choose,
    nearest,
)
from intertwine.numerics.files import write_atomically

__all__ = [
    "CheckpointError",
    "DataError",
    "GeometryError",
    "InputError",
    "IntertwineError",
    "choose",
    "nearest",
    "safe",
    "segment",
    "write_atomically",
]
