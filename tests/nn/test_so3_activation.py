"""A nonlinearity on the rotation group: equivariant, e3nn's numbers, every way a module travels."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from switches import as_users_run_it

from intertwine.groups.rotations import rand_matrix
from intertwine.nn.irreps.so3_activation import SO3Activation
from intertwine.numerics import InputError

D = torch.float64


def square(x: torch.Tensor) -> torch.Tensor:
    return x * x


@pytest.mark.parametrize(("lmax_in", "lmax_out"), [(0, 0), (1, 2), (2, 3), (3, 1)])
def test_exactly_equivariant_where_the_grid_resolves(lmax_in: int, lmax_out: int, generator) -> None:
    module = SO3Activation(lmax_in, lmax_out, square, lmax_in + lmax_out // 2 + 1, dtype=D)
    rotation = rand_matrix(dtype=D, generator=generator)
    x = module.irreps_in.randn(2, -1, dtype=D, generator=generator)
    expected = module(x) @ module.irreps_out.D_from_matrix(rotation).T
    torch.testing.assert_close(module(x @ module.irreps_in.D_from_matrix(rotation).T), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("lmax_in", "lmax_out", "aspect_ratio"), [(2, 2, 2), (1, 3, 1), (3, 0, 2)])
def test_against_e3nn(lmax_in: int, lmax_out: int, aspect_ratio: int, generator, oracle_in_double) -> None:
    from e3nn import nn

    ours, theirs = (
        cls(lmax_in, lmax_out, torch.tanh, 4, aspect_ratio=aspect_ratio) for cls in (SO3Activation, nn.SO3Activation)
    )
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    inputs = [ours.irreps_in.randn(2, 3, -1, generator=generator.manual_seed(0)).requires_grad_() for _ in range(2)]
    results = [module(x) for module, x in zip((ours, theirs), inputs)]
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-10)
    gradients = [torch.autograd.grad(y.sin().sum(), x)[0] for y, x in zip(results, inputs)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-10)


def test_layouts_are_one_map(generator) -> None:
    outer, inner = (SO3Activation(2, 1, torch.tanh, 4, layout=layout, dtype=D) for layout in ("mul_ir", "ir_mul"))

    def transpose(x: torch.Tensor, lmax: int) -> torch.Tensor:
        sizes = [2 * l + 1 for l in range(lmax + 1)]
        return torch.cat(
            [part.unflatten(-1, (n, n)).mT.flatten(-2) for n, part in zip(sizes, x.split([n * n for n in sizes], -1))],
            -1,
        )

    x = outer.irreps_in.randn(3, -1, dtype=D, generator=generator)
    torch.testing.assert_close(inner(transpose(x, 2)), transpose(outer(x), 1), rtol=0, atol=1e-13)


def test_derivatives(generator) -> None:
    module = SO3Activation(1, 1, torch.tanh, 2, dtype=D)
    x = torch.randn(2, 10, dtype=D, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(module, x)
    assert torch.autograd.gradgradcheck(module, x)


def test_travels(generator) -> None:
    module = SO3Activation(2, 1, torch.tanh, 3, dtype=D)
    x = torch.randn(4, 35, dtype=D, generator=generator)
    expected = module(x)
    assert torch.equal(copy.deepcopy(module)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), expected)
    assert torch.equal(copy.deepcopy(module).float().double()(x), expected)
    assert not module.state_dict()
    assert module.float()(x.float()).dtype == torch.float32
    assert module.double()(x[:0]).shape == (0, 10)
    torch.testing.assert_close(torch.func.vmap(module)(x), expected, rtol=0, atol=1e-13)
    with as_users_run_it():
        torch.testing.assert_close(
            torch.compile(module, fullgraph=True, backend="aot_eager")(x), expected, rtol=0, atol=1e-12
        )
        torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), expected, rtol=0, atol=1e-12)


def test_errors() -> None:
    for bad in (
        lambda: SO3Activation(-1, 1, torch.tanh, 3),
        lambda: SO3Activation(1, 1, torch.tanh, 0),
        lambda: SO3Activation(1, 1, torch.tanh, 3, normalization="norm"),
        lambda: SO3Activation(1, 1, torch.tanh, 3, layout="mul"),
        lambda: SO3Activation(1, 1, torch.tanh, 3)(torch.ones(9)),
    ):
        with pytest.raises(InputError):
            bad()
