r"""Node features of higher degrees, from products of those that a model has.

.. math:: x' = W\,(u \oplus u \otimes v \oplus (u \otimes v) \otimes w \oplus \ldots), \qquad u, v, w = U x, V x, \ldots

channel by channel, until the degree is reached. A product of tensors of natural parity :math:`(-1)^l` has both
parities, :math:`l_1 + l_2 + l_3` odd being those of a cross product.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.numerics import InputError
from intertwine.o3 import Irrep, Irreps, Linear, TensorProduct, join_blocks, split_blocks


class Lift(nn.Module):
    """Channels of every degree up to ``degree``, and of both parities.

    Args:
        irreps_in: of the features, in the layout mul_ir.
        width: channels of each irrep.
        degree: largest of the result.

    Raises:
        InputError: no product of the features has the degree.
    """

    def __init__(self, irreps_in: Irreps, width: int, degree: int) -> None:
        super().__init__()
        self.irreps_in, self.width, self.degree = Irreps(irreps_in), width, degree
        low = Irreps([(width, ir) for _, ir in self.irreps_in.regroup() if ir.l <= degree])
        if degree and max(low.ls, default=0) == 0:
            what = f"features of degree 0 have no products of degree {degree}; the model gives {irreps_in}"
            raise InputError(what, where="irreps_out", remedy="choose a model with tensors: NequIP, MACE, PaiNN ...")
        self.first = Linear(self.irreps_in, low, layout="ir_mul")
        self.factors, self.products = nn.ModuleList(), nn.ModuleList()
        reached, every = low, low
        while True:
            product = _product(reached, low, degree)
            self.factors.append(Linear(self.irreps_in, low, layout="ir_mul"))
            self.products.append(product)
            reached, every = product.irreps_out, every + product.irreps_out
            if max(reached.ls) == degree:
                break
        wanted = [Irrep(l, sign * (-1) ** l) for l in range(degree + 1) for sign in (1, -1)]
        self.there = [every.count(ir) > 0 for ir in wanted]
        self.irreps_out = Irreps([(width, ir) for ir in wanted if every.count(ir)])
        self.last = Linear(every, self.irreps_out, layout="ir_mul")

    def forward(self, x: Float[Tensor, "nodes features"]) -> Float[Tensor, "nodes components channels"]:
        """Components m = -l ... l of l = 0 ... degree; ``width`` channels of natural parity, then as many of the
        other one, zero where no product reaches it."""
        x = join_blocks(split_blocks(x, self.irreps_in), "ir_mul")
        y = self.first(x)
        parts = [y]
        for factor, product in zip(self.factors, self.products):
            y = product(y, factor(x))
            parts.append(y)
        blocks = iter(split_blocks(self.last(torch.cat(parts, dim=1)), self.irreps_out, "ir_mul"))
        rows = []
        for number, there in enumerate(self.there):
            l = number // 2
            rows.append(next(blocks).mT if there else x.new_zeros(x.shape[0], 2 * l + 1, self.width))
        return torch.cat([torch.cat(pair, dim=2) for pair in zip(rows[::2], rows[1::2])], dim=1)


def _product(left: Irreps, right: Irreps, degree: int) -> TensorProduct:
    """All paths of two features, channel by channel with a weight, to degrees up to ``degree``."""
    reached = sorted({ir for _, a in left for _, b in right for ir in a * b if ir.l <= degree})
    out = Irreps([(left[0].mul, ir) for ir in reached])
    paths = [
        (i, j, reached.index(ir), "uuu", True)
        for i, (_, a) in enumerate(left)
        for j, (_, b) in enumerate(right)
        for ir in a * b
        if ir.l <= degree
    ]
    return TensorProduct(left, right, out, paths, layout="ir_mul")
