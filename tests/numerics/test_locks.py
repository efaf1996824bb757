"""One holder at a time, until it lets go or dies."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import intertwine
from intertwine.numerics import CheckpointError, FolderLock, Stopped, handling, lack_of_memory, stoppable

HOLD = (
    "import sys, time; from pathlib import Path; from intertwine.numerics import FolderLock\n"
    "lock = FolderLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
)


def holder(folder: Path) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(Path(intertwine.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_holder_is_named_and_its_death_lets_go(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        with pytest.raises(CheckpointError, match=rf"another training .*process {process.pid} on .*since 20") as raised:
            FolderLock(tmp_path)
        assert raised.value.where == str(tmp_path)
    finally:
        process.kill()
        process.communicate()
    with FolderLock(tmp_path) as lock:
        assert lock.in_place()
    assert not list(tmp_path.iterdir())


def test_threads_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    won, lost, gate = [], [], threading.Barrier(8)

    def attempt() -> None:
        gate.wait()
        try:
            won.append(FolderLock(tmp_path))
        except CheckpointError as error:
            lost.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    won[0].release()
    FolderLock(tmp_path).release()


def test_many_take_turns_and_none_holds_a_removed_file(tmp_path: Path) -> None:
    inside, most, turns = [0], [0], [0]
    guard = threading.Lock()

    def work() -> None:
        end = time.monotonic() + 30
        done = 0
        while done < 30 and time.monotonic() < end:
            try:
                lock = FolderLock(tmp_path)
            except CheckpointError:
                continue
            with guard:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            with guard:
                inside[0] -= 1
                turns[0] += 1
            lock.release()
            done += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert turns[0] > 30


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def test_forked_children_do_not_hold_it(tmp_path: Path) -> None:
    """As those of a data loader, which outlive a killed training for a while."""
    lock = FolderLock(tmp_path)
    child = multiprocessing.get_context("fork").Process(target=_sleep, args=(30.0,))
    child.start()
    try:
        time.sleep(0.3)  # it has begun
        os.close(lock.descriptor)  # as a kill would
        lock.descriptor = -1
        assert child.is_alive()
        FolderLock(tmp_path).release()
    finally:
        child.kill()
        child.join()


def test_a_folder_that_moves_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    lock = FolderLock(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert not lock.in_place()
    (tmp_path / "run").mkdir()
    with FolderLock(tmp_path / "run") as other:
        assert other.in_place()
        assert not lock.in_place()
        with pytest.raises(CheckpointError):
            FolderLock(tmp_path / "moved")
    lock.release()
    FolderLock(tmp_path / "moved").release()


def test_without_locks_everybody_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with FolderLock(tmp_path), FolderLock(tmp_path):  # the second raises CheckpointError where locks work
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"process": 3}', bytes(range(256))])
def test_an_unreadable_name_is_left_out(content: bytes, tmp_path: Path) -> None:
    with FolderLock(tmp_path) as lock:
        os.truncate(lock.path, 0)
        lock.path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"another training is at work in it($|\n)"):
            FolderLock(tmp_path)


def test_a_folder_that_can_not_be_locked_is_said(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(CheckpointError, match="can't be locked"):
        FolderLock(tmp_path)
    with pytest.raises(CheckpointError, match="can't be locked"):
        FolderLock(tmp_path / "absent")


# Signals


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_are_exceptions_with_an_exit_code(name: str, code: int) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    signal.signal(number, signal.SIG_DFL)  # the tests may run under nohup
    try:
        with pytest.raises(Stopped, match=name) as raised, stoppable():
            signal.raise_signal(number)
        assert raised.value.exit_code == code
        assert isinstance(raised.value, KeyboardInterrupt)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            signal.raise_signal(signal.SIGHUP)
        seen: list[int] = []
        with handling(seen.append):
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
        assert seen == [signal.SIGTERM]
        with handling(None):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


# Memory


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory: you tried to "
                "allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
            ),
            "3.64 TiB",
        ),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79 GiB"),
            r"of the GPU \(2.00 GiB",
        ),
        (
            MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type float64"),
            "7.45 GiB",
        ),
        (RuntimeError("std::bad_alloc"), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (MemoryError(), "memory"),
        (RuntimeError("can't start new thread"), "memory"),
    ],
)
def test_lack_of_memory_is_recognised(error: Exception, words: str) -> None:
    assert re.search(words, lack_of_memory(error) or "")


def test_other_errors_are_not() -> None:
    for error in (
        RuntimeError("shapes"),
        ValueError("out of memory of names"),
        CheckpointError("out of memory"),
        OSError(2, "No such file"),
    ):
        assert lack_of_memory(error) is None
