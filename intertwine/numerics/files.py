"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from intertwine.numerics.errors import Caution, CheckpointError, DataError
from intertwine.numerics.locks import claim, same_file

PIPE_PATIENCE_S = 10.0  # s, for somebody to read a pipe
_MOST_LINKS = 40  # that are followed, as many as by the kernel
_DESCRIPTOR = re.compile(r"/proc/(self|\d+)(/task/\d+)?/fd|/dev/fd")
_PATTERN = re.compile(r"\.\d+-[0-9a-f]{8}\.part\.")
_REMEDIES = {
    errno.ENOENT: "make its folder first.",
    errno.ENOTDIR: "choose another place: a part of this path is a file.",
    errno.EISDIR: "give the name of a file in it.",
    errno.ELOOP: "choose another place: links of this path lead back to themselves.",
    errno.ENAMETOOLONG: "choose a shorter name.",
}


class Destination(NamedTuple):
    """What writing to a path means.

    Attributes:
        path: where its links lead.
        former: of the regular file that is there; None if there is nothing.
        stream: whether it is a device, a pipe or an open descriptor, which is written into and never replaced.
    """

    path: Path
    former: os.stat_result | None
    stream: bool


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file by way of :func:`replacing`: whole or not at all.

    Raises:
        CheckpointError: it can't be written; the old file is intact.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def destination(path: Path) -> Destination:
    """What writing to a path means, before anything is written.

    Links are followed, also one that leads to nothing yet. ``/dev/stdout`` and its like are the open descriptor,
    whatever it leads to.

    Raises:
        CheckpointError: it is a folder, a disk or a socket, a file that may not be written, or a path of which a part
            is missing.
    """
    with _named(path):
        place = _followed(path)
        stream = _DESCRIPTOR.fullmatch(str(place.parent)) is not None
        try:
            status = place.stat()
        except FileNotFoundError:
            if not os.access(place.parent, os.W_OK | os.X_OK):
                place.parent.stat()  # says so if it is missing
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
            return Destination(place, None, False)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if stat.S_ISBLK(status.st_mode) or (stat.S_ISSOCK(status.st_mode) and not stream):
            raise OSError(errno.EINVAL, "it is a socket" if stat.S_ISSOCK(status.st_mode) else "it is a disk")
        if not stat.S_ISREG(status.st_mode) or stream:
            return Destination(place, None, True)
        if not (status.st_mode & 0o222 and os.access(place, os.W_OK)):  # root may write it, and was asked not to
            raise PermissionError(errno.EACCES, "it is read-only")
        if not os.access(place.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "its folder is read-only")
        return Destination(place, status, False)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file to write in the ``with`` block, in the place of ``path`` when the block ends well and removed
    when it does not.

    Synchronised to the disk, then renamed. Links are followed; mode and owner of a former file are kept, a new one has
    those of any new file. Other names of a former file (hard links) keep the former content. What :func:`destination`
    calls a stream is not replaced: what was written is copied into it. A temporary file that a killed process left in
    the folder is removed by the next one.

    A temporary file of this very function is written as it is: whoever made it holds its lock and puts it in its place.

    Raises:
        CheckpointError: it can't be written; the old file is intact.
    """
    if _PATTERN.match(path.name):
        with _named(path):
            yield path
        return
    goal = destination(path)
    with _named(path):
        temporary, descriptor = _temporary(goal)
    try:
        with _named(path, temporary):
            yield temporary
        with _named(path):
            if goal.stream:
                _copy(temporary, goal.path)
            else:
                _put(temporary, goal)
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not goal.stream:
            _sweep(temporary.parent)


def _temporary(goal: Destination) -> tuple[Path, int]:
    """A new file to write, locked while the descriptor is open: that tells those of living processes from those of dead
    ones.
    """
    folder = Path(tempfile.gettempdir()) if goal.stream else goal.path.parent
    mode = 0o600 if goal.stream or goal.former is not None else 0o666
    while True:
        ending = _ending(goal.path.name)  # it tells the format
        path = folder / f".{os.getpid()}-{secrets.token_hex(4)}.part.{ending}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        if claim(descriptor) is not False and same_file(descriptor, path):
            return path, descriptor
        os.close(descriptor)  # somebody who sweeps was faster


@contextlib.contextmanager
def _named(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """An OSError as a CheckpointError of ``path``; in a block that writes ``temporary`` those about other files are let
    through.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and (temporary is not None or "null" not in str(error)):
            raise
        name = getattr(error, "filename", None)
        if temporary is not None and name is not None and Path(os.fsdecode(name)) not in (temporary, path):
            raise
        remedy = _REMEDIES.get(getattr(error, "errno", None) or 0, "free space on the disk or choose another place")
        raise CheckpointError(
            f"can't be written: {getattr(error, 'strerror', None) or error}",
            where=str(path),
            remedy=remedy if remedy.endswith(".") else f"{remedy}; the former file is intact.",
        ) from error


