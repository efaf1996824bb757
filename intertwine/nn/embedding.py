"""What nodes and edges start with: species, distances, and whatever invariants the data give them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from math import pi
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import (
    Graph,
    directions,
    distances,
    edge_invariants,
    edge_vectors,
    node_invariants,
)
from intertwine.nn.checks import Columns, check_edge_inputs, check_node_inputs
from intertwine.nn.cutoff import envelope
from intertwine.nn.radial import GaussianBasis, radial_basis
from intertwine.nn.radial_spline import RadialSpline, Sampled
from intertwine.numerics import DataError, GeometryError, InputError, safe

LARGEST_Z = 118


class SpeciesTable(nn.Module):
    """Atomic number -> row, for a fixed set of species.

    Args:
        species: the atomic numbers known; None for all elements.
    """

    rows: Tensor

    def __init__(self, species: Sequence[int] | None) -> None:
        super().__init__()
        if species is not None and not all(isinstance(z, int) for z in species):
            raise InputError(
                f"species {list(species)}", where="species", remedy="give atomic numbers: 1 for H, 6 for C."
            )
        known = sorted({int(z) for z in species}) if species is not None else list(range(1, LARGEST_Z + 1))
        if any(not 0 <= z <= LARGEST_Z for z in known):
            raise InputError(
                f"atomic numbers {known}", where="species", remedy=f"give numbers from 0 (a dummy) to {LARGEST_Z}."
            )
        self.known = known
        rows = torch.full((LARGEST_Z + 1,), -1, dtype=torch.int64)
        rows[known] = torch.arange(len(known))
        self.register_buffer("rows", rows, persistent=False)

    def forward(self, z: Int[Tensor, " nodes"]) -> Int[Tensor, " nodes"]:
        """Rows (nodes,).

        Raises:
            DataError: a species is not among those known.
        """
        if safe.inspectable(z):
            valid = (z >= 0) & (z <= LARGEST_Z)
            bad = z[~valid].unique().tolist() or z[self.rows[z] < 0].unique().tolist()
            if bad:
                raise DataError(
                    f"unknown species: atomic numbers {bad}; the model knows {self.known}",
                    where="z",
                    remedy="train on data that contain them, or list them in the model's `species`.",
                )
        return self.rows.index_select(0, z)


class NodeEmbedding(nn.Module):
    r""":math:`f_i = E_{z_i} + W s_i + b`: an embedding of the species plus a linear map of the node's invariants.

    Points that have neither, of a cloud, all begin with the same :math:`f_i = b`.

    Args:
        width: number of features.
        species: atomic numbers known, None for all; an empty sequence for nodes that are not atoms.
        inputs: node invariants (:func:`intertwine.geometry.node_invariants`): names, or the number of columns of each.
    """

    def __init__(self, width: int, species: Sequence[int] | None = None, inputs: Columns = ()) -> None:
        super().__init__()
        self.inputs = check_node_inputs(inputs)
        self.table = SpeciesTable(species) if species is None or len(species) else None
        self.species = nn.Embedding(len(self.table.known), width) if self.table is not None else None
        self.linear = nn.Linear(sum(self.inputs.values()), width) if self.inputs else None
        bare = self.species is None and self.linear is None
        self.constant = nn.Parameter(torch.randn(width)) if bare else None

    def forward(self, graph: Graph) -> Float[Tensor, "nodes width"]:
        features = []
        if self.species is not None and self.table is not None:
            if graph.get("z") is None:
                remedy = "give Graph(pos, z=...), or build the model with species=()."
                raise GeometryError("the graph has no atomic numbers", where="z", remedy=remedy)
            features.append(self.species(self.table(graph.z)))
        if self.linear is not None:
            features.append(self.linear(node_invariants(graph, self.inputs)))
        if self.constant is not None:
            features.append(self.constant.expand(graph.num_nodes, -1))
        return sum(features[1:], features[0])


class Edges(NamedTuple):
    """What is known of the edges: vectors (edges, n) in A, distances (edges,) in A, unit vectors (edges, n), attributes
    (edges, k): radial functions and invariants, and the envelope (edges, 1), zero at the cutoff. Of radial networks
    that are asked at knots the attributes are missing (k = 0)."""

    vectors: Float[Tensor, "edges n"]
    distances: Float[Tensor, " edges"]
    directions: Float[Tensor, "edges n"]
    attributes: Float[Tensor, "edges k"]
    envelope: Float[Tensor, "edges 1"]


class EdgeEmbedding(nn.Module):
    r"""The invariant attributes of an edge: radial functions :math:`e_k(d_{ij})` and named invariants, and the envelope
    c(d_ij).

    Args:
        cutoff: r_c in A.
        radial_size: number of radial functions.
        radial: "gaussian" or "bessel".
        cutoff_function: "polynomial" or "cosine".
        inputs: edge invariants (:func:`intertwine.geometry.edge_invariants`): names, or the number of columns of each.
        knots: distances that radial networks are asked at (:mod:`intertwine.nn.radial_spline`); 0 asks them at every
            edge, and so do edge invariants, which a table of distances does not know.

    Raises:
        InputError: the cutoff is not positive, a name is not known, or the knots are fewer than 8.
    """

    def __init__(
        self,
        cutoff: float,
        radial_size: int,
        radial: str,
        cutoff_function: str,
        inputs: Columns = (),
        knots: int = 0,
    ) -> None:
        super().__init__()
        self.inputs = check_edge_inputs(inputs)
        spline = RadialSpline(knots, cutoff) if knots != 0 else None
        self.spline = None if self.inputs else spline
        self.envelope = envelope(cutoff_function, cutoff)
        self.radial = radial_basis(radial, radial_size, cutoff)
        self.functions, self.width = radial_size, radial_size + sum(self.inputs.values())

    def forward(self, graph: Graph) -> Edges:
        vectors = edge_vectors(graph)
        d = distances(vectors)
        attributes = self.radial(d) if self._at_knots(d) is None else d.new_zeros(d.shape[0], 0)
        if self.inputs:
            attributes = torch.cat([attributes, edge_invariants(graph, self.inputs)], dim=1)
        return Edges(vectors, d, directions(vectors), attributes, self.envelope(d).unsqueeze(-1))

    def filters(self, edges: Edges) -> Float[Tensor, "edges k"] | Sampled:
        r"""What radial networks without biases are asked with, so that they vanish at the cutoff: :math:`e(d)\, c(d)`
        of every edge, or of every knot (:class:`~intertwine.nn.radial_spline.RadialNetwork`).
        """
        if (spline := self._at_knots(edges.distances)) is None:
            return edges.attributes * edges.envelope
        t = spline.distances(edges.distances)
        return spline.sampled(self.radial(t) * self.envelope(t).unsqueeze(-1), edges.distances)

    def _at_knots(self, d: Float[Tensor, " edges"]) -> RadialSpline | None:
        return self.spline if d.dtype in (torch.float32, torch.float64) else None


@contextlib.contextmanager
def at_every_edge(module: nn.Module) -> Iterator[None]:
    """Inside the ``with`` block the radial networks of a module are asked at every edge, whatever its knots."""
    embeddings = [each for each in module.modules() if isinstance(each, EdgeEmbedding)]
    splines = [each.spline for each in embeddings]
    for each in embeddings:
        each.spline = None
    try:
        yield
    finally:
        for each, spline in zip(embeddings, splines, strict=True):
            each.spline = spline


def second_moment(columns: int, functions: int, square: float) -> float:
    """Mean square of the attributes of an edge: ``functions`` of its ``columns`` have mean square ``square``,
    invariants 1.
    """
    return (square * functions + columns - functions) / columns


def gaussian_square(size: int) -> float:
    """Mean square of each of ``size`` Gaussians of :class:`~intertwine.nn.radial.GaussianBasis`, of distances that are
    spread evenly.
    """
    return pi**0.5 / size


class AnyDistance(nn.Module):
    r"""Attributes of edges of any length, for graphs of all pairs: Gaussians of :math:`d / (d + a)`, and named
    invariants.

    Args:
        size: number of Gaussians.
        scale: a, in the unit of the positions: distances of about this size are told apart best.
        inputs: as in :class:`EdgeEmbedding`.
    """

    def __init__(self, size: int, scale: float, inputs: Columns = ()) -> None:
        super().__init__()
        if not scale > 0:
            raise InputError(f"a length of {scale}", where="scale", remedy="give a typical distance, 2.0 for example.")
        self.inputs, self.scale = check_edge_inputs(inputs), float(scale)
        self.radial = GaussianBasis(size, 1.0)
        self.functions, self.width = size, size + sum(self.inputs.values())

    def forward(self, graph: Graph, vectors: Float[Tensor, "edges n"]) -> Float[Tensor, "edges width"]:
        d = distances(vectors)
        return torch.cat([self.radial(d / (d + self.scale)), edge_invariants(graph, self.inputs)], dim=1)
