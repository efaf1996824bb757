"""A tiny data set of molecules of several sizes with exact energies and forces, as a file that any program could have
written.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write


def molecule(generator: np.random.Generator) -> Atoms:
    """Three to six atoms, energy sum_ij exp(-d_ij) (eV, d in A)."""
    n = int(generator.integers(3, 7))
    pos = generator.normal(size=(n, 3)) * 1.5
    x = pos[:, None] - pos[None]
    d = np.linalg.norm(x, axis=-1) + np.eye(n)
    e = np.exp(-d) * (1 - np.eye(n))
    atoms = Atoms(generator.choice(["H", "C", "O"], size=n), positions=pos)
    forces = 2 * (e[..., None] * x / d[..., None]).sum(1)
    atoms.calc = SinglePointCalculator(atoms, energy=float(e.sum()) - 10.0 * n, forces=forces)
    return atoms


@pytest.fixture(scope="session")
def molecules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An extended xyz file of 26 molecules."""
    path = tmp_path_factory.mktemp("molecules") / "molecules.xyz"
    generator = np.random.default_rng(0)
    write(path, [molecule(generator) for _ in range(26)], format="extxyz")
    return path


@pytest.fixture
def tiny(molecules: Path) -> dict:
    """A configuration that trains in a second or two."""
    return {
        "data": {"source": str(molecules), "train": 20, "validation": 4, "test_size": 0},
        "model": {"name": "painn", "width": 8, "layers": 1, "radial_size": 6, "cutoff": 4.0},
        "training": {
            "epochs": 4,
            "batch_size": 5,
            "threads": 1,
            "patience": 0,
            "schedule": "plateau",
            "certify": False,
        },
    }
