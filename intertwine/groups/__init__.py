"""Floor 1: what a symmetry is."""

from intertwine.groups.euclidean import Cartesian, DirectSum, Isometry
from intertwine.groups.group import Representation

__all__ = ["Cartesian", "DirectSum", "Isometry", "Representation"]
