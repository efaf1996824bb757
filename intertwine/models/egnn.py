r"""EGNN: invariant non-linear messages, and positions that move along the edges; equivariant to E(n) for any n.

.. math::
    m_{ij} &= \phi_e(h_i, h_j, \|x_i - x_j\|^2, a_{ij}) \\
    v_i' &= \phi_v(h_i)\, v_i + C \textstyle\sum_j (x_i - x_j)\, \phi_x(m_{ij}), \qquad x_i' = x_i + v_i' \\
    h_i' &= h_i + \phi_h(h_i, \textstyle\sum_j m_{ij})

without velocities the first term of v' is absent; C = 1 / (N - 1). With a cutoff messages and moves are multiplied by
its envelope :math:`c_{ij}`, and :math:`C = 1 / (1 + \sum_j c_{ij})`. Satorras, Hoogeboom and Welling, ICML 2021
(arXiv:2102.09844), eq. 3 to 7; lecture 3.2. The velocity term uses the initial velocity in every layer, as the authors'
code does.

For molecules (presets ``qm9`` and ``paper``, which are the same) positions stay where they are (``moves=False``) and
:math:`\phi_h(h_i, \sum_j m_{ij}, h_i^0)` sees the first features in every layer (``initial=True``). The authors' code
has the latter as an option (``--node_attr``), off by default.

Departures: a molecule's first features are an embedding of its species, where the authors' are species times powers of
the charge; in ``particles`` the edges are told :math:`q_i q_j` alone, the authors' the squared distance at the start
as well; :math:`\phi_v` has one hidden layer and C is a mean, as in their code.
"""

from __future__ import annotations

from typing import ClassVar, Unpack, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph, edge_invariants, edge_vectors, vector_field
from intertwine.groups import Cartesian, DirectSum
from intertwine.nn import MLP, Backbone, Inputs, MessagePassing, ModelCard, PolynomialCutoff, check_sizes
from intertwine.nn.checks import require_space
from intertwine.nn.preset import OURS, Preset
from intertwine.numerics import GeometryError, InputError, safe, segment
from intertwine.o3 import Irreps

# h, u, the velocity, and h^0 where it is seen
State = tuple[
    Float[Tensor, "nodes width"],
    Float[Tensor, "nodes n"],
    Float[Tensor, "nodes n"] | None,
    Float[Tensor, "nodes width"] | None,
]
Shown = tuple[Float[Tensor, "nodes hidden"], Float[Tensor, "nodes n"]]  # what a node shows, and what is summed at it
Sent = tuple[Float[Tensor, "edges hidden"], Float[Tensor, "edges n"]]
# the edge at the start, a_ij if there are any, envelope with a cutoff, and C
Geometry = tuple[
    Float[Tensor, "edges n"],
    tuple[Float[Tensor, "edges k"], ...],
    Float[Tensor, "edges 1"] | None,
    Float[Tensor, "edges 1"],
]


class EGNNLayer(MessagePassing):
    r"""One layer on (h, u): features (nodes, F) and displacements u = x - x_initial (nodes, n).

    Args:
        width: features F.
        edge_width: edge invariants besides the distance.
        velocity: whether the nodes have velocities.
        attention: weigh messages by :math:`e_{ij} = \mathrm{sigmoid}(w \cdot m_{ij} + b)` (eq. 8).
        bounded: use :math:`(x_i - x_j)/(d_{ij} + 1)`, which keeps positions from running away.
        moves: whether positions move; if not, messages are summed and displacements are handed on.
        initial: whether phi_h sees the first features as well.
    """

    def __init__(
        self,
        width: int,
        edge_width: int,
        velocity: bool,
        attention: bool,
        bounded: bool,
        moves: bool = True,
        initial: bool = False,
    ) -> None:
        super().__init__()
        self.phi_e = MLP([2 * width + 1 + edge_width, width, width], last=True, xavier=False)
        self.phi_h = MLP([(3 if initial else 2) * width, width, width], xavier=False)
        self.phi_x = MLP([width, width], last=True, xavier=False) if moves else None
        self.step = nn.Linear(width, 1, bias=False) if moves else None
        self.phi_v = MLP([width, width, 1], xavier=False) if velocity and moves else None
        self.attend = nn.Linear(width, 1) if attention else None
        self.bounded, self.initial = bounded, initial
        if self.step is not None:
            nn.init.xavier_uniform_(self.step.weight, gain=0.001)  # the authors' start: positions hardly move

    def message(
        self, f_i: Sent, f_j: Sent, a_ij: Geometry
    ) -> tuple[Float[Tensor, "edges width"], Float[Tensor, "edges n"]]:
        (received, u_i), (sent, u_j), (x_ij, attributes, envelope, scale) = f_i, f_j, a_ij
        away = u_i - u_j - x_ij  # x_i - x_j now: x_ij = x_j - x_i at the start, periodic image included
        square = (away * away).sum(-1, keepdim=True)
        invariants = torch.cat([square, *attributes], dim=-1) if attributes else square
        of_edge = cast(nn.Linear, self.phi_e.layers[0]).weight[:, -invariants.shape[1] :]
        m = self.phi_e.after_first(torch.addmm(received + sent, invariants, of_edge.T))
        if self.attend is not None:
            m = m * self.attend(m).sigmoid()
        m = m if envelope is None else m * envelope
        if self.phi_x is None or self.step is None:
            return m, torch.zeros_like(away)
        away = away / (safe.sqrt(square) + 1) if self.bounded else away
        move = away * self.step(self.phi_x(m)) * scale
        return m, move if envelope is None else move * envelope

    def update(self, f_i: State, m_i: Shown) -> State:
        (h, u, v, first), (m, move) = f_i, m_i
        if self.phi_v is not None and v is not None:
            move = move + self.phi_v(h) * v
        return h + self.phi_h(torch.cat([h, m] if first is None else [h, m, first], dim=-1)), u + move, v, first

    def prepare(self, f: State) -> tuple[Shown, Shown]:
        h, u, _, _ = f
        first = cast(nn.Linear, self.phi_e.layers[0])
        of_i, of_j = first.weight[:, : 2 * h.shape[1]].chunk(2, dim=1)
        # the first layer of phi_e, once per node and not per edge
        return (F.linear(h, of_i, first.bias), u), (F.linear(h, of_j), u)


