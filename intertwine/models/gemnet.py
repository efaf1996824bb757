r"""GemNet: messages on directed edges that look at angles (T) and torsions (Q), by products of their whole bases.

.. math::
    y^\mathrm{T}_{ca} &= \sum_{b \in N(a) \setminus c}
        \big(W_C\, e_\mathrm{CBF}(d_{ca}, \varphi_{cab})\big)^\top \mathbf{W}\,
        \big(W_R\, e(d_{ba}) \circ m_{ba}\big) \\
    y^\mathrm{Q}_{ca} &= \sum_{b \in N'(a) \setminus c} \sum_{d \in N(b) \setminus \{a, c\}}
        \big(W_S\, e_\mathrm{SBF}(d_{ca}, \varphi_{cab}, \theta_{cabd})\big)^\top \mathbf{W}
        \big(W_C\, e_\mathrm{CBF}(d_{ba}, \varphi_{abd}) \circ W_R\, e(d_{db}) \circ m_{db}\big) \\
    x_{ca} &= \big(\sigma(W m_{ca}) + \tilde y^\mathrm{T}_{ca} + \tilde y^\mathrm{Q}_{ca}\big) / \sqrt 3, \qquad
    \tilde y_{ca} = \big(\sigma(U y_{ca}) + \sigma(U' y_{ac})\big) / \sqrt 2 \\
    m_{ca}' &= r\big(m_{ca} + r(x_{ca})\big), \qquad
    h_a' = h_a + r\Big(\sigma\Big(W \sum_c W e(d_{ca}) \circ m_{ca}'\Big)\Big), \qquad
    m_{ca}'' = m_{ca}' + r\big(\sigma(W [h_c', h_a', m_{ca}'])\big)

with residual layers r, :math:`\sigma = \sqrt 2\,\mathrm{silu}`, every sum of two terms over :math:`\sqrt 2`, and
features of the nodes :math:`f_a = \sum_\mathrm{blocks} W r(\sigma(W \sum_c W e(d_{ca}) \circ m_{ca}))`. The bases are
:math:`e(d) = u(d) R_{0n}(d / r_c)`, :math:`e_\mathrm{CBF} = u(d) R_{ln}(d / r_c) P_l(\cos\varphi)`,
:math:`e_\mathrm{SBF} = u(d) R_{ln}(d / r_c) Y_{lm}` with envelope u and the waves R of
:mod:`intertwine.nn.paths.spherical_bessel`: whatever leaves an edge carries one of them and vanishes smoothly at the
cutoff. N' are the neighbours within ``interaction_cutoff``. The bilinear form is summed before its tensor W is applied
(the paper's efficient bilinear layer): the basis contracted with :math:`W_S` is one matrix per edge, shared by all
blocks.

Torsions enter by their cosine, as :class:`~intertwine.nn.TorsionBasis` does it: polynomials of dot products, so nothing
diverges where three atoms are collinear and the torsion does not exist, and the model can't tell a molecule from its
mirror image. Without ``quadruplets`` (GemNet-T) :math:`\theta` is not looked at. ``vectors`` adds
:math:`\sum_c \hat x_{ca}\, w \cdot r(\ldots m_{ca})`, the direct forces of GemNet-dT.

Departures. The spherical basis of quadruplets is squeezed to ``basis_width`` channels, as the others are (16; 32 in
the authors' configuration). Where the paper fits scaling factors there are constants: bases have unit second moment,
and a sum of N expected terms, the messages of neighbours that resemble each other, is divided by
:math:`\sqrt{N (N + 1) / 2}`. Its activation silu / 0.6 would double large activations in every residual layer;
:math:`\sqrt 2\,\mathrm{silu}` does not. No frequencies are trained; radial functions go to each block as they are.

Gasteiger, Becker, Günnemann, NeurIPS 2021 (arXiv:2106.08903), section 5 and 6; lecture "Equivariant GNNs", invariant
networks 3: torsions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph, edge_invariants
from intertwine.geometry.quadruplets import selected, shorter
from intertwine.nn import Backbone, Inputs, ModelCard
from intertwine.nn.checks import check_degree, check_sizes, require_space
from intertwine.nn.cutoff import positive
from intertwine.nn.edge_mlp import EdgeLinear
from intertwine.nn.paths.bilinear import Bases, Bilinear, PathBasis
from intertwine.nn.paths.waves import LISTS, list_paths
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.scalar_vector import join
from intertwine.nn.scaled_dense import SQRT_HALF, Dense, Residual, activation, spread
from intertwine.nn.shapes import Lists, NodeState
from intertwine.numerics import segment
from intertwine.o3 import Irreps

Pair = tuple[Float[Tensor, "nodes width"], Float[Tensor, "edges width"]]
#: Of outputs: derivatives of the bases are much larger than values, and forces would start far too large.
INITIAL_OUTPUT_GAIN = 0.25


class AtomBlock(nn.Module):
    r"""From the edges to the nodes that they point at: :math:`r(\sigma(W \sum_c W e(d_{ca}) \circ m_{ca}))`.

    Args:
        width: features of an edge and of a node.
        radial_size: functions of the distance.
        residuals: layers r.
        degree: expected number of neighbours.
        features, vectors: of an output block, linear; None and 0 for a block inside.
    """

    def __init__(
        self, width: int, radial_size: int, residuals: int, degree: float, features: int | None = None, vectors: int = 0
    ) -> None:
        super().__init__()
        self.radial, self.scale = Dense(radial_size, width, activated=False), spread(degree)
        self.hidden = nn.Sequential(Dense(width, width), *(Residual(width) for _ in range(residuals)))
        self.out = (
            nn.Identity() if features is None else Dense(width, features, activated=False, gain=INITIAL_OUTPUT_GAIN)
        )
        self.vector = None
        if vectors:
            inner = (Dense(width, width), *(Residual(width) for _ in range(residuals)))
            self.vector = nn.Sequential(*inner, Dense(width, vectors, activated=False, gain=INITIAL_OUTPUT_GAIN))
        self.vector_radial = Dense(radial_size, vectors, activated=False) if vectors else None

    def forward(self, m: Float[Tensor, "edges width"], bases: Bases) -> NodeState:
        sums = segment.sum(self.radial(bases.radial) * m, bases.edge_index[1], bases.nodes) * self.scale
        v = None
        if self.vector is not None and self.vector_radial is not None:
            strength = self.vector(m) * self.vector_radial(bases.radial)
            pulls = bases.unit.unsqueeze(-1) * strength.unsqueeze(1)
            v = segment.sum(pulls, bases.edge_index[1], bases.nodes) * self.scale
        return self.out(self.hidden(sums)), v


class GemNetLayer(nn.Module):
    """One interaction block on nodes h (nodes, F) and edges m (edges, F).

    Args:
        width: F.
        triplet_width, quadruplet_width: features that a path carries; 0 of the latter for no quadruplets.
        basis_width, radial_size: of the bases.
        degree, far: expected numbers of neighbours, within the cutoff and the interaction cutoff.
        before_skip, after_skip, atom_residuals, edge_residuals: residual layers.
    """

    def __init__(
        self,
        width: int,
        triplet_width: int,
        quadruplet_width: int,
        basis_width: int,
        radial_size: int,
        degree: float,
        far: float,
        residuals: tuple[int, int, int, int],
    ) -> None:
        super().__init__()
        before, after, atom, edge = residuals
        self.own = Dense(width, width)
        self.triplets = Bilinear(width, triplet_width, basis_width, radial_size, spread(degree - 1), torsions=False)
        self.quadruplets = (
            Bilinear(width, quadruplet_width, basis_width, radial_size, spread(far) * spread(degree - 1), True)
            if quadruplet_width
            else None
        )
        self.before = nn.Sequential(*(Residual(width) for _ in range(before)))
        self.after = nn.Sequential(*(Residual(width) for _ in range(after)))
        self.atom = AtomBlock(width, radial_size, atom, degree)
        self.concat = EdgeLinear(width, width, width, width, bias=False)
        self.edge = nn.Sequential(*(Residual(width) for _ in range(edge)))

    def forward(self, h: Float[Tensor, "nodes width"], m: Float[Tensor, "edges width"], bases: Bases) -> Pair:
        terms = [self.own(m), self.triplets(m, bases, bases.triplets)]
        if self.quadruplets is not None and bases.quadruplets is not None:
            terms.append(self.quadruplets(m, bases, bases.quadruplets))
        m = self.after((m + self.before(sum(terms) * len(terms) ** -0.5)) * SQRT_HALF)
        h = (h + self.atom(m, bases)[0]) * SQRT_HALF
        return h, (m + self.edge(activation(self.concat.of_edges(h, m, bases.edge_index)))) * SQRT_HALF


class GemNet(Backbone):
    """GemNet-Q and GemNet-T with any cutoff, periodic or not, in any dimension. Fewer than three neighbours: no
    torsions, no error.

    Args:
        width: features F of nodes and edges.
        layers: interaction blocks.
        cutoff: r_c in A, of messages.
        quadruplets: look at torsions (GemNet-Q), which costs about the cube of the number of neighbours.
        interaction_cutoff: how far a and b of a torsion may be apart (A); None for the cutoff. Below it quadruplets are
            cheaper; the paper's is twice the cutoff.
        radial_size: functions of the distance.
        degrees: functions of the angle, l = 0 ... degrees - 1.
        torsion_degrees: D of quadruplets, with :math:`D (D + 1) / 2` functions in all.
        triplet_width: features that a triplet carries.
        quadruplet_width: features that a quadruplet carries.
        basis_width: channels that functions of distances and angles are squeezed to.
        features: scalars of a node that are given out; None for ``width``.
        vectors: vectors of a node that are given out; in three dimensions.
        average_degree: expected number of neighbours, a constant of the scaling.
        before_skip, after_skip, atom_residuals, edge_residuals: residual layers of a block.
        inputs: as of every model, :class:`~intertwine.nn.Inputs`; the first messages see the invariants of edges.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="torsion",
        body_order=5,
        symmetry="E(n)",
        paper="Gasteiger, Becker, Günnemann 2021, arXiv:2106.08903",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset(
            {"width": 32, "layers": 2, "triplet_width": 16, "quadruplet_width": 16, "torsion_degrees": 3}, source=OURS
        ),
        "T": Preset({"quadruplets": False}, source="arXiv:2106.08903, section 5: GemNet-T, at the sizes chosen here"),
        "paper": Preset(
            {
                "width": 128,
                "layers": 4,
                "cutoff": 5.0,
                "radial_size": 6,
                "degrees": 7,
                "triplet_width": 64,
                "quadruplet_width": 32,
                "basis_width": 16,
                "torsion_degrees": 7,
                "interaction_cutoff": 10.0,
                "before_skip": 1,
                "after_skip": 1,
                "atom_residuals": 2,
                "edge_residuals": 1,
            },
            source="authors' code: config.yaml (num_atom is atom_residuals, num_concat edge_residuals)",
        ),
    }

    LISTS: ClassVar[dict[str, tuple[int, ...]]] = {"near": (0,), "far": (0,), **LISTS}

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        cutoff: float = 5.0,
        quadruplets: bool = True,
        interaction_cutoff: float | None = None,
        radial_size: int = 6,
        degrees: int = 7,
        torsion_degrees: int = 4,
        triplet_width: int = 32,
        quadruplet_width: int = 16,
        basis_width: int = 16,
        features: int | None = None,
        vectors: int = 0,
        average_degree: float = 8.0,
        before_skip: int = 1,
        after_skip: int = 1,
        atom_residuals: int = 1,
        edge_residuals: int = 1,
        **inputs: Unpack[Inputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        features = width if features is None else features
        check_sizes(width=width, layers=layers, radial_size=radial_size, degrees=degrees, triplet_width=triplet_width)
        check_sizes(
            torsion_degrees=torsion_degrees,
            quadruplet_width=quadruplet_width,
            basis_width=basis_width,
            features=features,
        )
        check_degree(average_degree)
        self.quadruplets = quadruplets
        far = positive(cutoff) if interaction_cutoff is None or not quadruplets else interaction_cutoff
        self.cutoff, self.near, self.far, self.vectors = max(cutoff, far), cutoff, far, vectors
        self.irreps_out = Irreps(f"{features}x0e" + (f"+{vectors}x1o" if vectors else ""))
        self.basis = PathBasis(cutoff, far, radial_size, degrees, torsion_degrees if quadruplets else 0, basis_width)
        self.embedding = self.embed_nodes(width)
        self.first = EdgeLinear(width, width, radial_size + sum(self.edge_inputs.values()), width)
        counts = (degree := max(average_degree, 2.0), max(degree * (far / cutoff) ** 3, 1.0))
        sizes = (width, triplet_width, quadruplet_width if quadruplets else 0, basis_width, radial_size, *counts)
        residuals = (before_skip, after_skip, atom_residuals, edge_residuals)
        self.layers = nn.ModuleList(GemNetLayer(*sizes, residuals) for _ in range(layers))
        self.outputs = nn.ModuleList(
            AtomBlock(width, radial_size, atom_residuals, degree, features, vectors) for _ in range(layers + 1)
        )

    @property
    def card(self) -> ModelCard:
        return self.CARD if self.quadruplets else replace(self.CARD, geometry="angle")

    def lists(self, graph: Graph) -> Lists:
        reaches = {"near": self.near, "far": self.far}
        shorter_lists = {name: shorter(graph, reach) for name, reach in reaches.items() if reach != self.cutoff}
        return shorter_lists | list_paths(*self.graphs(graph, shorter_lists), self.quadruplets)

    def graphs(self, graph: Graph, lists: Lists) -> tuple[Graph, Graph]:
        """The graphs of messages and of interactions: that of all edges, or of some."""
        near, far = (selected(graph, lists[name]) if name in lists else graph for name in ("near", "far"))
        return near, far

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        if self.vectors:
            require_space(graph)
        lists = self.listed(graph)
        near, far = self.graphs(graph, lists)
        bases, h = self.basis(near, far, lists), self.embedding(graph)
        e = bases.radial
        if self.edge_inputs:
            e = torch.cat([e, edge_invariants(near, self.edge_inputs)], dim=-1)
        m = activation(self.first.of_edges(h, e, near.edge_index))
        outputs = [self.outputs[0](m, bases)]
        for layer, output in zip(self.layers, self.outputs[1:], strict=True):
            h, m = layer(h, m, bases)
            outputs.append(output(m, bases))
        scalars, vectors = zip(*outputs, strict=True)
        s, scale = torch.stack(scalars).sum(0), len(outputs) ** -0.5
        return join(s * scale, torch.stack(vectors).sum(0) * scale, self.vectors) if self.vectors else s * scale
