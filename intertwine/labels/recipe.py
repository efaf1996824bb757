"""Everything that decides the numbers of a file of labels, in one object that is stored beside them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ase.units import Bohr, Hartree

from intertwine.labels.methods import HARTREE_FOCK, Method, method_of
from intertwine.labels.programs import versions
from intertwine.numerics import InputError, choose

#: What can be asked for, and the units of the file.
UNITS = {
    "energy": "eV",
    "forces": "eV/A",
    "dipole": "e*A",
    "polarizability": "A^3",
    "density": "e",
    "hamiltonian": "Hartree",
}
MATRICES = ("density", "hamiltonian")
THRESHOLDS = {"pyscf": 1e-10, "tblite": 1e-8}  # Eh, of the energy between two iterations
LEAST_THRESHOLD, MOST_THRESHOLD = 1e-14, 1e-3
GRIDS = range(10)  # PySCF's levels
USUAL_GRID = 3
#: Options of `intertwine label`, by the entries of a recipe.
OPTIONS = {
    "method": "--method",
    "want": "--want",
    "charge": "--charge",
    "spin": "--spin",
    "grid": "--grid",
    "energy_threshold": "--threshold",
    "cycles": "--cycles",
    "field_step": "--field",
}
#: What follows from an option, and is not told beside it.
FOLLOWS = {
    "method": ("program", "xc", "functionals", "basis", "grid", "energy_threshold", "gradient_threshold", "versions"),
    "energy_threshold": ("gradient_threshold",),
}


@dataclass(frozen=True)
class Recipe:
    r"""How labels are computed.

    Args:
        method: the method's name, such as "pbe/def2-svp".
        program: "pyscf" or "tblite".
        want: the labels.
        xc: the functional, as PySCF takes it; B3LYP is written out.
        functionals: what it consists of.
        basis: of the orbitals, spherical, with the effective core potentials that it is made for.
        grid: PySCF's level of the grid of integration; None without a functional.
        energy_threshold: largest change of the energy in the last iteration (Eh).
        gradient_threshold: largest norm of the gradient in the orbitals (Eh); :math:`\sqrt{t}/100` of the threshold t
            of the energy. None: tblite derives its own from the energy's.
        cycles: iterations after which a calculation has not converged.
        charge: of the structures (e); None: what each says itself, else 0.
        spin: unpaired electrons.
        field_step: step of the electric field of polarizabilities (atomic units, Eh/(e a0)).
        versions: of the programs.
        units: constants that join atomic units to those of the file.
    """

    method: str
    program: str
    want: tuple[str, ...]
    xc: str = ""
    functionals: str = ""
    basis: str = ""
    grid: int | None = None
    energy_threshold: float = 1e-10
    gradient_threshold: float | None = None
    cycles: int = 100
    charge: int | None = None
    spin: int = 0
    field_step: float = 1e-3
    versions: dict[str, str] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=lambda: {"Hartree in eV": Hartree, "Bohr in A": Bohr})

    def text(self) -> str:
        """The recipe as JSON, the same for equal ones."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, text: str) -> Recipe:
        """A recipe from its JSON."""
        told: dict[str, Any] = json.loads(text)
        return cls(**(told | {"want": tuple(told["want"])}))

    def digest(self) -> str:
        """A name of the recipe: equal ones have equal names."""
        return hashlib.sha256(self.text().encode()).hexdigest()[:16]

    def differences(self, other: Recipe) -> list[str]:
        """The entries that differ from another one, without those that follow from others of them."""
        then, now = asdict(self), asdict(other)
        names = [name for name in then if then[name] != now[name]]
        following = {entry for name in names for entry in FOLLOWS.get(name, ())}
        return [name for name in names if name not in following]

    def told(self, name: str, beside: Recipe | None = None) -> str:
        """An entry in words, an option as it is given; of versions those that are not those of another recipe."""
        value = getattr(self, name)
        if isinstance(value, dict):
            others = {} if beside is None else getattr(beside, name)
            return (
                ", ".join(f"{key} {each}" for key, each in sorted(value.items()) if others.get(key) != each)
                or "not given"
            )
        if isinstance(value, tuple):
            return ",".join(value)
        return "not given" if value is None or value == "" else str(value)

    def options(self) -> str:
        """The options of `intertwine label` that ask for it; those that have their default are left out."""
        default = Recipe(
            "", "", (), grid=None if self.grid is None else USUAL_GRID, energy_threshold=THRESHOLDS[self.program]
        )
        names = [name for name in OPTIONS if getattr(self, name) != getattr(default, name)]
        return " ".join(f"{OPTIONS[name]} {self.told(name)}" for name in names)


