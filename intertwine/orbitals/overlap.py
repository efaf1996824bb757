r"""Overlap of atomic orbitals, exact: Gaussian integrals of contracted shells of any degree.

A product of two Gaussians is a Gaussian, so that an integral over primitives is a product over the three axes. Along
one axis Obara and Saika's recursion gives the integrals of powers of the coordinates about the two centres A and B,

.. math:: S_{i+1,j} = (P - A) S_{ij} + \frac{i S_{i-1,j} + j S_{i,j-1}}{2p}, \qquad
    S_{00} = \sqrt{\pi / p}\; e^{-\mu (A - B)^2}, \qquad p = a + b,\; \mu = ab / p,\; P = (aA + bB) / p,

and real solid harmonics are polynomials in these coordinates. Everything is float64 and differentiable.

Sources: Obara and Saika, J. Chem. Phys. 84, 3963 (1986); Helgaker, Jorgensen, Olsen, Molecular Electronic-Structure
Theory (2000), eq. 6.4.47 (solid harmonics) and 9.3.8 to 9.3.10.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb, factorial, pi, sqrt

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import InputError
from intertwine.o3 import convention_matrix
from intertwine.orbitals.basis import BOHR, Basis, Shell


def overlap_matrix(
    basis: Basis, numbers: Int[Tensor, " atoms"], pos: Float[Tensor, "*batch atoms 3"]
) -> Float[Tensor, "*batch n n"]:
    r"""Overlaps :math:`S_{\mu\nu} = \int \chi_\mu \chi_\nu` of all orbitals of a molecule, or of many geometries of it.

    Args:
        basis: of the orbitals.
        numbers: atomic numbers, of all geometries.
        pos: positions (A).

    Returns:
        float64, orbitals atom after atom in the order of :mod:`intertwine.orbitals.order`.

    Raises:
        DataError: an element that the basis does not have.
        InputError: positions of another shape.
    """
    if pos.ndim < 2 or tuple(pos.shape[-2:]) != (len(numbers), 3):
        what = f"positions have shape {tuple(pos.shape)} for {len(numbers)} atoms"
        raise InputError(what, where="overlap_matrix", remedy="give (..., atoms, 3), in A.")
    z, centres = numbers.tolist(), pos.to(torch.float64).reshape(-1, len(numbers), 3) / BOHR
    starts, total = [], 0
    for element in z:
        starts.append(total)
        total += basis.size(element)
    rows = [[torch.zeros(0)] * len(z) for _ in z]
    kinds: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i in range(len(z)):
        for j in range(i, len(z)):
            kinds.setdefault((z[i], z[j]), []).append((i, j))
    for (first, second), pairs in kinds.items():
        i, j = torch.tensor(pairs, device=pos.device).T
        block = pair_overlap(basis, first, second, (centres[:, j] - centres[:, i]).flatten(0, 1))
        for (a, b), part in zip(pairs, block.unflatten(0, (len(centres), len(pairs))).unbind(1), strict=True):
            rows[a][b] = part
            rows[b][a] = part.mT
    whole = torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)
    return whole.reshape(*pos.shape[:-2], total, total)


def pair_overlap(basis: Basis, first: int, second: int, r: Float[Tensor, "pairs 3"]) -> Float[Tensor, "pairs n m"]:
    """Overlaps of the orbitals of one element at the origin with those of another at r (Bohr, float64)."""
    rows = [torch.cat([_shell_overlap(a, b, r) for b in basis.of(second)], dim=2) for a in basis.of(first)]
    return torch.cat(rows, dim=1)


def _shell_overlap(first: Shell, second: Shell, r: Float[Tensor, "pairs 3"]) -> Float[Tensor, "pairs m k"]:
    """Overlaps of two shells, of which the second is at r."""
    l, k = first.degree, second.degree
    a = torch.tensor(first.exponents, dtype=torch.float64, device=r.device).unsqueeze(1)
    b = torch.tensor(second.exponents, dtype=torch.float64, device=r.device)
    weight = first.weights.to(r.device).unsqueeze(1) * second.weights.to(r.device)
    p = (a + b).flatten()
    from_first, from_second = (b / (a + b)).flatten(), (-a / (a + b)).flatten()  # P - A and P - B, of r
    x = r.unsqueeze(2)
    fall = torch.exp(-(a * b / (a + b)).flatten() * x * x)
    table: dict[tuple[int, int], Tensor] = {(0, 0): (pi / p).sqrt() * fall}
    for i in range(l + 1):
        for j in range(k + 1):
            if i == j == 0:
                continue
            low = (i - 1, j) if i else (i, j - 1)
            value = (from_first if i else from_second) * x * table[low]
            for n, power in ((low[0], (low[0] - 1, low[1])), (low[1], (low[0], low[1] - 1))):
                if n:
                    value = value + n / (2 * p) * table[power]
            table[i, j] = value
    powers, harmonics = _solid_harmonics(l)
    others, other_harmonics = _solid_harmonics(k)
    entries = [
        (table[u[0], v[0]][:, 0] * table[u[1], v[1]][:, 1] * table[u[2], v[2]][:, 2]) @ weight.flatten()
        for u in powers
        for v in others
    ]
    cartesian = torch.stack(entries, dim=1).unflatten(1, (len(powers), len(others)))
    return harmonics.to(r.device) @ cartesian @ other_harmonics.T.to(r.device)


@lru_cache(maxsize=16)
def _solid_harmonics(l: int) -> tuple[list[tuple[int, int, int]], Tensor]:
    """Monomials of degree l, and the coefficients (2l + 1, monomials) of our real solid harmonics, whose squares have
    the integral 1 over the sphere.
    """
    powers = [(i, j, l - i - j) for i in range(l, -1, -1) for j in range(l - i, -1, -1)]
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
    return powers, torch.tensor(convention_matrix(l, "e3nn", "textbook")) @ table
