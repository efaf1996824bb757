"""What every architecture is: a map from a graph to node features of a stated representation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph, PlainGraph, check_positions, connect, plain
from intertwine.groups import Representation
from intertwine.nn.card import ModelCard
from intertwine.nn.checks import check_edge_inputs, check_node_inputs, check_vector_inputs
from intertwine.nn.cutoff import positive
from intertwine.nn.embedding import AnyDistance, EdgeEmbedding, NodeEmbedding
from intertwine.nn.inputs import Inputs, VectorInputs, Written, complete
from intertwine.nn.radial_spline import FEWEST, KNOTS_A_FUNCTION
from intertwine.nn.scalar_vector import VectorEmbedding
from intertwine.nn.shapes import Lists
from intertwine.numerics import GeometryError, InputError, safe
from intertwine.numerics.devices import Placed
from intertwine.numerics.signature import Configured


class Backbone(Configured, Placed, nn.Module, ABC):
    r"""Base of the models: says what it is, checks what it gets, builds edges where there are none.

    A subclass sets ``CARD`` and ``irreps_out`` and defines ``features(graph)``. Besides arguments of its own it takes
    the inputs that all models share (:mod:`intertwine.nn.inputs`):
    ``__init__(self, width: int = 64, cutoff: float = 5.0, **inputs: Unpack[RadialInputs])``. ``embed_nodes``,
    ``embed_edges`` and ``embed_vectors`` make of them what layers start with.

    Args:
        cutoff: radius of interaction r_c in A; None, in models that can do without, connects all pairs.
        inputs: the keywords that the constructor got.

    Attributes:
        CARD: what the architecture is, with its default arguments; :attr:`card` is what this model is.
        DEFAULTS: inputs that it has defaults of its own for.
        trials: what a certificate tries it on: "molecules", or "images", "voxels", "clouds" or "signals" of a model
            that takes nothing else.
        PRESETS: name -> constructor arguments and their source: "small", fast on a processor, and "paper", the numbers
            of a table or file that the preset names (:class:`~intertwine.nn.Preset`).
        LISTS: the lists that :meth:`lists` makes, and the axes of each whose lengths depend on the data.
        EDGES: whether it looks at edges; where not, none are built for it (784 pixels have 613,872 pairs).
        level: what the rows of its features are of: "node", or "graph" of a model that has pooled.
        cutoff: r_c, or None.
        arguments: all inputs, as given or by default.
        node_inputs, edge_inputs, vector_inputs: number of columns of each, by name.
        irreps_out: representation of the node features, an :class:`~intertwine.o3.Irreps` in three dimensions.
    """

    CARD: ClassVar[ModelCard]
    DEFAULTS: ClassVar[Inputs] = Inputs()
    trials: ClassVar[str] = "molecules"
    PRESETS: ClassVar[Mapping[str, dict[str, Any]]] = {}
    __signature__: ClassVar[Any] = Written()
    LISTS: ClassVar[dict[str, tuple[int, ...]]] = {}
    EDGES: ClassVar[bool] = True
    level: ClassVar[str] = "node"

    cutoff: float | None
    arguments: VectorInputs
    irreps_out: Representation

    def __init__(self, cutoff: float | None = None, inputs: Inputs | None = None) -> None:
        super().__init__()
        if inputs is not None:  # else of one's own, with other arguments
            self.cutoff, self.arguments = cutoff, complete(type(self), inputs)
            self.node_inputs = check_node_inputs(self.arguments["node_inputs"])
            self.edge_inputs = check_edge_inputs(self.arguments["edge_inputs"])
            self.vector_inputs = check_vector_inputs(self.arguments.get("vector_inputs", ()))

    def embed_nodes(self, width: int) -> NodeEmbedding:
        """The first scalars of the nodes, from species and ``node_inputs``."""
        return NodeEmbedding(width, self.arguments["species"], self.node_inputs)

    def embed_edges(self, knots: int = 0) -> EdgeEmbedding:
        """Radial functions, ``edge_inputs`` and envelope; an :class:`InputError` unless the cutoff is a length.

        Args:
            knots: distances that radial networks are asked at, raised to 8 for each radial function (16 for its
                shortest wave); 0 asks them at every edge.
        """
        size, radial, function = (
            self.arguments["radial_size"],
            self.arguments["radial"],
            self.arguments["cutoff_function"],
        )
        knots = max(knots, KNOTS_A_FUNCTION * size) if isinstance(knots, int) and knots >= FEWEST else knots
        return EdgeEmbedding(positive(self.cutoff), size, radial, function, self.edge_inputs, knots)

    def embed_pairs(self, scale: float) -> AnyDistance:
        """Functions of any distance, with a typical ``scale``, and ``edge_inputs``: for models without a cutoff."""
        return AnyDistance(self.arguments["radial_size"], scale, self.edge_inputs)

    def embed_vectors(self, channels: int) -> VectorEmbedding | None:
        """The first vectors of the nodes, from ``vector_inputs``; None if there are none."""
        return VectorEmbedding(channels, self.vector_inputs) if self.vector_inputs else None

    def rows(self, n: int = 3) -> dict[str, tuple[int, ...]]:
        """The fields of the nodes that the inputs are made of, and the shape of one node's row in ``n`` dimensions."""
        if not hasattr(self, "arguments"):
            return {}
        made: dict[str, tuple[str, tuple[int, ...]]] = {
            "speed": ("vel", (n,)),
            "charge": ("charge", ()),
            "charge_product": ("charge", ()),
        }
        rows = dict(
            made[name] if columns == 1 and name in made else (name, (columns,))
            for name, columns in self.node_inputs.items()
        )
        rows |= dict(made[name] for name in self.edge_inputs if name in made)
        return rows | {name: (n,) if columns == 1 else (columns, n) for name, columns in self.vector_inputs.items()}

    @property
    def card(self) -> ModelCard:
        """What this model is; differs from ``CARD`` where its arguments make it something else."""
        return self.CARD

    @abstractmethod
    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        """Node features of ``irreps_out``; the graph has edges, and its fields the model's precision
        (``graph.in_precision``).

        Positions keep their own, so models never read them: they look at ``edge_vectors(graph)``, ``centred(graph)``
        and ``field``.
        """

    def lists(self, graph: Graph) -> Lists:
        """What the model goes along besides the edges, such as triplets: lists whose lengths depend on the data."""
        return {}

    def listed(self, graph: Graph) -> Lists:
        """The lists that the graph brings along, or lists made here."""
        return {name: graph[name] for name in self.LISTS if name in graph} or self.lists(graph)

    def connected(self, graph: Graph) -> PlainGraph:
        """The graph with all that a compiled or exported model can't make, because its size depends on the data: edges
        and lists.
        """
        graph = plain(graph if graph.get("edge_index") is not None or not self.EDGES else connect(graph, self.cutoff))
        return graph.replaced(**self.listed(graph))

    def penalty(self, graph: Graph) -> Float[Tensor, ""] | None:
        """What a batch adds to the loss in training, one number without unit; None for nothing."""
        return None

    def forward(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        """Node features (nodes, irreps_out.dim), in ``mul_ir`` order.

        Args:
            graph: one graph or a batch, of any precision: the features have the weights', the differences of positions
                are taken in that of the positions. Without ``edge_index`` the edges are built here, at the model's
                cutoff.

        Raises:
            GeometryError: positions that are not finite, or on another device than the model.
        """
        return self.features(self.ready(graph))

    def ready(self, graph: Graph) -> Graph:
        """The graph as :meth:`features` takes it: checked, with edges, in the precision of the weights. Arguments and
        errors are those of :meth:`forward`."""
        if not isinstance(graph, Graph):
            remedy = "make one: intertwine.Graph(pos, z=...), or Graph.from_dict(data.to_dict()) of a PyG Data."
            raise InputError(f"{type(graph).__name__} is no Graph", where=type(self).__name__, remedy=remedy)
        if torch.compiler.is_compiling():
            graph = plain(graph)
        if graph.dimension == 0 and self.card.geometry != "none":
            raise GeometryError(
                "the graph has no positions",
                where="pos",
                remedy="give some, or use MPNN without a cutoff, which needs none.",
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
        if self.EDGES and graph.get("edge_index") is None:
            graph = connect(graph, self.cutoff)
        return graph.in_precision(parameter.dtype)
