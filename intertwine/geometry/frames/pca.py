r"""Frames of principal axes: the eigenvectors of the covariance, with every choice of signs.

.. math::
    t = \frac{1}{n} \sum_i x_i, \qquad C = \sum_i (x_i - t)(x_i - t)^\top = \sum_k \lambda_k v_k v_k^\top, \qquad
    F(X) = \{ ([\alpha_1 v_1, \ldots, \alpha_d v_d],\, t) : \alpha_k = \pm 1 \}

with :math:`\lambda_1 \le \ldots \le \lambda_d`: 2^d frames for O(d) and E(d), and for SO(d) and SE(d) the half of them
whose determinant is 1.

Eigenvectors turn by :math:`v_i^\top dC\, v_j / (\lambda_j - \lambda_i)`. Derivatives through them are those of the
average, and grow as 1/gap where two eigenvalues approach one another; where they are equal the frame, and the average
of a generic network with it, jumps (:mod:`~intertwine.geometry.frames.diagnosis` measures how far that is).

Puny et al. 2022 (arXiv:2110.03336), section 3.1; as few signs as possible: Lin, Helwig, Gui, Ji 2024
(arXiv:2406.07598).
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.geometry.frames.frame import Frames
from intertwine.geometry.frames.moments import exponents, monomials
from intertwine.geometry.frames.space import Space
from intertwine.groups import Group
from intertwine.numerics import choose, safe, segment
from intertwine.numerics.linalg import eigh

SIGNS = ("all", "minimal")
#: Degrees of the moments that choose signs, in this order.
DEGREES = (3, 5, 2, 4)


def pca(
    points: Float[Tensor, "rows d"],
    owner: Int[Tensor, " rows"],
    graphs: int,
    size: int | None = None,
    *,
    group: str | Group = "E(3)",
    weights: Float[Tensor, " rows"] | None = None,
    signs: str = "all",
    species: Int[Tensor, " rows"] | None = None,
    detached: bool = False,
) -> Frames:
    r"""Principal axes of each graph, in the order of ascending eigenvalues.

    Args:
        points: positions, or any vectors (their centre is 0 for O(d) and SO(d)), in any unit.
        owner: graph of each.
        graphs: how many.
        size: rows of each graph, if all have as many, one graph behind the other; 0 if not, None if it isn't known.
        group: O(d), SO(d), E(d) or SE(d), with d = 2 or 3; the group, or its name.
        weights: positive weights of the points, in centre and covariance (masses, say); all 1 if None.
        signs: "all", or "minimal": those alone that make the moments :math:`\sum_i x_i^a y_i^b z_i^c` positive, one
            after another, of degree 3, 5, 2 and 4 and not all of a, b, c even. What is left is one frame for a graph
            without symmetry, and else as many as there are reflections and half turns about the axes that map it to
            itself, as few as a frame can have (unless all these moments vanish by chance). Where a moment passes
            through zero the frame jumps. A moment is zero if it is below sqrt(eps) times the number of points and that
            power of the largest coordinate.
        species: numbers that the moments also count with, so that atoms of two kinds are told apart.
        detached: take the axes, the centre and the weights for constants. Then **forces through the average are not the
            gradient of its energy**.

    Raises:
        InputError: the group has another dimension or no such frames; a weight is not positive.
        GeometryError: a point is not finite.
    """
    space = Space.of(group, points.shape[1])
    choose(signs, SIGNS, kind="choice of signs", where="signs")
    cloud = space.cloud(points, owner, graphs, size, weights)
    _, axes = eigh(cloud.moments(weights))
    axes = proper(axes) if space.special else axes  # with reflections all signs are tried anyway
    table, part = sign_table(space, axes.detach())
    rotation = axes.unsqueeze(1) * table.unsqueeze(1)
    weight = part.expand(graphs, len(table))
    if signs == "minimal":
        local = torch.einsum("nab,na->nb", axes.index_select(0, owner), cloud.x).detach()
        chosen = fewest_signs(local, owner, graphs, table, species)
        order = chosen.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        order = order[:, : int(chosen.sum(1).max())] if graphs else order
        kept = chosen.gather(1, order)
        rotation = rotation.gather(1, order[:, :, None, None].expand(-1, -1, space.d, space.d))
        rotation = torch.where(kept[:, :, None, None], rotation, torch.eye(space.d, dtype=axes.dtype).to(axes.device))
        weight = kept.to(axes.dtype) / kept.sum(1, keepdim=True)
    frames = Frames(rotation, cloud.centre, weight)
    return frames.detach() if detached else frames


def proper(axes: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch d d"]:
    """The same with the last axis reversed where the determinant is -1."""
    sign = torch.linalg.det(axes.detach()).sign()  # it is 1 or -1, up to rounding
    return torch.cat([axes[..., :-1], axes[..., -1:] * sign[..., None, None]], dim=-1)


_TABLES: dict[tuple[Space, torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}


def sign_table(space: Space, like: Tensor) -> tuple[Float[Tensor, "signs d"], Float[Tensor, ""]]:
    """All choices of signs that keep axes in the group, the identity first, and 1 over their number; in the precision
    of ``like`` and where it lies. Of a group without reflections the axes have determinant 1.
    """
    key = space, like.dtype, like.device
    if key in _TABLES:
        return _TABLES[key]
    signs = itertools.product((1.0, -1.0), repeat=space.d)
    chosen = [row for row in signs if not space.special or math.prod(row) > 0]
    with torch.inference_mode(False):
        made = like.new_tensor(chosen), like.new_tensor(1 / len(chosen))
    if not safe.traced(like):  # what a tracer makes is of no use to others
        _TABLES[key] = made
    return made


def fewest_signs(
    local: Float[Tensor, "rows d"],
    owner: Int[Tensor, " rows"],
    graphs: int,
    table: Float[Tensor, "signs d"],
    species: Int[Tensor, " rows"] | None,
) -> Bool[Tensor, "graphs signs"]:
    """Which choices make odd moments positive, one moment after another.

    A moment either takes one sign for all choices that are left, or halves them: the rest is a coset of the signs under
    which no moment changes.
    """
    chosen = torch.ones(graphs, len(table), dtype=torch.bool, device=local.device)
    powers = exponents(local.shape[1], DEGREES, odd=True).to(local.device)
    radius = local.abs().amax(1) if len(local) else local.new_zeros(0)
    scale = segment.max(radius, owner, graphs).unsqueeze(1) ** powers.sum(1)
    signs = monomials(table, powers)
    terms = monomials(local, powers)
    for count in [local.new_ones(len(local))] + ([] if species is None else [species.to(local)]):
        threshold = torch.finfo(local.dtype).eps ** 0.5 * segment.sum(count, owner, graphs).unsqueeze(1) * scale
        moments = segment.sum(count.unsqueeze(1) * terms, owner, graphs)
        for k in range(len(powers)):
            if bool((chosen.sum(1) <= 1).all()):
                return chosen
            agrees = chosen & (moments[:, k : k + 1] * signs[:, k] > threshold[:, k : k + 1])
            chosen = torch.where(agrees.any(1, keepdim=True), agrees, chosen)
    return chosen
