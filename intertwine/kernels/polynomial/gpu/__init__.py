"""Straight-line programs on a graphics card, by a machine in Triton, which is imported when it runs first."""

from intertwine.kernels.polynomial.gpu.launch import OnCard

__all__ = ["OnCard"]
