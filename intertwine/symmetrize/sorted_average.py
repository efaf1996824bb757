r"""A network of ordered rows made one of sets, by sorting: the frames of S_n.

.. math:: \langle\Phi\rangle(x) = \sum_k w_k\, \rho(g_k)\, \Phi(g_k^{-1} x)

over the orders :math:`g_k` in which a number of each row ascends: one, or all of them where rows tie. Puny et al. 2022
(arXiv:2110.03336), section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from intertwine.geometry.frames import sorting
from intertwine.groups import Permutations, RowAction, Unchanged
from intertwine.numerics import GeometryError, InputError
from intertwine.symmetrize.chunks import check_mode


class SortedAverage(nn.Module):
    """A network of rows in an order, which sees each set sorted.

    It is not continuous where two rows change their order.

    Args:
        network: takes (B, n, features), returns (B, ...), or (B, n, ...) with ``rows``. Any callable.
        size: n, the number of rows.
        key: the number of each row, (sets, n) of (sets, n, features); None for its norm.
        rows: whether each row has an answer, which is moved back to its place.
        ties: "all" takes all orders of rows that tie, the mean of which is invariant; "refuse" is an error there.

    Attributes:
        group, rep_in, rep_out: for :func:`~intertwine.certify.certify`.

    Raises:
        InputError: a size below 1.
    """

    def __init__(
        self, network: Any, size: int, key: Callable[[Tensor], Tensor] | None = None, *, rows: bool = False,
        ties: Literal["all", "refuse"] = "all",
    ) -> None:  # fmt: skip
        super().__init__()
        if size < 1:
            raise InputError(f"sets of {size} rows", where="SortedAverage", remedy="give 1 or more.")
        self.network, self.size, self.key, self.rows, self.ties = network, size, key, rows, ties
        self.group = Permutations(size)
        self.rep_in = RowAction(self.group, axis=1)
        self.rep_out = RowAction(self.group, axis=1) if rows else Unchanged(self.group)

    def forward(self, x: Tensor) -> Tensor:
        """The mean over the orders of each set: (B, ...), or (B, n, ...) with ``rows``.

        Args:
            x: sets (B, n, features).

        Raises:
            GeometryError: sets without rows.
            InputError: another shape; ties, if they are refused, or too many of them to list.
        """
        check_mode(self.network, None)
        if x.ndim == 3 and x.shape[1] == 0:
            raise GeometryError("sets without rows have no order", where="SortedAverage", remedy="leave them out.")
        if x.ndim != 3 or x.shape[1] != self.size:
            remedy = f"give (B, {self.size}, features)."
            raise InputError(f"a tensor of shape {tuple(x.shape)}", where="SortedAverage", remedy=remedy)
        orders = sorting(x, self.key, ties=self.ties)
        count = orders.weight.shape[1]
        value = self.network(orders.into(x).flatten(0, 1))
        least = 2 if self.rows else 1
        if not isinstance(value, Tensor) or value.ndim < least or value.shape[0] != len(x) * count:
            what = f"the network returns {tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}"
            remedy = f"return ({len(x) * count}, {'n, ' if self.rows else ''}...), a row for each set that it is given."
            raise InputError(what, where="SortedAverage", remedy=remedy)
        if self.rows and value.shape[1] != self.size:
            what = f"the network returns {value.shape[1]} rows of {self.size}"
            raise InputError(what, where="SortedAverage", remedy="return a row for each, or leave out rows=True.")
        value = value.unflatten(0, (len(x), count))
        value = orders.out_of(value) if self.rows else value
        weight = orders.weight.reshape(*orders.weight.shape, *[1] * (value.ndim - 2)).to(value)
        return torch.sum(weight * value, dim=1)
