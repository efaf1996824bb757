"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from intertwine.numerics.errors import CheckpointError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file by way of a temporary one in the same folder, synchronised to the disk and then renamed.

    Raises:
        CheckpointError: it can't be written; the old file is intact.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
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
