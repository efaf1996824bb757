"""Norms of irreps: e3nn's values, both layouts, and finite derivatives of every order at zero."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from intertwine.groups.rotations import rand_matrix
from intertwine.numerics import InputError
from intertwine.o3.blocks import join_blocks, split_blocks
from intertwine.o3.irreps import Irreps
from intertwine.o3.norm import Norm

D = torch.float64
IRREPS = ["2x0e+3x1o+2x2e", "1o+2x1o+0x2e+1e", "3x0o", ""]


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("irreps", IRREPS)
def test_against_e3nn(irreps, squared, generator, oracle_in_double) -> None:
    from e3nn import o3

    ours, theirs = Norm(irreps, squared), o3.Norm(irreps, squared)
    assert (str(ours.irreps_in), str(ours.irreps_out)) == (str(theirs.irreps_in), str(theirs.irreps_out))
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, ours.irreps_in.dim, generator=generator)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    values = [module(leaf) for module, leaf in zip((ours, theirs), inputs)]
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=1e-13)
    if x.numel():
        gradients = [torch.autograd.grad(value.sin().sum(), leaf)[0] for value, leaf in zip(values, inputs)]
        torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_layouts_invariance_and_derivatives(layout, squared, generator) -> None:
    module = Norm("2x0e+3x1o+2x2e", squared, layout=layout)
    irreps = module.irreps_in
    plain = irreps.randn(3, -1, dtype=D, generator=generator)
    x = join_blocks(split_blocks(plain, irreps), layout)
    expected = torch.cat([block.norm(dim=-1) for block in split_blocks(plain, irreps)], -1) ** (2 if squared else 1)
    torch.testing.assert_close(module(x), expected, rtol=1e-14, atol=0)
    turned = plain @ irreps.D_from_matrix(-rand_matrix(dtype=D, generator=generator)).T
    torch.testing.assert_close(module(join_blocks(split_blocks(turned, irreps), layout)), expected, rtol=1e-13, atol=0)
    assert torch.autograd.gradcheck(module, x.requires_grad_(), fast_mode=True)
    assert torch.autograd.gradgradcheck(module, x, fast_mode=True)


@pytest.mark.parametrize("squared", [False, True])
def test_zero_vectors(squared: bool) -> None:
    module = Norm("2x0e+2x1o+2e", squared)
    x = torch.zeros(2, 13, dtype=D)
    x[1, :5] = 1.0  # zero beside others
    current, leaf = module(x.requires_grad_()), x
    assert not current[0].any()
    for order in range(3):
        (current,) = torch.autograd.grad(
            (current * torch.arange(1.0, 1.0 + current[0].numel(), dtype=D)).sum(), leaf, create_graph=True
        )
        assert current.isfinite().all()
        assert order or not current[0].any()
        if not current.requires_grad:
            break


def test_travels(generator) -> None:
    module = Norm("2x0e+3x1o")
    x = torch.randn(4, 11, dtype=D, generator=generator)
    expected = module(x)
    assert torch.equal(copy.deepcopy(module)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), expected)
    assert torch.equal(torch.func.vmap(module)(x), expected)
    assert module.state_dict() == {}
    assert module(x[:0]).shape == (0, 5)
    assert module(x.float()).dtype == torch.float32
    assert Irreps(module.irreps_out) == Irreps("5x0e")


def test_errors() -> None:
    with pytest.raises(InputError, match="expected"):
        Norm("2x1o")(torch.ones(5))
    with pytest.raises(InputError):
        Norm("2x1o", layout="ir")
