"""Networks of scalars: e3nn's names, draws and numbers; the variance they promise."""

from __future__ import annotations

import pytest
import torch
from nn_checks import D, differentiates, travels
from switches import default_precision
from torch.nn.functional import silu

from intertwine.nn.irreps.fully_connected import FullyConnectedLayer, FullyConnectedNet
from intertwine.numerics import InputError

CASES = [
    ([3, 8, 2], silu, {}),
    ([3, 8, 2], None, {}),
    ([3, 8, 7, 2], torch.tanh, {"variance_in": 2.0, "variance_out": 0.5, "out_act": True}),
    ([4, 2], torch.tanh, {"variance_in": 0.1, "variance_out": 10.0}),
    ([4, 2], torch.tanh, {"out_act": True, "variance_out": 3.0}),
    ([4], torch.tanh, {}),
]


@pytest.mark.parametrize("dtype", [D, torch.float32])
@pytest.mark.parametrize(("sizes", "act", "options"), CASES)
def test_against_e3nn(sizes, act, options, dtype, generator) -> None:
    from e3nn import nn

    with default_precision(dtype):
        torch.manual_seed(4)
        theirs = nn.FullyConnectedNet(sizes, act, **options)
    torch.manual_seed(4)
    ours = FullyConnectedNet(sizes, act, dtype=dtype, **options)
    assert ours.hs == theirs.hs
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)
    x = torch.randn(5, 2, sizes[0], dtype=dtype, generator=generator).requires_grad_()
    bound = 1e-12 if dtype == D else 1e-5
    values = [net(x) for net in (ours, theirs)]
    torch.testing.assert_close(values[0], values[1], rtol=bound, atol=bound)
    for mine, other in zip(
        *(torch.autograd.grad(y.sin().sum(), [x, *net.parameters()]) for y, net in zip(values, (ours, theirs)))
    ):
        torch.testing.assert_close(mine, other, rtol=bound, atol=bound)


def test_one_layer_is_e3nns(generator) -> None:
    from e3nn.nn._fc import _Layer

    ours, theirs = FullyConnectedLayer(3, 4, torch.tanh, 2, 0.5), _Layer(3, 4, torch.tanh, 2, 0.5)
    ours.load_state_dict(theirs.state_dict())
    assert (ours.h_in, ours.h_out, ours.var_in, ours.var_out) == (
        theirs.h_in,
        theirs.h_out,
        theirs.var_in,
        theirs.var_out,
    )
    x = torch.randn(5, 3, generator=generator)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("variance_in", "variance_out", "out_act"), [(1, 1, False), (0.1, 10.0, False), (0.1, 0.05, True)]
)
def test_the_variance_is_kept(variance_in, variance_out, out_act, generator) -> None:
    net = FullyConnectedNet((300, 200, 400, 200), torch.tanh, variance_in, variance_out, out_act, dtype=D)
    x = variance_in**0.5 * torch.randn(200, 300, dtype=D, generator=generator)
    assert float(net(x).square().mean()) / variance_out == pytest.approx(1.0, abs=0.2)


def test_derivatives_and_travel(generator) -> None:
    net = FullyConnectedNet([3, 8, 2], silu, dtype=D)
    x = torch.randn(4, 3, dtype=D, generator=generator)
    first, second = net.layer0.weight, net.layer1.weight
    differentiates(
        lambda x, a, b: torch.func.functional_call(net, {"layer0.weight": a, "layer1.weight": b}, x), x, first, second
    )
    travels(net, x)


def test_errors() -> None:
    with pytest.raises(InputError):
        FullyConnectedNet([3, -1, 2], silu)


@pytest.mark.parametrize("act", [None, silu])
def test_no_inputs_give_zeros(act: object) -> None:
    assert FullyConnectedNet([0, 4, 3], act)(torch.ones(2, 0)).equal(torch.zeros(2, 3))


def test_a_wrong_number_of_inputs_is_named() -> None:
    with pytest.raises(InputError, match=r"expected \(\.\.\., 3\)"):
        FullyConnectedNet([3, 4], None)(torch.zeros(2, 5))
