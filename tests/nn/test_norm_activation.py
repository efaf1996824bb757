"""Functions of norms: e3nn's numbers, the clamp at epsilon, finite derivatives at zero."""

from __future__ import annotations

import pytest
import torch
from nn_checks import D, commutes, differentiates, finite_to_the_third, same_as, travels
from switches import default_precision

from intertwine.nn.irreps.norm_activation import NormActivation
from intertwine.numerics import InputError
from intertwine.o3 import Irreps

IRREPS = ["2x0e+3x1o+2e", "1o+2x1o+0x2e+3x0o", "4x2o"]
layouts = pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])


@layouts
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("epsilon", [None, 0.1, 3.0])
@pytest.mark.parametrize("irreps", IRREPS)
def test_against_e3nn(irreps, epsilon, bias, layout, generator) -> None:
    from e3nn import nn, o3

    with default_precision(D):
        theirs = nn.NormActivation(o3.Irreps(irreps), torch.sigmoid, epsilon=epsilon, bias=bias)
    ours = NormActivation(irreps, torch.sigmoid, epsilon=epsilon, bias=bias, layout=layout, dtype=D)
    assert str(ours.irreps_out) == str(theirs.irreps_out)
    assert ours.epsilon == theirs.epsilon
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    ours.load_state_dict(theirs.state_dict())
    same_as(ours, theirs, Irreps(irreps).randn(4, -1, dtype=D, generator=generator), layout)


@layouts
@pytest.mark.parametrize("bias", [False, True])
def test_without_normalising(bias, layout, generator) -> None:
    """e3nn 0.6 can't: it compares None with 0. By the formula instead."""
    module = NormActivation("2x0e+3x1o", torch.tanh, normalize=False, bias=bias, layout=layout, dtype=D)
    assert module.epsilon is None
    x = Irreps("2x0e+3x1o").randn(4, -1, dtype=D, generator=generator)
    vectors = x[:, 2:].unflatten(1, (3, 3))
    if bias:
        with torch.no_grad():
            module.biases.copy_(torch.arange(5.0))
    shift = module.biases if bias else torch.zeros(5, dtype=D)
    scalars = torch.tanh(x[:, :2].abs() + shift[:2]) * x[:, :2]
    gated = torch.tanh(vectors.norm(dim=-1) + shift[2:])[..., None] * vectors
    if layout == "ir_mul":
        x, gated = torch.cat([x[:, :2], vectors.mT.flatten(1)], 1), gated.mT
    torch.testing.assert_close(module(x), torch.cat([scalars, gated.flatten(1)], 1), rtol=1e-14, atol=1e-14)
    differentiates(module, x)


@layouts
@pytest.mark.parametrize("normalize", [False, True])
def test_commutes_and_travels(normalize, layout, generator) -> None:
    module = NormActivation("2x0e+3x1o+2e", torch.tanh, normalize=normalize, bias=True, layout=layout, dtype=D)
    x = Irreps("2x0e+3x1o+2e").randn(4, -1, dtype=D, generator=generator)
    commutes(module, x, layout)
    differentiates(module, x)
    travels(module, x)


@pytest.mark.parametrize("options", [{}, {"epsilon": 0.5}, {"normalize": False}, {"bias": True}])
def test_zero_vectors(options) -> None:
    module = NormActivation("2x0e+2x1o+2e", torch.sigmoid, dtype=D, **options)
    x = torch.zeros(2, 13, dtype=D)
    x[1, :5] = 1.0
    assert not finite_to_the_third(module, x)[0][0].any()


def test_short_vectors_are_scaled_by_epsilon() -> None:
    module = NormActivation("1o", torch.sigmoid, epsilon=0.5)
    x = torch.tensor([0.0, 0.3, 0.0], dtype=D)
    torch.testing.assert_close(module(x), torch.sigmoid(torch.tensor(0.5, dtype=D)) / 0.5 * x, rtol=1e-15, atol=0)


def test_errors_and_nothing() -> None:
    for options in ({"normalize": False, "epsilon": 0.1}, {"epsilon": 0.0}, {"epsilon": -1.0}, {"layout": "x"}):
        with pytest.raises(InputError):
            NormActivation("2x1o", torch.tanh, **options)
    with pytest.raises(InputError, match="expected"):
        NormActivation("2x1o", torch.tanh)(torch.ones(5))
    assert NormActivation("", torch.tanh)(torch.ones(3, 0)).shape == (3, 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_zero_vectors_in_half_precision(dtype: torch.dtype) -> None:
    x = torch.zeros(2, 7, dtype=dtype, requires_grad=True)
    out = NormActivation("2x1o+0e", torch.sigmoid)(x)
    out.sum().backward()
    assert out.equal(torch.zeros_like(out))
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())