def recipe(
    method: str,
    want: Sequence[str] = ("energy", "forces"),
    *,
    charge: int | None = None,
    spin: int = 0,
    grid: int | None = None,
    threshold: float | None = None,
    cycles: int = 100,
    field: float = 1e-3,
) -> Recipe:
    """A recipe, checked, with the versions of the programs that are installed.

    Args:
        method: "FUNCTIONAL/BASIS" or "gfn2-xtb" (:func:`~intertwine.labels.methods.method_of`).
        want: names of :data:`UNITS`.
        charge: of every structure (e); None: its own.
        spin: unpaired electrons of every structure.
        grid: level of PySCF's grid, 0 to 9. Default: 3.
        threshold: of the energy (Eh). Default: 1e-10 (PySCF), 1e-8 (tblite).
        cycles: iterations at most.
        field: step of the electric field (atomic units).

    Raises:
        InputError: an argument is not acceptable, or the program is not installed.
    """
    spoken = method_of(method)
    names = tuple(
        name for name in UNITS if name in {choose(word, UNITS, kind="label", where="--want") for word in want}
    )
    if not names:
        raise InputError("nothing is wanted", where="--want", remedy="say for example --want energy,forces.")
    _check(spoken, names, spin, grid, cycles, field)
    threshold = THRESHOLDS[spoken.program] if threshold is None else threshold
    if not LEAST_THRESHOLD <= threshold <= MOST_THRESHOLD:
        what = f"the threshold of the energy is {threshold:g} Eh"
        raise InputError(what, where="--threshold", remedy=f"between {LEAST_THRESHOLD:g} and {MOST_THRESHOLD:g} Eh.")
    by_pyscf = spoken.program == "pyscf"
    return Recipe(
        spoken.name,
        spoken.program,
        names,
        spoken.xc,
        spoken.functionals,
        spoken.basis,
        None if not by_pyscf or spoken.xc == HARTREE_FOCK else USUAL_GRID if grid is None else grid,
        threshold,
        math.sqrt(threshold) / 100 if by_pyscf else None,
        cycles,
        charge,
        spin,
        field,
        versions(spoken.program),
    )


def _check(method: Method, want: tuple[str, ...], spin: int, grid: int | None, cycles: int, field: float) -> None:
    matrices = [name for name in want if name in MATRICES]
    if matrices and method.program != "pyscf":
        remedy = "ask a method of PySCF for them, such as --method pbe/def2-svp."
        raise InputError(f"{method.name} gives no {', '.join(matrices)}", where="--want", remedy=remedy)
    if matrices and spin:
        remedy = "matrices are those of closed shells: leave them out of --want, or leave out --spin."
        raise InputError(f"{', '.join(matrices)} of an open shell", where="--want", remedy=remedy)
    if spin < 0:
        raise InputError(f"spin is {spin}", where="--spin", remedy="it is the number of unpaired electrons, 0 or more.")
    if grid is not None and (method.program != "pyscf" or method.xc == HARTREE_FOCK):
        raise InputError(f"{method.name} has no grid of integration", where="--grid", remedy="leave it out.")
    if grid is not None and grid not in GRIDS:
        raise InputError(f"no level {grid} of the grid", where="--grid", remedy="levels go from 0 (coarse) to 9.")
    if cycles < 1:
        raise InputError(f"{cycles} iterations", where="--cycles", remedy="at least one.")
    if not 1e-5 <= field <= 0.05:
        what = f"the step of the electric field is {field:g} atomic units"
        raise InputError(what, where="--field", remedy="between 1e-5 (noise) and 0.05 (higher orders); 1e-3 is usual.")
