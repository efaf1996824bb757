"""e3nn's words for torch's default precision and device."""

from __future__ import annotations

import torch


def torch_get_default_tensor_type() -> str:
    """Name of torch's default tensor type, such as ``"torch.FloatTensor"``."""
    return torch.empty(0).type()


def _torch_get_default_dtype() -> torch.dtype:
    return torch.empty(0).dtype


def torch_get_default_device() -> torch.device:
    """Device on which torch makes tensors."""
    return torch.empty(0).device


def explicit_default_types(
    dtype: torch.dtype | None, device: torch.device | str | None
) -> tuple[torch.dtype, torch.device | str]:
    """The precision and device that ``None`` stands for."""
    made = torch.empty(0, dtype=dtype, device=device)
    return made.dtype, device if device is not None else made.device
