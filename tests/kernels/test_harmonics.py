"""The compiled harmonics against plain torch in float64: values, derivatives, awkward points, and the check on first
use.
"""

from __future__ import annotations

import ctypes
import math
import warnings
from collections.abc import Callable

import pytest
import torch

from intertwine.kernels.harmonics import definition as reference
from intertwine.kernels.harmonics import kernel as module
from intertwine.kernels.harmonics.arithmetic import Dual, Duals, Floats
from intertwine.kernels.harmonics.cpu_text import text
from intertwine.kernels.harmonics.kernel import LARGEST_DEGREE, Harmonics, compilable, deviation, harmonics
from intertwine.kernels.harmonics.operators import evaluate, operator
from intertwine.kernels.harmonics.plan import Solid, leading

F32, F64 = torch.float32, torch.float64
LISTS = [(1,), (0, 1, 2, 3), (2,), (3, 1, 1, 0, 7, 3), (0, 0, 5), (12,), tuple(range(7)), (4, 4, 4, 4, 4, 4)]
BOUNDS = {F32: 40, F64: 500}  # eps of the root mean square, of a point in general position


def solid(degrees: tuple[int, ...], normalize: bool) -> Solid:
    """Component normalisation."""
    pairs = [(l, m) for l in range(max(degrees) + 1) for m in range(l + 1)]
    scales = [
        math.sqrt((2 * l + 1) * (2 if m else 1) * math.factorial(l + m) * math.factorial(l - m)) / math.factorial(l)
        for l, m in pairs
    ]
    return Solid(degrees, tuple(scales), normalize)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = F64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def directions(n: int, dtype: torch.dtype) -> torch.Tensor:
    """Vectors of length near 1, so that the values of all degrees have one size."""
    x = normal(n, 3)
    return (x / x.norm(dim=1, keepdim=True) * (1 + 0.1 * normal(n, 1, seed=1))).to(dtype)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("degrees", LISTS)
def test_values_and_derivatives_are_those_of_plain_torch(degrees, normalize, dtype):
    described = solid(degrees, normalize)
    kernels = Harmonics(described)
    x, v = directions(61, dtype), normal(61, 3, seed=2, dtype=dtype)
    g = normal(61, described.dim, seed=3, dtype=dtype)
    with torch.no_grad():
        right = [reference.values(x.double(), described), reference.gradient(x.double(), g.double(), described)]
        right += reference.second(x.double(), g.double(), v.double(), described)
    found = [kernels.values(x), kernels.gradient(x, g), *kernels.second(x, g, v)]
    assert None not in kernels.functions.values()
    bound = BOUNDS[dtype] * torch.finfo(dtype).eps * max(1, max(degrees) / 3)  # conditioned like l, near a pole
    for one, other in zip(found, right):
        assert one.dtype == dtype
        assert (one - other).abs().max() <= bound * other.square().mean().sqrt() * 3


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 16, 31, 40])
def test_every_number_of_points(n):
    described = solid((0, 1, 2), True)
    kernels = harmonics(described.text)
    x, g, v = normal(n, 3), normal(n, 9, seed=1), normal(n, 3, seed=2)
    torch.testing.assert_close(kernels.values(x), reference.values(x, described), rtol=1e-13, atol=1e-13)
    with torch.no_grad():
        torch.testing.assert_close(kernels.gradient(x, g), reference.gradient(x, g, described), rtol=1e-11, atol=1e-11)
        for one, other in zip(kernels.second(x, g, v), reference.second(x, g, v, described)):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_threads_give_the_same_bits(monkeypatch):
    described = solid(tuple(range(5)), True)
    kernels = harmonics(described.text)
    x, g, v = normal(1003, 3), normal(1003, 25, seed=1), normal(1003, 3, seed=2)

    def run() -> list[torch.Tensor]:
        return [kernels.values(x), kernels.gradient(x, g), *kernels.second(x, g, v)]

    alone = run()
    run_parts, _ = module._team()
    monkeypatch.setattr(module, "_team", lambda: (run_parts, lambda: 3))
    monkeypatch.setattr(module, "_NS_WORTH_A_THREAD", 1)
    assert all(torch.equal(one, other) for one, other in zip(alone, run()))


def test_strided_arguments_are_read_right():
    described = solid((1, 3), False)
    kernels = harmonics(described.text)
    x, g = normal(3, 40).t(), normal(1, 10, seed=1).expand(40, 10)
    torch.testing.assert_close(kernels.gradient(x, g), kernels.gradient(x.contiguous(), g.contiguous()), rtol=0, atol=0)
    assert torch.equal(kernels.values(x), kernels.values(x.contiguous()))


