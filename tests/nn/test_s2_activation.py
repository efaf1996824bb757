"""A nonlinearity on the sphere: equivariant, e3nn's numbers, every way a module travels."""

from __future__ import annotations

import copy
import io
import itertools
import pickle

import pytest
import torch
from switches import as_users_run_it

from intertwine.groups.rotations import rand_matrix
from intertwine.nn.irreps.s2_activation import S2Activation
from intertwine.numerics import InputError
from intertwine.o3.irreps import Irreps
from intertwine.o3.spherical_tensor import SphericalTensor

D = torch.float64


def square(x: torch.Tensor) -> torch.Tensor:
    return x * x


def cube(x: torch.Tensor) -> torch.Tensor:
    return x**3


@pytest.mark.parametrize(("p_val", "p_arg"), list(itertools.product((1, -1), (1, -1))))
@pytest.mark.parametrize(("act", "power"), [(square, 2), (cube, 3)])
@pytest.mark.parametrize("normalization", ["component", "norm", "integral"])
def test_exactly_equivariant_where_the_grid_resolves(p_val, p_arg, act, power, normalization, generator) -> None:
    irreps = SphericalTensor(3, p_val, p_arg)
    module = S2Activation(irreps, act, power * 3 + 4 + 2, normalization, lmax_out=4, dtype=D)
    assert module.irreps_out == SphericalTensor(4, p_val**power, p_arg)
    rotation = rand_matrix(dtype=D, generator=generator)
    x = irreps.randn(2, -1, dtype=D, generator=generator)
    for q in (rotation, -rotation):
        turned = x @ irreps.D_from_matrix(q).T
        expected = module(x) @ module.irreps_out.D_from_matrix(q).T
        torch.testing.assert_close(module(turned), expected, rtol=1e-12, atol=1e-12 * float(expected.abs().max()))


def test_a_random_turn_changes_nothing_that_is_resolved(generator) -> None:
    irreps = Irreps.spherical_harmonics(3)
    still, turning = (S2Activation(irreps, square, 14, lmax_out=4, random_rot=turn, dtype=D) for turn in (False, True))
    x = irreps.randn(5, -1, dtype=D, generator=generator)
    torch.testing.assert_close(turning(x), still(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("random_rot", [False, True])
@pytest.mark.parametrize(
    ("irreps", "act", "options"),
    [
        ("0e+1o+2e+3o", torch.tanh, {}),
        ("0e+1e+2e", torch.relu, {"lmax_out": 3}),
        ("0o+1e+2o", torch.tanh, {"lmax_out": 1}),
        ("0o+1o+2o", torch.cos, {"normalization": "norm"}),
        ("0e", torch.sigmoid, {"normalization": "integral"}),
    ],
)
def test_against_e3nn(irreps, act, options, random_rot, generator, oracle_in_double) -> None:
    from e3nn import nn

    ours, theirs = (cls(irreps, act, 10, random_rot=random_rot, **options) for cls in (S2Activation, nn.S2Activation))
    assert (str(ours.irreps_in), str(ours.irreps_out), repr(ours)) == (
        str(theirs.irreps_in),
        str(theirs.irreps_out),
        repr(theirs),
    )
    ours.load_state_dict(theirs.state_dict())
    x = ours.irreps_in.randn(2, 3, -1, generator=generator)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    results = []
    for module, argument in zip((ours, theirs), inputs):
        torch.manual_seed(7)
        results.append(module(argument))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-10)
    gradients = [torch.autograd.grad(y.sin().sum(), argument)[0] for y, argument in zip(results, inputs)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-10)


def test_derivatives(generator) -> None:
    module = S2Activation("0e+1o+2e", torch.tanh, 8, dtype=D)
    x = torch.randn(2, 9, dtype=D, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(module, x)
    assert torch.autograd.gradgradcheck(module, x)


@pytest.mark.parametrize("random_rot", [False, True])
@pytest.mark.parametrize("res", [8, 60])
def test_travels(random_rot: bool, res: int, generator) -> None:
    module = S2Activation("0e+1o+2e", torch.tanh, res, random_rot=random_rot, dtype=D)
    x = torch.randn(4, 9, dtype=D, generator=generator)

    def run(subject: torch.nn.Module) -> torch.Tensor:
        torch.manual_seed(3)
        return subject(x)

    expected = run(module)
    assert torch.equal(run(copy.deepcopy(module)), expected)
    assert torch.equal(run(pickle.loads(pickle.dumps(module))), expected)
    assert torch.equal(run(copy.deepcopy(module).float().double()), expected)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    module.load_state_dict(torch.load(file, weights_only=True))
    single = copy.deepcopy(module).float()(x.float())
    assert single.dtype == torch.float32
    assert module(x[:0]).shape == (0, 9)
    if not random_rot:
        torch.testing.assert_close(torch.func.vmap(module)(x), expected, rtol=0, atol=1e-13)
        with as_users_run_it():
            torch.testing.assert_close(
                torch.compile(module, fullgraph=True, backend="aot_eager")(x), expected, rtol=0, atol=1e-12
            )
            torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), expected, rtol=0, atol=1e-12)


def test_errors() -> None:
    for bad in (
        lambda: S2Activation("0e+2e", torch.tanh, 8),
        lambda: S2Activation("2x0e", torch.tanh, 8),
        lambda: S2Activation("", torch.tanh, 8),
        lambda: S2Activation("0e+1o+2o", torch.tanh, 8),
        lambda: S2Activation("0o+1e", torch.relu, 8),
        lambda: S2Activation("0e+1o", torch.tanh, 2),
        lambda: S2Activation("0e+1o", torch.tanh, 8, "components"),
        lambda: S2Activation("0e+1o", torch.tanh, 8, layout="mul"),
        lambda: S2Activation("0e+1o", torch.tanh, (None, 5), lmax_out=3),
        lambda: S2Activation("0e+1o", torch.tanh, 8)(torch.ones(5)),
    ):
        with pytest.raises(InputError):
            bad()
