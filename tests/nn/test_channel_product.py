"""Products of channels with weighted paths, against the coupling coefficients and their own derivatives."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from intertwine.groups import Isometry
from intertwine.nn.irreps.channel_product import ChannelProduct
from intertwine.numerics import InputError
from intertwine.o3 import Irreps, wigner_3j
from intertwine.o3.blocks import split_blocks

FIRST, SECOND, OUT = "3x0e+3x1o+3x2e", "3x1o+3x0o", "3x1o+3x1o+3x0e+3x2o"


def test_it_is_the_weighted_sum_of_couplings() -> None:
    layer = ChannelProduct(FIRST, SECOND, OUT, dtype=torch.float64)
    x, y = torch.randn(4, Irreps(FIRST).dim).double(), torch.randn(4, Irreps(SECOND).dim).double()
    found = split_blocks(layer(torch.cat([x, y], dim=1)), layer.irreps_out, "ir_mul")
    for to, (_, ir) in enumerate(Irreps(OUT)):
        expected, ways = torch.zeros_like(found[to]), 0
        for a, (_, one) in enumerate(Irreps(FIRST)):
            for b, (_, two) in enumerate(Irreps(SECOND)):
                if ir in one * two:
                    left = split_blocks(x, Irreps(FIRST), "ir_mul")[a]
                    right = split_blocks(y, Irreps(SECOND), "ir_mul")[b]
                    table = ir.dim**0.5 * wigner_3j(one.l, two.l, ir.l, dtype=torch.float64)
                    weight = layer.weight[layer.paths.index((a, b, to))]
                    expected = expected + torch.einsum("zui,zuj,ijk,u->zuk", left, right, table, weight)
                    ways += 1
        assert ways > 0
        assert (found[to] - expected).abs().max() < 1e-12


def test_it_turns_with_its_arguments() -> None:
    layer = ChannelProduct(FIRST, SECOND, OUT, dtype=torch.float64)
    x = torch.randn(4, layer.irreps_in.dim, dtype=torch.float64)
    g = Isometry.random(3, generator=torch.Generator().manual_seed(0), improper=True).rotation

    def turned(values: torch.Tensor, irreps: Irreps) -> torch.Tensor:
        blocks = split_blocks(values, irreps, "ir_mul")
        moved = [block @ ir.D_from_matrix(g).T.to(block) for block, (_, ir) in zip(blocks, irreps, strict=True)]
        return torch.cat([block.transpose(1, 2).flatten(1) for block in moved], dim=1)

    difference = layer(turned(x, layer.irreps_in)) - turned(layer(x), layer.irreps_out)
    assert difference.abs().max() < 1e-12


def test_derivatives() -> None:
    layer = ChannelProduct("2x0e+2x1o", "2x1o", "2x1o+2x1e", dtype=torch.float64)
    x = torch.randn(3, layer.irreps_in.dim, dtype=torch.float64, requires_grad=True)

    def product(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, (values,))

    weight = layer.weight.detach().clone().requires_grad_()
    assert gradcheck(product, (x, weight))
    assert gradgradcheck(product, (x, weight))


def test_what_it_refuses() -> None:
    with pytest.raises(InputError, match=r"blocks of \[2, 3\] channels"):
        ChannelProduct("2x0e", "3x0e", "2x0e")
    with pytest.raises(InputError, match="leads to 2x2e"):
        ChannelProduct("2x0e", "2x1o", "2x1o+2x2e")
    with pytest.raises(InputError, match="features have shape"):
        ChannelProduct("2x0e", "2x0e", "2x0e")(torch.zeros(1, 3))