@pytest.mark.parametrize("dtype", [F32, F64])
def test_zero_vectors_poles_and_nan(dtype):
    described = solid((0, 1, 2, 3, 4), True)
    kernels = harmonics(described.text)
    x = torch.cat([torch.zeros(2, 3), torch.eye(3), -torch.eye(3), torch.tensor([[math.nan, 1.0, 2.0]])]).to(dtype)
    g, v = normal(9, 25, dtype=dtype), normal(9, 3, seed=1, dtype=dtype)
    y, first, (second, along) = kernels.values(x), kernels.gradient(x, g), kernels.second(x, g, v)
    assert (y[:, 0] == 1).all()
    for zero in (y[:2, 1:], first[:2], second[:2], along[:2]):
        assert (zero == 0).all()
    for finite in (y[:-1], first[:-1], second[:-1], along[:-1]):
        assert finite.isfinite().all()
    for lost in (y[-1:, 1:], first[-1:], second[-1:]):
        assert lost.isnan().all()
    right = reference.values(x[2:8].double(), described)
    assert (y[2:8] - right).abs().max() <= 16 * torch.finfo(dtype).eps


@pytest.mark.parametrize(
    ("dtype", "lengths"), [(F32, [1e-44, 1e-38, 1e-20, 1e20, 1e38]), (F64, [1e-320, 1e-308, 1e-160, 1e160, 1e308])]
)
def test_any_length_has_its_direction(dtype, lengths):
    described = solid((1, 2, 5), True)
    kernels = harmonics(described.text)
    for length in lengths:
        x = torch.tensor([[1.0, -2.0, 0.5]], dtype=F64).div_(4).expand(9, 3) * length
        x = x.to(dtype)
        exact = reference.values((x.double() / x.double().abs().max()), described)
        assert (kernels.values(x) - exact).abs().max() <= 40 * torch.finfo(dtype).eps


def test_a_list_of_degrees_does_not_change_the_bits():
    x = normal(50, 3, dtype=F32)
    whole = harmonics(solid((0, 1, 2, 3), True).text).values(x)
    parts = harmonics(solid((3, 0, 2, 2), True).text).values(x)
    assert torch.equal(parts, whole[:, [*range(9, 16), 0, *range(4, 9), *range(4, 9)]])


def test_what_is_compiled():
    assert compilable(solid((1,), True))
    assert not compilable(solid((0, 0), True))
    assert not compilable(solid((LARGEST_DEGREE + 1,), True))
    described = solid((LARGEST_DEGREE + 1,), True)
    x = normal(9, 3)
    assert torch.equal(Harmonics(described).values(x), reference.values(x, described))
    half = normal(9, 3, dtype=torch.bfloat16)
    assert Harmonics(solid((1,), True)).values(half).dtype == torch.bfloat16


def test_a_description_is_its_text():
    described = solid((3, 0, 1), False)
    assert Solid.read(described.text) == described
    assert leading(3, 3) == 1 / 8
    assert leading(4, 1) == pytest.approx(4 * 7 / 15 * 3 * 5 / 8 * 2 * 3 / 3 / 2, rel=1e-15)


# ----------------------------------------------------------------------------------------------- the check on first use


def faulty(kind: str, described: Solid, dtype: str, width: int) -> str:
    """The text of a kernel in which one coefficient is wrong by one percent."""
    scales = list(described.scales)
    scales[-2] *= 1.01
    return text(kind, Solid(described.degrees, tuple(scales), described.normalize), dtype, width)


@pytest.mark.parametrize("kind", ["values", "gradient", "second"])
@pytest.mark.parametrize("dtype", [F32, F64])
def test_a_wrong_coefficient_is_found_and_plain_torch_takes_over(kind, dtype, monkeypatch, tmp_path):
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path))
    monkeypatch.setattr("intertwine.kernels.harmonics.cpu_text.text", faulty)
    described = solid((0, 1, 6, 4), True)  # nobody else asks for these, so nothing compiled is found
    kernels = Harmonics(described)
    x, g, v = normal(20, 3, dtype=dtype), normal(20, described.dim, dtype=dtype), normal(20, 3, seed=1, dtype=dtype)
    arguments = {"values": (x,), "gradient": (x, g), "second": (x, g, v)}[kind]
    with pytest.warns(RuntimeWarning, match=r"degrees \[0, 1, 6, 4\].*is wrong"):
        found = getattr(kernels, kind)(*arguments)
    right = getattr(reference, kind)(*arguments, described)
    assert all(torch.equal(one, other) for one, other in zip(found, right))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        getattr(kernels, kind)(*arguments)


