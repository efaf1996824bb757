r"""Steerable convolutions on a grid: kernels that solve :math:`K(g x) = \rho_{out}(g)\, K(x)\, \rho_{in}(g)^{-1}`.

.. math::
    K(x) = \sum_{r, k, p} w_{rkp}\, R_r(|x|) \sum_m C^{(p)}_{o m i}\, Y^k_m(x)

with harmonics Y of the plane or of space and all couplings C of the irreps of Y and of the input into the output.
Weiler and Cesa, NeurIPS 2019 (arXiv:1911.08251), for subgroups of O(2); Weiler et al., NeurIPS 2018 (arXiv:1807.02547),
for SO(3). Sampled on a grid, it is exact under what keeps the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups import Group, Representation, TensorProduct
from intertwine.groups.intertwiners import hom_basis
from intertwine.groups.plane import PlaneIrrep
from intertwine.nn.checks import check_sizes
from intertwine.nn.groups.ball_convolution import boxes
from intertwine.nn.groups.grid_convolution import GridConvolution
from intertwine.nn.groups.kernel_basis import SHARPNESS, circular_harmonics, kernel_pixels
from intertwine.nn.one_hot import soft_one_hot_linspace
from intertwine.numerics import ExactBuffers, InputError
from intertwine.o3 import Irrep, coupling, spherical_harmonics

Terms = tuple[tuple[int, Representation], ...]
"""Fields: channels and representation of each kind; a channel's components lie together."""
Couplings = Callable[[Representation, Representation, Representation], Tensor]
"""Of the irreps of the harmonics, of the input and of the output: C (p, out, harmonics, in)."""


class Harmonics(NamedTuple):
    """Functions on the pixels of a kernel that transform by one irrep: (radial functions, components, taps)."""

    rep: Representation
    values: Float[Tensor, "radial components taps"]


class SteerableConvolution(ExactBuffers, GridConvolution):
    r"""A convolution between fields of irreps.

    Args:
        terms_in: fields in, as (channels, irrep) pairs.
        terms_out: fields out.
        size: pixels of the kernel along each axis, odd.
        harmonics: the functions that kernels are made of (:func:`plane_harmonics`, :func:`space_harmonics`).
        couplings: of the irreps of harmonics, input and output.
        dimension: 2 or 3.
        padding: as of :class:`GridConvolution`.

    Attributes:
        weights: for each pair of terms that are coupled, (functions, channels out, channels in).

    Raises:
        InputError: a field out that nothing leads to.
    """

    def __init__(
        self,
        terms_in: Terms,
        terms_out: Terms,
        size: int,
        harmonics: Sequence[Harmonics],
        couplings: Couplings,
        dimension: int,
        padding: str = "zeros",
    ) -> None:
        super().__init__(size, dimension, padding)
        self.terms_in, self.terms_out = terms_in, terms_out
        weights, self.pairs = [], []
        for o, (channels_out, out) in enumerate(terms_out):
            parts = {i: _functions(harmonics, couplings, rep, out) for i, (_, rep) in enumerate(terms_in)}
            fan = sum(channels * len(parts[i]) for i, (channels, _) in enumerate(terms_in))
            if not fan:
                raise InputError(
                    f"no kernel leads to {out}", where="SteerableConvolution", remedy="raise the harmonics' degree."
                )
            for i, (channels_in, _) in enumerate(terms_in):
                if len(parts[i]):
                    self.register_exact(f"functions_{o}_{i}", parts[i].flatten(1))
                    self.pairs.append((o, i))
                    shape = (len(parts[i]), channels_out, channels_in)
                    weights.append(nn.Parameter((2 / fan) ** 0.5 * torch.randn(shape)))
        self.weights = nn.ParameterList(weights)
        if dimension == 3:
            profiles = torch.cat([values.flatten(0, 1) for _, values in harmonics])
            self.boxes = boxes(profiles.ne(0).any(0).reshape(size, size, size))
        self.maps_in = sum(channels * rep.dim for channels, rep in terms_in)
        self.maps_out = sum(channels * rep.dim for channels, rep in terms_out)

    def kernel(self) -> Float[Tensor, "maps_out maps_in *taps"]:
        blocks, taps = dict(zip(self.pairs, self.weights, strict=True)), self.size**self.dimension
        rows = []
        for o, (channels_out, out) in enumerate(self.terms_out):
            row = []
            for i, (channels_in, into) in enumerate(self.terms_in):
                shape = (channels_out * out.dim, channels_in * into.dim, taps)
                if (o, i) not in blocks:
                    row.append(blocks[self.pairs[0]].new_zeros(shape))
                    continue
                values = blocks[o, i].flatten(1).T @ getattr(self, f"functions_{o}_{i}")  # (out in, o i tap)
                values = values.view(channels_out, channels_in, out.dim, into.dim, taps)
                row.append(values.transpose(1, 2).reshape(shape))
            rows.append(torch.cat(row, 1))
        return torch.cat(rows).unflatten(2, [self.size] * self.dimension)

    @torch.no_grad()
    def fit(self, kernel: Float[Tensor, "maps_out maps_in *taps"]) -> float:
        """Take the weights whose kernel comes nearest to one that is given, in the sum of squares.

        Returns:
            the distance of the two over the norm of the given one: 0 to rounding if that is steerable.
        """
        rest = kernel.detach().flatten(2)
        for (o, i), weight in zip(self.pairs, self.weights, strict=True):
            (channels_out, out), (channels_in, into) = self.terms_out[o], self.terms_in[i]
            row, column = sum(dims(self.terms_out)[:o]), sum(dims(self.terms_in)[:i])
            block = rest[row : row + channels_out * out.dim, column : column + channels_in * into.dim]
            apart = block.unflatten(0, (channels_out, out.dim)).unflatten(2, (channels_in, into.dim)).transpose(1, 2)
            functions = getattr(self, f"functions_{o}_{i}")
            solved = torch.linalg.lstsq(functions.T, apart.flatten(2).flatten(0, 1).T, driver="gelsd").solution
            weight.copy_(solved.unflatten(1, (channels_out, channels_in)))
        return float((self.kernel().flatten(2) - rest).norm() / rest.norm())

    def extra_repr(self) -> str:
        shown = [" + ".join(f"{mul}x{rep}" for mul, rep in terms) for terms in (self.terms_in, self.terms_out)]
        return f"{shown[0]} -> {shown[1]}, kernel {self.size}"


