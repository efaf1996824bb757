r"""MACE: messages of many bodies, as equivariant polynomials of one sum over the neighbours.

.. math::
    A_i^{l_3} &= V \Big[\frac{1}{\bar N} \sum_{j \in N(i)}
    R(d_{ij}) \circ \big(U x_j \otimes Y(\hat x_{ij})\big)^{l_3}\Big], \qquad
    R(d) = \mathrm{MLP}\big(e(d)\, c(d)\big) \\
    B_i^L &= \sum_{\nu=1}^{\nu_{max}} \sum_\eta
    w^{\nu L}_{z_i \eta} \circ \big(\mathcal U^{\nu L}_\eta A_i \cdots A_i\big)
    \qquad (\nu \text{ factors, channel by channel}) \\
    x_i' &= M B_i + W_{z_i} x_i

with U, V, M linear maps of each irrep, :math:`W_z` and w those of a species, radial functions e and envelope c, and all
symmetric couplings :math:`\mathcal U` of :math:`\nu` factors (:class:`~intertwine.nn.SymmetricContraction`):
:math:`\nu` neighbours and the atom itself are correlated at the cost of one. The networks R have no biases: messages
vanish at the cutoff as the envelope does. The first layer, where x knows the species alone, may do without
:math:`W_z x`; then A becomes :math:`W_z A`, and an atom without neighbours has no features: its energy is its reference
energy.

The features are those of all layers, one after the other, because MACE's energy reads every layer:
:math:`E_i = \sum_t w_t \cdot s_i^{(t)} + \mathrm{MLP}(s_i^{(T)})`, s the scalars of x. Any head reads all of them, too.

Departures: none of the representation; the readouts of the energy are the task's head. With ``radial_knots`` (128 where
a force field is trained) splines stand for the networks R.

Batatia, Kovács, Simm, Ortner, Csányi, MACE: Higher order equivariant message passing neural networks for fast and
accurate force fields, NeurIPS 2022, arXiv:2206.07697, eq. 7 to 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Unpack, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import (
    Backbone,
    Convolution,
    ModelCard,
    PolynomialCutoff,
    SymmetricContraction,
    VectorInputs,
)
from intertwine.nn.checks import check_degree, check_lmax, check_outputs, check_sizes, require_space
from intertwine.nn.embedding import second_moment
from intertwine.nn.irreps.self_interaction import Kinds, SelfInteraction, sort_kinds
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.radial_spline import RadialNetwork, Sampled
from intertwine.numerics import InputError
from intertwine.o3 import Irreps, Linear, SphericalHarmonics
from intertwine.o3.blocks import join_blocks, split_blocks


class MACELayer(nn.Module):
    r"""One layer, :math:`x \mapsto M B(A(x)) + W_z x`, or :math:`M B(W_z A(x))`; features in ``ir_mul``.

    Args:
        irreps_in, irreps_out: representations of x and x'. irreps_edge: of the harmonics.
        correlated: of A, the same number of channels in every block, and in those of ``irreps_out``.
        correlation: :math:`\nu_{max}`.
        radial: widths of input and hidden layers of the radial network. variance: second moment of its input.
        average_degree: :math:`\bar N`.
        kinds: number of species.
        residual: whether :math:`W_z` acts on x, not on A.
    """

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_edge: Irreps,
        correlated: Irreps,
        irreps_out: Irreps,
        correlation: int,
        radial: Sequence[int],
        variance: float,
        average_degree: float,
        kinds: int,
        residual: bool,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out, self.residual = irreps_in, irreps_out, residual
        self.up = Linear(irreps_in, irreps_in, layout="ir_mul")
        # 1 / N, not 1 / sqrt(N)
        self.convolution = Convolution(irreps_in, irreps_edge, correlated, average_degree=average_degree**2)
        self.radial = RadialNetwork([*radial, self.convolution.weight_numel], F.silu, variance)
        self.down = Linear(self.convolution.irreps_out, correlated, layout="ir_mul")
        self.contraction = SymmetricContraction(correlated, irreps_out, correlation, kinds)
        self.mix = Linear(irreps_out, irreps_out, layout="ir_mul")
        between = (irreps_in, irreps_out) if residual else (correlated, correlated)
        self.self_interaction = SelfInteraction(*between, kinds)

    def forward(
        self,
        x: Float[Tensor, "nodes dim_in"],
        harmonics: Float[Tensor, "edges dim_edge"],
        filters: Float[Tensor, "edges k"] | Sampled,
        edge_index: Int[Tensor, "2 edges"],
        kind: Int[Tensor, " nodes"],
        kinds: Kinds,
    ) -> Float[Tensor, "nodes dim_out"]:
        a = self.down(self.convolution(self.up(x), harmonics, edge_index, self.radial.weights(filters)))
        if self.residual:
            return self.mix(self.contraction(a, kind)) + self.self_interaction(x, kinds)
        return self.mix(self.contraction(self.self_interaction(a, kinds), kind))


class MACE(Backbone):
    """MACE with any cutoff, species and inputs.

    Args:
        width: channels of every irrep of the features (256 in the paper).
        layers: 2 are enough, as the paper found.
        correlation: largest number of neighbours in one product, 1 to 4; 1 makes messages of two bodies.
        lmax: largest degree of harmonics and of A (3 in the paper).
        hidden_lmax: largest degree of the features that layers hand on (0 to 2 in the paper).
        outputs: irreps of the last layer. "0e" alone is enough for energies, and makes that layer cheap.
        first_residual: whether the first layer adds W_z x as the others do; without, an atom that is alone has no
            features.
        radial_width: width of the hidden layers of radial networks (64 in the paper).
        radial_layers: how many of them (3 in the paper).
        envelope_power: p of the polynomial envelope (5 in the paper).
        average_degree: average number of neighbours, by which sums are divided.
        radial_knots: distances that radial networks are asked at, joined by cubic splines
            (:mod:`intertwine.nn.radial_spline`), 8 for each radial function at least: faster where a batch has many
            edges; 0 asks them at every edge, and so do ``edge_inputs``.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; the paper's are 8 Bessel functions and the
            polynomial envelope. Without species all nodes are of one kind.

    Raises:
        InputError: a size that is not positive, a negative degree, an output that no product of so few factors leads
            to.
    """

    CARD = ModelCard(
        message="linear",
        geometry="spherical tensor",
        body_order=4,
        symmetry="E(3)",
        rate=2.5,
        paper="Batatia et al. 2022, arXiv:2206.07697",
    )

    DEFAULTS = VectorInputs(radial_size=8)
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 16, "correlation": 2, "radial_width": 32, "radial_layers": 2}, source=OURS),
        "paper": Preset(
            {
                "width": 256,
                "layers": 2,
                "correlation": 3,
                "lmax": 3,
                "hidden_lmax": 2,
                "cutoff": 5.0,
                "radial_size": 8,
                "radial_width": 64,
                "radial_layers": 3,
                "envelope_power": 5,
                "radial_knots": 0,
            },
            source="arXiv:2206.07697, appendix, training details (rMD17: 256 channels, lmax 3, L = 2); authors' code: "
            "mace/tools/arg_parser.py (the other defaults)",
        ),
    }

    def __init__(
        self,
        width: int = 32,
        layers: int = 2,
        correlation: int = 3,
        lmax: int = 2,
        hidden_lmax: int = 1,
        outputs: str = "0e",
        first_residual: bool = True,
        cutoff: float = 5.0,
        *,
        radial_width: int = 64,
        radial_layers: int = 3,
        envelope_power: int = 5,
        average_degree: float = 12.0,
        radial_knots: int = 0,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers, correlation=correlation)
        check_sizes(radial_width=radial_width, radial_layers=radial_layers)
        for degree in (lmax, hidden_lmax):
            check_lmax(degree, "3 is usual, and hidden_lmax = 1")
        check_degree(average_degree)
        self.correlation = correlation
        self.embedding = self.embed_nodes(width)
        self.kinds = len(self.embedding.table.known) if self.embedding.table is not None else 1
        self.edges = self.embed_edges(radial_knots)
        if self.arguments["cutoff_function"] == "polynomial":
            self.edges.envelope = PolynomialCutoff(cutoff, envelope_power)
        edge = Irreps.spherical_harmonics(lmax)
        self.harmonics = SphericalHarmonics(edge, True, "component")
        self.vectors = self.embed_vectors(width)
        radials = [self.edges.width, *[radial_width] * radial_layers]
        square = (
            3 / cutoff**3 if self.arguments["radial"] == "bessel" else 1.0
        )  # where neighbours have a uniform density
        variance = second_moment(self.edges.width, self.edges.functions, square)
        hidden = Irreps([(width, ir) for _, ir in Irreps.spherical_harmonics(hidden_lmax)])
        last = Irreps([(width, ir) for _, ir in Irreps(outputs).regroup()])
        check_outputs(last, last)
        current = Irreps([(width, "0e"), *([(width, "1o")] if self.vectors is not None else [])])
        correlated, common = Irreps([(width, ir) for _, ir in edge]), (radials, variance, average_degree, self.kinds)
        self.layers, total = nn.ModuleList(), Irreps()
        for number in range(layers):
            wanted = hidden if number < layers - 1 else last
            layer = MACELayer(current, edge, correlated, wanted, correlation, *common, number > 0 or first_residual)
            self.layers.append(layer)
            current = wanted
            total += wanted
            _reached(layer.contraction)
        self.irreps_out = total

    @property
    def card(self) -> ModelCard:
        return replace(self.CARD, body_order=self.correlation + 1)

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        edges, x = self.edges(graph), self.embedding(graph)
        table = self.embedding.table
        kind = table(graph.z) if table is not None else torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
        kinds = sort_kinds(kind, torch.eye(self.kinds, dtype=x.dtype, device=x.device) * self.kinds**0.5)
        if self.vectors is not None:
            x = torch.cat([x, self.vectors(graph).flatten(1)], dim=-1)
        harmonics, filters = self.harmonics(edges.vectors), self.edges.filters(edges)
        invariants = []
        for layer in self.layers:
            x = layer(x, harmonics, filters, graph.edge_index, kind, kinds)
            invariants.append(join_blocks(split_blocks(x, cast(MACELayer, layer).irreps_out, "ir_mul")))
        return torch.cat(invariants, dim=1)


def _reached(contraction: SymmetricContraction) -> None:
    """An error that names the irreps of a contraction without couplings, since their features would always be 0."""
    weights, missing = iter(contraction.weights), []
    for (_, ir), degrees in zip(contraction.irreps_out, contraction.correlations, strict=True):
        if not sum([next(weights).shape[1] for _ in range(degrees)]):
            missing.append(str(ir))
    if missing:
        remedy = (
            "raise lmax or the correlation; products of n harmonics reach degree n lmax, with the parity (-1)^l only."
        )
        raise InputError(
            f"no product of the harmonics leads to {', '.join(missing)}", where="outputs, hidden_lmax", remedy=remedy
        )
