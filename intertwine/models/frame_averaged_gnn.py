r"""A graph network whose layers are averaged over frames: in each of them messages need no symmetry of their own.

.. math::
    (R_k, t)_k &= \mathcal F(V) \qquad\text{the 8 frames of the vectors of all nodes} \\
    h_{ik} &= \big(s_i,\; R_k^\top (V_i - t)\big), \qquad
    m_{ijk} = \phi_m(h_{ik}, h_{jk}, a_{ij}), \qquad
    h_{ik}' = h_{ik} + \phi_h\Big(h_{ik}, \sum_j m_{ijk}\Big) \\
    (s_{ik}', U_{ik}') &= h_{ik}', \qquad
    s_i' = \frac 18 \sum_k s_{ik}', \qquad V_i' = \frac 18 \sum_k R_k\, U_{ik}'

The first layer reads :math:`W_1 R_k^\top (x_i - t) + W_2 R_k^\top v_i` and an embedding of species and inputs in frames
of the positions x, whose centroid is t. Each further layer has frames of its own: the principal axes, with all signs,
of the vectors :math:`V_i` of all nodes (``vectors`` of them a node, 3 features each; the other features are scalars
s), and t is their mean. After the last layer the scalars are the average of all features, and one vector
:math:`\frac 18 \sum_k R_k\, \phi(h_{ik})` is read out.

Puny, Atzmon, Ben-Hamu, Misra, Grover, Smith and Lipman, ICLR 2022 (arXiv:2110.03336), section 3.1 for the frames of
E(d) and SE(d) and section 5.3 with the authors' code (``nbody/n_body_system/model_FA.py``) for the network.

The axes are undefined where two principal moments are equal, and the network jumps there; where they nearly are, its
derivatives are large. Where moments are zero, on a line or in a plane, it is right: with all signs the components in
question average to zero, unless vectors of the nodes (``vector_inputs``) leave that line or plane.

Departures: the frames are differentiated, so that forces are the gradient of the energy, where the authors' are not
(``detached=True``, the preset ``particles``, is theirs); the vector is a displacement, where theirs is the position
less the centroid; nodes may have species and scalars, of which the authors' particles have none, and messages may see
radial functions in place of the squared distance.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Unpack, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, centred, edge_invariants, edge_vectors, vector_fields
from intertwine.geometry.frames import Frames, pca
from intertwine.nn import MLP, Backbone, MessagePassing, ModelCard, VectorInputs, check_sizes
from intertwine.nn.checks import require_space
from intertwine.nn.preset import OURS, Preset
from intertwine.numerics import InputError, segment
from intertwine.o3 import Irreps

#: Difference of two principal moments, relative to the largest, below which frames are not called unique.
GAP = 1e-2

Framed = Float[Tensor, "nodes frames width"]
Cloud = tuple[Float[Tensor, "points 3"], Int[Tensor, " points"]]  # points, and the graph of each
OnEdges = Float[Tensor, "edges frames hidden"]


class FramedLayer(MessagePassing):
    r"""Message and update in every frame: :math:`\phi_m` and :math:`\phi_h` have one hidden layer.

    Args:
        width: features of a node in a frame.
        edge_width: columns of a_ij, which are the same in all frames.
    """

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.phi_m = MLP([2 * width + edge_width, width, width], last=True, xavier=False)
        self.phi_h = MLP([2 * width, width, width], xavier=False)

    def prepare(self, f: Framed) -> tuple[Float[Tensor, "nodes frames hidden"], Float[Tensor, "nodes frames hidden"]]:
        first = cast(nn.Linear, self.phi_m.layers[0])
        of_i, of_j = first.weight[:, : 2 * f.shape[-1]].chunk(2, dim=1)
        # the first layer of phi_m, once per node and not per edge
        return F.linear(f, of_i, first.bias), F.linear(f, of_j)

    def message(self, f_i: OnEdges, f_j: OnEdges, a_ij: Float[Tensor, "edges k"]) -> OnEdges:
        of_edge = cast(nn.Linear, self.phi_m.layers[0]).weight[:, -a_ij.shape[1] :]
        return self.phi_m.after_first((f_i + f_j).add_(F.linear(a_ij, of_edge).unsqueeze(1)))

    def update(self, f_i: Framed, m_i: Framed) -> Framed:
        return f_i + self.phi_h(torch.cat([f_i, m_i], dim=-1))


class FrameAveragedGNN(Backbone):
    r"""Graph network with frames recomputed at every layer; all pairs of nodes are edges.

    Frames are of all nodes, and what a node sees turns with each of them: there is no cutoff, and no crystal. Returns
    ``width`` scalars and one vector (A) of each node.

    Args:
        width: features of a node in a frame (60 in the paper).
        vectors: how many vectors a node has between the layers, 3 features each; the others are scalars. None for a
            quarter of the width, so that a quarter of the features are scalars; 20 of 60 in the paper, without scalars.
        layers: number of layers (4 in the paper).
        scale: a, a typical distance of neighbours (A): messages see Gaussians of :math:`d / (d + a)`; None for the
            squared distance, as in the paper.
        reflections: average over the 8 frames of E(3); if not, over the 4 of SE(3), so that mirror images differ.
        detached: take the frames for constants in derivatives, as the authors do. Forces are then not the gradient of
            the energy.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; for the charged particles
            ``vector_inputs=("vel",)`` and ``edge_inputs=("charge_product",)``.

    Raises:
        InputError: more vectors than the width has room for.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="vector",
        body_order=5,
        symmetry="E(3) where frames are unique",
        paper="Puny, Atzmon, Ben-Hamu et al. 2022, arXiv:2110.03336",
    )
    _PARTICLES = Preset(
        {
            "width": 60,
            "vectors": 20,
            "layers": 4,
            "scale": None,
            "detached": True,
            "species": (),
            "vector_inputs": ("vel",),
            "edge_inputs": ("charge_product",),
        },
        source="arXiv:2110.03336, section 5.3; authors' code: nbody/run.sh (nf), nbody/n_body_system/model_FA.py",
    )
    in_frames: ClassVar[bool] = True  # axes turn by a rounding over the gap between moments
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "layers": 2}, source=OURS),
        "paper": _PARTICLES,
        "particles": _PARTICLES,
    }

    def __init__(
        self,
        width: int = 64,
        vectors: int | None = None,
        layers: int = 3,
        *,
        scale: float | None = 2.0,
        reflections: bool = True,
        detached: bool = False,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(None, inputs)
        self.vectors = max(width // 4, 1) if vectors is None else vectors
        check_sizes(width=width, vectors=self.vectors, layers=layers)
        if 3 * self.vectors > width:
            what = f"{self.vectors} vectors, which are {3 * self.vectors} of {width} features"
            raise InputError(what, where="vectors", remedy=f"give at most {width // 3}, or a larger width.")
        self.scalars, self.reflections, self.detached = width - 3 * self.vectors, reflections, detached
        self.irreps_out = Irreps(f"{width}x0e+1x1o")
        self.embedding = self.embed_nodes(width)
        self.place = nn.Linear(3 * (1 + sum(self.vector_inputs.values())), width, bias=False)
        self.pairs = None if scale is None else self.embed_pairs(scale)
        edge_width = 1 + sum(self.edge_inputs.values()) if self.pairs is None else self.pairs.width
        self.layers = nn.ModuleList(FramedLayer(width, edge_width) for _ in range(layers))
        self.out = MLP([width, width], last=True, xavier=False)
        self.outward = nn.Linear(width, 3, bias=False)  # with all signs a bias would average to zero

    @property
    def card(self) -> ModelCard:
        return self.CARD if self.reflections else replace(self.CARD, symmetry="SE(3) where frames are unique")

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        h, rotation, frames, _ = self.propagated(graph)
        weight = frames.weight.index_select(0, graph.membership())
        u = self.outward(self.out(h)).unsqueeze(-1)
        return torch.cat([mean(weight, h), out_of(rotation, weight, u).squeeze(-1)], dim=-1)

    def propagated(self, graph: Graph) -> tuple[Framed, Float[Tensor, "nodes frames 3 3"], Frames, list[Cloud]]:
        """After all layers: features in each frame, axes for each node, frames; and the points of which each layer has
        the axes.
        """
        require_space(graph)
        membership, a_ij, x = graph.membership(), self.surroundings(graph), centred(graph)
        clouds = [(x, membership)]
        frames = self.frames(*clouds[0], graph.graphs)
        v = torch.stack([x, *vector_fields(graph, self.vector_inputs)], dim=-1)
        rotation = frames.rotation.index_select(0, membership)
        h = self.embedding(graph).unsqueeze(1) + self.place(into(rotation, v).flatten(2))
        for number, layer in enumerate(self.layers):
            if number:
                s, v = self.averaged(h, rotation, frames, graph)
                clouds.append((v.transpose(1, 2).flatten(0, 1), membership.repeat_interleave(self.vectors)))
                frames = self.frames(*clouds[-1], graph.graphs)
                rotation = frames.rotation.index_select(0, membership)
                local = into(rotation, v).flatten(2)
                h = torch.cat([s.unsqueeze(1).expand(-1, local.shape[1], -1), local], dim=-1)
            h = layer(h, a_ij, graph.edge_index)
        return h, rotation, frames, clouds

    def averaged(
        self, h: Framed, rotation: Float[Tensor, "nodes frames 3 3"], frames: Frames, graph: Graph
    ) -> tuple[Float[Tensor, "nodes scalars"], Float[Tensor, "nodes 3 vectors"]]:
        """Scalars and vectors of the nodes, averaged over the frames; the vectors about their mean in each graph."""
        membership = graph.membership()
        weight = frames.weight.index_select(0, membership)
        s, u = h.split([self.scalars, 3 * self.vectors], dim=-1)
        v = out_of(rotation, weight, u.unflatten(-1, (3, self.vectors)))
        t = segment.mean(v.mean(-1), membership, graph.graphs)
        return mean(weight, s), v - t.index_select(0, membership).unsqueeze(-1)

    def undefined(self, graph: Graph) -> list[str]:
        """For each graph why the frames of a layer are not unique, so that nothing is claimed of it; "" where they are.

        Two principal moments closer than :data:`GAP` times the largest one are called equal. Both may be zero, unless
        the nodes have vectors.
        """
        with torch.no_grad():
            clouds, reasons = self.propagated(self.ready(graph))[-1], [""] * graph.graphs
        for number, (points, owner) in enumerate(clouds):
            moments = torch.linalg.eigvalsh(segment.sum(points.unsqueeze(2) * points.unsqueeze(1), owner, graph.graphs))
            least = GAP * moments[:, -1:]
            close = (moments.diff(dim=1) <= least) & ((moments[:, 1:] > least) | bool(self.vector_inputs))
            for k in close.any(1).nonzero().flatten().tolist():
                reasons[k] = reasons[k] or f"layer {number}: principal moments {_shown(moments[k])}"
        return reasons

    def frames(self, points: Float[Tensor, "points 3"], owner: Int[Tensor, " points"], graphs: int) -> Frames:
        """The principal axes of points about their centre, at the origin, with all signs."""
        group = "O(3)" if self.reflections else "SO(3)"
        return pca(points, owner, graphs, group=group, detached=self.detached)

    def surroundings(self, graph: Graph) -> Float[Tensor, "edges k"]:
        """a_ij: functions of the distance, and invariants of the edges."""
        x_ij = edge_vectors(graph)
        if self.pairs is not None:
            return self.pairs(graph, x_ij)
        return torch.cat([x_ij.square().sum(-1, keepdim=True), edge_invariants(graph, self.edge_inputs)], dim=-1)


def _shown(moments: Float[Tensor, " n"]) -> str:
    return ", ".join(f"{moment:.3g}" for moment in moments.tolist())


def into(
    rotation: Float[Tensor, "nodes frames 3 3"], v: Float[Tensor, "nodes 3 vectors"]
) -> Float[Tensor, "nodes frames 3 vectors"]:
    r""":math:`R_k^\top v`: vectors of the nodes in the coordinates of each frame."""
    axes = rotation.transpose(-1, -2).flatten(1, 2)  # of all frames at once: (nodes, 3 frames, 3)
    return (axes @ v).unflatten(1, (-1, 3))


def out_of(
    rotation: Float[Tensor, "nodes frames 3 3"],
    weight: Float[Tensor, "nodes frames"],
    u: Float[Tensor, "nodes frames 3 vectors"],
) -> Float[Tensor, "nodes 3 vectors"]:
    r""":math:`\sum_k w_k R_k u_k`: vectors in the coordinates of each frame moved back, and averaged."""
    axes = (rotation * weight[:, :, None, None]).transpose(1, 2).flatten(2)  # (nodes, 3, 3 frames)
    return axes @ u.flatten(1, 2)


def mean(weight: Float[Tensor, "nodes frames"], y: Float[Tensor, "nodes frames width"]) -> Float[Tensor, "nodes width"]:
    r""":math:`\sum_k w_k y_k`: invariants averaged over the frames."""
    return (weight.unsqueeze(1) @ y).squeeze(1)
