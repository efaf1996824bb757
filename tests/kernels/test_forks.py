"""Kernels and forks: before the first kernel, while others compile or check, and within the preparation of one."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from convolved import equal, work
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from intertwine.kernels.convolution import cpu as backend
from intertwine.kernels.llvm.compile import compiled
from intertwine.kernels.shared.processes import Lock, preparing
from intertwine.o3 import spherical_harmonics

_FORK_FIRST = """
import os, sys, torch
torch.set_num_threads(2)
torch.randn(2_000_000).exp().sum()  # torch's threads are running
from intertwine.nn import Convolution
layer = Convolution("8x0e+8x1o", "0e+1o", "0e+1o")
x, y, w = torch.randn(50, 32), torch.randn(4000, 4), torch.randn(4000, layer.weight_numel)
child = os.fork()
if child == 0:
    z = layer(x, y, torch.randint(50, (2, 4000)), w)  # the first kernel of all, with its check
    os._exit(0 if bool(torch.isfinite(z).all()) else 1)
sys.exit(os.waitpid(child, 0)[1])
"""


def test_a_fork_before_the_first_kernel() -> None:
    found = subprocess.run([sys.executable, "-c", _FORK_FIRST], capture_output=True, text=True, timeout=900)
    assert found.returncode == 0, found.stderr


def forks_while(hold: Callable[[threading.Event], None], child: Callable[[], object], children: int = 1) -> None:
    """Fork while another thread is in ``hold``, which gets an event that ends it; each child does its work in time."""
    done = threading.Event()
    thread = threading.Thread(target=hold, args=(done,))
    thread.start()
    try:
        for _ in range(children):
            pid = os.fork()
            if pid == 0:
                signal.alarm(60)
                code = 1
                try:
                    child()
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        done.set()
        thread.join(60)
    assert not thread.is_alive()


def texts(prefix: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """Kernels that nobody has compiled before."""
    from intertwine.kernels.convolution.cpu_order import _text

    for number in itertools.count():
        yield f"test of forks {prefix} {os.getpid()} {time.monotonic_ns()} {number}", _text


def compile_one(prefix: str) -> None:
    described, write = next(texts(prefix))
    compiled("a test", described, write)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@needs_fork
def test_forks_while_a_thread_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Twenty children, which compile, run a convolution with its gradients and end, while their parent compiles without
    pause.
    """
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path))
    wanted, made = work(), []

    def hold(done: threading.Event) -> None:
        for described, write in texts("parent"):
            if done.is_set():
                return
            made.append(compiled("a test", described, write))

    def child() -> None:
        compile_one("child")
        backend._kernel.cache_clear()
        assert equal(work(), wanted)

    forks_while(hold, child, children=20)
    assert len(made) > 3


@needs_fork
def test_forks_while_a_thread_is_inside_llvm() -> None:
    """Not by way of our own lock: other packages call it too, numba for one."""
    import llvmlite.binding as llvm

    def hold(done: threading.Event) -> None:
        while not done.is_set():
            llvm.parse_assembly("define void @f() { ret void }" + "\n; nothing" * 20_000).verify()

    forks_while(hold, lambda: compile_one("beside"), children=10)


@needs_fork
def test_forks_while_kernels_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first use of a kernel, with its check, in parent and child."""
    from intertwine.kernels.convolution import check
    from intertwine.kernels.harmonics import kernel as harmonics
    from intertwine.kernels.harmonics.plan import Solid
    from intertwine.kernels.polynomial import kernel as straight_line_backend

    solid, x = Solid((1,), (1.0, 1.0, 1.0), False), torch.arange(60.0).view(20, 3)

    def first() -> None:
        check._trust.clear()
        harmonics.harmonics.cache_clear()
        straight_line_backend._fastest.cache_clear()
        harmonics.harmonics(solid.text).values(x)
        work()

    def hold(done: threading.Event) -> None:
        while not done.is_set():
            first()

    forks_while(hold, first, children=10)


@needs_fork
def test_a_fork_within_the_preparation_of_a_kernel() -> None:
    """By the thread itself: its child goes on inside, and may prepare others."""
    with preparing:
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            with preparing:
                compile_one("inside")
    if child == 0:
        with preparing:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_fork
def test_a_lock_is_open_in_a_child_that_nobody_announced() -> None:
    """A fork by a library in C calls none of Python's hooks."""
    import ctypes

    held = threading.Event()

    def hold(done: threading.Event) -> None:
        with lock:
            held.set()
            done.wait(30)

    lock, done = Lock(), threading.Event()
    thread = threading.Thread(target=hold, args=(done,))
    thread.start()
    held.wait(30)
    child = ctypes.PyDLL(None).fork()
    if child == 0:
        signal.alarm(20)
        with lock:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    done.set()
    thread.join()
    assert status == 0


class Harmonics(Dataset):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Tensor:
        compile_one("worker")
        x = torch.randn(50, 3, generator=torch.Generator().manual_seed(index)).requires_grad_()
        y = spherical_harmonics([0, 1, 2, 3], x, normalize=True)
        return torch.autograd.grad(y.square().sum(), x)[0] + y.detach().sum()


@needs_fork
def test_workers_evaluate_harmonics_while_the_parent_compiles() -> None:
    wanted, done = [Harmonics()[index] for index in range(6)], threading.Event()

    def hold() -> None:
        while not done.is_set():
            compile_one("parent")

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        found = list(
            DataLoader(Harmonics(), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=900)
        )
    finally:
        done.set()
        thread.join(60)
    assert equal(found, wanted)
