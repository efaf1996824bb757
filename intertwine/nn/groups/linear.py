r"""The linear layer of any group: all intertwiners between two representations, with a weight each."""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups import Group, Representation, group_of, terms_of
from intertwine.groups.intertwiners import hom_basis, invariant_basis, orbits_of_pairs
from intertwine.groups.regular import PermutationRepresentation
from intertwine.numerics import InputError
from intertwine.numerics.constants import ExactBuffers


class EquivariantLinear(ExactBuffers):
    r""":math:`y = (\sum_k w_k B_k)\, x + \sum_l b_l v_l`, where :math:`B_k` is a basis of :math:`\mathrm{Hom}_G(V, W)`
    and :math:`v_l` of the invariant vectors of W.

    By construction :math:`f \rho_V(g) = \rho_W(g) f`, and every linear map with this property is of this form. Of
    :math:`\rho \oplus \rho \oplus \ldots` the copies are channels: an irrep of real type has one weight for each pair
    of them, as Schur's lemma says. Initial weights are normal, with the deviation that keeps the mean square of
    components.

    Args:
        rep_in: V; a sum (:class:`~intertwine.groups.DirectSum`, ``o3.Irreps``) is taken block by block.
        rep_out: W, of the same group.
        bias: whether invariant vectors are added.
        group: the group; that of ``rep_in`` if not given.

    Raises:
        InputError: representations of different groups, or no intertwiner at all but zero.
    """

    def __init__(
        self, rep_in: Representation, rep_out: Representation, *, bias: bool = True, group: Group | None = None
    ) -> None:
        super().__init__()
        self.group = group or group_of(rep_in)
        self.rep_in, self.rep_out = rep_in, rep_out
        self.weights = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        bases: dict[str, Tensor] = {}
        for j, (copies_out, w) in enumerate(terms_of(rep_out)):
            paths = {i: self._maps(v, w) for i, (_, v) in enumerate(terms_of(rep_in))}
            fan = sum(len(paths[i]) * copies_in for i, (copies_in, _) in enumerate(terms_of(rep_in)))
            for i, (copies_in, v) in enumerate(terms_of(rep_in)):
                if not len(paths[i]):
                    continue
                if paths[i].ndim == 1:  # numbers of the entries, and how many share one
                    orbit = orbits_of_pairs(v, w)  # type: ignore[arg-type]
                    self.register_buffer(f"orbit{i}_{j}", orbit, persistent=False)
                    paths[i] = paths[i].rsqrt()
                bases[f"{i}_{j}"] = paths[i] * (w.dim / fan) ** 0.5
                self.weights[f"{i}_{j}"] = nn.Parameter(torch.randn(len(paths[i]), copies_out, copies_in))
            invariant = invariant_basis(w, self.group) if bias else torch.zeros(0, w.dim)
            if len(invariant):
                bases[f"_{j}"] = invariant * w.dim**0.5
                self.biases[f"_{j}"] = nn.Parameter(torch.zeros(len(invariant), copies_out))
        if not self.weights:
            raise InputError(
                f"no linear map from {rep_in} to {rep_out} commutes with {self.group}",
                where="EquivariantLinear",
                remedy="the representations must have an irrep in common.",
            )
        for name, basis in bases.items():
            self.register_exact(f"basis{name}", basis)

    @property
    def num_maps(self) -> int:
        """Dimension of Hom_G(V, W): the number of weights without biases."""
        return sum(weight.numel() for weight in self.weights.values())

    def matrix(self) -> Float[Tensor, "dim_out dim_in"]:
        """The linear map without its bias."""
        rows = []
        for j, (copies_out, w) in enumerate(terms_of(self.rep_out)):
            row = []
            for i, (copies_in, v) in enumerate(terms_of(self.rep_in)):
                if f"{i}_{j}" in self.weights:
                    row.append(self._block(f"{i}_{j}"))
                else:
                    like = next(iter(self.weights.values()))
                    row.append(like.new_zeros(copies_out * w.dim, copies_in * v.dim))
            rows.append(torch.cat(row, dim=1))
        return torch.cat(rows)

    def forward(self, x: Float[Tensor, "*batch dim_in"]) -> Float[Tensor, "*batch dim_out"]:
        if x.shape[-1] != self.rep_in.dim:
            raise InputError(
                f"{x.shape[-1]} components for {self.rep_in} of dimension {self.rep_in.dim}",
                where="EquivariantLinear",
                remedy=f"give a tensor whose last axis has {self.rep_in.dim}, or the representation that it is of.",
            )
        y = x @ self.matrix().T
        return y + self.bias() if self.biases else y

    def bias(self) -> Float[Tensor, " dim_out"]:
        """The invariant vector that is added."""
        parts = []
        for j, (copies_out, w) in enumerate(terms_of(self.rep_out)):
            if f"_{j}" in self.biases:
                parts.append(torch.einsum("kd,kc->cd", getattr(self, f"basis_{j}"), self.biases[f"_{j}"]).flatten())
            else:
                parts.append(next(iter(self.weights.values())).new_zeros(copies_out * w.dim))
        return torch.cat(parts)

    def reached(self, terms: Collection[int]) -> set[int]:
        """Numbers of the output's terms that are not zero for every input, if those of the input's are."""
        made = {int(j) for i, j in (name.split("_") for name in self.weights) if int(i) in terms}
        return made | {int(name[1:]) for name in self.biases}

    def _maps(self, v: Representation, w: Representation) -> Tensor:
        """A basis (k, dim w, dim v); between permutations, where the matrices have one number at many entries, how many
        entries share each number (k).
        """
        if isinstance(v, PermutationRepresentation) and isinstance(w, PermutationRepresentation):
            return orbits_of_pairs(v, w).flatten().bincount().to(torch.float64)
        return hom_basis(v, w, self.group)

    def _block(self, name: str) -> Tensor:
        if hasattr(self, f"orbit{name}"):
            weights = self.weights[name] * getattr(self, f"basis{name}")[:, None, None]
            return weights[getattr(self, f"orbit{name}")].permute(2, 0, 3, 1).flatten(2).flatten(0, 1)
        block = torch.einsum("koi,kwv->owiv", self.weights[name], getattr(self, f"basis{name}"))
        return block.flatten(2).flatten(0, 1)

    def extra_repr(self) -> str:
        return f"{self.rep_in} -> {self.rep_out}, {self.group}, {self.num_maps} weights"
