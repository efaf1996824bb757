r"""From points to elements of a group, and the logarithms of :math:`v^{-1} u` that Lie group convolutions look at.

A group G moves the points of a space. Points that it takes to each other form an orbit q, with a chosen origin
:math:`o_q`. A point x is lifted to elements g with :math:`g\, o_q = x`: as many as there are in the stabiliser of the
origin, of which S are drawn. Finzi et al. 2020 (arXiv:2002.12880), section 4.

What is drawn are S elements of H, each with Haar's measure if it is compact, and all points have the same, as with
``per_point=False`` in the authors' code. So the order of the nodes and the batch make no difference to any digit, and
for groups with translations the logarithm is a linear map of :math:`x_i - x_j`. The draws h and Q h are equally likely,
and what the network sees of a structure with the first it sees of the structure turned by Q with the second: outputs
have the symmetry of G in distribution. In training every evaluation draws anew, from torch's generator; outside of it
the draw follows from the seed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, cast

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from intertwine.geometry import Graph, centred
from intertwine.groups import (
    SO,
    Affine,
    Group,
    MatrixGroup,
    Orthogonal,
    ScaledRotation,
    Scaling,
    cyclic,
    icosahedral,
    octahedral,
    tetrahedral,
)
from intertwine.groups.finite import MOST
from intertwine.groups.quadrature import super_fibonacci
from intertwine.groups.rotations import quaternion_to_matrix
from intertwine.nn.groups.lie_groups import is_isometric, stabiliser_of_origin
from intertwine.numerics import InputError, safe, segment
from intertwine.numerics.constants import ExactBuffers
from intertwine.numerics.linalg import apply

Turns = Float[Tensor, "lifts n n"]
Constants = dict[str, Shaped[Tensor, "..."]]  # of a draw, by name
HALF_TURN = 1e-7  # radians from it, within which an angle counts as one
LARGEST_LOG_RATIO = 2.0  # of the distances from the centre of two points that see each other under scalings


class Relative(NamedTuple):
    r"""The element :math:`v^{-1} u` of every edge from v = (j, s') to u = (i, s), as coordinates.

    Attributes:
        vectors: the coordinates of translations (edges, S, S, n) in A; None for a group without.
        turns: the other coordinates of the logarithm (edges or 1, S, S, m).
        orbits: what tells the orbits of both points (edges, k), k = 0 where there is only one.
        weights: between 0 and 1 (edges, S, S), smoothly 0 where the logarithm jumps; None for 1.
    """

    vectors: Float[Tensor, "edges lifts lifts n"] | None
    turns: Float[Tensor, "#edges lifts lifts m"]
    orbits: Float[Tensor, "edges k"]
    weights: Float[Tensor, "edges lifts lifts"] | None


class Lifting(ExactBuffers, ABC):
    """Lifts the nodes of a graph.

    Args:
        group: G.
        sampled: H, of which elements are drawn; None if every point has one lift.
        lifts: S, the number of elements of a point.
        seed: of the draw outside of training.

    Attributes:
        coordinates: columns of the logarithm without translations. orbit_columns: columns of both orbits.

    Raises:
        InputError: infinitely many lifts, and no number of them.
    """

    coordinates: int
    orbit_columns: int = 0

    def __init__(self, group: Group, sampled: Group | None, lifts: int | None, seed: int) -> None:
        super().__init__()
        if sampled is not None and lifts is None:
            raise InputError(
                f"a point has infinitely many lifts to {group}",
                where="lifts",
                remedy="say how many are drawn: lifts=4, for example; memory and time grow with its square.",
            )
        if lifts is not None and (isinstance(lifts, bool) or lifts < 1):
            raise InputError(f"{lifts} lifts", where="lifts", remedy="give a whole number of at least 1.")
        if sampled is None and lifts not in (None, 1):
            raise InputError(f"a point has one lift to {group}", where="lifts", remedy="leave `lifts` out.")
        self.group, self.sampled, self.lifts = group, sampled, lifts or 1
        self.isometric = is_isometric(group)
        self.redraw(seed)

    def draw(self, generator: torch.Generator) -> Turns:
        """S elements of H in float64: of SO(2), SO(3) a random one times evenly spread ones, else independent ones."""
        n = self.group.space or 0
        if self.sampled is None:
            return torch.eye(n, dtype=torch.float64).expand(self.lifts, n, n)
        spread = evenly_spread(self.sampled, self.lifts)
        if spread is None:
            return self.sampled.linear(self.sampled.sample(self.lifts, generator))
        return self.sampled.sample(1, generator) @ spread

    def redraw(self, seed: int) -> None:
        """Another draw, which follows from the seed."""
        kept = self._buffers.get("turns")
        dtype, device = (None, None) if kept is None else (kept.dtype, kept.device)
        for name, value in self.constants(self.draw(torch.Generator().manual_seed(seed))).items():
            self.register_exact(name, value, dtype, device)

    def constants(self, turns: Turns) -> Constants:
        """What is made of a draw alone; with the draw itself under the name "turns"."""
        return {"turns": turns}

    def drawn(self, like: Shaped[Tensor, "..."]) -> Constants:
        """The constants of the draw that is valid now, in the precision and place of a tensor."""
        if self.training and self.sampled is not None:
            made = self.constants(self.draw(torch.default_generator))
        else:
            made = dict(self.named_buffers(recurse=False))
        return {name: value.to(like) for name, value in made.items()}

    @abstractmethod
    def frames(self, graph: Graph, drawn: Constants) -> Float[Tensor, "nodes lifts n n"]:
        """The linear part of the elements of each node: what turns local vectors into vectors of space."""

    @abstractmethod
    def relative(
        self,
        graph: Graph,
        drawn: Constants,
        vectors: Float[Tensor, "edges n"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Relative:
        """Coordinates of :math:`v^{-1} u` for edges j -> i with :math:`x_j - x_i` in ``vectors`` (A)."""


class TranslationLifting(Lifting):
    r"""To :math:`\mathbb{R}^n \rtimes H`: :math:`x \mapsto (h_s, x)`, one orbit.

    .. math:: \log(v^{-1} u) = \big(\Phi(\omega)^{-1} h_{s'}^{-1} (x_i - x_j),\; \omega\big), \qquad \omega =
        \log(h_{s'}^{-1} h_s)

    with :math:`\Phi(\omega) = \int_0^1 e^{t\omega} dt`. The draw is the same at all points, so that is linear in the
    positions. With ``split`` translations and H are told apart, :math:`(h_{s'}^{-1}(x_i - x_j), \omega)`, as Bekkers
    2020 (arXiv:1909.12057) does.

    Args:
        group: with translations.
        lifts, seed: as of :class:`Lifting`.
        split: leave :math:`\Phi` out.
    """

    def __init__(self, group: Affine, lifts: int | None, seed: int, split: bool = False) -> None:
        self.point, self.split = group.point, split
        super().__init__(group, stabiliser_of_origin(group), lifts, seed)
        self.coordinates = group.point.dim

    def constants(self, turns: Turns) -> Constants:
        back = self.point.inverse(turns)
        omega = self.point.log(back[None] @ turns[:, None])  # (S, S, m): of s' -> s
        if isinstance(self.point, Orthogonal):
            omega = settled(omega)
        columns = back.mT[None].expand(len(turns), *back.shape)  # h^-1 e_k in the rows
        if not self.split:
            columns = cast(MatrixGroup, self.point).phi(omega[:, :, None], columns, inverse=True)
        return {"turns": turns, "omega": omega[None], "columns": -columns}

    def frames(self, graph: Graph, drawn: Constants) -> Float[Tensor, "nodes lifts n n"]:
        return drawn["turns"].expand(graph.num_nodes, *drawn["turns"].shape)

    def relative(
        self,
        graph: Graph,
        drawn: Constants,
        vectors: Float[Tensor, "edges n"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Relative:
        columns = drawn["columns"]
        moved = vectors @ columns.movedim(2, 0).flatten(1)
        return Relative(moved.unflatten(1, (*columns.shape[:2], -1)), drawn["omega"], vectors[:, :0], None)


class OrbitLifting(Lifting):
    r"""To groups that keep a centre: SO(2), SO(3), R+ and R+ x SO(2), of positions from the mean of each graph's.

    SO(n): the orbits are spheres, q is the radius. R+: the orbits are rays, q is the direction. R+ x SO(2): one orbit,
    complex numbers. To SO(3) a lift is :math:`W_s R(W_s^{-1} x)` with a drawn rotation :math:`W_s`, where R(x) is the
    smallest rotation that takes the z axis to x.

    The centre has no lift. There weights fade with :math:`p = |x|^2 / (|x|^2 + \epsilon^2 \langle |x|^2 \rangle)`, with
    the mean over the graph; radii are :math:`\sqrt{p}\,|x|` and directions :math:`p\,\hat x`. Weights also fade,
    as :math:`(1 - y^2)^3`, to half turns (:math:`y = |\omega| / \pi`), and under scalings to factors of :math:`e^2`
    between distances from the centre.

    Args:
        group: one of these.
        lifts, seed: as of :class:`Lifting`.
        smoothing: epsilon.

    Raises:
        InputError: another group; its message names the one with translations.
    """

    def __init__(self, group: Group, lifts: int | None, seed: int, smoothing: float = 0.1) -> None:
        rotations = isinstance(group, Orthogonal) and group.special and group.n in (2, 3)
        if not rotations and not isinstance(group, Scaling | ScaledRotation):
            raise InputError(
                f"how {group} divides space into orbits is not known",
                where="group",
                remedy="give the group with translations, groups.Affine(group).",
            )
        self.kind = "SO" if rotations else "R+" if isinstance(group, Scaling) else "R+ x SO"
        super().__init__(group, group if group == SO(3) else None, lifts, seed)
        self.smoothing, self.coordinates = smoothing, group.dim
        self.orbit_columns = {"SO": 2, "R+": 2 * (group.space or 0), "R+ x SO": 0}[self.kind]

    def frames(self, graph: Graph, drawn: Constants) -> Float[Tensor, "nodes lifts n n"]:
        x = centred(graph)
        return self._elements(x, drawn) * self._presence(x, graph)[:, None, None, None]

    def relative(
        self,
        graph: Graph,
        drawn: Constants,
        vectors: Float[Tensor, "edges n"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Relative:
        x, (j, i) = centred(graph), edge_index
        g, presence = self._elements(x, drawn), self._presence(x, graph)
        u, v = g.index_select(0, i)[:, :, None], g.index_select(0, j)[:, None]
        log = self.group.log(self.group.product(self.group.inverse(v), u))
        alone = (i == j)[:, None, None] & torch.eye(self.lifts, dtype=torch.bool, device=i.device)
        log = torch.where(alone[..., None], 0.0, log)  # exact, and defined at the centre
        fade = (presence[i] * presence[j])[:, None, None] * self._away_from_jumps(log)
        q = self._orbits(x, presence.unsqueeze(1))
        return Relative(None, log, torch.cat([q[i], q[j]], dim=1), torch.where(alone, 1.0, fade))

    def _presence(self, x: Float[Tensor, "nodes n"], graph: Graph) -> Float[Tensor, " nodes"]:
        """p: 0 at the centre, near 1 elsewhere."""
        square, owner = x.square().sum(-1), graph.membership()
        mean = segment.mean(square, owner, graph.graphs).index_select(0, owner)
        return square / (square + self.smoothing**2 * torch.where(mean == 0, 1.0, mean))

    def _orbits(self, x: Float[Tensor, "nodes n"], presence: Float[Tensor, "nodes 1"]) -> Float[Tensor, "nodes k"]:
        if self.kind == "SO":
            return safe.norm(x, keepdim=True) * safe.sqrt(presence)
        return safe.normalize(x) * presence if self.kind == "R+" else x[:, :0]

    def _elements(self, x: Float[Tensor, "nodes n"], drawn: Constants) -> Float[Tensor, "nodes lifts n n"]:
        """The elements that take the origin of each orbit to x; some element for the centre itself."""
        n, zero = x.shape[1], x.square().sum(-1, keepdim=True) == 0
        first = torch.eye(n, dtype=x.dtype, device=x.device)[0]
        if self.kind == "R+":
            length = torch.where(zero, 1.0, safe.norm(x, keepdim=True))
            return (length[..., None] * torch.eye(n, dtype=x.dtype, device=x.device))[:, None]
        if n == 2:
            c, s = torch.where(zero, first, safe.normalize(x) if self.kind == "SO" else x).unbind(-1)
            return torch.stack([c, -s, s, c], dim=-1).unflatten(-1, (2, 2))[:, None]
        turns = drawn["turns"]
        local = apply(turns.mT, torch.where(zero, first, safe.normalize(x))[:, None])
        return turns @ smallest_rotation(local)

    def _away_from_jumps(self, log: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch"]:
        scale = log[..., : {"SO": 0, "R+": 1, "R+ x SO": 1}[self.kind]]
        result = torch.ones_like(log[..., 0])
        if scale.shape[-1]:
            result = result * _bump(scale / LARGEST_LOG_RATIO)
        if log.shape[-1] > scale.shape[-1]:
            result = result * _bump(log[..., scale.shape[-1] :] / torch.pi)
        return result


def lifting(group: Group, lifts: int | None, seed: int, split: bool = False) -> Lifting:
    """The lifting of a group; arguments and errors are those of the classes."""
    if isinstance(group, Affine):
        return TranslationLifting(group, lifts, seed, split)
    return OrbitLifting(group, lifts, seed)


def evenly_spread(group: Group, number: int) -> Turns | None:
    """So many rotations (number, n, n) from the identity on: of SO(2) those of a regular polygon, of SO(3) those of a
    rectangle (4), a tetrahedron (12), a cube (24), an icosahedron (60), otherwise a super-Fibonacci spiral; None for
    other groups.
    """
    if group == SO(2):
        return cyclic(number).linear(torch.arange(number)) if number <= MOST // 2 else None
    if group != SO(3):
        return None
    if number == 1:
        return torch.eye(3, dtype=torch.float64)[None]
    if number == 4:
        signs = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
        return torch.diag_embed(signs)
    solids = {12: tetrahedral, 24: octahedral, 60: icosahedral}
    if number not in solids:
        spiral = super_fibonacci(number)
        return spiral[0].T @ spiral
    solid = solids[number]()
    return solid.linear(solid.elements())


def settled(omega: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch m"]:
    """Logarithms of rotations (..., m), of the two of a half turn always the one whose largest component is positive:
    rounding does not decide.
    """
    largest = omega.gather(-1, omega.abs().argmax(-1, keepdim=True))
    half = torch.linalg.vector_norm(omega, dim=-1, keepdim=True) > torch.pi - HALF_TURN
    return torch.where(half & (largest < 0), -omega, omega)


def smallest_rotation(x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation (..., 3, 3) about an axis at right angles to z that takes z to the unit vector x (..., 3); a half
    turn about the x axis if that is -z, around which it is not continuous.
    """
    a, b, c = x.unbind(-1)
    opposite = 1 + c < 1e-12
    q = torch.stack([1 + c, -b, a, torch.zeros_like(c)], dim=-1)
    half_turn = torch.eye(4, dtype=x.dtype, device=x.device)[1]
    return quaternion_to_matrix(torch.where(opposite[..., None], half_turn, q))


def _bump(x: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    r""":math:`(1 - |x|^2)^3` within the unit ball, 0 outside: two derivatives, and all at 0."""
    return (1 - x.square().sum(-1)).clamp(min=0) ** 3
