r"""Weighted frames: an average with them has no jumps, and continuous second derivatives, at every structure whose
points are not all in one place.

For rotations of point clouds no efficiently computable frame with *equal* weights leaves continuous functions
continuous (Dym et al.): where eigenvalues meet, or where a molecule is symmetric, one choice becomes another. Frames of
all pairs of points do, with *weights* that vanish where the axes of a pair are undefined. With :math:`x_i` from the
centre, and :math:`u_i = \|x_i\|^2`,

.. math::
    p_i \propto h(u_i / U), \qquad q_{j|i} \propto h(v_{ij} / V_i), \qquad v_{ij} = \|x_j - (x_j \cdot e_i)\, e_i\|^2,
    \qquad e_i = x_i / \|x_i\| \\
    U = \sum_i u_i^{9} \Big/ \sum_i u_i^{8}, \qquad h(t) = \max(0,\, t - t_0)^3, \qquad w_{ij} = p_i\, q_{j|i}

p adds up to 1 over i, and q over j for each i; V_i is made of :math:`v_{ij}` as U of u. U is smooth and at most the
largest u, so the farthest point always counts; those with :math:`u_i \le t_0 U` have weight zero and cost nothing. The
frame of (i, j) has the axes of :mod:`~intertwine.geometry.frames.pairs`.

*Smoothness.* h is C^2, u and v are polynomials of the points and of :math:`e_i`, and where :math:`p_i > 0` and
:math:`q_{j|i} > 0` the axes are smooth. So the average of a smooth network is C^2 wherever :math:`U > 0` and all
:math:`V_i > 0`: at planar molecules, spherical tops, atoms at the centre, atoms that coincide or change their order.

*Linear chains.* There :math:`b_j = x_j - (x_j \cdot e_i) e_i` vanish for all j, so that V is zero, and q and the second
axis are functions of degree 0 in b, without a limit. Near them each frame is replaced by K of equal weight, at turns by
:math:`2\pi k / K` about the first axis. In these the points are :math:`\alpha_m e_1 + B_m` with
:math:`\|B_m\| = \|b_m\|`, and the network's value is a Taylor series in B, whose term of degree n has the frequencies
0, ..., n in the angle of the second axis. The mean over K turns annuls all but multiples of K. So terms of degree less
than K do not depend on the second axis: they are polynomials in b, and what depends on it is
:math:`O(\|b\|^K)` times C^2 functions of degree 0, which is C^{K-1}. With K = 3 energies are C^2, also through linear
chains. (Outputs of degree l that turn with the frame have l frequencies more, and are C^{K-1-l}.) The turns have weight
:math:`s/K`, and the first frame :math:`1 - s` more, where s is a C^2 function of :math:`V_i / U` that is 1 below
0.1^2 and 0 above 0.3^2: other molecules have no turns.

Where all :math:`\|b_m\|^2 \le \epsilon^{2/3} U` (eps the rounding unit) the second axis is arbitrary. By the above
that changes energies by eps and forces by :math:`\epsilon^{2/3}` at most, as much as rounding does just above it, where
derivatives of the second axis are :math:`\epsilon^{-1/3}`; at an exact chain it changes nothing.

*What is left.* Where all points are in the centre (one atom, say) the frame is the twelve rotations of a tetrahedron
(in the plane, of a triangle), with equal weights and derivatives zero: vectors and other outputs of degree 1 and 2
average to zero, as they must. On the way to it (all atoms of a molecule come to one place) an average is continuous,
and its derivatives are not.

In the plane only p is needed. For O(d) and E(d) each frame comes with its mirror image.

Weighted frames, and what they need at symmetric points, are of Dym, Lawrence, Siegel 2024 (arXiv:2402.16077), who make
them of d - 1 points. These weights, of compact support, normalised for each first axis and of class C^2, and the turns
are ours.
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.geometry.frames import pairs
from intertwine.geometry.frames.bent import bent_frames
from intertwine.geometry.frames.frame import Frames
from intertwine.geometry.frames.space import Space, places
from intertwine.groups import Group
from intertwine.numerics import InputError

POWER = 8
#: V/U, squared ratios of lengths, between which turns fade out.
LINEAR, BENT = 0.1**2, 0.3**2


def weighted(
    points: Float[Tensor, "rows d"],
    owner: Int[Tensor, " rows"],
    graphs: int,
    size: int | None = None,
    *,
    group: str | Group = "E(3)",
    weights: Float[Tensor, " rows"] | None = None,
    width: float = 0.2,
    turns: int = 3,
    detached: bool = False,
) -> Frames:
    r"""Frames of pairs of points with weights that are C^2; the equations are those of this module.

    Args:
        points: positions, or any vectors (their centre is 0 for O(d) and SO(d)), in any unit.
        owner: graph of each.
        graphs: how many.
        size: as of :func:`~intertwine.geometry.frames.pca`.
        group: O(d), SO(d), E(d) or SE(d), with d = 2 or 3; the group, or its name.
        weights: positive weights of the points in the centre (masses, say); all 1 if None.
        width: :math:`1 - t_0`, in (0, 1]: points whose squared distance is less than :math:`t_0` of the largest do not
            count. A small one makes few frames, and large forces where points exchange their parts.
        turns: K, at least 1, about the first axis at linear chains; energies are C^2 there from 3 on.
        detached: take axes, centre and weights for constants. Then **forces through the average are not the gradient of
            its energy**.

    Raises:
        InputError: the group has another dimension or no such frames; a weight, ``width`` or ``turns`` is out of range.
        GeometryError: a point is not finite.
    """
    space = Space.of(group, points.shape[1])
    if not 0 < width <= 1:
        raise InputError(f"a width of {width:g}", where="width", remedy="give a number above 0, at most 1.")
    if turns < 1:
        raise InputError(f"{turns} turns", where="turns", remedy="give 3, or another number from 1 on.")
    cloud = space.cloud(points, owner, graphs, size, weights)
    x, formulas = cloud.dense(), functools.partial(of_pairs, space=space, width=width, turns=turns)
    made = bent_frames(x, formulas, space.special, 1 - width, BENT) if space.d == 3 else None
    rotation, weight = formulas(x) if made is None else made
    frames = Frames(rotation, cloud.centre, weight)
    return frames.detach() if detached else frames


def of_pairs(
    x: Float[Tensor, "graphs points d"],
    space: Space,
    width: float,
    turns: int,
    known: tuple[Int[Tensor, " rows"], Int[Tensor, " pairs"]] | None = None,
) -> tuple[Float[Tensor, "graphs frames d d"], Float[Tensor, "graphs frames"]]:
    """Matrices and weights by plain formulas.

    Args:
        x: points from the centre of each graph side by side, and zeros where there are fewer.
        space: the group.
        width, turns: as of :func:`weighted`.
        known: the pairs that count, if they are known already, of graphs that need no turns: the first points, among
            those of all graphs, and the second ones, among the points of all graphs of the first ones.
    """
    first_known, second_known = (None, None) if known is None else known
    graphs, hands = x.shape[0], (space.special, not space.special)
    if not x.numel():
        none = torch.zeros(0, dtype=torch.int64, device=x.device)
        return pairs.padded(x.new_zeros(0, space.d, space.d), x.new_zeros(0), none, graphs, *hands)
    u = (x * x).sum(2)
    largest = smooth_largest(u)
    shared = shares(u, largest, width).flatten()
    at = (shared > 0).nonzero().squeeze(1) if first_known is None else first_known
    graph, p, x_i = at // x.shape[1], shared.index_select(0, at), x.flatten(0, 1).index_select(0, at)
    first = x_i / torch.linalg.vector_norm(x_i, dim=1, keepdim=True)
    if space.d == 2:
        return pairs.padded(pairs.planar(first), p, graph, graphs, *hands)
    own = torch.arange(x.shape[1], device=x.device) == (at % x.shape[1]).unsqueeze(1)
    largest = largest.index_select(0, graph)
    rotation, q, row, bend = _second(x.index_select(0, graph), own, first, largest, width, second_known)
    weight = p.index_select(0, row) * q
    if known is None and bool((bend < BENT).any()):
        s = smooth_step((bend - LINEAR) / (BENT - LINEAR)).index_select(0, row)
        rotation, weight, row = _turned(rotation, weight, row, s, turns)
    return pairs.padded(rotation, weight, graph.index_select(0, row), graphs, *hands)


def smooth_largest(u: Float[Tensor, "rows points"]) -> Float[Tensor, "rows 1"]:
    r""":math:`\sum_i u_i^{9} / \sum_i u_i^{8}` of non-negative numbers, at most the largest; 0 if all are 0."""
    scale = u.detach().amax(1, keepdim=True).clamp(min=torch.finfo(u.dtype).tiny)
    t = u / scale
    high = t**POWER
    total = high.sum(1, keepdim=True).clamp(min=1)  # at least 1, unless all are 0
    return scale * (high * t).sum(1, keepdim=True) / total


def shares(
    u: Float[Tensor, "rows points"], largest: Float[Tensor, "rows 1"], width: float
) -> Float[Tensor, "rows points"]:
    r""":math:`h(u_i / U) / \sum_k h(u_k / U)`; zeros where all are zero."""
    tiny = torch.finfo(u.dtype).tiny
    h = (u / largest.clamp(min=tiny) - (1 - width)).clamp(min=0) ** 3
    return h / h.sum(1, keepdim=True).clamp(min=tiny)


def smooth_step(t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1 for t <= 0 and 0 for t >= 1, and C^2."""
    t = t.clamp(0, 1)
    return 1 - t**3 * (10 - 15 * t + 6 * t * t)


