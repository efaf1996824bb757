"""Features block by block: the one place, outside of the kernels, that knows how a layout orders channels and components."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError
from intertwine.o3.irreps import Irreps

#: Channel outer and component inner (e3nn's), or component outer and channel innermost.
LAYOUTS = ("mul_ir", "ir_mul")


def split_blocks(x: Float[Tensor, "*batch dim"], irreps: Irreps, layout: str = "mul_ir") -> list[Float[Tensor, "*batch mul component"]]:
    """Views of the blocks as (..., channels, components), whatever the layout.

    Raises:
        InputError: the last axis of x is not ``irreps.dim``.
    """
    require_features(x, irreps)
    pieces = x.split([block.dim for block in irreps], -1) if len(irreps) > 1 else (x,) * len(irreps)
    if layout == "ir_mul":
        return [piece.reshape(*x.shape[:-1], ir.dim, mul).transpose(-1, -2) for piece, (mul, ir) in zip(pieces, irreps)]
    return [piece.reshape(*x.shape[:-1], mul, ir.dim) for piece, (mul, ir) in zip(pieces, irreps)]


def join_blocks(blocks: Sequence[Float[Tensor, "..."]], layout: str = "mul_ir") -> Float[Tensor, "..."]:
    """The inverse of :func:`split_blocks`, of at least one block."""
    turned = [block.transpose(-1, -2) if layout == "ir_mul" else block for block in blocks]
    flat = [block.reshape(*block.shape[:-2], block.shape[-1] * block.shape[-2]) for block in turned]
    return flat[0] if len(flat) == 1 else torch.cat(flat, dim=-1)


def require_features(x: Tensor, irreps: Irreps) -> None:
    """The check behind every layer: the last axis of x is that of the representation.

    Raises:
        InputError: it is not.
    """
    if x.ndim == 0 or x.shape[-1] != irreps.dim:
        raise InputError(
            f"features have shape {tuple(x.shape)}, expected (..., {irreps.dim})",
            where=str(irreps),
            remedy="give features of this representation.",
        )
