r"""A multilayer perceptron of any group: linear intertwiners, gates, and products of components."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups import DirectSum, Group, Representation, Trivial, group_of, sum_of
from intertwine.groups.intertwiners import clebsch_gordan, terms_of
from intertwine.groups.regular import PermutationRepresentation
from intertwine.nn.groups.linear import EquivariantLinear
from intertwine.numerics import InputError
from intertwine.numerics.constants import ExactBuffers


class GatedActivation(nn.Module):
    r"""The pointwise functions that commute with any representation: silu of invariants and of components that are only
    permuted, and everything else times the sigmoid of an invariant, one for each copy.

    Args:
        rep: what comes out; ``rep_in`` says what goes in: the gates follow it.
    """

    def __init__(self, rep: DirectSum, group: Group) -> None:
        super().__init__()
        self.rep = rep
        self.gates = sum(copies for copies, term in rep.terms if not _pointwise(term))
        self.rep_in = sum_of((rep, DirectSum(((self.gates, Trivial(group)),)))) if self.gates else rep

    def forward(self, x: Float[Tensor, "*batch dim_in"]) -> Float[Tensor, "*batch dim"]:
        values, gates = x[..., : self.rep.dim], x[..., self.rep.dim :].sigmoid()
        parts, start, gate = [], 0, 0
        for copies, term in self.rep.terms:
            part = values[..., start : start + copies * term.dim]
            start += copies * term.dim
            if _pointwise(term):
                parts.append(F.silu(part))
            else:
                spread = gates[..., gate : gate + copies].repeat_interleave(term.dim, dim=-1)
                parts.append(part * spread)
                gate += copies
        return torch.cat(parts, dim=-1)


class EquivariantProduct(ExactBuffers):
    r"""Products of components, copy by copy: :math:`z_c = C(x_c, y_c)` for all couplings C of two terms to a third.

    Args:
        rep: a sum whose terms have the same number of copies; terms that are only permuted take no part.
        group: its group.
    """

    def __init__(self, rep: DirectSum, group: Group) -> None:
        super().__init__()
        self.rep, self.paths = rep, []
        out: list[Representation] = []
        terms = rep.terms
        if len({copies for copies, _ in terms}) != 1:
            raise InputError(f"{rep}", where="EquivariantProduct", remedy="give each term the same number of copies.")
        mixing = [k for k, (_, term) in enumerate(terms) if not isinstance(term, PermutationRepresentation)]
        for i in mixing:
            for j in mixing:
                if j < i:
                    continue
                for k in mixing:
                    tensor = clebsch_gordan(terms[i][1], terms[j][1], terms[k][1])
                    if i == j:  # of equal arguments only the symmetric part is left
                        tensor = _span(tensor + tensor.mT)
                    if not len(tensor):
                        continue
                    self.register_exact(f"coupling{i}_{j}_{k}", tensor)
                    self.paths.append((i, j, k))
                    out.append(DirectSum(((terms[i][0] * len(tensor), terms[k][1]),)))
        self.rep_out = sum_of(out)

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim_out"]:
        sizes = [copies * term.dim for copies, term in self.rep.terms]
        blocks = [
            part.unflatten(-1, (copies, term.dim)) for part, (copies, term) in zip(x.split(sizes, -1), self.rep.terms)
        ]
        parts = [
            torch.einsum("pkij,...ci,...cj->...pck", getattr(self, f"coupling{i}_{j}_{k}"), blocks[i], blocks[j])
            for i, j, k in self.paths
        ]
        return torch.cat([part.flatten(-3) for part in parts], dim=-1)


class EquivariantMLP(nn.Module):
    r"""Layers of :math:`h' = \sigma(L h) + L_2\, (L_1 \sigma(L h))^{\otimes 2}`, then a linear map; L are intertwiners.

    The products make invariants of vectors, which gates alone never do. Source: the construction is Finzi, Welling and
    Wilson, A Practical Method for Constructing Equivariant Multilayer Perceptrons for Arbitrary Matrix Groups (2021),
    section 5; here the couplings of the products are all that there are.

    Args:
        rep_in: representation of the input.
        rep_out: representation of the output.
        width: copies of each hidden representation.
        hidden: the hidden representations; by default an invariant and all terms of input and output.
        layers: number of hidden layers.
        products: copies that enter products; 0 for none.

    Raises:
        InputError: representations of different groups, no layers, or an output that nothing hidden maps to.
    """

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        *,
        width: int = 32,
        hidden: Sequence[Representation] = (),
        layers: int = 2,
        products: int = 8,
    ) -> None:
        super().__init__()
        if layers < 1 or width < 1 or products < 0:
            raise InputError(
                f"{layers} layers of {width} copies, {products} products",
                where="EquivariantMLP",
                remedy="give at least one layer and one copy.",
            )
        self.rep_in, self.rep_out, self.group = rep_in, rep_out, group_of(rep_in)
        kinds: list[Representation] = []
        for kind in hidden or (Trivial(self.group), *(term for _, term in (*terms_of(rep_in), *terms_of(rep_out)))):
            if kind not in kinds:
                kinds.append(kind)
        inner = DirectSum(tuple((width, kind) for kind in kinds))
        few = DirectSum(tuple((products, kind) for kind in kinds))
        self.linears, self.activations = nn.ModuleList(), nn.ModuleList()
        self.before, self.products, self.after = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        rep = rep_in
        for _ in range(layers):
            activation = GatedActivation(inner, self.group)
            self.linears.append(EquivariantLinear(rep, activation.rep_in, group=self.group))
            self.activations.append(activation)
            product = EquivariantProduct(few, self.group) if products else None
            if product is not None and product.paths:
                self.before.append(EquivariantLinear(inner, few, bias=False, group=self.group))
                self.products.append(product)
                self.after.append(EquivariantLinear(product.rep_out, inner, bias=False, group=self.group))
            rep = inner
        self.last = EquivariantLinear(inner, rep_out, group=self.group)

    def forward(self, x: Float[Tensor, "*batch dim_in"]) -> Float[Tensor, "*batch dim_out"]:
        for k, (linear, activation) in enumerate(zip(self.linears, self.activations)):
            x = activation(linear(x))
            if len(self.products):
                x = x + self.after[k](self.products[k](self.before[k](x)))
        return self.last(x)


def _pointwise(term: Representation) -> bool:
    return isinstance(term, PermutationRepresentation | Trivial)


def _span(tensors: Float[Tensor, "k target first second"]) -> Float[Tensor, "m target first second"]:
    """An orthogonal basis of the span, of the norm that couplings have."""
    flat = tensors.flatten(1)
    _, values, rows = torch.linalg.svd(flat, full_matrices=False)
    kept = rows[values > 1e-8]
    return kept.unflatten(1, tensors.shape[1:]) * tensors.shape[1] ** 0.5