def _second(
    x: Float[Tensor, "rows points 3"],
    own: Bool[Tensor, "rows points"],
    first: Float[Tensor, "rows 3"],
    largest: Float[Tensor, "rows 1"],
    width: float,
    known: Int[Tensor, " frames"] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Axes (frames, 3, 3), q (frames,), the row of each, and V/U of each row; ``own``: the point of the first axis."""
    b = pairs.across(x, first)
    v = (b * b).sum(2).masked_fill(own, 0.0)
    straight = v.detach().amax(1, keepdim=True) <= torch.finfo(v.dtype).eps ** (2 / 3) * largest.detach()
    widest = smooth_largest(v)
    q, bend = shares(v, widest, width), widest / largest
    if bool(straight.any()):  # there is no second axis: the first point stands for one
        only = torch.arange(x.shape[1], device=x.device) == 0
        q, bend = torch.where(straight, only.to(q), q), torch.where(straight, 0.0, bend)
        b = torch.where(straight.unsqueeze(2), pairs.arbitrary(first).unsqueeze(1), b)
    at = (q.flatten() > 0).nonzero().squeeze(1) if known is None else known
    row = at // x.shape[1]
    rotation = pairs.spatial(first.index_select(0, row), b.flatten(0, 1).index_select(0, at))
    return rotation, q.flatten().index_select(0, at), row, bend.squeeze(1)


def _turned(
    rotation: Float[Tensor, "frames 3 3"],
    weight: Float[Tensor, " frames"],
    row: Int[Tensor, " frames"],
    s: Float[Tensor, " frames"],
    count: int,
) -> tuple[Float[Tensor, "copies 3 3"], Float[Tensor, " copies"], Int[Tensor, " copies"]]:
    """Axes, weights and rows of the frames, and of their turns where s is above 0."""
    copies = torch.where(s > 0, count, 1)
    source = torch.repeat_interleave(torch.arange(len(copies), device=copies.device), copies)
    k = places(source, copies)
    part = s.index_select(0, source) / count
    part = torch.where(k == 0, part + 1 - s.index_select(0, source), part)
    about = pairs.turns(count, rotation).index_select(0, k)
    return rotation.index_select(0, source) @ about, weight.index_select(0, source) * part, row.index_select(0, source)
