r"""DimeNet++: messages live on directed edges and look at the angle to the edges before them.

.. math::
    e_{ji} &= u(d_{ji})\, \frac{\sin(k_n d_{ji} / r_c)}{d_{ji} / r_c}, \qquad
    a_{kj,ji} = u(d_{kj})\, R_{ln}(d_{kj} / r_c)\, Y_l(\cos\alpha_{kj,ji}) \\
    m_{ji} &= \sigma\big(W [h_i, h_j, \sigma(W_e e_{ji} + b)] + b\big) \\
    m_{ji}' &= f\Big(m_{ji},\; \sigma(W_\mathrm{ji} m_{ji} + b) + \sigma\Big(W_\uparrow \sum_{k \in N(j) \setminus i}
        W a_{kj,ji} \circ \sigma\big(W_\downarrow(W e_{kj} \circ \sigma(W_\mathrm{kj} m_{kj} + b))\big)\Big)\Big) \\
    h_i &= \sum_\mathrm{blocks} W_\mathrm{out}\, \mathrm{MLP}\Big(W_\uparrow \sum_j W e_{ji} \circ m_{ji}\Big)

with residual layers f. So it is message passing twice over: the edges are nodes of the line graph, whose edges are the
triplets k -> j -> i, and their messages are summed at the atoms. u is the envelope of eq. 8, :math:`R_{ln}`,
:math:`Y_l` the solutions of the wave equation (:mod:`intertwine.nn.paths.spherical_bessel`), k_n trained from
:math:`n \pi`. Every message that leaves an edge carries e or a, so it vanishes smoothly at the cutoff. The angle enters
by its cosine only, as a polynomial: collinear atoms are nothing special.

:math:`\alpha` is the angle between consecutive edges, 0 on a straight path, as in the authors' DimeNet++ (the paper's
eq. 4 has :math:`\pi - \alpha`; :math:`P_l` absorbs that in a sign of W). The paper's :math:`\sqrt{2/r_c}` and its like
are left to W, as there.

Departures: an output block gives ``features`` scalars of a node, of which the task's head makes the target; the
authors' gives the target.

Gasteiger, Giri, Margraf and Günnemann 2020 (arXiv:2011.14115), section 3; Gasteiger, Groß and Günnemann, ICLR 2020
(arXiv:2003.03123), eq. 4 to 8, figure 4; lecture "Equivariant GNNs", invariant networks 2: bond angles, 2-hop, body
order 3.
"""

from __future__ import annotations

import math
from typing import ClassVar, TypeVar, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, directions, distances, edge_invariants, edge_vectors
from intertwine.geometry.triplets import triplets
from intertwine.nn import MLP, Backbone, Inputs, MessagePassing, ModelCard, PolynomialCutoff, check_sizes
from intertwine.nn.edge_mlp import EdgeLinear
from intertwine.nn.paths.spherical_bessel import LegendreBasis, SphericalBesselBasis
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.shapes import Lists
from intertwine.numerics import safe, segment
from intertwine.o3 import Irreps

Module = TypeVar("Module", bound=nn.Module)
# messages and radial functions of the edges
Features = tuple[Float[Tensor, "edges width"], Float[Tensor, "edges radial"]]


class DimeNetBasis(nn.Module):
    """The functions e of edges (edges, radial_size) and a of triplets (triplets, degrees * radial_size).

    Args:
        cutoff: r_c in A.
        radial_size: functions of the distance.
        degrees: functions of the angle, l = 0 ... degrees - 1.
        authors: divide a by d / r_c, as the authors' code does and their weights expect.
    """

    def __init__(self, cutoff: float, radial_size: int, degrees: int, authors: bool) -> None:
        super().__init__()
        self.envelope = PolynomialCutoff(cutoff)
        self.cutoff, self.authors = self.envelope.cutoff, authors
        self.waves = nn.Parameter(math.pi * torch.arange(1, radial_size + 1))
        self.radial, self.angular = SphericalBesselBasis(degrees, radial_size), LegendreBasis(degrees)

    def forward(
        self, graph: Graph, kj_ji: Int[Tensor, "2 triplets"]
    ) -> tuple[Float[Tensor, "edges radial"], Float[Tensor, "triplets k"]]:
        vectors = edge_vectors(graph)
        d, unit = distances(vectors), directions(vectors)
        u, envelope = d / self.cutoff, self.envelope(d).unsqueeze(-1)
        edges = self.waves * safe.sinc(self.waves * u.unsqueeze(-1)) * envelope
        radial = self.radial(u) * envelope
        if self.authors:
            radial = radial * torch.where(u > 0, 1 / torch.where(u > 0, u, 1.0), 0.0).unsqueeze(-1)
        kj, ji = kj_ji
        angular = self.angular((unit.index_select(0, kj) * unit.index_select(0, ji)).sum(-1))
        products = radial.index_select(0, kj).unflatten(-1, (angular.shape[-1], -1)) * angular.unsqueeze(-1)
        return edges, products.flatten(1)


