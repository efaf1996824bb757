"""Heads: from node features of a backbone to the scalars, vectors and tensors that a task asks for."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.groups import Cartesian, DirectSum, Representation, Trivial
from intertwine.nn.mlp import MLP
from intertwine.numerics import InputError, choose, safe, segment
from intertwine.o3 import Irreps

NORM_SMOOTHING = 0.1  # of norms of vectors, in units of the features


def pool(x: Float[Tensor, "nodes *shape"], graph: Graph, how: str = "sum") -> Float[Tensor, "graphs *shape"]:
    """Sum, mean or maximum of node values over the nodes of each graph."""
    return segment.REDUCTIONS[choose(how, ("sum", "mean", "max"), kind="readout", where="readout")](
        x, graph.membership(), graph.graphs
    )


def invariant_columns(representation: Representation) -> list[int]:
    """Which columns of features are invariant: those of "0e" in three dimensions, of ``Cartesian(0)`` in others.

    Args:
        representation: of the features.

    Raises:
        InputError: none is.
    """
    if isinstance(representation, Irreps):
        blocks = [(str(block.ir) == "0e", block.dim) for block in representation]
    else:
        terms = representation.terms if isinstance(representation, DirectSum) else ((1, representation),)
        blocks = [(_is_scalar(each), mul * each.dim) for mul, each in terms]
    columns: list[int] = []
    start = 0
    for invariant, dim in blocks:
        columns += range(start, start + dim) if invariant else ()
        start += dim
    if not columns:
        raise InputError(
            f"a class needs invariant features; the model gives {representation}",
            where="irreps_out",
            remedy="choose a model whose irreps_out has scalars, 0e (see `intertwine models`).",
        )
    return columns


def require(irreps: Representation, wanted: str, purpose: str) -> Irreps:
    """``irreps`` if it has each irrep wanted; an :class:`InputError` that names what is missing otherwise."""
    missing = [str(ir) for _, ir in Irreps(wanted).regroup() if not isinstance(irreps, Irreps) or not irreps.count(ir)]
    if missing or not isinstance(irreps, Irreps):
        raise InputError(
            f"{purpose} needs {' and '.join(missing)} features; the model gives {irreps}",
            where="irreps_out",
            remedy="choose a model whose irreps_out has them (see `intertwine models`): PaiNN and EGNN have vectors, "
            "1o; NequIP, MACE, SEGNN and TensorField have what their argument outputs says, 0e+2e for example.",
        )
    return irreps


def _is_scalar(representation: Representation) -> bool:
    return isinstance(representation, Trivial) or (isinstance(representation, Cartesian) and representation.rank == 0)


class ScalarHead(nn.Module):
    r""":math:`y_i = \mathrm{MLP}(s_i)` from the scalars (0e) of the node features.

    Args:
        irreps: representation of the node features.
        outputs: scalars per node.

    Raises:
        InputError: the features have no scalars.
    """

    def __init__(self, irreps: Representation, outputs: int = 1) -> None:
        super().__init__()
        self.irreps = require(irreps, "0e", "a scalar target")
        self.outputs, width = outputs, self.irreps.count("0e")
        self.mlp = MLP([width, max(width // 2, outputs), outputs])

    def forward(self, f: Float[Tensor, "nodes features"]) -> Float[Tensor, "nodes outputs"]:
        return self.mlp(self.irreps.part(f, "0e").squeeze(-1))


class VectorHead(nn.Module):
    r"""Vectors of a node, or tensors of another irrep, from its scalars s and those tensors v; equivariant under O(3).

    .. math::
        y_i = \sum_c g_c\, (W v_i)_c, \qquad g = \mathrm{MLP}(s_i, |V v_i|), \qquad
        |u| = \sqrt{\|u\|^2 + \epsilon^2} - \epsilon

    The gated block of PaiNN (Schütt et al. 2021, figure 3) with a linear output. A model with exactly one vector is
    taken at its word: that vector is the answer (EGNN's displacement).

    Args:
        irreps: representation of the node features.
        outputs: vectors per node.
        irrep: of the outputs.

    Raises:
        InputError: the features have none of that irrep.
    """

    def __init__(self, irreps: Representation, outputs: int = 1, irrep: str = "1o") -> None:
        super().__init__()
        self.irrep = irrep
        self.irreps = require(irreps, irrep, "a vector target" if irrep == "1o" else f"a target with {irrep}")
        scalars, vectors = self.irreps.count("0e"), self.irreps.count(irrep)
        self.outputs, self.plain = outputs, vectors == 1 and outputs == 1
        if not self.plain:
            self.values = nn.Linear(vectors, vectors, bias=False)
            self.norms = nn.Linear(vectors, vectors, bias=False)
            self.gate = MLP([scalars + vectors, max(scalars, vectors), vectors * outputs])

    def forward(self, f: Float[Tensor, "nodes features"]) -> Float[Tensor, "nodes outputs dim"]:
        v = self.irreps.part(f, self.irrep)
        if self.plain:
            return v
        # channels innermost: linear maps are matrix products
        s, v = self.irreps.part(f, "0e").squeeze(-1), v.transpose(-1, -2)
        from_norms = safe.soft_norm(self.norms(v), NORM_SMOOTHING, dim=-2)
        gate = self.gate(torch.cat([s, from_norms], dim=-1)).unflatten(-1, (self.outputs, -1))
        return gate @ self.values(v).transpose(-1, -2)


class TensorHead(nn.Module):
    """Tensors of any irreps: even scalars as of :class:`ScalarHead`, each other irrep as of :class:`VectorHead`.

    Args:
        irreps: representation of the node features.
        outputs: representation of what each node gets.

    Raises:
        InputError: the features lack irreps of the outputs; all of them are named.
    """

    def __init__(self, irreps: Representation, outputs: Irreps) -> None:
        super().__init__()
        require(irreps, str(outputs), f"a target of {outputs}")
        self.blocks = [(mul, str(ir)) for mul, ir in outputs]
        self.dims = {str(ir): ir.dim for _, ir in outputs}
        self.heads = nn.ModuleDict({str(ir): _head(irreps, str(ir), outputs.count(ir)) for _, ir in outputs.regroup()})

    def forward(self, f: Float[Tensor, "nodes features"]) -> Float[Tensor, "nodes dim"]:
        made = {kind: head(f).reshape(f.shape[0], head.outputs, self.dims[kind]) for kind, head in self.heads.items()}
        parts, taken = [], dict.fromkeys(made, 0)
        for mul, kind in self.blocks:
            parts.append(made[kind][:, taken[kind] : taken[kind] + mul].flatten(1))
            taken[kind] += mul
        return torch.cat(parts, dim=1)


def _head(irreps: Representation, kind: str, outputs: int) -> ScalarHead | VectorHead:
    return ScalarHead(irreps, outputs) if kind == "0e" else VectorHead(irreps, outputs, kind)
