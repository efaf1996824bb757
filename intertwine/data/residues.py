"""Graphs of residues: from backbone atoms and a sequence to what the structure module reads and learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry import Graph
from intertwine.geometry.residues import ATOMS, LETTERS, encode, ideal_residues
from intertwine.nn.frames import residue_frames
from intertwine.numerics import DataError

MOST_APART = 32  # differences of residue numbers beyond it count as it (Jumper et al. 2021, algorithm 4)
PAIR_COLUMNS = 2 * MOST_APART + 2  # one for each difference, one for residues of two chains
BOUND_ANGSTROM = 2.5  # C and N of neighbours that are further apart are not bound: there is a gap in the chain


def residue_graph(
    n: Any,
    ca: Any,
    c: Any,
    sequence: str | Sequence[int],
    *,
    number: Any = None,
    chain: Any = None,
    target_atoms: Any = None,
) -> Graph:
    """The graph of a protein: a node for each residue.

    Fields: ``pos``, the alpha carbons; ``backbone`` (residues, 3, 3), N, CA and C; ``residue``, the type; ``x``
    (residues, 20), the type as unit vectors; ``pair`` (pairs, 66), the difference of residue numbers as unit vectors,
    clipped at 32, or that the chains differ. With ``target_atoms`` also the labels ``target_atoms`` (residues, 14, 3),
    ``atom_mask`` (residues, 14), 1 for atoms that are known, and ``follows`` (residues,), 1 where a residue is bound to
    the one before.

    Args:
        n, ca, c: positions of the backbone atoms (residues, 3), A.
        sequence: one-letter codes, or numbers 0 to 19 in the order of ``geometry.residues.LETTERS``.
        number: number of each residue in its chain; 0, 1, 2, ... by default. A jump is a gap in the chain.
        chain: a whole number for the chain of each residue; all the same by default.
        target_atoms: what is to be reached: heavy atoms in the places of
            :func:`intertwine.geometry.residues.ideal_residues`; those that are not finite are not known.

    Raises:
        GeometryError: N, CA or C is missing (not finite), two of them coincide, or all are on a line.
        InputError: an unknown residue.
        DataError: numbers of residues differ; N, CA or C of the target is missing. All name the residue, from 0.
    """
    n, ca, c = (torch.as_tensor(x, dtype=torch.float64).reshape(-1, 3) for x in (n, ca, c))
    residue = _types(sequence)
    count = len(residue)
    number = torch.arange(count) if number is None else torch.as_tensor(number, dtype=torch.int64)
    chain = torch.zeros(count, dtype=torch.int64) if chain is None else torch.as_tensor(chain, dtype=torch.int64)
    rows = {"n": len(n), "ca": len(ca), "c": len(c), "number": len(number), "chain": len(chain)}
    for name, have in rows.items():
        if have != count:
            what = f"{have} rows for a sequence of {count} residues"
            raise DataError(what, where=name, remedy="give one row for each residue, those that are missing left out.")
    if not count:
        raise DataError("there are no residues", where="sequence", remedy="give at least one.")
    residue_frames(n, ca, c)  # there are some
    fields: dict[str, Any] = {
        "backbone": torch.stack([n, ca, c], dim=1),
        "residue": residue,
        "x": torch.eye(len(LETTERS), dtype=torch.float64)[residue],
        "pair": relative_numbers(number, chain),
    }
    levels = {"pair": "pair"}
    if target_atoms is not None:
        labels = _labels(torch.as_tensor(target_atoms, dtype=torch.float64), residue, number, chain)
        fields, levels = fields | labels, levels | {"atom_mask": "node", "follows": "node"}
    return Graph(ca, levels=levels, **fields)


def relative_numbers(
    number: Int[Tensor, " residues"], chain: Int[Tensor, " residues"]
) -> Float[Tensor, "pairs columns"]:
    r"""Differences of residue numbers :math:`n_i - n_j` of all pairs, as unit vectors (Jumper et al. 2021, algorithm
    4); the last column is for residues of two chains.

    Args:
        number: of each residue in its chain.
        chain: of each residue.
    """
    apart = (number.unsqueeze(1) - number).clamp(-MOST_APART, MOST_APART) + MOST_APART
    apart = torch.where(chain.unsqueeze(1) == chain, apart, PAIR_COLUMNS - 1)
    return torch.eye(PAIR_COLUMNS, dtype=torch.float64)[apart.flatten()]


def _types(sequence: str | Sequence[int]) -> Int[Tensor, " residues"]:
    if isinstance(sequence, str):
        return encode(sequence)
    residue = torch.as_tensor(sequence, dtype=torch.int64).reshape(-1)
    wrong = (residue < 0) | (residue >= len(LETTERS))
    if bool(wrong.any()):
        k = int(wrong.nonzero()[0])
        remedy = f"give numbers from 0 to 19, in the order {LETTERS}."
        raise DataError(f"unknown residue {int(residue[k])}", where=f"residue {k} of the sequence", remedy=remedy)
    return residue


def _labels(
    atoms: Float[Tensor, "..."], residue: Int[Tensor, " residues"], number: Tensor, chain: Tensor
) -> dict[str, Tensor]:
    """The target, with unknown atoms at the alpha carbon."""
    if atoms.shape != (len(residue), ATOMS, 3):
        what = f"shape {tuple(atoms.shape)} for {len(residue)} residues"
        raise DataError(what, where="target_atoms", remedy=f"give (residues, {ATOMS}, 3).")
    known = torch.isfinite(atoms).all(-1) & ideal_residues().present[residue]
    lacking = ~known[:, :3]
    if bool(lacking.any()):
        k, atom = (int(x) for x in lacking.nonzero()[0])
        what = f"the atom {('N', 'CA', 'C')[atom]} of residue {k} is missing"
        raise DataError(what, where="target_atoms", remedy="leave that residue out.")
    residue_frames(*atoms[:, :3].unbind(1))
    filled = torch.where(known.unsqueeze(-1), atoms, atoms[:, 1:2])
    follows = torch.zeros(len(residue), dtype=torch.int64)
    near = (atoms[1:, 0] - atoms[:-1, 2]).norm(dim=-1) < BOUND_ANGSTROM
    follows[1:] = ((number.diff() == 1) & (chain.diff() == 0) & near).to(torch.int64)
    return {"target_atoms": filled, "atom_mask": known.to(torch.int64), "follows": follows}
