r"""Steerable convolutional networks: fields of irreps on the pixels of an image or on voxels.

.. math::
    f^{l+1}(x) = \sigma\Big(\sum_y K(y - x)\, f^l(y)\Big), \qquad
    K(g x) = \rho_{out}(g)\, K(x)\, \rho_{in}(g)^{-1}

with kernels of rings times circular harmonics (plane) or radial functions times spherical harmonics (space); sigma
gates fields by invariants, or acts on functions of the circle at sampled angles. Worrall et al., CVPR 2017
(arXiv:1612.04642); Weiler and Cesa, NeurIPS 2019 (arXiv:1911.08251); Weiler et al., NeurIPS 2018 (arXiv:1807.02547)
for voxels; lecture 3.2.

Departures: strides that blur and keep the middle; the last layer has invariants only, whose mean over the pixels comes
out; kernels of 5 pixels and zeros around the image.

Exact under what keeps the grid, turns by 90 degrees and mirrors. Other elements are as good as the sampling: the kernel
is turned exactly, the grid is not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups import SO, O
from intertwine.groups.plane import PlaneIrrep
from intertwine.nn import ModelCard
from intertwine.nn.checks import check_lmax
from intertwine.nn.groups.field_activation import CircleFields, GatedFields, NormFields, TermsNorm
from intertwine.nn.groups.grid_backbone import Block, GridBackbone
from intertwine.nn.groups.steerable_convolution import (
    Couplings,
    Harmonics,
    SteerableConvolution,
    Terms,
    is_trivial,
    plane_couplings,
    plane_harmonics,
    reached,
    space_couplings,
    space_harmonics,
)
from intertwine.nn.preset import OURS, Preset
from intertwine.numerics import InputError, choose
from intertwine.o3 import Irrep

NONLINEARITIES = {"gate": GatedFields, "norm": NormFields, "fourier": CircleFields}


class Steerable(GridBackbone):
    """Base: blocks of steerable convolutions between fields of the same irreps, and invariants in the last.

    Args:
        irreps: what each channel has, the invariant first.
        scalar: the trivial irrep.
        harmonics, couplings: of the kernels.
        kernel: pixels along each axis.
        options: as of :class:`SteerableCNN`.
    """

    def __init__(
        self, dimension: int, irreps: list, scalar: PlaneIrrep | Irrep, harmonics: list[Harmonics],
        couplings: Couplings, kernel: int, width: int, layers: int, channels: int, strides: tuple[int, ...],
        widening: int, nonlinearity: str, dropout: float, norm: str, activation: str, padding: str, level: str,
        features: int,
    ) -> None:  # fmt: skip
        super().__init__(dimension, channels, width, layers, strides, widening, level, features)
        terms: Terms = ((channels, scalar),)
        blocks, ends = [], []
        for number, channels_out in enumerate(self.widths, 1):
            last = number >= layers
            wanted = [scalar] if last else reached(irreps, terms, harmonics, couplings)
            if number == layers - 1:  # of others the last layer can make no invariant
                wanted = [rep for rep in wanted if reached([scalar], ((1, rep),), harmonics, couplings)]
            terms_out = tuple((channels_out, rep) for rep in wanted)
            kind: Callable[[Terms, str], Any] = GatedFields if last else NONLINEARITIES[nonlinearity]
            sigma = kind(terms_out, activation)
            size, functions = (
                (kernel, harmonics)
                if number <= layers
                else (1, [Harmonics(scalar, torch.ones(1, 1, 1, dtype=torch.float64))])
            )
            convolution = SteerableConvolution(terms, sigma.terms_in, size, functions, couplings, dimension, padding)
            blocks.append(Block(convolution, TermsNorm(sigma.terms_in, norm), sigma, dropout if last else 0.0))
            terms = terms_out
            if number in self.strides or number == len(self.widths):
                ends.append(Invariants(terms))
        self.build(blocks, ends)


class Invariants(nn.Module):
    """The channels of the trivial irrep, which come first."""

    def __init__(self, terms: Terms) -> None:
        super().__init__()
        self.channels = sum(channels for channels, rep in terms if is_trivial(rep))

    def forward(self, f: Float[Tensor, "images maps *sizes"]) -> Float[Tensor, "images channels *sizes"]:
        return f[:, : self.channels]


class SteerableCNN(Steerable):
    """Translations and all rotations of the plane, or reflections too; exact for turns by 90 degrees.

    Args:
        width: channels of the first layer; each has a field of every frequency.
        layers: convolutions.
        group: "SO(2)" or "O(2)".
        frequencies: highest frequency K of the fields.
        kernel: pixels of a kernel along each axis, odd.
        channels: values of a pixel, ``graph.x`` (nodes, channels).
        strides: numbers of the layers, from 1, that a stride of 2 follows.
        widening: factor of the channels at each stride.
        nonlinearity: "gate" (fields times a function of invariants), "norm" (times one of their own length) or
            "fourier" (functions on the circle at sampled angles).
        dropout: share of the last layer's values that are set to zero in training.
        norm: "batch" (statistics of the batch in training), "layer" (of each image) or "none".
        activation: of invariants and of functions: "relu", "elu", "gelu" or "silu".
        padding: what is around the image: "zeros", "circular", "reflect" or "none".
        level: "graph", features of an image, or "node", of each pixel.
        features: channels of a further layer of 1 x 1 before the end; 0 for none.
    """

    CARD = ModelCard(
        message="linear",
        geometry="spherical tensor",
        body_order=5,
        symmetry="T(2) x SO(2)",
        paper="Weiler, Cesa 2019, arXiv:1911.08251",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 4, "layers": 3, "kernel": 3, "strides": (1,), "frequencies": 1}, source=OURS),
        "paper": Preset(
            {"width": 24, "layers": 6, "frequencies": 4, "kernel": 5, "strides": (2, 4)},
            source="arXiv:1911.08251, appendix (network of the benchmark on rotated MNIST); authors' code: "
            "examples/model.ipynb",
        ),
    }

    def __init__(
        self, width: int = 8, layers: int = 5, group: str = "SO(2)", frequencies: int = 2, kernel: int = 5,
        channels: int = 1, strides: tuple[int, ...] = (1, 3), widening: int = 2, nonlinearity: str = "fourier",
        dropout: float = 0.0, norm: str = "batch", activation: str = "relu", padding: str = "zeros",
        level: str = "graph", features: int = 0,
    ) -> None:  # fmt: skip
        choose(group, ("SO(2)", "O(2)"), kind="group", where="group")
        choose(nonlinearity, NONLINEARITIES, kind="non-linearity", where="nonlinearity")
        if isinstance(frequencies, bool) or not isinstance(frequencies, int) or frequencies < 0:
            raise InputError(f"frequencies = {frequencies!r}", where="frequencies", remedy="give 0 or more.")
        acts = SO(2) if group == "SO(2)" else O(2)
        irreps = [PlaneIrrep(acts, k) for k in range(frequencies + 1)]
        harmonics = plane_harmonics(acts, kernel, 2 * frequencies)
        super().__init__(
            2, irreps, irreps[0], harmonics, plane_couplings, kernel, width, layers, channels, strides, widening,
            nonlinearity, dropout, norm, activation, padding, level, features,
        )  # fmt: skip
        self.group = group

    @property
    def card(self) -> ModelCard:
        return dataclasses.replace(self.CARD, symmetry=f"T(2) x {self.group}")


class SteerableCNN3d(Steerable):
    """Voxels: translations, and rotations and reflections of space; exact for the 48 symmetries of a cube.

    Args:
        width: channels of the first layer; each has a field of every irrep.
        layers: convolutions.
        lmax: highest degree of the fields.
        parity: fields of both parities of each degree; otherwise those of harmonics, 0e, 1o, 2e, ...
        kernel: pixels of a kernel along each axis, odd; it vanishes at the radius kernel / 2.
        functions: radial functions.
        channels: values of a voxel, ``graph.x`` (nodes, channels).
        strides: numbers of the layers, from 1, that a stride of 2 follows.
        widening: factor of the channels at each stride.
        nonlinearity: "gate" or "norm".
        dropout: share of the last layer's values that are set to zero in training.
        norm: "batch" (statistics of the batch in training), "layer" (of each image) or "none".
        activation: of invariants: "relu", "elu", "gelu" or "silu".
        padding: what is around the voxels: "zeros", "circular", "reflect" or "none".
        level: "graph", features of the whole, or "node", of each voxel.
        features: channels of a further layer of one voxel before the end; 0 for none.
    """

    CARD = ModelCard(
        message="linear",
        geometry="spherical tensor",
        body_order=5,
        symmetry="T(3) x O(3)",
        paper="Weiler, Geiger, Welling, Boomsma, Cohen 2018, arXiv:1807.02547",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset(
            {"width": 2, "layers": 3, "lmax": 1, "kernel": 3, "functions": 2, "strides": (1,)}, source=OURS
        ),
        "paper": Preset(
            {"width": 4, "layers": 4, "lmax": 2, "kernel": 5, "strides": (), "widening": 1},
            source="arXiv:1807.02547, section 5.1 (Tetris: four layers, four fields of each degree)",
        ),
    }

    def __init__(
        self, width: int = 4, layers: int = 4, lmax: int = 2, parity: bool = False, kernel: int = 5,
        functions: int = 3, channels: int = 1, strides: tuple[int, ...] = (1, 2), widening: int = 2,
        nonlinearity: str = "gate", dropout: float = 0.0, norm: str = "batch", activation: str = "silu",
        padding: str = "zeros", level: str = "graph", features: int = 0,
    ) -> None:  # fmt: skip
        check_lmax(lmax)
        choose(nonlinearity, ("gate", "norm"), kind="non-linearity", where="nonlinearity")
        irreps = [Irrep(l, p) for l in range(lmax + 1) for p in ((1, -1) if parity else ((-1) ** l,))]
        harmonics = space_harmonics(kernel, 2 * lmax, functions)
        super().__init__(
            3, irreps, Irrep(0, 1), harmonics, space_couplings, kernel, width, layers, channels, strides, widening,
            nonlinearity, dropout, norm, activation, padding, level, features,
        )  # fmt: skip
