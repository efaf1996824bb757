"""Modules that another library's pickles can name: rebuilt from what that library kept of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from intertwine.numerics.errors import CheckpointError, InputError

_MARK = "_intertwine_state"
_GROUPS = ("_parameters", "_buffers", "_modules")


class Rebuildable(nn.Module):
    """Mixin: a state that was not made by this library is that of e3nn's class of the same name.

    A program that unpickles a module of e3nn's where this library is in its place gets one of ours, which is made by
    its constructor from e3nn's attributes, and then given e3nn's parameters, buffers, children, hooks and precision,
    and what the program had set on it.
    """

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        """Call the constructor of the class with what e3nn's attributes say."""
        raise InputError("the class has no counterpart in e3nn", where=type(self).__name__)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, _MARK: 1}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        state = dict(state)
        if state.pop(_MARK, None) is not None:
            super().__setstate__(state)  # type: ignore[arg-type]
            return
        kind = type(self).__name__
        try:
            with torch.random.fork_rng(devices=[]):  # to load draws no numbers
                self._rebuild(state)
        except (InputError, KeyError, AttributeError) as error:
            what = f"its attributes, from another library or version, do not say what it is: {error}"
            raise CheckpointError(
                what, where=kind, remedy="load it where it was written, and save its state_dict."
            ) from error
        self._adopt(state)

    def _adopt(self, state: Mapping[str, Any]) -> None:
        """Take over what the constructor does not decide."""
        numbers = [
            tensor
            for group in _GROUPS[:2]
            for tensor in state[group].values()
            if tensor is not None and tensor.is_floating_point()
        ]
        if numbers:
            self.to(dtype=numbers[0].dtype, device=numbers[0].device)
        exact = self.__dict__.get("_exact_masters", {})
        for group in _GROUPS:
            own = self.__dict__[group]
            own.update({name: tensor for name, tensor in state[group].items() if name in own and name not in exact})
        self.training = state["training"]
        standard = nn.Module().__dict__
        for name, value in state.items():
            if name not in standard and name != "__codegen__":
                self.__dict__.setdefault(name, value)
            elif isinstance(value, dict) and name not in _GROUPS and name in standard:
                self.__dict__[name].update(value)  # hooks
