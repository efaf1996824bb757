r"""Convolutions on the pixels of an image, or on voxels, times a finite group or a range of scales.

.. math::
    \text{lifting:} \quad (k \star f)(x, g) &= \sum_y k(g^{-1}(y - x))\, f(y) \\
    \text{on the group:} \quad (k \star f)(x, g) &= \sum_h \sum_y k(g^{-1}(y - x),\, g^{-1} h)\, f(y, h)

Cohen and Welling, ICML 2016 (arXiv:1602.07576), eq. 10 and 11; Bekkers et al., MICCAI 2018 (arXiv:1804.03393) for
turns that don't keep the grid; Sosnovik, Szmaja and Smeulders, ICLR 2020 (arXiv:1910.11093) for scales. The turned
kernels are a constant matrix times the weights, and both sums are one convolution of torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.groups import FiniteGroup, Subgroup
from intertwine.nn.checks import check_sizes
from intertwine.nn.groups.ball_convolution import (
    Box,
    channels_last_is_faster,
    convolve_boxes,
    several_are_faster,
    whole,
)
from intertwine.nn.groups.kernel_basis import KernelBasis, kernel_pixels
from intertwine.numerics import ExactBuffers, InputError, choose

PADDINGS = {"zeros": "constant", "circular": "circular", "reflect": "reflect"}
NEAR = 1e-9  # entries of matrices that are whole numbers but for rounding


class GridConvolution(nn.Module, ABC):
    """Base of convolutions whose kernel is made of weights: :meth:`kernel` makes it, :meth:`forward` applies it.

    Args:
        size: pixels of the kernel along each axis.
        dimension: 2 or 3.
        padding: what is beyond the border, so that sizes stay: "zeros", "circular" (a torus) or "reflect"; each
            commutes with the symmetries of the grid. "none" leaves the border out.
    """

    def __init__(self, size: int, dimension: int, padding: str = "zeros") -> None:
        super().__init__()
        choose(padding, (*PADDINGS, "none"), kind="padding", where="padding")
        self.size, self.dimension, self.padding = size, dimension, padding
        self.convolve = F.conv2d if dimension == 2 else F.conv3d
        self.boxes: list[Box] = []  # of the taps, where a subclass knows that many are zero

    @abstractmethod
    def kernel(self) -> Float[Tensor, "maps_out maps_in *taps"]:
        """The values of the kernel at its pixels."""

    def forward(self, f: Float[Tensor, "images maps_in *sizes"]) -> Float[Tensor, "images maps_out *sizes_out"]:
        """Feature maps (B, maps, rows, columns) or (B, maps, i, j, k).

        Raises:
            InputError: another number of maps, or an image that is too small for the padding.
        """
        kernel, reach, sizes = self.kernel(), self.size // 2, f.shape[2:]
        if f.ndim != self.dimension + 2 or f.shape[1] != kernel.shape[1]:
            what = f"features of shape {tuple(f.shape)}"
            remedy = f"give (images, {kernel.shape[1]}) and {self.dimension} sizes."
            raise InputError(what, where=type(self).__name__, remedy=remedy)
        least = {"zeros": 1, "circular": reach, "reflect": reach + 1, "none": self.size}[self.padding]
        if min(sizes) < least:
            raise InputError(
                f"a kernel of {self.size} pixels on an image of {' x '.join(map(str, sizes))}",
                where="kernel",
                remedy=f"with padding {self.padding!r} sizes are at least {least}: use 'zeros', or a smaller kernel.",
            )
        if self.dimension == 3 and self.padding == "zeros" and channels_last_is_faster(f):
            return convolve_boxes(f, kernel, self.boxes if self.boxes and several_are_faster(f) else whole(self.size))
        if self.padding in ("circular", "reflect"):
            f = F.pad(f, (reach, reach) * self.dimension, mode=self.padding)
        return self.convolve(f, kernel, padding=reach if self.padding == "zeros" else 0)


class TransformedKernels(ExactBuffers, GridConvolution):
    r"""A convolution whose kernels are copies of one kernel, moved by each element of a group or part of it.

    Args:
        inputs: channels :math:`C_{in}`.
        outputs: channels :math:`C_{out}`.
        transforms: :math:`T_g[b, x]`, basis functions at the moved pixels (G, basis, taps).
        relation: which of the kernel's slices connects output g with input h, (G, H); -1 for none. A lifting
            convolution has H = 1.
        basis: the basis that ``transforms`` are of.
        padding: as of :class:`GridConvolution`.

    Attributes:
        weight: (C_out, C_in, slices, basis).
    """

    transforms: Tensor
    relation: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        transforms: Float[Tensor, "g basis taps"],
        relation: Int[Tensor, "g h"],
        basis: KernelBasis,
        padding: str = "zeros",
    ) -> None:
        super().__init__(basis.size, basis.dimension, padding)
        check_sizes(channels_in=inputs, channels_out=outputs)
        self.inputs, self.outputs = inputs, outputs
        count, slices = len(transforms), int(relation.max()) + 1
        # slices of all moved kernels are numbered together, slice by slice; the last is zero
        numbers = torch.where(relation < 0, slices * count, relation * count + torch.arange(count)[:, None])
        self.empty = bool((relation < 0).any())
        self.register_exact("transforms", transforms.transpose(0, 1).flatten(1))
        self.register_buffer("relation", numbers.flatten(), persistent=False)
        self.moved, self.stacked = relation.shape
        square = transforms.square().sum((1, 2)).mean()  # of a kernel whose weights have variance 1
        active = (relation >= 0).sum(1).to(torch.float64).mean()
        scale = float((2 / (inputs * active * square)).sqrt())
        self.weight = nn.Parameter(scale * torch.randn(outputs, inputs, slices, basis.count))

    def kernel(self) -> Float[Tensor, "maps_out maps_in *taps"]:
        """All moved kernels, (C_out G, C_in H, *taps): the group's index varies fastest."""
        weight = self.weight
        moved = weight.flatten(0, 2) @ self.transforms  # (out in slice, g tap)
        moved = moved.view(*weight.shape[:2], weight.shape[2] * self.moved, -1)
        if self.empty:
            moved = F.pad(moved, (0, 0, 0, 1))
        bank = moved.index_select(2, self.relation).unflatten(2, (self.moved, self.stacked))
        taps = [self.size] * self.dimension
        return bank.transpose(1, 2).reshape(self.outputs * self.moved, self.inputs * self.stacked, *taps)

    def extra_repr(self) -> str:
        return f"{self.inputs} x {self.stacked} -> {self.outputs} x {self.moved}, kernel {self.size}"


