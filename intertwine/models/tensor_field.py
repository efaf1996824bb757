r"""Tensor field network: features of every degree, convolved with harmonics times learned radial functions.

.. math::
    L^{(l_o)}_{i c} &= \frac{1}{\sqrt{\bar N}} \sum_{j \in N(i)} R^{(l_f, l_i)}_c(d_{ij})\,
    \big(Y^{(l_f)}(\hat x_{ij}) \otimes V^{(l_i)}_{j c}\big)^{(l_o)}
    && \text{point convolution} \\
    V^{(l)}_{i c} &\leftarrow \sum_{c'} W^{(l)}_{c c'} L^{(l)}_{i c'} + \delta_{l 0}\, b_c
    && \text{self-interaction of the concatenated channels} \\
    V^{(0)} &\leftarrow \eta\big(V^{(0)}\big), \qquad
    V^{(l)}_{i c} \leftarrow \frac{\eta\big(\|V^{(l)}_{i c}\| + b^{(l)}_c\big)}{1 + \|V^{(l)}_{i c}\|}\, V^{(l)}_{i c}
    && \text{non-linearity}

with :math:`\eta` the shifted softplus and R a multilayer perceptron of Gaussians of the distance, times an envelope, so
that messages vanish smoothly at the cutoff. The paper has no denominator: then a tensor leaves each layer with the
square of its length, and a few fast particles of a data set overflow the network. The norm is
:math:`\sqrt{\|V\|^2 + \epsilon^2} - \epsilon`, without the cusp at zero. A layer has no skip connection in the paper;
``residual`` adds the input's own self-interaction before the non-linearity.

Departures: the denominator, the smooth norm and the envelope (the paper sums over all pairs, and 2.5 A is its last
Gaussian); Gaussians of one over twice the squared spacing (the authors' 1 / spacing); shifted softplus for ReLU in the
radial networks; the last of the three layers has 15 channels, one in their network for missing points.

Thomas, Smidt, Kearnes, Yang, Li, Kohlhoff, Riley (2018), arXiv:1802.08219, sections 4.1 to 4.3. Features have the
parity of harmonics, or both parities: then the network is O(3) equivariant and tells pseudoscalars from scalars.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import MLP, Backbone, Convolution, ModelCard, VectorInputs, shifted_softplus
from intertwine.nn.checks import check_sizes, check_smoothing, hidden_irreps, require_space
from intertwine.nn.irreps.steerable_mlp import reached
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.stack import stacked
from intertwine.numerics import safe
from intertwine.o3 import Irreps, Linear, SphericalHarmonics
from intertwine.o3.blocks import join_blocks, split_blocks

PASSING = math.log(2 * math.e - 1)  # eta of it is 1: small tensors pass as they are


class NormNonlinearity(nn.Module):
    r""":math:`V \mapsto \eta(\|V\| + b)\, V / (1 + \|V\|)`, and :math:`\eta(V)` for scalars (even ones), in ``ir_mul``.

    Args:
        irreps: representation of V.
        smoothing: epsilon of the norm, in units of the features.
    """

    def __init__(self, irreps: Irreps, smoothing: float) -> None:
        super().__init__()
        self.irreps, self.smoothing = irreps, smoothing
        self.bias = nn.Parameter(torch.full((sum(mul for mul, ir in irreps if not ir.is_scalar()),), PASSING))

    def forward(self, x: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes dim"]:
        outputs, start = [], 0
        for block, (mul, ir) in zip(split_blocks(x, self.irreps, "ir_mul"), self.irreps):
            if ir.is_scalar():
                outputs.append(shifted_softplus(block))
                continue
            norm = safe.soft_norm(block, self.smoothing, dim=-1)
            outputs.append(block * (shifted_softplus(norm + self.bias[start : start + mul]) / (1 + norm)).unsqueeze(-1))
            start += mul
        return join_blocks(outputs, "ir_mul")


class TensorFieldLayer(nn.Module):
    """Convolution, concatenation and self-interaction, non-linearity. Features are in ``ir_mul``.

    Args:
        irreps_in: representation of V. irreps_edge: of the harmonics.
        wanted: what the output may have; what can't be reached is left out.
        radial: widths of the radial network's input and hidden layers.
        average_degree: average number of neighbours.
        residual: whether the input's own self-interaction is added.
        smoothing: epsilon of the norm.
    """

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_edge: Irreps,
        wanted: Irreps,
        radial: Sequence[int],
        average_degree: float,
        residual: bool,
        smoothing: float,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = irreps_in, reached(irreps_in, irreps_edge, wanted)
        self.convolution = Convolution(irreps_in, irreps_edge, self.irreps_out, average_degree=average_degree)
        self.radial = MLP([*radial, self.convolution.weight_numel], shifted_softplus)
        self.mix = Linear(self.convolution.irreps_out, self.irreps_out, biases=True, layout="ir_mul")
        self.skip = Linear(irreps_in, self.irreps_out, layout="ir_mul") if residual else None
        self.nonlinearity = NormNonlinearity(self.irreps_out, smoothing)

    def forward(
        self,
        x: Float[Tensor, "nodes dim_in"],
        harmonics: Float[Tensor, "edges dim_edge"],
        attributes: Float[Tensor, "edges k"],
        envelope: Float[Tensor, "edges 1"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        z = self.mix(self.convolution(x, harmonics * envelope, edge_index, self.radial(attributes)))
        return self.nonlinearity(z if self.skip is None else z + self.skip(x))


class TensorField(Backbone):
    """Tensor field network with any cutoff, species and inputs.

    Args:
        width: channels of every irrep of the features.
        layers: convolutions (3 in the paper's experiments).
        lmax: largest degree of features and harmonics.
        parity: whether features have irreps of both parities; without, only those of harmonics (0e, 1o, 2e, ...).
        outputs: irreps of the result.
        residual: whether layers have skip connections, with weights.
        radial_width: width of the hidden layer of radial networks.
        average_degree: average number of neighbours, to which sums are scaled; 1 sums as the paper does.
        smoothing: epsilon of the norm, in units of the features.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; Gaussians are the paper's.

    Raises:
        InputError: a size or a smoothing that is not positive, a negative lmax, an output that no path leads to.
    """

    CARD = ModelCard(
        message="linear",
        geometry="spherical tensor",
        body_order=2,
        symmetry="E(3)",
        paper="Thomas et al. 2018, arXiv:1802.08219",
    )

    DEFAULTS = VectorInputs(radial="gaussian")
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 16, "layers": 2, "lmax": 1, "radial_width": 32}, source=OURS),
        "paper": Preset(
            {
                "width": 15,
                "layers": 3,
                "lmax": 1,
                "residual": False,
                "radial_size": 4,
                "radial_width": 4,
                "cutoff": 2.5,
                "average_degree": 1.0,
            },
            source="authors' code: missing_point_train.py (layer_dims 15, rbf_count 4, rbf_high 2.5), layers.py "
            "(hidden units as many as radial functions); arXiv:1802.08219, section 5 (missing points)",
        ),
    }

    irreps_out: Irreps

    def __init__(
        self,
        width: int = 32,
        layers: int = 3,
        lmax: int = 2,
        parity: bool = False,
        outputs: str = "0e+1o",
        residual: bool = True,
        cutoff: float = 5.0,
        *,
        radial_width: int = 64,
        average_degree: float = 12.0,
        smoothing: float = 0.1,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers, radial_width=radial_width)
        check_smoothing(smoothing)
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        edge = Irreps.spherical_harmonics(lmax)
        self.harmonics = SphericalHarmonics(edge, True, "component")
        self.vectors = self.embed_vectors(width)
        hidden = hidden_irreps(width, lmax, parity)
        last = Irreps([(width, ir) for _, ir in Irreps(outputs).regroup()])
        current = Irreps([(width, "0e"), *([(width, "1o")] if self.vectors is not None else [])])

        def layer(_: int, irreps: Irreps, wanted: Irreps) -> TensorFieldLayer:
            return TensorFieldLayer(
                irreps, edge, wanted, [self.edges.width, radial_width], average_degree, residual, smoothing
            )

        self.layers, self.irreps_out = stacked(layer, current, [hidden] * (layers - 1) + [last], edge)

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        edges, x = self.edges(graph), self.embedding(graph)
        if self.vectors is not None:
            x = torch.cat([x, self.vectors(graph).flatten(1)], dim=-1)
        harmonics = self.harmonics(edges.vectors)
        for layer in self.layers:
            x = layer(x, harmonics, edges.attributes, edges.envelope, graph.edge_index)
        return join_blocks(split_blocks(x, self.irreps_out, "ir_mul"))
