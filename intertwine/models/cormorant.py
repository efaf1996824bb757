r"""Cormorant: activations of atoms and pairs whose only non-linearity is the Clebsch-Gordan product; a polynomial of
harmonics.

.. math::
    F_i^{s} &= \Big[ F_i^{s-1} \oplus \big(F_i^{s-1} \otimes F_i^{s-1}\big)
    \oplus \sum_{j \in N(i)} G^s_{ij} \otimes F_j^{s-1} \Big] \cdot W^{s} && \text{atoms} \\
    G^{s,l}_{ij} &= g^{s,l}_{ij}\, Y^l(\hat x_{ij}), \qquad
    g^{s,l}_{ij} = \mu(d_{ij}) \Big[ \big(g^{s-1,l}_{ij} \oplus (F_i^{s-1} \cdot F_j^{s-1}) \oplus \eta(d_{ij})\big)
    \cdot W^{s,l} \Big] && \text{pairs}

All products are channel by channel; W mixes channels, for each irrep separately. :math:`F_i \cdot F_j` are the scalar
products of all channels of all irreps. The features of all layers are mapped to the result and added, which is the
first linear map of the paper's readout of the concatenated scalars. With ``invariants`` that readout sees the squared
lengths of the features of every irrep beside the scalars, as in the authors' code (``GetScalarsAtom``, full scalars),

.. math::
    z_i = \sum_s \Big( W^s_\mathrm{out} F_i^s
    + V^s \big(\|F_{ic}^{s,l}\|^2 / (2l + 1)\big)_{l, c} \Big)

with V to the scalars of the result only; all layers, the last one too, then have all irreps.

Departures. The paper's features are complex and of SO(3). Here they are real and have parities: products keep track of
them, and with ``parity`` both parities of every degree are there, so that no product of the paper is lost. :math:`\mu`
is an envelope in place of the paper's learned sigmoid, and :math:`\eta` are Bessel functions in place of its waves of
learned frequency. Products and sums are scaled to keep variances, and those of second order enter with a ``gain`` below
one: a polynomial has nothing else to hold it. The code has one layer of message passing on scalars before the first
level, here there is an embedding, and its readout of QM9 (perceptrons before and after the sum over atoms) is the
task's head.

Anderson, Hy, Kondor, NeurIPS 2019, arXiv:1906.04015, eq. of section 4 (vertex and edge activations).
"""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import Backbone, ModelCard, VectorInputs
from intertwine.nn.checks import check_lmax, check_outputs, check_sizes, hidden_irreps, products, require_space
from intertwine.nn.convolution import Convolution
from intertwine.nn.preset import OURS, Preset
from intertwine.numerics import InputError
from intertwine.o3 import Irrep, Irreps, Linear, SphericalHarmonics, TensorProduct
from intertwine.o3.blocks import join_blocks, split_blocks


def channel_square(irreps: Irreps, wanted: Irreps) -> TensorProduct | None:
    r""":math:`F \otimes F` channel by channel, in ``ir_mul``: each pair of blocks once, to the irreps wanted; None if
    there are none.

    Components of F of variance 1 give those of second moment 1. Blocks have equally many channels. A vector with itself
    has no antisymmetric part: of a block with itself even degrees only are there.
    """
    out: list[tuple[int, Irrep]] = []
    paths: list[tuple[Any, ...]] = []
    for a, (mul, ir_in) in enumerate(irreps):
        for b, (_, other) in list(enumerate(irreps))[a:]:
            for ir in ir_in * other:
                if ir in wanted and (a != b or ir.l % 2 == 0):
                    # the fourth moments of normal components where both factors are one vector
                    alpha = float(ir.dim) if a != b else ir.dim / (ir_in.dim + 2) if not ir.l else ir.dim / 2
                    paths.append((a, b, len(out), "uuu", False, alpha))
                    out.append((mul, ir))
    if not out:
        return None
    rules: dict[str, Any] = {"irrep_normalization": "none", "path_normalization": "none"}
    return TensorProduct(irreps, irreps, Irreps(out), paths, layout="ir_mul", **rules)


