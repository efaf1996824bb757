"""Invariant codes: heads that give an element of a group, and what encodes and decodes images, sets and signals on the
sphere with them.
"""

from intertwine.nn.codes.heads import CyclicHead, Estimate, GroupHead, OrderHead, ProductHead, RotationHead, ShiftHead

__all__ = [
    "CyclicHead",
    "Estimate",
    "GroupHead",
    "OrderHead",
    "ProductHead",
    "RotationHead",
    "ShiftHead",
]
