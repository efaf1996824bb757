"""What a deployed model is tried on, and how its answers are compared."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

STEPS = (4e-3, 2e-3)  # A, or strain: of the central differences, extrapolated
FEW = 3  # structures of which differences are taken
FAR_PER_CUTOFF = 3.0  # from one structure to the next, beyond its own extent
LEAST_EV = 1e-3  # eV and eV/A: energies and forces below count as this large
LEAST_STRESS = 1e-5  # eV/A^3
MOVES_ANGSTROM = (0.01, 0.02, 0.4)  # within the skin, and beyond it


class Found(NamedTuple):
    """Of one quantity the largest error, the bound, and where."""

    output: str
    error: float
    bound: float
    worst: str


class Trial:
    """A model in one precision.

    Args:
        subject: :class:`~intertwine.integrations.conformance.Subject`.
        dtype: of it.
        slow: whether large structures are tried.
        shared: the calculator that is asked where none is named.
    """

    def __init__(self, subject: Any, dtype: torch.dtype, slow: bool, shared: Any) -> None:
        self.subject, self.dtype, self.slow, self.shared = subject, dtype, slow, shared
        self.exact = dtype is torch.float64
        self.generator = np.random.default_rng(0)
        self.singles = {
            int(v.atoms.numbers[0]): v for v in subject.vectors if len(v.atoms) == 1 and not v.atoms.pbc.any()
        }
        self.several = [v for v in subject.vectors if len(v.atoms) > 1]
        self.open = [v for v in self.several if not v.atoms.pbc.any()]

    # ------------------------------------------------------------------ answers

    def ask(self, atoms: Atoms, calculator: Any = None) -> dict[str, Any]:
        """Energy, forces and, where there is one, stress."""
        atoms = atoms.copy()
        atoms.calc = self.shared if calculator is None else calculator
        answer = {
            "energy": float(atoms.get_potential_energy()),
            "forces": np.array(atoms.get_forces(apply_constraint=False)),
        }
        if atoms.pbc.sum() >= 2:
            with contextlib.suppress(PropertyNotImplementedError):
                answer["stress"] = np.array(atoms.get_stress(apply_constraint=False))
        return answer

    def said(self, vector: Any) -> dict[str, np.ndarray]:
        """What the file says, in this precision, or the nearest that it has."""
        return dict(vector.values.get(self.dtype) or vector.values[torch.float64])

    def alone_energy(self, numbers: Any) -> float:
        """The energy of atoms that don't see each other (eV), as the file says."""
        return float(sum(self.said(self.singles[int(z)])["energy"].item() for z in numbers))

    def energy_size(self, vectors: Sequence[Any]) -> float:
        """Root mean square of energies beyond those of atoms alone, eV."""
        beyond = [self.said(v)["energy"].item() - self._alone(v.atoms.numbers) for v in vectors]
        return max(float(np.sqrt(np.mean(np.square(beyond)))), LEAST_EV) if beyond else 1.0

    def _alone(self, numbers: Any) -> float:
        return self.alone_energy(numbers) if {int(z) for z in numbers} <= self.singles.keys() else 0.0

    def force_size(self, vectors: Sequence[Any]) -> float:
        """Root mean square of the forces, eV/A."""
        parts = [np.ravel(self.said(v)["forces"]) for v in vectors]
        return max(float(np.sqrt(np.mean(np.square(np.concatenate(parts))))), LEAST_EV) if parts else 1.0

    # ------------------------------------------------------------------ tests

    def vectors_of(self, name: str, bound: float) -> Found | str:
        """One quantity of all test vectors beside the eager model's."""
        vectors = [v for v in self.subject.vectors if name in self.said(v)]
        if not vectors:
            return f"no {name} in the file"
        size = {"energy": self.energy_size, "forces": self.force_size, "stress": self._stress_size}[name](
            [v for v in vectors if len(v.atoms) > 1] or vectors
        )
        worst = Worst(name, bound)
        for vector in vectors:
            answer, said = self.ask(vector.atoms), self.said(vector)[name]
            if name not in answer:
                worst.see(np.inf, f"{vector.name}: there is none")
                continue
            worst.see(np.abs(answer[name] - said.reshape(np.shape(answer[name]))).max(initial=0.0) / size, vector.name)
        return worst.found()

    def _stress_size(self, vectors: Sequence[Any]) -> float:
        return max(float(np.sqrt(np.mean(np.square([self.said(v)["stress"] for v in vectors])))), LEAST_STRESS)

    def forces_by_differences(self, bound: float) -> Found | str:
        """Along a random direction of all coordinates."""
        worst = Worst("forces", bound)
        for vector in self.several[:FEW]:
            direction = self.generator.normal(size=vector.atoms.positions.shape)
            direction /= np.linalg.norm(direction)
            calculator = self.shared
            slope = derivative(
                lambda h, v=vector, d=direction, c=calculator: self.ask(_moved(v.atoms, h * d), c)["energy"]
            )
            work = float((self.ask(vector.atoms, calculator)["forces"] * direction).sum())
            worst.see(abs(slope + work) / max(self.force_size([vector]), LEAST_EV), vector.name)
        return worst.found() if worst.seen else "no structure of two atoms in the file"

    def stress_by_differences(self, bound: float) -> Found | str:
        """Along a random symmetric strain."""
        worst = Worst("stress", bound)
        for vector in [v for v in self.several if "stress" in self.said(v)][:FEW]:
            strain = self.generator.normal(size=(3, 3))
            strain = (strain + strain.T) / (2 * np.linalg.norm(strain))
            calculator = self.shared
            slope = derivative(
                lambda h, v=vector, e=strain, c=calculator: self.ask(_strained(v.atoms, h * e), c)["energy"]
            )
            stress = self.ask(vector.atoms, calculator).get("stress", np.full(6, np.nan))
            full = stress[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
            volume = vector.atoms.get_volume()
            worst.see(
                abs(slope - volume * float((full * strain).sum())) / (volume * self._stress_size([vector])), vector.name
            )
        return worst.found() if worst.seen else "no periodic structure in the file"

    def alone(self, bound: float) -> Found | str:
        """Each species."""
        worst, size = Worst("energy", bound), self.energy_size(self.several)
        for z, vector in self.singles.items():
            answer = self.ask(vector.atoms)
            worst.see(abs(answer["energy"] - self.alone_energy([z])) / size, vector.name)
            worst.see(np.abs(answer["forces"]).max() / self.force_size(self.several), f"force on {vector.name}")
        return worst.found() if worst.seen else "no isolated atom in the file"

    def apart(self, bound: float) -> Found | str:
        """All species, each twice, out of reach of each other; open, and in a periodic box."""
        if self.subject.cutoff is None or not self.singles:
            return "every atom sees every other" if self.subject.cutoff is None else "no isolated atom in the file"
        worst, size, reach = (
            Worst("energy", bound),
            self.energy_size(self.several),
            FAR_PER_CUTOFF * self.subject.cutoff,
        )
        numbers = [z for z in self.singles for _ in range(2)]
        line = Atoms(numbers, [[reach * k, 0.0, 0.0] for k in range(len(numbers))])
        box = line.copy()
        box.set_cell([reach * len(numbers), reach, reach])
        box.pbc = True
        for atoms, words in ((line, "open"), (box, "periodic")):
            answer = self.ask(atoms)
            worst.see(abs(answer["energy"] - self.alone_energy(numbers)) / size, f"{len(numbers)} atoms, {words}")
            worst.see(np.abs(answer["forces"]).max() / self.force_size(self.several), f"forces, {words}")
        return worst.found()

    def growing(self, bound: float) -> Found | str:
        """A structure with atoms far away."""
        if self.subject.cutoff is None or not self.singles or not self.open:
            return self._untried()
        worst = Worst("energy", bound)
        for vector in self.open[:FEW]:
            base, size = self.ask(vector.atoms), self.energy_size([vector])
            for more in range(1, 5):
                numbers = [sorted(self.singles)[k % len(self.singles)] for k in range(more)]
                answer = self.ask(_joined([vector.atoms], numbers, self._gap()))
                wrong = abs(answer["energy"] - base["energy"] - self.alone_energy(numbers)) / size
                worst.see(wrong, f"{vector.name} and {more} atoms far away, {len(vector.atoms) + more} in all")
        return worst.found()

    def copies(self, sizes: Sequence[int], bound: float) -> Found | str:
        """Copies of a small structure and single atoms, so many atoms in all."""
        if self.subject.cutoff is None or not self.singles or not self.open:
            return self._untried()
        vector = min(self.open, key=lambda v: abs(len(v.atoms) - 8))
        base, per, single = self.ask(vector.atoms), len(vector.atoms), sorted(self.singles)[0]
        worst = Worst("energy, forces", bound)
        for size in sizes:
            many, rest = divmod(size, per)
            answer = self.ask(_joined([vector.atoms] * many, [single] * rest, self._gap()))
            energy = many * base["energy"] + self.alone_energy([single] * rest)
            worst.see(abs(answer["energy"] - energy) / (many * self.energy_size([vector])), f"{size:,} atoms, energy")
            forces = np.concatenate([np.tile(base["forces"], (many, 1)), np.zeros((rest, 3))])
            wrong = np.abs(answer["forces"] - forces).max() / self.force_size([vector])
            worst.see(wrong, f"{size:,} atoms, forces")
        return worst.found()

    def periodic(self, bound: float) -> Any:
        """Cells repeated, and boxes around molecules."""
        cells = [v for v in self.several if v.atoms.pbc.all()][:2]
        worst = Worst("energy, forces, stress", bound)
        for vector in cells:
            first, second = self.ask(vector.atoms), self.ask(vector.atoms.repeat((2, 1, 1)))
            worst.see(
                abs(second["energy"] - 2 * first["energy"]) / (2 * self.energy_size([vector])), f"{vector.name}, energy"
            )
            wrong = np.abs(second["forces"] - np.tile(first["forces"], (2, 1))).max() / self.force_size([vector])
            worst.see(wrong, f"{vector.name}, forces")
            if "stress" in first:
                wrong = np.abs(second["stress"] - first["stress"]).max() / self._stress_size([vector])
                worst.see(wrong, f"{vector.name}, stress")
        if worst.seen:
            yield worst.found()
        if self.subject.cutoff is None or not self.open:
            yield self._untried() if self.open else "no molecule in the file"
            return
        worst = Worst("energy, forces", bound)
        for vector in self.open[:2]:
            boxed = vector.atoms.copy()
            boxed.set_cell(np.ptp(boxed.positions, axis=0) + self._gap())
            boxed.pbc = True
            first, second = self.ask(vector.atoms), self.ask(boxed)
            worst.see(
                abs(second["energy"] - first["energy"]) / self.energy_size([vector]), f"{vector.name} in a box, energy"
            )
            wrong = np.abs(second["forces"] - first["forces"]).max() / self.force_size([vector])
            worst.see(wrong, f"{vector.name} in a box, forces")
        yield worst.found()

    def order(self, bound: float) -> Found | str:
        """A random order."""
        worst = Worst("energy, forces", bound)
        for vector in self.several[:FEW]:
            turned = self.generator.permutation(len(vector.atoms))
            first, second = self.ask(vector.atoms), self.ask(vector.atoms[turned])
            worst.see(abs(second["energy"] - first["energy"]) / self.energy_size([vector]), f"{vector.name}, energy")
            wrong = np.abs(second["forces"] - first["forces"][turned]).max() / self.force_size([vector])
            worst.see(wrong, f"{vector.name}, forces")
        return worst.found() if worst.seen else "no structure of two atoms in the file"

    def batch(self, bound: float) -> Found | str:
        """All test vectors that are alike enough to share one."""
        if self.subject.batched is None or not self.exact:
            return "asked in float64" if self.subject.batched is not None else "there are no batches"
        vectors = self.open or self.several
        worst, energies = Worst("energy", bound), self.subject.batched([v.atoms for v in vectors])
        for vector, energy in zip(vectors, energies, strict=True):
            worst.see(abs(float(energy) - self.ask(vector.atoms)["energy"]) / self.energy_size([vector]), vector.name)
        return worst.found() if worst.seen else "no structure of two atoms in the file"

    def after_moves(self, bound: float) -> Found | str:
        """One calculator goes through displaced structures, and through those of other sizes."""
        worst, calculator = Worst("energy, forces", bound), self.subject.make(self.dtype)
        for vector in self.several[:FEW]:
            for size in (0.0, *MOVES_ANGSTROM):
                moved = _moved(vector.atoms, size * self.generator.uniform(-1, 1, vector.atoms.positions.shape))
                self._beside_fresh(worst, moved, calculator, f"{vector.name}, moved by {size:g} A")
        return worst.found() if worst.seen else "no structure of two atoms in the file"

    def after_failure(self, bound: float) -> Found | str:
        """A position that is not a number; then a good structure."""
        worst = Worst("energy, forces", bound)
        for vector in self.several[:FEW]:
            calculator = self.subject.make(self.dtype)
            self.ask(vector.atoms, calculator)
            spoilt = vector.atoms.copy()
            spoilt.positions[0, 0] = np.nan
            for _ in range(2):
                self._refused(worst, spoilt, calculator, vector.name)
            moved = _moved(vector.atoms, 0.05 * self.generator.normal(size=vector.atoms.positions.shape))
            self._beside_fresh(worst, moved, calculator, f"{vector.name} after a failure")
        return worst.found() if worst.seen else "no structure of two atoms in the file"

    def _refused(self, worst: Worst, atoms: Atoms, calculator: Any, name: str) -> None:
        """A failure has to be said, and to leave no results behind."""
        try:
            answer = self.ask(atoms, calculator)
        except (ValueError, RuntimeError, ArithmeticError, LookupError, PropertyNotImplementedError):
            left = {"energy", "forces"} & set(getattr(calculator, "results", {}))
            worst.see(np.inf if left else 0.0, f"{name}: a failure leaves {', '.join(sorted(left)) or 'nothing'}")
            return
        finite = np.isfinite(answer["energy"]) or np.isfinite(answer["forces"]).all()
        worst.see(np.inf if finite else 0.0, f"{name} with a position that is no number has a result")

    def _beside_fresh(self, worst: Worst, atoms: Atoms, calculator: Any, words: str) -> None:
        mine, fresh = self.ask(atoms, calculator), self.ask(atoms, self.subject.make(self.dtype))
        worst.see(abs(mine["energy"] - fresh["energy"]) / self.energy_size(self.several), f"{words}, energy")
        size = max(float(np.sqrt(np.mean(fresh["forces"] ** 2))), LEAST_EV)
        worst.see(np.abs(mine["forces"] - fresh["forces"]).max() / size, f"{words}, forces")

    def _gap(self) -> float:
        return FAR_PER_CUTOFF * self.subject.cutoff

    def _untried(self) -> str:
        if self.subject.cutoff is None:
            return "every atom sees every other"
        return "no molecule in the file" if not self.open else "no isolated atom in the file"


class Worst:
    """The largest error of a test, and where; errors that are no numbers are infinite."""

    def __init__(self, output: str, bound: float) -> None:
        self.output, self.bound, self.error, self.words, self.seen = output, bound, -1.0, "", 0

    def see(self, error: float, words: str) -> None:
        """One more error."""
        error, self.seen = float(np.nan_to_num(error, nan=np.inf)), self.seen + 1
        if error > self.error:
            self.error, self.words = error, words

    def found(self) -> Found:
        """What was seen."""
        return Found(self.output, self.error, self.bound, self.words)


def derivative(energy: Any) -> float:
    """dE/dh at 0, by central differences at two steps, of which the error of second order is taken out."""
    wide, narrow = ((energy(h) - energy(-h)) / (2 * h) for h in STEPS)
    return float((4 * narrow - wide) / 3)


def _moved(atoms: Atoms, by: np.ndarray) -> Atoms:
    result = atoms.copy()
    result.positions = atoms.positions + by
    return result


def _strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    result = atoms.copy()
    result.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return result


def _joined(structures: Sequence[Atoms], numbers: Sequence[int], gap: float) -> Atoms:
    """Structures, then single atoms, out of reach of each other: on a cubic grid."""
    extent = max(float(np.ptp(atoms.positions, axis=0).max(initial=0.0)) for atoms in structures) + gap
    side = int(np.ceil((len(structures) + len(numbers)) ** (1 / 3)))
    places = extent * np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    positions = [atoms.positions + place for atoms, place in zip(structures, places)]
    middle = structures[0].positions.mean(0)
    singles = places[len(structures) : len(structures) + len(numbers)] + middle
    z = np.concatenate([*(atoms.numbers for atoms in structures), np.array(numbers, dtype=int)])
    return Atoms(z, np.concatenate([*positions, singles]))