class CormorantEdge(nn.Module):
    r""":math:`g^s_{ij}`, (edges, degrees, channels), from :math:`g^{s-1}_{ij}`, the scalar products, and :math:`\eta`.

    Args:
        irreps: representation of F, of equally many channels of each irrep, in ``ir_mul``.
        degrees: number of degrees l of harmonics. width: channels. radial: number of functions eta.
        first: whether there is no g of a layer before.
    """

    def __init__(self, irreps: Irreps, degrees: int, width: int, radial: int, first: bool) -> None:
        super().__init__()
        self.irreps, self.degrees, self.width = irreps, degrees, width
        shares = 2 if first else 3
        self.from_radial = nn.Parameter(torch.randn(radial, degrees * width) * (shares * radial) ** -0.5)
        self.from_dots = nn.Parameter(
            torch.randn(irreps.num_irreps, degrees * width) * (shares * irreps.num_irreps) ** -0.5
        )
        self.from_state = None if first else nn.Parameter(torch.randn(degrees, width, width) * (shares * width) ** -0.5)

    def forward(
        self,
        f: Float[Tensor, "nodes dim"],
        state: Float[Tensor, "edges degrees width"] | None,
        eta: Float[Tensor, "edges k"],
        envelope: Float[Tensor, "edges 1"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "edges degrees width"]:
        product = f.index_select(0, edge_index[1]) * f.index_select(0, edge_index[0])
        blocks = product.split([block.dim for block in self.irreps], dim=1)
        dots = [block.view(-1, ir.dim, mul).sum(1) * ir.dim**-0.5 for block, (mul, ir) in zip(blocks, self.irreps)]
        g = (eta @ self.from_radial + torch.cat(dots, dim=1) @ self.from_dots).unflatten(1, (self.degrees, self.width))
        if state is not None and self.from_state is not None:
            g = g + (state.transpose(0, 1) @ self.from_state).transpose(0, 1)
        return g * envelope.unsqueeze(-1)


class CormorantLayer(nn.Module):
    """Pairs, then atoms; features in ``ir_mul``.

    Args:
        irreps_in: representation of F. irreps_edge: of the harmonics.
        wanted: what the output may have; what can't be reached is left out.
        radial: number of radial functions. first: whether there is no g of a layer before.
        average_degree: average number of neighbours. gain: of the terms of second order.
    """

    paths: Tensor

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_edge: Irreps,
        wanted: Irreps,
        radial: int,
        first: bool,
        average_degree: float,
        gain: float,
    ) -> None:
        super().__init__()
        irs = [ir for _, ir in irreps_in]
        reached = {*irs, *(out for ir_node in irs for _, other in irreps_edge for out in ir_node * other)}
        reached |= {
            out
            for a, ir_node in enumerate(irs)
            for b, other in enumerate(irs)
            for out in ir_node * other
            if a != b or out.l % 2 == 0
        }
        self.irreps_in, self.irreps_out = irreps_in, Irreps([(mul, ir) for mul, ir in wanted if ir in reached])
        width, degrees = irreps_in[0].mul, len(irreps_edge)
        self.edge = CormorantEdge(irreps_in, degrees, width, radial, first)
        self.square = channel_square(irreps_in, self.irreps_out)
        self.convolution = Convolution(irreps_in, irreps_edge, self.irreps_out, average_degree=average_degree)
        degree_of = torch.tensor([path.i_in2 for path in self.convolution.instructions])
        self.register_buffer("paths", degree_of, persistent=False)  # the degree of harmonics in each path
        norm = (1 + 2 * gain * gain) ** -0.5
        self.shares = (norm, gain * norm)
        self.from_self = Linear(irreps_in, self.irreps_out, layout="ir_mul")
        self.from_square = (
            None if self.square is None else Linear(self.square.irreps_out, self.irreps_out, layout="ir_mul")
        )
        self.from_neighbours = Linear(self.convolution.irreps_out, self.irreps_out, layout="ir_mul")

    def forward(
        self,
        f: Float[Tensor, "nodes dim_in"],
        state: Float[Tensor, "edges degrees width"] | None,
        eta: Float[Tensor, "edges k"],
        envelope: Float[Tensor, "edges 1"],
        harmonics: Float[Tensor, "edges dim_edge"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> tuple[Float[Tensor, "nodes dim_out"], Float[Tensor, "edges degrees width"]]:
        g = self.edge(f, state, eta, envelope, edge_index)
        z = self.from_neighbours(self.convolution(f, harmonics, edge_index, g.index_select(1, self.paths).flatten(1)))
        if self.square is not None and self.from_square is not None:
            z = z + self.from_square(self.square(f, f))
        return self.from_self(f) * self.shares[0] + z * self.shares[1], g


class SquaredLengths(nn.Module):
    r""":math:`V (\|F_{lc}\|^2 / (2l + 1))_{lc}`, squared lengths of all irreps, in the place of the result's scalars.

    Args:
        irreps: representation of F, in ``ir_mul``. last: of the result. gain: of the weights at the start.

    Raises:
        InputError: a result without scalars.
    """

    def __init__(self, irreps: Irreps, last: Irreps, gain: float) -> None:
        super().__init__()
        scalars = [number for number, (_, ir) in enumerate(last) if ir == Irrep("0e")]
        if not scalars:
            raise InputError("invariants for a result without 0e", where="invariants", remedy="add 0e to the outputs.")
        before = sum(block.dim for block in last[: scalars[0]])
        self.irreps, self.padding = irreps, (before, last.dim - before - last[scalars[0]].dim)
        self.linear = nn.Linear(irreps.num_irreps, last[scalars[0]].dim, bias=False)
        nn.init.normal_(self.linear.weight, std=gain * irreps.num_irreps**-0.5)

    def forward(self, f: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes dim_out"]:
        blocks = f.split([block.dim for block in self.irreps], dim=1)
        squares = [block.view(-1, ir.dim, mul).square().mean(1) for block, (mul, ir) in zip(blocks, self.irreps)]
        return F.pad(self.linear(torch.cat(squares, dim=1)), self.padding)


class Cormorant(Backbone):
    """Cormorant with any cutoff, species and inputs.

    Args:
        width: channels of every irrep of the features (16 in the paper).
        layers: levels s (4 in the paper).
        lmax: largest degree of features and harmonics (3 in the paper).
        parity: whether features have irreps of both parities; without, only those of harmonics (0e, 1o, 2e, ...).
        outputs: irreps of the result.
        gain: of the terms of second order at the start, relative to the linear one.
        invariants: whether the scalars of the result see the squared lengths of all irreps of all layers.
        average_degree: average number of neighbours, to which sums are scaled.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; invariants of edges go with the radial
            functions.

    Raises:
        InputError: a size or a gain that is not positive, a negative lmax, an output that no path leads to, invariants
            for a result without scalars.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="spherical tensor",
        body_order=2,
        symmetry="E(3)",
        paper="Anderson, Hy, Kondor 2019, arXiv:1906.04015",
    )

    DEFAULTS = VectorInputs(radial_size=8)
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 8, "layers": 2, "lmax": 1}, source=OURS),
        "paper": Preset(
            {"width": 16, "layers": 4, "lmax": 3, "parity": True, "outputs": "0e", "invariants": True},
            source="arXiv:1906.04015, section 5 (QM9: 16 channels, 4 levels, L = 3); authors' code: engine/args.py (4 "
            "levels, maxl and max-sh 3, by default 10 channels), nn/output_levels.py",
        ),
    }

    def __init__(
        self,
        width: int = 16,
        layers: int = 3,
        lmax: int = 2,
        parity: bool = False,
        outputs: str = "0e+1o",
        gain: float = 0.3,
        cutoff: float = 5.0,
        *,
        invariants: bool = False,
        average_degree: float = 12.0,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers)
        check_lmax(lmax)
        if not gain > 0:
            raise InputError(f"gain = {gain}", where="gain", remedy="give a positive number, such as 0.3.")
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        edge = Irreps.spherical_harmonics(lmax)
        self.harmonics = SphericalHarmonics(edge, True, "component")
        self.vectors = self.embed_vectors(width)
        hidden = hidden_irreps(width, lmax, parity)
        last = Irreps([(width, ir) for _, ir in Irreps(outputs).regroup()])
        current = Irreps([(width, "0e"), *([(width, "1o")] if self.vectors is not None else [])])
        self.layers, self.ends, self.squares = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for number in range(layers):
            wanted = hidden if number < layers - 1 else last
            if invariants and number == layers - 1:
                wanted = Irreps([*hidden, *((mul, ir) for mul, ir in last if ir not in hidden)])
            first = number == 0
            layer = CormorantLayer(current, edge, wanted, self.edges.width, first, average_degree, gain)
            self.layers.append(layer)
            before, current = current, layer.irreps_out
            self.ends.append(Linear(current, last, layout="ir_mul"))
            if invariants:
                self.squares.append(SquaredLengths(current, last, gain))
        check_outputs(last, current, could=products(before, edge))
        # of uniformly dense neighbours: functions of moment 1
        self.spread = (cutoff**3 / 3) ** 0.5 if self.arguments["radial"] == "bessel" else 1.0
        self.irreps_out = self.last = last

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        edges, f, state = self.edges(graph), self.embedding(graph), None
        if self.vectors is not None:
            vectors = self.vectors(graph)
            f = torch.cat([f, vectors.flatten(1)], dim=-1)
        harmonics, functions = self.harmonics(edges.vectors), self.edges.functions
        eta = torch.cat([edges.attributes[:, :functions] * self.spread, edges.attributes[:, functions:]], dim=1)
        outputs = []
        for layer, end, square in zip(self.layers, self.ends, self.squares or [None] * len(self.layers)):
            f, state = layer(f, state, eta, edges.envelope, harmonics, graph.edge_index)
            outputs.append(end(f) if square is None else end(f) + square(f))
        return join_blocks(split_blocks(sum(outputs[1:], outputs[0]), self.last, "ir_mul"))
