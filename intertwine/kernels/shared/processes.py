"""Processes and forks: what a fork leaves behind, threads that are gone and locks that nobody will open, and what it
has to wait for.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import torch

_first = os.getpid()


def forked() -> bool:
    """Whether this process is a fork of the one that imported the library: OpenMP's threads did not come along."""
    return os.getpid() != _first


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch works in so many threads inside the ``with`` block."""
    former = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(former)


def single() -> contextlib.AbstractContextManager[None]:
    """In a forked process, torch works in one thread: it would wait for those that are gone."""
    return threads(1) if forked() else contextlib.nullcontext()


class Lock:
    """A reentrant lock that is open in a forked child, whoever held it in the parent."""

    def __init__(self) -> None:
        self._lock, self._process = threading.RLock(), os.getpid()

    def __enter__(self) -> None:
        if self._process != os.getpid():
            if not self._lock._is_owned():  # type: ignore[attr-defined]  # it may be this thread, which forked inside
                self._lock = threading.RLock()
            self._process = os.getpid()
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


#: Held while a kernel is imported, compiled or checked. A fork waits for it: a child that began within would find
#: LLVM's lock closed, and modules that are half imported, by a thread that it does not have.
preparing = Lock()
_held = threading.local()


def _before_fork() -> None:
    """Wait until no other thread prepares a kernel or is inside LLVM (whose lock is that of llvmlite, which other
    packages use as well).
    """
    ffi = sys.modules.get("llvmlite.binding.ffi")
    locks: list[Any] = [preparing, getattr(getattr(ffi, "lib", None), "_lock", None)]
    _held.locks = []
    for lock in locks:
        if hasattr(lock, "__enter__"):
            lock.__enter__()
            _held.locks.append(lock)


def _after_fork() -> None:
    """Go on, in the parent and in the child, whose only thread is the one that holds them."""
    for lock in reversed(_held.locks):
        lock.__exit__(None, None, None)
    _held.locks = []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
