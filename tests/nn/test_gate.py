"""Gates: e3nn's order of blocks and numbers, both layouts."""

from __future__ import annotations

import pytest
import torch
from nn_checks import D, commutes, differentiates, finite_to_the_third, same_as, swapped, travels
from switches import default_precision
from torch.nn.functional import silu

from intertwine.nn.irreps.gate import Gate
from intertwine.numerics import InputError

tanh, sigmoid = torch.tanh, torch.sigmoid
CASES = [
    ("16x0o", [tanh], "32x0o", [tanh], "16x1e+16x1o"),
    ("3x0e+2x0o", [silu, tanh], "3x0e+1x0o", [sigmoid, tanh], "2x1o+1x2e+1x1e"),
    ("3x0e+2x0e", [silu, tanh], "1x0e+2x0e", [sigmoid, silu], "3x1o"),
    ("3x0e", [silu], "2x0o+1x0e+2x0o", [tanh, sigmoid, torch.abs], "1x1o+3x2e+1x0o"),
    ("", [], "3x0e", [sigmoid], "1x1o+1x1o+1x2e"),
    ("3x0e+2x0o", [silu, tanh], "", [], ""),
    ("2x0e", [None], "2x0e", [None], "2x2o"),
    ("0x0e+2x0e", [silu, silu], "2x0e", [silu], "0x1o+2x1o"),
]
cases = pytest.mark.parametrize("arguments", CASES)
layouts = pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])


@layouts
@cases
def test_against_e3nn(arguments, layout, generator) -> None:
    from e3nn import nn

    with default_precision(D):
        theirs = nn.Gate(*arguments)
    ours = Gate(*arguments, layout=layout)
    for name in ("irreps_in", "irreps_out", "irreps_scalars", "irreps_gates", "irreps_gated"):
        assert str(getattr(ours, name)) == str(getattr(theirs, name)), name
    ours.load_state_dict(theirs.state_dict())
    same_as(ours, theirs, ours.irreps_in.randn(4, -1, dtype=D, generator=generator), layout)


@layouts
@cases
def test_commutes_and_differentiates(arguments, layout, generator) -> None:
    module = Gate(*arguments, layout=layout)
    x = module.irreps_in.randn(3, -1, dtype=D, generator=generator)
    commutes(module, x, layout)
    differentiates(module, x)
    finite_to_the_third(module, torch.zeros_like(x[:1]))


@layouts
def test_travels(layout, generator) -> None:
    module = Gate(*CASES[1], layout=layout)
    travels(module, module.irreps_in.randn(3, -1, dtype=D, generator=generator))


def test_by_hand() -> None:
    gate = Gate("1x0e", [None], "1x0e", [None], "1x1o")
    assert torch.equal(gate(torch.tensor([2.0, 3.0, 1.0, -1.0, 0.5])), torch.tensor([2.0, 3.0, -3.0, 1.5]))
    x = torch.randn(2, 5)
    assert torch.equal(
        Gate("1x0e", [None], "1x0e", [None], "1x1o", layout="ir_mul")(swapped(x, gate.irreps_in)), gate(x)
    )


def test_errors() -> None:
    for bad in (
        ("1x1o", [None], "", [], ""),
        ("1x0e", [None], "1x1o", [None], "1x1o"),
        ("1x0e", [None], "2x0e", [None], "1x1o"),
        ("1x0e", [], "1x0e", [None], "1x1o"),
        ("1x0o", [silu], "1x0e", [None], "1x1o"),
    ):
        with pytest.raises(InputError):
            Gate(*bad)
    with pytest.raises(InputError):
        Gate("1x0e", [None], "", [], "", layout="other")
    with pytest.raises(InputError, match="expected"):
        Gate("1x0e", [None], "1x0e", [None], "1x1o")(torch.ones(4))


def test_gates_in_several_blocks_leave_the_gated_irreps_whole() -> None:
    arguments = (
        "2x0e",
        [torch.tanh],
        "3x0e+1x0e+2x0o+2x0o",
        [silu, torch.sigmoid, torch.tanh, torch.tanh],
        "5x1o+3x1o",
    )
    assert str(Gate(*arguments).irreps_out) == "2x0e+4x1o+4x1e"
