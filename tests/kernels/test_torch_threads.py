"""Kernels on torch's threads: many at once, after a fork, in workers of data loaders, with and without OpenMP."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from convolved import equal, work
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from intertwine.kernels.convolution import cpu as backend
from intertwine.kernels.llvm import threads
from intertwine.kernels.llvm.compile import compiled


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Convolutions(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return work(index)[1], threads.threads()


def parts_used(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    real = threads.run
    monkeypatch.setattr(backend, "_NS_WORTH_A_THREAD", 1)  # everything is worth another thread
    monkeypatch.setattr(
        backend, "run", lambda function, words, bounds: found.append(len(bounds) - 1) or real(function, words, bounds)
    )
    return found


def test_work_is_shared_as_torch_is_told(two_threads, monkeypatch: pytest.MonkeyPatch) -> None:
    used = parts_used(monkeypatch)
    torch.set_num_threads(1)
    alone = work()
    assert set(used[-2:]) == {1}
    for count in (2, 3, 1, 2):
        torch.set_num_threads(count)
        assert equal(work(), alone)
        assert set(used[-2:]) == {count}
    monkeypatch.setattr(backend, "_NS_WORTH_A_THREAD", 10**9)
    assert equal(work(), alone)
    assert set(used[-2:]) == {1}  # not worth a second thread


def test_every_part_is_done_once_by_any_team(two_threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """More parts than threads, and the pool that takes the place of OpenMP: row i becomes its part's bounds plus i."""
    from intertwine.kernels.llvm.assembler import WORD, Code

    def text() -> str:
        code = Code("body", "float64", ("rows", "count"))
        rows, builder = code.integers("rows"), code.builder
        with code.loop(code.lo, code.hi) as i:
            place = builder.gep(rows, [i])
            builder.store(builder.add(builder.load(place), builder.add(i, WORD(1))), place)
        return code.finish()

    function = compiled("a test", "test of threads", text)
    for team in (threads._openmp(), None):
        with monkeypatch.context() as patch:
            patch.setattr(threads, "_openmp", lambda team=team: team)
            for bounds in ([0, 50], [0, 20, 50], [0, 10, 10, 20, 30, 31, 50]):
                rows = torch.zeros(50, dtype=torch.int64)
                threads.run(function, (rows.data_ptr(), 50), bounds)
                assert torch.equal(rows, torch.arange(1, 51))


def test_torchs_own_library_is_found() -> None:
    if not os.path.exists("/proc/self/maps"):
        pytest.skip("not Linux")
    assert threads._openmp() is not None


def test_python_threads_where_openmp_is_not_found(two_threads, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = work()
    monkeypatch.setattr(threads, "_openmp", lambda: None)
    assert equal(work(), wanted)


def test_calls_from_several_python_threads(two_threads) -> None:
    """Also on first use: nobody gets a kernel that is not ready."""
    from intertwine.kernels.convolution import check

    wanted = [work(seed) for seed in range(4)]
    backend._kernel.cache_clear()
    check._trust.clear()
    found: dict[tuple[int, int], bool] = {}

    def run(seed: int) -> None:
        for repeat in range(3):
            found[seed, repeat] = equal(work(seed), wanted[seed])

    together = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join(120)
    assert len(found) == 12
    assert all(found.values())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_is_forked_after_threads_ran(two_threads, monkeypatch: pytest.MonkeyPatch) -> None:
    used = parts_used(monkeypatch)
    wanted = work()
    assert used[-1] == 2
    child = os.fork()
    if child == 0:
        code = 1
        try:  # whatever happens, the child must not go on as a second run of the tests
            code = 0 if equal(work(), wanted) and used[-1] == 1 else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + 40
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.02)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child waits for threads that it does not have")
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert equal(work(), wanted)
    assert used[-1] == 2  # the parent still has its threads


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_data_loader(method: str, two_threads) -> None:
    if method not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    wanted = [work(index)[1] for index in range(4)]
    loader = DataLoader(Convolutions(), batch_size=None, num_workers=2, multiprocessing_context=method, timeout=900)
    found = list(loader)
    assert equal([x for x, _ in found], wanted)
    assert [count for _, count in found] == [1] * 4
