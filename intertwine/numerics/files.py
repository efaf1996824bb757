"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import warnings
from pathlib import Path

from intertwine.numerics.errors import CheckpointError, DataError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file by way of a temporary one in the same folder, synchronised to the disk and then renamed.

    Raises:
        CheckpointError: it can't be written; the old file is intact.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise CheckpointError(
            f"can't be written: {error.strerror or error}",
            where=str(path),
            remedy="free space on the disk or choose another folder; the former file is intact.",
        ) from error


def cache_folder() -> Path:
    """The folder of cached data sets and kernels: $INTERTWINE_CACHE or ~/.cache/intertwine, or a temporary one; warns where the chosen one
    can't be used."""
    chosen = os.environ.get("INTERTWINE_CACHE")
    candidates = [Path(chosen).expanduser()] if chosen else []
    with contextlib.suppress(RuntimeError):  # no home directory
        candidates.append(Path.home() / ".cache" / "intertwine")
    candidates.append(Path(tempfile.gettempdir()) / f"intertwine-{os.getuid() if hasattr(os, 'getuid') else 'cache'}")
    for folder in candidates:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                if chosen and folder != candidates[0]:
                    warnings.warn(f"INTERTWINE_CACHE={chosen} can't be written; {folder} is used instead.", RuntimeWarning, stacklevel=2)
                return folder
    raise DataError(
        "no folder for cached files can be written", where=str(candidates[0]), remedy="set INTERTWINE_CACHE to a writable folder."
    )
