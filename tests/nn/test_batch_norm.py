"""Batch normalisation: every option of e3nn's, running averages over several batches, both layouts."""

from __future__ import annotations

import itertools

import pytest
import torch
from nn_checks import D, commutes, differentiates, finite_to_the_third, same_as, swapped, travels
from switches import as_users_run_it, default_precision

from intertwine.nn.irreps.batch_norm import BatchNorm
from intertwine.numerics import InputError
from intertwine.o3 import Irreps

IRREPS = "3x0e+2x1o+2x0o+1x0e+2x2e"
OPTIONS = [
    dict(zip(("affine", "reduce", "instance", "include_bias", "normalization"), values))
    for values in itertools.product((True, False), ("mean", "max"), (False, True), (True, False), ("component", "norm"))
]
layouts = pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])


@layouts
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_against_e3nn(options, layout, generator) -> None:
    from e3nn import nn

    with default_precision(D):
        theirs = nn.BatchNorm(IRREPS, eps=1e-3, momentum=0.3, **options)
    ours = BatchNorm(IRREPS, eps=1e-3, momentum=0.3, layout=layout, dtype=D, **options)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    ours.load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for shape in ((4, 5), (3,), (2, 3, 2)):  # three batches move the running averages
        same_as(ours, theirs, Irreps(IRREPS).randn(*shape, -1, dtype=D, generator=generator) + 0.5, layout)
    ours.eval(), theirs.eval()
    same_as(ours, theirs, Irreps(IRREPS).randn(4, 2, -1, dtype=D, generator=generator), layout)


@layouts
@pytest.mark.parametrize("instance", [False, True])
def test_commutes_and_differentiates(instance, layout, generator) -> None:
    module = BatchNorm(IRREPS, instance=instance, layout=layout, dtype=D)
    x = module.irreps.randn(3, 4, -1, dtype=D, generator=generator)
    commutes(module, x, layout)
    differentiates(
        lambda x, w, b: torch.func.functional_call(module, {"weight": w, "bias": b}, x), x, module.weight, module.bias
    )
    module.eval()
    differentiates(module, x)


def test_output_is_normalised(generator) -> None:
    module = BatchNorm("2x0e+3x1o", dtype=D)
    x = 3 * module.irreps.randn(1000, -1, dtype=D, generator=generator) + 100.0
    y = module(x)
    assert float(y[:, :2].mean(0).abs().max()) < 1e-12
    torch.testing.assert_close(y[:, :2].square().mean(0), torch.ones(2, dtype=D), rtol=1e-4, atol=0)
    torch.testing.assert_close(
        y[:, 2:].square().unflatten(1, (3, 3)).mean((0, 2)), torch.ones(3, dtype=D), rtol=1e-4, atol=0
    )


def test_a_large_mean_costs_no_more_digits_than_the_input_has(generator) -> None:
    x = torch.randn(500, 4, dtype=D, generator=generator) + 1000.0
    exact, found = BatchNorm("4x0e", dtype=D)(x.float().double()), BatchNorm("4x0e", dtype=torch.float32)(x.float())
    assert float((found - exact).abs().max()) < 1000 * 4 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("options", [{}, {"instance": True}, {"normalization": "norm"}, {"affine": False}])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_inputs(options, value) -> None:
    module = BatchNorm("2x0e+2x1o", dtype=D, **options)
    finite_to_the_third(module, torch.full((3, 2, 8), value, dtype=D))


@layouts
def test_travels(layout, generator) -> None:
    module = BatchNorm(IRREPS, layout=layout, dtype=D)
    x = module.irreps.randn(6, -1, dtype=D, generator=generator)
    module(x)
    travels(module.eval(), x, batched=False)
    torch.testing.assert_close(module(x[:, None]), module(x)[:, None], rtol=0, atol=0)
    other = BatchNorm(IRREPS, layout="ir_mul" if layout == "mul_ir" else "mul_ir", dtype=D)
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(
        swapped(other.eval()(swapped(x, IRREPS, layout)), IRREPS, other.layout), module(x), rtol=0, atol=1e-14
    )


def test_an_empty_batch_teaches_nothing() -> None:
    module = BatchNorm("2x0e+1o")
    assert module(torch.ones(0, 5)).shape == (0, 5)
    assert module(torch.ones(3, 0, 5)).shape == (3, 0, 5)
    assert torch.equal(module.running_var, torch.ones(3))
    assert BatchNorm("")(torch.ones(3, 0)).shape == (3, 0)


def test_errors() -> None:
    for options in ({"reduce": "sum"}, {"normalization": "integral"}, {"layout": "x"}):
        with pytest.raises(InputError):
            BatchNorm("2x0e", **options)
    with pytest.raises(InputError, match="expected"):
        BatchNorm("2x0e")(torch.ones(3, 3))


def test_the_batch_axis_and_floats_are_needed() -> None:
    module = BatchNorm("2x0e+3x1o")
    for wrong in (torch.randn(11), torch.ones(4, 11, dtype=torch.int64)):
        with as_users_run_it(), pytest.raises(InputError, match="expected floats of shape"):
            module(wrong)
