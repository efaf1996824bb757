r"""SE(3)-Transformer: attention whose keys and values are convolved with harmonics, and whose weights are invariant.

.. math::
    q_i &= W_Q f_i, \qquad
    k_{ij} = R_K(d_{ij}) \circ \big(U_K f_j \otimes Y(\hat x_{ij})\big), \qquad
    v_{ij} = R_V(d_{ij}) \circ \big(U_V f_j \otimes Y(\hat x_{ij})\big) \\
    \alpha_{ij}^h &= \mathrm{softmax}_{j \in N(i)} \big(\langle q_i, k_{ij} \rangle_h \, / \sqrt{D_h}\big), \qquad
    z_i = \sum_j \alpha_{ij} v_{ij} \\
    f_i' &= \mathrm{gate}\big((W_V z_i + W_S f_i) / \sqrt 2\big)

for each head h, a part of the channels with :math:`D_h` components of the keys. Queries and keys turn alike, so that
:math:`\alpha` is invariant. :math:`W_S` is the self-interaction, U and W mix channels of each irrep, and the radial
networks R weigh every path of the tensor product and every channel: with the maps before and after, the paper's kernels
:math:`W^{\ell k}(x_j - x_i)` of eq. 8, factored as NequIP factors them. The softmax is that of
:mod:`intertwine.nn.attention`, with the envelope in numerator and denominator.

A sum of values is linear in :math:`\alpha`, as it is in the weights of the edges: :math:`\alpha R_V` is given to the
fused convolution, and no values are stored. Keys are stored, with ``keys`` channels.

Fuchs, Worrall, Fischer and Welling, NeurIPS 2020, arXiv:2006.10503, eq. 8 to 12.

Departures: a gate in the place of their nonlinearity of norms; factored kernels; values have all channels, theirs as
few as the keys; the radial networks have one hidden layer without layer norms, and see Gaussians within a cutoff,
theirs two with norms, and the distance itself with the kinds of bonds, of all edges of the molecule. Their features
have no parity, and all paths. Here features have parities, the natural ones or (``parity=True``) both; then the same
paths are there, and reflections are a symmetry too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, edge_vectors
from intertwine.nn import Backbone, Convolution, EdgeEmbedding, FullyConnectedNet, ModelCard, VectorInputs
from intertwine.nn.attention import edge_softmax
from intertwine.nn.checks import check_lmax, check_sizes, hidden_irreps, require_space
from intertwine.nn.embedding import AnyDistance, gaussian_square, second_moment
from intertwine.nn.irreps.steerable_mlp import reached, steerable_gate
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.stack import stacked
from intertwine.numerics import InputError
from intertwine.o3 import Irreps, Linear, SphericalHarmonics
from intertwine.o3.blocks import join_blocks, split_blocks


class SE3Attention(nn.Module):
    r"""Keys, queries and values: :math:`f \mapsto W_V z` of the module's docstring, in ``ir_mul``.

    Args:
        irreps_in: representation of f: blocks of one width. irreps_edge: of the harmonics. irreps_out: of the result.
        heads: number of heads, a divisor of the width and of ``keys``.
        keys: channels of every irrep of the keys.
        radial: widths of input and hidden layers of the radial networks. variance: second moment of their input.
    """

    head: Tensor

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_edge: Irreps,
        irreps_out: Irreps,
        heads: int,
        keys: int,
        radial: Sequence[int],
        variance: float,
    ) -> None:
        super().__init__()
        small = Irreps([(keys, ir) for _, ir in irreps_in])
        self.key_up = Linear(irreps_in, small, layout="ir_mul")
        self.value_up = Linear(irreps_in, irreps_in, layout="ir_mul")
        # what the queries have not would be multiplied by nothing
        self.key = Convolution(small, irreps_edge, irreps_in)
        self.value = Convolution(irreps_in, irreps_edge, irreps_out)
        self.query = Linear(irreps_in, self.key.irreps_out, layout="ir_mul")
        self.sizes = (self.key.weight_numel, self.value.weight_numel)
        self.radial = FullyConnectedNet([*radial, sum(self.sizes)], F.silu, variance_in=variance)
        self.mix = Linear(self.value.irreps_out, irreps_out, layout="ir_mul")
        channel = torch.arange(keys) * heads // keys
        of_head = torch.cat([channel.repeat(ir.dim) for _, ir in self.key.irreps_out])
        self.register_buffer("head", F.one_hot(of_head, heads).to(self.mix.weight.dtype), persistent=False)
        self.heads, self.scale = heads, (heads / self.key.irreps_out.dim) ** 0.5

    def forward(
        self,
        f: Float[Tensor, "nodes dim_in"],
        harmonics: Float[Tensor, "edges dim_edge"],
        attributes: Float[Tensor, "edges k"],
        envelope: Float[Tensor, " edges"] | None,
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        for_keys, for_values = self.radial(attributes).split(self.sizes, dim=1)
        alpha = edge_softmax(self.logits(f, harmonics, for_keys, edge_index), envelope, edge_index[1], f.shape[0])
        # edges, paths, heads, channels
        weight = for_values.unflatten(1, (-1, self.heads, self.value.irreps_in[0].mul // self.heads))
        weight = (weight * alpha[:, None, :, None]).flatten(1)
        return self.mix(self.value(self.value_up(f), harmonics, edge_index, weight))

    def logits(
        self,
        f: Float[Tensor, "nodes dim_in"],
        harmonics: Float[Tensor, "edges dim_edge"],
        weight: Float[Tensor, "edges weights"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "edges heads"]:
        r""":math:`\langle q_i, k_{ij} \rangle_h / \sqrt{D_h}` for every edge and head."""
        source, target = edge_index.unbind()
        # a convolution in which every edge is a node of its own
        edges = torch.arange(source.shape[0], device=source.device)
        keys = self.key.fused.convolve(self.key_up(f), harmonics, weight, source, edges, source.shape[0])
        return (keys * self.query(f).index_select(0, target)) @ self.head * self.scale


class SE3Layer(nn.Module):
    """Attention, self-interaction and gate on features in ``ir_mul``.

    Args:
        irreps_in, irreps_edge, heads, keys, radial, variance: as of :class:`SE3Attention`.
        wanted: what the output may have; what can't be reached from f is left out.
    """

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_edge: Irreps,
        wanted: Irreps,
        heads: int,
        keys: int,
        radial: Sequence[int],
        variance: float,
    ) -> None:
        super().__init__()
        self.gate = steerable_gate(reached(irreps_in, irreps_edge, wanted))
        self.irreps_out = self.gate.irreps_out
        self.attention = SE3Attention(irreps_in, irreps_edge, self.gate.irreps_in, heads, keys, radial, variance)
        self.self_interaction = Linear(irreps_in, self.gate.irreps_in, layout="ir_mul")

    def forward(
        self,
        f: Float[Tensor, "nodes dim_in"],
        harmonics: Float[Tensor, "edges dim_edge"],
        attributes: Float[Tensor, "edges k"],
        envelope: Float[Tensor, " edges"] | None,
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        y = self.attention(f, harmonics, attributes, envelope, edge_index) + self.self_interaction(f)
        return self.gate(y * 0.5**0.5)


class SE3Transformer(Backbone):
    """SE(3)-Transformer with any cutoff or none, species and inputs.

    Args:
        width: channels of every irrep of the features.
        layers: attention layers (7 for QM9 in the authors' code).
        lmax: largest degree of features and harmonics (3 there).
        heads: of the attention (8 there); a divisor of ``width`` and of ``keys``.
        keys: channels of every irrep of the keys.
        parity: whether features have irreps of both parities; without, only those of harmonics (0e, 1o, 2e, ...).
        outputs: irreps of the result. "0e" alone is enough for energies, and makes the last layer cheap.
        cutoff: r_c in A; None connects all pairs: the paper's particles, with weights that sum to one.
        radial_width: width of the hidden layer of the radial networks.
        scale: without a cutoff, a typical distance.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; the radial networks see the invariants of
            edges.

    Raises:
        InputError: a size that is not positive, heads that do not divide the channels, an output that no path leads to.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="spherical tensor",
        body_order=2,
        symmetry="E(3)",
        paper="Fuchs et al. 2020, arXiv:2006.10503",
    )

    DEFAULTS = VectorInputs(radial_size=12, radial="gaussian")
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 16, "layers": 2, "lmax": 1, "heads": 2, "keys": 8, "radial_width": 32}, source=OURS),
        "paper": Preset(
            {"width": 32, "layers": 7, "lmax": 3, "heads": 8, "keys": 16, "radial_width": 32},
            source="authors' code: experiments/qm9/README.md (7 layers, 32 channels, 4 degrees, 8 heads, div 2: keys "
            "of 16), equivariant_attention/modules.py (RadialFunc, mid_dim 32)",
        ),
    }

    def __init__(
        self,
        width: int = 32,
        layers: int = 3,
        lmax: int = 2,
        heads: int = 4,
        keys: int = 16,
        parity: bool = False,
        outputs: str = "0e+1o",
        cutoff: float | None = 5.0,
        *,
        radial_width: int = 64,
        scale: float = 2.0,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers, heads=heads, keys=keys, radial_width=radial_width)
        check_lmax(lmax)
        if width % heads or keys % heads:
            raise InputError(
                f"{heads} heads for {width} channels and {keys} of keys",
                where="heads",
                remedy="give a divisor of both.",
            )
        self.embedding = self.embed_nodes(width)
        self.edges: EdgeEmbedding | AnyDistance = self.embed_pairs(scale) if cutoff is None else self.embed_edges()
        edge = Irreps.spherical_harmonics(lmax)
        self.harmonics = SphericalHarmonics(edge, True, "component")
        self.start = self.embed_vectors(width)
        hidden = hidden_irreps(width, lmax, parity)
        last = Irreps([(width, ir) for _, ir in Irreps(outputs).regroup()])
        # mean of e_k^2, about
        square = (
            3 / cutoff**3
            if self.arguments["radial"] == "bessel" and cutoff is not None
            else gaussian_square(self.edges.functions)
        )
        variance = second_moment(self.edges.width, self.edges.functions, square)
        current = Irreps([(width, "0e"), *([(width, "1o")] if self.start is not None else [])])

        def layer(_: int, irreps: Irreps, wanted: Irreps) -> SE3Layer:
            return SE3Layer(irreps, edge, wanted, heads, keys, [self.edges.width, radial_width], variance)

        self.layers, self.reached = stacked(layer, current, [hidden] * (layers - 1) + [last], edge)
        self.irreps_out = self.reached

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        if isinstance(self.edges, AnyDistance):
            vectors, envelope = edge_vectors(graph), None
            attributes = self.edges(graph, vectors)
        else:
            edges = self.edges(graph)
            vectors, attributes, envelope = edges.vectors, edges.attributes, edges.envelope.squeeze(-1)
        f = self.embedding(graph)
        if self.start is not None:
            f = torch.cat([f, self.start(graph).flatten(1)], dim=-1)
        harmonics = self.harmonics(vectors)
        for layer in self.layers:
            f = layer(f, harmonics, attributes, envelope, graph.edge_index)
        return join_blocks(split_blocks(f, self.reached, "ir_mul"))
