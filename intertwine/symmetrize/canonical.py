r"""One frame, picked by a small equivariant network: the cheapest way to make another one equivariant.

Vectors :math:`v_1, v_2, \ldots` that turn with the structure are made orthonormal (Gram and Schmidt); the last axis is
their cross product. Under reflections that axis goes with both signs, each with weight 1/2. Kaba, Mondal, Zhang, Bengio
and Ravanbakhsh, ICML 2023 (arXiv:2211.06489), section 4.2; the prior is that of Mondal, Panigrahi, Kaba, Mudumba and
Ravanbakhsh, NeurIPS 2023 (arXiv:2310.01647), eq. 5.

A structure with a symmetry of its own that leaves no such vector has no equivariant frame: equivariance is weak there.
The vectors vanish, axes of the coordinates take their place, and what is returned is equivariant only up to an element
of the structure's own symmetry group. :meth:`LearnedFrames.undefined` names such structures, and certificates do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph, centred
from intertwine.geometry.frames import Frames, pairs
from intertwine.geometry.frames.orthonormal import LEAST, gram_schmidt
from intertwine.groups import Representation
from intertwine.nn import MLP
from intertwine.nn.checks import Columns
from intertwine.nn.embedding import NodeEmbedding
from intertwine.numerics import InputError, safe, segment
from intertwine.symmetrize.frame_average import FrameAverage
from intertwine.symmetrize.framing import Framing, require_open

GAIN = 4.0  # makes vectors of about unit length of weights as they are at the start
LEAST_SINGLE = 1e-2  # of vectors in a lower precision than float64


class FrameVectors(nn.Module):
    r"""n - 1 vectors of each graph, that turn with it and vanish only where they must, or by chance.

    .. math::
        v_c = \frac{4}{\sqrt N} \sum_i (w_{ic} - \bar w_c)\, x_i / r, \qquad
        w_i = \mathrm{MLP}\big(s_i, |x_i|^2 / r^2, x_i \cdot v^0 / r\big)

    with positions from the centre, their root mean square r, species s, and vectors :math:`v^0` made in the same way
    without the last term. Work grows as the number of nodes.

    Args:
        width: features.
        dimension: n, 2 or 3.
        species: atomic numbers that it knows; None for all, () for nodes that are not atoms.
        node_inputs: invariants of the nodes besides.
    """

    def __init__(
        self, width: int = 32, dimension: int = 3, species: Sequence[int] | None = None, node_inputs: Columns = ()
    ) -> None:
        super().__init__()
        self.dimension, axes = dimension, dimension - 1
        self.embedding = NodeEmbedding(width, species, node_inputs)
        self.first = MLP([width + 1, width, axes])
        self.second = MLP([width + 1 + axes, width, axes])

    def forward(self, graph: Graph) -> Float[Tensor, "graphs axes n"]:
        graph = graph.in_precision(self.first_weight.dtype)
        owner, count = graph.membership(), graph.graphs
        x = centred(graph)
        radius = safe.sqrt(segment.mean((x * x).sum(-1, keepdim=True), owner, count))
        x = x / radius.clamp(min=1e-12).index_select(0, owner)
        s = torch.cat([self.embedding(graph), (x * x).sum(-1, keepdim=True)], dim=-1)
        v = self._sum(self.first(s), x, graph)
        along = (x.unsqueeze(1) * v.index_select(0, owner)).sum(-1)
        return self._sum(self.second(torch.cat([s, along], dim=-1)), x, graph)

    @property
    def first_weight(self) -> Tensor:
        """Whose precision it computes in."""
        return next(self.parameters())

    def _sum(self, weights: Tensor, x: Tensor, graph: Graph) -> Float[Tensor, "graphs axes n"]:
        owner, count = graph.membership(), graph.graphs
        nodes = torch.bincount(owner, minlength=count).clamp(min=1).to(x).sqrt().reshape(-1, 1, 1)
        # what the weights have in common adds up to nothing, and to rounding
        weights = weights - segment.mean(weights, owner, count).index_select(0, owner)
        return GAIN * segment.sum(weights.unsqueeze(-1) * x.unsqueeze(1), owner, count) / nodes


class LearnedFrames(Framing):
    """The frame of vectors that a network gives.

    Args:
        network: takes one graph or a batch, returns vectors (graphs, n - 1, n), or (graphs, (n - 1) n), that turn with
            each graph, and no translation moves. Any callable.
        group: as of :class:`~intertwine.symmetrize.Framing`.
        least: length below which what is left of a vector gives no axis, in its own unit; None is 1e-3, and 1e-2 of
            vectors in single precision.
    """

    sense = "where frames are unique"

    def __init__(
        self, network: Callable[[Graph], Tensor], group: str = "E(n)", least: float | None = None, draw: str = "never"
    ) -> None:
        super().__init__(group, draw)
        self.network, self.least = network, least

    def frames(self, graph: Graph) -> Frames:
        require_open(graph, "a canonical frame")
        axes, *_ = self._axes(graph)
        rotation = torch.stack([axes] if self.special else [axes, pairs.mirrored(axes)], dim=1)
        count = rotation.shape[1]
        return Frames(rotation, self.centre(graph), rotation.new_full((), 1 / count).expand(graph.graphs, count))

    def undefined(self, graph: Graph) -> list[str]:
        with torch.no_grad():
            _, lengths, least = self._axes(graph)
        words = "vectors of length {:.1e} and less, below {:g}: equivariant up to its own symmetry"
        return [words.format(x, least) if x < least else "" for x in lengths.amin(1).tolist()]

    def prior(self, graph: Graph) -> Tensor:
        r""":math:`\|R - 1\|^2 / 2n`, the nearest of the frames of each graph, in the mean over the graphs: what keeps a
        pretrained network on inputs like those that it knows. From 0 to 2, without unit.
        """
        rotation = self.frames(graph).rotation
        apart = (rotation - torch.eye(graph.dimension).to(rotation)).square().sum((-2, -1)) / (2 * graph.dimension)
        return apart.amin(1).mean()

    def _axes(self, graph: Graph) -> tuple[Float[Tensor, "graphs n n"], Float[Tensor, "graphs axes"], float]:
        n = graph.dimension
        vectors = self.network(graph)
        if not isinstance(vectors, Tensor) or vectors.shape not in (
            (graph.graphs, n - 1, n),
            (graph.graphs, n * n - n),
        ):
            told = tuple(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
            what = f"the frame network returns {told} for {graph.graphs} graphs"
            raise InputError(what, where="Canonicalize", remedy=f"return (graphs, {n - 1}, {n}).")
        usual = LEAST if vectors.dtype == torch.float64 else LEAST_SINGLE
        least = usual if self.least is None else self.least
        return *gram_schmidt(vectors.reshape(-1, n - 1, n).to(graph.pos.dtype), least), least


class Canonicalize(FrameAverage):
    """A network of graphs that sees each from one frame, which a small network picks.

    Args:
        network: as of :class:`FrameAverage`.
        frame_network: gives vectors (graphs, n - 1, n); default :class:`FrameVectors`.
        rep_out: as of :class:`FrameAverage`.
        group: "E(n)" or "O(n)", which take both signs of the last axis, "SE(n)" or "SO(n)", which take one frame.
        chunk: frames at once; None for all.
        points: inputs are tensors (B, nodes, n), whose nodes have no species.
        least: as of :class:`LearnedFrames`.
    """

    framing: LearnedFrames

    def __init__(
        self,
        network: Any,
        frame_network: Callable[[Graph], Tensor] | None = None,
        rep_out: Representation | Mapping[str, Representation | None] | None = None,
        *,
        group: str = "E(3)",
        chunk: int | None = None,
        points: bool = False,
        least: float | None = None,
    ) -> None:
        if frame_network is None:
            n = group.partition("(")[2].rstrip(")")
            frame_network = FrameVectors(dimension=int(n) if n.isdigit() else 3, species=() if points else None)
        framing = LearnedFrames(frame_network, group, least)
        super().__init__(network, framing, rep_out, chunk=chunk, points=points)

    def prior(self, x: Any) -> Tensor:
        """The regulariser of the frames of a batch (:meth:`LearnedFrames.prior`): add it to the loss, with a weight."""
        return self.framing.prior(self._prepared(x)[0])
