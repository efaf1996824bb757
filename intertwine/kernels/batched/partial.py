r"""A product with its second argument fixed, as a matrix:
:math:`R_{(u i)(w k)} = \sum_{\text{paths}} W_{u w} \sum_j C_{ijk}\, y_j`.

What evaluates a product on every vector of a basis pays for the basis; here every entry of the matrix costs one
multiplication a path.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.plan import Path, Plan
from intertwine.numerics import safe


@lru_cache(maxsize=1024)
def supported(plan: Plan) -> bool:
    """Whether all paths are fully connected with weights, and the second argument has single channels."""
    connected = all(path.mode == "uvw" and path.weighted for path in plan.paths)
    return connected and bool(plan.paths) and all(block.mul == 1 for block in plan.in2.blocks)


def matrix(
    plan: Plan, y: Float[Tensor, "samples dim2"], weight: Float[Tensor, "samples weights"] | Float[Tensor, "1 weights"]
) -> Float[Tensor, "samples dim1 dim_out"]:
    """R of a plan that is :func:`supported`.

    Args:
        y: second arguments; weight: those of each sample, or one row for all.
    """
    make = _coefficients.__wrapped__ if safe.traced(y) else _coefficients
    tables = [path.table.shape for path in plan.paths]
    evaluated = (y @ make(plan, y.dtype, y.device)).split([shape[0] * shape[2] for shape in tables], -1)  # z, i k
    pieces = weight.split([path.numel for path in plan.paths], -1)  # z, u w
    meeting: dict[tuple[int, int], list[int]] = {}
    for number, path in enumerate(plan.paths):
        meeting.setdefault((path.in1, path.out), []).append(number)
    rows = []
    for a, first in enumerate(plan.in1.blocks):
        columns = []
        for b, out in enumerate(plan.out.blocks):
            shape = (-1, first.mul, first.dim, out.mul, out.dim)
            numbers = meeting.get((a, b), [])
            if not numbers or 0 in shape:
                columns.append(y.new_zeros(y.shape[0], first.size, out.size))
                continue
            if len(numbers) == 1:
                w, m = pieces[numbers[0]], evaluated[numbers[0]]
                block = w.view(-1, first.mul, 1, out.mul, 1) * m.view(-1, 1, first.dim, 1, out.dim)
            else:
                left = torch.stack([pieces[n] for n in numbers], -1)
                right = torch.stack([evaluated[n] for n in numbers], 1)
                block = torch.matmul(left, right).view(-1, first.mul, out.mul, first.dim, out.dim).transpose(2, 3)
            block = block.transpose(1, 2) if plan.in1.layout == "ir_mul" else block
            block = block.transpose(3, 4) if plan.out.layout == "ir_mul" else block
            columns.append(block.reshape(-1, first.size, out.size))
        rows.append(columns[0] if len(columns) == 1 else torch.cat(columns, -1))
    return rows[0] if len(rows) == 1 else torch.cat(rows, 1)


@lru_cache(maxsize=256)
def _coefficients(plan: Plan, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "dim2 columns"]:
    """f C of all paths, a row for each component of the second argument."""
    columns = [_rows(plan, path) for path in plan.paths]
    with torch.inference_mode(False), torch._C._DisableFuncTorch():
        return torch.from_numpy(np.concatenate(columns, 1)).to(dtype=dtype, device=device)


def _rows(plan: Plan, path: Path) -> np.ndarray:
    block, dense = plan.in2.blocks[path.in2], path.factor * path.table.dense()
    rows = np.zeros((plan.in2.dim, dense.shape[0] * dense.shape[2]))
    rows[block.start : block.start + block.dim] = dense.transpose(1, 0, 2).reshape(block.dim, -1)
    return rows
