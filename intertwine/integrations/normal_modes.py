r"""Harmonic vibrations of a molecule from derivatives of its energy, with infrared and Raman intensities from those of
its dipole and polarizability.

.. math::
    F = M^{-1/2} H M^{-1/2}, \qquad F L = L \lambda, \qquad \Delta x = M^{-1/2} L\, Q, \qquad
    \tilde\nu_k = \frac{\sqrt{\lambda_k}}{2 \pi c}

with second derivatives H of the energy and masses M. The motions of the molecule as a whole, three translations and
three rotations (two if it is linear), are taken out of F before, so that they do not mix with vibrations (Eckart, Phys.
Rev. 47, 552 (1935)). With :math:`\mu_k = \partial\mu/\partial Q_k` and :math:`\alpha_k = \partial\alpha/\partial Q_k`,

.. math::
    A_k = \frac{N_A}{12\, \epsilon_0 c^2} |\mu_k|^2, \qquad S_k = 45\, a_k^2 + 7\, \gamma_k^2, \qquad
    a_k = \tfrac13 \mathrm{tr}\, \alpha_k, \qquad \gamma_k^2 = \tfrac32 \lVert \alpha_k - a_k 1 \rVert^2

are the integrated absorption and the Raman activity, and :math:`3 \gamma^2 / (45 a^2 + 4 \gamma^2)` is the
depolarization ratio of light that is polarized in a plane: Wilson, Decius and Cross, Molecular Vibrations (1955),
chapters 2, 3 and 7; Porezag and Pederson, Phys. Rev. B 54, 7830 (1996).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import units
from jaxtyping import Float

from intertwine.numerics import DataError, GeometryError

#: 1/cm for the square root of 1 eV/(A^2 amu).
WAVENUMBER = units._hbar * 1e10 / np.sqrt(units._e * units._amu) / units.invcm
#: km/mol for 1 e^2/amu.
ABSORPTION = units._Nav * units._e**2 / (12 * units._eps0 * units._c**2 * units._amu) / 1000
#: A molecule is linear where a rotation moves its atoms by less than this, beside the others (mass-weighted).
LINEAR = 1e-3
ASYMMETRY = 1e-6  # of second derivatives beside their size, above which they are none of an energy


@dataclass(frozen=True)
class Vibrations:
    r"""Normal modes of a molecule, the slowest first.

    Args:
        frequencies: wavenumbers :math:`\tilde\nu_k` (modes,) in 1/cm; imaginary ones, of a saddle, as negative numbers.
        modes: :math:`\partial x/\partial Q_k`, displacements (modes, atoms, 3) of the atoms in A for
            :math:`Q_k = 1` A amu^(1/2), in amu^(-1/2).
        rigid: wavenumbers of the motions as a whole (1/cm), six, or five of a linear molecule: zero at rest, but for
            rounding.
        infrared: integrated absorption A_k (modes,) in km/mol; None without derivatives of a dipole.
        raman: activity S_k (modes,) in A^4/amu; None without derivatives of a polarizability.
        depolarization: ratio (modes,), from 0 to 3/4; NaN of a mode without activity.
    """

    frequencies: Float[np.ndarray, " modes"]
    modes: Float[np.ndarray, "modes atoms 3"]
    rigid: Float[np.ndarray, " rigid"]
    infrared: Float[np.ndarray, " modes"] | None = None
    raman: Float[np.ndarray, " modes"] | None = None
    depolarization: Float[np.ndarray, " modes"] | None = None

    @property
    def zero_point_energy(self) -> float:
        r""":math:`\tfrac12 \sum_k h c \tilde\nu_k` of the real ones (eV)."""
        return 0.5 * float(self.frequencies.clip(min=0).sum()) * units.invcm

    def __str__(self) -> str:
        columns = {
            "1/cm": (self.frequencies, "10.2f"), "km/mol": (self.infrared, "10.3f"), "A^4/amu": (self.raman, "10.3f"),
            "depol.": (self.depolarization, "8.4f"),
        }  # fmt: skip
        there = {name: (values, form) for name, (values, form) in columns.items() if values is not None}
        head = " ".join(f"{name:>{form.split('.')[0]}}" for name, (_, form) in there.items())
        rows = (" ".join(f"{values[k]:{form}}" for values, form in there.values()) for k in range(len(self.modes)))
        return "\n".join([head, *rows])


def normal_modes(
    hessian: Float[np.ndarray, "coordinates coordinates"],
    masses: Float[np.ndarray, " atoms"],
    positions: Float[np.ndarray, "atoms 3"],
    *,
    dipole_derivatives: Float[np.ndarray, "coordinates 3"] | None = None,
    polarizability_derivatives: Float[np.ndarray, "coordinates 3 3"] | None = None,
) -> Vibrations:
    r"""The normal modes of second derivatives, whoever computed them. Coordinates are x, y, z of one atom after the
    other.

    Args:
        hessian: :math:`\partial^2 E/\partial x \partial x` (3 N, 3 N) in eV/A^2.
        masses: of the atoms (N,) in amu.
        positions: of the atoms (N, 3) in A, where the forces vanish.
        dipole_derivatives: :math:`\partial\mu/\partial x` (3 N, 3) in e (that is, e A for 1 A).
        polarizability_derivatives: :math:`\partial\alpha/\partial x` (3 N, 3, 3) in A^2 (that is, A^3 for 1 A).

    Raises:
        DataError: the second derivatives are not finite or not symmetric, or a mass is not positive.
        GeometryError: there are fewer than two atoms.
    """
    H, m = np.asarray(hessian, dtype=np.float64), np.asarray(masses, dtype=np.float64)
    if len(m) < 2:
        raise GeometryError("one atom does not vibrate", where="structure", remedy="give a molecule.")
    if not (np.isfinite(m) & (m > 0)).all():
        raise DataError("a mass is not positive", where="masses", remedy="give the mass of each atom in amu.")
    if not (np.isfinite(H).all() and np.abs(H - H.T).max() <= ASYMMETRY * np.abs(H).max()):
        what = "the second derivatives are not finite or not symmetric"
        raise DataError(what, where="hessian", remedy="give those of one energy; (H + H^T)/2 of finite differences.")
    weight = np.repeat(m, 3) ** -0.5
    F = weight[:, None] * (H + H.T) / 2 * weight
    whole, rest = _motions(m, np.asarray(positions, dtype=np.float64))
    values, vectors = np.linalg.eigh(rest.T @ F @ rest)
    dx = weight[:, None] * (rest @ vectors)  # a column for each mode
    infrared = raman = ratio = None
    if dipole_derivatives is not None:
        infrared = ABSORPTION * np.square(np.einsum("xk,xi->ki", dx, dipole_derivatives)).sum(1)
    if polarizability_derivatives is not None:
        raman, ratio = _raman(np.einsum("xk,xij->kij", dx, polarizability_derivatives))
    rigid = wavenumbers(np.linalg.eigvalsh(whole.T @ F @ whole))
    return Vibrations(wavenumbers(values), dx.T.reshape(-1, len(m), 3), rigid, infrared, raman, ratio)


def wavenumbers(values: Float[np.ndarray, " modes"]) -> Float[np.ndarray, " modes"]:
    r"""The wavenumbers (1/cm) of eigenvalues :math:`\lambda` (eV/(A^2 amu)); negative ones of negative eigenvalues."""
    return np.sign(values) * np.sqrt(np.abs(values)) * WAVENUMBER


def _motions(m: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal mass-weighted motions as columns: of the molecule as a whole, and all others."""
    root, eye = np.sqrt(m), np.eye(3)
    translations = np.stack([np.outer(root, e).ravel() / np.sqrt(m.sum()) for e in eye], axis=1)
    arm = root[:, None] * (x - m @ x / m.sum())
    turned = np.stack([np.cross(e, arm).ravel() for e in eye], axis=1)
    rotations, sizes, _ = np.linalg.svd(turned, full_matrices=False)
    whole = np.concatenate([translations, rotations[:, sizes > LINEAR * sizes.max()]], axis=1)
    basis, _, _ = np.linalg.svd(whole, full_matrices=True)
    return basis[:, : whole.shape[1]], basis[:, whole.shape[1] :]


def _raman(alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Activities and depolarization ratios of derivatives (modes, 3, 3) of polarizabilities."""
    a = np.trace(alpha, axis1=1, axis2=2) / 3
    symmetric = (alpha + alpha.transpose(0, 2, 1)) / 2
    gamma = 1.5 * np.square(symmetric - a[:, None, None] * np.eye(3)).sum((1, 2))  # squared
    total = 45 * a**2 + 4 * gamma
    return 45 * a**2 + 7 * gamma, np.divide(3 * gamma, total, out=np.full_like(a, np.nan), where=total > 0)
