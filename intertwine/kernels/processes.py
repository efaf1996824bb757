"""What a fork leaves behind: threads that are gone, and locks that nobody will open."""

from __future__ import annotations

import os
import threading
from types import TracebackType

_first = os.getpid()


def forked() -> bool:
    """Whether this process is a fork of the one that imported the library: OpenMP's threads did not come along."""
    return os.getpid() != _first


class Lock:
    """A reentrant lock that is open in a forked child, whoever held it in the parent."""

    def __init__(self) -> None:
        self._lock, self._process = threading.RLock(), os.getpid()

    def __enter__(self) -> None:
        if self._process != os.getpid():
            self._lock, self._process = threading.RLock(), os.getpid()
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()
