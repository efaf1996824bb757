r"""Copies of graphs, each seen from a frame: all of them in one batch, and what comes out moved back.

A frame of a graph is an orthogonal matrix R whose columns are axes, and a centre c. From there the node x is at
:math:`R^\top (x - c)`, a vector v is :math:`R^\top v`, and what a network returns there is moved back by
:math:`\rho(R)`. Derivatives go through R and c.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry.fields import FIELDS
from intertwine.geometry.graph import Graph
from intertwine.geometry.levels import LEVELS
from intertwine.geometry.plain import PlainGraph, plain
from intertwine.groups import Cartesian, Representation, Trivial
from intertwine.groups.representation import terms_of
from intertwine.numerics import by_hand

#: Fields that networks learn and do not read: copies have none.
LABELS = ("energy", "forces", "stress", "dipole", "polarizability", "target_pos", "target_atoms", "label", "node_label")


def in_frames(
    graph: Graph,
    rotation: Float[Tensor, "graphs frames n n"],
    centre: Float[Tensor, "graphs n"] | None = None,
    without: Collection[str] = LABELS,
) -> PlainGraph:
    r"""A batch of frames times graphs: copy k of graph b, number :math:`k B + b`, is graph b seen from its frame k.

    Nodes, edges and pairs of copy k stand behind those of copy k - 1, in the order of the graph.

    Args:
        graph: one graph or a batch of B.
        rotation: R (B, frames, n, n), orthogonal, with the axes as columns.
        centre: c (B, n), in the unit of the positions; None for the origin, as in cells that repeat.
        without: fields that are left out; points of space and what belongs to them always are.
    """
    graph, frames, graphs = plain(graph), rotation.shape[1], graph.graphs
    levels = {name: graph.level(name) for name in graph.to_dict()}
    left_out = {*without, "ptr", "num_nodes", *(name for name, level in levels.items() if level == "point")}
    owner, size, turns = graph.membership(), graph.nodes_each(), {}
    fields: dict[str, Any] = {}
    for name, value in graph.to_dict().items():
        if name in left_out or name.startswith("point_"):
            continue
        if not isinstance(value, Tensor) or value.ndim == 0:
            fields[name] = value
        elif name == "edge_index":
            fields[name] = _numbered(value.T, frames, graph.num_nodes).T
        elif name == "pairs":
            fields[name] = _numbered(value, frames, graph.num_nodes)
        elif name != "batch":
            representation = graph.representation(name) if value.is_floating_point() else None
            if representation is None or is_invariant(representation):
                fields[name] = _repeated(value, frames)
                continue
            level, moved = levels[name] or "node", value
            start = centre if name in FIELDS and FIELDS[name].affine else None
            if level == "node" and size and _is_vector(representation, value):
                fields[name] = _seen_at_once(rotation, value, start)
                continue
            if start is not None:
                middle = start.index_select(0, owner)  # in its precision: far from the origin no digits are lost
                middle = middle.reshape(len(middle), *[1] * (value.ndim - 2), value.shape[-1])
                moved = (value - middle).to(value.dtype)
            if _is_vector(representation, value):
                fields[name] = _seen(rotation, LEVELS[level].owner(graph), moved)
                continue
            if level not in turns:
                turns[level] = rows_of(rotation, LEVELS[level].owner(graph)).mT
            fields[name] = turned_rows(representation, turns[level], _repeated(moved, frames))
    if size:
        numbers = torch.arange(frames * graphs, device=owner.device)
        fields["batch"] = numbers.unsqueeze(1).expand(-1, size).reshape(-1)
    else:
        fields["batch"] = _numbered(owner, frames, graphs)
    return PlainGraph(fields, frames * graphs, graph.precision)


def _is_vector(representation: Representation, x: Tensor) -> bool:
    polar = isinstance(representation, Cartesian) and representation.rank == 1 and not representation.axial
    return polar and x.ndim == 2


def _seen(
    rotation: Float[Tensor, "graphs frames n n"], owner: Int[Tensor, " rows"], x: Float[Tensor, "rows n"]
) -> Float[Tensor, "copied n"]:
    r"""Vectors in each frame of their graph, :math:`R_k^\top x`, as rows of copies."""
    graphs, frames, n, _ = rotation.shape
    side_by_side = rotation.to(x.dtype).transpose(1, 2).reshape(graphs, n, frames * n).index_select(0, owner)
    return (x.unsqueeze(1) @ side_by_side).view(-1, frames, n).transpose(0, 1).reshape(-1, n)


def _seen_at_once(
    rotation: Float[Tensor, "graphs frames n n"], x: Float[Tensor, "rows n"], centre: Float[Tensor, "graphs n"] | None
) -> Float[Tensor, "copied n"]:
    r"""The same of graphs that have as many rows each, one graph behind the other: :math:`R_k^\top (x - c)`."""
    inputs = (rotation, x) if centre is None else (rotation, x, centre)
    if by_hand.readable(*inputs) and x.shape[0] * rotation.shape[1] <= by_hand.FEW_ROWS:
        (seen,) = by_hand.computed(_SeenAtOnce(*(each.detach().numpy() for each in inputs)), *inputs)
        return seen
    return _seen_by_torch(*inputs)


def _seen_by_torch(
    rotation: Float[Tensor, "graphs frames n n"],
    x: Float[Tensor, "rows n"],
    centre: Float[Tensor, "graphs n"] | None = None,
) -> Float[Tensor, "copied n"]:
    graphs, frames, n, _ = rotation.shape
    local = x.reshape(graphs, -1, n)
    if centre is not None:
        local = (local - centre.unsqueeze(1)).to(x.dtype)
    side_by_side = rotation.to(x.dtype).transpose(1, 2).reshape(graphs, n, frames * n)
    return (local @ side_by_side).view(len(x), frames, n).transpose(0, 1).reshape(-1, n)


class _SeenAtOnce:
    """The same in NumPy.

    Args:
        rotation: (graphs, frames, n, n).
        x: rows (rows, n).
        centre: (graphs, n), or None.
    """

    def __init__(self, rotation: np.ndarray, x: np.ndarray, centre: np.ndarray | None = None) -> None:
        graphs, frames, n, _ = rotation.shape
        self.shape, self.types = rotation.shape, (rotation.dtype, None if centre is None else centre.dtype)
        local = x.reshape(graphs, -1, n)
        self.local = local if centre is None else (local - centre[:, None]).astype(x.dtype, copy=False)
        self.side_by_side = rotation.astype(x.dtype, copy=False).swapaxes(1, 2).reshape(graphs, n, frames * n)

    def values(self) -> tuple[np.ndarray, ...]:
        graphs, frames, n, _ = self.shape
        seen = np.empty((frames, graphs, self.local.shape[1], n), dtype=self.local.dtype)
        seen.transpose(1, 2, 0, 3)[:] = (self.local @ self.side_by_side).reshape(graphs, -1, frames, n)
        return (seen.reshape(-1, n),)

    def derivatives(self, *cotangents: np.ndarray) -> tuple[np.ndarray | None, ...]:
        graphs, frames, n, _ = self.shape
        rotation, centre = self.types
        of_seen = cotangents[0].reshape(frames, graphs, -1, n).transpose(1, 2, 0, 3).reshape(graphs, -1, frames * n)
        of_rotation = (self.local.swapaxes(1, 2) @ of_seen).reshape(graphs, n, frames, n).swapaxes(1, 2)
        of_local = of_seen @ self.side_by_side.swapaxes(1, 2)
        by_inputs = of_rotation.astype(rotation), of_local.reshape(-1, n)
        return by_inputs if centre is None else (*by_inputs, -np.add.reduce(of_local, axis=1, dtype=centre))

    def formulas(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return (_seen_by_torch(*inputs),)


def _repeated(x: Tensor, copies: int) -> Tensor:
    """The rows once for each copy, one copy after the other."""
    return x.expand(copies, *x.shape).reshape(-1, *x.shape[1:])


def _numbered(value: Int[Tensor, "rows ..."], copies: int, step: int) -> Int[Tensor, "copied ..."]:
    """Numbers of what copies have each of their own, ``step`` of them: those of copy k are higher by k times that."""
    shift = step * torch.arange(copies, device=value.device)
    return (value + shift.reshape(-1, *[1] * value.ndim)).flatten(0, 1)


def rows_of(rotation: Float[Tensor, "graphs frames n n"], owner: Int[Tensor, " rows"]) -> Float[Tensor, "copies n n"]:
    """The matrix of each row of a batch made by :func:`in_frames`: (frames * rows, n, n).

    Args:
        rotation: of each graph and frame.
        owner: the graph of each row, of one copy.
    """
    return rotation.index_select(0, owner).transpose(0, 1).flatten(0, 1)


def turned_rows(
    representation: Representation, g: Float[Tensor, "rows n n"], x: Float[Tensor, "rows ..."]
) -> Float[Tensor, "rows ..."]:
    r""":math:`\rho(g_r)\, x_r` for each row r, in the precision of x; invariant terms of a sum are not touched.

    Args:
        representation: of O(n); its components are the last axis, or the last ``axes`` ones of a Cartesian tensor.
        g: one orthogonal matrix a row.
        x: of the rows; axes between are copies.
    """
    if is_invariant(representation):
        return x
    if isinstance(representation, Cartesian):
        if _is_vector(representation, x):  # checks take longer than the product
            return (x.unsqueeze(1) @ g.to(x.dtype).mT).squeeze(1)
        between = [1] * (x.ndim - 1 - representation.rank)
        matrices = g.to(x.dtype).reshape(len(g), *between, *g.shape[1:])
        return representation.transform(matrices, x)
    terms = terms_of(representation)
    parts = []
    blocks = x.split([mul * term.dim for mul, term in terms], dim=-1)
    for (_, term), part in zip(terms, blocks, strict=True):
        if is_invariant(term) or not part.numel():  # nothing to turn
            parts.append(part)
            continue
        matrix = term.matrix(g).to(x.dtype)
        flat = part.reshape(len(g), part[:1].numel() // term.dim, term.dim) @ matrix.mT
        parts.append(flat.reshape(part.shape))
    return torch.cat(parts, dim=-1) if len(parts) != 1 else parts[0]


def is_invariant(representation: Representation) -> bool:
    """Whether no rotation or reflection changes it."""
    if isinstance(representation, Trivial):
        return True
    if isinstance(representation, Cartesian):
        return representation.rank == 0 and not representation.axial
    terms = terms_of(representation)
    if len(terms) == 1 and terms[0][1] is representation:
        return str(representation) == "0e"  # of the spherical tensors, by their name: o3.Irrep
    return all(is_invariant(term) for _, term in terms)
