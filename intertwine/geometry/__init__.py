"""Floor 3: geometric graphs."""

from intertwine.geometry.action import act, node_fields, permute
from intertwine.geometry.attributes import (
    EDGE_INVARIANTS,
    NODE_INVARIANTS,
    centred,
    directions,
    distances,
    edge_invariants,
    edge_vectors,
    field,
    node_invariants,
    vector_field,
)
from intertwine.geometry.batching import collate
from intertwine.geometry.extent import check_positions
from intertwine.geometry.folding import folded
from intertwine.geometry.graph import FIELDS, Field, Graph, check_shapes
from intertwine.geometry.graphs import Graphs
from intertwine.geometry.neighbours import connect, neighbour_list
from intertwine.geometry.plain import PlainGraph, plain
from intertwine.geometry.quadruplets import Quadruplets, meetings, quadruplets, reverse, selected, shorter, within
from intertwine.geometry.triplets import arriving, triplets

__all__ = [
    "EDGE_INVARIANTS",
    "FIELDS",
    "NODE_INVARIANTS",
    "Field",
    "Graph",
    "Graphs",
    "PlainGraph",
    "Quadruplets",
    "act",
    "arriving",
    "centred",
    "check_positions",
    "check_shapes",
    "collate",
    "connect",
    "directions",
    "distances",
    "edge_invariants",
    "edge_vectors",
    "field",
    "folded",
    "meetings",
    "neighbour_list",
    "node_fields",
    "node_invariants",
    "permute",
    "plain",
    "quadruplets",
    "reverse",
    "selected",
    "shorter",
    "triplets",
    "vector_field",
    "within",
]
