"""Floor 1: trilinear maps given by sparse tables. No group theory: the coefficients come from above as arrays."""

from intertwine.kernels.plan import LAYOUTS, MODES, Block, Operand, Path, Plan, Table, weight_shape
from intertwine.kernels.product import Product
from intertwine.kernels.reference import Reference

__all__ = ["LAYOUTS", "MODES", "Block", "Operand", "Path", "Plan", "Product", "Reference", "Table", "weight_shape"]
