"""Every operator with every tensor of its programs between two pages that nobody may touch; a script, since a fault
ends the process.

A program states at its door how many numbers it takes a tensor for. Here each pointer that is taken there is replaced
by one into memory of just that size, which ends where a forbidden page begins (or begins where one ends), and what was
written is copied back after the run. So a program that reads or writes one number more than it states is ended by the
processor; results must be those of ordinary memory.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import sys
from collections.abc import Callable, Iterator
from math import prod

import torch
from random_plans import Case, case_of, depthwise, with_weights
from torch import Tensor

from intertwine import o3
from intertwine.kernels.convolution import cpu as backend
from intertwine.kernels.convolution import cpu_order as order
from intertwine.kernels.convolution.fused import Fused
from intertwine.kernels.harmonics import kernel as harmonics
from intertwine.kernels.harmonics.operators import evaluate
from intertwine.kernels.linear import cpu as small_products
from intertwine.kernels.linear import kernel as small_mixing
from intertwine.kernels.llvm import threads
from intertwine.kernels.polynomial import cpu as straight_line
from intertwine.kernels.polynomial import kernel as straight_line_backend
from intertwine.kernels.shared import doors
from intertwine.nn import SymmetricContraction
from intertwine.o3.harmonic_kernels import described

F32, F64 = torch.float32, torch.float64
PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Pages:
    """Memory between two forbidden pages; ``side``: the one it touches."""

    def __init__(self, size: int, side: str) -> None:
        inner = -(-size // PAGE) * PAGE
        self.length = inner + 2 * PAGE
        self.start = _libc.mmap(
            None, self.length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
        )
        assert self.start not in (None, ctypes.c_void_p(-1).value)
        for forbidden in (self.start, self.start + PAGE + inner):
            assert _libc.mprotect(forbidden, PAGE, 0) == 0
        self.address, self.size = self.start + PAGE + (inner - size if side == "after" else 0), size

    def close(self) -> None:
        _libc.munmap(self.start, self.length)


class Guards:
    """What takes the place of the door and of the launch."""

    def __init__(self) -> None:
        self.side, self.short = "", 0  # none: ordinary memory; so many numbers less than stated
        self.open: list[tuple[Tensor, Pages]] = []
        self.ran = False
        self.tables: list[Pages] = []
        self.launches = 0
        self.address, self.launch = doors.address, threads.run
        doors.address = doors.own_address = self.at
        for room in (backend, order, small_products, straight_line):
            room.run = self.run
        harmonics._team = lambda: (self.run, threads.threads)

    def at(
        self, tensor: Tensor, name: str, size: int | tuple, dtype: torch.dtype, device: torch.device | None = None
    ) -> int:
        found = self.address(tensor, name, size, dtype, device)
        length = ((size if isinstance(size, int) else prod(size)) - self.short) * dtype.itemsize
        # pointers that are taken for another launch; the machine has one for each width of vectors
        if self.ran and name != "workspace":
            self.close()
        if not self.side or length <= 0:
            return found
        pages = Pages(length, self.side)
        ctypes.memmove(pages.address, found, length)
        if name == "table":  # taken once, for as long as the table lives
            self.tables.append(pages)
        else:
            self.open.append((tensor, pages))
        return pages.address

    def run(self, function: Callable, words: list[int], bounds: list[int]) -> None:
        self.launch(function, words, bounds)
        self.launches += bool(self.side)
        for tensor, pages in self.open:
            ctypes.memmove(tensor.data_ptr(), pages.address, pages.size)
        self.ran = True

    def close(self) -> None:
        for _, pages in self.open:
            pages.close()
        self.open.clear()
        self.ran = False

    def forget(self) -> None:
        """Tables with guarded memory, and those without, are not used again."""
        straight_line_backend._fastest.cache_clear()
        self.close()


def derivatives(function: Callable[..., Tensor], *leaves: Tensor) -> list[Tensor]:
    """The value, the gradients and their gradients, with cotangents that are not all one."""
    value = function(*leaves)
    weights = torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).view(value.shape).requires_grad_()
    first = torch.autograd.grad(value, leaves, weights, create_graph=True, materialize_grads=True)
    slope = sum((one * torch.linspace(-1, 1, one.numel(), dtype=one.dtype).view(one.shape)).sum() for one in first)
    second = torch.autograd.grad(slope, (weights, *leaves), materialize_grads=True) if slope.requires_grad else ()
    return [one.detach() for one in (value, *first, *second)]


def convolution(
    plan: Callable, dtype: torch.dtype, senders: int, nodes: int, edges: int
) -> Iterator[Callable[[], list[Tensor]]]:
    made = plan()
    one: Case = case_of(made, 0, senders=senders, nodes=nodes, edges=edges, dtype=dtype)
    leaves = [leaf for leaf in (one.x, one.y, one.w) if leaf is not None]
    fused = Fused(made)
    yield lambda: derivatives(lambda x, y, w=None: fused.convolve(x, y, w, *one.ends), *leaves)
    same = case_of(made, 1, senders=edges, nodes=edges, edges=edges, dtype=dtype)
    pair = [leaf for leaf in (same.x, same.y, same.w) if leaf is not None]
    yield lambda: derivatives(lambda x, y, w=None: fused.product(x, y, w), *pair)


def spherical(
    degrees: tuple[int, ...], normalize: bool, dtype: torch.dtype, n: int
) -> Iterator[Callable[[], list[Tensor]]]:
    text = described(degrees, "component", normalize)
    x = torch.randn(n, 3, dtype=F64, generator=torch.Generator().manual_seed(n)).to(dtype).requires_grad_()
    yield lambda: derivatives(lambda x: evaluate(x, text), x)
    yield lambda: derivatives(lambda x: torch.ops.intertwine.harmonics(x, text), x)


def contraction(irreps: tuple[str, str], dtype: torch.dtype, nodes: int) -> Iterator[Callable[[], list[Tensor]]]:
    layer = SymmetricContraction(*irreps, 2, 3, dtype=dtype)
    generator = torch.Generator().manual_seed(nodes)
    x = torch.randn(nodes, layer.irreps_in.dim, dtype=F64, generator=generator).to(dtype).requires_grad_()
    species = torch.randint(3, (nodes,), generator=generator)
    weights = list(layer.parameters())
    yield lambda: derivatives(lambda x, *_: layer(x, species), x, *weights)


def linear(
    irreps: tuple[str, str], layout: str, dtype: torch.dtype, samples: int
) -> Iterator[Callable[[], list[Tensor]]]:
    layer = o3.Linear(*irreps, layout=layout, dtype=dtype)
    x = (
        torch.randn(samples, layer.irreps_in.dim, dtype=F64, generator=torch.Generator().manual_seed(samples))
        .to(dtype)
        .requires_grad_()
    )

    def run() -> list[Tensor]:
        layer._mixing.kernels.clear()  # their tables are made again, in guarded memory
        return derivatives(lambda x, w: layer(x, w), x, layer.weight)

    yield run


PLANS = {
    "few channels": lambda: depthwise("3x0e+2x1o", "0e+1o", 1),
    "uneven, components innermost": lambda: depthwise("5x0e+1x1o", "0e+1o", 1, "mul_ir"),
    "a vector and a rest": lambda: depthwise("33x0e+17x1o", "0e", 1),
    "no weights": lambda: with_weights(depthwise("4x0e+4x1o", "0e+1o", 1), "none"),
    "some weights": lambda: with_weights(depthwise("9x1o", "0e+1o", 1), "some"),
}
#: Family -> its cases by name. ``convolve``, ``convolve_backward`` and ``convolve_second`` are the three orders of the
#: first, and so on.
CASES: dict[str, dict[str, Callable[[], Iterator[Callable[[], list[Tensor]]]]]] = {
    "convolution": {
        f"{name}, {dtype}, {sizes}": lambda plan=plan, dtype=dtype, sizes=sizes: convolution(plan, dtype, *sizes)
        for (name, plan), dtype, sizes in itertools.product(
            PLANS.items(), (F32, F64), [(3, 4, 0), (1, 1, 1), (5, 4, 9), (2, 7, 40)]
        )
    },
    "harmonics": {
        f"{degrees}, {normalize}, {dtype}, {n}": lambda one=(degrees, normalize, dtype, n): spherical(*one)
        for degrees, normalize, dtype, n in itertools.product(
            [(1,), (0, 1, 2), (3, 1)], (True, False), (F32, F64), (0, 1, 7, 8, 9, 31, 67)
        )
    },
    "contraction": {
        f"{irreps}, {dtype}, {nodes}": lambda one=(irreps, dtype, nodes): contraction(*one)
        for irreps, dtype, nodes in itertools.product(
            [("1x0e+1x1o", "1x0e"), ("17x0e+17x1o", "17x0e+17x1o"), ("81x0e", "81x0e")], (F32, F64), (0, 1, 5, 130)
        )
    },
    "linear": {
        f"{irreps}, {layout}, {dtype}, {samples}": lambda one=(irreps, layout, dtype, samples): linear(*one)
        for irreps, layout, dtype, samples in itertools.product(
            [("5x0e+3x1o", "7x0e+2x1o"), ("33x0e", "1x0e"), ("1x0e+1x0e", "17x0e")],
            ("ir_mul", "mul_ir"),
            (F32, F64),
            (0, 1, 3, 9),
        )
    },
}


def main(family: str, short: int = 0) -> None:
    guards, runs = Guards(), 0
    guards.short = short
    for name, make in CASES[family].items():
        for number, run in enumerate(make()):
            guards.forget()
            guards.side = ""
            right = run()
            for side in ("after", "before"):
                print(f"{name}, {number}, {side}", flush=True)  # the last line names the culprit
                guards.forget()
                guards.side = side
                found = run()
                assert all(torch.equal(a, b) for a, b in zip(found, right, strict=True))
                runs += 1
            guards.side = ""
    assert small_mixing._TRUSTED[F32] is not False
    print(f"{family}: {runs} runs, {guards.launches} guarded launches")


if __name__ == "__main__":
    main(sys.argv[1], int(*sys.argv[2:]))
