"""Components of a direct sum of irreps: drawn at random, taken out by irrep, counted by irrep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from intertwine.numerics import InputError, choose

Sum = TypeVar("Sum")


class RandomComponents:
    """The random tensors of a direct sum, a sequence of blocks (multiplicity, irrep)."""

    __slots__ = ()

    def randn(
        self: Iterable[tuple[int, Any]],
        *size: int,
        normalization: str = "component",
        requires_grad: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Random components, standard normal ("component") or uniform on the sphere of every single irrep ("norm").

        Args:
            size: shape, in which -1 stands for ``dim``.
            normalization: "component" or "norm".
            requires_grad, dtype, device, generator: as in ``torch.randn``.

        Raises:
            InputError: the shape has not exactly one -1, or the normalization is unknown.

        >>> from intertwine.o3 import Irreps
        >>> Irreps("5x0e + 10x1o").randn(5, -1, 5, normalization="norm").shape
        torch.Size([5, 35, 5])
        """
        choose(normalization, ("component", "norm"), kind="normalization", where="Irreps.randn")
        if size.count(-1) != 1:
            raise InputError(
                f"the shape {size} has not exactly one -1",
                where="Irreps.randn",
                remedy="write -1 for the axis of irreps.",
            )
        axis = size.index(-1)
        before, after = size[:axis], size[axis + 1 :]

        def draw(*middle: int) -> Tensor:
            return torch.randn(*before, *middle, *after, dtype=dtype, device=device, generator=generator)

        if normalization == "component":
            return draw(sum(mul * ir.dim for mul, ir in self)).requires_grad_(requires_grad)
        parts = []
        for mul, ir in self:
            x = draw(mul, ir.dim)
            parts.append((x / x.norm(dim=axis + 1, keepdim=True)).flatten(axis, axis + 1))
        return (torch.cat(parts, dim=axis) if parts else draw(0)).requires_grad_(requires_grad)


def copies(x: Tensor, blocks: Iterable[tuple[slice, int]], dim: int) -> Tensor:
    """The copies (..., copies, dim) of one irrep of dimension ``dim``: where its blocks lie on the last axis of x, and
    the multiplicity of each; no copies where there are no blocks.
    """
    taken = [x[..., where].unflatten(-1, (mul, dim)) for where, mul in blocks]
    if not taken:
        return x.new_zeros(*x.shape[:-1], 0, dim)
    return taken[0] if len(taken) == 1 else torch.cat(taken, dim=-2)


class CountedSlices(Generic[Sum]):
    """Slices of a direct sum that count single irreps.

    Args:
        blocks: multiplicity and irrep of each block.
        make: the direct sum of some blocks.
    """

    def __init__(self, blocks: Sequence[tuple[int, Any]], make: Callable[[list[tuple[int, Any]]], Sum]) -> None:
        self.blocks, self.make = blocks, make

    def __getitem__(self, index: slice) -> Sum:
        if not isinstance(index, slice) or index.step not in (None, 1):
            raise InputError(
                f"{index!r} is not a slice of step 1",
                where="Irreps.slice_by_mul",
                remedy="write slice_by_mul[first:last].",
            )
        start, stop, _ = index.indices(sum(mul for mul, _ in self.blocks))
        inside, first = [], 0
        for mul, ir in self.blocks:
            if (start < first + mul and first < stop) or (mul == 0 and start <= first <= stop):
                inside.append((min(stop, first + mul) - max(start, first), ir))
            first += mul
        return self.make(inside)
