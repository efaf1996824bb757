"""Locks that end with the process that holds them, however it ends."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from multiprocessing import util
from pathlib import Path
from typing import Any

from intertwine.numerics.errors import CheckpointError

try:
    import fcntl
except ImportError:  # a system without them
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_MOST_TRIES = 100  # each of them means that somebody else just let go


def claim(descriptor: int) -> bool | None:
    """Lock an open file for as long as it is open; whether that could be done; None if the file system has no locks.

    A lock of ``flock``: the kernel lets go when the last copy of the descriptor is closed, which the death of a process
    does. It holds between threads of one process too, and over NFS between machines.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True


class FolderLock:
    """The right to write into a folder, of one holder at a time: a locked file ``.lock`` in it says who holds it.

    Where the file system has no locks it is granted to everybody. Processes that the holder forks do not hold it.

    Args:
        folder: must exist; may be moved while it is locked.
        work: what is done in it, for the message.

    Raises:
        CheckpointError: another process, or thread, holds it; or the folder can't be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, FolderLock(Path(folder)) as lock:
    ...     lock.in_place()
    True
    """

    def __init__(self, folder: Path, work: str = "training") -> None:
        self.path, self.work = folder / LOCK, work
        try:
            self.descriptor = self._taken()
            os.truncate(self.descriptor, 0)
            about = {
                "process": os.getpid(),
                "host": socket.gethostname(),
                "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            }
            os.pwrite(self.descriptor, json.dumps(about).encode(), 0)
        except OSError as error:
            what = f"can't be locked: {error.strerror}"
            raise CheckpointError(
                what, where=str(folder), remedy="choose a folder on a disk that you can write to."
            ) from error
        util.register_after_fork(self, FolderLock._forget)  # a child's copy would outlive this process

    def _taken(self) -> int:
        for _ in range(_MOST_TRIES):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            granted = claim(descriptor)
            if granted is False:
                owner = _owner(descriptor)
                os.close(descriptor)
                raise CheckpointError(
                    f"another {self.work} is at work in it{owner}",
                    where=str(self.path.parent),
                    remedy="wait for it to end, or end it; or give another folder.",
                )
            if same_file(descriptor, self.path):
                return descriptor
            os.close(descriptor)  # it was removed by its holder after we had opened it
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def in_place(self) -> bool:
        """Whether the path of the folder still leads to the folder that is locked."""
        return self.descriptor >= 0 and same_file(self.descriptor, self.path)

    def release(self) -> None:
        """Let go, and remove the file."""
        if self.descriptor < 0:
            return
        with contextlib.suppress(OSError):
            if self.in_place():
                self.path.unlink()
        self._forget()

    def _forget(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: Any) -> None:
        self.release()


def same_file(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _owner(descriptor: int) -> str:
    """Who holds the lock, as far as the file says."""
    try:
        about = json.loads(os.pread(descriptor, 4096, 0))
        return f": process {about['process']} on {about['host']}, since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
