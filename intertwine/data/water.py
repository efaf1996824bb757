"""Water with Fock matrices, from the package: 1,500 geometries at PBE/def2-SVP."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from intertwine.data.matrices import matrix_store, recipe_words
from intertwine.data.splits import Splits
from intertwine.data.store import GraphStore
from intertwine.numerics import DataError
from intertwine.orbitals import Basis

FOLDER = Path(__file__).resolve().parent / "embedded"
WATER, BASIS = FOLDER / "water.npz", FOLDER / "water_basis.json"


def water(*, progress: bool = False, path: Path = WATER) -> GraphStore:
    """Geometries of water from dynamics at 500 K, with Fock matrices in blocks (``hamiltonian``, eV) and energies (eV).

    Split 500 / 500 / 500 by the file. ``scripts/make_water.py`` makes it.

    Args:
        progress: of no effect, it is read at once.
        path: of the file.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("numbers", "positions", "energy", "fock", "split")}
            recipe = json.loads(str(file["recipe"]))
        basis = Basis.from_json(BASIS.read_text())
    except (OSError, KeyError, ValueError) as error:
        remedy = "pip install --force-reinstall intertwine"
        raise DataError(f"the file is missing or damaged: {error}", where=str(path), remedy=remedy) from error
    parts = [np.flatnonzero(arrays["split"] == part).tolist() for part in range(3)]
    return matrix_store(
        basis,
        torch.from_numpy(arrays["numbers"].astype(np.int64)),
        torch.from_numpy(arrays["positions"]),
        torch.from_numpy(arrays["fock"]),
        name="water",
        labels={"energy": torch.from_numpy(arrays["energy"])},
        splits=Splits(*parts),
        notes=[f"water: {recipe_words(recipe)}; Fock matrices in blocks of pairs, eV"],
    )
