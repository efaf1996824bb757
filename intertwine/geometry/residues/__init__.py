"""The twenty amino acids: ideal geometry, rigid groups, torsion angles, and chains built of them."""

from intertwine.geometry.residues.chain import Chain, backbone, dihedral, place
from intertwine.geometry.residues.ideal import (
    ANGLES,
    ATOMS,
    GROUPS,
    LETTERS,
    RESIDUES,
    Ideal,
    encode,
    ideal_residues,
)
from intertwine.geometry.residues.torsions import torsion_angles

__all__ = [
    "ANGLES",
    "ATOMS",
    "GROUPS",
    "LETTERS",
    "RESIDUES",
    "Chain",
    "Ideal",
    "backbone",
    "dihedral",
    "encode",
    "ideal_residues",
    "place",
    "torsion_angles",
]
