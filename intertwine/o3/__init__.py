"""Floor 2: representation theory of O(3), in e3nn's names and conventions."""

from intertwine.o3.irreps import Irrep, Irreps
from intertwine.o3.wigner import wigner_d

__all__ = ["Irrep", "Irreps", "wigner_d"]
