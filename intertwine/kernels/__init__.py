"""Floor 1: trilinear maps given by sparse tables. No group theory: the coefficients come from above as arrays.

``plan`` says what a tensor product is, ``product`` evaluates one in the fastest of our ways. Four families have
kernels, each in a room of its own: ``convolution``, ``harmonics``, ``linear``, ``polynomial``; docs/design.md says what
their files are (plan, definition, text, kernel, operators). ``batched`` evaluates any plan in plain torch; ``llvm`` and
``shared`` serve all.
"""

from intertwine.kernels.batched.reference import Reference
from intertwine.kernels.plan import LAYOUTS, MODES, Block, Operand, Path, Plan, Table, weight_shape
from intertwine.kernels.product import Product

__all__ = ["LAYOUTS", "MODES", "Block", "Operand", "Path", "Plan", "Product", "Reference", "Table", "weight_shape"]