class EGNN(Backbone):
    """EGNN with or without velocities, in any dimension, with or without a cutoff.

    Returns the scalars h and one vector, the total displacement :math:`x_i^{last} - x_i` (A), if positions move.

    Args:
        width: features F (64 for the charged particles, 128 for QM9 in the paper).
        layers: 4 for the charged particles, 7 for QM9 in the paper.
        cutoff: r_c in A, beyond which messages vanish smoothly; None connects all pairs (the paper's particles).
        velocity: read ``graph.vel`` as the initial velocity.
        attention: the paper's soft edges, used for QM9.
        bounded: divide :math:`x_i - x_j` by :math:`d_{ij} + 1`; for deep or wide systems.
        dimension: n, the dimension of space.
        moves: whether positions move; in the paper's network for QM9 they do not, and the result is the scalars.
        initial: whether every update sees the first features :math:`h^0` beside its own.
        inputs: as of every model, :class:`~intertwine.nn.Inputs`; for the charged particles
            ``node_inputs=("speed",)``, and :math:`a_{ij}` is ``edge_inputs=("charge_product",)``.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="distance",
        body_order=2,
        symmetry="E(n)",
        paper="Satorras, Hoogeboom, Welling 2021, arXiv:2102.09844",
    )
    _QM9 = Preset(
        {"width": 128, "layers": 7, "attention": True, "cutoff": None, "moves": False, "initial": True},
        source="arXiv:2102.09844, section 5.3 and appendix C.3; authors' code: main_qm9.py, qm9/models.py",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "layers": 3}, source=OURS),
        "paper": _QM9,
        "qm9": _QM9,
        "particles": Preset(
            {
                "width": 64,
                "layers": 4,
                "cutoff": None,
                "velocity": True,
                "species": (),
                "node_inputs": ("speed",),
                "edge_inputs": ("charge_product",),
            },
            source="arXiv:2102.09844, section 5.1 and appendix C.1; authors' code: main_nbody.py, "
            "n_body_system/model.py",
        ),
    }

    def __init__(
        self,
        width: int = 64,
        layers: int = 4,
        cutoff: float | None = 5.0,
        velocity: bool = False,
        attention: bool = False,
        bounded: bool = False,
        dimension: int = 3,
        moves: bool = True,
        initial: bool = False,
        **inputs: Unpack[Inputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers, dimension=dimension)
        if velocity and not moves:
            raise InputError("velocities move nothing", where="moves", remedy="give moves=True, or velocity=False.")
        self.dimension, self.velocity, self.moves, self.initial = dimension, velocity, moves, initial
        scalar, vector = Cartesian(0, dimension=dimension), Cartesian(1, dimension=dimension)
        blocks = ((width, scalar), (1, vector)) if moves else ((width, scalar),)
        self.irreps_out = Irreps(f"{width}x0e" + "+1x1o" * moves) if dimension == 3 else DirectSum(blocks)
        self.embedding = self.embed_nodes(width)
        self.envelope = PolynomialCutoff(cutoff) if cutoff is not None else None
        self.layers = nn.ModuleList(
            EGNNLayer(width, sum(self.edge_inputs.values()), velocity, attention, bounded, moves, initial)
            for _ in range(layers)
        )

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph, self.dimension)
        if self.velocity and graph.get("vel") is None:
            remedy = "give Graph(..., vel=...), or build the model with velocity=False."
            raise GeometryError("the model needs velocities and the graph has none", where="vel", remedy=remedy)
        x_ij = edge_vectors(graph)
        attributes = (edge_invariants(graph, self.edge_inputs),) if self.edge_inputs else ()
        a_ij = (x_ij, attributes, *self.weights(x_ij, graph))
        h = self.embedding(graph)
        vel = vector_field(graph, "vel") if self.velocity else None
        f = (h, h.new_zeros(h.shape[0], self.dimension), vel, h if self.initial else None)
        for layer in self.layers:
            f = layer(f, a_ij, graph.edge_index)
        return torch.cat(f[:2], dim=-1) if self.moves else f[0]

    def weights(
        self, x_ij: Float[Tensor, "edges n"], graph: Graph
    ) -> tuple[Float[Tensor, "edges 1"] | None, Float[Tensor, "edges 1"]]:
        r"""Envelope c_ij and the constant C of each edge: 1/(number of neighbours), made continuous by
        :math:`1/(1 + \sum_j c_{ij})` where there is a cutoff, since a count jumps when a neighbour enters."""
        i = graph.edge_index[1]
        if self.envelope is None:
            degree = segment.count(i, graph.num_nodes, x_ij.dtype).clamp(min=1)
            return None, (1 / degree).index_select(0, i).unsqueeze(-1)
        envelope = self.envelope(safe.norm(x_ij))
        degree = 1 + segment.sum(envelope, i, graph.num_nodes)
        return envelope.unsqueeze(-1), (1 / degree).index_select(0, i).unsqueeze(-1)
