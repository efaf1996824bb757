"""Tensors that come from outside, held against what they are for: names, shapes, precision, finite numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from intertwine.numerics.errors import CheckpointError, nearest

_REMEDY = "use another checkpoint (best or last), or train again."


def finite(tensor: Tensor) -> bool:
    """Whether all numbers of a tensor are finite; those of integers are."""
    return not (tensor.is_floating_point() or tensor.is_complex()) or bool(torch.isfinite(tensor).all())


def check_tensors(
    tensors: Any,
    declared: Mapping[str, Tensor],
    *,
    where: str = "",
    what: str = "weights",
    optional: Collection[str] = (),
) -> dict[str, Tensor]:
    """Tensors by name, if they are those that are declared: the same names, and of each the shape and precision, and
    finite numbers.

    Args:
        tensors: what was read.
        declared: tensors of the right names, shapes and precisions. One that is itself not finite may be so.
        where: the file.
        what: they are, in messages.
        optional: names that may be missing.

    Raises:
        CheckpointError: names the first tensor that is not as declared, and how.

    >>> check_tensors({"w": torch.ones(1)}, {"w": torch.ones(2)})
    Traceback (most recent call last):
    intertwine.numerics.errors.CheckpointError: weights: w has shape (1,), not (2,)
      Remedy: use another checkpoint (best or last), or train again.
    """
    if not isinstance(tensors, Mapping):
        raise CheckpointError(f"{what}: a {type(tensors).__name__}, not tensors by name", where=where, remedy=_REMEDY)
    for name in declared:
        if name not in tensors and name not in optional:
            raise CheckpointError(f"{what}: {name} is missing", where=where, remedy=_REMEDY)
    for name, value in tensors.items():
        if name not in declared:
            raise CheckpointError(
                f"{what}: unknown {name!r}; {nearest(str(name), declared)}", where=where, remedy=_REMEDY
            )
        _check(value, declared[name], f"{what}: {name}", where)
    return dict(tensors)


def _check(value: Any, declared: Tensor, name: str, where: str) -> None:
    if not isinstance(value, Tensor):
        raise CheckpointError(f"{name} is a {type(value).__name__}, not a tensor", where=where, remedy=_REMEDY)
    if value.shape != declared.shape:
        raise CheckpointError(
            f"{name} has shape {tuple(value.shape)}, not {tuple(declared.shape)}", where=where, remedy=_REMEDY
        )
    if value.dtype != declared.dtype:
        short = [str(dtype).removeprefix("torch.") for dtype in (value.dtype, declared.dtype)]
        raise CheckpointError(f"{name} is {short[0]}, not {short[1]}", where=where, remedy=_REMEDY)
    if not finite(value) and finite(declared):
        bad = int((~torch.isfinite(value)).sum())
        raise CheckpointError(
            f"{name} has {bad} of {value.numel()} numbers that are not finite", where=where, remedy=_REMEDY
        )


@torch.no_grad()
def transcribe(target: Tensor, values: Tensor, name: str, *, where: str = "") -> None:
    """Copy the values of another library's tensor into one of ours: of exactly its shape, and finite. The precision may
    differ.

    Raises:
        CheckpointError: they are not; names the tensor.
    """
    remedy = "give a model that was trained and saved whole."
    if not isinstance(values, Tensor) or values.shape != target.shape:
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise CheckpointError(f"{name} has shape {shape}, not {tuple(target.shape)}", where=where, remedy=remedy)
    if not finite(values):
        raise CheckpointError(f"{name} has numbers that are not finite", where=where, remedy=remedy)
    target.copy_(values)