def test_every_coefficient_is_checked():
    """In the worst case, 12 degrees in float32, one percent anywhere is beyond the bound."""
    described = solid((12, 3), True)
    for place in [(3, 0), (3, 3), (12, 0), (12, 1), (12, 7), (12, 12)]:
        scales = list(described.scales)
        scales[place[0] * (place[0] + 1) // 2 + place[1]] *= 1.01
        wrong = Solid(described.degrees, tuple(scales), True)

        def instead(address: int, lo: int, hi: int, wrong: Solid = wrong) -> None:
            words = (ctypes.c_int64 * 3).from_address(address)
            n = words[0]
            x = torch.frombuffer((ctypes.c_float * (3 * n)).from_address(words[1]), dtype=F32).reshape(n, 3)
            y = torch.frombuffer((ctypes.c_float * (wrong.dim * n)).from_address(words[2]), dtype=F32).reshape(
                n, wrong.dim
            )
            y.copy_(reference.values(x, wrong))

        assert deviation(instead, "values", described, F32) > 1


def test_no_compiler_is_told_and_survived(monkeypatch):
    def missing(*_: object) -> Callable[..., None]:
        raise ImportError("no llvmlite")

    monkeypatch.setattr(module, "_compiled", missing)
    described = solid((1, 2), True)
    x = normal(40, 3)
    with pytest.warns(RuntimeWarning, match="no llvmlite"):
        assert torch.equal(Harmonics(described).values(x), reference.values(x, described))


# ------------------------------------------------------------------------------------------------------------ operators


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("degrees", [(1,), (0, 2, 1, 2)])
def test_derivatives_of_every_order(degrees, normalize):
    described = solid(degrees, normalize).text
    x = normal(3, 3).requires_grad_()
    for function in (evaluate, operator):
        assert torch.autograd.gradcheck(lambda v, f=function: f(v, described), x)
        assert torch.autograd.gradgradcheck(lambda v, f=function: f(v, described), x)
        assert torch.autograd.gradgradcheck(  # the third derivative, through plain torch
            lambda v, f=function: torch.autograd.grad(f(v, described).sin().sum(), v, create_graph=True)[0], x
        )


def test_operators_keep_the_rules_of_torch():
    described = solid((0, 1), True)
    x = normal(9, 3).requires_grad_()
    g = normal(9, 4, seed=1).requires_grad_()
    v = normal(9, 3, seed=2).requires_grad_()
    operators = torch.ops.intertwine  # opcheck raises where a rule is broken
    quick = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(operators.harmonics, (x, described.text), test_utils=quick)
    torch.library.opcheck(operators.harmonics_gradient, (x, g, described.text), test_utils=quick)
    torch.library.opcheck(operators.harmonics_second, (x, g, v, described.text), test_utils=quick)


def test_vmap():
    described = solid((0, 1, 3), True)
    x, g = normal(4, 9, 3), normal(9, 11)
    batched = torch.func.vmap(lambda one: operator(one, described.text), in_dims=1)(x.transpose(0, 1))
    assert torch.equal(batched, torch.stack([operator(one, described.text) for one in x]))
    both = torch.func.vmap(lambda one: torch.ops.intertwine.harmonics_gradient(one, g, described.text))(x)
    for one, found in zip(x, both):
        torch.testing.assert_close(found, reference.gradient(one, g, described), rtol=1e-11, atol=1e-11)


def test_dual_numbers_differentiate():
    duals = Duals(Floats())
    x, y = Dual(3.0, 1.0), Dual(5.0, -2.0)
    assert duals.fused(x, y, x) == Dual(18.0, 0.0)  # x y + x: y + 3 y' + 1
    assert duals.times(2.0, x) == Dual(6.0, 2.0)
    assert duals.plus(None, x) == x
    assert duals.times(None, x) is None
    assert duals.fused(2.0, 3.0, None) == 6.0


@pytest.mark.parametrize("points", [3, 40])
@pytest.mark.parametrize(
    ("dtype", "degrees"),
    [
        (torch.float16, (0, 1, 2)),
        (torch.bfloat16, (2, 1)),
        (F64, (1, LARGEST_DEGREE + 1)),
        (F32, (LARGEST_DEGREE + 1,)),
    ],
)
def test_operators_without_a_kernel_have_their_derivatives(
    dtype: torch.dtype, points: int, degrees: tuple[int, ...]
) -> None:
    """Where there is no kernel (a graphics card, half precision, large degrees) plain torch asks autograd, below which
    torch calls us.
    """
    text = solid(degrees, True).text
    start = torch.randn(points, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    for run in (operator, lambda x, text: reference.values(x, Solid.read(text))):
        x = start.clone().requires_grad_()
        (g,) = torch.autograd.grad(run(x, text).pow(3).sum(), x, create_graph=True)
        (h,) = torch.autograd.grad(g.square().sum(), x)
        found.append((g.detach(), h))
    for one, right in zip(*found):
        assert one.dtype == dtype
        assert (one - right).abs().max() <= 64 * torch.finfo(dtype).eps * right.abs().max()
    x = start.clone().requires_grad_()
    assert not torch.ops.intertwine.harmonics_gradient(
        x.detach(), torch.ones_like(operator(start, text)), text
    ).requires_grad
