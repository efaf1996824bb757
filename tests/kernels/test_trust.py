"""The one self-check: a fault in the code of any family is found on first use and told once; its definition takes over.

Damaged, foreign and older files of every family: ``test_compile_cache.py``, by ``damaged_objects.py``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from random_plans import case_of, convolved, depthwise
from torch import Tensor

from intertwine.kernels.convolution import cpu as convolution_cpu
from intertwine.kernels.convolution.fused import Fused
from intertwine.kernels.harmonics import definition as harmonics_definition
from intertwine.kernels.harmonics.kernel import harmonics
from intertwine.kernels.harmonics.operators import evaluate
from intertwine.kernels.harmonics.plan import Solid
from intertwine.kernels.linear import cpu as linear_cpu
from intertwine.kernels.linear import definition as linear_definition
from intertwine.kernels.llvm import compile
from intertwine.kernels.llvm.assembler import Code
from intertwine.kernels.polynomial import cpu as polynomial_cpu
from intertwine.kernels.polynomial import kernel as polynomial_kernel
from intertwine.kernels.polynomial.definition import Evaluator
from intertwine.kernels.polynomial.operators import contract
from intertwine.kernels.polynomial.plan import NO_FACTOR, Argument, Program, Result
from intertwine.kernels.shared import trust
from intertwine.kernels.shared.trust import Trial, deviation, numbers
from intertwine.o3 import Linear

SOLID = Solid((0, 1, 2), (1.0,) * 6, True)
PROGRAM = Program(
    (Argument(3),), (((1.5, 0, 1), (0.5, 2, NO_FACTOR)), ((1.0, 3, 2), (2.0, 0, NO_FACTOR))), (Result((3, 4)),)
)
Case = tuple[Callable[[], Tensor], Tensor]  # what a user calls, and the right result in float64


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def convolution() -> Case:
    plan = depthwise("4x0e+4x1o", "0e+1o", 1)
    one = case_of(plan, 0, dtype=torch.float32)
    x, y, w = (leaf.detach() for leaf in (one.x, one.y, one.w))
    right = convolved(plan, *(leaf.double() for leaf in (x, y, w)), *one.ends)
    return lambda: Fused(plan).convolve(x, y, w, *one.ends), right


def spherical() -> Case:
    x = random(40, 3)
    return lambda: evaluate(x, SOLID.text), harmonics_definition.values(x.double(), SOLID)


def linear() -> Case:
    layer, x = Linear("5x0e+3x1o", "7x0e+2x1o", layout="ir_mul"), random(4, 14)
    weight = layer.weight.detach()
    return lambda: layer(x, weight), linear_definition.forward(layer._mixing, x.double(), weight.double())


def polynomial() -> Case:
    x, group = random(6, 3, 20), torch.zeros(6, dtype=torch.int64)
    return lambda: contract([x], group, 1, PROGRAM.text)[0], Evaluator(PROGRAM)([x.double()], group, 1)[0]


FAMILIES = {"convolution": convolution, "harmonics": spherical, "linear": linear, "polynomial": polynomial}


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No kernel has been compiled or checked, and none is kept."""
    caches = (
        convolution_cpu._kernel, harmonics, linear_cpu._function, linear_cpu._transposition, polynomial_cpu._machine,
        polynomial_kernel._machine,
    )  # fmt: skip
    monkeypatch.setattr(compile, "_functions", {})
    monkeypatch.setattr(compile, "_folder", lambda: None)
    monkeypatch.setattr(trust, "_verdicts", {})
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def told(call: Callable[[], Tensor]) -> tuple[Tensor, list[str]]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = call()
    return result, [str(warning.message) for warning in seen if issubclass(warning.category, RuntimeWarning)]


@pytest.mark.usefixtures("nothing_known")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_fault_in_the_code_is_found_on_first_use(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sum that the code writes is wrong: a term of it is counted twice."""
    real = Code.multiply_add

    def wrong(self: Code, a, b, c=None):
        return real(self, a, b, c) if c is None else real(self, a, b, real(self, a, b, c))

    call, right = FAMILIES[family]()
    monkeypatch.setattr(Code, "multiply_add", wrong)
    result, messages = told(call)
    assert len(messages) == 1
    assert "is wrong" in messages[0]
    torch.testing.assert_close(result.double(), right, rtol=1e-5, atol=1e-5)
    assert list(trust._verdicts.values()) == [False]
    again, messages = told(call)
    assert not messages  # once is enough
    assert torch.equal(again, result)


@pytest.mark.usefixtures("nothing_known")
@pytest.mark.parametrize("family", FAMILIES)
def test_code_without_a_fault_is_trusted(family: str) -> None:
    call, right = FAMILIES[family]()
    result, messages = told(call)
    assert not messages
    assert list(trust._verdicts.values()) == [True]
    torch.testing.assert_close(result.double(), right, rtol=1e-5, atol=1e-5)


def test_the_unit_is_the_sum_of_absolute_terms() -> None:
    """What cancels has the error of its terms; what is not a number is infinitely wrong."""
    plan = Program((Argument(2),), (((1.0, 0, NO_FACTOR), (-1.0, 1, NO_FACTOR)),), (Result((2,)),))
    group = torch.zeros(1, dtype=torch.int64)
    terms = torch.tensor([[[1.0], [1.0]]], dtype=torch.float64)  # 1 - 1

    def excess(value: float) -> float:
        pair = Trial(
            "a difference",
            plan,
            lambda x: [torch.full((1, 1, 1), value, dtype=torch.float32)],
            lambda plan, x: Evaluator(plan)([x], group, 1),
            [terms],
        )
        return deviation(pair, torch.float32)

    bound = trust.BOUND * torch.finfo(torch.float32).eps * 2
    assert excess(0.0) == 0
    assert excess(0.5 * bound) == pytest.approx(0.5)
    assert excess(2.0 * bound) == pytest.approx(2)
    assert excess(float("nan")) == float("inf")


def test_its_numbers_are_those_of_the_precision_and_the_same_every_time() -> None:
    first, second = (numbers((5, 2), (3,), dtype=torch.float32) for _ in range(2))
    assert all(torch.equal(a, b) and torch.equal(a.float().double(), a) for a, b in zip(first, second, strict=True))
