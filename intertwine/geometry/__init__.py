"""Floor 3: geometric graphs."""

from intertwine.geometry.action import act, fields_at, moved, node_fields, permute
from intertwine.geometry.actions import GraphAction
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
    pair_vectors,
    vector_field,
    vector_fields,
)
from intertwine.geometry.batching import collate
from intertwine.geometry.extent import check_positions
from intertwine.geometry.fields import FIELDS, Field
from intertwine.geometry.folding import folded
from intertwine.geometry.frames import FRAMES, Diagnosis, FrameBuilder, Frames, PointGroup, diagnose, point_group
from intertwine.geometry.graph import Graph, check_shapes
from intertwine.geometry.graphs import Graphs
from intertwine.geometry.levels import LEVELS, Level, pair_list, pair_rows
from intertwine.geometry.matching import Match, equivalent, matched
from intertwine.geometry.neighbours import connect, neighbour_list
from intertwine.geometry.plain import PlainGraph, plain
from intertwine.geometry.quadruplets import Quadruplets, meetings, quadruplets, reverse, selected, shorter, within
from intertwine.geometry.raster import Raster, raster, raster_positions, rasters
from intertwine.geometry.resampling import ImageAction, keeps_grid, moved_image, resample, turned_images
from intertwine.geometry.superposition import deviation, superposed
from intertwine.geometry.triplets import arriving, triplets
from intertwine.geometry.turned import is_raster, turned
from intertwine.geometry.voigt import VASP, VOIGT, from_voigt, six, to_voigt

__all__ = [
    "EDGE_INVARIANTS",
    "FIELDS",
    "FRAMES",
    "LEVELS",
    "NODE_INVARIANTS",
    "VASP",
    "VOIGT",
    "Diagnosis",
    "Field",
    "FrameBuilder",
    "Frames",
    "Graph",
    "GraphAction",
    "Graphs",
    "ImageAction",
    "Level",
    "Match",
    "PlainGraph",
    "PointGroup",
    "Quadruplets",
    "Raster",
    "act",
    "arriving",
    "centred",
    "check_positions",
    "check_shapes",
    "collate",
    "connect",
    "deviation",
    "diagnose",
    "directions",
    "distances",
    "edge_invariants",
    "edge_vectors",
    "equivalent",
    "field",
    "fields_at",
    "folded",
    "from_voigt",
    "is_raster",
    "keeps_grid",
    "matched",
    "meetings",
    "moved",
    "moved_image",
    "neighbour_list",
    "node_fields",
    "node_invariants",
    "pair_list",
    "pair_rows",
    "pair_vectors",
    "permute",
    "plain",
    "point_group",
    "quadruplets",
    "raster",
    "raster_positions",
    "rasters",
    "resample",
    "reverse",
    "selected",
    "shorter",
    "six",
    "superposed",
    "to_voigt",
    "triplets",
    "turned",
    "turned_images",
    "vector_field",
    "vector_fields",
    "within",
]
