"""What a message may look at: the invariants and vectors a_ij of an edge, made of positions, so that gradients flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry.fields import FIELDS, Field
from intertwine.geometry.graph import Graph
from intertwine.numerics import GeometryError, InputError, nearest, safe, segment
from intertwine.o3 import Irreps


def edge_vectors(graph: Graph) -> Float[Tensor, "edges n"]:
    r""":math:`x_{ij} = x_j + S_{ij}\,\mathrm{cell} - x_i` (A) for every edge j -> i, differentiable in positions and
    cell.

    The differences are taken in the precision of the positions, in float64 where there are cells between, and have that
    of the network (``graph.precision``).

    Raises:
        GeometryError: the graph has no ``edge_index``, or has ``shifts`` that need a cell and no cell.
    """
    edge_index = graph.get("edge_index")
    if edge_index is None:
        raise GeometryError(
            "the graph has no edges", where="edge_index", remedy="call intertwine.connect(graph, cutoff) first."
        )
    source, target = edge_index
    pos = _points(graph)
    cell, shifts = graph.get("cell"), graph.get("shifts")
    if cell is None or shifts is None:
        if shifts is not None and safe.inspectable(shifts) and bool(shifts.any()):
            raise GeometryError("edges to periodic images, and no cell", where="shifts", remedy="give `cell`.")
        if cell is not None and safe.inspectable(cell) and bool(graph.pbc.any()):
            raise GeometryError(
                "a periodic graph's edges need them", where="shifts", remedy="call intertwine.connect(graph, cutoff)."
            )
        return (pos.index_select(0, source) - pos.index_select(0, target)).to(graph.precision)
    # across a cell of 50 A single precision has lost a hundredth of the digits that forces are made of
    lattice = cell.to(torch.float64).index_select(0, graph.membership().index_select(0, target))
    across = (shifts.to(torch.float64).unsqueeze(1) @ lattice).squeeze(1)
    exact = pos.to(torch.float64)
    return (exact.index_select(0, source) - exact.index_select(0, target) + across).to(graph.precision)


def pair_vectors(graph: Graph, i: Int[Tensor, " pairs"], j: Int[Tensor, " pairs"]) -> Float[Tensor, "pairs n"]:
    """:math:`x_j - x_i` (A) of pairs of nodes, in the finer of the precision of positions and of the network."""
    pos = _points(graph)
    return pos.index_select(0, j) - pos.index_select(0, i)


def centred(graph: Graph) -> Float[Tensor, "nodes n"]:
    """Positions relative to the mean of each graph's (A), in the network's precision.

    Raises:
        GeometryError: a graph is periodic, so that it has no centre.
    """
    pbc, pos, membership = graph.get("pbc"), _points(graph), graph.membership()
    if pbc is not None and safe.inspectable(pbc) and bool(pbc.any()):
        what = "positions are periodic, so they have no centre"
        raise GeometryError(what, where="pbc", remedy="build the model with centred=False.")
    # from the first node on: far from the origin differences are exact, and a mean is not
    numbers = torch.arange(pos.shape[0], device=pos.device)  # no len: programs keep sizes open
    first = numbers.new_zeros(graph.graphs).scatter_reduce(0, membership, numbers, "amin", include_self=False)
    pos = pos - pos.index_select(0, first.index_select(0, membership))
    return (pos - segment.mean(pos, membership, graph.graphs).index_select(0, membership)).to(graph.precision)


def _points(graph: Graph) -> Float[Tensor, "nodes n"]:
    """Positions in the finer of their own precision and the network's: for taking differences, and nothing else."""
    return graph.pos.to(torch.promote_types(graph.pos.dtype, graph.precision))


def distances(vectors: Float[Tensor, "edges n"]) -> Float[Tensor, " edges"]:
    r""":math:`d_{ij} = \|x_{ij}\|` (A), with zero derivatives where nodes coincide."""
    return safe.norm(vectors)


def directions(vectors: Float[Tensor, "edges n"]) -> Float[Tensor, "edges n"]:
    r""":math:`\hat x_{ij} = x_{ij} / d_{ij}`, the zero vector where nodes coincide."""
    return safe.normalize(vectors)


#: Invariants of a node that a model can be given by name, each (N,), besides fields of the graph.
NODE_INVARIANTS: dict[str, Callable[[Graph], Tensor]] = {
    "charge": lambda graph: column(graph, "charge"),
    "speed": lambda graph: safe.norm(field(graph, "vel")),
}

#: Invariants of an edge that a model can be given by name, each (E,), besides fields of the graph.
EDGE_INVARIANTS: dict[str, Callable[[Graph], Tensor]] = {
    "charge_product": lambda graph: column(graph, "charge")[graph.edge_index].prod(0),
}


def node_invariants(graph: Graph, inputs: Mapping[str, int] | Sequence[str]) -> Float[Tensor, "nodes k"]:
    """The named invariants side by side: those of :data:`NODE_INVARIANTS`, "x", and any field of the nodes.

    Args:
        graph: one graph or a batch.
        inputs: the number of columns of each, by name; or names alone, of which "x" may have any number of columns.

    Raises:
        GeometryError: a field is missing, not finite, not invariant, or has not the rows or columns that the model
            takes.
    """
    return _side_by_side(graph, inputs, NODE_INVARIANTS, "x", graph.num_nodes)


def edge_invariants(graph: Graph, inputs: Mapping[str, int] | Sequence[str]) -> Float[Tensor, "edges k"]:
    """The named invariants side by side: those of :data:`EDGE_INVARIANTS`, "edge_attr", and any field of the edges.

    Arguments and errors are those of :func:`node_invariants`.
    """
    return _side_by_side(graph, inputs, EDGE_INVARIANTS, "edge_attr", graph.edge_index.shape[1])


