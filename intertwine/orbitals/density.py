r"""Densities as sums of functions on atoms, fitted to the density matrices of orbitals.

.. math:: \rho(r) = \sum_{\mu\nu} D_{\mu\nu}\, \chi_\mu(r)\, \chi_\nu(r) \approx \tilde\rho(r) =
    \sum_{iklm} C_{iklm}\, Y_{lm}(r - r_i)\, |r - r_i|^l\, e^{-\alpha_{ikl} |r - r_i|^2}

with normalised functions :math:`\phi_P` of an auxiliary basis. The best coefficients in the norm
:math:`\int (\tilde\rho - \rho)^2`, of those with the same charge, are

.. math:: C = S^{-1} (w + \lambda q), \qquad S_{PQ} = \int \phi_P \phi_Q, \quad w_P = \int \rho\, \phi_P, \quad
    q_P = \int \phi_P, \qquad \lambda = \frac{N - q^T S^{-1} w}{q^T S^{-1} q}.

Integrals are exact (three centres: :func:`projections`). Coefficients are e / Bohr^(3/2), densities e / Bohr^3 of
electrons, which are positive.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import DataError, GeometryError
from intertwine.orbitals.basis import Basis, Shell
from intertwine.orbitals.gaussians import (
    Group,
    groups,
    monomials,
    primitive_integrals,
    primitive_matrix,
    shell_integrals,
    solid_harmonics,
)
from intertwine.orbitals.overlap import centres_of, moment_matrix, overlap_matrix

CHUNK = 100  # geometries at a time


def charges(basis: Basis, z: int) -> Float[Tensor, " n"]:
    r"""The integrals :math:`\int \phi` of the functions of an element (Bohr^(3/2)): exactly zero but of s functions."""
    degrees = torch.tensor([shell.degree for shell in basis.of(z) for _ in range(2 * shell.degree + 1)])
    return torch.where(degrees == 0, moments(basis, z, (0, 0, 0)), 0.0)


def moments(basis: Basis, z: int, powers: tuple[int, int, int]) -> Float[Tensor, " n"]:
    r"""The integrals :math:`\int \phi\, x^i y^j z^k` of the functions of an element about its nucleus, float64.

    Args:
        basis: of the functions.
        z: atomic number.
        powers: (i, j, k).

    Raises:
        DataError: an element that the basis does not have.
    """
    return _moments(tuple(basis.of(z)), powers)


@lru_cache(maxsize=256)
def _moments(shells: tuple[Shell, ...], powers: tuple[int, int, int]) -> Tensor:
    unity = Group(
        0, torch.zeros(1, dtype=torch.float64), torch.full((1, 1), (4 * torch.pi) ** 0.5, dtype=torch.float64)
    )
    origin = torch.zeros(1, 3, dtype=torch.float64)
    return torch.cat([shell_integrals((unity, group), (origin, origin), powers)[0, 0] for group in groups(shells)])


def molecular_charges(basis: Basis, numbers: Int[Tensor, " atoms"]) -> Float[Tensor, " n"]:
    """:func:`charges` of all functions of a molecule."""
    return torch.cat([charges(basis, z) for z in numbers.tolist()]).to(numbers.device)


def density_moments(
    basis: Basis, numbers: Int[Tensor, " atoms"], pos: Float[Tensor, "m atoms 3"], coefficients: Float[Tensor, "m n"]
) -> tuple[Float[Tensor, " m"], Float[Tensor, "m 3"], Float[Tensor, "m 3 3"]]:
    r"""Charge :math:`\int \tilde\rho`, :math:`\int \tilde\rho\, r` (Bohr) and :math:`\int \tilde\rho\, r r^T` (Bohr^2)
    of densities, of electrons, which count positive; about the origin of the coordinates.

    Args:
        basis: auxiliary.
        numbers: atomic numbers.
        pos: positions (A).
        coefficients: C.
    """
    centres = centres_of(numbers, pos)
    c = coefficients.to(torch.float64).split([basis.size(z) for z in numbers.tolist()], dim=1)
    unit = torch.eye(3, dtype=torch.int64).tolist()
    charge, first = centres.new_zeros(len(pos)), centres.new_zeros(len(pos), 3)
    second = centres.new_zeros(len(pos), 3, 3)
    for atom, (z, part) in enumerate(zip(numbers.tolist(), c, strict=True)):
        R = centres[:, atom]
        q = part @ moments(basis, z, (0, 0, 0)).to(part)
        d = torch.stack([part @ moments(basis, z, tuple(e)).to(part) for e in unit], dim=1)
        s = torch.stack([
            part @ moments(basis, z, tuple(a + b for a, b in zip(e, f, strict=True))).to(part)
            for e in unit for f in unit
        ], dim=1).unflatten(1, (3, 3))  # fmt: skip
        charge, first = charge + q, first + d + q.unsqueeze(1) * R
        outer = R.unsqueeze(2) * d.unsqueeze(1)
        second = second + s + outer + outer.mT + q[:, None, None] * R.unsqueeze(2) * R.unsqueeze(1)
    return charge, first, second


def matrix_moments(
    basis: Basis, numbers: Int[Tensor, " atoms"], pos: Float[Tensor, "m atoms 3"], matrices: Float[Tensor, "m n n"]
) -> tuple[Float[Tensor, " m"], Float[Tensor, "m 3"], Float[Tensor, "m 3 3"]]:
    """What :func:`density_moments` gives, of the densities of symmetric matrices D of orbitals.

    Args:
        basis: of the orbitals.
        numbers: atomic numbers.
        pos: positions (A).
        matrices: D, in the order of :mod:`intertwine.orbitals.order`.
    """
    D = matrices.to(torch.float64)
    unit = torch.eye(3, dtype=torch.int64)

    def moment(powers: Tensor) -> Tensor:
        i, j, k = powers.tolist()
        return (moment_matrix(basis, numbers, pos, (i, j, k)) * D).sum((1, 2))

    first = torch.stack([moment(e) for e in unit], dim=1)
    upper = {(a, b): moment(unit[a] + unit[b]) for a in range(3) for b in range(a, 3)}
    rows = [torch.stack([upper[min(a, b), max(a, b)] for b in range(3)], dim=1) for a in range(3)]
    return moment(torch.zeros_like(unit[0])), first, torch.stack(rows, dim=1)


def projections(
    basis: Basis,
    auxiliary: Basis,
    numbers: Int[Tensor, " atoms"],
    pos: Float[Tensor, "m atoms 3"],
    matrices: Float[Tensor, "m n n"],
) -> Float[Tensor, "m functions"]:
    r"""The integrals :math:`w_P = \int \rho\, \phi_P` of the densities of symmetric matrices D, float64.

    Args:
        basis: of the orbitals. auxiliary: of the functions.
        numbers: atomic numbers.
        pos: positions (A).
        matrices: D, of orbitals in the order of :mod:`intertwine.orbitals.order`.

    Raises:
        DataError: an element that a basis does not have.
    """
    z, centres, D = numbers.tolist(), centres_of(numbers, pos), matrices.to(torch.float64)
    orbitals = [groups(tuple(basis.of(element))) for element in z]
    functions = [groups(tuple(auxiliary.of(element))) for element in z]
    starts = _starts([[group.size for group in ones] for ones in orbitals])
    primitives = [[_primitives(group, len(pos), centres) for group in ones] for ones in functions]
    for i in range(len(z)):
        for j in range(i, len(z)):
            for left, row in zip(orbitals[i], starts[i], strict=True):
                for right, column in zip(orbitals[j], starts[j], strict=True):
                    block = (1 if i == j else 2) * D[:, row : row + left.size, column : column + right.size]
                    weights = primitive_matrix(left, right, block)[:, :, None, ..., None]
                    for k in range(len(z)):
                        at = [centres[:, atom] - centres[:, k] for atom in (i, j, k)]
                        for place, group in enumerate(functions[k]):
                            values = primitive_integrals((left, right, group), at)
                            primitives[k][place] += (values * weights).sum((0, 1, 4, 5))
    parts = [
        torch.einsum("upc,mu,sc->psm", value, solid_harmonics(group.degree).to(value), group.weights.to(value)).flatten(
            1
        )
        for values, ones in zip(primitives, functions, strict=True)
        for value, group in zip(values, ones, strict=True)
    ]
    return torch.cat(parts, dim=1)


def _primitives(group: Group, count: int, like: Tensor) -> Float[Tensor, "monomials batch primitives"]:
    """Zeros for the integrals of the primitives of a group."""
    return like.new_zeros(len(monomials(group.degree)), count, len(group.exponents))


def fitted(
    basis: Basis,
    auxiliary: Basis,
    numbers: Int[Tensor, " atoms"],
    pos: Float[Tensor, "m atoms 3"],
    matrices: Float[Tensor, "m n n"],
) -> Float[Tensor, "m functions"]:
    """The best coefficients C of densities, whose charge is that of the density matrix, float64.

    Args:
        basis: of the orbitals. auxiliary: of the functions.
        numbers: atomic numbers.
        pos: positions (A).
        matrices: D, of orbitals in the order of :mod:`intertwine.orbitals.order`.

    Raises:
        DataError: an element that a basis does not have; more electrons than the orbitals hold.
        GeometryError: functions are linearly dependent.
    """
    charge = molecular_charges(auxiliary, numbers)
    if not bool(charge.any()):
        remedy = "give an auxiliary basis with s functions."
        raise DataError("no function of the auxiliary basis has a charge", where=auxiliary.name, remedy=remedy)
    parts = []
    for x, D in zip(pos.split(CHUNK), matrices.to(torch.float64).split(CHUNK), strict=True):
        w = projections(basis, auxiliary, numbers, x, D)
        electrons = (overlap_matrix(basis, numbers, x) * D).sum((1, 2))
        if len(D) and float(electrons.max()) > 2 * D.shape[1] + 1e-6:
            what = f"{float(electrons.max()):.6g} electrons in {D.shape[1]} orbitals, which hold two each"
            raise DataError(what, where=basis.name, remedy="give the density matrix of this basis, or a larger basis.")
        both = torch.stack([w, charge.to(w).expand_as(w)], dim=2)
        factor, wrong = torch.linalg.cholesky_ex(overlap_matrix(auxiliary, numbers, x))
        if bool(wrong.any()):
            remedy = "take atoms apart that (almost) coincide, or use fewer functions: a larger ratio of exponents."
            what = f"auxiliary functions of geometry {int(wrong.nonzero()[0])} are linearly dependent"
            raise GeometryError(what, where=auxiliary.name, remedy=remedy)
        free, shift = torch.cholesky_solve(both, factor).unbind(2)
        multiplier = (electrons - free @ charge) / (shift @ charge)
        parts.append(free + multiplier.unsqueeze(1) * shift)
    return torch.cat(parts) if parts else charge.new_zeros(0, len(charge))


def _starts(sizes: list[list[int]]) -> list[list[int]]:
    """Where each group of each atom begins among all orbitals."""
    at, starts = 0, []
    for ones in sizes:
        row = []
        for size in ones:
            row.append(at)
            at += size
        starts.append(row)
    return starts
