"""The two kernels for graphics cards, written in Triton, which is imported when the first of them runs."""

from intertwine.kernels.convolution.gpu.launch import gather, interprets, require, scatter, supports

__all__ = ["gather", "interprets", "require", "scatter", "supports"]
