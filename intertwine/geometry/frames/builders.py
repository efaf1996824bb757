"""Frames of graphs by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry.attributes import column
from intertwine.geometry.frames.frame import Frames
from intertwine.geometry.frames.minimal import minimal
from intertwine.geometry.frames.pca import pca
from intertwine.geometry.frames.sorting import Orders, sorting
from intertwine.geometry.frames.space import centre_of, counted
from intertwine.geometry.frames.weighted import weighted
from intertwine.geometry.graph import Graph
from intertwine.groups import Group
from intertwine.numerics import GeometryError, InputError


@dataclass(frozen=True)
class FrameBuilder:
    """A way to make frames of graphs.

    Args:
        name: in :data:`FRAMES`.
        groups: what the frames are of, d being 2 or 3.
        continuous: whether an average of a continuous network is continuous at every structure.
        differentiable: whether derivatives go through the frame.
        function: of a graph and options.
    """

    name: str
    groups: tuple[str, ...]
    continuous: bool
    differentiable: bool
    function: Callable[..., Any]

    @property
    def options(self) -> list[str]:
        """Names of the options of :meth:`build`: those of the function that bears its name."""
        return [p.name for p in inspect.signature(self.function).parameters.values() if p.kind == p.KEYWORD_ONLY]

    def build(self, graph: Graph, **options: Any) -> Any:
        """The frames of each graph of a batch.

        Args:
            graph: one graph or a batch.
            **options: those of the function that bears its name (``group``, ``detached``, ...). ``weights`` is the name
                of a field of the nodes.

        Returns:
            :class:`Frames`; of "sorting" :class:`Orders`.

        Raises:
            GeometryError: a graph is periodic and the group has translations, for it has no centre; a field is missing.
            InputError: an option is out of range.
        """
        return self.function(graph, **options)


def centroid(
    points: Float[Tensor, "rows d"],
    owner: Int[Tensor, " rows"],
    graphs: int,
    size: int | None = None,
    *,
    weights: Float[Tensor, " rows"] | None = None,
    detached: bool = False,
) -> Frames:
    r"""The frame of the translations of R^d: one element, the mean :math:`t = \frac1n \sum_i x_i`; no turn.

    .. math::
        \langle\Phi\rangle(x) = \Phi(x - t) + t

    for an output that is translated, :math:`\Phi(x - t)` for an invariant one. It is linear in x, so averages are as
    smooth as the network.

    Args:
        points: positions, in any unit.
        owner: graph of each.
        graphs: how many.
        size: as of :func:`pca`.
        weights: positive weights of the points (masses, say); all 1 if None.
        detached: take the centre for a constant. Then **forces through the average are not the gradient of its
            energy**.

    Raises:
        InputError: a weight is not positive.
        GeometryError: a point is not finite.
    """
    centre = centre_of(points, owner, graphs, weights, size)
    identity = torch.eye(points.shape[1], dtype=points.dtype, device=points.device)
    frames = Frames(identity.expand(graphs, 1, -1, -1), centre, points.new_ones(graphs, 1))
    return frames.detach() if detached else frames


def _of_points(function: Callable[..., Frames], group: str, species: bool = False) -> Callable[..., Frames]:
    """A function of a graph, of one of points; the group is by default of the graph's dimension."""

    @functools.wraps(function)
    def build(graph: Graph, *, weights: str | None = None, **options: Any) -> Frames:
        name: str | Group | None = options.get("group")
        if group and name is None:
            options["group"] = f"{group}({graph.dimension})"
        of = options.get("group", "T")
        translations = not (of if isinstance(of, str) else of.name).startswith(("O", "SO"))
        if translations and graph.periodic:
            raise GeometryError(
                "positions are periodic, so they have no centre to put a frame at",
                where="pbc",
                remedy="use frames of O(3) or SO(3) of vectors, such as those of the edges.",
            )
        pos = graph.pos.to(torch.promote_types(graph.pos.dtype, graph.precision))
        if species and graph.get("z") is not None:
            options.setdefault("species", graph.z)
        mass = None if weights is None else column(graph, weights).to(pos)
        return function(pos, graph.membership(), graph.graphs, graph.nodes_each(), weights=mass, **options)

    return build


def _sorted(graph: Graph, key: Callable[[Tensor], Tensor] | None = None, **options: Any) -> Orders:
    """Sorting frames of the nodes of graphs of one size."""
    owner, graphs = graph.membership(), graph.graphs
    counts = counted(owner, graphs)
    if len(counts.unique()) > 1 or bool((owner.diff() < 0).any()):
        raise InputError(
            f"graphs of {int(counts.min())} to {int(counts.max())} nodes",
            where="sorting",
            remedy="sort sets of one size, one graph behind the other.",
        )
    return sorting(graph.pos.unflatten(0, (graphs, -1)), key, **options)


_EUCLIDEAN = ("O(d)", "SO(d)", "E(d)", "SE(d)")
#: The ways to make frames, by name.
FRAMES: dict[str, FrameBuilder] = {
    "centroid": FrameBuilder("centroid", ("T(d)",), True, True, _of_points(centroid, "")),
    "pca": FrameBuilder("pca", _EUCLIDEAN, False, True, _of_points(pca, "E", species=True)),
    "minimal": FrameBuilder("minimal", _EUCLIDEAN, False, True, _of_points(minimal, "E", species=True)),
    "weighted": FrameBuilder("weighted", _EUCLIDEAN, True, True, _of_points(weighted, "E")),
    "sorting": FrameBuilder("sorting", ("S_n",), False, False, _sorted),
}
