r"""Images and voxels moved by a group: exactly where pixels come to lie on pixels, by interpolation elsewhere.

The frame is that of :mod:`intertwine.geometry.raster`: pixels are 1 apart, the origin is the centre of the image, x
points along the columns of an image and y against its rows. The value at p of the moved image is that at
:math:`g^{-1} p` of the image. Interpolation is linear, or by cubic B-splines (Unser, Aldroubi and Eden 1991), which go
through the values and have two derivatives.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry.action import moved, node_fields
from intertwine.geometry.fields import FIELDS
from intertwine.geometry.graph import Graph
from intertwine.geometry.raster import raster_positions, rasters
from intertwine.groups import AffineMap, Group, Representation
from intertwine.numerics import InputError, choose

ON_GRID = 1e-6  # pixels: rounding of a lattice-preserving element is far below, a turn that interpolates far above
READ_AT_ONCE = 2**22  # values that are looked up at a time
EDGES = ("zeros", "circular")


@dataclass(frozen=True)
class ImageAction:
    r"""Images (B, C, rows, columns), or voxels (B, C, i, j, k), under a group that moves the plane, or space.

    Exact for elements that take pixels to pixels: right angles and mirrors, shifts by whole pixels. What a shift, or a
    turn of the corners, takes out of the image is lost with ``edges="zeros"``.

    Args:
        group: of matrices, finite with matrices, or affine; of dimension 2 or 3.
        channels: how the values at a pixel transform, (C) = multiples of its dimension; invariants by default.
        order: 1 linear, 3 cubic splines.
        edges: "zeros" outside of the image, or "circular": it repeats.

    Raises:
        InputError: another order or kind of edges, or a group that does not move the plane or space.
    """

    group: Group
    channels: Representation | None = None
    order: int = 3
    edges: str = "zeros"

    def __post_init__(self) -> None:
        if self.group.space not in (2, 3):
            raise InputError(
                f"{self.group} does not move images",
                where="ImageAction",
                remedy="use a group of the plane or of space.",
            )
        if self.order not in (1, 3):
            raise InputError(f"order {self.order}", where="ImageAction", remedy="give 1 (linear) or 3 (cubic).")
        choose(self.edges, dict.fromkeys(EDGES), kind="edges", where="ImageAction")

    def act(self, g: Tensor, x: Float[Tensor, "images channels *sizes"]) -> Float[Tensor, "..."]:
        return moved_image(self._map(g, x), self._mixed(g, x.to(torch.float64)), self.order, self.edges).to(x.dtype)

    def exact(self, g: Tensor, x: Float[Tensor, "images channels *sizes"]) -> bool:
        """Whether g takes pixels to pixels."""
        return keeps_grid(self._map(g, x), x.shape[2:])

    def _map(self, g: Tensor, x: Tensor) -> AffineMap:
        n = self.group.space
        if n is None or x.ndim != n + 2:
            raise InputError(
                f"a tensor of shape {tuple(x.shape)} for {self.group}, which moves {n} dimensions",
                where="ImageAction",
                remedy="give (images, channels, rows, columns), or (images, channels, i, j, k).",
            )
        return AffineMap.of(g.to(torch.float64) if g.is_floating_point() else g, self.group)

    def _mixed(self, g: Tensor, values: Tensor) -> Tensor:
        """The values at each pixel, transformed as the channels are."""
        rep = self.channels
        if rep is None:
            return values
        if values.shape[1] % rep.dim:
            raise InputError(
                f"{values.shape[1]} channels for {rep} of dimension {rep.dim}",
                where="ImageAction",
                remedy="give a multiple of its dimension.",
            )
        element = g if getattr(rep, "group", self.group) == self.group else self.group.linear(g)
        fields = values.unflatten(1, (-1, rep.dim)).movedim(2, -1)
        return rep.transform(element, fields).movedim(-1, 2).flatten(1, 2)

    def __str__(self) -> str:
        return f"images under {self.group}"


def moved_image(
    g: AffineMap, values: Float[Tensor, "images channels *sizes"], order: int = 3, edges: str = "zeros"
) -> Float[Tensor, "..."]:
    """Invariant values moved by a map of space; pixels that come to lie on pixels are copied, bit for bit.

    Args:
        g: the map; the origin is the centre of the image.
        values: (B, C, rows, columns) or (B, C, i, j, k).
        order: 1 linear, 3 cubic splines.
        edges: "zeros" or "circular".
    """
    sizes, places = _sources(g, values.shape[2:])
    places = places.to(values.device)[None]
    whole = places.round()
    if float((places - whole).abs().max()) <= ON_GRID:
        return _gathered(values, whole.to(torch.int64), edges).unflatten(-1, sizes)
    return _between(values, places, order, edges).unflatten(-1, sizes)


def turned_images(
    values: Float[Tensor, "images channels *sizes"], rotation: Float[Tensor, "*images n n"], order: int = 1
) -> Float[Tensor, "images channels *sizes"]:
    """Each image, or voxels, turned about its centre on a grid of the same sizes, with zero outside: :math:`x'(p) =
    x(R^{-1} p)`.

    Right angles of a square are exact to the last bit.

    Args:
        values: of the pixels.
        rotation: R, one for all (n, n) or one each (B, n, n), in the axes of
            :func:`~intertwine.geometry.raster_positions`: of an image x points right and y up.
        order: 1 linear, 3 cubic splines.
    """
    sizes, n = values.shape[2:], values.ndim - 2
    rotation = rotation.to(torch.float64).reshape(-1, n, n)
    points = raster_positions(*sizes)
    result = torch.empty_like(values)
    step = max(1, READ_AT_ONCE // max(1, values[:1].numel()))
    for start in range(0, len(values), step):
        here = slice(start, start + step)
        places = _steps(points @ (rotation[here] if len(rotation) > 1 else rotation), sizes)  # R^{-1} p = p R
        whole = places.round()
        places = torch.where((places - whole).abs() <= ON_GRID, whole, places).to(values.device)
        result[here] = _between(values[here], places, order, "zeros").unflatten(-1, sizes)
    return result


def keeps_grid(g: AffineMap, sizes: Sequence[int]) -> bool:
    """Whether a map takes the pixels of an image of these sizes to pixels."""
    places = _sources(g, sizes)[1]
    return float((places - places.round()).abs().max()) <= ON_GRID


def _sources(g: AffineMap, sizes: Sequence[int]) -> tuple[list[int], Float[Tensor, "pixels n"]]:
    """The sizes of the moved image, and where each of its pixels comes from, in steps from the first pixel."""
    back, n = g.inverse(), len(sizes)
    moved = list(sizes)
    turned = back.linear.round()
    if float((back.linear - turned).abs().max()) <= ON_GRID:  # a right angle exchanges the sizes
        order = turned.abs() if n == 3 else turned.abs().flip(0, 1)
        moved = (order.T @ torch.tensor(moved).to(order)).round().to(torch.int64).tolist()
    return moved, _steps(back(raster_positions(*moved)), sizes)


def _steps(points: Float[Tensor, "*images pixels n"], sizes: Sequence[int]) -> Float[Tensor, "*images pixels n"]:
    """Points from the centre of an image as steps along its axes from the first pixel."""
    steps = torch.stack([-points[..., 1], points[..., 0]], dim=-1) if len(sizes) == 2 else points
    return steps + (torch.tensor(list(sizes), dtype=steps.dtype) - 1) / 2


def _gathered(values: Tensor, places: Int[Tensor, "#images pixels n"], edges: str) -> Tensor:
    """Values (B, C, pixels) at whole places, the same of all images or others of each; outside by the rule for the
    edges.
    """
    flat = torch.zeros_like(places[..., 0])
    inside = torch.ones_like(flat, dtype=torch.bool)
    for axis, size in enumerate(values.shape[2:]):
        along = places[..., axis]
        inside &= (along >= 0) & (along < size)
        flat = flat * size + along.remainder(size)
    listed = values.flatten(2)
    if len(flat) == 1:
        taken = listed[..., flat[0]]
    else:
        taken = torch.gather(listed, 2, flat[:, None].expand(-1, listed.shape[1], -1))
    return taken if edges == "circular" else torch.where(inside[:, None], taken, 0.0)


def _between(values: Tensor, places: Float[Tensor, "#images pixels n"], order: int, edges: str) -> Tensor:
    """Values (B, C, pixels) at any places: the sum over the taps of a spline."""
    if order == 3:
        for axis in range(2, values.ndim):
            inverse = _spline_inverse(values.shape[axis], edges == "circular").to(values)
            values = (values.movedim(axis, -1) @ inverse.T).movedim(-1, axis)
    low = places.floor()
    weights = [weight.to(values) for weight in (_cubic(places - low) if order == 3 else _linear(places - low))]
    first = low.to(torch.int64) - (1 if order == 3 else 0)
    result = values.new_zeros(*values.shape[:2], places.shape[1])
    for taps in itertools.product(range(len(weights)), repeat=places.shape[-1]):
        weight = torch.stack([weights[tap][..., axis] for axis, tap in enumerate(taps)]).prod(0)
        result = result + weight[:, None] * _gathered(values, first + torch.tensor(taps, device=first.device), edges)
    return result


def resample(g: AffineMap | Tensor, graph: Graph, group: Group | None = None, order: int = 3) -> Graph:
    """The moved image of an image's graph on its own grid: its values are interpolated, its nodes stay.

    :func:`~intertwine.geometry.act` moves the nodes instead, which is exact, and takes them off the grid unless g takes
    pixels to pixels. The centre of the image stays where it is.

    Args:
        g: an isometry or another map of space; or one element of ``group``.
        graph: one image or voxels, or a batch, as :func:`~intertwine.geometry.raster` makes them.
        group: the group of an element that is a tensor; of the plane, or of space.
        order: 1 linear, 3 cubic splines.

    Raises:
        InputError: the group does not move the plane or space, an element without its group, or a right angle exchanges
            the sizes of the image: use ``act``.
        GeometryError: the nodes are no grid.
    """
    if isinstance(g, Tensor):
        if group is None:
            raise InputError("an element without its group", where="resample", remedy="give group=, or an Isometry.")
        g = AffineMap.of(g, group)
    result = graph.clone()
    for name, value in node_fields(graph).items():
        if (name in FIELDS and FIELDS[name].affine) or not value.is_floating_point():
            continue
        turned = moved(g, value, graph.representation(name)).flatten(1) if value.ndim > 1 else value[:, None]
        image = rasters(graph, turned.to(torch.float64))
        new = moved_image(g, image.values, order)
        if new.shape != image.values.shape:
            raise InputError(
                f"the moved image has sizes {tuple(new.shape[2:])}, not {tuple(image.values.shape[2:])}",
                where="resample",
                remedy="use act, which moves the nodes.",
            )
        result[name] = image.at_nodes(new).reshape(value.shape).to(value.dtype)
    return result


def _linear(t: Tensor) -> list[Tensor]:
    return [1 - t, t]


def _cubic(t: Tensor) -> list[Tensor]:
    """The four pieces of the cubic B-spline at a place t in (0, 1) after the second tap."""
    u = 1 - t
    return [u**3 / 6, 2 / 3 - t**2 * (2 - t) / 2, 2 / 3 - u**2 * (2 - u) / 2, t**3 / 6]


def _spline_inverse(n: int, circular: bool) -> Float[Tensor, "n n"]:
    """From values to the coefficients of the spline through them, with no coefficients outside, or repeating ones."""
    eye = torch.eye(n, dtype=torch.float64)
    near = eye.roll(1, 0) + eye.roll(-1, 0)
    if not circular:
        near = torch.diag_embed(torch.ones(n - 1, dtype=torch.float64), 1) if n > 1 else torch.zeros_like(eye)
        near = near + near.T
    return torch.linalg.inv(eye * 2 / 3 + near / 6)
