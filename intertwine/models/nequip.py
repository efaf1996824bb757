r"""NequIP: steerable features of every degree and both parities, convolved with harmonics; an interaction potential
from few data.

.. math::
    L_i^{l_3 p_3} &= \frac{1}{\sqrt{\bar N}} \sum_{j \in N(i)}
    R(d_{ij}) \circ \big(U x_j \otimes Y(\hat x_{ij})\big)^{l_3 p_3}, \qquad
    R(d) = \mathrm{MLP}\big(e(d)\, c(d)\big) \\
    x_i' &= \mathrm{gate}\big(V L_i + W_{z_i} x_i\big), \qquad
    \mathrm{gate}(s, g, t) = \big(\phi(s),\; \mathrm{silu}(g) \circ t\big)

with U, V linear maps of each irrep, :math:`W_z` one of each species (the self-interaction, a product of features and
attributes of the node that is evaluated once per species), radial functions e and envelope c. The networks R have no
biases: messages vanish at the cutoff as the envelope does. :math:`\phi` is silu for even and tanh for odd scalars.
Departures: with ``radial_knots`` (128 where a force field is trained) splines stand for the networks R; the frequencies
of the Bessel functions are not trained; gates of odd scalars are silu (tanh in the file that the preset cites). Without
:math:`W_z` in the first layer, as in the package nequip, an atom without neighbours has no features.

Batzner, Musaelian, Sun, Geiger, Mailoa, Kornbluth, Molinari, Smidt, Kozinsky, Nature Communications 13, 2453 (2022),
arXiv:2101.03164, eq. 2 to 7; a special case of the steerable group convolution of the lecture "Steerable group
convolutions", with X = R^3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import Backbone, Convolution, ModelCard, VectorInputs
from intertwine.nn.checks import check_sizes, hidden_irreps, require_space
from intertwine.nn.embedding import second_moment
from intertwine.nn.irreps.self_interaction import Kinds, SelfInteraction, sort_kinds
from intertwine.nn.irreps.steerable_mlp import reached, steerable_gate
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.radial_spline import RadialNetwork, Sampled
from intertwine.nn.stack import stacked
from intertwine.numerics import InputError, choose
from intertwine.o3 import Irreps, Linear, SphericalHarmonics
from intertwine.o3.blocks import join_blocks, split_blocks

GATES: dict[str, Callable[[Tensor], Tensor]] = {"silu": F.silu, "sigmoid": torch.sigmoid}


class NequIPLayer(nn.Module):
    r"""Interaction block and gate: :math:`x \mapsto \mathrm{gate}(V\, \mathrm{conv}(U x) + W_z x)`, features in
    ``ir_mul``.

    Args:
        irreps_in: representation of x. irreps_edge: of the harmonics.
        wanted: what the output may have; what can't be reached from x is left out.
        radial: widths of input and hidden layers of the radial network. variance: second moment of its input.
        average_degree: average number of neighbours.
        attributes: number of the nodes' attributes; 0 for no :math:`W_z`.
        gate: function of the gates, a name of :data:`GATES`.
    """

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_edge: Irreps,
        wanted: Irreps,
        radial: Sequence[int],
        variance: float,
        average_degree: float,
        attributes: int,
        gate: str = "silu",
    ) -> None:
        super().__init__()
        self.gate = steerable_gate(reached(irreps_in, irreps_edge, wanted), gate=GATES[gate])
        self.irreps_in, self.irreps_out = irreps_in, self.gate.irreps_out
        self.up = Linear(irreps_in, irreps_in, layout="ir_mul")
        self.convolution = Convolution(irreps_in, irreps_edge, self.gate.irreps_in, average_degree=average_degree)
        self.radial = RadialNetwork([*radial, self.convolution.weight_numel], F.silu, variance)
        self.down = Linear(self.convolution.irreps_out, self.gate.irreps_in, layout="ir_mul")
        self.self_interaction = SelfInteraction(irreps_in, self.gate.irreps_in, attributes) if attributes else None

    def forward(
        self,
        x: Float[Tensor, "nodes dim_in"],
        harmonics: Float[Tensor, "edges dim_edge"],
        filters: Float[Tensor, "edges k"] | Sampled,
        edge_index: Int[Tensor, "2 edges"],
        kinds: Kinds,
    ) -> Float[Tensor, "nodes dim_out"]:
        z = self.down(self.convolution(self.up(x), harmonics, edge_index, self.radial.weights(filters)))
        return self.gate(z if self.self_interaction is None else z + self.self_interaction(x, kinds))


class NequIP(Backbone):
    """NequIP with any cutoff, species and inputs.

    Args:
        width: channels of every irrep of the features (32 in the paper's molecules).
        layers: interaction blocks (4 to 6 in the paper).
        lmax: largest degree of features and harmonics (1 to 3 in the paper).
        parity: whether features have irreps of both parities (the paper's); without, only those of harmonics (0e, 1o,
            2e, ...).
        irreps: the hidden features, "64x0e+32x1o" for example, instead of ``width`` channels of each irrep up to
            ``lmax``.
        outputs: irreps of the result. "0e" alone is enough for energies, and makes the last layer cheap.
        attributes: size of the embedding of species; None for as many as there are scalars.
        first_self_interaction: whether the first layer has one, too; without, an atom that is alone has no features.
        radial_width: width of the hidden layers of radial networks.
        radial_layers: how many of them.
        average_degree: average number of neighbours, to which sums are scaled.
        radial_knots: distances that radial networks are asked at, joined by cubic splines
            (:mod:`intertwine.nn.radial_spline`), 8 for each radial function at least: faster where a batch has many
            edges; 0 asks them at every edge, and so do ``edge_inputs``.
        gate: function of the gates: "silu" (the paper's), or "sigmoid", with which features do not grow with the square
            of what goes in: better where some nodes are given much larger vectors than others.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; in the paper 8 Bessel functions and the
            polynomial envelope, p = 6.

    Raises:
        InputError: a size that is not positive, irreps without scalars, an output that no path leads to.
    """

    CARD = ModelCard(
        message="linear",
        geometry="spherical tensor",
        body_order=2,
        symmetry="E(3)",
        rate=2.5,
        paper="Batzner et al. 2022, arXiv:2101.03164",
    )

    irreps_out: Irreps

    DEFAULTS = VectorInputs(radial_size=8)
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 16, "layers": 3, "lmax": 1, "parity": False, "radial_width": 32}, source=OURS),
        "paper": Preset(
            {
                "width": 32,
                "layers": 4,
                "lmax": 3,
                "parity": True,
                "cutoff": 4.0,
                "radial_size": 8,
                "radial_width": 64,
                "radial_layers": 2,
                "outputs": "0e",
                "radial_knots": 0,
            },
            source="authors' code: configs/full.yaml (r_max, num_layers, 32 features, num_basis, invariant_layers, "
            "invariant_neurons), with lmax 3 of arXiv:2101.03164, methods (lmax 1 in that file)",
        ),
    }

    def __init__(
        self,
        width: int = 32,
        layers: int = 3,
        lmax: int = 2,
        parity: bool = False,
        irreps: str | None = None,
        outputs: str = "0e+1o",
        attributes: int | None = None,
        first_self_interaction: bool = True,
        cutoff: float = 5.0,
        *,
        radial_width: int = 64,
        radial_layers: int = 1,
        average_degree: float = 12.0,
        radial_knots: int = 0,
        gate: str = "silu",
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        choose(gate, GATES, kind="function of gates", where="gate")
        check_sizes(width=width, layers=layers, radial_width=radial_width, radial_layers=radial_layers)
        if attributes is not None and attributes < 1:
            raise InputError(
                f"{attributes} attributes", where="attributes", remedy="give 1 or more, or none for as many as scalars."
            )
        hidden, edge = _hidden(width, lmax, parity, irreps), Irreps.spherical_harmonics(lmax)
        scalars = attributes or hidden.count("0e")
        self.embedding, self.edges = self.embed_nodes(scalars), self.embed_edges(radial_knots)
        self.harmonics = SphericalHarmonics(edge, True, "component")
        vectors = hidden.count("1o") or scalars
        self.vectors = self.embed_vectors(vectors)
        last = Irreps([(hidden.count(ir) or hidden.count("0e"), ir) for _, ir in Irreps(outputs).regroup()])
        widths = [self.edges.width, *[radial_width] * radial_layers]
        # as small a start as that of the package nequip at 5 A, where it takes (2 / r_c) sin(n pi d / r_c) / d to have
        # variance 1
        variance = second_moment(
            self.edges.width,
            self.edges.functions,
            2.5 * (5 / cutoff) ** 3 if self.arguments["radial"] == "bessel" else 1.0,
        )
        current = Irreps([(scalars, "0e"), *([(vectors, "1o")] if self.vectors is not None else [])])

        def layer(number: int, irreps: Irreps, wanted: Irreps) -> NequIPLayer:
            kinds = scalars if number or first_self_interaction else 0
            return NequIPLayer(irreps, edge, wanted, widths, variance, average_degree, kinds, gate)

        self.layers, self.irreps_out = stacked(layer, current, [hidden] * (layers - 1) + [last], edge)

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        edges, x = self.edges(graph), self.embedding(graph)
        kinds = self.kinds(graph, x)
        if self.vectors is not None:
            x = torch.cat([x, self.vectors(graph).flatten(1)], dim=-1)
        harmonics, filters = self.harmonics(edges.vectors), self.edges.filters(edges)
        for layer in self.layers:
            x = layer(x, harmonics, filters, graph.edge_index, kinds)
        return join_blocks(split_blocks(x, self.irreps_out, "ir_mul"))

    def kinds(self, graph: Graph, x: Float[Tensor, "nodes width"]) -> Kinds:
        """The nodes by species; each species separately where invariants tell them apart, or where a compiler can't
        have lists of lengths.
        """
        table, species = self.embedding.table, self.embedding.species
        if table is None or species is None or self.embedding.linear is not None:
            return Kinds(x * (1 + x.square().mean(1, keepdim=True)).rsqrt())  # bounded, as the features of species are
        return sort_kinds(table(graph.z), species.weight)


def _hidden(width: int, lmax: int, parity: bool, irreps: str | None) -> Irreps:
    """The irreps asked for, or width x l of both parities, or of those of harmonics."""
    made = hidden_irreps(width, lmax, parity)
    if irreps is None:
        return made
    hidden = Irreps(irreps).simplify()
    if not hidden.count("0e"):
        raise InputError(f"{hidden} have no even scalars", where="irreps", remedy="add some, 32x0e for example.")
    return hidden
