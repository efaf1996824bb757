"""The definition of a tensor product, one sample and one number at a time."""

from __future__ import annotations

import itertools

import numpy as np

from intertwine.kernels import Operand, Plan


def split(x: np.ndarray, operand: Operand) -> list[np.ndarray]:
    """The blocks of a vector as (channel, component)."""
    blocks = [x[block.start : block.start + block.size] for block in operand.blocks]
    if operand.layout == "ir_mul":
        return [piece.reshape(block.dim, block.mul).T for piece, block in zip(blocks, operand.blocks)]
    return [piece.reshape(block.mul, block.dim) for piece, block in zip(blocks, operand.blocks)]


def channels(mode: str, mul1: int, mul2: int, mul_out: int):
    """(u, v, w, place of the weight) of every term in the sum over channels."""
    pairs = [(u, v) for u in range(mul1) for v in range(mul2) if u < v]
    if mode == "uvw":
        yield from ((u, v, w, (u, v, w)) for u, v, w in itertools.product(range(mul1), range(mul2), range(mul_out)))
    elif mode == "uuw":
        yield from ((u, u, w, (u, w)) for u in range(mul1) for w in range(mul_out))
    elif mode == "uuu":
        yield from ((u, u, u, (u,)) for u in range(mul1))
    elif mode == "uvu<v":
        yield from ((u, v, n, (n,)) for n, (u, v) in enumerate(pairs))
    elif mode == "u<vw":
        yield from ((u, v, w, (n, w)) for n, (u, v) in enumerate(pairs) for w in range(mul_out))
    else:
        for u, v in itertools.product(range(mul1), range(mul2)):
            yield u, v, {"uvu": u, "uvv": v, "uvuv": u * mul2 + v}[mode], (u, v)


def literal(plan: Plan, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """z of one sample, by the definition."""
    first, second = split(x, plan.in1), split(y, plan.in2)
    out = [np.zeros((block.mul, block.dim)) for block in plan.out.blocks]
    for path in plan.paths:
        w = weight[path.start : path.start + path.numel].reshape(path.shape) if path.weighted else np.ones(path.shape)
        for u, v, target, place in channels(path.mode, *(block.mul for block in plan.blocks(path))):
            for i, j, k, value in path.table.entries:
                out[path.out][target, k] += (
                    path.factor * value * w[place] * first[path.in1][u, i] * second[path.in2][v, j]
                )
    flat = [(block.T if plan.out.layout == "ir_mul" else block).ravel() for block in out]
    return np.concatenate(flat) if flat else np.zeros(0)