def vector_fields(graph: Graph, inputs: Mapping[str, int]) -> list[Float[Tensor, "nodes n"]]:
    """Polar vectors of the nodes, in the network's precision: ``vel``, or fields declared "1o".

    Args:
        graph: one graph or a batch.
        inputs: how many vectors of each node the fields have, by name: k of them as (nodes, k, n), or as (nodes, 3 k)
            declared "kx1o".

    Raises:
        GeometryError: the graph lacks a field, it is not finite, has not as many vectors of each node, or transforms
            otherwise (as the axial "1e", or not at all because nothing is declared).
    """
    return [vector for name, columns in inputs.items() for vector in _vectors(graph, name, columns).unbind(1)]


def vector_field(graph: Graph, name: str) -> Float[Tensor, "nodes n"]:
    """One polar vector of each node; errors are those of :func:`vector_fields`."""
    return vector_fields(graph, {name: 1})[0]


def _vectors(graph: Graph, name: str, columns: int) -> Float[Tensor, "nodes columns n"]:
    value, (nodes, n) = field(graph, name), (graph.num_nodes, graph.dimension)
    declared, side_by_side = _declared(graph, name), f"{columns}x1o" if columns > 1 else "1o"
    if declared not in ("1o", side_by_side):
        what = f"it is {declared}, and the model takes polar vectors ({side_by_side}) here"
        remedy = f'leave it out of the inputs, or say what it is: Graph(..., representations={{"{name}": "1o"}}).'
        raise GeometryError(what, where=name, remedy=remedy)
    shapes = [(nodes, columns * n)] * (declared == side_by_side) + [(nodes, columns, n)] * (declared == "1o")
    if tuple(value.shape) not in shapes:
        count = "one vector" if columns == 1 else f"{columns} vectors"
        what = f"shape {tuple(value.shape)}, and the model takes {count} of each node here, {shapes[0]}"
        raise GeometryError(
            what, where=name, remedy=f'give as many, or build the model with vector_inputs={{"{name}": how many}}.'
        )
    return value.reshape(nodes, columns, n)


def column(graph: Graph, name: str) -> Float[Tensor, " nodes"]:
    """One invariant of each node; errors are those of :func:`node_invariants`."""
    return _invariant(graph, name, graph.num_nodes, 1, "node_inputs").reshape(graph.num_nodes)


def _declared(graph: Graph, name: str) -> str:
    """How a field transforms, in words: irreps as declared, "0e", "1o", or "a point of space"."""
    declared = (graph.get("representations") or {}).get(name)
    if declared is not None:
        irreps = Irreps(declared if isinstance(declared, str) else declared[0]).regroup()
        return "0e" if irreps and all(str(ir) == "0e" for _, ir in irreps) else str(irreps).removeprefix("1x")
    known = FIELDS.get(name, Field("node"))
    return "a point of space" if known.affine else ("0e", "1o", "a tensor of rank 2")[known.rank]


def _invariant(graph: Graph, name: str, rows: int, width: int | None, option: str) -> Tensor:
    """A field of invariants (rows, columns)."""
    value = field(graph, name)
    if (declared := _declared(graph, name)) != "0e":
        what = f"it is {declared}, and the model takes invariants (0e) here"
        raise GeometryError(what, where=name, remedy="leave it out of the inputs, or give invariants made of it.")
    if not value.ndim or value.shape[0] != rows:
        raise GeometryError(
            f"shape {tuple(value.shape)}, and the model takes {rows} rows here", where=name, remedy="give one row each."
        )
    value = value.unsqueeze(1) if value.ndim == 1 else value.flatten(1)
    if width is not None and value.shape[1] != width:
        what, key = f"{value.shape[1]} columns, and the model takes {width} here", f"{{{name!r}: {value.shape[1]}}}"
        raise GeometryError(
            what, where=name, remedy=f"give as many, or build a model that takes more, by {option} = {key}."
        )
    return value


def _side_by_side(
    graph: Graph,
    inputs: Mapping[str, int] | Sequence[str],
    table: dict[str, Callable[[Graph], Tensor]],
    raw: str,
    rows: int,
) -> Tensor:
    option = "node_inputs" if raw == "x" else "edge_inputs"
    columns = [graph.pos.new_zeros(rows, 0, dtype=graph.precision)]
    for name in inputs:
        width = inputs[name] if isinstance(inputs, Mapping) else None
        if name in table and width in (1, None):
            value = table[name](graph).unsqueeze(1)
        elif width is None and name != raw:
            raise InputError(f"unknown invariant {name!r}", remedy=nearest(name, [*table, raw]))
        else:
            value = _invariant(graph, name, rows, width, option)
        columns.append(value.to(graph.precision))
    return torch.cat(columns, dim=1)


def field(graph: Graph, name: str) -> Tensor:
    """A field that a model can't do without, in the network's precision if it has one.

    Raises:
        GeometryError: the graph lacks it, or it is not finite.
    """
    value = graph.get(name)
    if value is None:
        raise GeometryError(
            "the model needs this field and the graph lacks it", where=name, remedy=f"give Graph(..., {name}=...)."
        )
    if safe.inspectable(value) and value.is_floating_point() and not bool(torch.isfinite(value).all()):
        raise GeometryError("it is not finite", where=name, remedy="remove or repair that structure.")
    return value.to(graph.precision) if value.is_floating_point() else value
