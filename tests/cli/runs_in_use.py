"""Cases of runs in use, and what is asked of a command's answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ase.io import write

CASES = Path(__file__).resolve().parents[1] / "cases"
SMALL = ["--set=model.width=8", "--set=model.layers=1", "--set=training.threads=1", "--set=training.certify=false"]
SMALL += ["--model", "painn", "--epochs", "1", "--quiet", "--set", "model.cutoff=3.5"]
BOHR = ["--unit", "pos=Bohr", "--unit", "energy=Hartree", "--unit", "forces=Hartree/Bohr"]


def energies(result: Any) -> np.ndarray:
    return np.array([p["energy"] for p in json.loads(result.stdout)])


def refused(result: Any, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert "Remedy:" in result.stderr
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr, result.stderr


def written(name: str, atoms: Any) -> Path:
    write(name, atoms, format="extxyz" if name.endswith("xyz") else None)
    return Path(name)
