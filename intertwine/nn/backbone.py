"""What every architecture is: a map from a graph to node features of a stated representation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph, PlainGraph, check_positions, connect, plain
from intertwine.groups import Representation
from intertwine.nn.card import ModelCard
from intertwine.numerics import GeometryError, InputError, safe


class Backbone(nn.Module, ABC):
    r"""Base of the models: says what it is, checks what it gets, builds edges where there are none.

    A subclass sets ``CARD``, ``cutoff`` and ``irreps_out`` and defines ``features(graph)``.

    Attributes:
        CARD: what the architecture is, with its default arguments; :attr:`card` is what this model is.
        PRESETS: name -> constructor arguments: "small", fast on a processor, and "paper", the sizes of the source.
        LISTS: the lists that :meth:`lists` makes, and the axes of each whose lengths depend on the data.
        cutoff: radius of interaction in A; None connects all pairs.
        irreps_out: representation of the node features, an :class:`~intertwine.o3.Irreps` in three dimensions.
    """

    CARD: ClassVar[ModelCard]
    PRESETS: ClassVar[dict[str, dict[str, object]]] = {}

    LISTS: ClassVar[dict[str, tuple[int, ...]]] = {}

    cutoff: float | None
    irreps_out: Representation

    @property
    def card(self) -> ModelCard:
        """What this model is; differs from ``CARD`` where its arguments make it something else."""
        return self.CARD

    @abstractmethod
    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        """Node features of ``irreps_out``; the graph has edges, and its fields the model's precision (``graph.in_precision``).

        Positions keep their own, so models never read them: they look at ``edge_vectors(graph)``, ``centred(graph)`` and ``field``.
        """

    def lists(self, graph: Graph) -> dict[str, Tensor]:
        """What the model goes along besides the edges, such as triplets: lists whose lengths depend on the data."""
        return {}

    def listed(self, graph: Graph) -> dict[str, Tensor]:
        """The lists that the graph brings along, or lists made here."""
        return {name: graph[name] for name in self.LISTS if name in graph} or self.lists(graph)

    def connected(self, graph: Graph) -> PlainGraph:
        """The graph with all that a compiled or exported model can't make, because its size depends on the data: edges and lists."""
        graph = plain(graph if graph.get("edge_index") is not None else connect(graph, self.cutoff))
        return graph.replaced(**self.listed(graph))

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
        if torch.compiler.is_compiling():
            graph = plain(graph)
        if graph.dimension == 0 and self.card.geometry != "none":
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
