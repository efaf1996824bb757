"""The paths of a tensor product in e3nn's words: checked, and with the factors of their normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt
from typing import Any, NamedTuple

from torch import Tensor

from intertwine.kernels import weight_shape
from intertwine.numerics import InputError
from intertwine.o3.irreps import Irreps

IRREP_NORMALIZATIONS = ("component", "norm", "none")
PATH_NORMALIZATIONS = ("element", "path", "none")


class Instruction(NamedTuple):
    """One path of a tensor product.

    Attributes:
        i_in1, i_in2, i_out: which block of the two inputs and of the output.
        connection_mode: how the multiplicities are connected, such as ``"uvw"``.
        has_weight: whether the path has weights.
        path_weight: the constant that multiplies the path; in the ``instructions`` of a
            :class:`~intertwine.o3.TensorProduct` with the normalisation in it.
        path_shape: axes of the weights.
    """

    i_in1: int
    i_in2: int
    i_out: int
    connection_mode: str
    has_weight: bool
    path_weight: float
    path_shape: tuple[int, ...]


def instruction(number: int, values: Sequence[Any], irreps: tuple[Irreps, Irreps, Irreps]) -> Instruction:
    """A path as given, checked.

    Args:
        number: of the path, for messages.
        values: ``(i_in1, i_in2, i_out, mode, has_weight[, path_weight])``.
        irreps: of both inputs and the output.

    Raises:
        InputError: the path does not exist.
    """
    where = f"instructions[{number}]"
    if len(values) not in (5, 6):
        raise InputError(
            f"has {len(values)} entries",
            where=where,
            remedy="give (i1, i2, i_out, mode, has_weight[, path_weight]).",
        )
    i_in1, i_in2, i_out, mode, has_weight, path_weight = (*values, 1.0)[:6]
    for blocks, index, name in zip(irreps, (i_in1, i_in2, i_out), ("in1", "in2", "out"), strict=True):
        if not 0 <= index < len(blocks):
            raise InputError(
                f"irreps_{name} = {blocks} has no block {index}", where=where, remedy="count the blocks from 0."
            )
    (mul1, ir1), (mul2, ir2), (mul3, ir3) = irreps[0][i_in1], irreps[1][i_in2], irreps[2][i_out]
    if ir3 not in ir1 * ir2:
        raise InputError(
            f"{ir1} times {ir2} does not contain {ir3}",
            where=where,
            remedy=f"the output can be one of {', '.join(str(ir) for ir in ir1 * ir2)}.",
        )
    if not 0 <= path_weight < inf:
        raise InputError(
            f"the weight of the path is {path_weight}", where=where, remedy="it is a variance: give a number >= 0."
        )
    shape = weight_shape(mode, mul1, mul2, mul3, weighted=has_weight, where=where)
    return Instruction(i_in1, i_in2, i_out, mode, has_weight, path_weight, shape)


def variances_of(variances: Sequence[float] | Tensor | None, irreps: Irreps, where: str) -> list[float]:
    values = [1.0] * len(irreps) if variances is None else [float(value) for value in variances]
    if len(values) != len(irreps):
        raise InputError(
            f"{len(values)} variances for {len(irreps)} blocks", where=where, remedy="give one number a block."
        )
    if not all(0 <= value < inf for value in values):
        raise InputError(f"{values} are not variances", where=where, remedy="give numbers >= 0.")
    return values


def normalised(
    paths: list[Instruction],
    irreps: tuple[Irreps, Irreps, Irreps],
    variances: tuple[list[float], list[float], list[float]],
    irrep_normalization: str,
    path_normalization: str,
) -> list[Instruction]:
    """The paths with the square root of alpha as their weights."""

    def spread(path: Instruction) -> float:
        mul1, mul2 = irreps[0][path.i_in1].mul, irreps[1][path.i_in2].mul
        pairs = mul1 * (mul2 - 1) // 2
        terms = {"uvw": mul1 * mul2, "uvu": mul2, "uvv": mul1, "uuw": mul1, "u<vw": pairs}.get(path.connection_mode, 1)
        return variances[0][path.i_in1] * variances[1][path.i_in2] * terms

    total: dict[int, float] = {}
    count: dict[int, int] = {}
    for path in paths:
        total[path.i_out] = total.get(path.i_out, 0.0) + spread(path)
        count[path.i_out] = count.get(path.i_out, 0) + 1
    made = []
    for path in paths:
        dim1, dim2, dim3 = irreps[0][path.i_in1].ir.dim, irreps[1][path.i_in2].ir.dim, irreps[2][path.i_out].ir.dim
        alpha = {"component": float(dim3), "norm": float(dim1 * dim2), "none": 1.0}[irrep_normalization]
        by = {"element": total[path.i_out], "path": spread(path) * count[path.i_out], "none": 1.0}[path_normalization]
        alpha = alpha / by if by > 0 else alpha
        made.append(path._replace(path_weight=sqrt(alpha * variances[2][path.i_out] * path.path_weight)))
    return made