class DimeNetLayer(MessagePassing):
    """One interaction block: message passing between edges, along the triplets. Features are (m, e); m is updated.

    Args:
        width: features F of an edge.
        triplet_width: features that a triplet carries.
        basis_width: features that functions of distance and angle are squeezed to.
        radial_size, degrees: of the basis.
        before_skip, after_skip: residual layers.
    """

    def __init__(
        self,
        width: int,
        triplet_width: int,
        basis_width: int,
        radial_size: int,
        degrees: int,
        before_skip: int,
        after_skip: int,
    ) -> None:
        super().__init__()
        self.radial = nn.Sequential(linear(radial_size, basis_width), linear(basis_width, width))
        self.angular = nn.Sequential(linear(degrees * radial_size, basis_width), linear(basis_width, triplet_width))
        self.own, self.sent = linear(width, width, bias=True), linear(width, width, bias=True)
        self.down, self.up = linear(width, triplet_width), linear(triplet_width, width)
        self.before = nn.ModuleList(residual(width) for _ in range(before_skip))
        self.skip = linear(width, width, bias=True)
        self.after = nn.ModuleList(residual(width) for _ in range(after_skip))

    def prepare(self, f: Features) -> tuple[None, Float[Tensor, "edges inner"]]:
        m, e = f
        return None, F.silu(self.down(F.silu(self.sent(m)) * self.radial(e)))

    def message(
        self, f_i: None, f_j: Float[Tensor, "triplets inner"], a_ij: Float[Tensor, "triplets k"]
    ) -> Float[Tensor, "triplets inner"]:
        return f_j * self.angular(a_ij)

    def update(self, f_i: Features, m_i: Float[Tensor, "edges inner"]) -> Features:
        m, e = f_i
        h = F.silu(self.own(m)) + F.silu(self.up(m_i))
        for layer in self.before:
            h = h + layer(h)
        h = m + F.silu(self.skip(h))
        for layer in self.after:
            h = h + layer(h)
        return h, e


class DimeNetOutput(nn.Module):
    """One output block: from the edges to the nodes that they point at.

    Args:
        width: features of an edge.
        radial_size: functions of the distance.
        output_width: features inside.
        output_layers: hidden layers.
        features: features of a node.
    """

    def __init__(self, width: int, radial_size: int, output_width: int, output_layers: int, features: int) -> None:
        super().__init__()
        self.radial, self.up = linear(radial_size, width), linear(width, output_width)
        self.hidden = initialised(MLP([output_width] * (output_layers + 1), last=True))
        self.out = linear(output_width, features)

    def forward(
        self, m: Float[Tensor, "edges width"], e: Float[Tensor, "edges radial"], i: Int[Tensor, " edges"], nodes: int
    ) -> Float[Tensor, "nodes features"]:
        return self.out(self.hidden(self.up(segment.sum(self.radial(e) * m, i, nodes))))


