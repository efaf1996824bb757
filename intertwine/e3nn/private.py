"""Small functions and tuples of e3nn's private modules that programs were seen to use."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from intertwine.numerics import InputError
from intertwine.o3 import grids
from intertwine.o3.clebsch_gordan import wigner_3j
from intertwine.o3.irreps import Irrep
from intertwine.o3.spherical_harmonics import spherical_harmonics


class Chunk(NamedTuple):
    """A block of features."""

    mul: int
    dim: int
    slice: slice | None = None


class Path(NamedTuple):
    """Two blocks and the block of their product."""

    input_1_slice: Chunk
    input_2_slice: Chunk
    output_slice: Chunk


def named_irrep(name: str) -> Irrep:
    """The irrep that a name such as ``l1o`` stands for.

    Raises:
        AttributeError: it stands for none.
    """
    try:
        return Irrep(name.removeprefix("l") if name.startswith("l") else "")
    except InputError as error:
        raise AttributeError(
            f"'e3nn.o3.irrep' has no attribute {name!r}: write l, degree and parity, such as l1o"
        ) from error


def _sum_tensors(xs: list[Tensor], shape: Any, like: Tensor) -> Tensor:
    return torch.stack(torch.broadcast_tensors(*xs)).sum(0) if xs else like.new_zeros(shape)


def _so3_clebsch_gordan(l1: int, l2: int, l3: int) -> Tensor:
    return wigner_3j(l1, l2, l3, dtype=torch.float64)


def _spherical_harmonics(lmax: int, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return spherical_harmonics(
        list(range(lmax + 1)), torch.stack([x, y, z], dim=-1), normalize=False, normalization="component"
    )


def _mul_m_lm(mul_l: list[tuple[int, int]], x_m: Tensor, x_lm: Tensor) -> Tensor:
    """Multiply the components m of every copy in x_lm (..., sum of mul (2l+1)) by x_m (..., 2 lmax + 1), centred."""
    centre = x_m.shape[-1] // 2
    factors = [x_m[..., centre - l : centre + l + 1] for mul, l in mul_l for _ in range(mul)]
    return torch.cat(factors, dim=-1) * x_lm


def _quadrature_weights(b: int, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    weights = torch.as_tensor(grids.quadrature(2 * b), device=device) / (2 * (2 * b) ** 2)
    return weights.to(torch.empty(0, dtype=dtype).dtype)


def _complete_lmax_res(lmax: int | None, res_beta: int | None, res_alpha: int | None) -> tuple[int, int, int]:
    return grids.complete_resolution(lmax, (res_beta, res_alpha))


def _expand_matrix(
    ls: list[int], like: Tensor | None = None, dtype: torch.dtype | None = None, device: Any = None
) -> Tensor:
    """0 and 1 of shape (degrees, 2 lmax + 1, sum of 2l+1): component m of degree l goes to row l, centred."""
    like = torch.empty(0, dtype=dtype, device=device) if like is None else like
    lmax, start = max(ls), 0
    matrix = like.new_zeros(len(ls), 2 * lmax + 1, sum(2 * l + 1 for l in ls), dtype=dtype, device=device)
    for row, l in enumerate(ls):
        for m in range(2 * l + 1):
            matrix[row, lmax - l + m, start + m] = 1
        start += 2 * l + 1
    return matrix
