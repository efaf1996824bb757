"""Maps of nodes by kind: all kinds at once, one after the other, or every node by itself, with the same numbers and
derivatives.
"""

from __future__ import annotations

import pytest
import torch

from intertwine.nn.irreps import self_interaction
from intertwine.nn.irreps.self_interaction import Kinds, SelfInteraction, sort_kinds
from intertwine.o3 import FullyConnectedTensorProduct, Irreps

IN, OUT, ATTRIBUTES = Irreps("4x0e+3x1o+2x1e"), Irreps("5x0e+2x1o+3x1e"), 3


def inputs(
    generator: torch.Generator, kinds: int = 4
) -> tuple[SelfInteraction, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    layer = SelfInteraction(IN, OUT, ATTRIBUTES).double()
    x = torch.randn(7, IN.dim, generator=generator, dtype=torch.float64).requires_grad_()
    table = torch.randn(kinds, ATTRIBUTES, generator=generator, dtype=torch.float64).requires_grad_()
    return layer, x, torch.tensor([2, 0, 2, 3, 0, 0, 2]) % kinds, table


@pytest.mark.parametrize("few", [0, 10**9], ids=["one after the other", "at once"])
def test_same_as_each_node_by_itself(few: int, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_interaction, "FEW_MULTIPLICATIONS", few)
    layer, x, kind, table = inputs(generator)
    found, expected = layer(x, sort_kinds(kind, table)), layer(x, Kinds(table[kind]))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    everything = [x, table, layer.weight]

    def derivatives(y: torch.Tensor) -> list[torch.Tensor]:
        first = torch.autograd.grad((y**3).sum(), everything, create_graph=True)
        return [*first, *torch.autograd.grad(sum((one**2).sum() for one in first), everything)]

    for one, other in zip(derivatives(found), derivatives(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-11)


def test_same_as_the_tensor_product(generator: torch.Generator) -> None:
    layer, x, kind, table = inputs(generator)
    product = FullyConnectedTensorProduct(IN, f"{ATTRIBUTES}x0e", OUT, layout="ir_mul", internal_weights=False).double()
    pieces, start = [], 0
    for path in layer.shared.instructions:
        size = path.path_shape[0] * path.path_shape[1]
        pieces.append(
            layer.weight[:, start : start + size].reshape(ATTRIBUTES, *path.path_shape).transpose(0, 1).flatten()
        )
        start += size
    expected = product(x, table[kind], torch.cat(pieces))
    torch.testing.assert_close(layer(x, sort_kinds(kind, table)), expected, rtol=0, atol=1e-13)
