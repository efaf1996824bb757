"""Floor 2: representation theory of O(3), in e3nn's names and conventions."""

from intertwine.o3.irrep import Irrep, MulIr
from intertwine.o3.irreps import Irreps
from intertwine.o3.wigner import wigner_d

__all__ = ["Irrep", "Irreps", "MulIr", "wigner_d"]
