"""Water with Fock or density matrices, from the package: 1,500 geometries at PBE/def2-SVP."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.data.matrices import WORDS, matrix_store, recipe_words, unpacked
from intertwine.data.splits import Splits
from intertwine.data.store import GraphStore
from intertwine.numerics import DataError
from intertwine.orbitals import Basis, overlap_matrix, reordered, spectrum

FOLDER = Path(__file__).resolve().parent / "embedded"
WATER, BASIS = FOLDER / "water.npz", FOLDER / "water_basis.json"


def water(
    *, target: str | None = None, limit: int | None = None, progress: bool = False, path: Path = WATER
) -> GraphStore:
    """Geometries of water from dynamics at 500 K, with Fock matrices in blocks (``hamiltonian``, eV) and energies (eV),
    or with density matrices (``density``), which are those of the five lowest orbitals.

    Split 500 / 500 / 500 by the file. ``scripts/make_water.py`` makes it.

    Args:
        target: "density" for density matrices.
        limit: of no effect, it is read at once.
        progress: of no effect.
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
    numbers, positions, matrices = (torch.from_numpy(arrays[name]) for name in ("numbers", "positions", "fock"))
    numbers, field = numbers.to(torch.int64), "density" if target == "density" else "hamiltonian"
    if field == "density":
        matrices = occupied_density(basis, numbers, positions, matrices)
    parts = [np.flatnonzero(arrays["split"] == part).tolist() for part in range(3)]
    return matrix_store(
        basis,
        numbers,
        positions,
        matrices,
        name="water",
        field=field,
        labels={"energy": torch.from_numpy(arrays["energy"])},
        splits=Splits(*parts),
        notes=[f"water: {recipe_words(recipe)}; {WORDS[field][1]}"],
    )


def occupied_density(
    basis: Basis, numbers: Int[Tensor, " atoms"], pos: Float[Tensor, "m atoms 3"], fock: Float[Tensor, "m ..."]
) -> Float[Tensor, "m n n"]:
    """Density matrices :math:`2 C C^T` of the lowest orbitals of neutral closed shells, in PySCF's order as the Fock
    matrices (Eh) are; positions in A."""
    degrees = [shell.degree for z in numbers.tolist() for shell in basis.of(z)]
    S = reordered(overlap_matrix(basis, numbers, pos), degrees, "intertwine", "pyscf")
    C = spectrum(unpacked(fock, len(S[0]), "water"), S).coefficients[..., : int(numbers.sum()) // 2]
    return 2 * C @ C.mT
