"""How a file is opened: what is no file of structures, how text is encoded, and what an archive holds."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from intertwine.numerics import DataError

COMPRESSED: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
ARCHIVES = (".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".zip", ".tar.gz", ".tar.bz2", ".tar.xz")
DAMAGED = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    UnicodeError,
    NotImplementedError,
)
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def shown(path: Path) -> str:
    """The path as a message can hold it, also where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def require_file(path: Path) -> None:
    """Raise a :class:`DataError` unless there is a regular file that is not empty, with a name that is UTF-8: a pipe or
    a device would be read for ever, and other names can't be written into reports."""
    name = shown(path)
    try:
        mode = path.stat()
    except FileNotFoundError as error:
        remedy = "check the path, or name a data set: `intertwine datasets` lists them."
        raise DataError("no such file", where=name, remedy=remedy) from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"can't be opened: {getattr(error, 'strerror', None) or error}", where=name, remedy="check the path."
        ) from error
    if stat.S_ISDIR(mode.st_mode):
        raise DataError("a folder, not a file", where=name, remedy="give a file of structures, such as one .xyz.")
    if not stat.S_ISREG(mode.st_mode):
        raise DataError(
            "a device or a pipe, not a file", where=name, remedy="write the structures to a file and give that."
        )
    if mode.st_size == 0:
        raise DataError("the file is empty", where=name, remedy="get it again.")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError("the name of the file is not UTF-8", where=name, remedy="rename the file.") from error


def ending(path: Path) -> tuple[str, str]:
    """The ending that tells the format, in lower case, and that of its compression or ``""``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packing = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSED else ""
    return (suffixes[-1] if suffixes else ""), packing


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVES)


@contextlib.contextmanager
def unmarked(path: Path) -> Iterator[Path]:
    """The file, or where it begins with a byte-order mark a temporary copy in UTF-8 without it, for readers that know
    no marks.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if not any(start.startswith(mark) for mark, _ in MARKS):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="intertwine-") as folder:
        copy = Path(folder) / path.name
        with text(path) as source, copy.open("w", encoding="utf-8") as sink:
            shutil.copyfileobj(source, sink)
        yield copy


@contextlib.contextmanager
def text(path: Path) -> Iterator[IO[str]]:
    """A file of text, unpacked: UTF-8, or what a byte-order mark says; any kind of line ends."""
    packing = ending(path)[1]
    with COMPRESSED.get(packing, open)(path, "rb") as raw:
        buffered = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
        start = buffered.peek(4)[:4]
        encoding = next((name for mark, name in MARKS if start.startswith(mark)), "utf-8")
        yield io.TextIOWrapper(buffered, encoding=encoding)


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[tuple[Path, str]]:
    """The one file of an archive, in a temporary folder, and how messages name it.

    Raises:
        DataError: the archive is damaged, or holds no file or several.
    """
    with tempfile.TemporaryDirectory(prefix="intertwine-") as folder:
        try:
            kind: Any = zipfile.ZipFile if path.name.lower().endswith(".zip") else tarfile.open
            with kind(path) as archive:
                files = _members(archive)
                if len(files) != 1:
                    listing = ", ".join(sorted(files)[:6]) + (", ..." if len(files) > 6 else "") if files else "none"
                    remedy = f"unpack it and give one of its files (found: {listing})."
                    raise DataError(f"the archive holds {len(files)} files, not one", where=shown(path), remedy=remedy)
                ((member, entry),) = files.items()
                target = Path(folder) / (PurePosixPath(member).name or "structures")
                with entry as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
        except (*DAMAGED, RuntimeError, KeyError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"the archive is damaged: {error}", where=shown(path), remedy="get the file again, or unpack it."
            ) from error
        if is_archive(target):
            raise DataError("an archive in an archive", where=shown(path), remedy="unpack it once.")
        require_file(target)
        yield target, f"{shown(path)}: {member}"


def _members(archive: Any) -> dict[str, Any]:
    """The archive's files by name, without folders and what systems add (``__MACOSX/``, ``._a.xyz``); only the last is
    opened.
    """
    if isinstance(archive, zipfile.ZipFile):
        names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    else:
        names = [entry.name for entry in archive.getmembers() if entry.isfile()]
    kept = [name for name in names if not PurePosixPath(name).name.startswith(".") and "__MACOSX" not in name]
    open_one = archive.open if isinstance(archive, zipfile.ZipFile) else archive.extractfile
    return {name: open_one(name) for name in kept} if len(kept) == 1 else dict.fromkeys(kept)
