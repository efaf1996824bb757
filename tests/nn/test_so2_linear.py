"""The maps between orders of a frame: how many, how large, truncated, and the two modes beside each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from intertwine.nn.so2.convolution import SO2Convolution
from intertwine.nn.so2.linear import SO2Linear

D = torch.float64


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain torch in the place of compiled kernels, which take a second for each new plan."""
    monkeypatch.setenv("INTERTWINE_KERNELS", "reference")


def inputs(layer: SO2Convolution, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, edge vectors (one of length zero), edge_index, and numbers of the edges."""
    r = torch.randn(7, 3, dtype=D, generator=generator)
    r[0] = 0
    x = torch.randn(4, layer.irreps_in.dim, dtype=D, generator=generator)
    return (
        x,
        r,
        torch.randint(4, (2, 7), generator=generator),
        torch.randn(7, layer.weight_numel, dtype=D, generator=generator),
    )


def test_counts_of_weights() -> None:
    natural = SO2Convolution("5x0e+5x1o+5x2e", "5x0e+5x1o+5x2e")
    assert natural.weight_numel == 5 * (9 + 4 + 1)
    assert SO2Convolution("5x0e+5x1o+5x2e", "5x0e+5x1o+5x2e", reflections=False).weight_numel == 5 * (9 + 2 * 4 + 2 * 1)
    assert SO2Convolution("5x0e+5x1o+5x2e", "5x0e+5x1o+5x2e", mode="uvw").weight_numel == 5 * (3 + 2 + 1)
    assert SO2Linear("5x0e+4x1o", "3x0e+2x1o", mode="uvw").weight_numel == 9 * 5 + 4 * 2


@pytest.mark.parametrize(
    ("left", "right"),
    [("4x0e+4x1o+4x2e", "4x0e+4x1o+4x2e"), ("3x0e+3x0o+3x1o+3x1e+2x2e", "3x2o+3x0o+2x1o+3x1e+2x2e")],
)
def test_truncation_drops_the_higher_orders(left: str, right: str, generator: torch.Generator) -> None:
    whole, part = (SO2Convolution(left, right, mmax=mmax, dtype=D) for mmax in (None, 1))
    x, r, edge_index, w = inputs(whole, generator)
    kept = sum(slot.numel for slot in whole.linear.slots if slot.order <= 1)
    w[:, kept:] = 0  # weights lie in the order of m
    assert part.weight_numel == kept
    ratio = [
        a / b
        for (mul, ir), a, b in zip(part.irreps_out, part.linear.factors, whole.linear.factors)
        for _ in range(mul * ir.dim)
    ]
    expected = whole(x, r, edge_index, w) * torch.tensor(ratio, dtype=D)
    torch.testing.assert_close(part(x, r, edge_index, w[:, :kept]), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reflections", [True, False])
def test_modes_agree_where_there_is_one_channel(reflections: bool, generator: torch.Generator) -> None:
    left, right = "1x0e+1x1o+1x1e+1x2e", "1x2o+1x1o+1x0e+1x3o"
    apart = SO2Convolution(left, right, mode="uvu", reflections=reflections, dtype=D)
    mixing = SO2Convolution(left, right, mode="uvw", reflections=reflections, dtype=D)
    x, r, edge_index, scale = inputs(mixing, generator)
    weights = []
    for slot in mixing.linear.slots:
        own = mixing.weight[slot.start : slot.start + slot.numel].view(slot.shape)
        places = [mixing.linear._inputs[slot.order].index(a) for a in slot.inputs]
        factors = scale[:, mixing.linear._scales[slot.order]][:, places]
        weights.append((factors[:, None] * own.T).flatten(1))
    found = mixing(x, r, edge_index, scale)
    torch.testing.assert_close(found, apart(x, r, edge_index, torch.cat(weights, 1)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        mixing(x, r, edge_index), mixing(x, r, edge_index, torch.ones_like(scale)), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize(
    ("left", "right", "options"),
    [
        ("2x0e+2x1o+2x2e", "2x1o+2x0e+2x3o", {}),
        ("2x0o+2x1e+2x2e", "2x1o+2x2o", {"mmax": 1}),
        ("2x0e+2x1o", "2x1e+2x2e", {"reflections": False}),
        ("1x0o+2x1o+2x1e", "3x1o+2x2o", {"mode": "uvw"}),
        ("2x0e+3x1o+1x2e", "2x1e+1x2e", {"mode": "uvw", "mmax": 1, "reflections": False}),
    ],
)
def test_variance_is_one(left: str, right: str, options: dict, generator: torch.Generator) -> None:
    """Exactly: the squares of the coefficients of the bilinear map, summed over features and weights, mean over
    components.
    """
    layer = SO2Convolution(left, right, dtype=D, **options)
    size, r = layer.irreps_in.dim, torch.randn(1, 3, dtype=D, generator=generator)
    x, loops = torch.eye(size, dtype=D), torch.arange(size).expand(2, -1)
    found = torch.zeros(layer.irreps_out.dim, dtype=D)
    for w in torch.eye(layer.weight_numel if layer.weight is None else layer.weight.numel(), dtype=D):
        if layer.weight is None:
            z = layer(x, r.expand(size, -1), loops, w.expand(size, -1))
        else:
            z = torch.func.functional_call(layer, {"weight": w}, (x, r.expand(size, -1), loops))
        found += z.detach().square().sum(0)
    for where in layer.irreps_out.slices():
        assert abs(float(found[where].mean()) - 1) < 1e-12
