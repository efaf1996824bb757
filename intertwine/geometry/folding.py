"""A periodic structure has many descriptions; this is the one with small numbers."""

from __future__ import annotations

import torch

from intertwine.geometry.graph import Graph


def folded(graph: Graph) -> Graph:
    r"""The same structure with each atom moved by whole cells next to the origin, :math:`x_i - n_i\,\mathrm{cell}`.

    Edges stay the same: :math:`S_{ij} + n_j - n_i` is the new shift. The :math:`n_i` are constants, so derivatives with
    respect to positions are those of the graph given; those with respect to the cell are of the folded description.

    Args:
        graph: one graph or a batch; open ones, and directions that do not repeat, are left alone. The positions of the
            others come back in float64, as points for a network of the same precision as before: a lattice vector added
            in single precision would take digits away.
    """
    cell, shifts = graph.get("cell"), graph.get("shifts")
    if cell is None:
        return graph
    graph = graph.replaced(pos=graph.pos.to(torch.float64)).in_precision(graph.precision)
    with torch.no_grad():
        lattice = cell.to(torch.float64) * graph.pbc.unsqueeze(-1)
        of_node = graph.membership()
        n = (graph.pos.unsqueeze(1) @ torch.linalg.pinv(lattice).index_select(0, of_node)).squeeze(1).floor()
        home = (n.unsqueeze(1) @ lattice.index_select(0, of_node)).squeeze(1)
    if shifts is None:
        return graph.replaced(pos=graph.pos - home)
    source, target = graph.edge_index
    moved = (n.index_select(0, source) - n.index_select(0, target)).to(shifts.dtype)
    return graph.replaced(pos=graph.pos - home, shifts=shifts + moved)
