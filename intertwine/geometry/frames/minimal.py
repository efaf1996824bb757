r"""Minimal frames: as few elements as the symmetry of a structure has, with equal weights.

Every frame of a graph X contains, with g, all :math:`h g` for h in the stabiliser :math:`\{h : hX = X\}`, so it has at
least as many elements as that. Here the pairs (i, j) are compared whose axes are those of
:mod:`~intertwine.geometry.frames.pairs`, by invariants one after another: :math:`\|x_i\|`, the species of i, the
distance of :math:`x_j` from the first axis, the species of j, its place along that axis, and the moments
:math:`\sum_m x_m^a y_m^b z_m^c` of all points in the frame, of degree 1 to 3, without and with their species. Those
with the largest are the frame. Frames that are equal in all of them are images of one another under the stabiliser,
unless two different ones agree by chance; so there is one frame for a graph without symmetry, and there are 24 for
methane under O(3), which has that many symmetries.

They need no eigenvalues: axes are smooth functions of two points, with no 1/gap in their derivatives. Where another
pair takes the first place, the average jumps.

Points on a line have infinitely many symmetries. There the frame is three turns about that line, from an arbitrary one:
averages of outputs of degree at most 2 are equivariant, since the network sees the line and nothing beside it. Points
in one place have the twelve rotations of a tetrahedron, with the same effect.

Lin, Helwig, Gui, Ji 2024 (arXiv:2406.07598): a frame is minimal if it has as many elements as the stabiliser.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry.frames import pairs
from intertwine.geometry.frames.frame import Frames
from intertwine.geometry.frames.moments import exponents, monomials
from intertwine.geometry.frames.space import Space, dense, places
from intertwine.groups import Group
from intertwine.numerics import segment

#: Degrees of the moments that tell frames apart.
DEGREES = (1, 2, 3)
TURNS = 3


def minimal(
    points: Float[Tensor, "rows d"],
    owner: Int[Tensor, " rows"],
    graphs: int,
    size: int | None = None,
    *,
    group: str | Group = "E(3)",
    weights: Float[Tensor, " rows"] | None = None,
    species: Int[Tensor, " rows"] | None = None,
    tolerance: float | None = None,
    detached: bool = False,
) -> Frames:
    r"""As few frames of pairs of points as the symmetry of each graph allows; the equations are those of this module.

    Args:
        points: positions, or any vectors (their centre is 0 for O(d) and SO(d)), in any unit.
        owner: graph of each.
        graphs: how many.
        size: as of :func:`~intertwine.geometry.frames.pca`.
        group: O(d), SO(d), E(d) or SE(d), with d = 2 or 3; the group, or its name.
        weights: positive weights of the points in the centre (masses, say); all 1 if None.
        species: a number of each point that tells kinds apart; all alike if None.
        tolerance: invariants count as equal within this part of the largest distance from the centre (to their power);
            None for the square root of the rounding unit.
        detached: take axes and centre for constants. Then **forces through the average are not the gradient of its
            energy**.

    Raises:
        InputError: the group has another dimension or no such frames; a weight is not positive.
        GeometryError: a point is not finite.
    """
    space = Space.of(group, points.shape[1])
    tolerance = torch.finfo(points.dtype).eps ** 0.5 if tolerance is None else tolerance
    cloud = space.cloud(points, owner, graphs, size, weights)
    centre, (x, taken, row) = cloud.centre, dense(cloud.x, owner, graphs)
    kinds = torch.zeros_like(row) if species is None else torch.where(taken, species.to(row)[row], 0)
    radius = x.detach().square().sum(2).amax(1).sqrt() if x.shape[1] else x.new_zeros(graphs)
    unit = x.detach() / torch.where(radius > 0, radius, 1.0)[:, None, None]
    graph, i = (taken & (radius > 0).unsqueeze(1)).nonzero(as_tuple=True)
    graph, i = largest([unit[graph, i].norm(dim=1), kinds[graph, i]], graph, graphs, tolerance, graph, i)
    first = torch.nn.functional.normalize(x[graph, i], dim=1)
    if not len(graph):
        none = pairs.padded(x.new_zeros(0, space.d, space.d), x.new_zeros(0), graph, graphs, space.special, False)
        return Frames(none[0], centre, none[1])
    if space.d == 2:
        rotation, straight = pairs.planar(first), torch.zeros_like(graph, dtype=torch.bool)
    else:
        graph, rotation, straight = _spatial(x, unit, kinds, taken, graph, first, tolerance)
    graph, rotation, straight = _fewest(rotation, straight, graph, unit, kinds, space, tolerance)
    copies = torch.where(straight, TURNS, 1)
    source = torch.repeat_interleave(torch.arange(len(graph), device=graph.device), copies)
    rotation, owners = rotation.index_select(0, source), graph.index_select(0, source)
    if space.d == 3:
        k = places(source, copies)
        rotation = rotation @ pairs.turns(TURNS, rotation).index_select(0, k)
    count = segment.count(owners, graphs, x.dtype).index_select(0, owners)
    rotation, weight = pairs.padded(rotation, 1 / count, owners, graphs, space.special, False)
    frames = Frames(rotation, centre, weight)
    return frames.detach() if detached else frames


def largest(
    invariants: list[Tensor], owner: Int[Tensor, " rows"], graphs: int, tolerance: float, *rows: Tensor
) -> tuple[Tensor, ...]:
    """Those rows whose invariants are the largest of their graph, compared one after another, within the tolerance."""
    alive = torch.ones_like(owner, dtype=torch.bool)
    fewest = len(owner.unique())
    for value in invariants:
        if int(alive.sum()) == fewest:
            break
        lowered = torch.where(alive, value.to(torch.float64), -torch.inf)
        most = torch.full((graphs,), -torch.inf, dtype=torch.float64, device=owner.device)
        most = most.scatter_reduce(0, owner, lowered, "amax")
        alive = alive & (lowered >= most.index_select(0, owner) - tolerance)
    return tuple(row[alive] for row in rows)


def _spatial(
    x: Float[Tensor, "graphs points 3"],
    unit: Float[Tensor, "graphs points 3"],
    kinds: Int[Tensor, "graphs points"],
    taken: Tensor,
    graph: Int[Tensor, " rows"],
    first: Float[Tensor, "rows 3"],
    tolerance: float,
) -> tuple[Int[Tensor, " frames"], Float[Tensor, "frames 3 3"], Tensor]:
    """Graph and axes of the pairs whose second point is farthest from the first axis, and whether none is off it."""
    away = pairs.across(unit[graph], first.detach()).norm(dim=2)
    along = (unit[graph] @ first.detach().unsqueeze(2)).squeeze(2)
    straight = away.amax(1) <= torch.finfo(x.dtype).eps ** 0.5
    only = torch.arange(x.shape[1], device=x.device) == 0
    row, j = torch.where(straight.unsqueeze(1), only, taken[graph]).nonzero(as_tuple=True)
    keys = [away[row, j], kinds[graph[row], j], along[row, j]]
    keys = [torch.where(straight[row], 0, key) for key in keys]
    row, j = largest(keys, graph[row], len(x), tolerance, row, j)
    axis = first.index_select(0, row)
    b = pairs.across(x[graph[row], j].unsqueeze(1), axis).squeeze(1)
    side = torch.where(straight[row].unsqueeze(1), pairs.arbitrary(axis), b)
    return graph[row], pairs.spatial(axis, side), straight[row]


def _fewest(
    rotation: Float[Tensor, "frames d d"],
    straight: Tensor,
    graph: Int[Tensor, " frames"],
    unit: Float[Tensor, "graphs points d"],
    kinds: Int[Tensor, "graphs points"],
    space: Space,
    tolerance: float,
) -> tuple[Int[Tensor, " kept"], Float[Tensor, "kept d d"], Tensor]:
    """Of axes, and their mirror images where the group has them, those with the largest moments; sorted by graph."""
    if not space.special:
        rotation = torch.stack([rotation, pairs.mirrored(rotation)], dim=1).flatten(0, 1)
        graph, straight = graph.repeat_interleave(2), straight.repeat_interleave(2)
    terms = monomials(unit[graph] @ rotation.detach(), powers := exponents(space.d, DEGREES).to(graph.device))
    moments: list[Tensor] = []
    for count in (torch.ones_like(terms[..., 0]), kinds[graph].to(terms)):
        means = (count.unsqueeze(2) * terms).sum(1) / count.sum(1, keepdim=True).clamp(min=1)
        # of points on a line the other coordinates are rounding
        means = torch.where(straight.unsqueeze(1) & (powers[:, 1:].sum(1) > 0), 0.0, means)
        moments += means.unbind(1)
    graph, rotation, straight = largest(moments, graph, len(unit), tolerance, graph, rotation, straight)
    return graph, rotation, straight
