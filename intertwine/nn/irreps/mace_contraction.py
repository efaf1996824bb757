"""Weights of mace-torch's symmetric contraction in our basis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.nn.irreps.contraction_operator import couplings
from intertwine.nn.irreps.symmetric_contraction import SymmetricContraction
from intertwine.numerics import CheckpointError, finite
from intertwine.o3.symmetric_coupling import SymmetricCouplings

#: Of the largest coefficient: their tables may be in float32, those of another layer are off by 1.
_LARGEST_RELATIVE_REMAINDER = 1e-4


@torch.no_grad()
def load_mace_contraction(layer: SymmetricContraction, state: Mapping[str, Tensor], prefix: str = "") -> None:
    r"""Give a layer the weights of a ``mace.modules.symmetric_contraction.SymmetricContraction`` with the same
    arguments.

    A polynomial of a species and a channel is the same in both bases:
    :math:`\sum_\eta w_\eta U_\eta = \sum_\theta w'_\theta U'_\theta` after symmetrisation, which is solved for
    :math:`w'` in float64. Paths that mace-torch counts several times become one.

    Args:
        layer: what is to be filled.
        state: the ``state_dict`` of mace-torch's module, or of a model that contains it; with its tables
            ``U_matrix_...``.
        prefix: of the keys, such as ``"products.0.symmetric_contractions."``.

    Raises:
        CheckpointError: a table or weight is missing, of another shape, or not of the couplings of this layer.
    """
    dim, weights, converted = sum(ir.dim for _, ir in layer.irreps_in), iter(layer.weights), []
    for number, degrees in enumerate(couplings(layer.irreps_in, layer.irreps_out, layer.correlations)):
        for degree, ours in enumerate(degrees, 1):
            place = f"{prefix}contractions.{number}."
            kept = "weights_max" if degree == len(degrees) else f"weights.{len(degrees) - 1 - degree}"
            table, theirs = (_entry(state, place + name) for name in (f"U_matrix_{degree}", kept))
            weight = next(weights)
            expected = (layer.num_elements, table.shape[-1], layer.channels)
            if tuple(theirs.shape) != expected or table[..., 0].numel() != ours.coefficients.shape[1] * dim**degree:
                raise CheckpointError(
                    f"{tuple(theirs.shape)} and a table of {tuple(table.shape)}; expected {expected} for {layer}",
                    where=place + kept,
                    remedy="build the layer with the arguments of mace-torch's.",
                )
            if not (finite(table) and finite(theirs)):
                remedy = "give a model that was trained and saved whole."
                raise CheckpointError("has numbers that are not finite", where=place + kept, remedy=remedy)
            mixing = _mixing(ours, table.double().cpu().numpy(), dim, place + kept)
            converted.append((weight, torch.einsum("tp,spk->stk", torch.from_numpy(mixing), theirs.double().cpu())))
    for weight, converted_weight in converted:
        weight.copy_(converted_weight)


def _entry(state: Mapping[str, Tensor], key: str) -> Tensor:
    if key not in state:
        raise CheckpointError(
            "missing", where=key, remedy="give the state_dict of mace-torch's module, and the prefix of its keys."
        )
    return state[key]


def _mixing(ours: SymmetricCouplings, table: np.ndarray, dim: int, where: str) -> Float[np.ndarray, "ours theirs"]:
    """Our weights of each of their paths."""
    degree, paths = ours.monomials.shape[1], table.shape[-1]
    powers = dim ** np.arange(degree)[::-1]
    cells = np.sort(np.indices((dim,) * degree).reshape(degree, -1).T, axis=1) @ powers
    total = np.zeros((dim**degree, ours.coefficients.shape[1], paths))
    np.add.at(total, cells, table.reshape(total.shape[1], -1, paths).swapaxes(0, 1))
    wanted = total.swapaxes(0, 1).reshape(-1, paths)
    basis = np.zeros((*ours.coefficients.shape[:2], dim**degree))
    basis[..., ours.monomials @ powers] = ours.coefficients
    basis = basis.reshape(len(basis), len(wanted)).T
    mixing = np.linalg.lstsq(basis, wanted, rcond=None)[0]
    left = np.abs(basis @ mixing - wanted).max(initial=0.0)
    if left > _LARGEST_RELATIVE_REMAINDER * max(np.abs(wanted).max(initial=0.0), 1.0):
        remedy = "build the layer with the arguments of mace-torch's."
        raise CheckpointError(
            f"the table is not of couplings of this layer: {left:.3g} is left", where=where, remedy=remedy
        )
    return mixing
