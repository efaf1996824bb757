"""Floor 8: trained models inside other people's programs."""

from intertwine.integrations.averaged_calculator import AveragedCalculator
from intertwine.integrations.calculator import Calculator
from intertwine.integrations.deployment import deploy
from intertwine.integrations.engines import (
    LammpsField,
    LammpsRun,
    open_lammps,
    phonons,
    run_client,
    run_lammps,
    torch_sim_model,
)
from intertwine.integrations.export import start_of, to_atoms, write_predictions
from intertwine.integrations.mace import MACEForceField, MACEReadout, from_mace
from intertwine.integrations.molecular_vibrations import vibrations
from intertwine.integrations.nequip import NequIPForceField, from_nequip
from intertwine.integrations.normal_modes import Vibrations, normal_modes
from intertwine.integrations.observed import Dynamics
from intertwine.integrations.program import export_program
from intertwine.integrations.relaxation import Relaxation, relax
from intertwine.integrations.simulate import run_dynamics
from intertwine.integrations.writing import growing, writable, write_structures

__all__ = [
    "AveragedCalculator",
    "Calculator",
    "Dynamics",
    "LammpsField",
    "LammpsRun",
    "MACEForceField",
    "MACEReadout",
    "NequIPForceField",
    "Relaxation",
    "Vibrations",
    "deploy",
    "export_program",
    "from_mace",
    "from_nequip",
    "growing",
    "normal_modes",
    "open_lammps",
    "phonons",
    "relax",
    "run_client",
    "run_dynamics",
    "run_lammps",
    "start_of",
    "to_atoms",
    "torch_sim_model",
    "vibrations",
    "writable",
    "write_predictions",
    "write_structures",
]
