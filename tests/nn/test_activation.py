"""Functions of scalars: e3nn's constants and parities, and where a function has none."""

from __future__ import annotations

import contextlib
import math

import pytest
import torch
from nn_checks import D, commutes, differentiates, same_as, travels
from switches import default_precision
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import silu, softplus

from intertwine.nn.irreps.activation import Activation, _sample, moment, normalize2mom
from intertwine.numerics import InputError
from intertwine.o3 import Irreps


@pytest.mark.parametrize(
    "f", [torch.tanh, silu, torch.relu, torch.sigmoid, torch.abs, torch.cos, softplus, torch.nn.ELU()]
)
def test_constants_are_e3nns(f) -> None:
    from e3nn import math as theirs

    assert normalize2mom(f).cst == pytest.approx(theirs.normalize2mom(f).cst, abs=1e-12)
    for dtype in (torch.float32, D):
        for n in (1, 2, 3):
            assert float(moment(f, n, dtype=dtype)) == float(theirs.moment(f, n, dtype=dtype))


def test_moments_of_known_functions() -> None:
    """The sample of a million is good to three digits."""
    assert float(moment(lambda x: x, 4, dtype=D)) == pytest.approx(3.0, abs=2e-2)
    assert float(moment(torch.cos, 1, dtype=D)) == pytest.approx(math.exp(-0.5), abs=2e-3)
    z = torch.randn(100_000, dtype=D, generator=torch.Generator().manual_seed(1))
    assert float(normalize2mom(silu)(z).square().mean()) == pytest.approx(1.0, abs=2e-2)


def test_a_function_that_works_in_place_spoils_nothing() -> None:
    before = normalize2mom(torch.tanh).cst
    normalize2mom(torch.tanh_)
    assert normalize2mom(torch.tanh).cst == before


def test_a_constant_near_one_is_left_out(generator) -> None:
    x = torch.randn(5, dtype=D, generator=generator)
    module = normalize2mom(lambda x: x * 1.00001 * normalize2mom(lambda y: y).cst)
    assert torch.equal(module(x), module.f(x))


@pytest.mark.parametrize(
    ("irreps", "acts"),
    [
        ("3x0e+2x0o+1x0e", [silu, torch.tanh, torch.sigmoid]),
        ("3x0e+2x1o", [silu, None]),
        ("2x1o+3x0o", [None, torch.abs]),
        ("2x1o+3x0o", [None, None]),
        ("0x0e+2x0e", [silu, torch.tanh]),
        ("4x0o", [torch.sin]),
    ],
)
def test_against_e3nn(irreps, acts, generator) -> None:
    from e3nn import nn

    with default_precision(D):
        theirs = nn.Activation(irreps, acts)
    ours = Activation(irreps, acts)
    assert (str(ours.irreps_in), str(ours.irreps_out)) == (str(theirs.irreps_in), str(theirs.irreps_out))
    assert [path[:2] for path in ours.paths] == [(path[0], tuple(path[1])) for path in theirs.paths]
    ours.load_state_dict(theirs.state_dict())
    x = Irreps(irreps).randn(4, -1, dtype=D, generator=generator)
    same_as(ours, theirs, x)
    commutes(ours, x)
    torch.testing.assert_close(ours(x.T, dim=0), ours(x).T, rtol=0, atol=0)


def test_derivatives_and_travel(generator) -> None:
    module = Activation("3x0e+2x0o+1o", [silu, torch.tanh, None])
    x = torch.randn(3, 8, dtype=D, generator=generator)
    differentiates(module, x)
    travels(module, x)
    assert torch.equal(Activation("", [])(x[:, :0]), x[:, :0])


@pytest.mark.parametrize(
    ("irreps", "acts"),
    [("2x1o", [torch.tanh]), ("2x0o", [silu]), ("2x0e", []), ("2x0e", [None, None]), ("2x0o", [torch.sigmoid])],
)
def test_errors(irreps, acts) -> None:
    with pytest.raises(InputError):
        Activation(irreps, acts)


def test_errors_of_a_call() -> None:
    with pytest.raises(InputError, match="expected"):
        Activation("2x0e", [torch.tanh])(torch.ones(3))
    with pytest.raises(InputError):
        Activation("2x0e", [torch.tanh], layout="mul")


def test_no_mode_and_no_function_spoils_the_sample() -> None:
    right = normalize2mom(silu).cst
    _sample.cache_clear()
    normalize2mom(torch.nn.ReLU(inplace=True))
    assert normalize2mom(silu).cst == right
    _sample.cache_clear()
    with torch.device("meta"):
        assert normalize2mom(silu).cst == right
    _sample.cache_clear()
    with torch.inference_mode():
        normalize2mom(silu)
    layer = torch.nn.Linear(1, 1, dtype=D)
    # refused, had the sample been made in inference mode
    moment(lambda z: layer(z[:, None])[:, 0], 2, dtype=D).backward()
    assert layer.weight.grad is not None
    _sample.cache_clear()
    with FakeTensorMode(), contextlib.suppress(RuntimeError):
        normalize2mom(silu)
    assert normalize2mom(silu).cst == right
