"""What a symmetry in words claims: "E(3)", "T(3) x octahedral", "SE(3) in distribution"."""

from __future__ import annotations

import re
from typing import NamedTuple

from intertwine.groups import Group, ScaledRotation, Scaling, cyclic, dihedral, icosahedral, octahedral, tetrahedral
from intertwine.numerics import InputError

#: What each group claims.
GROUPS = {
    "E": ("translation", "rotation", "reflection", "permutation"),
    "SE": ("translation", "rotation", "permutation"),
    "O": ("rotation", "reflection", "permutation"),
    "SO": ("rotation", "permutation"),
    "T": ("translation", "permutation"),
    "S": ("permutation",),
}
POLYHEDRAL = {"tetrahedral": tetrahedral, "octahedral": octahedral, "icosahedral": icosahedral}
POINT = "point group"  # the symmetry of a check that tries the elements of a claim's own group
IN_DISTRIBUTION = "in distribution"
WITHIN = "within approximation"
WHERE_UNIQUE = "where frames are unique"
LISTED = "of listed nodes"
REMEDY = (
    "write E(3), SE(3), O(3), SO(3), T(3), S(n), or n for any dimension; T(3) x octahedral (tetrahedral, icosahedral, "
    "also 'with inversion'), T(2) x C_4, T(2) x D_8, T(2) x R+; and after it 'in distribution' of a network that "
    "draws, 'within approximation' of a mean by quadrature, 'where frames are unique' of one frame or a few, 'of "
    "listed nodes' where the order of the nodes matters"
)


class Claim(NamedTuple):
    """What is claimed.

    Attributes:
        names: the symmetries that must hold, in the words of :data:`GROUPS`; "point group" where ``point`` is one.
        point: the group of rotations, reflections or scalings whose elements are tried; None where all are claimed, or
            none.
        random: whether equality is claimed in distribution only.
        approximate: whether it is claimed up to an error that the function states.
        partial: whether it is claimed only where the function's frames are unique, which it says of each graph.
    """

    names: tuple[str, ...]
    point: Group | None = None
    random: bool = False
    approximate: bool = False
    partial: bool = False


NOTHING = Claim(())


def claims(symmetry: str, dimension: int) -> Claim:
    """What is claimed by "E(3)", "SE(3)", "O(n)", "SO(n)", "T(3)" or "S(n)" (permutations, which all include), by a
    group of rotations of its own, with translations ("T(2) x C_4") or without ("octahedral"), and by either followed by
    "in distribution", "within approximation", "where frames are unique" (in this order), or "of listed nodes", which
    claims no permutations.

    Raises:
        InputError: no such group, or one of another dimension than the graphs.
    """
    words = " ".join(symmetry.split())
    senses = {}
    for sense in (LISTED, WHERE_UNIQUE, WITHIN, IN_DISTRIBUTION):
        senses[sense] = words.endswith(sense)
        words = words.removesuffix(sense).strip()
    how = senses[IN_DISTRIBUTION], senses[WITHIN], senses[WHERE_UNIQUE]
    match = re.fullmatch(r"(?:T ?\( ?(n|\d+) ?\) x )?(.+)", words)
    shifts, rest = match.groups() if match is not None else (None, "")
    if shifts is not None:
        _fits(shifts, dimension, symmetry, f"T({dimension}) x ...")
    if (known := re.fullmatch(r"(SE|SO|E|O|T|S) ?\( ?(n|\d+) ?\)", rest)) is not None:
        group, n = known.groups()
        if group != "S":
            _fits(n, dimension, symmetry, f"{group}({dimension}) or {group}(n)")
        names = tuple(dict.fromkeys((*(GROUPS["T"] if shifts else ()), *GROUPS[group])))
        return Claim(tuple(name for name in names if name != "permutation" or not senses[LISTED]), None, *how)
    point = _point(rest, dimension, symmetry)
    names = tuple(name for name in GROUPS["T" if shifts else "S"] if name != "permutation" or not senses[LISTED])
    return Claim((*names, POINT), point, *how)


def _fits(n: str, dimension: int, symmetry: str, right: str) -> None:
    if n != "n" and int(n) != dimension:
        raise InputError(f"{symmetry} on graphs of dimension {dimension}", where="symmetry", remedy=f"write {right}.")


def _point(name: str, dimension: int, symmetry: str) -> Group:
    """The group of matrices of a name."""
    inversion = name.endswith(" with inversion")
    stem = name.removesuffix(" with inversion")
    polygon = re.fullmatch(r"([CD])_(\d+)", name)
    group: Group | None = None
    if stem in POLYHEDRAL:
        group = POLYHEDRAL[stem](inversion=inversion)
    elif polygon is not None:
        group = (cyclic if polygon[1] == "C" else dihedral)(int(polygon[2]))
    elif name == "R+":
        group = Scaling(dimension)
    elif name == "R+ x SO(2)":
        group = ScaledRotation()
    if group is None:
        raise InputError(f"unknown symmetry {symmetry!r}", where="symmetry", remedy=REMEDY)
    if group.space != dimension:
        raise InputError(
            f"{symmetry} on graphs of dimension {dimension}",
            where="symmetry",
            remedy=f"{name} is a group of dimension {group.space}.",
        )
    return group
