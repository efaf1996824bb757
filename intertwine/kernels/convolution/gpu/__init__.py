"""The two kernels for graphics cards, written in Triton, which is imported when the first of them runs."""

from intertwine.kernels.convolution.gpu.launch import gather, scatter
from intertwine.kernels.shared.card import require, supports

__all__ = ["gather", "require", "scatter", "supports"]
