"""What every architecture is: a map from a graph to node features of a stated representation."""

from __future__ import annotations

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph, check_positions, connect
from intertwine.groups import Representation
from intertwine.numerics import GeometryError, InputError, safe


class Backbone(nn.Module):
    r"""Base of the models: says what it is, checks what it gets, builds edges where there are none.

    A subclass sets the class attributes, ``cutoff`` and ``irreps_out`` and defines ``features(graph)``.

    Attributes:
        message: is the message linear in f_j (a convolution) or not?
        domain: where features live: "R^d" or a group.
        geometry: what a message looks at: "distance", "angle", "torsion", "vector", "spherical tensor", "group element".
        body_order: how many nodes one message correlates.
        symmetry: the group it is equivariant to.
        paper: the source.
        rate: times the learning rate that suits a task, for this architecture.
        PRESETS: name -> constructor arguments: "small", fast on a processor, and "paper", the sizes of the source.
        cutoff: radius of interaction in A; None connects all pairs.
        irreps_out: representation of the node features, an :class:`~intertwine.o3.Irreps` in three dimensions.
    """

    message: ClassVar[Literal["linear", "nonlinear"]]
    domain: ClassVar[str] = "R^d"
    geometry: ClassVar[str]
    body_order: ClassVar[int]
    symmetry: ClassVar[str]
    paper: ClassVar[str]
    rate: ClassVar[float] = 1.0
    PRESETS: ClassVar[dict[str, dict[str, object]]] = {}

    cutoff: float | None
    irreps_out: Representation

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        """Node features of ``irreps_out``; the graph has edges, and its fields the model's precision (``graph.in_precision``).

        Positions keep their own, so models never read them: they look at ``edge_vectors(graph)``, ``centred(graph)`` and ``field``.
        """
        raise TypeError(f"{type(self).__name__} must define features(graph)")

    def forward(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        """Node features (nodes, irreps_out.dim), in ``mul_ir`` order.

        Args:
            graph: one graph or a batch, of any precision: the features have the weights', the differences of positions are taken in
                that of the positions. Without ``edge_index`` the edges are built here, at the model's cutoff.

        Raises:
            GeometryError: positions that are not finite, or on another device than the model.
        """
        if not isinstance(graph, Graph):
            remedy = "make one: intertwine.Graph(pos, z=...), or Graph.from_dict(data.to_dict()) of a PyG Data."
            raise InputError(f"{type(graph).__name__} is no Graph", where=type(self).__name__, remedy=remedy)
        if graph.dimension == 0 and self.geometry != "none":
            raise GeometryError(
                "the graph has no positions", where="pos", remedy="give some, or use MPNN without a cutoff, which needs none."
            )
        parameter = next(self.parameters())
        if graph.pos.device != parameter.device:
            raise GeometryError(
                f"positions are on {graph.pos.device}, the model on {parameter.device}",
                where="pos",
                remedy="call graph.to(device) or model.to(device).",
            )
        if safe.inspectable(graph.pos):
            check_positions(graph.pos)
        if graph.get("edge_index") is None:
            graph = connect(graph, self.cutoff)
        return self.features(graph.in_precision(parameter.dtype))
