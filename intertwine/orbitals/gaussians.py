r"""Integrals of products of Gaussians about two or more centres, along one axis, and the polynomials in front of them.

With powers :math:`n_c` of the coordinates about centres :math:`R_c` and exponents :math:`a_c`, Obara and Saika's
recursion is

.. math:: I_{n + 1_c} = (P - R_c) I_n + \frac1{2p} \sum_d n_d I_{n - 1_d}, \qquad
    I_0 = \sqrt{\pi / p}\; e^{-\sum_{c < d} a_c a_d (R_c - R_d)^2 / p}, \qquad
    p = \sum_c a_c,\; P = \frac1p \sum_c a_c R_c.

Sources: Obara and Saika, J. Chem. Phys. 84, 3963 (1986), eq. 9 and 11; Helgaker, Jorgensen, Olsen, Molecular
Electronic-Structure Theory (2000), eq. 6.4.47 (solid harmonics) and 9.3.8 to 9.3.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, product
from math import comb, factorial, pi, sqrt
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.o3 import convention_matrix
from intertwine.orbitals.basis import Shell


class Group(NamedTuple):
    """The shells of one element that have one ``degree``: all their ``exponents`` (1 / Bohr^2), and the ``weights`` of
    the primitives in each of the shells, of which those of others are zero."""

    degree: int
    exponents: Float[Tensor, " primitives"]
    weights: Float[Tensor, "shells primitives"]

    @property
    def size(self) -> int:
        """Orbitals of the group, shell after shell."""
        return len(self.weights) * (2 * self.degree + 1)


@lru_cache(maxsize=64)
def groups(shells: tuple[Shell, ...]) -> tuple[Group, ...]:
    """Shells, sorted by degree, in groups of one degree; float64."""
    result = []
    for degree in sorted({shell.degree for shell in shells}):
        ones = [shell for shell in shells if shell.degree == degree]
        exponents = torch.tensor([a for shell in ones for a in shell.exponents], dtype=torch.float64)
        weights = torch.block_diag(*(shell.weights.unsqueeze(0) for shell in ones))
        result.append(Group(degree, exponents, weights))
    return tuple(result)


def axis_integrals(
    centres: Sequence[Float[Tensor, "batch 3"]], exponents: Sequence[Float[Tensor, " _"]], highest: Sequence[int]
) -> Float[Tensor, "..."]:
    """The integrals I of the module's docstring, of all powers up to the ``highest`` of each centre, along x, y and z.

    Args:
        centres: positions (Bohr, float64).
        exponents: of each centre (1 / Bohr^2, float64).
        highest: power of each centre.

    Returns:
        (highest_1 + 1, ..., batch, 3, primitives_1, ...).
    """
    count = len(centres)
    a = [x.reshape([-1 if k == c else 1 for k in range(count)]) for c, x in enumerate(exponents)]
    R = [x.reshape(*x.shape, *[1] * count) for x in centres]
    p = sum(a[1:], a[0])
    P = sum((x * y for x, y in zip(a[1:], R[1:], strict=True)), a[0] * R[0]) / p
    fall = sum(a[c] * a[d] * (R[c] - R[d]) ** 2 for c, d in combinations(range(count), 2))
    away, half = [P - x for x in R], 0.5 / p
    start = (pi / p).sqrt() * torch.exp(-fall / p)
    table: dict[tuple[int, ...], Tensor] = {(0,) * count: start}
    for powers in product(*(range(high + 1) for high in highest)):
        if not any(powers):
            continue
        c = next(k for k in range(count) if powers[k])
        low = _less(powers, c)
        value = away[c] * table[low]
        for d in range(count):
            if low[d]:
                value = value + low[d] * half * table[_less(low, d)]
        table[powers] = value
    return torch.stack(list(table.values())).unflatten(0, [high + 1 for high in highest])


def _less(powers: tuple[int, ...], c: int) -> tuple[int, ...]:
    return (*powers[:c], powers[c] - 1, *powers[c + 1 :])


@lru_cache(maxsize=16)
def monomials(l: int) -> list[tuple[int, int, int]]:
    """The powers (i, j, k) of x, y and z with sum l."""
    return [(i, j, l - i - j) for i in range(l, -1, -1) for j in range(l - i, -1, -1)]


@lru_cache(maxsize=16)
def solid_harmonics(l: int) -> Float[Tensor, "m monomials"]:
    """The coefficients of our real solid harmonics, whose squares have the integral 1 over the sphere; float64."""
    powers = monomials(l)
    place = {power: n for n, power in enumerate(powers)}
    table = torch.zeros(2 * l + 1, len(powers), dtype=torch.float64)
    for m in range(-l, l + 1):
        k = abs(m)
        size = sqrt(2 * factorial(l + k) * factorial(l - k) / (2 if m == 0 else 1)) / (2**k * factorial(l))
        size *= sqrt((2 * l + 1) / (4 * pi))
        for t in range((l - k) // 2 + 1):
            for u in range(t + 1):
                for twice in range(m < 0, k + 1, 2):  # 2 v, odd for the sines
                    sign = (-1) ** (t + (twice - (m < 0)) // 2)
                    value = sign * 0.25**t * comb(l, t) * comb(l - t, k + t) * comb(t, u) * comb(k, twice)
                    power = (2 * t + k - 2 * u - twice, 2 * u + twice, l - 2 * t - k)
                    table[l + m, place[power]] += size * value
    return torch.tensor(convention_matrix(l, "e3nn", "textbook")) @ table


def shell_integrals(
    members: Sequence[Group],
    centres: Sequence[Float[Tensor, "batch 3"]],
    operator: tuple[int, int, int] = (0, 0, 0),
) -> Float[Tensor, "..."]:
    """Integrals of products of orbitals, one of each group.

    Args:
        members: a group for each centre.
        centres: positions (Bohr, float64).
        operator: powers of x, y and z, about the origin, that are multiplied by.

    Returns:
        (batch, orbitals_1, orbitals_2, ...), float64.
    """
    count, value = len(members), primitive_integrals(members, centres, operator)
    for group in reversed(members):
        # the last axis is the primitives of this group; shells come to the front, so that the next is last again
        value = torch.movedim(value @ group.weights.to(value).T, -1, count)
    for group in reversed(members):
        value = torch.tensordot(value, solid_harmonics(group.degree).to(value), dims=([count - 1], [1]))
        value = torch.movedim(value, -1, 0)
    order = [2 * count, *(k for c in range(count) for k in (count + c, c))]
    return value.permute(order).reshape(len(centres[0]), *(group.size for group in members))


def primitive_integrals(
    members: Sequence[Group],
    centres: Sequence[Float[Tensor, "batch 3"]],
    operator: tuple[int, int, int] = (0, 0, 0),
) -> Float[Tensor, "..."]:
    """The same of monomials times primitives that are not normalised: (monomials_1, ..., batch, primitives_1, ...)."""
    count = len(members)
    exponents = [group.exponents.to(centres[0].device) for group in members]
    highest = [group.degree for group in members]
    table = axis_integrals(centres, exponents, [*highest[:-1], highest[-1] + max(operator)])
    value: Tensor | None = None
    for axis in range(3):
        x = _raised(table[(..., axis) + (slice(None),) * count], operator[axis], highest[-1], centres[-1][:, axis])
        places = [torch.tensor([power[axis] for power in monomials(l)], device=x.device) for l in highest]
        part = x[torch.meshgrid(*places, indexing="ij")]
        value = part if value is None else value * part
    assert value is not None
    return value


def primitive_matrix(
    left: Group, right: Group, matrix: Float[Tensor, "batch n m"]
) -> Float[Tensor, "monomials others batch a b"]:
    """A matrix between orbitals of two groups as one between monomials times primitives, so that the sum over both of
    matrix times integrals is the same."""
    value = matrix.unflatten(2, (-1, 2 * right.degree + 1)).unflatten(1, (-1, 2 * left.degree + 1))
    Y, V = solid_harmonics(left.degree).to(value), solid_harmonics(right.degree).to(value)
    return torch.einsum("psmtk,sa,mu,tb,kv->uvpab", value, left.weights.to(value), Y, right.weights.to(value), V)


def _raised(x: Tensor, power: int, degree: int, origin: Tensor) -> Tensor:
    r"""Integrals with a power of the coordinate about the origin, from powers about the last centre B, of which the
    axis is in front of the batch: :math:`x^n = \sum_k \binom{n}{k} B^{n-k} (x - B)^k`."""
    axis = (x.ndim - 1) // 2 - 1
    B = origin.reshape(-1, *[1] * (axis + 1))
    return sum(
        (comb(power, k) * B ** (power - k) * x.narrow(axis, k, degree + 1) for k in range(power + 1)), x.new_zeros(())
    )
