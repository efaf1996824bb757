"""Operations and bytes are counted, also where a result is written into a tensor that is there."""

from __future__ import annotations

import pytest
import torch

from intertwine.bench.cost import Cost, cost, standard_graph
from intertwine.kernels.shared.processes import threads
from intertwine.models import MODELS
from intertwine.o3 import Linear


def test_a_product_into_an_argument() -> None:
    x, w, out = torch.ones(4, 3), torch.ones(3, 5), torch.empty(4, 5)
    with Cost() as cost:
        torch.mm(x, w, out=out)
    assert cost.flops == 2 * 4 * 3 * 5
    assert cost.bytes == 4 * (12 + 15 + 2 * 20)


@pytest.mark.parametrize("layout", ["ir_mul", "mul_ir"])
def test_a_linear_layer_has_its_multiplications(layout: str) -> None:
    layer, rows = Linear("64x0e+64x1o", "64x0e+32x1o", layout=layout), 100
    x = torch.randn(rows, 256)
    with torch.no_grad(), Cost() as cost:
        layer(x)
    exact = 2 * rows * (64 * 64 + 3 * 64 * 32)
    assert exact <= cost.flops < 1.2 * exact  # weights are scaled, blocks are copied


@pytest.mark.parametrize("name", ["nequip", "mace", "painn"])
def test_threads_change_no_count(name: str) -> None:
    """docs/models.md is what `intertwine models` prints, on a machine of any number of cores."""
    model = MODELS[name](cutoff=4.0)
    graph, counts = standard_graph(4.0).cast(torch.float32), []
    for count in (1, 2, 3):
        with threads(count):
            counts.append(cost(model, graph))
            assert torch.get_num_threads() == count
    assert counts[0] == counts[1] == counts[2]
