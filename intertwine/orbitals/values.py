r"""Orbitals, and densities, at points of space.

.. math:: \rho(r) = \sum_{\mu\nu} D_{\mu\nu}\, \chi_\mu(r)\, \chi_\nu(r), \qquad
    \tilde\rho(r) = \sum_P C_P\, \phi_P(r)

Positions and points are in A, values in Bohr^(-3/2) and e / Bohr^3. Geometries of one composition go side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.o3 import spherical_harmonics
from intertwine.orbitals.basis import BOHR, Basis
from intertwine.orbitals.gaussians import Group, groups


def orbital_values(
    basis: Basis, numbers: Int[Tensor, " atoms"], pos: Float[Tensor, "m atoms 3"], points: Float[Tensor, "m points 3"]
) -> Float[Tensor, "m points n"]:
    """All orbitals of molecules at points, in the precision of the points.

    Args:
        basis: of the orbitals.
        numbers: atomic numbers, of all geometries.
        pos: positions (A).
        points: of each geometry (A).

    Raises:
        DataError: an element that the basis does not have.
    """
    parts = [
        ((falls @ group.weights.to(points).T).unsqueeze(-1) * harmonics.unsqueeze(-2)).flatten(2)
        for group, falls, harmonics in _factors(basis, numbers, pos, points, _gaussians)
    ]
    return torch.cat(parts, dim=2)


def matrix_density(
    basis: Basis,
    numbers: Int[Tensor, " atoms"],
    pos: Float[Tensor, "m atoms 3"],
    matrices: Float[Tensor, "m n n"],
    points: Float[Tensor, "m points 3"],
) -> Float[Tensor, "m points"]:
    """The density of density matrices D at points (e / Bohr^3); arguments as of :func:`orbital_values`."""
    values = orbital_values(basis, numbers, pos, points)
    return ((values @ matrices.to(values)) * values).sum(2)


def expanded_density(
    basis: Basis,
    numbers: Int[Tensor, " atoms"],
    pos: Float[Tensor, "m atoms 3"],
    coefficients: Float[Tensor, "m n"],
    points: Float[Tensor, "m points 3"],
) -> Float[Tensor, "m points"]:
    """The density of coefficients C of an auxiliary basis at points (e / Bohr^3); functions are not stored."""
    return expansion(basis, numbers, pos, coefficients, points, _gaussians)


def expansion(
    basis: Basis,
    numbers: Int[Tensor, " atoms"],
    pos: Float[Tensor, "m atoms 3"],
    coefficients: Float[Tensor, "m n"],
    points: Float[Tensor, "m points 3"],
    radial: Callable[[Group, Float[Tensor, "m points 1"]], Float[Tensor, "m points primitives"]],
) -> Float[Tensor, "m points"]:
    r"""The sum :math:`\sum_P C_P\, f_P(|r|)\, S_P(r)` over the functions of a basis, at points: of other radial parts f
    than Gaussians too.

    Args:
        radial: f of the primitives of a group, of the squares of the distances (Bohr^2). Others as of
            :func:`expanded_density`.
    """
    value, at = points.new_zeros(points.shape[:2]), 0
    for group, falls, harmonics in _factors(basis, numbers, pos, points, radial):
        part = coefficients[:, at : at + group.size].to(points).unflatten(1, (-1, 2 * group.degree + 1))
        value = value + ((falls @ (group.weights.to(points).T @ part)) * harmonics).sum(2)
        at += group.size
    return value


def _gaussians(group: Group, square: Tensor) -> Tensor:
    return torch.exp(-square * group.exponents.to(square))


def _factors(
    basis: Basis, numbers: Tensor, pos: Tensor, points: Tensor, radial: Callable[[Group, Tensor], Tensor]
) -> Iterator[tuple[Group, Float[Tensor, "m points primitives"], Float[Tensor, "m points components"]]]:
    """The groups of shells of each atom, the radial parts of their primitives, and solid harmonics, at points."""
    for atom, z in enumerate(numbers.tolist()):
        r = (points - pos[:, atom].to(points).unsqueeze(1)) / BOHR
        square = r.square().sum(2, keepdim=True)
        for group in groups(tuple(basis.of(z))):
            harmonics = spherical_harmonics(group.degree, r, normalize=False, normalization="integral")
            yield group, radial(group, square), harmonics
