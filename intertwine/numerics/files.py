"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from intertwine.numerics.errors import CheckpointError, DataError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file by way of :func:`replacing`: whole or not at all.

    Raises:
        CheckpointError: it can't be written; the old file is intact.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file to write in the ``with`` block, in the place of ``path`` when the block ends well and removed when it does not.

    Synchronised to the disk, then renamed. Links are followed, and the mode of a former file is kept. Where ``path`` is a device, a pipe or
    a socket, which a rename would replace by a file, what was written is copied into it instead.

    Raises:
        CheckpointError: it can't be written; the old file is intact.
    """
    temporary: Path | None = None
    try:
        target = path.resolve()
        former = target.stat().st_mode if target.exists() else None
        if former is not None and stat.S_ISDIR(former):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        regular = former is None or stat.S_ISREG(former)
        folder = target.parent if regular else Path(tempfile.gettempdir())
        temporary = folder / f".{os.getpid()}-{secrets.token_hex(4)}.part.{target.name[-150:]}"  # the ending tells the format
        yield temporary
        if regular:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            if former is not None:
                temporary.chmod(stat.S_IMODE(former))
            os.replace(temporary, target)
        else:
            with temporary.open("rb") as source, open(target, "r+b" if stat.S_ISBLK(former or 0) else "ab") as sink:
                shutil.copyfileobj(source, sink)
    except OSError as error:
        raise CheckpointError(
            f"can't be written: {error.strerror or error}",
            where=str(path),
            remedy="free space on the disk or choose another folder; the former file is intact.",
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


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
