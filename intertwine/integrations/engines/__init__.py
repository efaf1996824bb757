"""A trained force field in other people's engines: LAMMPS, i-PI, torch-sim, phonopy."""

from intertwine.integrations.engines.field import calculator_of, evaluated
from intertwine.integrations.engines.ipi import run_client
from intertwine.integrations.engines.lammps_fix import LammpsField
from intertwine.integrations.engines.lammps_input import LammpsRun, run_lammps
from intertwine.integrations.engines.lammps_library import open_lammps
from intertwine.integrations.engines.phonons import phonons
from intertwine.integrations.engines.torchsim import torch_sim_model

__all__ = [
    "LammpsField",
    "LammpsRun",
    "calculator_of",
    "evaluated",
    "open_lammps",
    "phonons",
    "run_client",
    "run_lammps",
    "torch_sim_model",
]
