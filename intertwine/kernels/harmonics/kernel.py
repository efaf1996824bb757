"""Harmonics and their first two derivatives of one description: by compiled kernels on the CPU, checked on first use,
or by plain torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.harmonics import definition
from intertwine.kernels.harmonics.plan import VECTORS, WORDS, Solid
from intertwine.kernels.shared import doors
from intertwine.kernels.shared.choice import announce, compiles
from intertwine.kernels.shared.processes import preparing, single
from intertwine.numerics import InputError, safe

#: Precisions of the compiled kernels.
DTYPES = {torch.float32: "float32", torch.float64: "float64"}
#: The largest degree that is compiled: beyond, the code gets long and its compilation slow.
LARGEST_DEGREE = 12
POINTS_PER_VECTOR = 8  # points of a vector; measured: 16 is no faster in float32, 4 slower in float64
_NS_WORTH_A_THREAD = 50_000  # ns of one thread that are worth another one
_CHECKED_POINTS = 29  # points of the check: whole vectors and a rest
_BOUND_EPS = 64  # the bound of the check, in eps (largest degree + 1)^2 of the root mean square of a component
_NS_PER_COMPONENT = {"values": 0.25, "gradient": 0.25, "second": 0.6}  # ns of a component, roughly


class Harmonics:
    """The kernels of one description; get it from :func:`harmonics`."""

    def __init__(self, solid: Solid) -> None:
        self.solid = solid
        self.functions: dict[tuple[str, torch.dtype], Callable[..., None] | None] = {}

    def values(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, "n dim"]:
        """Y(x), outside autograd."""
        out = x.new_empty(doors.rows(x, "x", 3), self.solid.dim)
        return out if self._run("values", (x,), (out,)) else definition.values(x, self.solid)

    def gradient(self, x: Float[Tensor, "n 3"], g: Float[Tensor, "n dim"]) -> Float[Tensor, "n 3"]:
        """The gradient of the sum of g Y(x), outside autograd."""
        out = x.new_empty(doors.rows(x, "x", 3), 3)
        return out if self._run("gradient", (x, g), (out,)) else _plainly(definition.gradient, x, g, self.solid)

    def second(
        self, x: Float[Tensor, "n 3"], g: Float[Tensor, "n dim"], v: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n dim"]]:
        """Derivatives with respect to x and g of the inner product of v with :meth:`gradient`, outside autograd."""
        n = doors.rows(x, "x", 3)
        out = x.new_empty(n, 3), x.new_empty(n, self.solid.dim)
        return out if self._run("second", (x, g, v), out) else _plainly(definition.second, x, g, v, self.solid)

    def _run(self, kind: str, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> bool:
        """Run a kernel, if there is one that can be trusted."""
        x = inputs[0]
        key, function = (kind, x.dtype), None
        if x.is_cpu:
            function = self.functions[key] if key in self.functions else self._prepared(kind, x.dtype)
        if function is None:
            _require(kind, self.solid, inputs)
            return False
        _launch(function, kind, self.solid, inputs, outputs)
        return True

    def _prepared(self, kind: str, dtype: torch.dtype) -> Callable[..., None] | None:
        """Compile and check a kernel; a warning names one that is not available or wrong."""
        key = (kind, dtype)
        with preparing, single():
            if key in self.functions:
                return self.functions[key]
            if dtype not in DTYPES or not compilable(self.solid) or not compiles():
                self.functions[key] = None
                return None
            name = f"kernel '{kind}' of the harmonics of degrees {list(self.solid.degrees)} in {dtype}"
            try:
                function = _compiled(kind, self.solid, DTYPES[dtype])
                worst = deviation(function, kind, self.solid, dtype)
                problem = "" if worst <= 1 else f"is wrong: {worst:.3g} times the bound of its rounding errors"
            except (ImportError, InputError) as error:
                problem = f"is not available ({error})"
            if problem:
                announce(name, problem)
            self.functions[key] = None if problem else function
            return self.functions[key]


def compilable(solid: Solid) -> bool:
    """Whether there are kernels for a description: degrees neither all 0 nor beyond :data:`LARGEST_DEGREE`, nor
    repeated without end.
    """
    return 0 < solid.largest <= LARGEST_DEGREE and solid.dim <= (LARGEST_DEGREE + 1) ** 2


@lru_cache(maxsize=256)
def harmonics(text: str) -> Harmonics:
    """The kernels of a description, :attr:`Solid.text`."""
    return Harmonics(Solid.read(text))


def deviation(function: Callable[..., None], kind: str, solid: Solid, dtype: torch.dtype) -> float:
    """Largest error of a kernel at some points, over the bound of its rounding errors; infinite for NaN."""
    with torch.inference_mode(False), torch.device("cpu"):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(_CHECKED_POINTS, 3, generator=generator, dtype=torch.float64).to(dtype)
        x[:3] = torch.eye(3, dtype=dtype)
        v = torch.randn(_CHECKED_POINTS, 3, generator=generator, dtype=torch.float64).to(dtype)
        g = torch.randn(_CHECKED_POINTS, solid.dim, generator=generator, dtype=torch.float64).to(dtype)
        inputs = {"values": (x,), "gradient": (x, g), "second": (x, g, v)}[kind]
        with torch.no_grad():
            right = getattr(definition, kind)(*(tensor.double() for tensor in inputs), solid)
        right = right if isinstance(right, tuple) else (right,)
        outputs = tuple(torch.empty_like(expected, dtype=dtype) for expected in right)
        _launch(function, kind, solid, inputs, outputs)
        worst = 0.0
        for output, other in zip(outputs, right):
            bound = (
                _BOUND_EPS * torch.finfo(dtype).eps * (solid.largest + 1) ** 2 * other.square().mean(0).sqrt()
                + torch.finfo(dtype).tiny
            )
            worst = max(worst, float(((output - other).abs() / bound).nan_to_num(nan=torch.inf).max()))
        return worst


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


def _plainly(derivative: Callable[..., Any], *arguments: Any) -> Any:
    """A derivative by plain torch, which asks autograd for it, outside of autograd: also in an operator, where torch
    records nothing.
    """
    with torch.no_grad(), safe.recording():
        return derivative(*arguments)


def _require(kind: str, solid: Solid, inputs: tuple[Tensor, ...]) -> None:
    """Points, cotangents and directions that fit each other.

    Raises:
        InputError: they do not.
    """
    x = inputs[0]
    for name, tensor in zip(WORDS[kind][1:], inputs):
        doors.require(tensor, name, (x.shape[0], 3 if name in VECTORS else solid.dim), x.dtype, x.device)


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
        pointers.append(look(tensor, name, (n, 3 if name in VECTORS else solid.dim), dtype))
    blocks = -(-n // POINTS_PER_VECTOR)
    cost = n * (2.0 + _NS_PER_COMPONENT[kind] * solid.dim)
    parts = 1 if cost < 2 * _NS_WORTH_A_THREAD else min(threads(), int(cost / _NS_WORTH_A_THREAD))
    run(function, pointers, [blocks * part // parts for part in range(parts + 1)] if parts > 1 else (0, blocks))
