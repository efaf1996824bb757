r"""A multilayer perceptron of any group: linear intertwiners, gates, and products of components."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups import DirectSum, Group, Representation, Trivial, group_of, sum_of, terms_of
from intertwine.groups.intertwiners import clebsch_gordan
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
    r"""Products of components of two features, copy by copy: :math:`z_c = C(x_c, y_c)` for all couplings C of a term of
    x and one of y to a third.

    Args:
        rep: of both features: a sum whose terms have the same number of copies; those that are only permuted take no
            part.
    """

    def __init__(self, rep: DirectSum) -> None:
        super().__init__()
        self.rep = rep
        self.paths: list[tuple[int, int, int]] = []
        out: list[Representation] = []
        terms = rep.terms
        if len({copies for copies, _ in terms}) != 1:
            raise InputError(f"{rep}", where="EquivariantProduct", remedy="give each term the same number of copies.")
        mixing = [k for k, (_, term) in enumerate(terms) if not isinstance(term, PermutationRepresentation)]
        for i, j, k in itertools.product(mixing, repeat=3):
            if j < i:  # x and y are different maps of one feature, so that the other order is the same family
                continue
            tensor = clebsch_gordan(terms[i][1], terms[j][1], terms[k][1])
            if len(tensor):
                self.register_exact(f"coupling{i}_{j}_{k}", tensor)
                self.paths.append((i, j, k))
                out.append(DirectSum(((terms[i][0] * len(tensor), terms[k][1]),)))
        self.rep_out = sum_of(out)

    def forward(
        self, x: Float[Tensor, "*batch dim"], y: Float[Tensor, "*batch dim"]
    ) -> Float[Tensor, "*batch dim_out"]:
        left, right = self._parts(x), self._parts(y)
        products = [
            torch.einsum("pkij,...ci,...cj->...pck", getattr(self, f"coupling{i}_{j}_{k}"), left[i], right[j])
            for i, j, k in self.paths
        ]
        return torch.cat([product.flatten(-3) for product in products], dim=-1)

    def _parts(self, x: Tensor) -> list[Tensor]:
        sizes = [copies * term.dim for copies, term in self.rep.terms]
        return [part.unflatten(-1, (copies, -1)) for part, (copies, _) in zip(x.split(sizes, -1), self.rep.terms)]


class EquivariantMLP(nn.Module):
    r"""Layers of :math:`h' = s + L_3\,(L_1 s \otimes L_2 s)` with :math:`s = \sigma(L h)`, then a linear map; L are
    intertwiners.

    The products make invariants, cross products and so on of vectors, which gates alone never do. Source: the
    construction is Finzi, Welling and Wilson, A Practical Method for Constructing Equivariant Multilayer Perceptrons
    for Arbitrary Matrix Groups (2021), section 5; here the couplings of the products are all that there are.

    Args:
        rep_in: representation of the input.
        rep_out: representation of the output.
        width: copies of each hidden representation.
        hidden: the hidden representations; by default an invariant and all terms of input and output.
        layers: number of hidden layers.
        products: copies that enter products; 0 for none.

    Raises:
        InputError: representations of different groups, no layers, or a term of the output that would be zero for every
            input: no hidden representation that is made of the input maps to it.
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
        linears: list[EquivariantLinear] = []
        before: list[EquivariantLinear] = []
        made: list[EquivariantProduct] = []
        self.activations, self.after = nn.ModuleList(), nn.ModuleList()
        rep = rep_in
        for _ in range(layers):
            activation = GatedActivation(inner, self.group)
            linears.append(EquivariantLinear(rep, activation.rep_in, group=self.group))
            self.activations.append(activation)
            product = EquivariantProduct(few) if products else None
            if product is not None and product.paths:
                before.extend(EquivariantLinear(inner, few, bias=False, group=self.group) for _ in range(2))
                made.append(product)
                self.after.append(EquivariantLinear(product.rep_out, inner, bias=False, group=self.group))
            rep = inner
        self.last = EquivariantLinear(inner, rep_out, group=self.group)
        self._require_reached(linears, before, made)
        self.linears, self.before, self.products = (nn.ModuleList(modules) for modules in (linears, before, made))

    def forward(self, x: Float[Tensor, "*batch dim_in"]) -> Float[Tensor, "*batch dim_out"]:
        for k, (linear, activation) in enumerate(zip(self.linears, self.activations)):
            x = activation(linear(x))
            if len(self.products):
                x = x + self.after[k](self.products[k](self.before[2 * k](x), self.before[2 * k + 1](x)))
        return self.last(x)

    def _require_reached(
        self, linears: list[EquivariantLinear], before: list[EquivariantLinear], products: list[EquivariantProduct]
    ) -> None:
        """Follow which terms are not zero for every input."""
        reached = set(range(len(terms_of(self.rep_in))))
        for k, linear in enumerate(linears):
            reached = linear.reached(reached)
            if products:
                factors = before[2 * k].reached(reached)
                reached |= {target for i, j, target in products[k].paths if i in factors and j in factors}
        missing = set(range(len(terms_of(self.rep_out)))) - self.last.reached(reached)
        if missing:
            names = ", ".join(str(terms_of(self.rep_out)[n][1]) for n in sorted(missing))
            raise InputError(
                f"{names} of the output would be zero for every input",
                where="EquivariantMLP",
                remedy="give more layers, products, or hidden representations that lead from the input to it.",
            )


def _pointwise(term: Representation) -> bool:
    return isinstance(term, PermutationRepresentation | Trivial)
