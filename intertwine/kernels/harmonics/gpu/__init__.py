"""The kernels of harmonics for graphics cards, written in Triton, which is imported when the first of them runs."""

from intertwine.kernels.harmonics.gpu.launch import able, run

__all__ = ["able", "run"]
