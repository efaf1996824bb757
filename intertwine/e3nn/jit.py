"""``e3nn.util.jit``: TorchScript of a model part by part. A module of ours is traced, whatever e3nn did with its
counterpart.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn

from intertwine.e3nn.arguments import device_of, dtype_of, moved
from intertwine.e3nn.settings import get_optimization_defaults, set_optimization_defaults
from intertwine.e3nn.tracing import example_inputs, is_ours, traced

_MODE = "__e3nn_compile_mode__"
_MAKE_TRACING_INPUTS = "_make_tracing_inputs"
_MODES = ("trace", "script", "unsupported", None)


class UncompilableError(NotImplementedError):
    """A module is marked "unsupported": it is not to be compiled."""


def compile_mode(mode: str | None) -> Callable[[type], type]:
    """Decorator: how :func:`compile_module` treats a class: "trace", "script", "unsupported", or None, which leaves it
    as it is.
    """
    if mode not in _MODES:
        raise ValueError(f"unknown mode {mode!r}: use trace, script, unsupported or None")

    def mark(kind: type) -> type:
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            raise TypeError("compile_mode decorates classes of torch.nn.Module")
        setattr(kind, _MODE, mode)
        return kind

    return mark


def get_compile_mode(mod: nn.Module) -> str | None:
    """The mode of a module: its own, its class's, "trace" for one of ours, "script" for a graph module."""
    if hasattr(mod, _MODE):
        mode: str | None = getattr(mod, _MODE)
    elif is_ours(mod):
        mode = "trace"
    else:
        mode = "script" if isinstance(mod, fx.GraphModule) else None
    assert mode in _MODES, f"unknown compile mode {mode!r}"
    return mode


def compile_module(
    mod: nn.Module,
    n_trace_checks: int = 1,
    script_options: dict[str, Any] | None = None,
    trace_options: dict[str, Any] | None = None,
    in_place: bool = True,
    recurse: bool = True,
) -> Any:
    """Turn a module into TorchScript, its children first, each by its mode; without a mode, or if they are TorchScript,
    they stay.

    Args:
        mod: the module; its children are replaced in it.
        n_trace_checks: number of example inputs on which a trace is made and compared.
        script_options, trace_options: keywords of ``torch.jit.script`` and ``torch.jit.trace_module``.
        in_place: False works on a copy.
        recurse: whether to compile the children.
    """
    if isinstance(mod, torch.jit.ScriptModule):
        return mod
    mode = get_compile_mode(mod)
    if mode == "unsupported":
        raise UncompilableError(f"{type(mod).__name__} is marked as not to be compiled to TorchScript")
    if n_trace_checks < 1:
        raise AssertionError("a trace needs one example input at least")
    if not in_place:
        mod = copy.deepcopy(mod)
    if recurse and not is_ours(mod):
        for name, child in mod.named_children():
            setattr(mod, name, compile_module(child, n_trace_checks, script_options, trace_options))
    if mode == "script":
        return torch.jit.script(mod, **(script_options or {}))
    if mode == "trace":
        examples = get_tracing_inputs(mod, n_trace_checks)
        return _traced(mod, examples, trace_options or {})
    return mod


def get_tracing_inputs(
    mod: nn.Module, n: int = 1, device: torch.device | None = None, dtype: torch.dtype | None = None
) -> list[dict[str, tuple[Any, ...]]]:
    """Random inputs for a trace, as ``torch.jit.trace_module`` takes them: method name -> arguments.

    The module's own ``_make_tracing_inputs(n)`` makes them, or they follow from its irreps.
    """
    maker = getattr(mod, _MAKE_TRACING_INPUTS, None)
    examples = maker(n) if maker is not None else [example_inputs(mod) for _ in range(n)]
    form = isinstance(examples, list) and all(isinstance(example, dict) for example in examples)
    assert form, "_make_tracing_inputs returns a list of dictionaries: method name -> tuple of arguments"
    device = device if device is not None else device_of(mod)
    return [moved(example, device, dtype or dtype_of(mod)) for example in examples]


def trace_module(
    mod: nn.Module, inputs: dict[str, Any] | None = None, check_inputs: list[Any] | None = None, in_place: bool = True
) -> Any:
    """``torch.jit.trace_module``, after :func:`compile_module` of the children."""
    return _compiled_as(mod, "trace", in_place, [inputs, *(check_inputs or [])] if inputs is not None else None)


def trace(
    mod: nn.Module,
    example_inputs: tuple[Any, ...] | None = None,
    check_inputs: list[Any] | None = None,
    in_place: bool = True,
) -> Any:
    """``torch.jit.trace``, after :func:`compile_module` of the children."""
    inputs = None if example_inputs is None else {"forward": example_inputs}
    return trace_module(mod, inputs, [{"forward": check} for check in check_inputs or []], in_place)


def script(mod: nn.Module, in_place: bool = True) -> Any:
    """``torch.jit.script``, after :func:`compile_module` of the children; a module of ours is traced."""
    return _compiled_as(mod, "trace" if is_ours(mod) else "script", in_place, None)


@contextmanager
def disable_e3nn_codegen() -> Iterator[None]:
    """Set ``jit_script_fx=False`` for the time being."""
    before = get_optimization_defaults()["jit_script_fx"]
    set_optimization_defaults(jit_script_fx=False)
    try:
        yield
    finally:
        set_optimization_defaults(jit_script_fx=before)


def _compiled_as(mod: nn.Module, mode: str, in_place: bool, examples: list[Any] | None) -> Any:
    """Compile in a mode that the module is not marked with, and leave its marks as they were."""
    marks = {name: vars(mod)[name] for name in (_MODE, _MAKE_TRACING_INPUTS) if name in vars(mod)}
    marked = getattr(mod, _MODE, None)
    if marked not in (None, mode):
        warnings.warn(f"{type(mod).__name__} is marked {marked!r}, and is compiled as {mode!r}", stacklevel=3)
    setattr(mod, _MODE, mode)
    if examples is not None:
        setattr(mod, _MAKE_TRACING_INPUTS, lambda n: examples)
    try:
        return compile_module(mod, in_place=in_place)
    finally:
        for name in (_MODE, _MAKE_TRACING_INPUTS):
            vars(mod).pop(name, None)
        for name, value in marks.items():
            setattr(mod, name, value)


def _traced(mod: nn.Module, examples: list[Any], options: dict[str, Any]) -> Any:
    """A trace, with the module's attributes. What our modules ask of shapes is answered once in a trace, which is no
    reason to warn: the trace asks again by an operation that fails."""
    with warnings.catch_warnings():
        if is_ours(mod):
            warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        program = traced(mod, examples, **options)
    for name, value in vars(mod).items():
        if not name.startswith("_") and not hasattr(program, name):
            setattr(program, name, value)
    return program
