"""Parts of a representation."""

from __future__ import annotations

import pytest
import torch
from nn_checks import D, differentiates, travels
from switches import default_precision

from intertwine.nn.irreps.extract import Extract, ExtractIr, Identity
from intertwine.numerics import InputError

CASES = [
    ("1e+0e+0e", ["0e", "0e"], [(1,), (2,)]),
    ("2x1o+0e+3x0o", ["3x0o+2x1o", "", "0e+0e"], [(2, 0), (), (1, 1)]),
    ("2x1o+0e", ["2x1o+0e"], [(0, 1)]),
    ("2x1o+0x0e+0e", ["0x0e+0e"], [(1, 2)]),
]


@pytest.mark.parametrize("squeeze", [False, True])
@pytest.mark.parametrize(("irreps_in", "irreps_outs", "instructions"), CASES)
def test_against_e3nn(irreps_in, irreps_outs, instructions, squeeze, generator) -> None:
    from e3nn import nn

    ours = Extract(irreps_in, irreps_outs, instructions, squeeze)
    theirs = nn.Extract(irreps_in, irreps_outs, instructions, squeeze)
    x = torch.randn(2, 3, ours.irreps_in.dim, dtype=D, generator=generator)
    mine, other = ours(x), theirs(x)
    assert isinstance(mine, tuple) == isinstance(other, tuple)
    for a, b in zip(
        mine if isinstance(mine, tuple) else (mine,), other if isinstance(other, tuple) else (other,), strict=True
    ):
        assert torch.equal(a, b)


def test_one_irrep(generator) -> None:
    from e3nn import nn

    ours, theirs = ExtractIr("2x1e+0e+1o+1e", "1e"), nn.ExtractIr("2x1e+0e+1o+1e", "1e")
    assert str(ours.irreps_out) == str(theirs.irreps_out) == "2x1e+1x1e"
    x = torch.randn(4, 13, dtype=D, generator=generator)
    assert torch.equal(ours(x), theirs(x))
    differentiates(ours, x)
    travels(ours, x)
    assert ExtractIr("2x1o", "0e")(torch.ones(3, 6)).shape == (3, 0)


def test_identity(generator) -> None:
    from e3nn import nn

    with default_precision(D):
        theirs = nn.Identity("3x0e+1o+1o", "3x0e+2x1o")
    ours = Identity("3x0e+1o+1o", "3x0e+2x1o", dtype=D)
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours.output_mask, theirs.output_mask)
    x = torch.randn(4, 9, dtype=D, generator=generator)
    assert ours(x) is x


def test_errors() -> None:
    for bad in (
        ("0e", ["0e"], []),
        ("0e", ["0e"], [(1,)]),
        ("0e", ["1o"], [(0,)]),
        ("0e+1o", ["0e"], [(0, 1)]),
        ("2x0e", ["0e"], [(0,)]),
    ):
        with pytest.raises(InputError):
            Extract(*bad)
    with pytest.raises(InputError):
        Identity("0e", "0o")
    with pytest.raises(InputError, match="expected"):
        Extract("0e+1o", ["0e"], [(0,)])(torch.ones(3))
