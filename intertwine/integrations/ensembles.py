"""What dynamics keep constant: energy (NVE), temperature (NVT: thermostats), or temperature and pressure (NPT)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.constraints import (
    FixAtoms,
    FixBondLengths,
    FixCartesian,
    FixCom,
    FixedLine,
    FixedPlane,
    FixInternals,
    FixLinearTriatomic,
)
from ase.md.md import MolecularDynamics
from ase.md.verlet import VelocityVerlet

from intertwine.numerics import InputError, choose

#: Constraints that move with the structure as a whole.
RIDING = (FixBondLengths, FixInternals, FixLinearTriatomic, FixCom)
#: Constraints that cut off components of forces, and nothing else.
STRAIGHT = (FixAtoms, FixCartesian, FixedLine, FixedPlane)

ENSEMBLES = ("nve", "nvt", "npt")
THERMOSTATS = ("langevin", "bussi", "nose-hoover")
BAROSTATS = ("isotropic", "flexible")
#: What is taken where nothing is said: friction in 1/fs, times in fs, pressure in GPa.
DEFAULTS: dict[str, Any] = {
    "thermostat": "langevin",
    "friction": 0.01,
    "thermostat_time": 100.0,
    "barostat": "isotropic",
    "pressure": 0.0,
    "barostat_time": 1000.0,
}


@dataclass(frozen=True)
class Ensemble:
    """Which quantities are constant, and by which bath; what the ensemble does not use is None.

    Args:
        name: "nve", "nvt" or "npt".
        temperature: of the bath, K.
        timestep: fs.
        thermostat: of "nvt": "langevin", "bussi" (stochastic velocity rescaling) or "nose-hoover" (a chain). "npt" has
            a Nose-Hoover chain.
        friction: of "langevin", 1/fs.
        thermostat_time: time constant of the other thermostats, fs.
        barostat: of "npt": "isotropic" (the volume changes, the shape of the cell does not) or "flexible" (lengths and
            angles change), both by Martyna, Tobias and Klein.
        pressure: of "npt", GPa.
        barostat_time: time constant of the barostat, fs.

    Raises:
        InputError: an unknown name, a number out of range, or an argument that this ensemble does not use.
    """

    name: str = "nve"
    temperature: float = 300.0
    timestep: float = 0.25
    thermostat: str | None = None
    friction: float | None = None
    thermostat_time: float | None = None
    barostat: str | None = None
    pressure: float | None = None
    barostat_time: float | None = None

    def __post_init__(self) -> None:
        choose(self.name, ENSEMBLES, kind="ensemble", where="ensemble")
        if not self.timestep > 0:
            raise InputError(f"timestep is {self.timestep}", where="timestep", remedy="give a positive number, in fs.")
        if not 0 <= self.temperature < math.inf:
            raise InputError(f"a temperature of {self.temperature} K", where="temperature", remedy="give 0 or more.")
        if self.name == "npt" and self.thermostat not in (None, "nose-hoover"):
            raise InputError(
                f"npt with the thermostat {self.thermostat}",
                where="thermostat",
                remedy="leave the thermostat out: npt has a Nose-Hoover chain.",
            )
        uses = self._uses()
        for name in DEFAULTS:
            value = getattr(self, name)
            if value is not None and name not in uses:
                used_by = "langevin" if name == "friction" else "npt" if "baro" in name or name == "pressure" else "nvt"
                what = self.name if self.name != "nvt" or used_by == "npt" else f"the thermostat {self.thermostat}"
                words = name.replace("_", " ")
                raise InputError(f"{what} uses no {words}", where=name, remedy=f"leave it out; {used_by} uses it.")
        for name in ("friction", "thermostat_time", "barostat_time"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} is {value}", where=name, remedy="give a positive number.")
        if self.pressure is not None and not math.isfinite(self.pressure):
            raise InputError(f"a pressure of {self.pressure} GPa", where="pressure", remedy="give a number.")

    def _uses(self) -> tuple[str, ...]:
        """Names of the arguments that have a meaning here; those that were not given get their defaults."""
        if self.name == "nve":
            return ()
        default = "nose-hoover" if self.name == "npt" else DEFAULTS["thermostat"]
        chosen = choose(self.thermostat or default, THERMOSTATS, kind="thermostat", where="thermostat")
        uses: tuple[str, ...] = ("thermostat", "friction" if chosen == "langevin" else "thermostat_time")
        uses += ("barostat", "pressure", "barostat_time") if self.name == "npt" else ()
        for name in uses:
            if getattr(self, name) is None:
                object.__setattr__(self, name, chosen if name == "thermostat" else DEFAULTS[name])
        if self.barostat is not None and self.name == "npt":
            choose(self.barostat, BAROSTATS, kind="barostat", where="barostat")
        return uses

    @property
    def settings(self) -> dict[str, Any]:
        """What it is made of, without what it does not use."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def conserves(self) -> str:
        """The quantity that is constant but for errors of the arithmetic, the time step and the forces, in words."""
        if self.name == "nve":
            return "energy (shadow energy of velocity Verlet)"
        if self.thermostat == "nose-hoover":
            parts = "the Nose-Hoover chain" + (", the barostat and pressure times volume" if self.name == "npt" else "")
            return f"energy with that of {parts}"
        return f"energy less the heat from the {self.thermostat} thermostat"

    def integrator(self, atoms: Atoms, rng: np.random.Generator) -> MolecularDynamics:
        """One that ASE runs; it has ``get_conserved_energy()`` (eV) unless it is of "nve".

        Raises:
            InputError: the structure does not suit the ensemble.
        """
        step = self.timestep * units.fs
        if self.name == "nve":
            return VelocityVerlet(atoms, step)
        if self.thermostat == "nose-hoover":
            return self._chain(atoms, step)
        rate = float(self.friction or 0.0) if self.thermostat == "langevin" else 1 / float(self.thermostat_time or 1.0)
        kick = langevin if self.thermostat == "langevin" else bussi
        share = math.exp(-0.5 * self.timestep * rate)  # of half a time step
        return Thermostatted(atoms, step, lambda: kick(atoms, share, self.temperature, rng))

    def _chain(self, atoms: Atoms, step: float) -> MolecularDynamics:
        """By a Nose-Hoover chain, and a barostat in "npt"."""
        from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT

        self.suits(atoms)
        # ASE's chains count three degrees of freedom an atom. In a bath that is colder by the share of those that there
        # are, these have the temperature asked for.
        share = degrees_of_freedom(atoms) / (3 * len(atoms))
        bath: dict[str, Any] = {"temperature_K": self.temperature * share}
        bath["tdamp"] = float(self.thermostat_time or 0.0) * units.fs
        if self.name == "nvt":
            return NoseHooverChainNVT(atoms, step, **bath)
        bath |= {
            "pressure_au": float(self.pressure or 0.0) * units.GPa,
            "pdamp": float(self.barostat_time or 0.0) * units.fs,
        }
        kind = MTKNPT if self.barostat == "flexible" else IsotropicMTKNPT
        return kind(atoms, step, **bath)

    def suits(self, atoms: Atoms) -> None:
        """Raise an :class:`InputError` where the equations of motion of the ensemble do not hold for a structure."""
        if self.thermostat == "bussi" and self.temperature > 0 and not internal_kinetic_energy(atoms) > 0:
            raise InputError(
                "nothing moves, and the thermostat bussi scales the velocities that there are",
                where="thermostat",
                remedy="draw velocities (thermal), or choose langevin.",
            )
        if self.thermostat != "nose-hoover":
            return
        unsuited = [type(c).__name__ for c in atoms.constraints if self.name == "npt" or not isinstance(c, STRAIGHT)]
        if unsuited:
            raise InputError(
                f"{self.name} by a Nose-Hoover chain can't hold {', '.join(unsuited)}",
                where="constraints",
                remedy="take them off the structure, or choose nvt with the thermostat langevin or bussi.",
            )
        if degrees_of_freedom(atoms) < 1 or not self.temperature > 0:
            raise InputError(
                f"a Nose-Hoover chain at {self.temperature:g} K for {degrees_of_freedom(atoms)} degrees of freedom",
                where="thermostat",
                remedy="give a temperature above 0 and a structure that moves, or choose langevin.",
            )
        if self.name == "npt" and not has_pressure(atoms):
            raise InputError(
                "a structure that is not periodic in three directions has no pressure, or its calculator no stress",
                where="npt",
                remedy="choose nvt, or give the structure a cell and pbc.",
            )


