"""Importing this registers all operators of the library with torch: a program saved by ``torch.export`` or
``torch.jit`` needs no more.

>>> import torch
>>> import intertwine.operators
>>> torch.ops.intertwine.convolve
<OpOverloadPacket(op='intertwine.convolve')>
"""

from __future__ import annotations

from intertwine.kernels.convolution import fused
from intertwine.kernels.harmonics import operators as harmonics
from intertwine.nn.irreps import contraction_operator

__all__ = ["contraction_operator", "fused", "harmonics"]
