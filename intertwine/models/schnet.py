r"""SchNet: an invariant network; linear convolution with a continuous filter of the distance.

.. math::
    m_{ij} = (W_1 f_j) \circ W(d_{ij})\, c(d_{ij}), \qquad f_i' = f_i + W_3\,\sigma\big(W_2 \textstyle\sum_j m_{ij}\big)

with :math:`\sigma` the shifted softplus, and W two dense layers of the radial functions
:math:`e_k(d) = \exp(-\gamma (d - \mu_k)^2)`. The paper has :math:`\sigma` after both of them (``filter_activation``)
and :math:`\gamma` = 10 / A^2 (``gamma``), as the preset ``paper`` does; by default the second layer is linear, and
:math:`\gamma` that of the spacing.

Schütt et al., NeurIPS 2017 (arXiv:1706.08566), eq. 1 and 2, figure 2; lecture 3.2, "point convolutions" with k(||x_j -
x_i||).

Departures: the envelope c takes messages to zero at the cutoff, the paper has none and sums over all pairs (with the 30
A of the preset c is within 1e-2 of 1 below 8 A); the atom-wise layers after the blocks (32, shifted
softplus, 1) are the task's head.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import MLP, Backbone, MessagePassing, ModelCard, RadialInputs, check_sizes, shifted_softplus
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.radial import GaussianBasis
from intertwine.nn.shapes import Radial
from intertwine.numerics import InputError
from intertwine.o3 import Irreps


class SchNetLayer(MessagePassing):
    """One interaction block.

    Args:
        width: features F of a node.
        edge_width: radial functions and edge invariants that the filter sees.
        filter_activation: whether the shifted softplus follows the filter's last layer too.
    """

    def __init__(self, width: int, edge_width: int, filter_activation: bool = False) -> None:
        super().__init__()
        self.filter = MLP([edge_width, width, width], shifted_softplus, last=filter_activation)
        self.inward = nn.Linear(width, width, bias=False)
        self.outward = MLP([width, width, width], shifted_softplus)
        nn.init.xavier_uniform_(self.inward.weight)

    def prepare(self, f: Float[Tensor, "nodes width"]) -> tuple[None, Float[Tensor, "nodes width"]]:
        return None, self.inward(f)  # W_1 once per node, not per edge

    def message(self, f_i: None, f_j: Float[Tensor, "edges width"], a_ij: Radial) -> Float[Tensor, "edges width"]:
        attributes, envelope = a_ij
        return f_j * (self.filter(attributes) * envelope)  # (W_1 f_j) o W(d_ij)

    def update(
        self, f_i: Float[Tensor, "nodes width"], m_i: Float[Tensor, "nodes width"]
    ) -> Float[Tensor, "nodes width"]:
        return f_i + self.outward(m_i)


class SchNet(Backbone):
    """SchNet with any cutoff, species and invariant inputs.

    Args:
        width: features F of a node (64 in the paper, 128 in later work).
        layers: interaction blocks (3 in the paper).
        gamma: of the Gaussians, in 1/A^2 (10 in the paper); None for one over twice the square of their spacing.
        filter_activation: whether the shifted softplus follows the last layer of the filter, as in the paper.
        inputs: as of every model, :class:`~intertwine.nn.RadialInputs`; Gaussians are the paper's.

    Raises:
        InputError: a size or gamma that is not positive, a gamma for functions that are no Gaussians.
    """

    CARD = ModelCard(
        message="linear",
        geometry="distance",
        body_order=2,
        symmetry="E(n)",
        paper="Schütt et al. 2017, arXiv:1706.08566",
    )
    DEFAULTS = RadialInputs(radial_size=50, radial="gaussian")
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 64, "layers": 3, "radial_size": 32}, source=OURS),
        "paper": Preset(
            {
                "width": 64,
                "layers": 3,
                "radial_size": 300,
                "cutoff": 30.0,
                "gamma": 10.0,
                "filter_activation": True,
            },
            source="arXiv:1706.08566, section 4.1 and figure 2; authors' code: schnet/models/schnet.py, "
            "nn/layers/rbf.py",
        ),
    }

    def __init__(
        self,
        width: int = 128,
        layers: int = 4,
        cutoff: float = 5.0,
        *,
        gamma: float | None = None,
        filter_activation: bool = False,
        **inputs: Unpack[RadialInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers)
        self.irreps_out = Irreps(f"{width}x0e")
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        if gamma is not None:
            if self.arguments["radial"] != "gaussian":
                raise InputError(
                    "a gamma without Gaussians", where="gamma", remedy="give radial='gaussian', or no gamma."
                )
            self.edges.radial = GaussianBasis(self.edges.functions, cutoff, gamma=gamma)
        self.layers = nn.ModuleList(SchNetLayer(width, self.edges.width, filter_activation) for _ in range(layers))

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        f, edges = self.embedding(graph), self.edges(graph)
        for layer in self.layers:
            f = layer(f, (edges.attributes, edges.envelope), graph.edge_index)
        return f
