"""Calls of compiled loops one after the other, prepared once: a step of a frozen model costs one call from Python.

What a call reads and writes are buffers that the sequence's owner made and keeps; their addresses are taken when the
sequence is made.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from llvmlite import ir

from intertwine.kernels.llvm.assembler import WORD, Code
from intertwine.kernels.llvm.compile import Function, compiled
from intertwine.kernels.llvm.threads import run, threads
from intertwine.kernels.shared import doors

FIELDS = 4  # of a call: function, words, first row, row after the last
_ROWS_WORTH_A_THREAD = 256  # rows of a loop over nodes or edges that are worth another thread


class Call:
    """A loop with its argument.

    Args:
        function: from :func:`~intertwine.kernels.llvm.compile.compiled`.
        words: its argument.
        rows: how many it does.
        apart: whether its rows may be shared among threads.
        kept: what the words point to, so that it lives as long.
    """

    def __init__(
        self, function: Function, words: Sequence[int], rows: int, *, apart: bool = False, kept: Any = None
    ) -> None:
        self.function, self.rows, self.apart, self.kept = function, rows, apart, kept
        self.words = (ctypes.c_int64 * len(words))(*words)

    @property
    def address(self) -> int:
        """Of the function."""
        return ctypes.cast(self.function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


class Calls:
    """Calls in their order.

    Args:
        calls: made before; :attr:`rows` of one may be set between runs.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = tuple(calls)
        self.table = np.array(
            [[call.address, ctypes.addressof(call.words), 0, call.rows] for call in calls], dtype=np.int64
        ).reshape(len(self.calls), FIELDS)
        begin = doors.own_address(torch.from_numpy(self.table), "calls", self.table.shape, torch.int64)
        self._words = (ctypes.c_int64 * 1)(begin)
        self._at, self._function = ctypes.addressof(self._words), _sequence()

    def set_rows(self, numbers: Sequence[int], rows: int) -> None:
        """The calls of these numbers do so many rows from now on."""
        for number in numbers:
            self.table[number, 3] = rows

    def __call__(self) -> None:
        if threads() > 1 and bool((self.table[:, 3] >= 2 * _ROWS_WORTH_A_THREAD).any()):
            for call, rows in zip(self.calls, self.table[:, 3].tolist()):
                parts = max(1, min(threads(), rows // _ROWS_WORTH_A_THREAD)) if call.apart else 1
                run(call.function, list(call.words), [rows * part // parts for part in range(parts + 1)])
            return
        self._function(self._at, 0, len(self.calls))


def _sequence() -> Function:
    return compiled("calls in a row", "sequence", _text)


def _text() -> str:
    code = Code("body", "float64", ("calls",))
    b, pointer = code.builder, WORD.as_pointer()
    signature = ir.FunctionType(ir.VoidType(), [pointer, WORD, WORD]).as_pointer()
    with code.loop(code.lo, code.hi) as number:
        fields = b.gep(code.integers("calls"), [b.mul(number, WORD(FIELDS))])
        function, words, first, last = (code.integer_at(fields, WORD(place)) for place in range(FIELDS))
        b.call(b.inttoptr(function, signature), [b.inttoptr(words, pointer), first, last])
    return code.finish()
