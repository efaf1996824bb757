"""Neighbour lists: which nodes see which, open or periodic, with no cap on their number."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from vesin import NeighborList

from intertwine.geometry.extent import (
    CERTAIN_COPIES,
    LARGEST_LENGTH_ANGSTROM,
    check_number_of_pairs,
    check_pairs,
    check_positions,
    number_of_copies,
)
from intertwine.geometry.ghosts import brought_home, ghost_search, images
from intertwine.geometry.graph import Graph
from intertwine.numerics import GeometryError, InputError

MOST_CELLS = 50_000  # vesin 0.6 divides by zero where a flat or long system has more than 1e5 cells of its cell list
MOST_COPIES = 9**3  # of the cell within reach: vesin's lists look at each of them for each cell of theirs
FAR_CUTOFF_PER_EXTENT = 4  # times the extent along an open direction
SMALLEST_REACH_ANGSTROM = 1e-3  # A: vesin refuses shorter cutoffs than 1e-6 A
SMALLEST_RELATIVE_VOLUME = 1e-6  # of the cell relative to the product of its edges; flatter counts as singular


def neighbour_list(
    pos: Float[Tensor, "nodes n"],
    cutoff: float | None,
    cell: Float[Tensor, "3 3"] | None = None,
    pbc: tuple[bool, bool, bool] = (False, False, False),
) -> tuple[Int[Tensor, "2 edges"], Int[Tensor, "edges 3"]]:
    r"""All pairs (j, i) and lattice translations S with :math:`0 < \|x_j + S\,\mathrm{cell} - x_i\| \le r_c`, plus
    coincident pairs.

    Complete for any cell, also one smaller than the cutoff: then a node sees several images of a neighbour, and of
    itself. The pair of a node with itself at S = 0 is never listed. Edges are sorted by destination i, then source j.

    Args:
        pos: positions (nodes, n) in A; n other than 3 is for open systems only.
        cutoff: r_c in A; None connects every node with every other.
        cell: lattice vectors as rows (A), where any of ``pbc`` is set.
        pbc: whether space repeats along each lattice vector.

    Returns:
        ``edge_index`` (2, edges), row 0 the source j and row 1 the destination i; ``shifts`` S (edges, 3).

    Raises:
        InputError: the cutoff is not positive.
        GeometryError: a position is not finite, or the cell is singular; a length beyond 1e12 A; more pairs than any
            memory holds (16 million, or 200 for each node where that is more).
    """
    if cutoff is not None and not (np.isfinite(cutoff) and cutoff > 0):
        raise InputError(
            f"the cutoff is {cutoff}",
            where="cutoff",
            remedy="give a positive length (in A), 5.0 for example, or None for all pairs.",
        )
    check_positions(pos)
    n = len(pos)
    if any(pbc) and pos.shape[-1] != 3:
        what = f"periodic in {pos.shape[-1]} dimensions"
        raise GeometryError(what, where="pos", remedy="periodic structures have 3 coordinates a node; set pbc=False.")
    if cutoff is None or pos.shape[-1] > 3:
        if any(pbc):
            remedy = "give a cutoff in A, 5.0 for example."
            raise InputError("all pairs of a periodic structure are infinitely many", where="cutoff", remedy=remedy)
        check_pairs(n * (n - 1), n, cutoff)
        i, j = (~torch.eye(n, dtype=torch.bool)).nonzero().T
        if cutoff is not None:
            near = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist").cpu()[i, j] <= cutoff
            i, j = i[near], j[near]
        return torch.stack([j, i]).to(pos.device), torch.zeros(len(i), 3, dtype=torch.int64, device=pos.device)
    points = np.zeros((n, 3))
    points[:, : pos.shape[-1]] = pos.detach().cpu().numpy()
    i, j, shifts = _search(points, _box(cell, pbc), np.asarray(pbc, dtype=bool), float(cutoff))
    # one order whatever the algorithm: same bits on every run
    order = np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], j, i))
    pairs = np.stack([j, i])[:, order].astype(np.int64)
    return torch.from_numpy(pairs).to(pos.device), torch.from_numpy(shifts[order].astype(np.int64)).to(pos.device)


def connect(graph: Graph, cutoff: float | None) -> Graph:
    """A copy of a graph, or of a batch, with ``edge_index`` and ``shifts`` for a cutoff (A); None connects all pairs.

    Raises:
        InputError, GeometryError: as :func:`neighbour_list`, which names the graph of a batch.
    """
    result = graph.without_edges()
    batch, edges, shifts = graph.membership(), [], []
    for k in range(graph.graphs):
        nodes = (batch == k).nonzero().flatten()
        periodic = graph.get("cell") is not None
        cell = graph.cell[k] if periodic else None
        pbc = tuple(graph.pbc[k].tolist()) if periodic else (False, False, False)
        try:
            pairs, offsets = neighbour_list(graph.pos[nodes], cutoff, cell, pbc)
        except GeometryError as error:
            if graph.graphs == 1:
                raise
            raise GeometryError(
                error.what, where=f"graph {k} of the batch, {error.where}", remedy=error.remedy
            ) from error
        edges.append(nodes[pairs])
        shifts.append(offsets)
    result = result.replaced(edge_index=torch.cat(edges, dim=1), shifts=torch.cat(shifts))  # also of a plain graph
    if hasattr(result, "_slice_dict"):  # a batch remembers where each graph's entries are, for taking it apart again
        ends = torch.tensor([0, *(len(x) for x in shifts)]).cumsum(0)
        nodes, zeros = result.ptr[:-1].cpu(), torch.zeros(graph.graphs, dtype=torch.int64)
        result._slice_dict = {**result._slice_dict, "edge_index": ends, "shifts": ends}
        result._inc_dict = {**result._inc_dict, "edge_index": nodes, "shifts": zeros}
    return result


def _search(
    points: np.ndarray, box: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """i, j and S by vesin's cell lists; by a k-d tree where those would be too many, or each would see too many others.

    Points are brought home first, so that it makes no difference where in space, and in which cell, they were written.
    """
    if not len(points):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3), np.int64)
    # before positions are counted in cells too small for it
    if (copies := number_of_copies(box, pbc, cutoff)) > CERTAIN_COPIES:
        check_pairs(copies * len(points) ** 2, len(points), cutoff)
    home, cells = brought_home(points, box, pbc)
    extent = np.ptp(home, axis=0)
    if not pbc.any():
        home = home - home.min(axis=0)
        # nothing is further away
        cutoff = min(cutoff, max(SMALLEST_REACH_ANGSTROM, float(np.linalg.norm(extent)) * (1 + 1e-9)))
    check_number_of_pairs(home, box, pbc, cutoff)
    lengths = np.where(pbc, np.linalg.norm(box, axis=1), np.linalg.norm(extent))
    number = np.maximum(lengths if pbc.any() else extent, cutoff) / cutoff
    far = pbc.any() and (
        images(box, pbc, cutoff) > MOST_COPIES or bool((~pbc & (extent < cutoff / FAR_CUTOFF_PER_EXTENT)).any())
    )
    if far or np.prod(number) > MOST_CELLS:
        i, j, shifts = ghost_search(home, box, pbc, cutoff)
    else:
        i, j, shifts = NeighborList(cutoff=cutoff, full_list=True).compute(home, box, pbc, "ijS")
    i, j = i.astype(np.int64), j.astype(np.int64)
    return i, j, shifts - cells[j] + cells[i]


def _box(cell: Tensor | None, pbc: tuple[bool, ...]) -> np.ndarray:
    """The cell as the neighbour search wants it; directions that do not repeat are filled in where they are zero."""
    if not any(pbc):
        return np.zeros((3, 3))
    if cell is None:
        raise GeometryError(
            "periodic without a cell", where="cell", remedy="give the lattice vectors as rows of a 3x3 matrix, in A."
        )
    box = cell.detach().cpu().to(torch.float64).numpy().copy()
    if not (np.abs(box) <= LARGEST_LENGTH_ANGSTROM).all():
        what = (
            f"the cell has a component of {np.abs(box).max():.3g} A"
            if np.isfinite(box).all()
            else "the cell is not finite"
        )
        raise GeometryError(what, where="cell", remedy="repair the lattice vectors.")
    for axis in np.flatnonzero(~np.asarray(pbc)):
        others = [k for k in range(3) if k != axis]
        if np.linalg.norm(box[axis]) == 0:  # a slab or a wire written with no vector along its open direction
            box[axis] = np.linalg.svd(box[others])[2][-1] if pbc[others[0]] or pbc[others[1]] else np.eye(3)[axis]
    lengths = np.linalg.norm(box, axis=1)
    if lengths.min() == 0 or abs(np.linalg.det(box / lengths[:, None])) < SMALLEST_RELATIVE_VOLUME:
        raise GeometryError(
            f"the cell is singular: volume {abs(np.linalg.det(box)):.3g} A^3",
            where="cell",
            remedy="its three lattice vectors must span space; set pbc=False for an open structure.",
        )
    return box
