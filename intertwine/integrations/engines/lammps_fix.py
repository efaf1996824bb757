"""A force field inside an open LAMMPS, by its ``fix external``: it asks for forces at every step, and gets them."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.data import atomic_masses, atomic_numbers
from jaxtyping import Float

from intertwine.integrations.engines.field import calculator_of, evaluated
from intertwine.integrations.engines.lammps_library import check_engine
from intertwine.numerics import Caution, InputError, choose
from intertwine.training.evaluation import check_species

#: LAMMPS's name of a system of units -> its unit of energy in eV, its unit of length in A.
UNITS = {
    "metal": (1.0, 1.0),
    "real": (units.kcal / units.mol, 1.0),
    "electron": (units.Hartree, units.Bohr),
}
NAME = "intertwine"
#: LAMMPS's order of the components of a virial.
ORDER = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
MASS = 0.05  # by which a mass may differ from the element's before it is said


class LammpsField:
    r"""A force field that an open LAMMPS runs with: energy, forces and virial of all atoms, at every step.

    They come by ``fix external`` (callback), with the atoms in the order of their numbers, their elements by type, and
    the box with its periods, rectangular or triclinic. The virial :math:`W_{ab} = -V\sigma_{ab}` is part of the
    pressure. The fix adds up with whatever ``pair_style`` there is. A model that reads charges gets LAMMPS's. Give a
    calculator whose model is in float64 for long dynamics. Energies and stresses of single atoms are not passed on.

    If the field fails, the run is stopped, positions and forces become NaN so that nothing goes on with old ones, and
    :meth:`check` raises what was wrong; :func:`~intertwine.integrations.engines.run_lammps` does so.

    Args:
        engine: a ``lammps.lammps`` in which the box is defined, in units metal, real or electron.
        field: a run folder, a run, a force field, or any calculator of ASE.
        elements: a chemical symbol for each type of atom, in order.
        dtype: precision; None keeps the model's.
        device: where to compute.
        allow: modules outside the package whose classes a run may name.

    Raises:
        InputError: no box yet, other units, other numbers of elements than types, no such element, a LAMMPS that is
            too old or runs in several processes.
        DataError: an element that the field was not trained on.
    """

    def __init__(
        self,
        engine: Any,
        field: Any,
        elements: Sequence[str],
        *,
        dtype: torch.dtype | None = None,
        device: str | None = "auto",
        allow: Collection[str] = (),
    ) -> None:
        check_engine(engine)
        if not engine.extract_setting("box_exist"):
            remedy = "read_data, create_box or read_restart go first."
            raise InputError("there is no box yet", where="lammps", remedy=remedy)
        system = choose(engine.extract_global("units"), UNITS, kind="units", where="lammps")
        self.energy_unit, self.length_unit = UNITS[system]
        self.engine = engine
        self.numbers = self._numbers(elements)
        self.calculator = calculator_of(field, dtype=dtype, device=device, allow=allow)
        check_species(getattr(self.calculator, "species", ()), self.numbers.tolist())
        self._charged = "charge" in getattr(self.calculator, "inputs", ())
        self.calls = 0
        self.atoms: Atoms | None = None
        self._failure: BaseException | None = None
        engine.command(f"fix {NAME} all external pf/callback 1 1")
        engine.command(f"fix_modify {NAME} energy yes virial yes")
        engine.set_fix_external_callback(NAME, self._called, None)

    def check(self) -> None:
        """Raise what went wrong in the field since it was made.

        Raises:
            InputError: the fix is gone, by ``clear`` or ``unfix``: LAMMPS went on without forces.
        """
        if self._failure is not None:
            raise self._failure
        if not self.engine.has_id("fix", NAME):
            what = f"the force field was removed (clear, or unfix {NAME}), and LAMMPS went on without it"
            raise InputError(what, where="lammps", remedy="run each system by an input file of its own.")

    def _numbers(self, elements: Sequence[str]) -> np.ndarray:
        """The atomic number of each type, beginning with type 1."""
        types = int(self.engine.extract_setting("ntypes"))
        if len(elements) != types:
            what = f"{len(elements)} elements ({' '.join(elements)}) for {types} types of atoms"
            raise InputError(what, where="pair_coeff", remedy="give a symbol for each type: pair_coeff * * O H.")
        for symbol in elements:
            choose(symbol, [name for name, z in atomic_numbers.items() if z > 0], kind="element", where="pair_coeff")
        numbers = np.array([atomic_numbers[symbol] for symbol in elements])
        masses = self.engine.numpy.extract_atom("mass")
        for k, (symbol, z) in enumerate(zip(elements, numbers, strict=True), start=1):
            mass = 0.0 if masses is None else float(masses.flat[k])
            if mass > 0 and abs(mass / atomic_masses[z] - 1) > MASS:
                what = f"type {k} is {symbol}, and its mass is {mass:g} amu, not {atomic_masses[z]:.4g}"
                warnings.warn(f"{what}: are the elements in the order of the types?", Caution, stacklevel=3)
        return numbers

    def _called(self, _: Any, step: int, count: int, tags: np.ndarray, x: np.ndarray, f: np.ndarray) -> None:
        """What LAMMPS calls. An exception would be printed and forgotten by ctypes, and the run would go on."""
        if self._failure is None:
            try:
                self._compute(tags, x, f)
                return
            except BaseException as error:  # Ctrl-C too, which Python sees in here only
                self._failure = error
        f[:] = np.nan
        x[:] = np.nan  # what follows in the input file stops at that
        self.engine.force_timeout()

    def _compute(self, tags: np.ndarray, x: np.ndarray, f: np.ndarray) -> None:
        order = np.argsort(tags.ravel(), kind="stable")
        atoms = self._structure(order, x)
        energy, forces, virial = evaluated(atoms)
        f[order] = forces * (self.length_unit / self.energy_unit)
        self.engine.fix_external_set_energy_global(NAME, energy / self.energy_unit)
        self.engine.fix_external_set_virial_global(NAME, [virial[a, b] / self.energy_unit for a, b in ORDER])
        self.atoms = atoms
        self.calls += 1

    def _structure(self, order: np.ndarray, x: Float[np.ndarray, "atoms 3"]) -> Atoms:
        """The atoms as ASE has them, in A: the box as LAMMPS turns it, its lower corner left where it is."""
        types = self.engine.numpy.extract_atom("type").ravel()[order]
        low, high, xy, yz, xz, periodic, _ = self.engine.extract_box()
        (a, b, c), scale = np.subtract(high, low), self.length_unit
        cell = scale * np.array([[a, 0, 0], [xy, b, 0], [xz, yz, c]])
        atoms = Atoms(self.numbers[types - 1], scale * x[order], cell=cell, pbc=np.array(periodic, dtype=bool))
        if self._charged and self.engine.extract_setting("q_flag"):
            atoms.set_initial_charges(self.engine.numpy.extract_atom("q").ravel()[order])
        atoms.calc = self.calculator
        return atoms
