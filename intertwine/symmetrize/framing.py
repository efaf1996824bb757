"""Which frames a graph is seen from: given by a rule, by a grid or samples of a group, or by a network."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import FIELDS, Graph
from intertwine.geometry.frames import FRAMES, Frames
from intertwine.geometry.frames.space import centre_of, first_of
from intertwine.groups import Affine, Group, Orthogonal
from intertwine.numerics import GeometryError, InputError, choose, segment
from intertwine.symmetrize.group_average import elements_of

DRAWS = ("never", "training", "always")
GROUPS = ("E", "SE", "O", "SO")
#: Rules that give rotations.
RULES = {name: rule for name, rule in FRAMES.items() if "SO(d)" in rule.groups}


class Framing(nn.Module):
    """Base: gives the frames of each graph, all of them or one that is drawn.

    Args:
        group: "E(n)", "SE(n)", "O(n)" or "SO(n)": whether there are frames of both hands, and a centre. A number for n,
            or n for the dimension of the graphs.
        draw: "never" takes all frames, "always" draws one of each graph at each call, by their weights and from torch's
            generator; "training" draws in training only.

    Attributes:
        sense: how the group is kept if all frames are taken: what a claim says after the name of the group.
        claimed_error: relative error that is claimed; None if none is.
        in_frames: positions are rounded anew in each frame, which a certificate measures and allows for.
    """

    sense: ClassVar[str] = ""
    claimed_error: float | None = None
    in_frames: ClassVar[bool] = True

    def __init__(self, group: str = "E(n)", draw: str = "never") -> None:
        super().__init__()
        self.name, self.draw = group, choose(draw, dict.fromkeys(DRAWS), kind="draw", where="draw")
        kind = group.partition("(")[0]
        if kind not in GROUPS or not group.endswith(")"):
            raise InputError(
                f"frames of {group!r}", where="group", remedy=f"give {', '.join(f'{name}(n)' for name in GROUPS)}."
            )
        self.special, self.centred = kind.startswith("S"), kind.endswith("E")

    def of_dimension(self, n: int) -> Group:
        """The group that moves n dimensions."""
        turns = Orthogonal(n, special=self.special)
        return Affine(turns, name=f"{'S' if self.special else ''}E({n})") if self.centred else turns

    @property
    def claim(self) -> str:
        """The symmetry of what is averaged over these frames, as a certificate reads it."""
        senses = ["in distribution"] if self.draw == "always" else []
        if self.sense and not (self.draw == "always" and self.sense == "in distribution"):
            senses.append(self.sense)
        return " ".join([self.name, *senses])

    def frames(self, graph: Graph) -> Frames:
        """All frames; a subclass defines it."""
        raise TypeError(f"{type(self).__name__} does not say its frames")

    def centre(self, graph: Graph) -> Float[Tensor, "graphs n"]:
        """The mean position of each graph, or the origin for a group without translations."""
        return centres(graph, self.centred)

    def undefined(self, graph: Graph) -> list[str]:
        """For each graph why its frames are not unique, so that nothing is claimed of it; "" where they are."""
        return [""] * graph.graphs

    def forward(self, graph: Graph) -> Frames:
        """The frames of each graph, in float64: what is nearly degenerate amplifies rounding.

        Raises:
            GeometryError: a graph without nodes or with positions that are not finite; one that repeats, where frames
                come from its atoms.
        """
        graph = graph.replaced(pos=graph.pos.to(torch.float64))
        frames = self.frames(graph)
        return one_of(frames) if self.draw == "always" or (self.draw == "training" and self.training) else frames


def one_of(frames: Frames) -> Frames:
    """One frame of each graph, drawn by the weights from torch's generator, with weight 1."""
    chosen = torch.multinomial(frames.weight.detach().clamp(min=0), 1)
    rotation = frames.rotation.gather(1, chosen[..., None, None].expand(-1, -1, *frames.rotation.shape[2:]))
    return Frames(rotation, frames.centre, torch.ones_like(frames.weight[:, :1]))


