"""Phonons of a trained force field: dispersion and density of states of aluminium, without finite differences.

    python examples/phonons.py [picture.png]

A force field learns from 40 rattled cells of aluminium, labelled by ASE's EMT in seconds. Its second derivatives in a
supercell, from differentiating twice, are the force constants that phonopy makes dispersion and density of states of:

    D(q)_{ab} = (m_a m_b)^(-1/2) sum_R Phi(0 a, R b) exp(i q R),   D(q) e = omega^2 e.

What is asserted: frequencies are those of finite differences of the same model's forces to 1e-4 THz; the three acoustic
modes vanish at q = 0; and they are those of EMT itself within a tenth of the highest one.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.build import bulk
from ase.calculators.emt import EMT

from intertwine import Calculator
from intertwine.data import GraphStore
from intertwine.geometry import Graph
from intertwine.integrations import phonons
from intertwine.training import train

CUTOFF, STEP = 4.5, 0.002  # A
REPEAT = 2  # conventional cells along each axis of the supercell
PATH = {"G": (0.0, 0.0, 0.0), "X": (0.5, 0.0, 0.5), "K": (0.375, 0.375, 0.75), "L": (0.5, 0.5, 0.5)}
POINTS = 21  # of each leg of the path


def labelled(count: int) -> list[Graph]:
    """Rattled and strained cells of 32 atoms with energies (eV), forces (eV/A)."""
    generator = np.random.default_rng(0)
    graphs = []
    for _ in range(count):
        atoms = bulk("Al", cubic=True) * ((REPEAT,) * 3)
        strain = np.eye(3) + 0.01 * generator.normal(size=(3, 3))
        atoms.set_cell(atoms.cell @ strain, scale_atoms=True)
        atoms.positions += generator.normal(scale=0.08, size=atoms.positions.shape)
        atoms.calc = EMT()
        cell = {"cell": torch.tensor(atoms.cell.array), "pbc": torch.ones(3, dtype=torch.bool)}
        labels = {"energy": torch.tensor(atoms.get_potential_energy()), "forces": torch.tensor(atoms.get_forces())}
        graphs.append(Graph(torch.tensor(atoms.positions), z=torch.tensor(atoms.numbers), **cell, **labels))
    return graphs


def bands(found: Any) -> np.ndarray:
    """Frequencies (THz) along the path (points, modes)."""
    corners = [np.array(q) for q in PATH.values()]
    legs = [np.linspace(a, b, POINTS) for a, b in itertools.pairwise(corners)]
    return np.array(found.run_qpoints(np.concatenate(legs)).frequencies)


def main(picture: Path | None = None) -> dict[str, float]:
    torch.set_num_threads(1)
    supercell = (REPEAT,) * 3
    sections = {
        "data": {"train": 32, "validation": 4, "test_size": 4, "seed": 0},
        "model": {"name": "painn", "cutoff": CUTOFF, "width": 32, "layers": 2},
        "training": {"epochs": 60, "batch_size": 2, "certify": False, "threads": 1, "seed": 0},
    }
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        train(sections, store=GraphStore.from_graphs(labelled(40), name="aluminium"), run=run, progress=False)
        calculator = Calculator(run, dtype=torch.float64)
        cell = bulk("Al", cubic=True)
        exact = phonons(calculator, cell, supercell, largest_force=1e-9)  # by symmetry
        differences = phonons(calculator, cell, supercell, method="displacements", distance=STEP)
    reference = phonons(EMT(), cell, supercell, distance=STEP)
    ours, by_differences, theirs = bands(exact), bands(differences), bands(reference)
    result = {
        "differences": float(np.abs(ours - by_differences).max()),
        "acoustic": float(np.abs(exact.run_qpoints([[0.0, 0, 0]]).frequencies).max()),
        "emt": float(np.abs(ours - theirs).max() / theirs.max()),
    }
    off = 100 * result["emt"]
    print(f"highest frequency {ours.max():.2f} THz, EMT's {theirs.max():.2f}; largest difference {off:.1f} %")
    print(f"against differences of forces {result['differences']:.1e} THz; at q = 0 {result['acoustic']:.1e} THz")
    if picture is not None:
        draw(exact, ours, theirs, picture)
    assert result["differences"] < 1e-4
    assert result["acoustic"] < 1e-4
    assert result["emt"] < 0.1
    return result


def draw(found: Any, ours: np.ndarray, theirs: np.ndarray, picture: Path) -> None:
    """Dispersion beside EMT's, and the density of states."""
    from matplotlib import pyplot

    found.run_mesh([20, 20, 20], is_gamma_center=True)
    found.run_total_dos()
    dos = found.total_dos
    figure, axes = pyplot.subplots(1, 2, figsize=(7, 3), width_ratios=[3, 1], sharey=True, layout="constrained")
    axes[0].plot(theirs, color="#999", lw=1)
    axes[0].plot(ours, color="#1f5fa8", lw=1.5)
    axes[0].plot([], color="#1f5fa8", label="trained model")
    axes[0].plot([], color="#999", label="EMT")
    axes[0].set_xticks([min(k * POINTS, len(ours) - 1) for k in range(len(PATH))], list(PATH))
    axes[0].set(ylabel="frequency (THz)", xlim=(0, len(ours) - 1), ylim=(0, 1.1 * ours.max()))
    axes[0].legend(frameon=False, fontsize=8)
    axes[1].plot(dos.dos, dos.frequency_points, color="#1f5fa8")
    axes[1].set(xlabel="states per THz")
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
