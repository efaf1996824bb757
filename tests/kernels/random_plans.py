"""Random products and graphs, and the convolution by its definition: gather, multiply, sum. Shared by the tests of the
fused kernels.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from intertwine import o3
from intertwine.kernels import Operand, Plan, Reference, Table

D = torch.float64
_ENTRIES = 70  # coefficients, times channels of y, of one plan: what is compiled for each of hundreds of plans


@dataclass
class Case:
    """A plan with arguments; every tensor is a leaf, and ``view`` makes of it what the kernel is given."""

    plan: Plan
    x: Tensor
    y: Tensor
    w: Tensor | None
    source: Tensor
    destination: Tensor
    nodes: int

    @property
    def ends(self) -> tuple[Tensor, Tensor, int]:
        return self.source, self.destination, self.nodes


def coupling(l1: int, l2: int, l3: int) -> Table:
    return Table.of(o3.wigner_3j(l1, l2, l3, dtype=D).numpy())


def depthwise(left: str, right: str, lmax: int, layout: str = "ir_mul") -> Plan:
    """All paths of the natural parity up to lmax, each with an output block of its own: what models use."""
    first, second = o3.Irreps(left), o3.Irreps(right)
    out, paths = [], []
    for i, (mul, a) in enumerate(first):
        for j, (_, b) in enumerate(second):
            for ir in a * b:
                if ir.l <= lmax and ir.p == (-1) ** ir.l:
                    paths.append((i, j, len(out), "uvu", True, (2 * ir.l + 1) ** 0.5, coupling(a.l, b.l, ir.l)))
                    out.append((mul, ir.dim))
    operands = (Operand.of([(mul, ir.dim) for mul, ir in irreps], layout) for irreps in (first, second))
    return Plan.of(*operands, Operand.of(out, layout), paths)


def random_plan(seed: int) -> Plan:
    """Blocks of l <= 4 and 0 to 130 channels; several paths to a block, blocks that no path reaches, paths that are
    zero, all layouts.
    """
    r = random.Random(seed)
    degrees = (0, 1, 2, 3, 4)

    def channels() -> int:
        return r.choice((0, 1, 1, r.randint(2, 9), r.randint(10, 40), r.randint(41, 130)))

    first = [(channels(), r.choice(degrees)) for _ in range(r.randint(1, 4))]
    second = [(r.choice((0, 1, 1, 1, 1, 2, 3)), r.choice(degrees)) for _ in range(r.randint(1, 3))]
    out = [(r.randint(0, 5), r.choice(degrees)) for _ in range(r.randint(0, 2))]  # nothing reaches these
    paths, budget = [], _ENTRIES
    for _ in range(r.randint(0, 9)):
        i, j = r.randrange(len(first)), r.randrange(len(second))
        (mul1, l1), (mul2, l2) = first[i], second[j]
        l3 = r.randint(abs(l1 - l2), min(4, l1 + l2)) if abs(l1 - l2) <= 4 else 0
        table = coupling(l1, l2, l3)
        if r.random() < 0.05:
            table = Table.of(np.zeros(table.shape))
        budget -= len(table.entries) * mul2
        if budget < 0:
            break
        modes = [
            "uvu",
            *(["uvuv"] * (mul2 == 1)),
            *(["uvw", "uvu"] * (mul1 == 1)),
            *(["uuu", "uvv", "uuw"] * (mul1 == mul2 == 1)),
        ]
        mode = r.choice(modes)
        into = [n for n, block in enumerate(out) if block == (mul1, l3)]
        if not into or r.random() < 0.5:
            into = [len(out)]
            out.append((mul1, l3))
        weighted = mode == "uvw" or r.random() < 0.7
        paths.append((i, j, r.choice(into), mode, weighted, r.choice((1.0, 0.3, -1.7, r.choice((0.0, 0.5)))), table))
    operands = (
        Operand.of([(mul, 2 * l + 1) for mul, l in blocks], r.choice(("ir_mul", "mul_ir")))
        for blocks in (first, second, out)
    )
    return Plan.of(*operands, paths)


def with_weights(plan: Plan, which: str) -> Plan:
    """The plan with the weights of "all" its paths, of "none", or of "some": the first has none, and the second has."""
    weighted = {"all": lambda n: True, "none": lambda n: False, "some": lambda n: n % 2 == 1}[which]
    paths = [(p.in1, p.in2, p.out, p.mode, weighted(n), p.factor, p.table) for n, p in enumerate(plan.paths)]
    return Plan.of(plan.in1, plan.in2, plan.out, paths)


def case_of(plan: Plan, seed: int, *, senders: int = 5, nodes: int = 4, edges: int = 9, dtype: torch.dtype = D) -> Case:
    """Arguments for a plan: unsorted, repeated and self edges; float64 copies have the same numbers."""
    g = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, dtype=torch.float32).to(dtype).requires_grad_()

    w = randn(edges, plan.weight_numel) if plan.weight_numel else None
    ends = (torch.randint(max(n, 1), (edges,), generator=g) for n in (senders, nodes))
    return Case(plan, randn(senders, plan.in1.dim), randn(edges, plan.in2.dim), w, *ends, nodes)


def convolved(
    plan: Plan, x: Tensor, y: Tensor, w: Tensor | None, source: Tensor, destination: Tensor, nodes: int
) -> Tensor:
    """The definition, with buffers of edges times outputs."""
    z = Reference(plan, shared=False, dtype=x.dtype)(x[source], y, w)
    return z.new_zeros(nodes, plan.out.dim).index_add(0, destination, z)


def deviation(found: Tensor, wanted: Tensor, eps: float) -> float:
    """max|found - wanted| / rms(wanted) / eps, with the rms of what is not zero: nodes without edges, and blocks that
    no path reaches, are.

    Where everything is zero, so must found be.
    """
    found, wanted = found.detach().double(), wanted.detach()
    assert found.shape == wanted.shape
    error = (found - wanted).abs().sum() if (wanted == 0).all() else (found - wanted).abs().max()
    if not error.isfinite():
        return float("inf")
    reached = wanted[wanted != 0]
    return float(error / reached.square().mean().sqrt() / eps) if len(reached) else float(error) and float("inf")


def derivatives(z: Tensor, leaves: Sequence[Tensor], seed: int) -> dict[str, Tensor]:
    """z, its gradients, and the derivatives of those; the names say to which leaf. The same cotangents for every z of
    one seed.
    """
    r = torch.Generator().manual_seed(seed)

    def like(t: Tensor) -> Tensor:
        return torch.randn(t.shape, generator=r, dtype=torch.float32).to(t.dtype)

    g = like(z).requires_grad_()
    found = {"z": z}
    z = z + 0 * sum(leaf.sum() for leaf in leaves)  # a product without paths is a constant
    first = torch.autograd.grad(z, leaves, g, create_graph=True, materialize_grads=True)
    found |= {f"d{n}": one for n, one in enumerate(first)}
    second = torch.autograd.grad(first, [g, *leaves], [like(one) for one in first], materialize_grads=True)
    return found | {f"d d{n}": one for n, one in enumerate(second)}