def centres(graph: Graph, centred: bool = True) -> Float[Tensor, "graphs n"]:
    """The mean position of each graph (A); the origin if not ``centred``, or where any of them repeats, which has no
    centre.
    """
    pos = graph.pos
    if not centred or graph.periodic:
        return pos.new_zeros(graph.graphs, pos.shape[1])
    return centre_of(pos, graph.membership(), graph.graphs, size=graph.nodes_each())


def near(graph: Graph) -> Graph:
    """The graph with positions, and other points of its nodes, from the first node of each graph, so that far from the
    origin no digits are lost; one that repeats as it is, and one of lower precision than that of frames, for those take
    differences in their own.
    """
    if graph.pos.dtype != torch.float64 or not graph.num_nodes or graph.periodic:
        return graph
    pos, owner, size = graph.pos, graph.membership(), graph.nodes_each()
    start = pos.detach()[::size] if size else first_of(pos.detach(), owner, graph.graphs)
    start = start.index_select(0, owner)
    moved = {"pos": pos - start}
    for name, value in graph.to_dict().items():
        if name != "pos" and name in FIELDS and FIELDS[name].affine and FIELDS[name].level == "node":
            moved[name] = value - start.to(value).reshape(start.shape[0], *[1] * (value.ndim - 2), -1)
    return graph.replaced(**moved)


def require_open(graph: Graph, what: str) -> None:
    """Raise a GeometryError for a graph that repeats: its atoms alone do not say where a frame is."""
    if graph.periodic:
        remedy = "average over rotations instead: --symmetrize average, GridFrames; or wrap the structure in vacuum."
        raise GeometryError(f"{what} of a structure that repeats, which has no centre", where="pbc", remedy=remedy)


class BuiltFrames(Framing):
    """Frames by a rule of :data:`intertwine.geometry.frames.FRAMES`.

    Args:
        rule: its name, "pca", "minimal" or "weighted".
        group: as of :class:`Framing`.
        draw: as of :class:`Framing`.
        detached: take no derivatives through the frames. Forces are then not the gradient of the averaged energy, and
            the finite-difference test of a certificate fails: only for invariant labels without derivatives.
        gap: relative gap between moments below which frames that are not continuous are not called unique.
        **options: of the rule, such as ``width=0.3`` of "weighted" (:mod:`intertwine.geometry.frames`).

    Raises:
        InputError: an unknown rule, or an option that it does not have.
    """

    def __init__(
        self,
        rule: str = "pca",
        group: str = "E(n)",
        draw: str = "never",
        detached: bool = False,
        gap: float = 1e-2,
        **options: Any,
    ) -> None:
        super().__init__(group, draw)
        self.rule, self.detached, self.gap = choose(rule, RULES, kind="frames", where="frames"), detached, gap
        for name in options:
            choose(name, dict.fromkeys(FRAMES[self.rule].options), kind=f"option of {rule} frames", where="frames")
        self.continuous, self.options = FRAMES[self.rule].continuous, options

    @property
    def sense(self) -> str:  # type: ignore[override]
        return "" if self.continuous else "where frames are unique"

    def frames(self, graph: Graph) -> Frames:
        require_open(graph, f"{self.rule} frames")
        group = f"{self.name.partition('(')[0]}({graph.dimension})"
        made: Frames = FRAMES[self.rule].build(graph, group=group, detached=self.detached, **self.options)
        return made

    def undefined(self, graph: Graph) -> list[str]:
        if self.continuous:
            return super().undefined(graph)
        gaps = relative_gaps(graph)
        return [f"gap {gap:.1e}, below {self.gap:g}" if gap < self.gap else "" for gap in gaps.tolist()]


