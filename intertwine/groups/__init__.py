"""Floor 1: what a symmetry is."""

from intertwine.groups.affine import SE, SO, Affine, E, O, T, Z
from intertwine.groups.euclidean import Cartesian, Isometry
from intertwine.groups.finite import FiniteGroup, Subgroup
from intertwine.groups.group import Grid, Group, Representation
from intertwine.groups.lorentz import Lorentz
from intertwine.groups.matrix import MatrixGroup, Orthogonal, ScaledRotation, Scaling
from intertwine.groups.named import cyclic, dihedral, icosahedral, octahedral, symmetric, tetrahedral
from intertwine.groups.representation import (
    Conjugated,
    Defining,
    DirectSum,
    Dual,
    LinearRepresentation,
    Restricted,
    TensorProduct,
    Trivial,
    group_of,
    sum_of,
    terms_of,
)

__all__ = [
    "SE",
    "SO",
    "Affine",
    "Cartesian",
    "Conjugated",
    "Defining",
    "DirectSum",
    "Dual",
    "E",
    "FiniteGroup",
    "Grid",
    "Group",
    "Isometry",
    "LinearRepresentation",
    "Lorentz",
    "MatrixGroup",
    "O",
    "Orthogonal",
    "Representation",
    "Restricted",
    "ScaledRotation",
    "Scaling",
    "Subgroup",
    "T",
    "TensorProduct",
    "Trivial",
    "Z",
    "cyclic",
    "dihedral",
    "group_of",
    "icosahedral",
    "octahedral",
    "sum_of",
    "symmetric",
    "terms_of",
    "tetrahedral",
]
