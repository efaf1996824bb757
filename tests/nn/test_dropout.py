"""Dropout: whole irreps, e3nn's random numbers, the right rate."""

from __future__ import annotations

import pytest
import torch
from nn_checks import D, swapped, travels
from switches import as_users_run_it

from intertwine.nn.irreps.dropout import Dropout
from intertwine.numerics import InputError
from intertwine.o3 import Irreps

IRREPS = "3x0e+2x1o+2e"
layouts = pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])


@layouts
@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("shape", [(6,), (6, 2), (3, 2, 2)])
def test_against_e3nn(shape, p, layout, generator) -> None:
    from e3nn import nn

    x = Irreps(IRREPS).randn(*shape, -1, dtype=D, generator=generator).requires_grad_()
    ours, theirs = Dropout(IRREPS, p, layout=layout), nn.Dropout(IRREPS, p)
    torch.manual_seed(3)
    expected = theirs(x)
    torch.manual_seed(3)
    given = swapped(x, IRREPS) if layout == "ir_mul" else x
    found = ours(given)
    back = swapped(found, IRREPS, "ir_mul") if layout == "ir_mul" else found
    assert torch.equal(back, expected)
    torch.testing.assert_close(
        *(torch.autograd.grad(y.sin().sum(), x)[0] for y in (back, expected)), rtol=0, atol=1e-14
    )


def test_whole_irreps_at_the_right_rate() -> None:
    module, x = Dropout("2x1o", 0.3), torch.ones(20_000, 2, 6, dtype=D)
    y = module(x).unflatten(-1, (2, 3))
    assert torch.equal(y[..., :1].expand_as(y), y)
    assert torch.equal(y[:, :1].expand_as(y), y)  # one draw a batch entry, for all its samples
    assert set(y.unique().tolist()) == {0.0, 1 / 0.7}
    # the standard error of 40,000 draws is 0.0023
    assert float((y == 0).double().mean()) == pytest.approx(0.3, abs=0.01)


@layouts
def test_evaluation_leaves_the_features(layout, generator) -> None:
    module = Dropout(IRREPS, 0.5, layout=layout).eval()
    x = Irreps(IRREPS).randn(4, -1, dtype=D, generator=generator)
    assert torch.equal(module(x), x)
    travels(module, x, batched=False)
    module.train()
    assert module(x[:0]).shape == x[:0].shape
    assert module(x.float()).dtype == torch.float32
    assert Dropout("", 0.5)(x[:, :0]).shape == (4, 0)


def test_errors() -> None:
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="probability"):
            Dropout("2x0e", p)
    with pytest.raises(InputError):
        Dropout("2x0e", 0.1, layout="x")
    with pytest.raises(InputError, match="expected"):
        Dropout("2x0e", 0.1)(torch.ones(3, 3))


def test_the_batch_axis_is_needed() -> None:
    with as_users_run_it(), pytest.raises(InputError, match="batch axis"):
        Dropout("2x0e+3x1o", 0.5)(torch.randn(11))
