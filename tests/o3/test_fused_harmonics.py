"""Spherical harmonics by kernels and by plain torch are the same function, to every derivative and under every
transform.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Iterator

import pytest
import torch
from switches import as_users_run_it

from intertwine.numerics import InputError
from intertwine.o3 import fused_harmonics
from intertwine.o3.spherical_harmonics import SphericalHarmonics, spherical_harmonics

F32, F64 = torch.float32, torch.float64
EPS = {dtype: torch.finfo(dtype).eps for dtype in (F32, F64)}


def points(n: int, seed: int = 0, dtype: torch.dtype = F64) -> torch.Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


@contextlib.contextmanager
def kernels(name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERTWINE_KERNELS", name)
        yield


def derivatives(degrees, x: torch.Tensor, normalize: bool, normalization: str) -> list[torch.Tensor]:
    """Y, its gradient, and the two second derivatives that a loss on forces needs."""
    x = x.clone().requires_grad_()
    y = spherical_harmonics(degrees, x, normalize, normalization)
    g = torch.linspace(-3, 3, y.numel(), dtype=F64).cos().reshape(y.shape).to(x.dtype).requires_grad_()
    (first,) = torch.autograd.grad(y, x, g, create_graph=True)
    return [y.detach(), first.detach(), *torch.autograd.grad(first.square().sum(), (x, g))]


@pytest.mark.parametrize("normalization", ["integral", "component", "norm"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("degrees", [1, [2], [3, 1, 1, 0], list(range(7)), "0e + 2x1o + 2e", [12]])
def test_kernels_are_plain_torch(degrees, normalize, normalization):
    x = points(40)
    with kernels("reference"):
        right = derivatives(degrees, x, normalize, normalization)
    found = derivatives(degrees, x, normalize, normalization)
    assert not torch.equal(found[0], right[0]) or degrees == 1  # not the same code
    for one, other in zip(found, right):
        assert (one - other).abs().max() <= 500 * EPS[F64] * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("degrees", [[0, 1, 2, 3], list(range(7))])
def test_kernels_are_as_exact_as_plain_torch(degrees, dtype):
    """Both beside float64, or beside the kernels themselves with the vectors in another order: blocks and rests do not
    matter.
    """
    x = points(300, dtype=dtype)
    bound = 40 if dtype == F32 else 500
    exact = derivatives(degrees, x.double(), True, "component")
    found = derivatives(degrees, x, True, "component")
    assert (found[0] - exact[0]).abs().max() <= bound * EPS[dtype] * exact[0].square().mean().sqrt()
    with kernels("reference"):
        plain = derivatives(degrees, x, True, "component")
    for one, other, right in zip(found, plain, exact):
        if dtype == F32:
            assert (one - right).square().mean() <= 4 * (other - right).square().mean()
    assert torch.equal(spherical_harmonics(degrees, x.flip(0), True), spherical_harmonics(degrees, x, True).flip(0))


def test_when_kernels_are_used():
    def used(n: int, *, dtype: torch.dtype = F64, degrees: tuple[int, ...] = (1, 2)) -> bool:
        return fused_harmonics.fused(points(n, dtype=dtype), True, degrees, "norm") is not None

    assert used(32)
    assert used(32, dtype=F32)
    assert not used(31)
    assert not used(32, dtype=torch.bfloat16)
    assert not used(32, degrees=())
    assert not used(32, degrees=(0,))
    assert not used(32, degrees=(13,))
    assert fused_harmonics.fused(torch.ones(40, 3, device="meta"), True, (1,), "norm") is None
    for name, few, many in (
        ("reference", False, False),
        ("gpu", False, False),
        ("cpu", True, True),
        ("auto", False, True),
    ):
        with kernels(name):
            assert (used(3), used(40)) == (few, many)
    with kernels("fastest"), as_users_run_it(), pytest.raises(InputError, match="fastest"):
        used(40)


@pytest.mark.parametrize("degrees", [[0, 1, 2], [4, 1]])
@pytest.mark.parametrize("normalize", [True, False])
def test_transforms(degrees, normalize):
    """torch.func, forward mode and batched gradients, at a number of points where kernels are used otherwise."""
    module, x, v = SphericalHarmonics(degrees, normalize), points(33), points(33, seed=1)
    right = module(x)
    torch.testing.assert_close(torch.func.vmap(module)(x), right, rtol=1e-13, atol=1e-13)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(leaf).sin().sum(), leaf)
    torch.testing.assert_close(
        torch.func.grad(lambda one: module(one).sin().sum())(x), gradient, rtol=1e-11, atol=1e-11
    )
    cotangents = torch.randn(2, *right.shape, generator=torch.Generator().manual_seed(2), dtype=F64)
    (batched,) = torch.autograd.grad(module(leaf), leaf, cotangents, is_grads_batched=True)
    for one, cotangent in zip(batched, cotangents):
        torch.testing.assert_close(one, torch.autograd.grad(module(leaf), leaf, cotangent)[0], rtol=1e-11, atol=1e-11)
    tangent = torch.func.jvp(module, (x,), (v,))[1]
    with torch.autograd.forward_ad.dual_level():
        dual = module(torch.autograd.forward_ad.make_dual(x, v))
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(dual).tangent, tangent, rtol=1e-12, atol=1e-12)
    w = cotangents[0].clone().requires_grad_()
    (first,) = torch.autograd.grad(module(leaf), leaf, w, create_graph=True)
    torch.testing.assert_close(torch.autograd.grad(first, w, v)[0], tangent, rtol=1e-11, atol=1e-11)


def test_a_gradient_that_needs_no_gradient_of_its_argument():
    """Only x, only g, or both ask for a derivative of the force."""
    x, g = points(40), torch.ones(40, 8, dtype=F64)
    leaf = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(spherical_harmonics([1, 2], leaf, True), leaf, g, create_graph=True)
    (one,) = torch.autograd.grad(first.square().sum(), leaf)
    again, weights = x.clone().requires_grad_(), g.clone().requires_grad_()
    (first,) = torch.autograd.grad(spherical_harmonics([1, 2], again, True), again, weights, create_graph=True)
    assert torch.equal(one, torch.autograd.grad(first.square().sum(), (again, weights))[0])
    with torch.inference_mode():
        inside = spherical_harmonics([1, 2], x, True)
    assert torch.equal(inside, spherical_harmonics([1, 2], x, True))


def test_compilers_see_one_operator():
    module = SphericalHarmonics([0, 1, 2], True)
    x = points(40).requires_grad_()
    right = derivatives([0, 1, 2], x.detach(), True, "integral")
    with as_users_run_it():
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager", dynamic=True)
        y = compiled(x)
        g = torch.linspace(-3, 3, y.numel(), dtype=F64).cos().reshape(y.shape)
        assert torch.equal(y.detach(), right[0])
        assert torch.equal(torch.autograd.grad(y, x, g)[0], right[1])
        jacobian = torch.compile(lambda v: torch.func.jacfwd(module)(v), fullgraph=True, backend="eager")
        torch.testing.assert_close(jacobian(points(3)), torch.func.jacfwd(module)(points(3)), rtol=1e-12, atol=1e-12)
        batch = torch.export.Dim("batch", min=2)
        program = torch.export.export(module, (points(5),), dynamic_shapes=({0: batch},))
        assert any("intertwine.harmonics" in str(node.target) for node in program.graph.nodes)
        stored = io.BytesIO()
        torch.export.save(program, stored)
        stored.seek(0)
        exported = torch.export.load(stored).module()
        for n in (2, 40):
            torch.testing.assert_close(exported(points(n)), module(points(n)), rtol=1e-13, atol=1e-13)
        with kernels("reference"):
            plain = torch.export.export(copy.deepcopy(module), (points(5),), dynamic_shapes=({0: batch},))
        assert not any("intertwine" in str(node.target) for node in plain.graph.nodes)
