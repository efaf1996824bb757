r"""PointNet: one perceptron for all points, and a maximum over them; it knows where points are, and which way is up.

.. math::
    h_i = \mathrm{MLP}_1(x_i - \bar x, s_i), \qquad g = \max_i \mathrm{MLP}_2(h_i), \qquad f_i = (h_i, g)

with the centre :math:`\bar x` of the graph, and an embedding s of species and inputs where there are any. Qi, Su, Mo
and Guibas, CVPR 2017 (arXiv:1612.00593), eq. 1 and figure 2: :math:`f_i` is what the authors' segmentation network
reads; a maximum over the nodes (``task.readout=max``) leaves :math:`g`, and a perceptron after it
(``task.hidden=256``) makes their classifier.

Departures: no transform networks (T-Net), no batch norms, SiLU for ReLU, so that derivatives exist; positions from the
centre. With these its symmetry is T(n) and the order of the points, S(n), alone: what is turned is something else. It
is the network to hold equivariant ones against, and one to be symmetrised from outside, for which points may have
vectors (``vector_inputs``) and get some (``vectors``, linear in :math:`f_i`). There are no edges, and no messages but
the maximum. The maximum has a kink where two points tie, where forces jump; with ``pooling="logsumexp"`` it is
:math:`g = \ln \sum_i e^{\mathrm{MLP}_2(h_i)}`, as smooth as the rest.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry import Graph, centred, vector_fields
from intertwine.groups import Representation
from intertwine.nn import MLP, Backbone, Inputs, ModelCard, check_sizes
from intertwine.nn.checks import Columns, require_space
from intertwine.nn.cutoff import positive
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.scalar_vector import scalars_and_vectors
from intertwine.numerics import choose, segment


class PointInputs(Inputs, total=False):
    """Keyword arguments of a model without radial functions, whose nodes may have vectors.

    Args:
        vector_inputs: vectors of the nodes, as of :class:`~intertwine.nn.VectorInputs`.
    """

    vector_inputs: Columns


POOLINGS = {"max": segment.max, "logsumexp": segment.logsumexp}


class PointNet(Backbone):
    """PointNet in any dimension.

    Returns the width + pooled scalars :math:`(h_i, g)` of each node, and ``vectors`` vectors.

    Args:
        width: features of a point, h (64 in the paper).
        pooled: features of the whole, g (1,024 in the paper).
        hidden: units of the hidden layer of MLP_2 (128 in the paper).
        scale: typical distance of a point from the centre (A), which positions are divided by.
        pooling: "max", or "logsumexp" for continuous forces.
        vectors: vectors of a node among the outputs.
        dimension: n, the dimension of space.
        inputs: as of every model, :class:`~intertwine.nn.Inputs`, and ``vector_inputs``.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="vector",
        body_order=5,
        symmetry="T(n)",
        paper="Qi, Su, Mo, Guibas 2017, arXiv:1612.00593",
        domain="R^d",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "pooled": 128, "hidden": 64}, source=OURS),
        "paper": Preset(
            {"width": 64, "pooled": 1024, "hidden": 128},
            source="arXiv:1612.00593, figure 2: mlp (64, 64), then mlp (64, 128, 1024)",
        ),
    }
    EDGES = False
    irreps_out: Representation

    def __init__(
        self, width: int = 64, pooled: int = 256, hidden: int = 128, *, scale: float = 1.0, pooling: str = "max",
        vectors: int = 0, dimension: int = 3, **inputs: Unpack[PointInputs],
    ) -> None:  # fmt: skip
        super().__init__(None, inputs)
        check_sizes(width=width, pooled=pooled, hidden=hidden, dimension=dimension, vectors=1 + vectors)
        self.dimension, self.scale = dimension, positive(scale)
        self.pooling = choose(pooling, POOLINGS, kind="pooling", where="pooling")
        self.irreps_out = scalars_and_vectors(width + pooled, vectors, dimension)
        self.embedding = self.embed_nodes(width)
        self.place = torch.nn.Linear(dimension * (1 + sum(self.vector_inputs.values())), width, bias=False)
        self.outward = torch.nn.Linear(width + pooled, dimension * vectors, bias=False) if vectors else None
        self.local = MLP([width, width, width], last=True, xavier=False)
        self.whole = MLP([width, hidden, pooled], xavier=False)

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph, self.dimension)
        seen = [centred(graph) / self.scale, *vector_fields(graph, self.vector_inputs)]
        first = self.embedding(graph) + self.place(torch.cat(seen, dim=-1))
        h = self.local(torch.nn.functional.silu(first))
        g = POOLINGS[self.pooling](self.whole(h), graph.membership(), graph.graphs)
        f = torch.cat([h, g.index_select(0, graph.membership())], dim=-1)
        return f if self.outward is None else torch.cat([f, self.outward(f)], dim=-1)
