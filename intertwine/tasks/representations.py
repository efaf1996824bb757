"""Representations of labels as a user writes them, what the numbers of a label say, and the models that have them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from intertwine.geometry.voigt import ORDER
from intertwine.nn import Backbone
from intertwine.numerics import InputError
from intertwine.numerics.signature import arguments
from intertwine.o3 import Irreps
from intertwine.o3.cartesian import CartesianTensor

BARE = "ijkl"  # names of indices
SYMMETRY_TOLERANCE = 1e-4  # of the size of a tensor: what its label may lack of its symmetry, for the digits of a file


def is_formula(representation: str) -> bool:
    """Whether it names indices ("ij=ji") rather than irreps ("2e")."""
    return not any(sign.isdigit() for sign in representation)


def irreps_of(representation: str) -> Irreps:
    return CartesianTensor(representation) if is_formula(representation) else Irreps(representation)


def representation_of(values: Tensor, name: str) -> str:
    """The representation that labels of that shape have: "0e", "1o", or the most special index symmetry that all of
    them show.

    Raises:
        InputError: the numbers may be anything.
    """
    shape = values.shape[1:]
    if shape.numel() in (1, 3):
        return "0e" if shape.numel() == 1 else "1o"
    rank = next((rank for rank in range(2, 5) if shape.numel() == 3**rank), 0)
    whole = values.to(torch.float64).nan_to_num().reshape(len(values), *(3,) * rank) if rank else values
    for formula in _symmetries(rank):
        tensor = CartesianTensor(formula)
        if float((tensor.to_cartesian(tensor.from_cartesian(whole)) - whole).norm()) <= SYMMETRY_TOLERANCE * float(
            whole.norm()
        ):
            return formula
    if rank and len(shape) == rank:
        return BARE[:rank]
    remedy = (
        f"say what they are by --set task.representation=...: {shape.numel()}x0e for invariants, irreps such as 1o+2e"
    )
    remedy += f", or {BARE[:rank]} for a Cartesian tensor, its last index fastest." if rank else "."
    if shape.numel() == 6:
        remedy += f" A symmetric tensor in Voigt's order ({ORDER}) is read by --key polarizability={name}."
    raise InputError(
        f"{name!r} has {shape.numel()} components, which may be anything", where="task.representation", remedy=remedy
    )


def _symmetries(rank: int) -> list[str]:
    """Index symmetries to try on a tensor of rank 2 or more, the most special first: all alike, two neighbours."""
    bare = BARE[:rank]
    swaps = [bare[:k] + bare[k + 1] + bare[k] + bare[k + 2 :] for k in range(rank - 1)]
    return list(dict.fromkeys(["=".join([bare, *swaps]), *(f"{bare}={swap}" for swap in swaps)])) if swaps else []


def outputs_of(model: type[Backbone], irreps: Irreps) -> dict[str, Any]:
    """Arguments of a model, of those that it has, by which its features have these irreps."""
    known, degree = arguments(model), max(ir.l for _, ir in irreps)
    wanted: dict[str, Any] = {"outputs": "+".join(dict.fromkeys(["0e", *(str(ir) for _, ir in irreps.regroup())]))}
    if "lmax" in known and (known["lmax"].default or 0) < degree:
        wanted["lmax"] = degree
    if any(ir.p != (-1) ** ir.l for _, ir in irreps):
        wanted["parity"] = True
    return {name: value for name, value in wanted.items() if name in known}
