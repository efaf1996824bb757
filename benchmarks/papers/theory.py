"""What each architecture should be able to tell apart, by its equations: the theory beside the measurements of
expressivity.py.

Of a star (a centre and its neighbours) one layer sees the more, the more of it enters a nonlinear function before the
sum: distances; sums of vectors, by their products; sums of angles at each edge. Of a chain some node has to see both
ends, in a product of theirs.
"""

from __future__ import annotations

from typing import NamedTuple


class Theory(NamedTuple):
    """Layers that it takes at least, None for never (or more than three, in a star).

    Attributes:
        chain: for chains of k = 4.
        body: for the 2-body, 3-body, 4-body and chiral pairs, in this order.
        directions: up to which fold of a polygon its direction is seen: 0 none, 1 by vectors, "l" the largest degree,
            "axes" none by those of the whole graph, and nothing is said where they are undefined, in polygons of three
            and more corners; "even" the largest degree where what the centre has is minus what the corners have in odd
            degrees, so that their sum knows even ones only (and of those a polygon of an odd number of corners has none
            below twice that number), "frame" all.
        why: the reason.
    """

    chain: int | None
    body: tuple[int | None, int | None, int | None, int | None]
    directions: int | str
    why: str


NEVER = (None, None, None, None)
FRAMES = "any function of what a frame sees; where all edges are equally long there is one direction, and no frame"

THEORY = {
    "mpnn": Theory(None, NEVER, 0, "does not look at positions"),
    "schnet": Theory(None, NEVER, 0, "distances along edges, which are the same"),
    "invariant_mpnn": Theory(None, NEVER, 0, "distances along edges, which are the same"),
    "dimenet": Theory(
        None,
        (1, 1, 1, None),
        0,
        "for each edge a nonlinear function of the sum over its angles: many bodies, within a hop",
    ),
    "gemnet": Theory(
        None, (1, 1, 1, None), 0, "as DimeNet; a star has no torsions, those of a straight chain do not exist"
    ),
    "egnn": Theory(3, (2, 2, 2, None), 1, "the first layer sees distances; positions have moved in the second"),
    "scalar_vector": Theory(3, (2, 2, 2, None), 1, "vectors are sums in the first layer, arguments in the second"),
    "painn": Theory(
        3, (1, 2, 2, None), 1, "products of summed vectors at the end of a layer: sums over pairs of neighbours"
    ),
    "gvp": Theory(
        3, (1, 2, 2, None), 1, "norms of summed vectors at the end of a layer: sums over pairs of neighbours"
    ),
    "eqgat": Theory(
        3,
        (1, 2, 2, 3),
        1,
        "norms of summed vectors; cross products, from the second layer, see handedness in the third",
    ),
    "point_conv": Theory(
        1, (1, 1, 1, 1), "frame", "sees the frame of space: it would tell a graph from itself, turned"
    ),
    "faenet": Theory(1, (1, 1, 1, 1), "frame", "sees the frame of space: as PointConv"),
    "frame_transformer": Theory(1, (1, 1, 1, 1), "frame", "sees the frame of space: as PointConv"),
    "pointnet": Theory(1, (1, 1, 1, 1), 0, "sees coordinates from the centroid; no edges, no layers, no vectors"),
    "frame_averaged_gnn": Theory(
        1,
        (1, 1, 1, 1),
        "axes",
        "all pairs, in the principal axes of the graph; those of a polygon of three and more corners are undefined",
    ),
    "lieconv": Theory(1, (1, 1, 1, 1), "frame", "sees the frame of space: as PointConv"),
    "bspline_lieconv": Theory(1, (1, 1, 1, 1), "frame", "sees the frame of space: as PointConv"),
    "regular_group_cnn": Theory(
        2, (1, 1, 1, 1), "frame", "sees directions from the orientations of its grid; lifting, then a layer"
    ),
    "group_mpnn": Theory(
        2, (1, 1, 1, 1), "frame", "sees directions from the orientations of its grid; lifting, then a layer"
    ),
    "ponita": Theory(
        3,
        (1, 1, 1, None),
        "frame",
        "sees angles with the directions of its grid; mirror images in planes of the icosahedron are the same",
    ),
    "tensor_field": Theory(
        4,
        (2, 2, 2, None),
        "l",
        "linear in the neighbours; norms scale vectors, of which the next layer makes scalars",
    ),
    "nequip": Theory(
        5,
        (2, 2, 2, None),
        "l",
        "linear in the neighbours, gated by scalars: one end has to reach the edge at the other",
    ),
    "se3_transformer": Theory(
        3, (2, 2, 2, None), "l", "features start as scalars; products of queries and keys from the second layer"
    ),
    "segnn": Theory(
        3, (1, 1, 1, 2), "l", "nodes know the mean of their harmonics before the first message, which is not linear"
    ),
    "esen": Theory(3, (1, 1, 1, 2), "l", "harmonics are summed before the first message, which is not linear"),
    "cormorant": Theory(
        3, (2, 2, 3, 3), "even", "squares; scalars of a layer are those of the features before it; polygons: as MACE"
    ),
    "mace": Theory(
        3,
        (1, 1, 2, None),
        "even",
        "products of three neighbours; of one, for polygons: odd degrees of centre and corners cancel",
    ),
    "mace, correlation 1": Theory(None, (2, None, None, None), "l", "two bodies; linear"),
    "mace, correlation 2": Theory(None, (1, 2, 2, None), "l", "products of two neighbours"),
    "mace, correlation 4": Theory(
        None, (1, 1, 1, 1), "l", "products of four neighbours; with harmonics to l = 3 pseudoscalars, too"
    ),
    "local_frames": Theory(None, (1, 1, 1, None), 1, FRAMES),
    "invariant_point_attention": Theory(None, (1, 1, 1, None), 1, FRAMES),
}
