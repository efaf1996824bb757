"""Where generated and converted data sets are kept, and how a folder appears there whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from intertwine.numerics import DataError


@contextlib.contextmanager
def appearing(folder: Path, replace: bool = True) -> Iterator[Path]:
    """A temporary folder beside ``folder`` to write into, renamed to it when the block ends well, removed when it does not.

    Args:
        folder: where the content shall appear.
        replace: put it in the place of what is there; otherwise what another process put there meanwhile stays.

    Raises:
        DataError: the disk is full or the place can't be written.
    """
    folder = Path(folder)
    partial = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        partial.chmod(0o755)
        yield partial
        if replace and folder.exists():  # a folder can't be renamed onto one that is not empty
            aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
            folder.rename(aside / "old")
            partial.rename(folder)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            try:
                partial.rename(folder)
            except OSError:
                if replace or not folder.is_dir():
                    raise
    except OSError as error:
        raise DataError(
            f"can't write the data set: {error.strerror or error}",
            where=str(folder),
            remedy="free disk space, or set INTERTWINE_CACHE to another folder.",
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