def _followed(path: Path) -> Path:
    """The path without links, except that an open descriptor under /proc or /dev/fd stays one."""
    place = path.absolute()
    for _ in range(_MOST_LINKS):
        place = (
            Path(os.path.realpath(place.parent)) / place.name
            if place.name not in ("", "..")
            else Path(os.path.realpath(place))
        )
        if _DESCRIPTOR.fullmatch(str(place.parent)) or not place.is_symlink():
            return place
        place = place.parent / place.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _ending(name: str) -> str:
    """The last 150 bytes of a name: with what stands before them a name of 255 would be too long."""
    return os.fsencode(name)[-150:].decode("utf-8", "ignore")


def _put(temporary: Path, goal: Destination) -> None:
    """The temporary file in the place of the former one, with its owner and mode, safe from a loss of power."""
    if goal.former is not None:
        new = temporary.stat()
        if (new.st_uid, new.st_gid) != (goal.former.st_uid, goal.former.st_gid):
            with contextlib.suppress(OSError):  # only root may give files away
                os.chown(temporary, goal.former.st_uid, goal.former.st_gid)
        temporary.chmod(stat.S_IMODE(goal.former.st_mode))
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, goal.path)
    with contextlib.suppress(OSError):  # the name is in the folder; not all file systems synchronise those
        folder = os.open(goal.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _copy(temporary: Path, stream: Path) -> None:
    """The content of a file into a device, a pipe or an open descriptor."""
    descriptor = _opened(stream)
    try:
        with temporary.open("rb") as source:
            while piece := source.read(1 << 20):
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def _opened(stream: Path) -> int:
    if _DESCRIPTOR.fullmatch(str(stream.parent)) and str(stream.parent) in (
        "/dev/fd",
        "/proc/self/fd",
        f"/proc/{os.getpid()}/fd",
    ):
        for text in (sys.stdout, sys.stderr):
            if text is not None:
                text.flush()  # what was printed before comes before
        return os.dup(int(stream.name))  # which shares its place in a file
    end = time.monotonic() + PIPE_PATIENCE_S
    while True:
        try:
            descriptor = os.open(stream, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > end:
                raise OSError(errno.ENXIO, "nobody reads this pipe") from error
            time.sleep(0.05)
        else:
            os.set_blocking(descriptor, True)
            return descriptor


def _sweep(folder: Path) -> None:
    """Remove temporary files of processes that were killed: those that nobody has locked.

    Those of this process stay: what writes into one may have put another file in its place, whose lock is free."""
    own = f".{os.getpid()}-"
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in [entry.path for entry in entries if _PATTERN.match(entry.name) and not entry.name.startswith(own)]:
            with contextlib.suppress(OSError):
                descriptor = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if claim(descriptor):
                        os.unlink(entry)
                finally:
                    os.close(descriptor)


def cache_folder() -> Path:
    """The folder of cached data sets and kernels: $INTERTWINE_CACHE or ~/.cache/intertwine, or a temporary one; warns
    where the chosen one can't be used."""
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
                    warnings.warn(
                        f"INTERTWINE_CACHE={chosen} can't be written; {folder} is used instead.",
                        Caution,
                        stacklevel=2,
                    )
                return folder
    raise DataError(
        "no folder for cached files can be written",
        where=str(candidates[0]),
        remedy="set INTERTWINE_CACHE to a writable folder.",
    )
