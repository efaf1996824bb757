"""Features block by block: the one place, outside of the kernels, that knows how a layout orders them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Inexact, Int
from torch import Tensor

from intertwine.kernels import LAYOUTS
from intertwine.numerics import InputError
from intertwine.o3.irreps import Irreps

__all__ = [
    "LAYOUTS",
    "blocks_as_laid",
    "channels_innermost",
    "join_blocks",
    "require_features",
    "require_tensors",
    "split_blocks",
]


def split_blocks(
    x: Inexact[Tensor, "*batch dim"], irreps: Irreps, layout: str = "mul_ir"
) -> list[Inexact[Tensor, "*batch mul component"]]:
    """Views of the blocks as (..., channels, components), whatever the layout.

    Raises:
        InputError: the last axis of x is not ``irreps.dim``.
    """
    blocks = blocks_as_laid(x, irreps, layout)
    return [block.transpose(-1, -2) for block in blocks] if layout == "ir_mul" else blocks


def blocks_as_laid(
    x: Inexact[Tensor, "*batch dim"], irreps: Irreps, layout: str
) -> list[Inexact[Tensor, "*batch outer inner"]]:
    """Views of the blocks as their numbers lie: (..., components, channels) in ``ir_mul``, (..., channels, components)
    in ``mul_ir``.

    Raises:
        InputError: the last axis of x is not ``irreps.dim``.
    """
    require_features(x, irreps)
    pieces = x.split([block.dim for block in irreps], -1) if len(irreps) > 1 else (x,) * len(irreps)
    sizes = [(ir.dim, mul) if layout == "ir_mul" else (mul, ir.dim) for mul, ir in irreps]
    return [piece.reshape(*x.shape[:-1], *size) for piece, size in zip(pieces, sizes)]


def join_blocks(blocks: Sequence[Inexact[Tensor, "..."]], layout: str = "mul_ir") -> Inexact[Tensor, "..."]:
    """The inverse of :func:`split_blocks`, of at least one block."""
    turned = [block.transpose(-1, -2) if layout == "ir_mul" else block for block in blocks]
    flat = [block.reshape(*block.shape[:-2], block.shape[-1] * block.shape[-2]) for block in turned]
    return flat[0] if len(flat) == 1 else torch.cat(flat, dim=-1)


def channels_innermost(irreps: Irreps) -> Int[np.ndarray, " dim"]:
    """The position in ``mul_ir`` of each component in ``ir_mul``: with it as an index an axis changes its layout."""
    orders = [
        where.start + np.arange(mul * ir.dim).reshape(mul, ir.dim).T.reshape(-1)
        for (mul, ir), where in zip(irreps, irreps.slices())
    ]
    return np.concatenate([np.zeros(0, dtype=np.int64), *orders])


def require_tensors(**arguments: object) -> None:
    """The check of arguments that may come from other libraries.

    Raises:
        InputError: an argument is neither a dense tensor nor None.
    """
    for name, value in arguments.items():
        if isinstance(value, Tensor) and not value.layout == torch.strided:
            raise InputError(
                f"a {str(value.layout).removeprefix('torch.')} tensor",
                where=name,
                remedy="give a dense one, with .to_dense().",
            )
        if value is not None and not isinstance(value, Tensor):
            several = isinstance(value, tuple | list) and value and isinstance(value[0], Tensor)
            remedy = (
                "give one tensor: torch.stack of these." if several else "give a tensor: torch.as_tensor makes one."
            )
            raise InputError(f"a {type(value).__name__}", where=name, remedy=remedy)


def require_features(x: Tensor, irreps: Irreps) -> None:
    """The check behind every layer: x is a tensor, and its last axis that of the representation.

    Raises:
        InputError: it is not.
    """
    require_tensors(features=x)
    if x.ndim == 0 or x.shape[-1] != irreps.dim:
        raise InputError(
            f"features have shape {tuple(x.shape)}, expected (..., {irreps.dim})",
            where=str(irreps),
            remedy="give features of this representation.",
        )