def _functions(
    harmonics: Sequence[Harmonics], couplings: Couplings, rep_in: Representation, rep_out: Representation
) -> Float[Tensor, "functions out into taps"]:
    """All kernels between two irreps, each such that it keeps the variance of what is uncorrelated."""
    parts = []
    for rep, values in harmonics:
        C = couplings(rep, rep_in, rep_out)
        if len(C):
            parts.append(torch.einsum("pomi,rmt->proit", C, values).flatten(0, 1))
    taps = harmonics[0].values.shape[-1]
    functions = torch.cat(parts) if parts else torch.zeros(0, rep_out.dim, rep_in.dim, taps, dtype=torch.float64)
    norms = functions.square().sum((1, 2, 3), keepdim=True).sqrt()
    kept = norms.flatten() > 1e-9  # harmonics of a ring that are zero at every pixel
    return functions[kept] / norms[kept] * rep_out.dim**0.5


def reached(
    irreps: Sequence[Representation], terms: Terms, harmonics: Sequence[Harmonics], couplings: Couplings
) -> list[Representation]:
    """Of irreps those that some kernel leads to: from invariants no pseudoscalar, for example."""
    return [
        rep
        for rep in irreps
        if any(len(couplings(function.rep, into, rep)) for function in harmonics for _, into in terms)
    ]


def plane_harmonics(group: Group, size: int, limit: int) -> list[Harmonics]:
    """Circular harmonics on Gaussian rings of radius 0, 1, ..., one irrep of SO(2) or O(2) for each frequency.

    A ring of radius r has frequencies up to 2 r, and none above ``limit``.
    """
    check_sizes(limit=limit + 1)
    pixels = kernel_pixels(size, 2)
    radius, waves = pixels.norm(dim=1), circular_harmonics(pixels, limit)
    rings = torch.arange(size // 2 + 1)
    profiles = torch.exp(-((radius - rings[:, None]) ** 2) / (2 * SHARPNESS**2))
    result = []
    for k, wave in enumerate(waves):
        parts = torch.stack([wave.real, wave.imag][: 2 if k else 1])
        values = profiles[2 * rings >= k][:, None] * parts
        if values.shape[0]:
            result.append(Harmonics(PlaneIrrep(group, k), values))
    return result


def plane_couplings(
    harmonics: Representation, rep_in: Representation, rep_out: Representation
) -> Float[Tensor, "paths dim_out dim_y dim_in"]:
    """C of irreps of SO(2) or O(2): all of them, from the null space of the constraint."""
    return hom_basis(TensorProduct(harmonics, rep_in), rep_out).unflatten(-1, (harmonics.dim, rep_in.dim))


def space_harmonics(size: int, lmax: int, functions: int) -> list[Harmonics]:
    r"""Spherical harmonics times smooth radial functions that vanish at 0 and at ``size / 2``, as e3nn's
    ``voxel_convolution`` has them; of degree 0 also the pixel in the middle, which that has as a linear layer.
    """
    check_sizes(functions=functions, lmax=lmax + 1)
    pixels = kernel_pixels(size, 3)
    radius = pixels.norm(dim=1)
    profiles = soft_one_hot_linspace(radius, 0.0, size / 2, functions, basis="smooth_finite", cutoff=True).T
    result = []
    for l in range(lmax + 1):
        values = profiles[:, None] * spherical_harmonics(l, pixels, True, "component").T
        if l == 0:
            values = torch.cat([(radius == 0).to(values)[None, None], values])
        result.append(Harmonics(Irrep(l, (-1) ** l), values))
    return result


def space_couplings(
    harmonics: Representation, rep_in: Representation, rep_out: Representation
) -> Float[Tensor, "paths dim_out dim_y dim_in"]:
    """C of irreps of O(3): the coupling coefficients, where angular momenta and parities allow one."""
    if not (isinstance(harmonics, Irrep) and isinstance(rep_in, Irrep) and isinstance(rep_out, Irrep)):
        raise InputError(
            f"{harmonics}, {rep_in}, {rep_out}", where="space_couplings", remedy="give irreps of O(3), o3.Irrep."
        )
    if rep_out not in list(harmonics * rep_in):
        return torch.zeros(0, rep_out.dim, harmonics.dim, rep_in.dim, dtype=torch.float64)
    C = torch.tensor(coupling(harmonics.l, rep_in.l, rep_out.l), dtype=torch.float64)
    return C.permute(2, 0, 1)[None]


def is_trivial(rep: Representation) -> bool:
    """Whether no element changes it."""
    if isinstance(rep, PlaneIrrep):
        return not rep.frequency and not rep.odd
    return isinstance(rep, Irrep) and rep.is_scalar()


def dims(terms: Terms) -> list[int]:
    """Maps of each term."""
    return [channels * rep.dim for channels, rep in terms]
