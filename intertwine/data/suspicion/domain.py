"""How far the structures of a training set reach: distances, energies and forces, beyond which a model only guesses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from ase.data import chemical_symbols

from intertwine.data.suspicion.closeness import CLOSE, REACH_ANGSTROM, neighbours, radii_of
from intertwine.data.suspicion.frames import Frames
from intertwine.data.suspicion.labels import baseline, wild_forces

STRUCTURES, NODES = 500, 20_000  # whose distances are looked at, evenly spread over the set
FEW = 10  # structures, below which nothing is said of the distances of a species or of two (of small sets: all of it)
#: Far outside is: nearer than so many times the smallest distance, with neighbours farther than so many times the
#: largest, beyond the range of energies by its own width and this much (eV/atom), forces so many times the largest and
#: this much (eV/A).
NEARER, FARTHER, BEYOND_EV, STRONGER, LEAST_FORCE = 0.75, 1.5, 0.5, 3.0, 1.0
LEAST_FITTED = 3  # energies for each direction of the compositions, below which none is compared
REMEDY = (
    "Energies and forces mean nothing there: begin with a relaxed structure, take smaller steps, or train on "
    "structures like it."
)


@dataclass(frozen=True)
class Domain:
    r"""The reach of a training set: of its distances, and of its energies and forces as far as it has them.

    An energy is compared by its residual :math:`(E - \sum_i e_{z_i}) / N` with the energies :math:`e_z` of the species
    that fit the set best (least absolute deviations). Labels and distances that are wild themselves
    (:func:`~intertwine.data.suspicion.suspicions`) don't count.

    Args:
        species: atomic numbers (species,), ascending.
        energies: that fit best, eV (species,); of no length where there are too few energies.
        directions: an orthonormal basis of the compositions (rank, species): outside of it energies are not compared.
        residuals: the smallest and the largest, eV/atom (2,).
        force: the largest, eV/A (1,); infinite where there are no forces.
        nearest: smallest distance of atoms of two species, A (species, species); infinite where too few were within
            5.5 A.
        farthest: largest distance of an atom to its nearest neighbour, A (species,); infinite where one had none, or
            few are known.
    """

    species: np.ndarray
    energies: np.ndarray
    directions: np.ndarray
    residuals: np.ndarray
    force: np.ndarray
    nearest: np.ndarray
    farthest: np.ndarray

    @classmethod
    def of(cls, frames: Frames) -> Domain:
        """That of a training set."""
        species, counts = frames.composition()
        fit = baseline(frames) if frames.energy is not None else None
        residual = np.zeros(0) if fit is None else np.nan_to_num(fit.residual, nan=np.inf)
        tame = np.flatnonzero(np.abs(residual) <= (np.inf if fit is None else fit.limit))
        basis = span(np.unique(counts, axis=0))
        known = fit is not None and len(tame) >= LEAST_FITTED * len(basis)
        residuals = fit.residual[tame] if fit is not None and known else np.zeros(1)
        force = np.full(1, np.inf)
        if frames.forces is not None:
            wild, largest = wild_forces(frames)
            force = np.delete(largest, wild).max(initial=0.0, keepdims=True)
        near, far = _distances(frames, species)
        return cls(
            species,
            fit.energies if fit is not None and known else np.zeros(0),
            basis,
            np.array([residuals.min(), residuals.max()]),
            force,
            near,
            far,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Its arrays by name, as a file keeps them."""
        return {f"domain_{each.name}": getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Domain | None:
        """What :meth:`arrays` gave; None where it is not whole, as in runs of former versions."""
        names = [f"domain_{each.name}" for each in fields(cls)]
        if not set(names) <= set(arrays):
            return None
        domain = cls(*(arrays[name] for name in names))
        n = len(domain.species)
        whole = domain.nearest.shape == (n, n) and domain.farthest.shape == (n,) and domain.residuals.shape == (2,)
        whole &= domain.directions.shape[1:] == (n,) and domain.force.shape == (1,) and len(domain.energies) in (0, n)
        return domain if whole and all(value.dtype.kind in "if" for value in vars(domain).values()) else None

    def departures(
        self,
        z: np.ndarray,
        pairs: np.ndarray,
        distances: np.ndarray,
        cutoff: float,
        energy: float | None = None,
        forces: np.ndarray | None = None,
    ) -> list[str]:
        """In which ways a structure is far outside, a few words each; none if it is not, or has species that the set
        lacks.

        Args:
            z: atomic numbers (atoms,).
            pairs: two atoms in each column (2, pairs), both ways: all that are within the cutoff.
            distances: of the pairs, A (pairs,).
            cutoff: A; infinite where all pairs are given.
            energy: predicted, eV.
            forces: predicted, eV/A (atoms, 3).
        """
        if not len(z) or not np.isin(z, self.species).all():
            return []
        which = np.searchsorted(self.species, z)
        words = [*self._near(z, which, pairs, distances), *self._far(z, which, pairs, distances, cutoff)]
        if energy is not None and len(self.energies):
            words += self._energy(which, energy)
        if forces is not None:
            largest = float(np.linalg.norm(forces, axis=1).max())
            if largest > max(STRONGER * float(self.force[0]), LEAST_FORCE):
                words.append(f"a force is {largest:.3g} eV/A, in training at most {float(self.force[0]):.3g}")
        return words

    def departures_of(
        self, frames: Frames, k: int, energy: float | None = None, forces: np.ndarray | None = None
    ) -> list[str]:
        """:meth:`departures` of one of several structures, by its neighbours within 5.5 A; none of an isolated atom.

        Args:
            frames: the structures.
            k: which of them.
            energy: predicted, eV.
            forces: predicted, eV/A (atoms, 3).
        """
        z = frames.z[frames.starts[k] : frames.starts[k + 1]]
        if len(z) == 1 and not frames.periodic[k]:
            return []
        source, target, vectors = neighbours(frames, k, REACH_ANGSTROM)
        distances = np.linalg.norm(vectors, axis=1)
        return self.departures(z, np.stack([source, target]), distances, REACH_ANGSTROM, energy, forces)

    def _near(self, z: np.ndarray, which: np.ndarray, pairs: np.ndarray, distances: np.ndarray) -> list[str]:
        if not len(distances):
            return []
        least = NEARER * self.nearest[which[pairs[0]], which[pairs[1]]]
        least = np.where(np.isfinite(least), least, CLOSE * (radii_of(z)[pairs[0]] + radii_of(z)[pairs[1]]))
        if not (distances < least).any():
            return []
        worst = int((distances / least).argmin())
        i, j = sorted(pairs[:, worst].tolist())
        usual = self.nearest[which[i], which[j]]
        words = f"atoms {i} and {j} ({_symbol(z[i])}, {_symbol(z[j])}) are {distances[worst]:.2g} A apart"
        return [f"{words}, in training no nearer than {usual:.3g} A" if np.isfinite(usual) else words]

    def _far(
        self, z: np.ndarray, which: np.ndarray, pairs: np.ndarray, distances: np.ndarray, cutoff: float
    ) -> list[str]:
        own = np.full(len(z), cutoff)
        np.minimum.at(own, pairs[0], distances)
        most = FARTHER * self.farthest[which]
        lonely = np.flatnonzero((own > most) | ((own >= cutoff) & (cutoff >= most)))
        if not len(lonely):
            return []
        i = int(lonely[(own / most)[lonely].argmax()])
        alone = own[i] >= cutoff
        reach = "has no neighbour" + (f" within {cutoff:g} A" if np.isfinite(cutoff) else "")
        words = reach if alone else f"is {own[i]:.3g} A from its nearest neighbour"
        return [f"atom {i} ({_symbol(z[i])}) {words}, in training at most {self.farthest[which[i]]:.3g} A"]

    def _energy(self, which: np.ndarray, energy: float) -> list[str]:
        counts = np.bincount(which, minlength=len(self.species)).astype(np.float64)
        if outside(counts[None], self.directions)[0]:
            return []  # its energy has a constant of its own
        residual = (energy - float(counts @ self.energies)) / len(which)
        low, high = self.residuals.tolist()
        margin = max(high - low, BEYOND_EV)
        if low - margin <= residual <= high + margin:
            return []
        return [
            f"the energy is {residual:+,.3g} eV/atom from what its composition has, in training {low:+.2g} to "
            f"{high:+.2g}"
        ]


def span(compositions: np.ndarray) -> np.ndarray:
    """An orthonormal basis (rank, species) of compositions (structures, species)."""
    _, size, directions = np.linalg.svd(compositions.astype(np.float64), full_matrices=False)
    return directions[size > 1e-9 * max(float(size.max(initial=0.0)), 1e-300)]


def outside(compositions: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Which compositions (structures, species) can't be made up of those that span these directions (structures,)."""
    rest = np.linalg.norm(compositions - (compositions @ directions.T) @ directions, axis=1)
    return np.asarray(rest > 1e-6 * np.linalg.norm(compositions, axis=1))


def _distances(frames: Frames, species: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest distance of each two species, and the largest of an atom of each to its nearest neighbour, in A."""
    near, far = np.full((len(species), len(species)), np.inf), np.zeros(len(species))
    pairs, atoms = np.zeros(near.shape, dtype=int), np.zeros(len(species), dtype=int)  # structures that have them
    several = np.flatnonzero((frames.counts > 1) | frames.periodic)
    picked = several[np.unique(np.linspace(0, len(several) - 1, min(len(several), STRUCTURES)).astype(int))]
    picked = picked[: max(1, int((np.cumsum(frames.counts[picked]) <= NODES).sum()))]
    for k in picked:
        z = frames.z[frames.starts[k] : frames.starts[k + 1]]
        which, radii = np.searchsorted(species, z), radii_of(z)
        source, target, vectors = neighbours(frames, int(k), REACH_ANGSTROM)
        distance = np.linalg.norm(vectors, axis=1)
        apart = distance >= CLOSE * (radii[source] + radii[target])
        source, target, distance = source[apart], target[apart], distance[apart]
        smallest = np.full(near.shape, np.inf)
        np.minimum.at(smallest, (which[source], which[target]), distance)
        near, pairs = np.minimum(near, smallest), pairs + np.isfinite(smallest)
        own = np.full(len(z), np.inf)
        np.minimum.at(own, target, distance)
        np.maximum.at(far, which, own)
        atoms[np.unique(which)] += 1
    enough = min(FEW, len(picked))
    return np.where(pairs >= enough, near, np.inf), np.where((far > 0) & (atoms >= enough), far, np.inf)


def _symbol(z: np.integer) -> str:
    return chemical_symbols[int(z)] if z < len(chemical_symbols) else f"Z = {z}"
