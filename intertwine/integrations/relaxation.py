"""Relaxation with ASE: the nearest structure on which no force acts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms

from intertwine.numerics import InputError


def relax(
    atoms: Atoms,
    *,
    fmax: float = 0.01,
    steps: int = 500,
    cell: bool = False,
    progress: Callable[[int, float], None] | None = None,
) -> bool:
    """Relax a structure in place; returns whether every atom's force, as far as constraints leave it, fell below
    ``fmax``.

    By L-BFGS, which is fast and, on a rough surface, may climb to a stationary point above the start. Then it is done
    again from the start by FIRE, which takes no step that leads up.

    Args:
        atoms: structure with a calculator.
        fmax: largest force that may remain, eV/A.
        steps: at most so many steps.
        cell: relax the cell too (structures periodic in three directions).
        progress: called with the step and the largest force (eV/A).

    Raises:
        InputError: an argument out of range, or a cell to relax in an open structure.
    """
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE, LBFGS

    if not fmax > 0 or not steps > 0:
        raise InputError(f"fmax {fmax}, steps {steps}", where="relax", remedy="give positive numbers.")
    if cell and not atoms.pbc.all():
        raise InputError("an open structure has no cell to relax", where="cell", remedy="leave out --cell.")
    logfile: Any = None  # ASE's annotation forgets that None is silence
    start, energy = (atoms.positions.copy(), atoms.cell.copy()), atoms.get_potential_energy()

    def run(kind: Any, **options: Any) -> bool:
        optimizer = kind(FrechetCellFilter(atoms) if cell else atoms, logfile=logfile, **options)
        if progress is not None:
            optimizer.attach(
                lambda: progress(optimizer.nsteps, float(np.linalg.norm(atoms.get_forces(), axis=1).max(initial=0.0)))
            )
        return bool(optimizer.run(fmax=fmax, steps=steps))

    converged = run(LBFGS)
    if atoms.get_potential_energy() > energy:
        atoms.set_cell(start[1])
        atoms.set_positions(start[0], apply_constraint=False)
        converged = run(FIRE, downhill_check=True)
    return converged
