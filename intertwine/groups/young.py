r"""Irreps of the symmetric group by Young's orthogonal form.

A partition of n names an irrep, and the standard tableaux of its shape are the basis. The transposition of k and k + 1
acts with :math:`1/r` on the diagonal, r the axial distance from k to k + 1, and with :math:`\sqrt{1 - 1/r^2}` between
tableaux that differ by exchanging both (James and Kerber 1981, section 3.4).
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def young_irreps(images: Int[Tensor, "order n"], table: Int[Tensor, "order order"]) -> list[tuple[str, Tensor, int]]:
    """The name, the matrices (n!, dim, dim) and the type of each irrep of S_n: the partition, the trivial one (n)
    first.

    Args:
        images: the permutations, the identity first.
        table: their products.
    """
    n = images.shape[1]
    number = {tuple(row): k for k, row in enumerate(images.tolist())}
    swaps = [number[*range(k), k + 1, k, *range(k + 2, n)] for k in range(n - 1)]
    result = []
    for shape in _partitions(n, n):
        basis = _tableaux(shape)
        steps = [_transposition(basis, k) for k in range(1, n)]
        matrices = torch.zeros(len(table), len(basis), len(basis), dtype=torch.float64)
        matrices[0] = torch.eye(len(basis), dtype=torch.float64)
        done, new = {0}, [0]
        while new:
            following = []
            for g in new:
                for swap, step in zip(swaps, steps):
                    target = int(table[swap, g])
                    if target not in done:
                        matrices[target] = step @ matrices[g]
                        done.add(target)
                        following.append(target)
            new = following
        result.append((f"({','.join(map(str, shape))})", matrices, 1))
    return result


def _partitions(n: int, largest: int) -> list[tuple[int, ...]]:
    if n == 0:
        return [()]
    return [(k, *rest) for k in range(min(n, largest), 0, -1) for rest in _partitions(n - k, k)]


def _tableaux(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Standard tableaux: for each number 1, ..., n the row that it stands in."""
    complete: list[tuple[int, ...]] = []

    def fill(rows: tuple[int, ...], lengths: list[int]) -> None:
        if len(rows) == sum(shape):
            complete.append(rows)
        for row, length in enumerate(shape):
            if lengths[row] < length and (row == 0 or lengths[row] < lengths[row - 1]):
                fill((*rows, row), [n + (k == row) for k, n in enumerate(lengths)])

    fill((), [0] * len(shape))
    return complete


def _transposition(basis: list[tuple[int, ...]], k: int) -> Tensor:
    """The matrix of the transposition of k and k + 1 (counted from 1)."""
    place = {rows: i for i, rows in enumerate(basis)}
    matrix = torch.zeros(len(basis), len(basis), dtype=torch.float64)
    for i, rows in enumerate(basis):
        a, b = rows[k - 1], rows[k]
        column_a, column_b = rows[: k - 1].count(a), rows[:k].count(b)
        r = (column_b - b) - (column_a - a)  # axial distance: difference of contents
        matrix[i, i] = 1 / r
        exchanged = (*rows[: k - 1], b, a, *rows[k + 1 :])
        if a != b and exchanged in place:
            matrix[place[exchanged], i] = (1 - 1 / r**2) ** 0.5
    return matrix
