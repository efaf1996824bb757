"""The symmetry of a structure: the rotations and reflections about its centre that map it to itself, and their name.

An isometry that maps the set of (species, position) to itself maps a pair of points (i, j), not on a line with the
centre, to another pair of the same species and lengths, and two such pairs fix a rotation and a reflection. So all
elements of the group are among few candidates. Each is fitted to the points that it exchanges (Kabsch, Acta Cryst. A32,
922 (1976)) and kept if no point is farther than the tolerance from its image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.geometry.frames import pairs, schoenflies
from intertwine.geometry.frames.space import centre_of
from intertwine.geometry.graph import Graph
from intertwine.numerics import GeometryError, InputError

#: Distances that are held at once.
CHUNK = 4_000_000
#: How often a tolerance is halved until the elements within it are a group.
HALVINGS = 20


@dataclass(frozen=True)
class PointGroup:
    """The stabiliser of a structure in O(d), about its centre.

    Args:
        name: Schoenflies's symbol: "C_1", "C_s", "C_i", "C_2v", "D_6h", "S_4", "T_d", "O_h", "I_h", "C_infv", "D_infh",
            "K_h" (all points in the centre). In the plane "C_n" or, with reflections, "D_n"; "O(2)".
        elements: orthogonal matrices (order, d, d), the identity first, in float64. Of an infinite group only the
            identity, and the inversion if it is in it.
        images: the point that each element takes a point to (order, nodes).
        tolerance: how far at most a point is from the image that takes its place, in the unit of the positions.
        finite: False for points on a line, and in one place.
    """

    name: str
    elements: Float[Tensor, "order d d"]
    images: Int[Tensor, "order nodes"]
    tolerance: float
    finite: bool = True

    @property
    def order(self) -> int | None:
        """The number of elements; None if there are infinitely many."""
        return len(self.elements) if self.finite else None

    @property
    def rotations(self) -> int | None:
        """How many elements have determinant 1: the order of the stabiliser in SO(d); None for an infinite group."""
        return int((torch.linalg.det(self.elements) > 0).sum()) if self.finite else None


def point_group(graph: Graph, tolerance: float = 0.01) -> PointGroup:
    """The point group of one graph, by species (if it has any) and positions.

    Elements within a tolerance need not be a group (a tetrahedron that is distorted by about as much). Then the
    tolerance is halved until they are; the result says which it was.

    Args:
        graph: one graph in two or three dimensions, not periodic.
        tolerance: in the unit of the positions, A for atoms.

    Raises:
        GeometryError: it is a batch, periodic, empty, or has another dimension.
        InputError: the tolerance is not positive.

    >>> point_group(Graph([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]], z=[8, 1, 1])).name
    'C_2v'
    """
    if not tolerance > 0:
        raise InputError(f"a tolerance of {tolerance:g}", where="tolerance", remedy="give a positive length.")
    if graph.graphs != 1 or not graph.num_nodes or graph.dimension not in (2, 3) or graph.periodic:
        what = f"{graph.graphs} graphs of {graph.num_nodes} nodes in {graph.dimension} dimensions"
        what = "a periodic graph" if graph.periodic else what
        remedy = "give one graph of some nodes, in two or three dimensions and without a cell."
        raise GeometryError(what, where="point_group", remedy=remedy)
    x = graph.pos.detach().to(torch.float64).cpu()
    x = x - centre_of(x, torch.zeros(len(x), dtype=torch.int64), 1)
    z = torch.zeros(len(x), dtype=torch.int64) if graph.get("z") is None else graph.z.cpu()
    special = _infinite(x, z, tolerance)
    if special is not None:
        return special
    for _ in range(HALVINGS):
        elements, images = _elements(x, z, tolerance)
        if schoenflies.closed(elements):
            break
        tolerance /= 2
    return PointGroup(schoenflies.name(elements), elements, images, tolerance)


def _infinite(x: Float[Tensor, "nodes d"], z: Int[Tensor, " nodes"], tolerance: float) -> PointGroup | None:
    """The group of points in one place or on a line; None for others."""
    radius = x.norm(dim=1)
    d = x.shape[1]
    if float(radius.max()) > tolerance:
        first = x[radius.argmax()] / radius.max()
        if d == 2 or float(pairs.across(x[None], first[None]).norm(dim=2).max()) > tolerance:
            return None
    identity = torch.eye(d, dtype=torch.float64)
    elements, images = _kept(torch.stack([identity, -identity]), x, z, tolerance)
    if float(radius.max()) <= tolerance:
        return PointGroup("K_h" if d == 3 else "O(2)", elements, images, tolerance, finite=False)
    return PointGroup("D_infh" if len(elements) == 2 else "C_infv", elements, images, tolerance, finite=False)


def _elements(
    x: Float[Tensor, "nodes d"], z: Int[Tensor, " nodes"], tolerance: float
) -> tuple[Float[Tensor, "order d d"], Int[Tensor, "order nodes"]]:
    """All isometries about the origin that exchange points within the tolerance, and what they exchange."""
    d, radius = x.shape[1], x.norm(dim=1)
    alike = (z[:, None] == z) & ((radius[:, None] - radius).abs() <= 2 * tolerance)
    i = _rarest(radius >= 0.5 * radius.max(), alike)
    mirror = torch.eye(d, dtype=torch.float64)
    mirror[-1, -1] = -1
    if d == 2:
        to = pairs.planar(x[alike[i]] / radius[alike[i]].unsqueeze(1))
        basis = pairs.planar(x[i : i + 1] / radius[i])[0]
    else:
        away = pairs.across(x[None], x[i : i + 1] / radius[i])[0].norm(dim=1)
        j = _rarest(away >= 0.5 * away.max(), alike)
        apart = torch.cdist(x, x)
        first, second = (alike[i][:, None] & alike[j] & ((apart - apart[i, j]).abs() <= 4 * tolerance)).nonzero().T
        basis, to = _basis(x[i : i + 1], x[j : j + 1])[0], _basis(x[first], x[second])
    candidates = torch.cat([to @ basis.T, to @ mirror @ basis.T])
    return _kept(candidates, x, z, tolerance)


def _basis(a: Float[Tensor, "rows 3"], b: Float[Tensor, "rows 3"]) -> Float[Tensor, "rows 3 3"]:
    """Axes of pairs of points."""
    first = torch.nn.functional.normalize(a, dim=1)
    return pairs.spatial(first, pairs.across(b.unsqueeze(1), first).squeeze(1))


def _rarest(suitable: Bool[Tensor, " nodes"], alike: Bool[Tensor, "nodes nodes"]) -> int:
    """The suitable point of which there are fewest like it."""
    return int(torch.where(suitable, alike.sum(1), len(alike) + 1).argmin())


def _kept(
    candidates: Float[Tensor, "maps d d"], x: Float[Tensor, "nodes d"], z: Int[Tensor, " nodes"], tolerance: float
) -> tuple[Float[Tensor, "order d d"], Int[Tensor, "order nodes"]]:
    """Those candidates that map the points to themselves, fitted to them, and the image of each point; the identity
    first."""
    other = torch.where(z[:, None] == z, 0.0, torch.inf)
    elements, images, errors = [], [], []
    for some in candidates.split(max(1, CHUNK // len(x) ** 2)):
        apart = torch.cdist(x @ some.mT, x.expand(len(some), -1, -1)) + other
        # a candidate is of two points only, each off by the tolerance: far from them it may be off by several
        near = (apart.amin(2).amax(1) <= 8 * tolerance) & (apart.amin(1).amax(1) <= 8 * tolerance)
        some, image = some[near], apart[near].argmin(2)
        fitted = _fitted(some, x, image)
        off = (x @ fitted.mT - x[image]).norm(dim=2).amax(1)
        covered = image.sort(dim=1).values.eq(torch.arange(len(x))).all(1) | _coincide(image, x, tolerance)
        good = (off <= tolerance) & covered
        elements.append(fitted[good])
        images.append(image[good])
        errors.append(off[good])
    best = torch.cat(errors).argsort(stable=True)
    maps, exchanged = torch.cat(elements)[best], torch.cat(images)[best]
    first = schoenflies.firsts(maps)  # points that nearly coincide have been exchanged or not: that is one element
    maps, exchanged = maps[first], exchanged[first]
    order = (maps - torch.eye(x.shape[1], dtype=torch.float64)).square().sum((1, 2)).argsort(stable=True)
    return maps[order], exchanged[order]


def _coincide(image: Int[Tensor, "maps nodes"], x: Float[Tensor, "nodes d"], tolerance: float) -> Bool[Tensor, " maps"]:
    """Whether every point that is nobody's image lies where one is that is."""
    is_image = torch.zeros_like(image, dtype=torch.bool).scatter(1, image, True)
    beside = torch.cdist(x, x) <= tolerance
    return (is_image | (is_image.to(x) @ beside.to(x) > 0)).all(1)


def _fitted(
    maps: Float[Tensor, "maps d d"], x: Float[Tensor, "nodes d"], image: Int[Tensor, "maps nodes"]
) -> Float[Tensor, "maps d d"]:
    """The orthogonal matrices, of the determinants of the maps, that take the points nearest to their images."""
    u, _, v = torch.linalg.svd(x[image].mT @ x)
    signs = torch.ones(len(maps), x.shape[1], dtype=x.dtype)
    signs[:, -1] = (torch.linalg.det(maps) * torch.linalg.det(u @ v)).sign()
    return (u * signs.unsqueeze(1)) @ v
