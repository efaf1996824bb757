"""Attributes that are computed once: no process that is forked waits for a lock of theirs."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

import intertwine
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.harmonics.plan import Solid
from intertwine.numerics.once import once


class Slow:
    """One attribute that takes until it is let go, and one that counts."""

    def __init__(self, go: threading.Event | None = None) -> None:
        self.go, self.begun, self.calls = go, threading.Event(), 0

    @once
    def value(self) -> int:
        self.begun.set()
        if self.go is not None:
            assert self.go.wait(60)
        self.calls += 1
        return self.calls


def test_it_is_computed_once_and_kept_beside_the_instance() -> None:
    slow = Slow()
    assert (slow.value, slow.value, slow.calls) == (1, 1, 1)
    assert vars(slow)["value"] == 1
    del slow.value
    assert slow.value == 2
    assert isinstance(Slow.value, once)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_meanwhile_computes_its_own() -> None:
    """As a worker of a data loader does that is forked while another thread uses a kernel for the first time."""
    go, first = threading.Event(), Slow()
    held = Slow(go)
    thread = threading.Thread(target=lambda: held.value)
    thread.start()
    try:
        assert held.begun.wait(60)
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            os._exit(0 if first.value == 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        go.set()
        thread.join()
    assert held.value == 1


def test_two_threads_get_the_same() -> None:
    go = threading.Event()
    slow, seen = Slow(go), []
    threads = [threading.Thread(target=lambda: seen.append(slow.value)) for _ in range(4)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert seen == [slow.value] * 4


def test_plans_and_everything_else_of_the_package_are_without_the_lock() -> None:
    assert isinstance(Solid.read.__self__, type)  # where it was met: by the first use of harmonics
    assert any(isinstance(value, once) for value in vars(Channelwise).values())
    folder = Path(intertwine.__file__).parent
    with_lock = [path.name for path in folder.rglob("*.py") if "cached_property" in path.read_text(encoding="utf-8")]
    assert with_lock == ["once.py"]
