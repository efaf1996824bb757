r"""Convolutional networks on the pixels of an image times a finite group: p4, p4m and SE(2) with C_n, on voxels the
octahedral group; and the plain CNN, whose group has one element.

.. math::
    f^1(x, g) = \sum_y k(g^{-1}(y - x))\, f^0(y), \qquad
    f^{l+1}(x, g) = \sigma\Big(\sum_{h, y} k(g^{-1}(y - x), g^{-1} h)\, f^l(y, h)\Big)

and at the end the largest value over g and the mean over x. Cohen and Welling, ICML 2016 (arXiv:1602.07576), eq. 10 and
11; Bekkers et al., MICCAI 2018 (arXiv:1804.03393) for SE(2); Winkels and Cohen 2018 (arXiv:1804.04656) for voxels;
lecture 3.2.

Departures: strides blur and take samples that are symmetric about the middle, where the papers take the largest of 2 x
2; kernels of 5 pixels with zeros around the image; the mean over the last maps, where the papers convolve until one
pixel is left. Kernels of SE(2) are circular harmonics on rings, sampled at turned pixels, as in Weiler, Hamprecht and
Storath 2018 (arXiv:1711.07289); ``basis="bilinear"`` interpolates the kernel's pixels, as Bekkers et al. do.

Turns that map the grid to itself are exact. Others are so far as the image is resampled and the kernels are sampled.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from intertwine.groups import FiniteGroup, cyclic, dihedral, octahedral
from intertwine.nn import ModelCard
from intertwine.nn.groups.field_activation import Pointwise
from intertwine.nn.groups.field_norm import FieldNorm
from intertwine.nn.groups.grid_backbone import Block, GridBackbone
from intertwine.nn.groups.grid_convolution import GroupConvolution, GroupPool
from intertwine.nn.groups.kernel_basis import KernelBasis, SplineBasis, kernel_basis
from intertwine.nn.preset import OURS, Preset

COHEN = "Cohen, Welling 2016, arXiv:1602.07576"
SMALL = Preset({"width": 4, "layers": 3, "kernel": 3, "strides": (1,)}, source=OURS)


class GroupCNN(GridBackbone):
    """Base: blocks of group convolutions.

    Args:
        group: acts on the image.
        basis: of the kernels.
        options: width, layers, channels, strides, widening, dropout, norm, activation, padding, pool, level and
            features, as of :class:`P4CNN`.
    """

    def __init__(
        self, group: FiniteGroup, basis: KernelBasis, width: int, layers: int, channels: int, strides: tuple[int, ...],
        widening: int, dropout: float, norm: str, activation: str, padding: str, pool: str, level: str, features: int,
    ) -> None:  # fmt: skip
        super().__init__(basis.dimension, channels, width, layers, strides, widening, level, features)
        self.group, order = group, group.order or 1
        blocks = []
        for number, (inputs, outputs) in enumerate(zip([channels, *self.widths], self.widths)):
            kernels = basis if number < layers else SplineBasis(1, basis.dimension)
            convolution = GroupConvolution(group, inputs, outputs, kernels, number == 0, padding)
            blocks.append(Block(convolution, FieldNorm(outputs, order, norm), Pointwise(activation), dropout))
        self.build(blocks, [GroupPool(order, pool) for _ in range(len(strides) + 1)])


class CNN(GroupCNN):
    """The plain convolutional network, to hold the others against: it knows translations alone.

    Args:
        width: channels of the first layer.
        layers: convolutions.
        kernel: pixels of a kernel along each axis, odd.
        channels: values of a pixel, ``graph.x`` (nodes, channels).
        strides: numbers of the layers, from 1, that a stride of 2 follows.
        widening: factor of the channels at each stride.
        dropout: share of the values that are set to zero behind each layer in training.
        norm: "batch" (statistics of the batch in training), "layer" (of each image) or "none".
        activation: "relu", "elu", "gelu" or "silu".
        padding: what is around the image: "zeros", "circular", "reflect" or "none".
        level: "graph", features of an image, or "node", of each pixel.
        features: channels of a further layer of 1 x 1 before the end; 0 for none.
    """

    CARD = ModelCard(
        message="linear",
        geometry="vector",
        body_order=5,
        symmetry="T(2)",
        paper="LeCun et al. 1998, Proc. IEEE 86, 2278",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": SMALL,
        "paper": Preset(
            {"width": 20, "layers": 7, "kernel": 3, "strides": (2,), "widening": 1, "dropout": 0.3},
            source="arXiv:1602.07576, section 8.1 (the control Z2CNN: 20 channels in 7 layers of 3 x 3)",
        ),
    }

    def __init__(
        self, width: int = 16, layers: int = 5, kernel: int = 5, channels: int = 1, strides: tuple[int, ...] = (1, 3),
        widening: int = 2, dropout: float = 0.0, norm: str = "batch", activation: str = "relu", padding: str = "zeros",
        level: str = "graph", features: int = 0,
    ) -> None:  # fmt: skip
        basis = SplineBasis(kernel, 2)
        super().__init__(
            cyclic(1), basis, width, layers, channels, strides, widening, dropout, norm, activation, padding,
            "max", level, features,
        )  # fmt: skip


class P4CNN(GroupCNN):
    """Translations and turns by 90 degrees, exactly.

    Args:
        width: channels of the first layer; each has four maps.
        layers: convolutions, the first of which lifts to the group.
        kernel: pixels of a kernel along each axis, odd.
        channels: values of a pixel, ``graph.x`` (nodes, channels).
        strides: numbers of the layers, from 1, that a stride of 2 follows.
        widening: factor of the channels at each stride.
        dropout: share of the values that are set to zero behind each layer in training.
        norm: "batch" (statistics of the batch in training), "layer" (of each image) or "none".
        activation: "relu", "elu", "gelu" or "silu".
        padding: what is around the image: "zeros", "circular", "reflect" or "none".
        pool: "max" or "mean" over the group at the end.
        level: "graph", features of an image, or "node", of each pixel.
        features: channels of a further layer of 1 x 1 before the end; 0 for none.
    """

    CARD = ModelCard(
        message="linear", geometry="group element", body_order=5, domain="SE(2)", symmetry="T(2) x C_4", paper=COHEN
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": SMALL,
        "paper": Preset(
            {"width": 10, "layers": 7, "kernel": 3, "strides": (2,), "widening": 1, "dropout": 0.3},
            source="arXiv:1602.07576, section 8.1 (P4CNN: 10 channels in 7 layers of 3 x 3, pooling after the second, "
            "dropout 0.3)",
        ),
    }

    def __init__(
        self, width: int = 8, layers: int = 5, kernel: int = 5, channels: int = 1, strides: tuple[int, ...] = (1, 3),
        widening: int = 2, dropout: float = 0.0, norm: str = "batch", activation: str = "relu", padding: str = "zeros",
        pool: str = "max", level: str = "graph", features: int = 0,
    ) -> None:  # fmt: skip
        basis = SplineBasis(kernel, 2)
        super().__init__(
            self.symmetries(), basis, width, layers, channels, strides, widening, dropout, norm, activation, padding,
            pool, level, features,
        )  # fmt: skip

    @staticmethod
    def symmetries() -> FiniteGroup:
        """The group that turns the kernels."""
        return cyclic(4)


class P4MCNN(P4CNN):
    """Translations, turns by 90 degrees and mirrors, exactly. Arguments are those of :class:`P4CNN`."""

    CARD = ModelCard(
        message="linear", geometry="group element", body_order=5, domain="E(2)", symmetry="T(2) x D_4", paper=COHEN
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": SMALL,
        "paper": Preset(
            {"width": 34, "layers": 7, "kernel": 3, "channels": 3, "strides": (3, 6)},
            source="arXiv:1602.07576, section 8.2 (All-CNN-C: 96 and 192 channels, divided by the root of 8)",
        ),
    }

    @staticmethod
    def symmetries() -> FiniteGroup:
        return dihedral(4)


class SE2CNN(GroupCNN):
    """Translations and turns by 360 / n degrees; exact for those that are multiples of 90.

    Args:
        orientations: n.
        mirrors: reflections as well: 2 n elements.
        basis: functions that kernels are made of: "harmonic" (circular harmonics on rings), "bspline" (cubic) or
            "bilinear".
        width, layers, kernel, channels, strides, widening, dropout, norm, activation, padding, pool,
            level, features: as of :class:`P4CNN`.
    """

    CARD = ModelCard(
        message="linear",
        geometry="group element",
        body_order=5,
        domain="SE(2)",
        symmetry="T(2) x C_8",
        paper="Bekkers et al. 2018, arXiv:1804.03393",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": SMALL,
        "paper": Preset(
            {"width": 24, "layers": 6, "orientations": 16, "kernel": 7, "strides": (2, 4)},
            source="arXiv:1711.07289, section 5.1 (16 orientations, 24 channels first, six layers)",
        ),
    }

    def __init__(
        self, width: int = 8, layers: int = 5, orientations: int = 8, mirrors: bool = False, kernel: int = 5,
        channels: int = 1, strides: tuple[int, ...] = (1, 3), widening: int = 2, basis: str = "harmonic", dropout:
            float = 0.0,
        norm: str = "batch", activation: str = "relu", padding: str = "zeros", pool: str = "max", level: str = "graph",
        features: int = 0,
    ) -> None:  # fmt: skip
        group = dihedral(orientations) if mirrors else cyclic(orientations)
        kernels = kernel_basis(basis, kernel, exact=4 % orientations == 0)
        super().__init__(
            group, kernels, width, layers, channels, strides, widening, dropout, norm, activation, padding,
            pool, level, features,
        )  # fmt: skip

    @property
    def card(self) -> ModelCard:
        domain = "E(2)" if self.group.name.startswith("D") else "SE(2)"
        return dataclasses.replace(self.CARD, symmetry=f"T(2) x {self.group}", domain=domain)


class OctahedralCNN(GroupCNN):
    """Voxels: translations and the 24 rotations of a cube, exactly, or all 48 of its symmetries.

    Args:
        mirrors: reflections as well.
        width, layers, kernel, channels, strides, widening, dropout, norm, activation, padding, pool,
            level, features: as of :class:`P4CNN`.
    """

    CARD = ModelCard(
        message="linear",
        geometry="group element",
        body_order=5,
        domain="SE(3)",
        symmetry="T(3) x octahedral",
        paper="Winkels, Cohen 2018, arXiv:1804.04656",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset(SMALL | {"width": 2}, source=OURS),
        "paper": Preset(
            {"width": 4, "layers": 6, "kernel": 3, "strides": (2, 4)},
            source="arXiv:1804.04656, section 4 (six layers of 3 x 3 x 3, channels divided by the root of 24)",
        ),
    }

    def __init__(
        self, width: int = 4, layers: int = 4, mirrors: bool = False, kernel: int = 3, channels: int = 1,
        strides: tuple[int, ...] = (1, 2), widening: int = 2, dropout: float = 0.0, norm: str = "batch", activation:
            str = "relu",
        padding: str = "zeros", pool: str = "max", level: str = "graph", features: int = 0,
    ) -> None:  # fmt: skip
        basis = SplineBasis(kernel, 3)
        super().__init__(
            octahedral(mirrors), basis, width, layers, channels, strides, widening, dropout, norm, activation, padding,
            pool, level, features,
        )  # fmt: skip

    @property
    def card(self) -> ModelCard:
        if self.group.order == 24:
            return self.CARD
        return dataclasses.replace(self.CARD, symmetry="T(3) x octahedral with inversion", domain="E(3)")