class Thermostatted(VelocityVerlet):
    r"""Velocity Verlet between two half steps of a thermostat that acts on the momenta.

    The heat Q that the thermostat has given is added up, so that :math:`T + U - Q` changes by the errors of velocity
    Verlet alone; Bussi and Parrinello, Phys. Rev. E 75, 056707 (2007), eq. 18.

    Args:
        atoms: structure with a calculator.
        timestep: in ASE's unit of time.
        kick: changes the structure's momenta as half a time step of the bath does.
    """

    def __init__(self, atoms: Atoms, timestep: float, kick: Callable[[], None]) -> None:
        super().__init__(atoms, timestep)
        self.kick, self.heat = kick, 0.0

    def step(self, forces: Any = None) -> Any:
        """One time step; returns the forces, eV/A."""
        self._exchange()
        forces = super().step(forces)
        self._exchange()
        return forces

    def _exchange(self) -> None:
        before = self.atoms.get_kinetic_energy()
        self.kick()
        self.heat += self.atoms.get_kinetic_energy() - before

    def get_conserved_energy(self) -> float:
        """Total energy less the heat, eV."""
        return float(self.atoms.get_total_energy() - self.heat)


def langevin(atoms: Atoms, share: float, temperature: float, rng: np.random.Generator) -> None:
    r"""Friction and noise, exact for a time t without forces: :math:`p' = c p + \sqrt{(1 - c^2) m k T}\, \xi` with
    :math:`c = e^{-\gamma t}` (``share``) and normal :math:`\xi`; Bussi and Parrinello (2007), eq. 15.
    """
    noise = rng.standard_normal((len(atoms), 3)) * np.sqrt(atoms.get_masses() * units.kB * temperature)[:, None]
    atoms.set_momenta(share * atoms.get_momenta() + math.sqrt(1 - share**2) * noise)