class DimeNet(Backbone):
    """DimeNet++ with any cutoff, periodic or not, in any dimension.

    Args:
        width: features F of an edge.
        layers: interaction blocks.
        radial_size: functions of the distance.
        degrees: functions of the angle, l = 0 ... degrees - 1.
        triplet_width: features that a triplet carries; what it costs is proportional to this.
        basis_width: features that functions of distance and angle are squeezed to.
        output_width: features inside of the output blocks.
        output_layers: hidden layers of an output block.
        features: features of a node that are given out; None for ``output_width``.
        before_skip, after_skip: residual layers of a block before and after its message is added.
        authors: divide the triplets' basis by d / r_c, as the authors' code and weights do (the paper does not). It
            diverges where atoms coincide.
        inputs: as of every model, :class:`~intertwine.nn.Inputs`; the first messages see the invariants of edges.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="angle",
        body_order=5,
        symmetry="E(n)",
        paper="Gasteiger et al. 2020, arXiv:2011.14115",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset(
            {"width": 64, "layers": 3, "triplet_width": 32, "output_width": 64, "output_layers": 1}, source=OURS
        ),
        "paper": Preset(
            {
                "width": 128,
                "layers": 4,
                "cutoff": 5.0,
                "radial_size": 6,
                "degrees": 7,
                "triplet_width": 64,
                "basis_width": 8,
                "output_width": 256,
                "output_layers": 3,
                "before_skip": 1,
                "after_skip": 2,
            },
            source="authors' code: config_pp.yaml (DimeNet++); arXiv:2011.14115, section 3",
        ),
    }

    LISTS: ClassVar[dict[str, tuple[int, ...]]] = {"triplets": (1,)}

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        cutoff: float = 5.0,
        radial_size: int = 6,
        degrees: int = 7,
        triplet_width: int = 32,
        basis_width: int = 8,
        output_width: int = 64,
        output_layers: int = 1,
        features: int | None = None,
        before_skip: int = 1,
        after_skip: int = 2,
        authors: bool = False,
        **inputs: Unpack[Inputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers, radial_size=radial_size, degrees=degrees, triplet_width=triplet_width)
        check_sizes(basis_width=basis_width, output_width=output_width, output_layers=output_layers)
        features = output_width if features is None else features
        check_sizes(features=features)
        self.irreps_out = Irreps(f"{features}x0e")
        self.basis = DimeNetBasis(cutoff, radial_size, degrees, authors)
        self.embedding = self.embed_nodes(width)
        self.edge = nn.Linear(radial_size + sum(self.edge_inputs.values()), width)
        self.first = EdgeLinear(width, width, width, width)
        sizes = (width, triplet_width, basis_width, radial_size, degrees, before_skip, after_skip)
        self.layers = nn.ModuleList(DimeNetLayer(*sizes) for _ in range(layers))
        blocks = range(layers + 1)
        self.outputs = nn.ModuleList(
            DimeNetOutput(width, radial_size, output_width, output_layers, features) for _ in blocks
        )

    def lists(self, graph: Graph) -> Lists:
        return {"triplets": triplets(graph)}

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        i, kj_ji = graph.edge_index[1], self.listed(graph)["triplets"]
        e, a = self.basis(graph, kj_ji)
        m, h = self.messages(graph, e), e.new_zeros(graph.num_nodes, self.irreps_out.dim)
        for layer, output in zip((None, *self.layers), self.outputs, strict=True):
            m = m if layer is None else layer((m, e), a, kj_ji)[0]
            h = h + output(m, e, i, graph.num_nodes)
        return h

    def messages(self, graph: Graph, e: Float[Tensor, "edges radial"]) -> Float[Tensor, "edges width"]:
        """The embedding block: what each edge starts with."""
        if self.edge_inputs:
            e = torch.cat([e, edge_invariants(graph, self.edge_inputs)], dim=-1)
        return F.silu(self.first.of_edges(self.embedding(graph), F.silu(self.edge(e)), graph.edge_index))


def residual(width: int) -> MLP:
    return initialised(MLP([width, width, width], last=True))


def linear(inputs: int, outputs: int, bias: bool = False) -> nn.Module:
    return initialised(nn.Linear(inputs, outputs, bias))


def initialised(module: Module) -> Module:
    """The authors' start: orthogonal matrices of Glorot's variance, 2 / (inputs + outputs), and no bias."""
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.orthogonal_(parameter)
            with torch.no_grad():
                parameter.mul_(math.sqrt(2 / sum(parameter.shape)) / parameter.square().mean().sqrt())
    return module
