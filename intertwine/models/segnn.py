r"""SEGNN: messages and updates are steerable perceptrons, conditioned on geometric attributes of edges and nodes.

.. math::
    m_{ij} &= \phi_m\big(f_i, f_j, \|x_{ij}\|^2, e(d_{ij}) \,\big|\, a_{ij}\big)\; c(d_{ij}), &
    a_{ij} &= Y(\hat x_{ij}) \\
    f_i' &= f_i + \phi_f\Big(f_i, \tfrac{1}{\sqrt{\bar N}} \textstyle\sum_{j \in N(i)} m_{ij} \,\Big|\, a_i\Big), &
    a_i &= 1 \oplus \Big(\operatorname*{mean}_j a_{ij} + \textstyle\sum_k Y(v_i^k)\Big)_{l \ge 1}

The squared distance enters as :math:`\|x_{ij}\|^2 / r_c^2`, or :math:`\ln(1 + \|x_{ij}\|^2)` without a cutoff, where it
has no bound. Beside it are radial functions e: forces of neighbours that are close change too fast for a network of the
squared distance alone. Each :math:`\phi(\cdot | a)` is made of layers :math:`W(a)` and gates: two of each in
:math:`\phi_m`, and one gate between two layers in :math:`\phi_f`. The features start as :math:`W(a_i)` of the node's
scalars and vectors, and end as :math:`W(a_i)\, \mathrm{gate}(W(a_i) f_i)`. The vectors :math:`v^k` are velocities,
forces and the like. With a cutoff the envelope c takes messages smoothly to zero, and the mean of the attributes is
:math:`\sum_j c_{ij} a_{ij} / (1 + \sum_j c_{ij})`; without one, for systems of few particles, all pairs interact, there
is no c, and e are functions of :math:`d / (d + a)`.

:math:`Y(v)` is taken of :math:`v / \sqrt{\|v\|^2 + s^2}`: the direction of a long vector, as in the paper, but smooth
at v = 0.

Brandstetter, Hesselink, van der Pol, Bekkers, Welling, ICLR 2022, arXiv:2110.02905, section 3 (messages, update, node
attributes); "equivariant (steerable) message passing" of lecture 3.3.

Departures: the radial functions e beside the squared distance; the envelope; smooth directions; no instance norms,
which the authors have for molecules (for particles they have none); ``particles`` divides sums by 2, the root of the
number of neighbours, and centres each system, where the authors' code sums, and takes its own mean over x, y and z from
every particle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, centred, edge_vectors, vector_fields
from intertwine.nn import Backbone, ModelCard, VectorInputs
from intertwine.nn.attention import edge_mean
from intertwine.nn.checks import check_degree, check_lmax, check_outputs, check_sizes, hidden_irreps, require_space
from intertwine.nn.embedding import AnyDistance, EdgeEmbedding, gaussian_square
from intertwine.nn.irreps.steerable_linear import GatheredSteerableLinear, SteerableLinear
from intertwine.nn.irreps.steerable_mlp import SteerableMLP, reached, steerable_gate
from intertwine.nn.preset import OURS, Preset
from intertwine.numerics import InputError, safe, segment
from intertwine.o3 import Irreps, SphericalHarmonics
from intertwine.o3.blocks import join_blocks, split_blocks

INITIAL_WEIGHT_SCALE = 0.1  # initial weights of what a layer adds


class Conditions(NamedTuple):
    """What messages see besides features: a_ij (edges, dim_a), invariants (edges, k), envelope (edges, 1) or None; and
    a_i of the nodes.
    """

    edge: Float[Tensor, "edges dim"]
    invariants: Float[Tensor, "edges k"]
    envelope: Float[Tensor, "edges 1"] | None
    node: Float[Tensor, "nodes dim"]


class SEGNNLayer(nn.Module):
    r"""Message and update. The first layer of a message is linear in each of its three arguments, and maps those of
    nodes once per node.

    Args:
        irreps_in: representation of f, in ``ir_mul``.
        irreps_attribute: of the attributes of edges and of nodes.
        wanted: what f' and the messages may have; what can't be reached is left out.
        invariants: number of invariants of an edge.
        average_degree: average number of neighbours.
    """

    def __init__(
        self, irreps_in: Irreps, irreps_attribute: Irreps, wanted: Irreps, invariants: int, average_degree: float
    ) -> None:
        super().__init__()
        gate = steerable_gate(reached(irreps_in, irreps_attribute, wanted))
        self.first = GatheredSteerableLinear(
            [irreps_in, irreps_in, f"{invariants}x0e"], irreps_attribute, gate.irreps_in
        )
        self.gate = gate
        self.second = SteerableMLP(gate.irreps_out, irreps_attribute, [], wanted, last=True)
        sent = self.second.irreps_out
        gate = steerable_gate(reached(irreps_in + sent, irreps_attribute, wanted))
        self.update = SteerableLinear(irreps_in + sent, irreps_attribute, gate.irreps_in)
        self.update_gate = gate
        self.out = SteerableLinear(
            gate.irreps_out, irreps_attribute, reached(gate.irreps_out, irreps_attribute, wanted)
        )
        with torch.no_grad():
            # a layer starts near the identity, and depth does not blow features up
            self.out.linear.weight.mul_(INITIAL_WEIGHT_SCALE)
        self.irreps_in, self.irreps_out = irreps_in, self.out.irreps_out
        self.scale = average_degree**-0.5

    def forward(
        self, f: Float[Tensor, "nodes dim_in"], edge_index: Int[Tensor, "2 edges"], conditioning: Conditions
    ) -> Float[Tensor, "nodes dim_out"]:
        j, i = edge_index
        received, sent = self.first.expand(f, 0).index_select(0, i), self.first.expand(f, 1).index_select(0, j)
        h = self.first.total(received, sent, self.first.expand(conditioning.invariants, 2))
        m = self.second(self.gate(self.first.couple(h, conditioning.edge)), conditioning.edge)
        total = (
            segment.sum(m if conditioning.envelope is None else m * conditioning.envelope, i, f.shape[0]) * self.scale
        )
        u = self.update_gate(self.update(torch.cat([f, total], dim=1), conditioning.node))
        return _widened(f, self.irreps_in, self.irreps_out) + self.out(u, conditioning.node)


class SEGNN(Backbone):
    """SEGNN with any cutoff or none, any species and inputs.

    Args:
        width: channels of every irrep of the features.
        layers: messages and updates (4 for the paper's particles, 7 for its molecules).
        lmax: largest degree of features and attributes.
        lmax_attributes: largest degree of the attributes; None for ``lmax``.
        parity: whether features have irreps of both parities; without, only those of harmonics (0e, 1o, 2e, ...).
        outputs: irreps of the result.
        cutoff: r_c in A; None connects all pairs (the paper's particles).
        average_degree: average number of neighbours, to which sums are scaled; 1 sums as the paper does.
        scale: a, without a cutoff: a typical distance.
        vector_scale: s, below which a vector of ``vector_inputs`` counts as short, in its unit.
        centred: whether positions relative to the mean of their graph are among the first vectors, as for the paper's
            particles.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; messages see radial functions besides the
            squared distance, without a cutoff Gaussians; given vectors start the features and condition the updates.

    Raises:
        InputError: a size or scale that is not positive, a negative lmax, an output that no path leads to, centred with
            a cutoff.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="spherical tensor",
        body_order=5,
        symmetry="E(3)",
        rate=5.0,
        paper="Brandstetter et al. 2022, arXiv:2110.02905",
    )

    DEFAULTS = VectorInputs(radial_size=8)
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 16, "layers": 2, "lmax": 1}, source=OURS),
        "paper": Preset(
            {"width": 36, "layers": 7, "lmax": 2, "lmax_attributes": 3, "cutoff": 2.0, "average_degree": 1.0},
            source="authors' code: README.md (QM9: 7 layers, lmax_h 2, lmax_attr 3, radius 2), main.py "
            "(hidden_features 128), models/balanced_irreps.py (as many weights as 128 scalars: 13 paths, 36 "
            "channels)",
        ),
        "particles": Preset(
            {
                "width": 32,
                "layers": 4,
                "lmax": 1,
                "cutoff": None,
                "radial_size": 12,
                "average_degree": 4.0,
                "species": (),
                "node_inputs": ("speed",),
                "edge_inputs": ("charge_product",),
                "vector_inputs": ("vel",),
                "centred": True,
            },
            source="authors' code: README.md (N-body: 4 layers, lmax 1, hidden_features 64), models/balanced_irreps.py "
            "(4 paths, 32 channels)",
        ),
    }

    def __init__(
        self,
        width: int = 32,
        layers: int = 3,
        lmax: int = 1,
        lmax_attributes: int | None = None,
        parity: bool = False,
        outputs: str = "0e+1o",
        cutoff: float | None = 5.0,
        *,
        average_degree: float = 12.0,
        scale: float = 2.0,
        vector_scale: float = 0.1,
        centred: bool = False,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers)
        lmax_attributes = lmax if lmax_attributes is None else lmax_attributes
        for degree in (lmax, lmax_attributes):
            check_lmax(degree, "1 is usual")
        _check(average_degree, vector_scale, centred, cutoff)
        self.centred, self.vector_scale = centred, vector_scale
        self.embedding = self.embed_nodes(width)
        self.edges: EdgeEmbedding | AnyDistance = self.embed_pairs(scale) if cutoff is None else self.embed_edges()
        # mean of e_k^2, about
        square = (
            3 / cutoff**3
            if self.arguments["radial"] == "bessel" and cutoff is not None
            else gaussian_square(self.edges.functions)
        )
        self.spread = square**-0.5
        attribute = Irreps.spherical_harmonics(lmax_attributes)
        self.directions = SphericalHarmonics(attribute, True, "component")
        self.solid = SphericalHarmonics(attribute, False, "component")
        hidden = hidden_irreps(width, lmax, parity)
        vectors = sum(self.vector_inputs.values()) + centred
        start = Irreps([(width, "0e"), *([(vectors, "1o")] if vectors else [])])
        self.start = SteerableLinear(start, attribute, reached(start, attribute, hidden))
        current = self.start.irreps_out
        self.layers = nn.ModuleList()
        for _ in range(layers):
            layer = SEGNNLayer(current, attribute, hidden, 1 + self.edges.width, average_degree)
            self.layers.append(layer)
            current = layer.irreps_out
        last = Irreps([(width, ir) for _, ir in Irreps(outputs).regroup()])
        check_outputs(last, last)
        self.end = SteerableMLP(current, attribute, [hidden], last)
        check_outputs(last, self.end.irreps_out, "raise lmax or have parity")
        self.irreps_out = self.end.irreps_out

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        fields = vector_fields(graph, self.vector_inputs)
        conditioning = self.conditions(graph, fields)
        f = self.embedding(graph)
        if self.centred:
            fields = [*fields, centred(graph)]
        if fields:
            f = torch.cat([f, torch.stack([safe.compress(u) for u in fields], dim=-1).flatten(1)], dim=-1)
        f = self.start(f, conditioning.node)
        for layer in self.layers:
            f = layer(f, graph.edge_index, conditioning)
        return join_blocks(split_blocks(self.end(f, conditioning.node), self.end.irreps_out, "ir_mul"))

    def conditions(self, graph: Graph, fields: Sequence[Float[Tensor, "nodes 3"]]) -> Conditions:
        """Attributes and invariants, from the geometry and the vectors of the nodes."""
        if isinstance(self.edges, AnyDistance) or self.cutoff is None:
            x_ij, envelope = edge_vectors(graph), None
            attributes, square = self.edges(graph, x_ij), (x_ij * x_ij).sum(-1, keepdim=True).log1p()
        else:
            x_ij, _, _, attributes, envelope = self.edges(graph)
            square = (x_ij * x_ij).sum(-1, keepdim=True) * self.cutoff**-2
        functions = self.edges.functions
        invariants = torch.cat([square, attributes[:, :functions] * self.spread, attributes[:, functions:]], dim=1)
        a_ij = self.directions(x_ij)
        weight = None if envelope is None else envelope.squeeze(-1)
        a_i = edge_mean(a_ij[:, 1:], weight, graph.edge_index[1], graph.num_nodes)
        for v in fields:
            a_i = a_i + self.solid(v * ((v * v).sum(-1, keepdim=True) + self.vector_scale**2).rsqrt())[:, 1:]
        return Conditions(a_ij, invariants, envelope, F.pad(a_i, (1, 0), value=1.0))


def _widened(f: Float[Tensor, "nodes dim"], irreps: Irreps, wanted: Irreps) -> Float[Tensor, "nodes wanted"]:
    """f with zeros for the irreps that it lacks."""
    if irreps == wanted:
        return f
    blocks = {ir: piece for piece, (_, ir) in zip(f.split([block.dim for block in irreps], dim=1), irreps)}
    return torch.cat([blocks.get(block.ir, f.new_zeros(f.shape[0], block.dim)) for block in wanted], dim=1)


def _check(average_degree: float, vector_scale: float, centred: bool, cutoff: float | None) -> None:
    check_degree(average_degree)
    if not vector_scale > 0:
        raise InputError(
            f"vector_scale = {vector_scale}", where="vector_scale", remedy="give a positive length of a short vector."
        )
    if centred and cutoff is not None:
        raise InputError(
            "the centre of a graph is no local quantity", where="centred", remedy="leave it out, or set cutoff = None."
        )
