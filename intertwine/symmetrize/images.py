r"""Images in frames: a network of images made equivariant under all rotations of the plane, up to interpolation.

The frames of an image are those of its ink, of points at the value of each pixel times its position. Seen from a frame
its pixels are between those of the grid, so that the image is resampled there. Puny, Atzmon, Smith, Misra, Grover,
Ben-Hamu and Lipman, ICLR 2022 (arXiv:2110.03336), section 3.1, for the frames; Jaderberg, Simonyan, Zisserman and
Kavukcuoglu 2015 (arXiv:1506.02025), section 3.3, for the interpolation.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry import Graph, raster_positions
from intertwine.geometry.copies import in_frames
from intertwine.geometry.frames import Frames
from intertwine.nn import Backbone, ModelCard
from intertwine.numerics import InputError
from intertwine.symmetrize.framing import BuiltFrames, Framing


class InkFrames(BuiltFrames):
    """Frames of the rotations of the plane of an image, from its ink: those of points at the value of each pixel times
    its position, about the middle.

    Args:
        rule: "pca" or "weighted", as of :class:`~intertwine.symmetrize.BuiltFrames`.
        draw: as of :class:`~intertwine.symmetrize.Framing`.
        **options: of the rule.

    Raises:
        InputError: an unknown rule or option.
    """

    def __init__(self, rule: str = "pca", draw: str = "never", **options: Any) -> None:
        super().__init__(rule, "SO(2)", draw, **options)

    def frames(self, graph: Graph) -> Frames:
        return super().frames(inked(graph))

    def undefined(self, graph: Graph) -> list[str]:
        return super().undefined(inked(graph))


def inked(graph: Graph) -> Graph:
    """Images with positions times the values of their one channel.

    Raises:
        InputError: a graph without pixel values ``x`` (pixels, 1), or not in the plane.
    """
    x = graph.get("x")
    if x is None or graph.dimension != 2 or x.ndim != 2 or x.shape[1] != 1:
        shape = "no values x" if x is None else f"values x of shape {tuple(x.shape)}"
        what = f"{shape} in {graph.dimension} dimensions"
        raise InputError(what, where="InkFrames", remedy="give images of one channel: x (pixels, 1), pos (pixels, 2).")
    return graph.replaced(pos=graph.pos * x.to(graph.pos))


class ImageInFrames(Backbone):
    r"""A network of images, each seen from its frames: invariant features

    .. math:: f = \sum_k w_k\,\Phi(R_k^\top x).

    Under quarter turns, which take pixels to pixels, it is exact; under other rotations up to interpolation
    (:func:`on_grid`).

    Args:
        network: of square images of one channel, with features of a graph.
        framing: of the rotations of the plane, :class:`InkFrames` or a
            :class:`~intertwine.symmetrize.LearnedFrames` of SO(2).

    Raises:
        InputError: features of nodes, or a framing of another group.
    """

    CARD = ModelCard(message="nonlinear", geometry="vector", body_order=5, symmetry="C_4", paper="arXiv:2110.03336")
    EDGES = False

    def __init__(self, network: Backbone, framing: Framing) -> None:
        super().__init__()
        if network.level != "graph":
            what = f"{type(network).__name__} has features of each {network.level}"
            raise InputError(what, where="ImageInFrames", remedy="use a network with features of whole images.")
        if not framing.special or framing.centred:
            what = f"frames of {framing.name}"
            raise InputError(what, where="ImageInFrames", remedy="use those of SO(2), which turn about the middle.")
        self.network, self.framing = network, framing
        self.level, self.trials = network.level, network.trials  # type: ignore[misc]
        self.irreps_out = network.irreps_out
        self.in_frames = framing.in_frames

    @property
    def card(self) -> ModelCard:
        """Of the network, with the symmetry that holds exactly."""
        symmetry = f"C_4{self.framing.claim.removeprefix(self.framing.name)}"
        return dataclasses.replace(self.network.card, symmetry=symmetry)

    def undefined(self, graph: Graph) -> list[str]:
        """For each image why its frames are not unique, "" where they are."""
        return self.framing.undefined(graph)

    def features(self, graph: Graph) -> Float[Tensor, "graphs features"]:
        frames = self.framing(graph)
        seen = self.network.features(on_grid(in_frames(graph, frames.rotation)))
        return frames.average(seen.unflatten(0, (frames.frames, graph.graphs)).transpose(0, 1))


def on_grid(graph: Graph) -> Graph:
    r"""Square images whose pixels were turned about the middle, resampled on their grid.

    .. math:: y_p = \frac{\sum_q v_{pq}\, x_q}{\max(\sum_q v_{pq},\, 1/2)}, \qquad
        v_{pq} = \prod_a \max(0,\, 1 - |p_a - q_a|)

    with the places p of the grid and q of the turned pixels, in pixels. Pixels without any near them are 0.

    Args:
        graph: a batch of images of n by n pixels with values ``x`` (pixels, channels), in any order.

    Returns:
        The images one behind the other, their pixels in the order of the grid.

    Raises:
        InputError: images that are not square, or of different sizes.
    """
    owner, graphs = graph.membership(), graph.graphs
    n, most = graph.num_nodes // graph.graphs, int(torch.bincount(owner, minlength=graphs).max())
    if n != most or round(n**0.5) ** 2 != n:
        what = f"images of {n} pixels" + ("" if n == most else f" on average, and {most} at most")
        raise InputError(what, where="ImageInFrames", remedy="give square images of one size.")
    order = owner.argsort(stable=True)
    pos, x = graph.pos.index_select(0, order), graph.x.index_select(0, order)
    grid = raster_positions(*[round(n**0.5)] * 2).to(graph.pos)
    near = (1 - (grid[:, None] - pos.unflatten(0, (-1, 1, n))).abs()).clamp(min=0).prod(-1)
    values = near @ x.unflatten(0, (-1, n)).to(near) / near.sum(-1, keepdim=True).clamp(min=0.5)
    rows = torch.arange(graphs, device=pos.device).repeat_interleave(n)
    return graph.replaced(pos=grid.repeat(graphs, 1), x=values.flatten(0, 1).to(x.dtype), batch=rows)
