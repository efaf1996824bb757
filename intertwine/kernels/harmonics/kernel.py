"""Harmonics and their first two derivatives of one description: by compiled kernels on the CPU or a graphics card, held
against their definition on first use, or by that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.harmonics import definition
from intertwine.kernels.harmonics.plan import PLAIN, VECTORS, WORDS, Solid
from intertwine.kernels.shared import card, doors
from intertwine.kernels.shared.choice import asked, compiles, native
from intertwine.kernels.shared.processes import preparing
from intertwine.kernels.shared.trust import Trial, numbers, trusted

#: Precisions of the compiled kernels.
DTYPES = {torch.float32: "float32", torch.float64: "float64"}
#: The largest degree that is compiled: beyond, the code gets long and its compilation slow.
LARGEST_DEGREE = 12
POINTS_PER_VECTOR = 8  # points of a vector; measured: 16 is no faster in float32, 4 slower in float64
_COMPONENTS_AT_ONCE = 2**20  # of the definition: a second derivative of so many takes 25 MB in float32
_NS_WORTH_A_THREAD = 50_000  # ns of one thread that are worth another one
_NS_PER_COMPONENT = {"values": 0.25, "gradient": 0.25, "second": 0.6}  # ns of a component, roughly


class Harmonics:
    """The kernels of one description, unless it is ``plain``; get it from :func:`harmonics`."""

    def __init__(self, solid: Solid, plain: bool = False) -> None:
        self.solid, self.plain = solid, plain
        self.functions: dict[tuple[str, torch.dtype], Callable[..., None] | None] = {}
        self.programs: dict[tuple[str, torch.dtype, torch.device], bool] = {}  # whether that of a card can be trusted

    def values(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, "n dim"]:
        """Y(x), outside autograd."""
        (y,) = self._run("values", x, sizes=(self.solid.dim,)) or [self._defined(definition.values, x)]
        return y

    def gradient(self, x: Float[Tensor, "n 3"], g: Float[Tensor, "n dim"]) -> Float[Tensor, "n 3"]:
        """The gradient of the sum of g Y(x), outside autograd."""
        (dx,) = self._run("gradient", x, g, sizes=(3,)) or [self._defined(definition.gradient, x, g)]
        return dx

    def second(
        self, x: Float[Tensor, "n 3"], g: Float[Tensor, "n dim"], v: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n dim"]]:
        """Derivatives with respect to x and g of the inner product of v with :meth:`gradient`, outside autograd."""
        dx, dg = self._run("second", x, g, v, sizes=(3, self.solid.dim)) or self._defined(definition.second, x, g, v)
        return dx, dg

    def _run(self, kind: str, *inputs: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
        """The results of a kernel, of so many numbers for each point; none if there is none that can be trusted."""
        x = inputs[0]
        n, key, function = doors.rows(x, "x", 3), (kind, x.dtype), None
        if x.is_cpu and not self.plain and asked() in ("auto", "cpu"):
            function = self.functions[key] if key in self.functions else self._prepared(kind, x.dtype)
        on_card = function is None and not self.plain and self._on_card(kind, x)
        if function is None and not on_card:
            _require(kind, self.solid, inputs)
            return ()
        outputs = tuple(x.new_empty(n, size) for size in sizes)
        if on_card:
            gpu().run(kind, self.solid, inputs, outputs)
        else:
            assert function is not None
            _launch(function, kind, self.solid, inputs, outputs)
        return outputs

    def _defined(self, function: Callable[..., Any], *tensors: Tensor) -> Any:
        """A function of the definition. On a CPU half precision is a way to store numbers, and of many points one part
        after the other takes less memory.
        """
        x, n = tensors[0], _COMPONENTS_AT_ONCE // (self.solid.largest + 1) ** 2
        if x.is_cpu and x.dtype.itemsize < 4:
            results = self._defined(function, *(tensor.float() for tensor in tensors))
            return tuple(y.to(x.dtype) for y in results) if isinstance(results, tuple) else results.to(x.dtype)
        if len(x) <= n or not x.is_cpu:
            return function(*tensors, self.solid)
        parts = [function(*part, self.solid) for part in zip(*(tensor.split(n) for tensor in tensors))]
        return tuple(map(torch.cat, zip(*parts))) if isinstance(parts[0], tuple) else torch.cat(parts)

    def _prepared(self, kind: str, dtype: torch.dtype) -> Callable[..., None] | None:
        """A compiled kernel that can be trusted, or None."""
        able = dtype in DTYPES and compilable(self.solid) and compiles()
        key = ("harmonics", kind, self.solid, dtype)
        sound = able and trusted(key, lambda: trial(kind, self.solid, dtype), dtype)
        self.functions[kind, dtype] = _compiled(kind, self.solid, DTYPES[dtype]) if sound else None
        return self.functions[kind, dtype]

    def _on_card(self, kind: str, x: Tensor) -> bool:
        """Whether the program of a graphics card is to run, and can be trusted."""
        if native(x.device) != "gpu":
            return False
        key = (kind, x.dtype, x.device)
        if key not in self.programs:
            able = card.supports(x.dtype) and compilable(self.solid) and gpu().able(kind, self.solid, x.dtype)
            self.programs[key] = able and trusted(
                ("harmonics", "gpu", kind, self.solid, x.dtype, x.device),
                lambda: trial(kind, self.solid, x.dtype, "gpu"),
                x.dtype,
                x.device,
            )
        return self.programs[key]


def compilable(solid: Solid) -> bool:
    """Whether there are kernels for a description: degrees neither all 0 nor beyond :data:`LARGEST_DEGREE`, nor
    repeated without end.
    """
    return 0 < solid.largest <= LARGEST_DEGREE and solid.dim <= (LARGEST_DEGREE + 1) ** 2


@lru_cache(maxsize=256)
def harmonics(text: str) -> Harmonics:
    """The kernels of a description, :attr:`Solid.text`, or what stands for them after :data:`PLAIN`."""
    return Harmonics(Solid.read(text.removeprefix(PLAIN)), text.startswith(PLAIN))


@lru_cache(maxsize=1)
def gpu() -> ModuleType:
    """What launches the programs of graphics cards."""
    with preparing:
        from intertwine.kernels.harmonics import gpu

        return gpu


def trial(kind: str, solid: Solid, dtype: torch.dtype, backend: str = "cpu") -> Trial:
    """A kernel of a backend, "cpu" or "gpu", beside its definition, at the poles and other points: whole vectors and a
    rest.
    """
    n, names = 29, WORDS[kind][1:]
    results = {"values": 1, "gradient": 1, "second": 2}[kind]
    arguments = numbers(*((n, _size(name, solid)) for name in names[:-results]), dtype=dtype)
    arguments[0][:3] = torch.eye(3, device="cpu")

    def launch(*tensors: Tensor) -> Sequence[Tensor]:
        outputs = tuple(tensors[0].new_empty(n, _size(name, solid)) for name in names[-results:])
        if backend == "gpu":
            gpu().run(kind, solid, tensors, outputs)
        else:
            _launch(_compiled(kind, solid, DTYPES[dtype]), kind, solid, tensors, outputs)
        return outputs

    def define(solid: Solid, *tensors: Tensor) -> Sequence[Tensor]:
        outputs = getattr(definition, kind)(*tensors, solid)
        return outputs if isinstance(outputs, tuple) else [outputs]

    title = f"'{kind}' of the harmonics of degrees {list(solid.degrees)}" + " by gpu" * (backend == "gpu")
    return Trial(title, solid, launch, define, arguments)


def _size(word: str, solid: Solid) -> int:
    """Numbers of a word for each point."""
    return 3 if word in VECTORS else solid.dim


def _compiled(kind: str, solid: Solid, dtype: str) -> Callable[..., None]:
    from intertwine.kernels.harmonics.cpu_text import text
    from intertwine.kernels.llvm.compile import compiled

    described = "\n".join(("harmonics", kind, solid.text, dtype, str(POINTS_PER_VECTOR)))
    return compiled(
        f"harmonics of degrees {list(solid.degrees)} ({kind}, {dtype})",
        described,
        lambda: text(kind, solid, dtype, POINTS_PER_VECTOR),
    )


@lru_cache(maxsize=1)
def _team() -> tuple[Callable[..., None], Callable[[], int]]:
    with preparing:
        from intertwine.kernels.llvm.threads import run, threads

        return run, threads


def _require(kind: str, solid: Solid, inputs: tuple[Tensor, ...]) -> None:
    """Points, cotangents and directions that fit each other.

    Raises:
        InputError: they do not.
    """
    x = inputs[0]
    for name, tensor in zip(WORDS[kind][1:], inputs):
        doors.require(tensor, name, (x.shape[0], _size(name, solid)), x.dtype, x.device)


def _launch(
    function: Callable[..., None], kind: str, solid: Solid, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
) -> None:
    """Run a kernel on all points, in parts of as many blocks each."""
    run, threads = _team()
    n = inputs[0].shape[0]
    if n < POINTS_PER_VECTOR:  # less than a block
        _require(kind, solid, inputs)
        if not n:
            return
        more = [torch.constant_pad_nd(tensor, (0, 0, 0, POINTS_PER_VECTOR - n)) for tensor in inputs]
        results = [output.new_empty(POINTS_PER_VECTOR, output.shape[1]) for output in outputs]
        _launch(function, kind, solid, tuple(more), tuple(results))
        for output, padded in zip(outputs, results):
            output.copy_(padded[:n])
        return
    tensors = [*[doors.in_memory(tensor) for tensor in inputs], *outputs]  # kept until the kernel is done
    dtype = inputs[0].dtype
    pointers, count = [n], len(inputs)
    for place, (name, tensor) in enumerate(zip(WORDS[kind][1:], tensors)):
        look = doors.address if place < count else doors.own_address
        pointers.append(look(tensor, name, (n, _size(name, solid)), dtype))
    blocks = -(-n // POINTS_PER_VECTOR)
    cost = n * (2.0 + _NS_PER_COMPONENT[kind] * solid.dim)
    parts = 1 if cost < 2 * _NS_WORTH_A_THREAD else min(threads(), int(cost / _NS_WORTH_A_THREAD))
    run(function, pointers, [blocks * part // parts for part in range(parts + 1)] if parts > 1 else (0, blocks))
