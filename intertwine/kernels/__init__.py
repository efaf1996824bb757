"""Floor 1: trilinear maps given by sparse tables, and polynomials. No group theory: coefficients come from above.

The map, level by level; a file imports from lower levels and from its own room (tests/test_floors.py).

0. ``plan`` says what a tensor product is. ``shared``: who decides what runs, the check on first use, the one way to be
   an operator of torch, the doors of compiled code.
1. ``llvm`` writes, compiles and keeps code. ``batched`` evaluates any plan in plain torch.
2. Four families of kernels, ``convolution``, ``harmonics``, ``linear`` and ``polynomial``, each with the same doors:
   ``plan``, ``definition``, ``cpu_text``, ``cpu``, ``gpu``, ``kernel``, ``operators``. ``frozen``: steps of a deployed
   model.
3. ``product`` evaluates a plan in the fastest of our ways.

docs/kernels.md follows one call through the doors.
"""

from intertwine.kernels.batched.evaluator import Batched
from intertwine.kernels.plan import LAYOUTS, MODES, Block, Operand, Path, Plan, Table, weight_shape
from intertwine.kernels.product import Product

__all__ = ["LAYOUTS", "MODES", "Batched", "Block", "Operand", "Path", "Plan", "Product", "Table", "weight_shape"]
