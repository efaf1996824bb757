r"""What a kernel of harmonics does at a point, step by step, as a table that Triton unrolls while it compiles.

The formula is evaluated once with :class:`Tape` for its arithmetic, which writes down what is asked of it. A number is
an ``int``, its place among all numbers of a point: first x / \|x\| and 1 / \|x\|, or x; then the arguments that are
read; then one number for each step. Equal steps are written once, and those that no result needs not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from intertwine.kernels.harmonics.arithmetic import Number
from intertwine.kernels.harmonics.formula import evaluate
from intertwine.kernels.harmonics.plan import VECTORS, WORDS, Solid
from intertwine.kernels.shared.card import Constant

#: (a, b, scale, c, shift): a b scale + c + shift, where a place of -1 and a constant of None are not there; b or scale
#: is, or neither; c or shift is, or neither.
Step = tuple[int, int, float | None, int, float | None]


@dataclass(frozen=True, eq=False, repr=False)
class Job(Constant):
    """One launch.

    Attributes:
        normalize: whether the first numbers are x / \\|x\\| and 1 / \\|x\\|.
        loads: (which of the arguments g and v, numbers of its row, place in it), in the order of the numbers.
        steps: what is computed.
        stores: (which result, numbers of its row, place in it, number or -1, or else a constant).
    """

    normalize: bool
    loads: tuple[tuple[int, int, int], ...]
    steps: tuple[Step, ...]
    stores: tuple[tuple[int, int, int, int, float], ...]


class Tape:
    """An arithmetic that writes down what it is asked for; ``count`` numbers are there before the first step."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.steps: dict[Step, int] = {}

    def times(self, a: Number, b: Number) -> Number:
        """a b."""
        return self.fused(a, b, None)

    def plus(self, a: Number, b: Number) -> Number:
        """a + b."""
        if a is None or b is None:
            return b if a is None else a
        if isinstance(a, float):
            a, b = b, a
        if isinstance(a, float):
            return a + b
        return self._step(a, None, b)

    def fused(self, a: Number, b: Number, c: Number) -> Number:
        """a b + c."""
        if a is None or b is None:
            return c
        if isinstance(a, float):
            a, b = b, a
        if isinstance(a, float):
            return self.plus(a * b, c)
        if b == 1.0 and isinstance(b, float):
            return self.plus(a, c)
        return self._step(a, b, c)

    def _step(self, a: int, b: int | float | None, c: int | float | None) -> int:
        if b.__class__ is int and b < a:  # type: ignore[operator]
            a, b = b, a  # type: ignore[assignment]
        step: Step = (a, *_parted(b), *_parted(c))
        return self.steps.setdefault(step, self.count + len(self.steps))


def _parted(x: int | float | None) -> tuple[int, float | None]:
    """The place of a number and None, or -1 and a constant or None."""
    return (-1, x) if x is None or isinstance(x, float) else (x, None)


@lru_cache(maxsize=1024)
def job(kind: str, solid: Solid) -> Job:
    """The launch of a kernel, a key of :data:`~intertwine.kernels.harmonics.plan.WORDS`."""
    words = WORDS[kind][2:]
    inputs, results = [w for w in words if w in ("g", "v")], [w for w in words if w not in ("g", "v")]
    here = 4 if solid.normalize else 3
    loads: list[tuple[int, int, int]] = []
    starts: dict[str, int] = {}
    for word in inputs:
        size, starts[word] = _size(word, solid), here + len(loads)
        loads += [(inputs.index(word), size, place) for place in range(size)]
    tape, stores = Tape(here + len(loads)), []

    def load(word: str) -> list[Number]:
        read = [1] * 3 if word in VECTORS else [l for l in solid.degrees for _ in range(2 * l + 1)]
        return [starts[word] + place if l else None for place, l in enumerate(read)]

    def store(word: str, values: Sequence[Number]) -> None:
        for place, value in enumerate(values):
            number, constant = _parted(value)
            stores.append((results.index(word), _size(word, solid), place, number, constant or 0.0))

    evaluate(kind, solid, tape, ([0, 1, 2], 3 if solid.normalize else None), load, store)
    return _needed(Job(solid.normalize, tuple(loads), tuple(tape.steps), tuple(stores)), here)


def _needed(whole: Job, here: int) -> Job:
    """The job without loads and steps that no result needs; ``here``: numbers before the loads."""
    first = here + len(whole.loads)
    needed = {number for *_, number, _ in whole.stores}
    for place in reversed(range(len(whole.steps))):
        if first + place in needed:
            a, b, _, c, _ = whole.steps[place]
            needed |= {a, b, c}
    kept = [*range(here), *(number for number in range(here, first + len(whole.steps)) if number in needed)]
    name = {number: place for place, number in enumerate(kept)} | {-1: -1}
    return Job(
        whole.normalize,
        tuple(load for place, load in enumerate(whole.loads) if here + place in name),
        tuple(
            (name[a], name[b], scale, name[c], shift)
            for place, (a, b, scale, c, shift) in enumerate(whole.steps)
            if first + place in name
        ),
        tuple((which, size, place, name[number], c) for which, size, place, number, c in whole.stores),
    )


def _size(word: str, solid: Solid) -> int:
    return 3 if word in VECTORS else solid.dim
