r"""GroupMPNN: the general message on a group. Every node has features at every orientation, and a message looks at both
ends and at the group element between them.

.. math::
    m_i(h) &= \frac{1}{\sqrt{\bar N}} \sum_j \frac1H \sum_{h'} \phi(f_i(h), f_j(h'), g_{jh'}^{-1} g_{ih}), \qquad
    g_{jh'}^{-1} g_{ih} = \big(R_{h'}^{-1} (x_i - x_j),\; R_{h'}^{-1} R_h\big) \\
    f_i'(h) &= f_i(h) + \phi_f(f_i(h), m_i(h))

with :math:`\phi(f, f', (x, R)) = W\, c(\|x\|)\, \mathrm{silu}(P f + Q f' + A(x) + B(R) + b)`: one hidden layer of the
concatenation, A and B being functions of x (radial networks times harmonics) and of R with weights for each hidden
unit, and c the envelope. Features start and are read out as in
:class:`~intertwine.models.regular_group_cnn.RegularGroupCNN`, whose message is this one's linear case: a lifting
convolution of the scalars, and vectors seen from each orientation,
:math:`f_i(h) = s_i + \sum_j k(R_h^{-1} x_{ij})\, s_j + W R_h^{-1} u_i`.

Lecture 3.2, "lift to the group": X = G, :math:`m_{ij} = \phi(f_i, f_j, g_j^{-1} g_i)`; on a group in place of a
homogeneous space as in Bekkers et al. 2024 (arXiv:2310.02970), eq. 4. The group is one of rotations, finite (12 of a
tetrahedron by default) or a grid of SO(n), with translations; what is exact of it is said there, too.

Departures: the lecture gives no network for phi; a hidden layer of a sum of linear maps, its second layer after the
sum, which it commutes with, the residual and the division are ours.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import MLP, MessagePassing, ModelCard, VectorInputs
from intertwine.nn.embedding import Edges
from intertwine.nn.groups.lifted_network import LiftedNetwork
from intertwine.nn.groups.orientations import Orientations
from intertwine.nn.groups.steerable_basis import SteerableBasis, Turning
from intertwine.nn.mlp import on_rows
from intertwine.nn.preset import OURS, Preset

Lifted = Float[Tensor, "nodes h width"]
Part = Float[Tensor, "edges h width"]
# functions of x of the edges, and the envelope
Geometry = tuple[Float[Tensor, "edges size"], Float[Tensor, "edges 1"]]


class GroupMPNNLayer(MessagePassing):
    """Message and update on f (nodes, orientations, F).

    Args:
        width: features F.
        basis: functions of x that A is a sum of.
        orientations: the grid.
        average_degree: average number of neighbours.
    """

    def __init__(self, width: int, basis: SteerableBasis, orientations: Orientations, average_degree: float) -> None:
        super().__init__()
        self.orientations, self.turning = orientations, Turning(basis, orientations)
        self.received, self.sent = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.position = nn.Parameter(torch.randn(basis.size, width) * basis.size**-0.5)
        self.orientation = nn.Parameter(torch.randn(orientations.functions, width) * orientations.functions**-0.5)
        self.outward = nn.Linear(width, width, bias=False)
        self.phi_f = MLP([2 * width, width, width])
        self.scale = average_degree**-0.5

    def prepare(self, f: Lifted) -> tuple[Lifted, Lifted]:
        return on_rows(self.received, f), on_rows(self.sent, f)  # P and Q once per node, not per edge

    def message(self, f_i: Part, f_j: Part, a_ij: Geometry) -> Part:
        phi, envelope = a_ij
        sent = f_j + (phi @ self.turning(self.position).flatten(1)).view_as(f_j)  # Q f' + A(x), at h'
        turns = self.orientations.kernel(self.orientation)  # B(R_h'^-1 R_h), (h', h, width)
        m = torch.zeros_like(f_i)
        for k, weight in enumerate(self.orientations.weights.unbind()):  # never all pairs of orientations at once
            m = m + weight * F.silu(f_i + (sent[:, k, None] + turns[k]))
        return m * (self.scale * envelope).unsqueeze(-1)

    def update(self, f_i: Lifted, m_i: Lifted) -> Lifted:
        return f_i + on_rows(self.phi_f, torch.cat([f_i, on_rows(self.outward, m_i)], dim=-1))


class GroupMPNN(LiftedNetwork):
    """Message passing on a group of rotations and translations, in the plane or in space.

    Time and memory grow with edges times the square of the number of orientations.

    Args:
        width: features F of a node at each orientation.
        layers: rounds of messages.
        cutoff: r_c in A.
        group: as of :class:`~intertwine.models.regular_group_cnn.RegularGroupCNN`; None for "tetrahedral", in the plane
            "C_8".
        orientations: how many of SO(n); None for all of a finite group.
        sampling: of SO(3): "fibonacci", "quadrature" or "polyhedral".
        vectors: vectors of a node among the outputs.
        lmax: largest degree of the functions of x, and of those on SO(n).
        functions: radial functions in A.
        average_degree: average number of neighbours; sums are divided by its square root, a constant.
        dimension: n, 2 or 3.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`.

    Raises:
        InputError: a size that is not positive, an unknown group, one of another dimension, SO(n) without a number of
            orientations.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="group element",
        body_order=5,
        domain="T(3) x tetrahedral",
        symmetry="T(3) x tetrahedral",
        paper="Bekkers et al. 2024, arXiv:2310.02970; lecture 3.2",
    )
    DEFAULTS = VectorInputs(radial_size=8)
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 16, "layers": 2, "vectors": 8}, source=OURS),
        "paper": Preset(
            {"width": 128, "layers": 5},
            source="code of arXiv:2310.02970: main_md17.py (hidden_dim, layers); neither the lecture nor the paper has "
            "a network with this message, whose group is ours",
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
        average_degree: float = 16.0,
        dimension: int = 3,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        group = "tetrahedral" if group is None and dimension == 3 else group
        super().__init__(
            cutoff, inputs, width=width, layers=layers, group=group, orientations=orientations, sampling=sampling,
            vectors=vectors, lmax=lmax, functions=functions, average_degree=average_degree, dimension=dimension,
        )  # fmt: skip

    def layer(self, width: int, average_degree: float) -> nn.Module:
        return GroupMPNNLayer(width, self.basis, self.orientations, average_degree)

    def messages(self, f: Lifted, phi: Float[Tensor, "edges size"], edges: Edges, graph: Graph) -> Lifted:
        phi = phi * self.basis.parity  # of x_i - x_j
        for layer in self.layers:
            f = layer(f, (phi, edges.envelope), graph.edge_index)
        return f
