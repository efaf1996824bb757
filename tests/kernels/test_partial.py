"""The product with its second argument fixed, against the product itself, in both layouts, with derivatives and in a
trace.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from intertwine.kernels.batched import partial
from intertwine.o3 import FullyConnectedTensorProduct

ARGUMENTS = ("3x0e+2x1o+2x1e", "0e+1o+2e", "2x0e+3x1o+2x2e+1x0o")


@pytest.mark.parametrize("lead", [(), (5,), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_the_matrix_is_the_product(layout: str, shared: bool, lead: tuple[int, ...]) -> None:
    product = FullyConnectedTensorProduct(*ARGUMENTS, shared_weights=shared, layout=layout, dtype=torch.float64)
    assert partial.supported(product.kernel.plan)
    x, y = (torch.randn(*lead, irreps.dim, dtype=torch.float64) for irreps in (product.irreps_in1, product.irreps_in2))
    weight = None if shared else torch.randn(*(lead or (1,)), product.weight_numel, dtype=torch.float64)
    z = product(x, y, weight)
    found = (x.unsqueeze(-2) @ product.right(y, weight)).squeeze(-2)
    torch.testing.assert_close(found, z, rtol=1e-12, atol=1e-12)


def test_derivatives() -> None:
    product = FullyConnectedTensorProduct("2x0e+1x1o", "0e+1o", "2x1o+0e", shared_weights=False, dtype=torch.float64)
    y, weight = torch.randn(2, 4, dtype=torch.float64), torch.randn(2, product.weight_numel, dtype=torch.float64)

    def right(y: Tensor, weight: Tensor) -> Tensor:
        return product.right(y, weight)

    leaves = (y.requires_grad_(), weight.requires_grad_())
    assert torch.autograd.gradcheck(right, leaves)
    assert torch.autograd.gradgradcheck(right, leaves)
    batched = torch.func.vmap(right)(y[:, None], weight[:, None]).squeeze(1)
    torch.testing.assert_close(batched, right(y, weight))


def test_other_products_keep_their_way() -> None:
    """Several channels in the second argument, or no weights."""
    for product in (FullyConnectedTensorProduct("2x0e+1x1o", "2x1o", "2x1o+0e", dtype=torch.float64),):
        assert not partial.supported(product.kernel.plan)
        x, y = torch.randn(3, 5, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
        torch.testing.assert_close((x.unsqueeze(-2) @ product.right(y)).squeeze(-2), product(x, y))
