"""Geometries of molecules from dynamics under GFN2-xTB, for the scripts that make the embedded data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta


def trajectory(
    atoms: Atoms, temperature: float, rng: np.random.Generator, frames: int, every: int, info: dict[str, Any]
) -> Iterator[Atoms]:
    """Langevin dynamics, friction 0.02/fs, steps of 0.5 fs: after 1 ps a frame at the end of each ``every`` steps.

    Args:
        atoms: where it begins; they are moved.
        temperature: K. rng: of momenta and bath. frames: how many. every: steps from frame to frame.
        info: of each frame.

    Yields:
        positions about the centre of mass (A), to 1e-8.
    """
    from tblite.ase import TBLite

    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    thermalize_momenta(atoms, temperature_K=temperature, rng=rng)
    dynamics = Langevin(
        atoms, 0.5 * units.fs, temperature_K=temperature, friction=0.02 / units.fs, fixcm=False, rng=rng
    )
    dynamics.run(2000)
    for _ in range(frames):
        dynamics.run(every)
        positions = atoms.get_positions() - atoms.get_center_of_mass()
        yield Atoms(atoms.get_atomic_numbers(), positions.round(8), info=dict(info))
