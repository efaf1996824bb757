"""Where generated and converted data sets are kept: how a folder appears there whole or not at all, and is known to be
what was written.

Every folder has a file ``SHA256SUMS`` (as ``sha256sum -c`` reads it) of all its other files.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from intertwine.numerics import DataError

SUMS = "SHA256SUMS"


def seal(folder: Path) -> None:
    """Write the checksums of all files of a folder."""
    lines = [f"{_sum(path)}  {path.name}\n" for path in sorted(folder.iterdir()) if path.name != SUMS]
    (folder / SUMS).write_text("".join(lines))


def verify(folder: Path, names: Iterable[str]) -> None:
    """Raise a :class:`DataError` unless these files are the ones that the folder was sealed with.

    Args:
        folder: sealed by :func:`seal`.
        names: files that must be there, and have their checksum.
    """
    remedy = "delete the folder and make the data set again; `intertwine` does so by itself with those of its cache."
    try:
        lines = [line.split("  ", 1) for line in (folder / SUMS).read_text().splitlines()]
        sums = {name: digest for digest, name in lines}
        for name in names:
            if name not in sums:
                raise DataError(f"there is no checksum of {name}", where=str(folder), remedy=remedy)
            if _sum(folder / name) != sums[name]:
                raise DataError(
                    f"{name} is damaged: it is not what was written", where=str(folder / name), remedy=remedy
                )
    except OSError as error:
        raise DataError(f"{error.strerror}: {error.filename}", where=str(folder), remedy=remedy) from error
    except ValueError as error:
        raise DataError(f"{SUMS} is damaged", where=str(folder / SUMS), remedy=remedy) from error


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def appearing(folder: Path, replace: bool = True) -> Iterator[Path]:
    """A temporary folder beside ``folder`` to write into, renamed to it when the block ends well, else removed.

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
