"""Linear layers on a graphics card, written in Triton, which is imported when the first of them runs."""

from intertwine.kernels.linear.gpu.launch import OnCard, columns_of

__all__ = ["OnCard", "columns_of"]