def relative_gaps(graph: Graph) -> Float[Tensor, " graphs"]:
    """The smallest difference between two second moments of each graph's positions, over the largest moment; 0 of fewer
    than two nodes.
    """
    pos, owner = graph.pos.detach().to(torch.float64), graph.membership()
    x = pos - segment.mean(pos, owner, graph.graphs).index_select(0, owner)
    moments = torch.linalg.eigvalsh(segment.sum(x.unsqueeze(2) * x.unsqueeze(1), owner, graph.graphs))
    largest = moments[:, -1]
    if moments.shape[1] < 2:
        return torch.where(largest > 0, 1.0, 0.0)
    gaps = moments.diff(dim=1).amin(1)
    return torch.where(largest > 0, gaps / torch.where(largest > 0, largest, 1.0), 0.0)


class GridFrames(Framing):
    """The same frames for all graphs: those of a quadrature, of a finite group, or drawn.

    Args:
        group: as of :class:`Framing`.
        order: of the quadrature over rotations (and reflections).
        samples: Haar-random rotations instead, drawn once from ``seed``; with ``draw`` anew for each graph and call.
        draw: as of :class:`Framing`.
        finite: a finite group of rotations (and reflections) instead, whose elements are all taken.
        claimed: what the finite group is called in a claim.
        claimed_error: relative error that a quadrature claims.
        seed: of the samples.
    """

    def __init__(
        self, group: str = "E(n)", order: int = 3, samples: int = 0, draw: str = "never", finite: Group | None = None,
        claimed: str = "", claimed_error: float = 0.05, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(group, draw)
        self.claimed = claimed
        if order < 0 or samples < 0:
            raise InputError(f"order {order}, {samples} samples", where="average", remedy="give 0 or more.")
        self.order, self.samples, self.finite, self.seed = order, samples, finite, seed
        drawn = samples > 0 or draw == "always"
        self.claimed_error = claimed_error if finite is None and not drawn else None
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def sense(self) -> str:  # type: ignore[override]
        if self.finite is not None:
            return ""
        return "in distribution" if self.samples or self.draw == "always" else "within approximation"

    @property
    def claim(self) -> str:
        if self.finite is None:
            return super().claim
        own = self.claimed or str(self.finite)
        return f"T({self.finite.space}) x {own}" if self.centred and not own.startswith("T(") else own

    def redraw(self, seed: int) -> None:
        """Draw other samples."""
        self.seed, self.kept = seed, {}

    def forward(self, graph: Graph) -> Frames:
        drawing = self.draw == "always" or (self.draw == "training" and self.training)
        if not drawing or self.finite is not None:
            return super().forward(graph)
        graph = graph.replaced(pos=graph.pos.to(torch.float64))
        count = max(self.samples, 1)
        seed = int(torch.randint(2**62, ()))  # from torch's generator, as dropout is
        group = Orthogonal(graph.dimension, special=self.special)
        g = group.sample(graph.graphs * count, torch.Generator().manual_seed(seed)).to(graph.pos)
        weight = g.new_full((graph.graphs, count), 1 / count)
        return Frames(g.unflatten(0, (graph.graphs, count)), self.centre(graph), weight)

    def frames(self, graph: Graph) -> Frames:
        elements, weights = self._elements(graph.dimension)
        elements, weights = elements.to(graph.pos), weights.to(graph.pos)
        rotation = elements.expand(graph.graphs, *elements.shape)
        return Frames(rotation, self.centre(graph), weights.expand(graph.graphs, len(elements)))

    def _elements(self, n: int) -> tuple[Tensor, Tensor]:
        if n not in self.kept:
            group = self.finite or Orthogonal(n, special=self.special)
            order, samples = (
                (None, None) if self.finite else (None if self.samples else self.order, self.samples or None)
            )
            grid = elements_of(group, order, samples, self.finite is not None, self.seed)
            alike = bool((grid.weights == grid.weights[0]).all())
            self.kept[n] = group.linear(grid.elements).to(torch.float64), grid.weights[0] if alike else grid.weights
        return self.kept[n]
