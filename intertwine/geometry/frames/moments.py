r"""Moments of the points of a graph in a frame, sums of :math:`x^a y^b z^c`: what tells frames apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


def exponents(d: int, degrees: Sequence[int], *, odd: bool = False) -> Int[Tensor, "moments d"]:
    """The powers (a, b, ...) of these degrees, one degree after another, descending; with ``odd`` only those of which
    not all are even.
    """
    rows = [
        p
        for degree in degrees
        for p in itertools.product(range(degree, -1, -1), repeat=d)
        if sum(p) == degree and (not odd or any(q % 2 for q in p))
    ]
    return torch.tensor(rows)


def monomials(x: Float[Tensor, "*points d"], powers: Int[Tensor, "moments d"]) -> Float[Tensor, "*points moments"]:
    r""":math:`x^a y^b \ldots` of each point."""
    table = [torch.ones_like(x)]
    for _ in range(int(powers.max())):
        table.append(table[-1] * x)
    columns = torch.stack(table, dim=-1)  # (*points, d, powers)
    result = columns[..., 0, powers[:, 0]]
    for k in range(1, x.shape[-1]):
        result = result * columns[..., k, powers[:, k]]
    return result
