"""Data sets of matrices between atomic orbitals, from arrays as quantum-chemistry programs leave them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.data.frames import place
from intertwine.data.label_files import described, doubtful, read_labels, remarks_in
from intertwine.data.splits import Splits
from intertwine.data.store import GraphStore
from intertwine.geometry import Graph
from intertwine.numerics import DataError, choose
from intertwine.orbitals import Basis, BlockLayout, pair_blocks, reordered
from intertwine.orbitals.basis import HARTREE
from intertwine.orbitals.named import pyscf_basis

#: What matrices between orbitals there are: unit, and factor from a program's atomic units to it.
MATRICES = {"hamiltonian": ("eV", HARTREE), "density": ("", 1.0)}
#: What they are called, and what a note says.
WORDS = {
    "hamiltonian": ("Hamiltonians", "Fock matrices in blocks of pairs, eV"),
    "density": ("density matrices", "density matrices in blocks of pairs"),
}


def matrix_store(
    basis: Basis,
    numbers: Int[Tensor, " atoms"],
    pos: Float[Tensor, "molecules atoms 3"],
    matrices: Float[Tensor, "molecules ..."],
    *,
    program: str = "pyscf",
    name: str = "matrices",
    field: str = "hamiltonian",
    labels: Mapping[str, Float[Tensor, "molecules ..."]] | None = None,
    splits: Splits | None = None,
    notes: Sequence[str] = (),
) -> GraphStore:
    """A data set of many geometries of one molecule, whose field ``hamiltonian`` (eV) or ``density`` (electrons) has
    the blocks of all pairs.

    Args:
        basis: of the orbitals.
        numbers: atomic numbers.
        pos: positions (A).
        matrices: symmetric, of a Hamiltonian in Eh, in the orbitals' order of ``program``: whole (molecules, n, n), or
            their upper triangles row by row (molecules, n (n + 1) / 2).
        program: one of :data:`intertwine.orbitals.PROGRAMS`.
        name: of the data set.
        field: "hamiltonian", or "density" for density matrices.
        labels: other labels of the molecules, the energy (eV) for example.
        splits: prescribed.
        notes: what a user is told.

    Raises:
        DataError: matrices that are not finite, not symmetric, or not of the basis.
        InputError: another field.
    """
    unit, factor = MATRICES[choose(field, MATRICES, kind="matrix", where="matrix_store")]
    degrees = [shell.degree for z in numbers.tolist() for shell in basis.of(z)]
    n = sum(2 * l + 1 for l in degrees)
    whole = unpacked(matrices, n, name)
    layout = BlockLayout(basis)
    blocks = pair_blocks(layout, numbers, reordered(whole * factor, degrees, program, "intertwine"))
    count, atoms = pos.shape[:2]
    store = GraphStore(
        {
            "pos": pos.to(torch.float64).reshape(-1, 3),
            "z": numbers.to(torch.int64).repeat(count),
            field: blocks.flatten(0, 1),
            **{key: value.to(torch.float64) for key, value in (labels or {}).items()},
        },
        torch.arange(count + 1) * atoms,
        {"pos": "node", "z": "node", field: "pair", **dict.fromkeys(labels or {}, "graph")},
        name=name,
        units={field: unit} | dict.fromkeys([key for key in (labels or {}) if key == "energy"], "eV"),
        notes=notes,
        splits=splits,
        representations={field: str(layout.irreps)},
        pointers={field: torch.arange(count + 1) * atoms**2},
        task=field,
    )
    store.about["basis"] = basis.to_json()
    return store


def labelled_matrices(path: str | Path, limit: int | None = None, field: str = "hamiltonian") -> GraphStore:
    """The Hamiltonians, or density matrices, of a file that ``intertwine label`` wrote, of molecules of one composition
    or of many.

    Args:
        path: of the file. Its basis is read by its name, which needs PySCF.
        limit: the first molecules only.
        field: "hamiltonian" or "density".

    Raises:
        InputError: PySCF or h5py is not installed.
        DataError: the file has none, or of ions and open shells.
    """
    where = str(path)
    recipe, groups = read_labels(path)
    if not groups or not recipe.get("basis") or any(field not in group.labels for group in groups):
        remedy = f"label it again with --want energy,{field} and a method with a basis, pbe/def2-svp."
        raise DataError(f"the file has no {WORDS[field][0]}", where=where, remedy=remedy)
    if recipe.get("spin") or any(np.any(group.labels.get("total_charge", 0)) for group in groups):
        what, remedy = "ions or open shells", "only neutral closed shells are learned: label such ones."
        raise DataError(what, where=where, remedy=remedy)
    basis = pyscf_basis(recipe["basis"], [z for group in groups for z in group.numbers.tolist()])
    graphs: dict[int, Graph] = {}
    for group in groups:
        energies = {"energy": torch.from_numpy(group.labels["energy"])} if "energy" in group.labels else {}
        arrays = (group.numbers, group.positions, group.labels[field])
        store = matrix_store(basis, *map(torch.from_numpy, arrays), name=where, field=field, labels=energies)
        graphs |= dict(zip(group.frames.tolist(), (store[k] for k in range(len(store))), strict=True))
    ordered = [graphs[frame] for frame in sorted(graphs)][:limit]
    whole = GraphStore.from_graphs(ordered, name=where, units=store.units, task=field)
    whole.notes = [f"{described(json.dumps(recipe))}; {WORDS[field][1]}"]
    whole.about["basis"] = basis.to_json()
    remarks = remarks_in(path)
    numbered = enumerate(sorted(graphs)[:limit])
    whole.warn(doubtful({place(where, k): remarks[frame] for k, frame in numbered if frame in remarks}))
    return whole


def unpacked(matrices: Float[Tensor, "molecules ..."], n: int, where: str) -> Float[Tensor, "molecules n n"]:
    """Symmetric matrices, whole or as upper triangles row by row, as whole ones in float64.

    Raises:
        DataError: they have not n orbitals, are not finite, or not symmetric to 1e-8 of their largest element.
    """
    whole = matrices.to(torch.float64)
    if tuple(whole.shape[1:]) == (n * (n + 1) // 2,):
        rows, columns = torch.triu_indices(n, n)
        packed, whole = whole, whole.new_zeros(len(whole), n, n)
        whole[:, rows, columns] = packed
        whole[:, columns, rows] = packed
    if tuple(whole.shape[1:]) != (n, n):
        what = f"matrices have shape {tuple(matrices.shape[1:])}, and the molecule has {n} orbitals"
        raise DataError(what, where=where, remedy="give the basis in which they were computed.")
    for number, matrix in enumerate(whole):
        if not bool(matrix.isfinite().all()):
            raise DataError("the matrix is not finite", where=f"{where}, molecule {number}", remedy="leave it out.")
    if float((whole - whole.mT).abs().max()) > 1e-8 * float(whole.abs().max()):
        raise DataError("matrices are not symmetric", where=where, remedy="give Hamiltonians of closed shells.")
    return 0.5 * (whole + whole.mT)


def recipe_words(recipe: Mapping[str, Any]) -> str:
    """One line of how labels were made: method, basis, grid, thresholds, program."""
    return ", ".join(f"{key} {value}" for key, value in recipe.items() if isinstance(value, str | int | float))
