"""Floor 3: atomic orbitals: bases, their overlap, orders and signs of programs, matrices between orbitals as blocks."""

from intertwine.orbitals.auxiliary import even_tempered
from intertwine.orbitals.basis import Basis, Shell
from intertwine.orbitals.blocks import BlockLayout
from intertwine.orbitals.layout import AtomLayout
from intertwine.orbitals.molecule import matrix_rotation, orbital_atoms, orbital_matrix, pair_blocks
from intertwine.orbitals.order import PROGRAMS, order_matrix, reordered
from intertwine.orbitals.overlap import overlap_matrix
from intertwine.orbitals.purify import purified
from intertwine.orbitals.spectrum import Spectrum, spectrum

__all__ = [
    "PROGRAMS",
    "AtomLayout",
    "Basis",
    "BlockLayout",
    "Shell",
    "Spectrum",
    "even_tempered",
    "matrix_rotation",
    "orbital_atoms",
    "orbital_matrix",
    "order_matrix",
    "overlap_matrix",
    "pair_blocks",
    "purified",
    "reordered",
    "spectrum",
]
