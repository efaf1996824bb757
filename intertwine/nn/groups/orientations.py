r"""Grids of orientations: the elements of a finite group of rotations, or rotations spread over SO(2) or SO(3).

A feature map on :math:`\mathbb{R}^n \rtimes H` is stored as (nodes, orientations, channels): what node i has at the
orientation :math:`R_h`. A rotation g of the structure takes :math:`f(x, R)` to :math:`f(g^{-1} x, g^{-1} R)`: it moves
the nodes and permutes the orientations, which are the elements of a group that has g. On a grid of SO(n) they are
permuted only nearly.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups import SO, FiniteGroup, cyclic, dihedral, icosahedral, octahedral, tetrahedral
from intertwine.groups.plane import PlaneIrrep
from intertwine.groups.quadrature import rotation_grid, super_fibonacci
from intertwine.nn.checks import check_sizes
from intertwine.numerics import ExactBuffers, InputError, choose, nearest
from intertwine.o3 import Irrep

#: Groups of rotations of space by name, and with the inversion in letters.
POLYHEDRAL: dict[str, Callable[..., FiniteGroup]] = {
    "tetrahedral": tetrahedral,
    "octahedral": octahedral,
    "icosahedral": icosahedral,
}
INVERSION = " with inversion"
LETTERS = {f"{name[0].upper()}_h": name + INVERSION for name in POLYHEDRAL}
SAMPLINGS = ("fibonacci", "quadrature", "polyhedral")
LARGEST_ORDER = 20  # of a quadrature: 4,851 rotations
USUAL = {2: "C_8", 3: "octahedral"}


class Orientations(ExactBuffers, ABC):
    r"""The orientations :math:`R_1, \ldots, R_H`, weights :math:`w_h` of their mean, and functions of
    :math:`R_h^{-1} R_k`.

    Args:
        name: of the group, as a card writes it.
        matrices: orthogonal matrices (orientations, n, n).
        weights: (orientations), which add up to 1.

    Attributes:
        symmetry: what a network on these orientations is equivariant to: "T(3) x octahedral"; "T(3)" of a sampled grid
            of SO(3), of which no group of rotations is claimed.
        functions: number of functions :math:`\psi_m` on the group of which kernels are sums.
        exact: the matrices in float64.
    """

    matrices: Tensor
    weights: Tensor
    functions: int
    symmetry: str

    def __init__(self, name: str, matrices: Float[Tensor, "h n n"], weights: Float[Tensor, " h"]) -> None:
        super().__init__()
        self.name, self.count, self.dimension = name, len(matrices), matrices.shape[-1]
        self.exact = matrices
        self.register_exact("matrices", matrices)
        self.register_exact("weights", weights)

    def kernel(self, weight: Float[Tensor, "functions *channels"]) -> Float[Tensor, "h h *channels"]:
        r""":math:`k_{hk} = \sum_m \psi_m(R_h^{-1} R_k)\, w_m` for all pairs of orientations.

        The functions have mean square 1 over the group.
        """
        return self.rows(weight.unsqueeze(1).expand(-1, self.count, *weight.shape[1:]))

    @abstractmethod
    def rows(self, weight: Float[Tensor, "functions h *channels"]) -> Float[Tensor, "h h *channels"]:
        r""":math:`k_{hk} = \sum_m \psi_m(R_h^{-1} R_k)\, w_{mh}`, with weights of its own for each h."""

    def mean(self, f: Float[Tensor, "nodes h *channels"]) -> Float[Tensor, "nodes *channels"]:
        r""":math:`\sum_h w_h f_h`, the mean over the orientations."""
        return torch.einsum("h,ih...->i...", self.weights, f)

    def into(self, v: Float[Tensor, "nodes n channels"]) -> Float[Tensor, "nodes h width"]:
        r""":math:`\sum_a (R_h^{-1} v^a)_a`: vectors as they are seen from each orientation.

        Of the channels, n groups of ``width``, the group a is looked at along the axis a of the orientation. Made of
        other vectors by a linear map, that is any linear map of their coordinates.
        """
        return torch.einsum("hba,ibac->ihc", self.matrices, v.unflatten(-1, (self.dimension, -1)))

    def out_of(self, u: Float[Tensor, "nodes h n channels"]) -> Float[Tensor, "nodes n channels"]:
        r""":math:`\sum_h w_h R_h u_h`: the vector of what each orientation sees of it."""
        return torch.einsum("hab,ihbc->iac", self.weights[:, None, None] * self.matrices, u)  # of two: sizes stay open

    def extra_repr(self) -> str:
        return f"{self.name}, {self.count}"


class FiniteOrientations(Orientations):
    r"""All elements of a finite group; :math:`\psi_m` is :math:`\sqrt{H}` at the element m and 0 at the others, so that
    a kernel is any function on the group.

    Args:
        group: a finite group with matrices.
        name: as a card writes it.
    """

    relative: Tensor

    def __init__(self, group: FiniteGroup, name: str) -> None:
        elements = group.elements()
        n = len(elements)
        super().__init__(name, group.linear(elements), torch.full((n,), 1 / n, dtype=torch.float64))
        self.group, self.functions, self.symmetry = group, n, f"T({self.dimension}) x {name}"
        self.register_buffer("relative", group.product(group.inverse(elements)[:, None], elements), persistent=False)

    def kernel(self, weight: Float[Tensor, "functions *channels"]) -> Float[Tensor, "h h *channels"]:
        return self._taken(weight, self.relative)

    def rows(self, weight: Float[Tensor, "functions h *channels"]) -> Float[Tensor, "h h *channels"]:
        own = torch.arange(self.count, device=weight.device)[:, None]
        return self._taken(weight.flatten(0, 1), self.relative * self.count + own)

    def _taken(self, weight: Tensor, where: Tensor) -> Tensor:
        return (math.sqrt(self.count) * weight).index_select(0, where.flatten()).unflatten(0, (self.count, -1))

    def mean(self, f: Float[Tensor, "nodes h *channels"]) -> Float[Tensor, "nodes *channels"]:
        return f.mean(1)


class SampledOrientations(Orientations):
    r"""Some rotations of SO(2) or SO(3); :math:`\psi_m` are the matrix elements :math:`\sqrt{2l+1}\, D^l_{ab}` up to a
    degree (in the plane :math:`1, \sqrt2 \cos k\theta, \sqrt2 \sin k\theta`).

    :math:`D(R_h^{-1} R_k) = D(R_h)^\top D(R_k)`, so that kernels are products of matrices of the grid's rotations.

    Args:
        matrices: rotations (orientations, n, n).
        weights: (orientations), which add up to 1.
        degree: largest l, or frequency k.
        kept: name of the finite group that the rotations are, if they are one.
    """

    def __init__(
        self, matrices: Float[Tensor, "h n n"], weights: Float[Tensor, " h"], degree: int, kept: str = ""
    ) -> None:
        n = matrices.shape[-1]
        super().__init__(f"SO({n})", matrices, weights)
        self.degree, self.functions = degree, 0
        self.symmetry = f"T({n}) x {kept}" if kept else f"T({n})"
        for l in range(degree + 1):
            irrep: Any = Irrep(l, 1) if n == 3 else PlaneIrrep(SO(2), l)
            block = irrep.matrix(matrices)
            # of a 2 x 2 rotation the first column says all
            columns = block if n == 3 else block[..., :1]
            self.register_exact(f"rows_{l}", block)
            self.register_exact(f"columns_{l}", columns * math.sqrt(block.shape[-1]))
            self.functions += block.shape[-1] * columns.shape[-1]

    def rows(self, weight: Float[Tensor, "functions h *channels"]) -> Float[Tensor, "h h *channels"]:
        total, start = weight.new_zeros(self.count, self.count, *weight.shape[2:]), 0
        for l in range(self.degree + 1):
            rows, columns = getattr(self, f"rows_{l}"), getattr(self, f"columns_{l}")
            shape = (rows.shape[-1], columns.shape[-1])
            part = weight[start : start + shape[0] * shape[1]].unflatten(0, shape)
            total = total + torch.einsum("kbd,hbd...->hk...", columns, torch.einsum("hba,adh...->hbd...", rows, part))
            start += shape[0] * shape[1]
        return total


def orientations(
    group: str | None, dimension: int, count: int | None = None, sampling: str = "fibonacci", degree: int = 2
) -> Orientations:
    """The grid of a name.

    Args:
        group: "tetrahedral", "octahedral", "icosahedral" (12, 24, 60 rotations of space), "octahedral with inversion"
            or "O_h" (and the others), "SO(3)"; in the plane "C_4" and "D_4" with any number, "SO(2)". None for
            "octahedral" and "C_8".
        dimension: n, of space.
        count: number of orientations on SO(n); of a finite group all are taken.
        sampling: of SO(3): "fibonacci", any number of them; "quadrature", which integrates low degrees exactly and has
            1, 4, 18, 32, 75, 108, ... rotations; "polyhedral", the 12, 24 or 60 of a polyhedron, to which the network
            is then exactly equivariant. Kernels are functions on SO(3) on all of them: weights fit every grid.
        degree: of kernels on SO(n).

    Raises:
        InputError: an unknown group, one of another dimension, SO(n) without a number, a number that is not the
            group's.
    """
    if dimension not in USUAL:
        raise InputError(f"{dimension} dimensions", where="dimension", remedy="orientations are of 2 or 3.")
    name = (USUAL[dimension] if group is None else str(group)).strip()
    name = LETTERS.get(name, name)
    if count is not None:
        check_sizes(orientations=count)
    if name in ("SO(2)", "SO(3)"):
        _same_dimension(name, int(name[3]), dimension)
        matrices, weights, kept = _sampled(dimension, count, sampling)
        return SampledOrientations(matrices, weights, degree, kept)
    made, known = _finite(name), [*POLYHEDRAL, *LETTERS, "SO(2)", "SO(3)", "C_4", "D_4"]
    if made is None:
        raise InputError(f"unknown group {name!r}", where="group", remedy=nearest(name, known))
    _same_dimension(name, int(made.space or 0), dimension)
    if count not in (None, made.order):
        raise InputError(
            f"{count} orientations of {name}, which has {made.order}",
            where="orientations",
            remedy=f"leave the number out, or sample group='SO({dimension})'.",
        )
    return FiniteOrientations(made, name if dimension == 3 else made.name)


def _finite(name: str) -> FiniteGroup | None:
    stem = name.removesuffix(INVERSION)
    if stem in POLYHEDRAL:
        return POLYHEDRAL[stem](inversion=stem != name)
    match = re.fullmatch(r"([CD])_?(\d+)", name)
    return None if match is None else (cyclic if match[1] == "C" else dihedral)(int(match[2]))


def _same_dimension(name: str, space: int, dimension: int) -> None:
    if space != dimension:
        raise InputError(
            f"{name} turns {'the plane' if space == 2 else 'space'}, and the points have {dimension} coordinates",
            where="group",
            remedy=f"set dimension={space}, or take " + ("C_8 or D_4." if dimension == 2 else "octahedral."),
        )


def _sampled(dimension: int, count: int | None, sampling: str) -> tuple[Tensor, Tensor, str]:
    """Rotations and weights of a grid of SO(n), and the name of the group that they are, if they are one."""
    if count is None:
        raise InputError(
            f"SO({dimension}) has infinitely many orientations",
            where="orientations",
            remedy="say how many, orientations=32 for example, or take a finite group.",
        )
    choose(sampling, SAMPLINGS, kind="sampling", where="sampling")
    uniform = torch.full((count,), 1 / count, dtype=torch.float64)
    if dimension == 2:  # equal angles integrate frequencies below their number, whatever the sampling is called
        return cyclic(count).linear(torch.arange(count)), uniform, f"C_{count}"
    if sampling == "fibonacci":
        return super_fibonacci(count), uniform, ""
    orders = {(order + 1) ** 2 * (order // 2 + 1): order for order in range(LARGEST_ORDER + 1)}
    groups = {make().order: name for name, make in POLYHEDRAL.items()}
    sizes: Iterable[int | None] = orders if sampling == "quadrature" else groups
    if count not in sizes:
        raise InputError(
            f"no {sampling} grid of {count} rotations",
            where="orientations",
            remedy=f"give one of {', '.join(map(str, sizes))}, or sampling='fibonacci' for any number.",
        )
    if sampling == "quadrature":
        return *rotation_grid(orders[count]), ""
    group = POLYHEDRAL[groups[count]]()
    return group.linear(group.elements()), uniform, groups[count]
