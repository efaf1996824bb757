r"""Sorting frames of S_n: a set in the order of a number that each row has.

With :math:`f(x_i)` a number of each row, the frame of a set is the permutation g with
:math:`f(x_{g(1)}) \le f(x_{g(2)}) \le \ldots`, so that :math:`(g^{-1} x)_k = x_{g(k)}` is sorted. Where rows tie there
are several, and the frame is all of them: it is then a set that moves with the rows, as a frame has to. It jumps where
two rows change their order.

Puny et al. 2022 (arXiv:2110.03336), section 3.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from intertwine.numerics import InputError, choose

TIES = ("all", "refuse")
#: Orders of one set that are listed where rows tie.
MOST_ORDERS = 120


@dataclass(frozen=True)
class Orders:
    r"""The sorting frames of each set: elements of :class:`~intertwine.groups.Permutations`.

    Args:
        permutation: g, the row that comes k-th (sets, frames, n). A set with fewer frames has more of them with weight
            0, which are the identity.
        weight: (sets, frames), at least 0; they add up to 1 over the frames of a set.
    """

    permutation: Int[Tensor, "sets frames n"]
    weight: Float[Tensor, "sets frames"]

    def into(self, x: Shaped[Tensor, "sets n *shape"]) -> Shaped[Tensor, "sets frames n *shape"]:
        r"""Each set in its orders, :math:`(g^{-1} x)_k = x_{g(k)}`."""
        sets = torch.arange(len(x), device=x.device)[:, None, None]
        return x[sets, self.permutation]

    def out_of(self, x: Shaped[Tensor, "sets frames n *shape"]) -> Shaped[Tensor, "sets frames n *shape"]:
        r"""Rows of each order at the places of the set's, :math:`(g x)_{g(k)} = x_k`."""
        sets = torch.arange(x.shape[0], device=x.device)[:, None, None]
        frames = torch.arange(x.shape[1], device=x.device)[:, None]
        return x[sets, frames, self.permutation.argsort(-1)]


def sorting(
    x: Float[Tensor, "sets n features"],
    key: Callable[[Tensor], Tensor] | None = None,
    *,
    ties: str = "all",
    tolerance: float = 0.0,
) -> Orders:
    """Every set of n rows in ascending order of a number of each row.

    Args:
        x: sets of the same number of rows.
        key: f, a function of (sets, n, features) that gives (sets, n); the norm of each row if None. It must not look
            at the number of a row.
        ties: "all" orders of rows that tie, up to 120 of a set, or "refuse" them.
        tolerance: rows tie if one follows another by at most this, in the unit of f.

    Raises:
        InputError: f has another shape or is not finite; rows tie, and that is refused or makes too many orders.
    """
    choose(ties, TIES, kind="way with ties", where="ties")
    number = (x.norm(dim=-1) if key is None else key(x)).detach()
    if number.shape != x.shape[:2]:
        raise InputError(
            f"the key has shape {tuple(number.shape)}",
            where="key",
            remedy=f"give a number a row: {tuple(x.shape[:2])}.",
        )
    if not bool(torch.isfinite(number).all()):
        raise InputError("the key of a row is not finite", where="key", remedy="rows can't be sorted by it.")
    ordered, permutation = number.sort(dim=1, stable=True)
    tied = ordered.diff(dim=1) <= tolerance
    if not bool(tied.any()):
        return Orders(permutation.unsqueeze(1), x.new_ones(len(x), 1))
    lists = []
    for k in range(len(x)):
        lists.append(_orders(k, permutation[k].tolist(), tied[k].tolist(), ties))
    most = max(map(len, lists))
    identity = list(range(x.shape[1]))
    rows = [orders + [identity] * (most - len(orders)) for orders in lists]
    weight = [[1 / len(orders)] * len(orders) + [0.0] * (most - len(orders)) for orders in lists]
    return Orders(permutation.new_tensor(rows), x.new_tensor(weight))


def _orders(k: int, permutation: list[int], tied: list[bool], ties: str) -> list[list[int]]:
    """All orders of the k-th set, in which rows that tie are exchanged."""
    groups: list[list[int]] = []
    for row, with_last in zip(permutation, [False, *tied], strict=True):
        if with_last:
            groups[-1].append(row)
        else:
            groups.append([row])
    equal = next((group for group in groups if len(group) > 1), None)
    number = math.prod(math.factorial(len(group)) for group in groups)
    if equal is not None and (ties == "refuse" or number > MOST_ORDERS):
        many = "" if ties == "refuse" else f", which makes {number} orders"
        raise InputError(
            f"rows {', '.join(map(str, sorted(equal)))} of set {k} tie{many}",
            where="sorting",
            remedy='give a key that tells rows apart; ties="all" takes all orders, up to 120.',
        )
    choices = itertools.product(*[itertools.permutations(group) for group in groups])
    return [list(itertools.chain.from_iterable(choice)) for choice in choices]
