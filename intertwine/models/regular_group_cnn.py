r"""RegularGroupCNN: features at every node and orientation, convolved over positions and rotations.

.. math::
    f_i(h) &= s_i + \sum_j k(R_h^{-1} x_{ij})\, s_j + W R_h^{-1} u_i \\
    f_i'(h) &= f_i(h) + \mathrm{MLP}\Big(\sum_j \sum_{h'} k(R_h^{-1} x_{ij}, R_h^{-1} R_{h'})\, f_j(h')
    + \sum_{h'} k_0(R_h^{-1} R_{h'})\, f_i(h')\Big) \\
    s_i^\mathrm{out} &= \tfrac1H \sum_h f_i(h), \qquad v_i^\mathrm{out} = \tfrac1H \sum_h R_h\, U f_i(h)

with scalars s of the nodes, their vectors u (velocities) seen from each orientation, and kernels that carry the
envelope of the cutoff: :mod:`intertwine.nn.groups.regular`. The lecture's "lift to the group", with the linear message
and a grid of orientations: the attribute of a message is :math:`g_i^{-1} g_j`.

The orientations are the elements of a finite group of rotations (24 of a cube by default) or some of SO(n). With a
finite group the network is exactly equivariant to translations and that group, and to no other rotation: the card says
"T(3) x octahedral". Vectors turn as polar ones under its elements, the mirror images of "octahedral with inversion"
among them; a group without mirror images leaves open what a reflection does. On a grid of SO(3) the network claims
translations only, or the rotations of a polyhedron where they are the grid; others are kept up to an error that falls
with the number of orientations (``benchmarks/papers/orientations.py``).

Cohen and Welling 2016 (arXiv:1602.07576) on images; Bekkers 2020 (arXiv:1909.12057); Knigge, Romero and Bekkers 2022
(arXiv:2110.13059) for separable kernels, sections 3.2 and 4.1. Lecture 3.2.

Departures: points and neighbours within a cutoff, with an envelope, where the papers have images; the kernel's
functions of x are radial networks times harmonics, where the papers have pixels, B-splines or sine networks; residuals
with an MLP, no batch norm, no pooling over space between layers.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import ModelCard, VectorInputs
from intertwine.nn.embedding import Edges
from intertwine.nn.groups.lifted_network import LiftedNetwork
from intertwine.nn.groups.regular import FullGroupConvolution, GroupConvolution, RegularLayer
from intertwine.nn.preset import OURS, Preset


class RegularGroupCNN(LiftedNetwork):
    """Regular group CNN on points, in the plane or in space.

    Args:
        width: channels F of a node at each orientation.
        layers: group convolutions after the lifting.
        cutoff: r_c in A.
        group: "tetrahedral", "octahedral", "icosahedral", each also "with inversion" (in letters "T_h", "O_h", "I_h"),
            "SO(3)"; in the plane "C_4", "D_4" with any number, "SO(2)". None for "octahedral", in the plane "C_8".
        orientations: how many of SO(n); None for all of a finite group.
        sampling: of SO(3): "fibonacci", "quadrature" (1, 4, 18, 32, 75, ... rotations) or "polyhedral" (12, 24, 60).
        vectors: vectors of a node among the outputs.
        lmax: largest degree of the harmonics in kernels, and of their functions on SO(n).
        functions: radial functions in kernels.
        separable: kernels that are a function of position times one of orientation; full ones cost far more.
        average_degree: average number of neighbours; sums are divided by its square root, a constant.
        dimension: n, 2 or 3.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`.

    Raises:
        InputError: a size that is not positive, an unknown group, one of another dimension, SO(n) without a number of
            orientations.
    """

    CARD = ModelCard(
        message="linear",
        geometry="group element",
        body_order=5,
        domain="T(3) x octahedral",
        symmetry="T(3) x octahedral",
        paper="Cohen, Welling 2016, arXiv:1602.07576; Knigge, Romero, Bekkers 2022, arXiv:2110.13059",
    )
    DEFAULTS = VectorInputs(radial_size=8)
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 16, "layers": 2, "group": "tetrahedral", "vectors": 8}, source=OURS),
        "paper": Preset(
            {"width": 10, "layers": 6},
            source="arXiv:1602.07576, section 8.1 (P4CNN: a lifting and 6 group convolutions of 10 channels, with the "
            "rotations of the plane by 90 degrees; those of space are the octahedral group)",
        ),
    }

    def __init__(
        self,
        width: int = 32,
        layers: int = 3,
        cutoff: float = 5.0,
        group: str | None = None,
        orientations: int | None = None,
        *,
        sampling: str = "fibonacci",
        vectors: int = 16,
        lmax: int = 2,
        functions: int = 4,
        separable: bool = True,
        average_degree: float = 16.0,
        dimension: int = 3,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        self._kind = GroupConvolution if separable else FullGroupConvolution
        super().__init__(
            cutoff, inputs, width=width, layers=layers, group=group, orientations=orientations, sampling=sampling,
            vectors=vectors, lmax=lmax, functions=functions, average_degree=average_degree, dimension=dimension,
            separable=separable,
        )  # fmt: skip

    def layer(self, width: int, average_degree: float) -> nn.Module:
        return RegularLayer(width, self._kind(width, self.basis, self.orientations, average_degree))

    def messages(
        self, f: Float[Tensor, "nodes h width"], phi: Float[Tensor, "edges size"], edges: Edges, graph: Graph
    ) -> Float[Tensor, "nodes h width"]:
        for layer in self.layers:
            f = layer(f, phi, graph.edge_index)
        return f
