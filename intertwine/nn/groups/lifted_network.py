r"""What networks on a grid of orientations share: how a graph is lifted, and what is read out of the last features.

.. math:: f_i(h) = s_i + \sum_j k(R_h^{-1} x_{ij})\, s_j + W R_h^{-1} u_i
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn.backbone import Backbone
from intertwine.nn.card import ModelCard
from intertwine.nn.checks import check_degree, check_sizes, require_space
from intertwine.nn.embedding import Edges
from intertwine.nn.groups.orientations import orientations as grid_of
from intertwine.nn.groups.regular import LiftingConvolution, OrientationReadout
from intertwine.nn.groups.steerable_basis import SteerableBasis
from intertwine.nn.inputs import Inputs
from intertwine.nn.scalar_vector import scalars_and_vectors


class LiftedNetwork(Backbone, ABC):
    """Base of RegularGroupCNN and GroupMPNN: they differ in :meth:`layer`, and in what :meth:`messages` makes of f.

    Args:
        cutoff: r_c (A).
        inputs: of every model.
        width: features F of a node at each orientation.
        layers: their number.
        group: name of the group; None as :func:`~intertwine.nn.groups.orientations.orientations` has it.
        orientations: how many of SO(n).
        sampling: of SO(3).
        vectors: vectors of a node among the outputs.
        lmax: largest degree of the functions of x, and of those on SO(n).
        functions: radial functions.
        separable: whether the lifting's kernel has a weight for each channel, not a matrix of them.
        average_degree: average number of neighbours.
        dimension: n, 2 or 3.

    Raises:
        InputError: a size that is not positive, an unknown group, one of another dimension, SO(n) without a number of
            orientations.
    """

    def __init__(
        self, cutoff: float, inputs: Inputs, *, width: int, layers: int, group: str | None, orientations: int | None,
        sampling: str, vectors: int, lmax: int, functions: int, average_degree: float, dimension: int,
        separable: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers, functions=functions, vectors=1 + vectors)
        check_degree(average_degree)
        self.dimension = dimension
        self.orientations = grid_of(group, dimension, orientations, sampling, lmax)
        self.irreps_out = scalars_and_vectors(width, vectors, dimension)
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        self.vectors = self.embed_vectors(dimension * width)
        self.basis = SteerableBasis(dimension, lmax, functions, self.edges.width)
        self.lifting = LiftingConvolution(width, self.basis, self.orientations, average_degree, separable)
        self.layers = nn.ModuleList(self.layer(width, average_degree) for _ in range(layers))
        self.readout = OrientationReadout(width, vectors, self.orientations)

    @abstractmethod
    def layer(self, width: int, average_degree: float) -> nn.Module:
        """One layer."""

    @abstractmethod
    def messages(
        self, f: Float[Tensor, "nodes h width"], phi: Float[Tensor, "edges size"], edges: Edges, graph: Graph
    ) -> Float[Tensor, "nodes h width"]:
        """What the layers make of the lifted features and the basis of the edges."""

    @property
    def card(self) -> ModelCard:
        name = self.orientations.name
        return replace(self.CARD, symmetry=self.orientations.symmetry, domain=f"T({self.dimension}) x {name}")

    def lifted(self, graph: Graph) -> Float[Tensor, "nodes h width"]:
        """The last features (nodes, orientations, width) of a graph as :meth:`ready` gives it."""
        require_space(graph, self.dimension)
        s, edges = self.embedding(graph), self.edges(graph)
        phi = self.basis(edges)
        f = s.unsqueeze(1) + self.lifting(s, phi, graph.edge_index)
        if self.vectors is not None:
            f = f + self.orientations.into(self.vectors(graph))
        return self.messages(f, phi, edges, graph)

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        return self.readout(self.lifted(graph))
