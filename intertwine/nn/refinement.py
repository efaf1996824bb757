"""Models that refine frames step by step, and show each step."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from intertwine.geometry import Graph


class Iteration(NamedTuple):
    """The state of all nodes after one step.

    Attributes:
        s: scalars (nodes, width).
        frames: axes as columns (nodes, 3, 3).
        displacement: from the positions of the graph, in A (nodes, 3).
        angles: pairs in the direction of (sin, cos), not normalised (nodes, angles, 2); None without angles.
    """

    s: Tensor
    frames: Tensor
    displacement: Tensor
    angles: Tensor | None


@runtime_checkable
class Refiner(Protocol):
    """A model of frames that a task can look into.

    Attributes:
        angles: how many angles each node has; 7 are omega, phi, psi and chi1 to chi4 of residues.
    """

    angles: int

    def refine(self, graph: Graph) -> list[Iteration]:
        """The state after each step."""
        ...