def bussi(atoms: Atoms, share: float, temperature: float, rng: np.random.Generator) -> None:
    r"""Stochastic velocity rescaling: the kinetic energy K relaxes to that of the temperature as
    :math:`c = e^{-t/\tau}` (``share``), with the noise of the canonical ensemble, and all velocities about the centre
    of mass are multiplied by

    .. math:: \alpha^2 = c + \frac{\bar K (1 - c)}{n K} \sum_{i=1}^{n} R_i^2
              + 2 R_1 \sqrt{\frac{\bar K c (1 - c)}{n K}}

    with n degrees of freedom, :math:`\bar K = n k T / 2` and normal :math:`R_i`; Bussi, Donadio and Parrinello, J.
    Chem. Phys. 126, 014101 (2007), eq. A7. Momentum is conserved.
    """
    count, kinetic = degrees_of_freedom(atoms), internal_kinetic_energy(atoms)
    if count < 1 or not kinetic > 0:
        return
    first, others = rng.standard_normal(), 2 * rng.standard_gamma((count - 1) / 2) if count > 1 else 0.0
    unit = 0.5 * units.kB * temperature * (1 - share) / kinetic
    # the square of a real number: alpha keeps the sign of its argument, which small systems may change
    root = math.sqrt(share) + first * math.sqrt(unit)
    alpha = math.copysign(math.sqrt(root**2 + unit * others), root)
    momenta = atoms.get_momenta()
    drift = _drift(atoms)
    atoms.set_momenta(alpha * (momenta - drift) + drift)


def free(atoms: Atoms) -> bool:
    """Whether nothing ties the structure to a place, so that its momentum is conserved."""
    return all(isinstance(constraint, RIDING) for constraint in atoms.constraints)


def degrees_of_freedom(atoms: Atoms) -> int:
    """That take part in the temperature: those that constraints leave, without the centre of mass of what is free."""
    count = int(atoms.get_number_of_degrees_of_freedom())
    held = any(isinstance(constraint, FixCom) for constraint in atoms.constraints)
    return max(count - 3, 0) if free(atoms) and not held else count


def internal_kinetic_energy(atoms: Atoms) -> float:
    """Kinetic energy (eV), without that of the centre of mass of what is free."""
    momenta = atoms.get_momenta() - _drift(atoms)
    return float(0.5 * (momenta**2 / atoms.get_masses()[:, None]).sum())


def temperature_of(atoms: Atoms) -> float:
    """Kinetic temperature (K) of :func:`degrees_of_freedom`; 0 where there are none."""
    count = degrees_of_freedom(atoms)
    return 2 * internal_kinetic_energy(atoms) / (count * units.kB) if count > 0 else 0.0


def has_pressure(atoms: Atoms) -> bool:
    """Whether the structure is periodic in three directions, and its calculator gives stress."""
    return bool(atoms.pbc.all()) and "stress" in getattr(atoms.calc, "implemented_properties", ())


def pressure_of(atoms: Atoms) -> float:
    """Pressure (GPa) of forces and motion, :math:`-\\operatorname{tr} \\sigma / 3`; nan where there is none."""
    recorded = bool(atoms.pbc.all()) and "stress" in getattr(atoms.calc, "results", {})  # of a frame in a file
    if not recorded and not has_pressure(atoms):
        return math.nan
    return float(-atoms.get_stress(include_ideal_gas=True)[:3].mean() / units.GPa)


def _drift(atoms: Atoms) -> Any:
    """Momenta that the atoms of a free structure have by the motion of its centre of mass; else 0."""
    if not free(atoms):
        return 0.0
    masses = atoms.get_masses()[:, None]
    return masses * (atoms.get_momenta().sum(0) / masses.sum())
