"""e3nn's mixin of modules that hold generated functions: programs derive from it. Here such a function is a submodule like any other."""

from __future__ import annotations

from torch import fx


class CodeGenMixin:
    """For modules that make functions with ``torch.fx``: graph modules copy and pickle by themselves, so nothing special is kept."""

    def _codegen_register(self, funcs: dict[str, fx.GraphModule]) -> None:
        """Make each graph module a submodule under its name."""
        for name, function in funcs.items():
            if not isinstance(function, fx.GraphModule):
                raise AssertionError(f"{name} is {type(function).__name__}, not a torch.fx.GraphModule")
            self.add_module(name, function)  # type: ignore[attr-defined]
