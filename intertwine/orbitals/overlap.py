r"""Overlaps and moments of atomic orbitals, exact: Gaussian integrals of contracted shells of any degree.

A product of two Gaussians is a Gaussian, so that an integral over primitives is a product over the three axes
(:mod:`intertwine.orbitals.gaussians`), and real solid harmonics are polynomials in the coordinates. Everything is
float64 and differentiable.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import comb

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import InputError
from intertwine.orbitals.basis import BOHR, Basis, Shell
from intertwine.orbitals.gaussians import groups, shell_integrals


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
    return moment_matrix(basis, numbers, pos, (0, 0, 0))


def moment_matrix(
    basis: Basis, numbers: Int[Tensor, " atoms"], pos: Float[Tensor, "*batch atoms 3"], powers: tuple[int, int, int]
) -> Float[Tensor, "*batch n n"]:
    r"""Moments :math:`\int \chi_\mu\, x^i y^j z^k \chi_\nu` (Bohr^(i + j + k)) about the origin of the coordinates.

    Args:
        basis: of the orbitals.
        numbers: atomic numbers, of all geometries.
        pos: positions (A).
        powers: (i, j, k).

    Returns:
        float64, as :func:`overlap_matrix`.

    Raises:
        DataError, InputError: as :func:`overlap_matrix`.
    """
    z, centres = numbers.tolist(), centres_of(numbers, pos).reshape(-1, len(numbers), 3)
    sizes = [basis.size(element) for element in z]
    rows = [[torch.zeros(0)] * len(z) for _ in z]
    kinds: dict[tuple[int, int, bool], list[tuple[int, int]]] = {}
    for i in range(len(z)):
        for j in range(i, len(z)):
            kinds.setdefault((z[i], z[j], i == j), []).append((i, j))
    for (first, second, same), pairs in kinds.items():
        i, j = torch.tensor(pairs, device=pos.device).T
        a, b = (centres[:, k].flatten(0, 1) for k in (i, j))
        block = own_integrals(basis, first, a, powers) if same else pair_integrals(basis, first, second, a, b, powers)
        for (a_atom, b_atom), part in zip(pairs, block.unflatten(0, (len(centres), len(pairs))).unbind(1), strict=True):
            rows[a_atom][b_atom] = part
            rows[b_atom][a_atom] = part.mT
    total = sum(sizes)
    whole = torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)
    return whole.reshape(*pos.shape[:-2], total, total)


def pair_overlap(basis: Basis, first: int, second: int, r: Float[Tensor, "pairs 3"]) -> Float[Tensor, "pairs n m"]:
    """Overlaps of the orbitals of one element at the origin with those of another at r (Bohr, float64)."""
    return pair_integrals(basis, first, second, torch.zeros_like(r), r, (0, 0, 0))


def pair_integrals(
    basis: Basis,
    first: int,
    second: int,
    a: Float[Tensor, "pairs 3"],
    b: Float[Tensor, "pairs 3"],
    powers: tuple[int, int, int],
) -> Float[Tensor, "pairs n m"]:
    """The moments of :func:`moment_matrix` of the orbitals of one element at a with those of another at b (Bohr)."""
    columns = groups(tuple(basis.of(second)))
    rows = [
        torch.cat([shell_integrals((left, right), (a, b), powers) for right in columns], dim=2)
        for left in groups(tuple(basis.of(first)))
    ]
    return torch.cat(rows, dim=1)


def own_integrals(
    basis: Basis, z: int, centre: Float[Tensor, "atoms 3"], powers: tuple[int, int, int]
) -> Float[Tensor, "atoms n n"]:
    r"""The moments of :func:`moment_matrix` of the orbitals of an element with each other, at centres R (Bohr): sums of
    those about the nucleus, :math:`x^n = \sum_k \binom{n}{k} R^{n-k} (x - R)^k`."""
    shells = tuple(basis.of(z))
    total: Tensor | None = None
    for low in product(*(range(power + 1) for power in powers)):
        shift = centre.new_ones(len(centre))
        for axis, (power, k) in enumerate(zip(powers, low, strict=True)):
            shift = shift * comb(power, k) * centre[:, axis] ** (power - k)
        part = shift[:, None, None] * _about_nucleus(shells, low).to(centre)
        total = part if total is None else total + part
    assert total is not None
    return total


@lru_cache(maxsize=256)
def _about_nucleus(shells: tuple[Shell, ...], powers: tuple[int, ...]) -> Tensor:
    """Moments of the orbitals of one atom about its nucleus."""
    origin = torch.zeros(1, 3, dtype=torch.float64)
    basis = Basis("", {0: shells})
    return pair_integrals(basis, 0, 0, origin, origin, (powers[0], powers[1], powers[2]))[0]


def centres_of(numbers: Int[Tensor, " atoms"], pos: Float[Tensor, "*batch atoms 3"]) -> Float[Tensor, "*batch atoms 3"]:
    """Positions (A) in Bohr and float64; an :class:`InputError` where they are not of these atoms."""
    if pos.ndim < 2 or tuple(pos.shape[-2:]) != (len(numbers), 3):
        what = f"positions have shape {tuple(pos.shape)} for {len(numbers)} atoms"
        raise InputError(what, where="positions", remedy="give (..., atoms, 3), in A.")
    return pos.to(torch.float64) / BOHR
