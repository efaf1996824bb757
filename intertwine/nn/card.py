"""What an architecture is, in a few words: the columns of the map of lecture 3.2. ``tests/models/test_map.py`` measures
each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ModelCard:
    r"""What a model says of itself; the docs' table and `intertwine models` are printed from it.

    Args:
        message: "linear" if the sum of a layer over the neighbours, :math:`\sum_j m(f_i, f_j, a_{ij})`, is linear in
            their features :math:`f_j`, with :math:`f_i` and the geometry held fixed (a convolution). What a layer does
            with the sum may be nonlinear, as MACE's products are.
        geometry: what a message looks at: "distance", "angle", "torsion", "vector", "spherical tensor", "group element"
            or "none".
        body_order: what one layer tells apart: the largest k for which its scalars differ between two neighbourhoods
            that agree in all that k - 1 nodes see, the node itself counted (k = 2: kinds and distances of neighbours,
            3: angles between two of them, ...). 5 is 5 or more, of which a layer that is nonlinear in its neighbours
            and in sums over them has no bound.
        symmetry: the group it is equivariant to.
        paper: the source.
        domain: where features live: at points of "R^d", on a "graph", or at the elements of a group, "SE(3)", where
            every node has a frame that turns with the structure and its features are what is seen from there.
        rate: times the learning rate that suits a task, for this architecture.
    """

    message: Literal["linear", "nonlinear"]
    geometry: str
    body_order: int
    symmetry: str
    paper: str
    domain: str = "R^d"
    rate: float = 1.0
