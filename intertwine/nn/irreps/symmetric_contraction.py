"""MACE's symmetric contraction: products of a node's features with themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn.irreps.contraction_operator import couplings, polynomial, polynomial_name
from intertwine.numerics import InputError, choose, safe
from intertwine.o3 import Irrep, Irreps
from intertwine.o3.blocks import LAYOUTS, join_blocks, require_features, split_blocks


class SymmetricContraction(nn.Module):
    r"""The most general equivariant polynomial in the features of a node, channel by channel, with coefficients of its
    species.

    .. math:: B_{n, LM, k} = \sum_{\nu = 1}^{\nu_{max}} \sum_\eta W^{\nu L}_{s_n \eta k}
        \sum_{i_1 \ldots i_\nu} U^{\nu L}_{\eta M i_1 \ldots i_\nu}\, x_{n i_1 k} \cdots x_{n i_\nu k}

    The U are an orthonormal basis of the symmetric couplings
    (:func:`~intertwine.o3.symmetric_coupling.symmetric_couplings`); each weight is one independent polynomial, where
    mace-torch may count one several times. The sum is evaluated as one polynomial: no tensor of products of all
    components exists.

    Args:
        irreps_in: representation of the features; all blocks with the same multiplicity, the number of channels k.
        irreps_out: that of the result; as many channels.
        correlation: :math:`\nu_{max}`, the largest degree; or that of each irrep of the output.
        num_elements: number of species.
        layout: "ir_mul" (channels innermost, faster) or "mul_ir", of features and result.
        dtype, device: of the weights.

    Attributes:
        weights: :math:`W` (num_elements, paths, channels) of each block of the output and each degree from 1, in this
            order; at first normal random numbers over the number of paths, as in MACE.

    Raises:
        InputError: multiplicities that differ, a correlation that is not positive, no species, or an unknown layout.

    Source: Batatia et al., MACE (2022), eq. 10 and 11.

    >>> layer = SymmetricContraction("8x0e + 8x1o", "8x0e", correlation=3, num_elements=2)
    >>> layer(torch.ones(5, 32), torch.tensor([0, 1, 1, 0, 0])).shape
    torch.Size([5, 8])
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_out: Any,
        correlation: int | Mapping[Any, int],
        num_elements: int,
        *,
        layout: str = "ir_mul",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.layout = choose(layout, LAYOUTS, kind="layout", where="SymmetricContraction")
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.channels, self.num_elements = _channels(self.irreps_in, self.irreps_out), num_elements
        if not isinstance(num_elements, int) or isinstance(num_elements, bool) or num_elements < 1:
            raise InputError(
                f"{num_elements!r} species", where="SymmetricContraction", remedy="give their number, 1 or more."
            )
        self.correlations = _correlations(correlation, self.irreps_out)
        self._components = sum(ir.dim for _, ir in self.irreps_in)
        self._dims = (self.irreps_in.dim, self.irreps_out.dim)
        self._shared, self._own = (
            polynomial_name(self.irreps_in, self.irreps_out, self.correlations, shared=shared)
            for shared in (True, False)
        )
        self.weights = nn.ParameterList()
        for degrees in couplings(self.irreps_in, self.irreps_out, self.correlations):
            for degree in degrees:
                paths = len(degree.coefficients)
                weight = torch.randn(num_elements, paths, self.channels, dtype=dtype, device=device)
                self.weights.append(nn.Parameter(weight / max(paths, 1)))

    def extra_repr(self) -> str:
        paths = sum(weight.shape[1] for weight in self.weights)
        return (
            f"{self.irreps_in} -> {self.irreps_out}, correlation {self.correlations}, "
            f"{self.num_elements} species, {paths} paths"
        )

    def forward(
        self, x: Float[Tensor, "*batch dim"], species: Int[Tensor, "*batch"] | Float[Tensor, "*batch elements"]
    ) -> Float[Tensor, "*batch out"]:
        """The products B (..., irreps_out.dim).

        Args:
            x: features (..., irreps_in.dim).
            species: numbers from 0 to num_elements - 1 (...), or how much a node is of each species (...,
                num_elements), such as one-hot.

        Raises:
            InputError: a wrong shape, precision or device, or a species out of range.
        """
        self._require(x, species)
        if not self.irreps_out:
            return x[..., :0]
        nodes = x.flatten(0, -2) if x.ndim > 1 else x.unsqueeze(0)
        weights = torch.cat(tuple(self.weights), 1)
        if species.is_floating_point():
            kinds = species.reshape(nodes.shape[0], self.num_elements)
            with safe.without_autocast(x.device):  # as exact as with numbers of species
                weights = (kinds.to(weights.dtype) @ weights.flatten(1)).unflatten(1, weights.shape[1:])
            group, name = torch.zeros(nodes.shape[0], dtype=torch.int64, device=x.device), self._own
        else:
            group, name = species.reshape(-1).long(), self._shared
        values = polynomial(self._apart(nodes.to(weights.dtype)), weights, group, name)
        return self._together(values).reshape(*x.shape[:-1], self._dims[1])

    def _apart(self, x: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes components channels"]:
        """(nodes, components, channels)."""
        if self.layout == "ir_mul" or not self.irreps_in:
            return x.reshape(x.shape[0], self._components, self.channels)
        return torch.cat([block.transpose(1, 2) for block in split_blocks(x, self.irreps_in, self.layout)], 1)

    def _together(self, values: Float[Tensor, "nodes components channels"]) -> Float[Tensor, "nodes dim"]:
        if self.layout == "ir_mul":
            return values.flatten(1)
        blocks = values.split([ir.dim for _, ir in self.irreps_out], 1)
        return join_blocks([block.transpose(1, 2) for block in blocks], self.layout)

    def _require(self, x: Tensor, species: Tensor) -> None:
        if x.ndim == 0 or x.shape[-1] != self._dims[0]:
            require_features(x, self.irreps_in)
        expected = x.shape[:-1] if not species.is_floating_point() else (*x.shape[:-1], self.num_elements)
        parameter: Any = self.weights[0] if len(self.weights) else x
        problem = None
        if species.dtype == torch.bool or species.is_complex() or species.shape != expected:
            problem = f"species {species.dtype} of shape {tuple(species.shape)} for features of shape {tuple(x.shape)}"
            if not species.is_floating_point() and species.shape == (*x.shape[:-1], self.num_elements):
                raise InputError(
                    problem,
                    where="SymmetricContraction",
                    remedy="cast species to the precision of x, or give argmax(-1).",
                )
        elif x.dtype != parameter.dtype and not safe.autocasting(x):
            problem = f"features in {x.dtype}, weights in {parameter.dtype}"
        elif not x.device == species.device == parameter.device:
            problem = f"features on {x.device}, species on {species.device}, weights on {parameter.device}"
        if problem:
            remedy = (
                f"give numbers (...) or fractions (..., {self.num_elements}), "
                "and features in the precision and on the device of all."
            )
            raise InputError(problem, where="SymmetricContraction", remedy=remedy)


def _channels(irreps_in: Irreps, irreps_out: Irreps) -> int:
    multiplicities = {mul for mul, _ in (*irreps_in, *irreps_out)}
    if len(multiplicities) > 1:
        raise InputError(
            f"{irreps_in} and {irreps_out} have blocks of {sorted(multiplicities)} channels",
            where="SymmetricContraction",
            remedy="give all blocks the same multiplicity, with o3.Linear before and after.",
        )
    return next(iter(multiplicities), 0)


def _correlations(correlation: int | Mapping[Any, int], irreps_out: Irreps) -> tuple[int, ...]:
    degrees: Sequence[Any] = [correlation] * len(irreps_out)
    if isinstance(correlation, Mapping):
        known = {Irrep(ir): degree for ir, degree in correlation.items()}
        degrees = [known.get(ir) for _, ir in irreps_out]
    if any(not isinstance(degree, int) or isinstance(degree, bool) or degree < 1 for degree in degrees):
        raise InputError(
            f"correlation {correlation!r} for {irreps_out}",
            where="SymmetricContraction",
            remedy="give a degree of 1 or more, or {irrep: degree} for all irreps of the output.",
        )
    return tuple(degrees)
