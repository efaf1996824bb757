"""e3nn's mixin of modules that hold generated functions: programs derive from it. Here such a function is a submodule
like any other.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from intertwine.numerics import CheckpointError


class CodeGenMixin:
    """For modules that make functions with ``torch.fx``: graph modules copy and pickle by themselves, so nothing
    special is kept.
    """

    def _codegen_register(self, funcs: dict[str, fx.GraphModule]) -> None:
        """Make each graph module a submodule under its name."""
        for name, function in funcs.items():
            if not isinstance(function, fx.GraphModule):
                raise AssertionError(f"{name} is {type(function).__name__}, not a torch.fx.GraphModule")
            self.add_module(name, function)  # type: ignore[attr-defined]

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """As ``torch.nn.Module``; functions that a program's class kept as TorchScript, on e3nn, become submodules."""
        state = dict(state)
        functions = state.pop("__codegen__", None) or {}
        super().__setstate__(state)  # type: ignore[misc]
        for name, kept in functions.items() if isinstance(functions, dict) else ():
            kind, code = ("torchscript", kept) if isinstance(kept, bytes) else kept
            if kind != "torchscript":
                what = f"its function {name} was pickled as a graph, in a pickle of its own"
                raise CheckpointError(
                    what, where=type(self).__name__, remedy="load it with e3nn, and save its state_dict."
                )
            self.add_module(name, torch.jit.load(io.BytesIO(code)))  # type: ignore[attr-defined]
