"""Floor 1: what a symmetry is."""

from intertwine.groups.action import Action, LinearAction, ProductAction, RowAction, Unchanged
from intertwine.groups.affine import SE, SO, Affine, E, O, T, Z
from intertwine.groups.euclidean import AffineMap, Cartesian, Isometry
from intertwine.groups.finite import FiniteGroup, Subgroup
from intertwine.groups.group import Grid, Group, Representation
from intertwine.groups.lorentz import Lorentz
from intertwine.groups.matrix import MatrixGroup, Orthogonal, ScaledRotation, Scaling
from intertwine.groups.named import Permutations, cyclic, dihedral, icosahedral, octahedral, symmetric, tetrahedral
from intertwine.groups.product import DirectProduct, OuterProduct
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
    "Action",
    "Affine",
    "AffineMap",
    "Cartesian",
    "Conjugated",
    "Defining",
    "DirectProduct",
    "DirectSum",
    "Dual",
    "E",
    "FiniteGroup",
    "Grid",
    "Group",
    "Isometry",
    "LinearAction",
    "LinearRepresentation",
    "Lorentz",
    "MatrixGroup",
    "O",
    "Orthogonal",
    "OuterProduct",
    "Permutations",
    "ProductAction",
    "Representation",
    "Restricted",
    "RowAction",
    "ScaledRotation",
    "Scaling",
    "Subgroup",
    "T",
    "TensorProduct",
    "Trivial",
    "Unchanged",
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
