r"""Networks on scalars s (nodes, F) and vectors v (nodes, 3, C): what GVP, EQGAT, PaiNN and the lecture's general form
share.

A linear map of the channels commutes with rotations; so does a product of a vector with a function of invariants, among
them the norms of vectors, which are :math:`|v| = \sqrt{\|v\|^2 + \epsilon^2} - \epsilon` here: smooth where symmetry
makes a vector vanish.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph, vector_fields
from intertwine.groups import Cartesian, DirectSum, Representation
from intertwine.nn.checks import Columns, check_vector_inputs
from intertwine.nn.mlp import MLP
from intertwine.numerics import safe
from intertwine.o3 import Irreps


def join(
    s: Float[Tensor, "nodes scalars"], v: Float[Tensor, "nodes 3 vectors"] | None, vectors: int
) -> Float[Tensor, "nodes features"]:
    """Features of ``F x 0e + C x 1o`` in ``mul_ir`` order, the border's, from s and v; v None stands for ``vectors``
    zero vectors.
    """
    v = s.new_zeros(s.shape[0], 3, vectors) if v is None else v
    return torch.cat([s, v.transpose(1, 2).flatten(1)], dim=-1)


def scalars_and_vectors(scalars: int, vectors: int, dimension: int = 3) -> Representation:
    """Scalars, then vectors of an n-dimensional space: irreps in three dimensions, otherwise Cartesian tensors."""
    if dimension == 3:
        return Irreps(f"{scalars}x0e+{vectors}x1o" if vectors else f"{scalars}x0e")
    terms = ((scalars, Cartesian(0, dimension=dimension)), (vectors, Cartesian(1, dimension=dimension)))
    return DirectSum(tuple(term for term in terms if term[0]))


class VectorEmbedding(nn.Module):
    r""":math:`v_i = W (c(u_i^1), c(u_i^2), \dots)` from named vector fields of the nodes, the velocity for example.

    :math:`c(u) = u\,\mathrm{asinh}(\|u\|)/\|u\|` leaves short vectors as they are and takes the logarithm of the length
    of long ones: features are multiplied with each other layer after layer, and the fastest particle would outgrow all
    others by a power of its speed.

    Args:
        vectors: channels C.
        inputs: the fields, at least one: names, or how many vectors of each node they have.
    """

    def __init__(self, vectors: int, inputs: Columns) -> None:
        super().__init__()
        self.inputs = check_vector_inputs(inputs)
        self.linear = nn.Linear(sum(self.inputs.values()), vectors, bias=False)

    def forward(self, graph: Graph) -> Float[Tensor, "nodes n vectors"]:
        return self.linear(torch.stack([safe.compress(u) for u in vector_fields(graph, self.inputs)], dim=-1))


class ScalarVectorNorm(nn.Module):
    r"""Layer normalisation: s as usual, :math:`v' = v / \sqrt{\frac1C \sum_c \|v_c\|^2 + \epsilon^2}` (Jing et al.
    2021).

    Args:
        scalars: F.
        smoothing: epsilon, in units of v: vectors much shorter are not blown up.
    """

    def __init__(self, scalars: int, smoothing: float) -> None:
        super().__init__()
        self.scalar, self.smoothing = nn.LayerNorm(scalars), smoothing

    def forward(
        self, s: Float[Tensor, "nodes scalars"], v: Float[Tensor, "nodes 3 vectors"]
    ) -> tuple[Float[Tensor, "nodes scalars"], Float[Tensor, "nodes 3 vectors"]]:
        square = v.square().sum(1, keepdim=True).mean(-1, keepdim=True)
        return self.scalar(s), v * (square + self.smoothing**2).rsqrt()


class VectorPerceptron(nn.Module):
    r"""Geometric vector perceptron with vector gating (Jing et al. 2021, arXiv:2106.03843, algorithm 1).

    .. math::
        v_h = W_h v, \quad m = W_m (s, |v_h|) + b, \quad s' = \sigma(m), \quad
        v' = \mathrm{sigmoid}(W_g m + b_g) \circ W_\mu v_h

    Args:
        scalars_in: scalars of the input.
        vectors_in: vectors of the input.
        scalars: scalars of the output.
        vectors: vectors of the output.
        smoothing: epsilon of the norm.
        activation: sigma; None for none.
    """

    def __init__(
        self,
        scalars_in: int,
        vectors_in: int,
        scalars: int,
        vectors: int,
        smoothing: float,
        activation: Callable[[Tensor], Tensor] | None = F.silu,
    ) -> None:
        super().__init__()
        hidden = max(vectors_in, vectors)
        self.hidden = nn.Linear(vectors_in, hidden, bias=False)
        self.scalar = nn.Linear(scalars_in + hidden, scalars)
        self.out = GatedVectors(scalars, hidden, vectors, activation)
        self.smoothing = smoothing
        nn.init.xavier_uniform_(self.hidden.weight)

    def forward(
        self, s: Float[Tensor, "*rows scalars_in"], v: Float[Tensor, "*rows 3 vectors_in"]
    ) -> tuple[Float[Tensor, "*rows scalars"], Float[Tensor, "*rows 3 vectors"]]:
        v_h = self.hidden(v)
        return self.out(self.scalar(torch.cat([s, safe.soft_norm(v_h, self.smoothing, dim=-2)], dim=-1)), v_h)


class GatedVectors(nn.Module):
    r"""The second half of a vector perceptron:
    :math:`(m, v_h) \mapsto (\sigma(m),\; \mathrm{sigmoid}(W_g m + b_g) \circ W_\mu v_h)`.

    Args:
        scalars: features of m.
        hidden: channels of v_h.
        vectors: channels of the result.
        activation: sigma; None for none.
    """

    def __init__(self, scalars: int, hidden: int, vectors: int, activation: Callable[[Tensor], Tensor] | None) -> None:
        super().__init__()
        self.vector = nn.Linear(hidden, vectors, bias=False)
        self.gate = nn.Linear(scalars, vectors)
        self.activation = activation
        nn.init.xavier_uniform_(self.vector.weight)

    def forward(
        self, m: Float[Tensor, "*rows scalars"], v_h: Float[Tensor, "*rows 3 hidden"]
    ) -> tuple[Float[Tensor, "*rows scalars"], Float[Tensor, "*rows 3 vectors"]]:
        v = self.vector(v_h) * self.gate(m).sigmoid().unsqueeze(-2)
        return (m if self.activation is None else self.activation(m)), v


class GatedBlock(nn.Module):
    r"""Gated equivariant block (Schütt et al. 2021, figure 3): :math:`(g, s') = \mathrm{MLP}(s, |V v|)`,
    :math:`v' = W (g \circ U v)`.

    Args:
        scalars: F, of input and output.
        vectors: C, of input and output.
        smoothing: epsilon of the norm.
    """

    def __init__(self, scalars: int, vectors: int, smoothing: float) -> None:
        super().__init__()
        self.mix = nn.Linear(vectors, 2 * vectors, bias=False)  # U and V
        self.mlp = MLP([scalars + vectors, scalars, vectors + scalars])
        self.out = nn.Linear(vectors, vectors, bias=False)
        self.smoothing = smoothing
        for layer in (self.mix, self.out):
            nn.init.xavier_uniform_(layer.weight)

    def forward(
        self, s: Float[Tensor, "*rows scalars"], v: Float[Tensor, "*rows 3 vectors"]
    ) -> tuple[Float[Tensor, "*rows scalars"], Float[Tensor, "*rows 3 vectors"]]:
        u_v, v_v = self.mix(v).chunk(2, dim=-1)
        m = self.mlp(torch.cat([s, safe.soft_norm(v_v, self.smoothing, dim=-2)], dim=-1))
        gate, s = m.split([v.shape[-1], s.shape[-1]], dim=-1)
        return s, self.out(gate.unsqueeze(-2) * u_v)