class GroupConvolution(TransformedKernels):
    r"""Regular convolution of a finite group that acts on the plane or on space.

    Exact under the elements that keep the grid; under others as good as the sampling of the kernel.

    Args:
        group: cyclic, dihedral, octahedral, ...
        inputs: channels in.
        outputs: channels out; each has a value for every element.
        basis: of the kernel.
        lifting: from functions of pixels; otherwise from functions of pixels and elements.
        padding: as of :class:`GridConvolution`.

    Raises:
        InputError: the group does not act on points of the basis' dimension, or an even kernel.
    """

    def __init__(
        self,
        group: FiniteGroup,
        inputs: int,
        outputs: int,
        basis: KernelBasis,
        lifting: bool = False,
        padding: str = "zeros",
    ) -> None:
        transforms = moved_basis(group_matrices(group, basis.dimension), basis)
        every = group.elements()
        relation = group.product(group.inverse(every)[:, None], every)  # g^-1 h
        if lifting:
            relation = torch.zeros(len(every), 1, dtype=torch.int64)
        super().__init__(inputs, outputs, transforms, relation, basis, padding)
        self.group = group


class ScaleConvolution(TransformedKernels):
    r"""Convolution over positions and scales: :math:`k_s(x) = s^{-n} k(x / s)` for scales :math:`s = a^0, a^1, ...`.

    The scales are part of a group: sums over :math:`s' = s a^j` with :math:`0 \le j < ` ``reach`` leave out those that
    are beyond the last. Equivariant as far as an image that is scaled is resampled, and but for that border.

    Args:
        scales: number of scales.
        ratio: a, above 1.
        inputs: channels in.
        outputs: channels out.
        basis: of the kernel at scale 1; it is sampled on a grid as large as the largest scale needs.
        lifting: from functions of pixels.
        reach: number of scales that a sum runs over, from its own on.
        padding: as of :class:`GridConvolution`.
    """

    def __init__(
        self,
        scales: int,
        ratio: float,
        inputs: int,
        outputs: int,
        basis: KernelBasis,
        lifting: bool = False,
        reach: int = 1,
        padding: str = "zeros",
    ) -> None:
        check_sizes(scales=scales, reach=reach)
        if not ratio > 1:
            raise InputError(f"a ratio of scales of {ratio}", where="ratio", remedy="give a number above 1.")
        size = 2 * int((basis.size // 2) * ratio ** (scales - 1) + 0.5) + 1
        pixels, factors = kernel_pixels(size, basis.dimension), ratio ** torch.arange(scales, dtype=torch.float64)
        transforms = basis.sample(pixels / factors[:, None, None]) / factors[:, None, None] ** basis.dimension
        step = torch.arange(scales) - torch.arange(scales)[:, None]
        relation = torch.where((step >= 0) & (step < reach), step, -1)
        if lifting:
            relation = torch.zeros(scales, 1, dtype=torch.int64)
        super().__init__(inputs, outputs, transforms, relation, _Larger(basis, size), padding)
        self.scales = factors


class _Larger:
    """A basis on a larger grid."""

    def __init__(self, basis: KernelBasis, size: int) -> None:
        self.size, self.dimension, self.count, self.sample = size, basis.dimension, basis.count, basis.sample


def group_matrices(group: FiniteGroup, dimension: int) -> Float[Tensor, "g n n"]:
    """The matrices by which the group's elements move points; whole numbers are made exact.

    Raises:
        InputError: the group does not act on points of this dimension.
    """
    if group.space != dimension:
        acts = "moves no points" if group.space is None else f"moves points of dimension {group.space}"
        where = {2: "the plane: groups.cyclic or groups.dihedral", 3: "space: groups.octahedral"}[dimension]
        raise InputError(f"{group} {acts}", where="group", remedy=f"give a group of {where}.")
    matrices = group.linear(group.elements())
    whole = matrices.round()
    return torch.where((matrices - whole).abs() < NEAR, whole, matrices)


def moved_basis(matrices: Float[Tensor, "g n n"], basis: KernelBasis) -> Float[Tensor, "g basis taps"]:
    r""":math:`T_g[b, x] = B_b(g^{-1} x)` of orthogonal matrices at the pixels of the kernel."""
    return basis.sample(kernel_pixels(basis.size, basis.dimension) @ matrices)


class GroupPool(nn.Module):
    """The largest value, or the mean, over the elements of a group: an invariant of each channel.

    Args:
        elements: number of elements.
        kind: "max" or "mean".
    """

    def __init__(self, elements: int, kind: str = "max") -> None:
        super().__init__()
        choose(kind, ("max", "mean"), kind="pooling", where="pool")
        self.elements, self.kind = elements, kind

    def forward(self, f: Float[Tensor, "images maps *sizes"]) -> Float[Tensor, "images channels *sizes"]:
        over = f.unflatten(1, (-1, self.elements))
        return over.amax(2) if self.kind == "max" else over.mean(2)


class RestrictToSubgroup(ExactBuffers):
    r"""Functions on a group as functions on a subgroup H, :math:`f_k(h) = f(h r_k)`, one for each coset :math:`H r_k`.

    Nothing is lost, and a convolution of H may follow where the larger symmetry is local only (a 6 and a 9).

    Args:
        subgroup: with its parent.
    """

    order: Tensor

    def __init__(self, subgroup: Subgroup) -> None:
        super().__init__()
        parent = subgroup.parent
        cosets = parent.table[subgroup.members]  # (h, g): h g
        first = cosets.amin(0).unique()
        self.elements, self.cosets = parent.order or 1, len(first)
        self.register_buffer("order", parent.table[subgroup.members][:, first].T.flatten(), persistent=False)

    def forward(self, f: Float[Tensor, "images maps *sizes"]) -> Float[Tensor, "images maps *sizes"]:
        """(B, C |G|, ...) as (B, C |G|/|H| |H|, ...)."""
        return f.unflatten(1, (-1, self.elements)).index_select(2, self.order).flatten(1, 2)
