"""TorchScript of every class: any leading axes, both precisions, both modes; a result is the module's own, or
an error.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from tracing_cases import CASES, WAYS, built, calls, jit, nn, o3

import intertwine.e3nn
from intertwine.e3nn.tracing import methods
from intertwine.numerics import InputError

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}
REFUSALS = (RuntimeError, torch.jit.Error)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def outputs(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def assert_same(module: Any, compiled: Any, dtype: torch.dtype) -> None:
    """Where the module itself answers, the compiled one gives the same: shapes and numbers."""
    for method, axes, inputs in calls(module, dtype):
        try:
            wanted = outputs(getattr(module, method)(*inputs))
        except (InputError, TypeError):
            continue  # too few axes for weights or batches of their own
        found = outputs(getattr(compiled, method)(*inputs))
        for a, b in zip(found, wanted, strict=True):
            assert a.shape == b.shape, (method, axes)
            assert a.dtype == dtype
            scale = float(b.detach().abs().max()) if b.numel() else 1.0
            assert b.numel() == 0 or float((a - b).detach().abs().max()) <= TOLERANCE[dtype] * max(scale, 1.0), (
                method,
                axes,
            )


@pytest.fixture(autouse=True)
def unoptimised() -> Iterator[None]:
    """Results are compared, not speeds: what TorchScript optimises for each new shape takes seconds."""
    with torch.jit.optimized_execution(False):
        yield


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_any_leading_axes(case: str, dtype: torch.dtype) -> None:
    module = built(case, dtype).eval()
    for way, compile_it in WAYS.items():
        if way == "trace" and ("forward" not in methods(module) or hasattr(module, "right")):
            continue  # the methods that it does not make are not compared
        assert_same(module, compile_it(copy.deepcopy(module), methods(module)), dtype)


@pytest.mark.parametrize(
    "case", [name for name in CASES if name not in ("normalize2mom", "SphericalHarmonicsAlphaBeta", "Legendre")]
)
def test_other_sizes_are_refused(case: str) -> None:
    """One number more on the last axis of any input, in a trace that was made by each way."""
    module = built(case, torch.float64).eval()
    compiled = jit.compile(copy.deepcopy(module))
    for name, method in methods(module).items():
        for wrong in range(len(method.inputs)):
            inputs = list(method.inputs)
            inputs[wrong] = torch.cat([inputs[wrong], inputs[wrong][..., :1]], -1)
            with pytest.raises(REFUSALS):
                getattr(compiled, name)(*(x.double() for x in inputs))


@pytest.mark.parametrize("case", CASES)
def test_another_precision_is_served_or_refused(case: str) -> None:
    """A trace in float32, called in float64: as exact as the module is, or an error."""
    module = built(case, torch.float32).eval()
    compiled = jit.compile(copy.deepcopy(module))
    exact = copy.deepcopy(module).double()
    for name, method in methods(module).items():
        inputs = [x.double() for x in method.inputs]
        try:
            found = outputs(getattr(compiled, name)(*inputs))
        except REFUSALS:
            continue
        for a, b in zip(found, outputs(getattr(exact, name)(*inputs)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("made_in_training", [True, False])
@pytest.mark.parametrize("case", ["BatchNorm", "BatchNorm-instance", "BatchNorm-max", "Dropout"])
def test_training_and_evaluation(case: str, made_in_training: bool) -> None:
    """What acts otherwise in training does so in a trace, whenever that was made, and learns nothing from being
    traced.
    """
    module = built(case, torch.float64).train(made_in_training)
    compiled = jit.script(copy.deepcopy(module))
    assert compiled.training == made_in_training
    for mode in (True, False, True):
        module.train(mode)
        compiled.train(mode)
        if case == "Dropout":
            found = compiled(torch.ones(64, 10, dtype=torch.float64))
            assert (found == 0).any() == mode
            assert set(found.unique().tolist()) <= {0.0, 1.0, 2.0}
        else:
            assert_same(module, compiled, torch.float64)
            for a, b in zip(compiled.buffers(), module.buffers(), strict=True):
                torch.testing.assert_close(a, b)


def test_the_case_of_the_issue() -> None:
    product = o3.ElementwiseTensorProduct("8x0e+8x1o+2x2e", "8x0e+8x1o+2x2e")
    x, y = torch.randn(2, 5, product.irreps_in1.dim), torch.randn(2, 5, product.irreps_in2.dim)
    compiled = jit.script(copy.deepcopy(product))
    torch.testing.assert_close(compiled(x, y), product(x, y))
    broadcast = y[:1, :1]
    torch.testing.assert_close(compiled(x, broadcast), product(x, broadcast))


def test_modules_inside_programs() -> None:
    """Ours inside a scripted, and inside a traced module of a program."""

    @jit.compile_mode("script")
    class Inner(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.product = o3.ElementwiseTensorProduct("4x0e+4x1o", "4x0e+4x0e")
            self.gate = nn.Gate("4x0e", [torch.relu], "4x0e", [torch.relu], "4x1o")

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.product(x, y)

    @jit.compile_mode("trace")
    class Outer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.mix = Inner(), o3.Linear("4x0e+4x1o", "8x0e+4x1o")

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.inner.gate(self.mix(self.inner(x, y)))

        def _make_tracing_inputs(self, n: int) -> list[dict[str, tuple[Tensor, Tensor]]]:
            return [{"forward": (torch.randn(3, 16), torch.randn(3, 8))} for _ in range(n)]

    inner, outer = Inner(), Outer()
    scripted, traced = jit.compile(copy.deepcopy(inner)), jit.compile(copy.deepcopy(outer))
    for axes in ((5,), (2, 3), ()):
        x, y = torch.randn(*axes, 16), torch.randn(*axes, 8)
        torch.testing.assert_close(scripted(x, y), inner(x, y))
        torch.testing.assert_close(traced(x, y), outer(x, y))


def test_a_traced_module_is_auto_jitable() -> None:
    """As e3nn's documentation has it: trace, then ``assert_auto_jitable``."""
    assert_auto_jitable = intertwine.e3nn.util.test.assert_auto_jitable
    for case in (
        "ElementwiseTensorProduct",
        "Linear-f",
        "Norm",
        "SphericalHarmonics",
        "ReducedTensorProducts",
        "ToS2Grid",
        "BatchNorm",
        "Gate",
    ):
        module = built(case, torch.float32).eval()
        x = methods(module)["forward"].inputs
        traced = jit.trace(copy.deepcopy(module), x)
        assert_auto_jitable(module)
        assert assert_auto_jitable(traced) is traced


def test_a_program_is_auto_jitable_after_its_trace() -> None:
    """``trace`` works in place: the children are TorchScript when the module is compiled again, with examples of its
    own.
    """

    @jit.compile_mode("trace")
    class Program(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.irreps_in = o3.Irreps("4x0e+4x1o")
            self.irreps_out = o3.Irreps("8x0e")
            self.square = o3.TensorSquare("4x0e+4x1o", "4x0e+4x1o")
            self.norm = o3.Norm("4x0e+4x1o")
            self.mix = o3.Linear("8x0e", "8x0e")

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(self.norm(self.square(x)))

    program = Program()
    x = torch.randn(5, 16)
    wanted = program(x)
    traced = jit.trace(program, (torch.randn(3, 16),))
    compiled = intertwine.e3nn.util.test.assert_auto_jitable(program)
    for one in (traced, compiled, program, jit.script(Program().norm)):
        assert isinstance(one, torch.jit.ScriptModule) or one is program
    for one in (traced, compiled, program):
        torch.testing.assert_close(one(x), wanted)
