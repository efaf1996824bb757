r"""The structure module of AlphaFold2: nodes are frames, attention measures distances between points that each node
places in its own.

.. math::
    s_i^{first} &= \mathrm{norm}(s_i^{in}), \qquad z_{ij} = \mathrm{norm}(z_{ij}^{in}), \qquad s_i = W s_i^{first} \\
    a_{ij} &= w_L \Big(\tfrac{1}{\sqrt c} q_i \cdot k_j + W_b z_{ij}
        - \frac{\gamma w_C}{2} \sum_p \big\|T_i \circ \vec q_{ip} - T_j \circ \vec k_{jp}\big\|^2\Big), \qquad
        w_L = \tfrac{1}{\sqrt 3},\; w_C = \sqrt{\tfrac{2}{9 P}} \\
    o_i &= \sum_j w_{ij}\, (z_{ij}, v_j), \qquad
        \vec o_{ip} = T_i^{-1} \circ \sum_j w_{ij}\; T_j \circ \vec v_{jp}, \qquad
        w_{ij} = \frac{c_{ij}\, e^{a_{ij}}}{\sum_k c_{ik}\, e^{a_{ik}}} \\
    s_i' &= \mathrm{norm}\big(s_i + W(o_i, \vec o_i, \|\vec o_i\|)\big), \qquad
        s_i'' = \mathrm{norm}\big(s_i' + \mathrm{MLP}(s_i')\big) \\
    T_i' &= T_i \circ (Q, t)_i, \qquad (b, c, d, t)_i = W s_i'', \quad
        Q \text{ the rotation of the quaternion } (1, b, c, d)

for every head, with frames :math:`T = (F, x): y \mapsto F y + x` and q, k, v, :math:`\vec q, \vec k, \vec v` linear in
s. The sums go over the neighbours and the node itself. Distances of points and coordinates in :math:`T_i` are
invariants, and a frame composed with a rotation and a step of its own coordinates turns as the frame does. ``angles``
adds pairs (sin, cos) of torsion angles of a residue, from the first and the last s by two residual layers.

The preset ``paper`` is algorithms 20 to 23 of Jumper et al., Nature 596, 583 (2021), supplement, section 1.8: the same
weights in all iterations, no gradient through rotations between them, no cutoff (c = 1), and frames of residues from N,
CA and C (:func:`intertwine.nn.residue_frames`, algorithm 21; :func:`intertwine.data.residue_graph` makes such graphs).
The single and the pair representation are inputs of the data, as of every model: ``node_inputs={"x": 384}, species=(),
pair_inputs={"pair": 128}``. Angles follow algorithm 20; the authors' program has one more ReLU before the first linear
maps of s. The frames that are given need not be the identity, which the paper starts from. A norm is
:math:`\sqrt{\|x\|^2 + \epsilon^2} - \epsilon` with :math:`\epsilon` = 1e-4 there.

Other presets and the defaults depart from the paper so that the model is a smooth function of positions on any graph:
there is a cutoff with its envelope c, z are functions of the edge, SiLU replaces ReLU, norms are smoother, layers have
weights of their own. Without ``frames`` each node gets axes from its neighbours, as in :mod:`intertwine.nn.frames`,
where it is told what becomes of axes that symmetry leaves undefined. Where derivatives in positions are asked for
(forces), gradients of rotations are never stopped. The model is equivariant to SE(3), and a mirror image is another
structure: the frames of its atoms are not the mirror images of the frames.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Unpack, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, edge_vectors, field
from intertwine.nn import Backbone, ModelCard, VectorInputs
from intertwine.nn.checks import Columns, check_sizes, check_smoothing, columns, require_space
from intertwine.nn.cutoff import positive
from intertwine.nn.embedding import EdgeEmbedding
from intertwine.nn.frames import FrameEmbedding, into, residue_frames
from intertwine.nn.pairs import PairEmbedding, Recycling
from intertwine.nn.point_attention import State, StructureLayer, TorsionHead, unit_pairs
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.refinement import Iteration
from intertwine.nn.scalar_vector import join
from intertwine.numerics import GeometryError, InputError, choose, safe
from intertwine.o3 import Irreps

ACTIVATIONS = {"silu": F.silu, "relu": F.relu}


class Edges(NamedTuple):
    """Of the edges, and then of each node with itself: (j, i), x_j - x_i in A, z_ij, and the envelope c_ij (None for
    1)."""

    ends: Int[Tensor, "2 edges"]
    x_ij: Float[Tensor, "edges 3"]
    z_ij: Float[Tensor, "edges edge_width"]
    envelope: Float[Tensor, " edges"] | None


class InvariantPointAttention(Backbone):
    """AlphaFold2's structure module on any graph; returns scalars, the total displacement (A) and the axes of the last
    frames.

    Args:
        width: scalars of a node (384 in the paper).
        layers: number of layers (8 in the paper).
        cutoff: r_c in A; None (as in the paper) connects all pairs.
        heads: attention heads (12 in the paper).
        channels: scalars of a query, key or value (16 in the paper).
        points: points of a query or key (4 in the paper).
        values: points of a value (8 in the paper).
        angles: torsion angles, given out as (sin, cos) behind the scalars (7 in the paper).
        angle_width: features of the layers that angles come from (128 in the paper).
        shared: all layers have the same weights (as in the paper).
        frames: start from the frames of ``graph.backbone``, (nodes, 3, 3) with the positions of N, CA and C, or if
            there is none from ``graph.frame``, (nodes, 3, 3) with the axes as rows; else frames are made of neighbours.
        pair_inputs: the representation of pairs: fields of level "pair" by name, with their number of columns,
            ``{"pair": 128}``. Without a cutoff z is made of them alone, otherwise of functions of the distance too.
        pair_width: features of z where there are pair inputs (128 in the paper).
        stopped: no gradient flows through rotations from one layer to the next (as in the paper), but where derivatives
            in positions are taken.
        recycles: how often the whole model is repeated, from the first frames, with what the pass before gave as
            another input (3 in the paper, algorithms 30 to 32). In training their number is random in each batch, and
            gradients flow through the last pass only.
        dropout: share of s that is set to 0 before each norm in training (0.1 in the paper).
        activation: "silu", or "relu" as in the paper.
        length: unit of points in A where there is no cutoff (10 in the paper); with one it is half of the cutoff.
        smoothing: epsilon of frames and norms.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; the single representation is
            ``node_inputs={"x": 384}``. Nodes see given vectors in their frames.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="group element",
        body_order=5,
        domain="SE(3)",
        symmetry="SE(3)",
        paper="Jumper et al. 2021, Nature 596, 583",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "layers": 2, "heads": 4, "channels": 8, "values": 4}, source=OURS),
        "paper": Preset(
            {
                "width": 384, "layers": 8, "cutoff": None, "heads": 12, "channels": 16, "points": 4, "values": 8,
                "angles": 7, "angle_width": 128, "shared": True, "frames": True, "pair_width": 128,
                "stopped": True, "recycles": 3, "dropout": 0.1, "activation": "relu", "length": 10.0, "smoothing": 1e-4,
            },
            source="Jumper et al. 2021, supplement, section 1.8, algorithms 20 to 23",
        ),
    }  # fmt: skip

    def __init__(
        self, width: int = 64, layers: int = 3, cutoff: float | None = 5.0, heads: int = 4, channels: int = 16,
        points: int = 4, values: int = 4, angles: int = 0, shared: bool = False, frames: bool = False, *,
        angle_width: int = 64, pair_inputs: Columns = (), pair_width: int = 32, stopped: bool = False,
        recycles: int = 0, dropout: float = 0.0, activation: str = "silu", length: float = 10.0,
        smoothing: float = 0.1, **inputs: Unpack[VectorInputs],
    ) -> None:  # fmt: skip
        super().__init__(cutoff, inputs)
        for name, count in (("angles", angles), ("recycles", recycles)):
            if count < 0:
                raise InputError(f"{count} {name}", where=name, remedy="give 0 or more.")
        check_sizes(width=width, layers=layers, heads=heads, channels=channels, points=points, values=values)
        check_sizes(angle_width=angle_width, pair_width=pair_width)
        check_smoothing(smoothing)
        if not 0 <= dropout < 1:
            raise InputError(f"dropout {dropout}", where="dropout", remedy="give a share from 0 to less than 1.")
        sigma = ACTIVATIONS[choose(activation, ACTIVATIONS, kind="activation", where="activation")]
        self.unit, self.count = positive(length) if cutoff is None else positive(cutoff) / 2, layers
        self.stopped, self.recycles, self.smoothing = stopped, recycles, smoothing
        self.irreps_out = Irreps(f"{width + 2 * angles}x0e+4x1o")
        self.embedding = self.embed_nodes(width)
        pairs = columns(pair_inputs, "pair_inputs")
        # functions of the distance, unless pairs say all
        needed = cutoff is not None or not pairs or bool(self.edge_inputs) or not frames
        self.edges = (self.embed_pairs(self.unit) if cutoff is None else self.embed_edges()) if needed else None
        radial = self.edges.width if self.edges is not None else 0
        edge_width = pair_width if pairs else radial
        self.pairs = PairEmbedding(pair_width, pairs) if pairs else None
        self.mixed = nn.Linear(radial, pair_width, bias=False) if pairs and needed else None
        self.pair_norm = nn.LayerNorm(pair_width) if pairs else None
        self.angles = angles
        self.inputs = ("backbone", "frame") if frames else ()  # of which a graph has to bring one along
        self.frames = None if frames else FrameEmbedding(width, radial, False, smoothing)
        self.start = self.embed_vectors(width)
        self.seen = nn.Linear(3 * width, width, bias=False) if self.start is not None else None
        self.norm, self.first = nn.LayerNorm(width), nn.Linear(width, width)
        sizes = (width, edge_width, heads, channels, points, values, smoothing, sigma, dropout)
        self.layers = nn.ModuleList(StructureLayer(*sizes) for _ in range(1 if shared else layers))
        self.torsions = TorsionHead(width, angle_width, angles, sigma) if angles else None
        self.recycling = Recycling(width, edge_width) if recycles else None

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        last = self._iterations(graph)[-1]
        scalars = [last.s]
        if last.angles is not None:
            scalars.append(unit_pairs(last.angles, self.smoothing).flatten(1))
        vectors = torch.cat([last.displacement.unsqueeze(-1), last.frames], dim=-1)
        return join(torch.cat(scalars, dim=-1), vectors, 4)

    def refine(self, graph: Graph) -> list[Iteration]:
        """The state after each layer, of the last pass. Arguments and errors are those of :meth:`forward`."""
        return self._iterations(self.ready(graph))

    def _iterations(self, graph: Graph) -> list[Iteration]:
        require_space(graph)
        first = self.embedding(graph)
        edges, frames = self._edges(graph, first)
        if self.start is not None and self.seen is not None:
            first = first + self.seen(into(frames, self.start(graph)).flatten(1))
        first = self.norm(first)
        differentiable = edges.x_ij.requires_grad  # forces are asked for: what is returned has all of its derivatives
        states = self._pass(first, frames, edges, not differentiable)
        if self.recycling is None:
            return states
        passes = int(torch.randint(self.recycles + 1, ())) if self.training else self.recycles
        for _ in range(passes):
            s, u = states[-1].s, states[-1].displacement
            if not differentiable:
                s, u = s.detach(), u.detach()
            now = edges.x_ij + u.index_select(0, edges.ends[0]) - u.index_select(0, edges.ends[1])
            more, z = self.recycling(s, now)
            states = self._pass(first + more, frames, edges._replace(z_ij=edges.z_ij + z), not differentiable)
        return states

    def _pass(self, first: Tensor, frames: Tensor, edges: Edges, may_stop: bool) -> list[Iteration]:
        """All layers once, from the given frames."""
        states = []
        f: State = (self.first(first), frames, first.new_zeros(first.shape[0], 3))
        for k in range(self.count):
            layer = self.layers[k % len(self.layers)]
            s, frames, u = layer(f, edges.x_ij / self.unit, edges.z_ij, edges.envelope, edges.ends)
            angles = self.torsions(first, s) if self.torsions is not None else None
            states.append(Iteration(s, frames, u * self.unit, angles))
            f = (s, frames.detach() if self.stopped and may_stop else frames, u)
        return states

    def _edges(self, graph: Graph, s: Tensor) -> tuple[Edges, Float[Tensor, "nodes 3 3"]]:
        """The edges and those of each node with itself, and the first frames as columns."""
        nodes = torch.arange(s.shape[0], device=s.device)
        index = torch.cat([graph.edge_index, torch.stack([nodes, nodes])], dim=1)
        x_ij, envelope, attributes = edge_vectors(graph), None, None
        if isinstance(self.edges, EdgeEmbedding):
            seen = self.edges(graph)
            attributes, envelope = seen.attributes, seen.envelope.squeeze(-1)
        elif self.edges is not None:
            attributes = self.edges(graph, x_ij)
        if self.frames is None:
            frames = _given(graph).transpose(-1, -2)
        else:
            near = x_ij / (1 + safe.norm(x_ij).unsqueeze(-1))
            frames = self.frames(s, attributes, near, envelope, graph.edge_index)
        x_ij = torch.cat([x_ij, x_ij.new_zeros(s.shape[0], 3)])
        envelope = torch.cat([envelope, envelope.new_ones(s.shape[0])]) if envelope is not None else None
        return Edges(index, x_ij, self._of_edges(graph, index, attributes, s.shape[0]), envelope), frames

    def _of_edges(self, graph: Graph, index: Tensor, attributes: Tensor | None, nodes: int) -> Tensor:
        """z_ij."""
        z = None
        if attributes is not None and self.edges is not None:
            at_zero = self.edges.radial(attributes.new_zeros(1))
            own = torch.cat([at_zero, at_zero.new_zeros(1, attributes.shape[1] - at_zero.shape[1])], dim=1)
            z = torch.cat([attributes, own.expand(nodes, -1)])
        if self.pairs is None or self.pair_norm is None:
            return cast(Tensor, z)
        of_pairs = self.pairs(graph, index)
        return self.pair_norm(of_pairs if z is None or self.mixed is None else of_pairs + self.mixed(z))


def _given(graph: Graph) -> Float[Tensor, "nodes 3 3"]:
    """The frames that a graph brings along, axes as rows, which must be orthonormal.

    Those of a backbone are made here, so that of a mirror image they are those of its own atoms: right-handed again.
    """
    atoms = graph.get("backbone")
    if atoms is not None:
        if atoms.shape != (graph.num_nodes, 3, 3):
            remedy = "give (nodes, 3, 3): the positions of N, CA and C of each residue."
            raise GeometryError(f"shape {tuple(atoms.shape)}", where="backbone", remedy=remedy)
        return residue_frames(*atoms.unbind(1)).to(graph.precision)
    frames = field(graph, "frame")
    if safe.inspectable(frames):
        identity = torch.eye(3, dtype=frames.dtype, device=frames.device)
        wrong = ((frames @ frames.transpose(-1, -2) - identity).abs() > 1e-3).flatten(1).any(1)
        if bool(wrong.any()):
            node, remedy = int(wrong.nonzero()[0]), "give them as rows, of length 1 each; nn.residue_frames makes some."
            raise GeometryError(f"the axes of node {node} are not orthonormal", where="frame", remedy=remedy)
    return frames
