r"""PONITA: features at every node and direction, convolved with kernels of the invariants of position and direction.

.. math::
    f_i(o) &= s_i + u_i \cdot o \\
    f_i'(o) &= f_i(o) + \mathrm{MLP}\Big(\mathrm{norm}\, \frac1N \sum_{o'} k_2(o \cdot o') \sum_j
    k_1(o' \cdot x_{ij}, \|x_{ij} - (o' \cdot x_{ij}) o'\|)\, f_j(o')\Big) \\
    s_i^\mathrm{out} &= \tfrac1N \sum_o f_i(o), \qquad v_i^\mathrm{out} = \tfrac1N \sum_o (W f_i(o))\, o

with scalars s and vectors u of the nodes. Features live on :math:`\mathbb{R}^3 \times S^2 = SE(3)/SO(2)`: directions
take the place of orientations, and scalars and vectors go in and come out without spherical tensors.

The directions are vertices, faces or edges of an icosahedron by default. The invariants are the same for a mirror
image, so that the network is exactly equivariant to translations and the 120 symmetries of an icosahedron, its vectors
being polar; other rotations are kept up to an error that falls with the number of directions
(``benchmarks/papers/orientations.py``). The card says "T(3) x icosahedral with
inversion", in the plane, with N directions, "T(2) x D_N"; with ``grid="fibonacci"`` it claims translations only.

Bekkers, Vadgama, Hesselink, van der Linden, Romero, ICLR 2024 (arXiv:2310.02970), section 3 and theorem 1; the
ConvNeXt block and sizes as in the authors' code.

Departures: the kernel's networks see radial functions of the distance and powers of :math:`\cos\theta`, which are as
much as the paper's two invariants of x and smooth where a neighbour lies along a direction; the authors' grid is one of
points that repel each other, turned at random in training; theirs measure the first batch to scale the weights of
kernels; and they read out after every layer, here after the last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import Backbone, ModelCard, VectorInputs, check_sizes
from intertwine.nn.checks import check_degree, require_space
from intertwine.nn.groups.directions import directions
from intertwine.nn.groups.position_orientation import InvariantBasis, PositionOrientationLayer
from intertwine.nn.mlp import on_rows
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.scalar_vector import scalars_and_vectors


class PONITA(Backbone):
    """PONITA with any cutoff, species and inputs, in the plane or in space.

    Args:
        width: channels F of a node at each direction.
        layers: blocks (5 in the paper's molecules and particles).
        cutoff: r_c in A.
        orientations: number of directions N: of the icosahedral grid 12, 20, 30, 32, 42, 50 or 62; of the circle any.
        grid: of the sphere: "icosahedral", "octahedral" (6, 8, 12, 14, ...) or "fibonacci" (any number).
        vectors: vectors of a node among the outputs.
        functions: functions of the invariants that kernels are sums of.
        hidden: hidden units of their networks; None for as many as functions.
        degree: of the polynomials of cosines (3 in the paper).
        widening: hidden channels of a block, in units of the width (4 in the paper).
        layer_scale: start of a factor of each channel of a block; None for no factor.
        average_degree: average number of neighbours; sums are divided by its square root, a constant.
        dimension: n, 2 or 3.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`.

    Raises:
        InputError: a size that is not positive, an unknown grid, a number of directions that it does not have.
    """

    CARD = ModelCard(
        message="linear",
        geometry="group element",
        body_order=5,
        domain="R^3 x S^2",
        symmetry="T(3) x icosahedral with inversion",
        paper="Bekkers, Vadgama, Hesselink, van der Linden, Romero 2024, arXiv:2310.02970",
    )
    DEFAULTS = VectorInputs(radial_size=8)
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 16, "layers": 2, "vectors": 8, "functions": 16}, source=OURS),
        "paper": Preset(
            {"width": 128, "layers": 5, "orientations": 20, "functions": 256, "hidden": 128, "degree": 3},
            source="authors' code: main_md17.py and main_nbody.py (hidden_dim, layers, n, basis_dim, degree, "
            "widening_factor), ponita/models/ponita.py",
        ),
    }

    def __init__(
        self,
        width: int = 32,
        layers: int = 3,
        cutoff: float = 5.0,
        orientations: int = 12,
        *,
        grid: str = "icosahedral",
        vectors: int = 16,
        functions: int = 32,
        hidden: int | None = None,
        degree: int = 3,
        widening: int = 4,
        layer_scale: float | None = None,
        average_degree: float = 16.0,
        dimension: int = 3,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        hidden = functions if hidden is None else hidden
        check_sizes(width=width, layers=layers, functions=functions, hidden=hidden, degree=degree, widening=widening)
        check_sizes(vectors=1 + vectors)
        check_degree(average_degree)
        self.dimension = dimension
        self.directions = directions(grid, dimension, orientations)
        self.irreps_out = scalars_and_vectors(width, vectors, dimension)
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        self.vectors = self.embed_vectors(width)
        self.basis = InvariantBasis(self.directions, self.edges.width, hidden, functions, degree)
        self.layers = nn.ModuleList(
            PositionOrientationLayer(width, self.directions, functions, average_degree, widening, layer_scale)
            for _ in range(layers)
        )
        self.out = nn.Linear(width, vectors, bias=False) if vectors else None

    @property
    def card(self) -> ModelCard:
        return replace(self.CARD, symmetry=self.directions.symmetry, domain=self.directions.name)

    def lifted(self, graph: Graph) -> Float[Tensor, "nodes o width"]:
        """The last features (nodes, directions, width) of a graph as :meth:`ready` gives it."""
        require_space(graph, self.dimension)
        s, edges = self.embedding(graph), self.edges(graph)
        f = s.unsqueeze(1).expand(-1, self.directions.count, -1)
        if self.vectors is not None:
            f = f + self.directions.along(self.vectors(graph))
        phi, psi = self.basis(edges)
        for layer in self.layers:
            f = layer(f, phi, psi, graph.edge_index)
        return f

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        f = self.lifted(graph)
        s = self.directions.mean(f)
        if self.out is None:
            return s
        return torch.cat([s, self.directions.out_of(on_rows(self.out, f)).transpose(1, 2).flatten(1)], dim=-1)
