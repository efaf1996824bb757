"""Floor 0: numbers that stay finite, reductions over segments, and the errors that everything above raises."""

from intertwine.numerics import safe, segment
from intertwine.numerics.constants import ExactBuffers, WideBuffers, ignore_keys
from intertwine.numerics.engine import needed_now
from intertwine.numerics.errors import (
    Caution,
    CheckpointError,
    DataError,
    GeometryError,
    InputError,
    IntertwineError,
    choose,
    lack_of_memory,
    nearest,
)
from intertwine.numerics.files import cache_folder, destination, replacing, write_atomically
from intertwine.numerics.locks import FolderLock
from intertwine.numerics.progress import progress_bar
from intertwine.numerics.rebuilding import Rebuildable
from intertwine.numerics.signals import Stopped, handling, stoppable
from intertwine.numerics.transcribe import check_tensors, finite, transcribe

__all__ = [
    "Caution",
    "CheckpointError",
    "DataError",
    "ExactBuffers",
    "FolderLock",
    "GeometryError",
    "InputError",
    "IntertwineError",
    "Rebuildable",
    "Stopped",
    "WideBuffers",
    "cache_folder",
    "check_tensors",
    "choose",
    "destination",
    "finite",
    "handling",
    "ignore_keys",
    "lack_of_memory",
    "nearest",
    "needed_now",
    "progress_bar",
    "replacing",
    "safe",
    "segment",
    "stoppable",
    "transcribe",
    "write_atomically",
]
