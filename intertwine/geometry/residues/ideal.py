"""Ideal geometry of the twenty amino acids, from ``ideal.tsv``: bond lengths, angles and torsions of each heavy atom.

A row of the table places an atom d by the bond c-d, the angle b-c-d and the torsion a-b-c-d. Lengths (A) and angles
(degrees) are those of Engh and Huber, Acta Cryst. A47, 392 (1991); torsions at branches follow from their angles, rings
are flat. ``scripts/check_residues.py`` holds the table to the structures of the Chemical Component Dictionary.

Atoms that turn together are a rigid group (Jumper et al. 2021, supplementary table 2). A group has a frame: the origin
is the atom c of its torsion, the x-axis the direction b to c, and a lies in the xy-plane at y > 0. Turning the frame
about its x-axis by the torsion turns its atoms.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.geometry.residues.chain import place
from intertwine.numerics import InputError, nearest

TABLE = Path(__file__).with_name("ideal.tsv")
#: One-letter codes of the twenty, in the order of their numbers: alphabetic by name, as AlphaFold2 has them.
LETTERS = "ARNDCQEGHILKMFPSTWYV"
#: Three-letter codes in the same order.
RESIDUES = (
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE",
    "LEU", "LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL",
)  # fmt: skip
ATOMS = 14  # places for heavy atoms of a residue: N, CA, C, O, CB and the side chain
#: Torsion angles of a residue, in the order in which models give them.
ANGLES = ("omega", "phi", "psi", "chi1", "chi2", "chi3", "chi4")
#: Rigid groups of a residue: the backbone, and one for each angle.
GROUPS = ("backbone", *ANGLES)
#: Angles of which a half turn exchanges atoms that are called differently and are the same.
SYMMETRIC = {"ASP": "chi2", "GLU": "chi3", "PHE": "chi2", "TYR": "chi2"}
#: Those atoms.
EXCHANGED = {
    "ASP": (("OD1", "OD2"),),
    "GLU": (("OE1", "OE2"),),
    "PHE": (("CD1", "CD2"), ("CE1", "CE2")),
    "TYR": (("CD1", "CD2"), ("CE1", "CE2")),
}


class Row(NamedTuple):
    """One atom: the atoms c, b, a that place it ("" where there is none), length (A), angle (radians), and its torsion:
    the name of an angle ("" if it is fixed) and what is added to it (radians)."""

    atom: str
    to: tuple[str, str, str]
    length: float
    angle: float
    turned_by: str
    offset: float


class Ideal(NamedTuple):
    """What is known of each residue type, by its number; lengths in A, float64.

    Attributes:
        names: atoms of each type, "" where a place is empty (20 tuples of 14).
        present: whether a place holds an atom (20, 14).
        group: rigid group of each atom (20, 14); 0 where there is none.
        local: position of each atom in the frame of its group (20, 14, 3).
        rotation: axes of each group's frame, as columns, in the frame that it turns against, at torsion 0
            (20, 8, 3, 3).
        origin: its origin there (20, 8, 3).
        has_group: whether any heavy atom turns with the group (20, 8).
        chi_atoms: places of the four atoms of each chi (20, 4, 4).
        has_chi: whether the type has it (20, 4).
        symmetric: whether a half turn of it exchanges equal atoms (20, 4).
        exchanged: the place that each atom has after that exchange (20, 14).
    """

    names: tuple[tuple[str, ...], ...]
    present: Bool[Tensor, "20 14"]
    group: Int[Tensor, "20 14"]
    local: Float[Tensor, "20 14 3"]
    rotation: Float[Tensor, "20 8 3 3"]
    origin: Float[Tensor, "20 8 3"]
    has_group: Bool[Tensor, "20 8"]
    chi_atoms: Int[Tensor, "20 4 4"]
    has_chi: Bool[Tensor, "20 4"]
    symmetric: Bool[Tensor, "20 4"]
    exchanged: Int[Tensor, "20 14"]


def encode(sequence: str) -> Int[Tensor, " residues"]:
    """Numbers of the residue types of a sequence of one-letter codes.

    Raises:
        InputError: a letter that is none of the twenty; its place is named, from 0.
    """
    for k, letter in enumerate(sequence):
        if letter not in LETTERS:
            remedy = f"the twenty are {LETTERS}; leave the residue out, or give the one it is made of (MSE: M)."
            raise InputError(f"unknown residue {letter!r}", where=f"residue {k} of the sequence", remedy=remedy)
    return torch.tensor([LETTERS.index(letter) for letter in sequence], dtype=torch.int64)


def number_of(name: str) -> int:
    """The number of a residue type by its three-letter code.

    Raises:
        InputError: none of the twenty.
    """
    if name not in RESIDUES:
        raise InputError(f"unknown residue {name!r}", where="residue", remedy=nearest(name, RESIDUES))
    return RESIDUES.index(name)


@functools.cache
def rows() -> dict[str, tuple[Row, ...]]:
    """The table by residue, each atom after those that place it."""
    result: dict[str, list[Row]] = {name: [] for name in RESIDUES}
    for line in TABLE.read_text().splitlines()[1:]:
        name, atom, c, b, a, length, angle, torsion = line.split("\t")
        turned = next((each for each in ANGLES if torsion.startswith(each)), "")
        rest = torsion.removeprefix(turned)
        offset = math.radians(float(rest)) if rest not in ("", "-") else 0.0
        to = tuple("" if each == "-" else each for each in (c, b, a))
        theta = math.radians(float(angle)) if angle != "-" else 0.0
        result[name].append(Row(atom, (to[0], to[1], to[2]), float(length), theta, turned, offset))
    return {name: tuple(each) for name, each in result.items()}


@functools.cache
def ideal_residues() -> Ideal:
    """The table as tensors."""
    parts = [_residue(name) for name in RESIDUES]
    return Ideal(
        tuple(part["names"] for part in parts),
        *(torch.from_numpy(np.stack([part[name] for part in parts])) for name in Ideal._fields[1:]),
    )


def built(name: str, angles: dict[str, float] | None = None) -> dict[str, Float[Tensor, "3"]]:
    """Positions of the atoms of a residue in the frame of its backbone (A), by name, in the order N, CA, C, O, ...

    The frame has CA at the origin, C on the x-axis and N in the xy-plane at y > 0 (Jumper et al. 2021, algorithm 21).

    Args:
        name: three-letter code.
        angles: "psi", "chi1", ... in radians; 0 where nothing is said.
    """
    (nitrogen, carbon, *others), angles = rows()[name], angles or {}
    zero = torch.zeros(3, dtype=torch.float64)
    corner = zero.new_tensor([math.cos(carbon.angle), math.sin(carbon.angle), 0.0])
    x = {"N": nitrogen.length * corner, "CA": zero, "C": zero.new_tensor([carbon.length, 0.0, 0.0])}
    for row in others:
        c, b, a = (x[each] for each in row.to)
        torsion = row.offset + (angles.get(row.turned_by, 0.0) if row.turned_by else 0.0)
        x[row.atom] = place(a, b, c, *(zero.new_tensor(value) for value in (row.length, row.angle, torsion)))
    return x


def _residue(name: str) -> dict[str, Any]:
    x = built(name)
    names = list(x)
    made: dict[str, Any] = {
        "names": (*names, *[""] * (ATOMS - len(names))),
        "present": np.arange(ATOMS) < len(names),
        "group": np.zeros(ATOMS, dtype=np.int64),
        "local": np.zeros((ATOMS, 3)),
        "rotation": np.broadcast_to(np.eye(3), (len(GROUPS), 3, 3)).copy(),
        "origin": np.zeros((len(GROUPS), 3)),
        "has_group": np.zeros(len(GROUPS), dtype=bool),
        "chi_atoms": np.zeros((4, 4), dtype=np.int64),
        "has_chi": np.zeros(4, dtype=bool),
        "symmetric": np.array([SYMMETRIC.get(name) == angle for angle in ANGLES[3:]]),
        "exchanged": np.arange(ATOMS),
    }
    frames: list[tuple[np.ndarray, np.ndarray]] = [(np.eye(3), np.zeros(3))] * len(GROUPS)
    points = {atom: value.numpy() for atom, value in x.items()}
    # the frames of omega and phi hold hydrogens only
    frames[2] = _frame(points["CA"] + np.array([1.0, 0.0, 0.0]), points["CA"], points["N"])
    for row in rows()[name]:
        place_of = names.index(row.atom)
        if row.turned_by:
            k = GROUPS.index(row.turned_by)
            c, b, a = row.to
            frames[k] = _frame(points[a], points[b], points[c])
            if k >= 4 and not made["has_chi"][k - 4]:
                made["has_chi"][k - 4] = True
                made["chi_atoms"][k - 4] = [names.index(each) for each in (a, b, c, row.atom)]
        else:  # rigid with the atom that it is bound to
            k = 0 if row.atom == "CB" or not row.to[2] else int(made["group"][names.index(row.to[0])])
        made["group"][place_of] = k
        made["has_group"][k] = True
    for k, (axes, origin) in enumerate(frames):
        base_axes, base = frames[k - 1] if k > 4 else frames[0]
        made["rotation"][k], made["origin"][k] = base_axes.T @ axes, base_axes.T @ (origin - base)
    for place_of, atom in enumerate(names):
        axes, origin = frames[made["group"][place_of]]
        made["local"][place_of] = axes.T @ (points[atom] - origin)
    for first, second in EXCHANGED.get(name, ()):
        i, j = names.index(first), names.index(second)
        made["exchanged"][[i, j]] = j, i
    return made


def _frame(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes as columns, and origin, of the group that turns about b-c."""
    x = (c - b) / np.linalg.norm(c - b)
    y = (a - b) - ((a - b) @ x) * x
    y = y / np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1), c
