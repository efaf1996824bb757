"""The fields of a graph that the library knows: what each is attached to and how it transforms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Field:
    """What a field of a graph is: attached to what, transforming how.

    Args:
        level: one of :data:`~intertwine.geometry.levels.LEVELS`.
        rank: rank of the Cartesian tensor on its last axes; 0 is a scalar.
        affine: a point of space, which translations move too.
        floating: holds real numbers (so it has a precision), not indices.
    """

    level: str
    rank: int = 0
    affine: bool = False
    floating: bool = True


#: The fields the library knows, with their meaning. Anything else is an invariant unless ``representations`` says
#: otherwise.
FIELDS: dict[str, Field] = {
    "pos": Field("node", 1, affine=True),  # (N, n) positions, A
    "z": Field("node", floating=False),  # (N,) atomic numbers
    "batch": Field("node", floating=False),  # (N,) graph of each node
    "vel": Field("node", 1),  # (N, n) velocities
    "frame": Field("node", 1),  # (N, n, n) axes of a local frame as rows: unit vectors
    "backbone": Field("node", 1, affine=True),  # (N, 3, 3) positions of N, CA and C of a residue, A
    "residue": Field("node", floating=False),  # (N,) amino acid of a residue, 0 to 19 (geometry.residues.LETTERS)
    "charge": Field("node"),  # (N,) charges
    "x": Field("node"),  # (N, k) invariant node features
    "edge_index": Field("edge", floating=False),  # (2, E) source j, destination i
    "shifts": Field("edge", floating=False),  # (E, 3) lattice translation of the source, in units of the cell
    "edge_attr": Field("edge"),  # (E, k) invariant edge features
    "cell": Field("graph", 1),  # (1, 3, 3) lattice vectors as rows, A
    "pbc": Field("graph", floating=False),  # (1, 3) periodic along each lattice vector?
    "energy": Field("graph"),  # (1,) eV
    "forces": Field("node", 1),  # (N, 3) eV/A
    "stress": Field("graph", 2),  # (1, 3, 3) eV/A^3, positive under tension (ASE's sign)
    "dipole": Field("graph", 1),  # (1, 3)
    "polarizability": Field("graph", 2),  # (1, 3, 3)
    "target_pos": Field("node", 1, affine=True),  # (N, n) positions at a later time
    "target_atoms": Field("node", 1, affine=True),  # (N, 14, 3) heavy atoms of residues that are to be reached, A
    "label": Field("graph", floating=False),  # (1,) class of the whole, from 0
    "node_label": Field("node", floating=False),  # (N,) class of each node, from 0
    "pairs": Field("pair", floating=False),  # (P, 2) nodes i, j of each pair; without it all pairs
    "points": Field("point", 1, affine=True),  # (P, n) points of space, A
}


def lowered(name: str, x: Tensor, dtype: torch.dtype) -> Tensor:
    """A field for a network of that precision; points of space and the cell never lose digits."""
    if not x.is_floating_point():
        return x
    point = name == "cell" or (name in FIELDS and FIELDS[name].affine)
    return x.to(torch.promote_types(x.dtype, dtype) if point else dtype)
