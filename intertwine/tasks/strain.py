"""Structures under a strain, of which the stress is the derivative."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from intertwine.geometry import Graph, folded
from intertwine.numerics import segment


def strained(graph: Graph, pos: Tensor, strain: Tensor | None = None) -> Graph:
    r"""The graph with positions and cell under a symmetric strain:
    :math:`x \to x + (x - \bar x)\,\tfrac12(\varepsilon + \varepsilon^T)`.

    Atoms are folded home and strained about the mean of their graph: far from the origin, and over many cells, the
    stress would be a small difference of large sums.

    Args:
        graph: one graph or a batch.
        pos: the positions to use (A), differentiable.
        strain: :math:`\varepsilon` (graphs, 3, 3); None for no strain.
    """
    graph = graph.replaced(pos=pos)
    if strain is None:
        return graph
    graph = folded(graph)
    pos, membership = graph.pos, graph.membership()
    symmetric = 0.5 * (strain + strain.transpose(1, 2)).to(pos.dtype)
    arm = pos - segment.mean(pos.detach(), membership, graph.graphs).index_select(0, membership)
    cell = graph.cell.to(pos.dtype)
    return graph.replaced(
        pos=pos + (arm.unsqueeze(1) @ symmetric.index_select(0, membership)).squeeze(1), cell=cell + cell @ symmetric
    )


def repeating(graph: Graph) -> Bool[Tensor, " graphs"]:
    """Which graphs have a stress: those that repeat along two lattice vectors at least, in a cell that has a volume.

    Where it is two, V is that of the cell as given, so that V times the stress is the area times the tension of the
    slab, as ASE's cell filters take it.
    """
    return (graph.pbc.sum(1) >= 2) & (torch.linalg.det(graph.cell) != 0)
