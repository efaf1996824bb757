"""Constants of a module that stay exact: a float64 master, cast to whatever precision the module has now."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class ExactBuffers(nn.Module):
    """Mixin: buffers that are cast from a float64 master whenever the module changes its precision or device.

    An ordinary buffer loses digits on the way ``module.float().double()``, and 1e-8 in a coupling coefficient is a
    broken symmetry. The buffers are not part of the ``state_dict``: they follow from the constructor's arguments.
    """

    def register_exact(
        self,
        name: str,
        value: np.ndarray | Tensor,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        """Register a constant.

        Args:
            name: attribute of the buffer.
            value: the constant in float64 (or integers, or complex128, which are moved but not cast to a real
                precision).
            dtype: precision of the buffer; None is torch's default, as for the parameters of ``torch.nn.Linear``.
            device: where it lives.
        """
        master = (
            torch.as_tensor(np.array(value) if isinstance(value, np.ndarray) else value, device="cpu").detach().clone()
        )
        if master.is_floating_point():
            dtype = torch.empty(0, dtype=dtype).dtype
            self.register_buffer(name, master.to(dtype=dtype, device=device, copy=True), persistent=False)
        else:
            self.register_buffer(name, master.to(device=device, copy=True), persistent=False)
        self.__dict__.setdefault("_exact_masters", {})[name] = master

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ExactBuffers:
        super()._apply(fn, recurse)
        for name, master in self.__dict__.get("_exact_masters", {}).items():
            moved = self._buffers[name]
            if moved is not None and moved.device.type != "meta":  # all of them: after ``to_empty`` they hold garbage
                dtype = moved.dtype if moved.is_floating_point() else master.dtype
                self._buffers[name] = master.to(dtype=dtype, device=moved.device, copy=True)
        return self


class WideBuffers(nn.Module):
    """Mixin: buffers that follow moves between devices and stay in float64, because they have more digits than float32
    holds. Unlike those of :class:`ExactBuffers` they are part of the ``state_dict``.
    """

    def register_wide(self, name: str, value: Tensor) -> None:
        """Register a buffer (float64) that stays so."""
        self.register_buffer(name, value)
        self.__dict__.setdefault("_wide", []).append(name)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> WideBuffers:
        kept = {name: self._buffers[name] for name in self.__dict__.get("_wide", ())}
        super()._apply(fn, recurse)
        for name, value in kept.items():
            moved = self._buffers[name]
            if value is not None and moved is not None:
                self._buffers[name] = value.to(moved.device)
        return self


def ignore_keys(module: nn.Module, patterns: Sequence[str]) -> None:
    """Let ``module.load_state_dict`` accept and drop the keys that match, which another library keeps and this module
    does not need.

    Args:
        module: its keys are matched relative to its own place in the dictionary.
        patterns: regular expressions that must match a whole key.
    """
    module.register_load_state_dict_pre_hook(_Drop([re.compile(pattern) for pattern in patterns]))


class _Drop:
    """A hook that survives pickle, as a local function would not."""

    def __init__(self, patterns: Sequence[re.Pattern[str]]) -> None:
        self.patterns = patterns

    def __call__(self, _: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for key in [key for key in state if key.startswith(prefix)]:
            if any(pattern.fullmatch(key[len(prefix) :]) for pattern in self.patterns):
                del state[key]
