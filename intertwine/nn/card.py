"""What an architecture is, in a few words: the columns of the map of lecture 3.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ModelCard:
    """What a model says of itself; the docs' table and `intertwine models` are printed from it.

    Args:
        message: is the message linear in f_j (a convolution) or not?
        geometry: what a message looks at: "distance", "angle", "torsion", "vector", "spherical tensor", "group element"
            or "none".
        body_order: how many nodes one message correlates.
        symmetry: the group it is equivariant to.
        paper: the source.
        domain: where features live: "R^d", a "graph" or a group.
        rate: times the learning rate that suits a task, for this architecture.
    """

    message: Literal["linear", "nonlinear"]
    geometry: str
    body_order: int
    symmetry: str
    paper: str
    domain: str = "R^d"
    rate: float = 1.0
