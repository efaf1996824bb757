r"""A convolutional network on the pixels of an image times scales: a kernel at sizes 1, a, a^2, ... of itself.

.. math::
    f^1(x, s) = \sum_y k_s(y - x)\, f^0(y), \qquad
    f^{l+1}(x, s) = \sigma\Big(\sum_{s' \ge s} \sum_y k_s(y - x,\, s'/s)\, f^l(y, s')\Big), \qquad
    k_s(x) = s^{-2} k(x / s)

and at the end the largest value over s and the mean over x. Sosnovik, Szmaja and Smeulders, ICLR 2020
(arXiv:1910.11093); Bekkers 2020 (arXiv:1909.12057) for the group of positions and scales.

Departures: kernels are cubic B-splines or circular harmonics on rings, where the paper's are Hermite polynomials; the
mean of a scaled image's maps is not scaled back by its area. Only translations and (from its kernels) nothing else are
exact: a scaled image is a resampled one, and scales beyond the last are missing.
"""

from __future__ import annotations

from typing import ClassVar

from intertwine.nn import ModelCard
from intertwine.nn.groups.field_activation import Pointwise
from intertwine.nn.groups.field_norm import FieldNorm
from intertwine.nn.groups.grid_backbone import Block, GridBackbone
from intertwine.nn.groups.grid_convolution import GroupPool, ScaleConvolution
from intertwine.nn.groups.kernel_basis import kernel_basis
from intertwine.nn.preset import OURS, Preset


class ScaleCNN(GridBackbone):
    """Translations exactly, and scalings of the image about.

    Args:
        width: channels of the first layer; each has a map for every scale.
        layers: convolutions, the first of which lifts to positions and scales.
        scales: number of scales.
        ratio: of one scale to the one before.
        reach: number of scales that a kernel connects: 1 keeps scales apart until the end.
        kernel: pixels of the kernel at the smallest scale, odd.
        channels: values of a pixel, ``graph.x`` (nodes, channels).
        strides: numbers of the layers, from 1, that a stride of 2 follows.
        widening: factor of the channels at each stride.
        basis: functions that kernels are made of: "bspline" (cubic), "harmonic" or "bilinear".
        dropout: share of the values that are set to zero behind each layer in training.
        norm: "batch" (statistics of the batch in training), "layer" (of each image) or "none".
        activation: "relu", "elu", "gelu" or "silu".
        padding: what is around the image: "zeros", "circular", "reflect" or "none".
        pool: "max" or "mean" over the scales at the end.
        level: "graph", features of an image, or "node", of each pixel.
    """

    CARD = ModelCard(
        message="linear",
        geometry="group element",
        body_order=5,
        domain="R^2 x R+",
        symmetry="T(2)",
        paper="Sosnovik, Szmaja, Smeulders 2020, arXiv:1910.11093",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 4, "layers": 3, "scales": 2, "kernel": 3, "strides": (1,)}, source=OURS),
        "paper": Preset(
            {"width": 32, "layers": 3, "scales": 4, "ratio": 1.26, "reach": 1, "kernel": 7, "strides": (1, 2)},
            source="authors' code of arXiv:1910.11093: models/mnist_ses.py (32, 63 and 95 channels)",
        ),
    }

    def __init__(
        self, width: int = 8, layers: int = 5, scales: int = 4, ratio: float = 1.4, reach: int = 2, kernel: int = 5,
        channels: int = 1, strides: tuple[int, ...] = (1, 3), widening: int = 2, basis: str = "bspline",
        dropout: float = 0.0, norm: str = "batch", activation: str = "relu", padding: str = "zeros",
        pool: str = "max", level: str = "graph",
    ) -> None:  # fmt: skip
        super().__init__(2, channels, width, layers, strides, widening, level)
        kernels = kernel_basis(basis, kernel, exact=False)
        blocks = []
        for number, (inputs, outputs) in enumerate(zip([channels, *self.widths], self.widths)):
            convolution = ScaleConvolution(scales, ratio, inputs, outputs, kernels, number == 0, reach, padding)
            blocks.append(Block(convolution, FieldNorm(outputs, scales, norm), Pointwise(activation), dropout))
        self.build(blocks, [GroupPool(scales, pool) for _ in range(len(strides) + 1)])
