"""Rows shared among threads: those of torch itself, so that nothing competes for the cores.

A second pool of threads (another OpenMP, Python's own) would run against torch's, which keep spinning for a while after
each of its operations. torch brings GNU's OpenMP, whose ``GOMP_parallel`` runs any function on the same threads. Where
that is not available (macOS, Windows), Python threads do it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
from llvmlite import ir

from intertwine.kernels.llvm.assembler import WORD, Code
from intertwine.kernels.llvm.compile import Function, compiled
from intertwine.kernels.shared.processes import forked

#: Words of the argument of a team: how a thread learns its number and the team's size, the parts, and the function with
#: its own words.
TASK = ("number", "size", "parts", "bounds", "body", "words")


def threads() -> int:
    """How many threads a kernel may use: torch's number; one in a forked process (a worker of a data loader, say)."""
    return 1 if forked() else torch.get_num_threads()


def run(function: Function, words: Sequence[int], bounds: Sequence[int]) -> None:
    """Call ``function(words, lo, hi)`` for each pair of neighbouring bounds, at the same time."""
    data = (ctypes.c_int64 * len(words))(*words)
    address = ctypes.addressof(data)
    parts = len(bounds) - 1
    if parts == 1:
        function(address, bounds[0], bounds[1])
        return
    team = _openmp()
    if team is None:
        with ThreadPoolExecutor(parts) as pool:
            list(pool.map(lambda pair: function(address, *pair), pairwise(bounds)))
        return
    parallel, number, size = team
    limits = (ctypes.c_int64 * len(bounds))(*bounds)
    body = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    task = (ctypes.c_int64 * 6)(number, size, parts, ctypes.addressof(limits), body or 0, address)
    parallel(_task(), ctypes.addressof(task), parts, 0)


@cache
def _openmp() -> tuple[Callable[..., None], int, int] | None:
    """GOMP_parallel, and the addresses of omp_get_thread_num and omp_get_num_threads, of the library that torch has
    loaded.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        maps = Path("/proc/self/maps").read_text().split("\n")
        files = {line.split(None, 5)[5] for line in maps if line.count(" ") >= 5 and len(line.split(None, 5)) == 6}
        named = sorted(file for file in files if Path(file).name.startswith(("libgomp", "libiomp5", "libomp")))
        home = Path(torch.__file__).resolve().parent
        own = [home, home.with_name("torch.libs")]  # another package may have brought, and loaded, a library of its own
        library = ctypes.CDLL(min(named, key=lambda file: not any(place in Path(file).parents for place in own)))
        parallel = library.GOMP_parallel
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        number, size = (
            ctypes.cast(function, ctypes.c_void_p).value
            for function in (library.omp_get_thread_num, library.omp_get_num_threads)
        )
    except (OSError, AttributeError, ValueError):
        return None
    return (parallel, number, size) if number and size else None


@cache
def _task() -> int:
    """Address of the function that every thread of a team runs: parts number t, t + size, t + 2 size, ..."""
    function = compiled("the division of work", "task", _task_text)
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


def _task_text() -> str:
    code = Code("body", "float64", TASK)  # OpenMP gives the first argument only; the bounds are not read
    builder, pointer = code.builder, WORD.as_pointer()
    ask = ir.FunctionType(ir.IntType(32), []).as_pointer()
    first, step = (
        builder.zext(builder.call(builder.inttoptr(code.words[name], ask), []), WORD) for name in ("number", "size")
    )
    work = builder.inttoptr(code.words["body"], ir.FunctionType(ir.VoidType(), [pointer, WORD, WORD]).as_pointer())
    bounds = code.integers("bounds")
    with code.loop(first, code.words["parts"], step) as part:
        lo, hi = (code.integer_at(bounds, place) for place in (part, builder.add(part, WORD(1))))
        builder.call(work, [code.integers("words"), lo, hi])
    return code.finish()
