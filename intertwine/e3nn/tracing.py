"""What a trace of one of our modules is made of: example inputs, and axes that are looked at again at every call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.e3nn.arguments import io_irreps, random_arguments
from intertwine.nn import BatchNorm, Dropout, FullyConnectedNet, normalize2mom
from intertwine.nn.irreps.fully_connected import FullyConnectedLayer
from intertwine.numerics.axes import scripts
from intertwine.o3 import FromS2Grid, Legendre, SO3Grid, SphericalHarmonicsAlphaBeta, ToS2Grid


@dataclass(frozen=True)
class Method:
    """How a method is called.

    Attributes:
        inputs: examples.
        sizes: for each the last axes, before which any leading ones come.
        shared: how many inputs, the last ones, all samples share: they have no leading axes.
        samples: whether the first axis is a batch, and those between it and the last ones are samples.
    """

    inputs: tuple[Tensor, ...]
    sizes: tuple[tuple[int, ...], ...]
    shared: int = 0
    samples: bool = False


def is_ours(mod: nn.Module) -> bool:
    """Whether a module is one of intertwine's classes itself, not one that a program derived from it."""
    return type(mod).__module__.startswith("intertwine.")


def example_inputs(mod: Any) -> dict[str, tuple[Any, ...]]:
    """Random arguments for the methods that a trace is made of.

    Raises:
        ValueError: the module has neither irreps nor another property that tells.
    """
    return {name: method.inputs for name, method in methods(mod).items()}


def methods(mod: Any) -> dict[str, Method]:
    """The methods that a trace is made of.

    Raises:
        ValueError: the module does not say what it takes.
    """
    if isinstance(mod, SO3Grid):
        grid = (mod.res_alpha, mod.res_beta, mod.res_gamma)
        return {"to_grid": _of((mod.irreps.dim,)), "from_grid": _of(grid)}
    if isinstance(mod, ToS2Grid | FromS2Grid):
        return {"forward": _of(((mod.lmax + 1) ** 2,) if isinstance(mod, ToS2Grid) else (mod.res_beta, mod.res_alpha))}
    if isinstance(mod, SphericalHarmonicsAlphaBeta | Legendre):
        angles = 6 * torch.rand(4), 3 * torch.rand(4)
        inputs = angles if isinstance(mod, SphericalHarmonicsAlphaBeta) else (angles[1].cos(), angles[1].sin())
        return {"forward": Method(inputs, ((), ()))}
    if isinstance(mod, normalize2mom):
        return {"forward": _of(())}
    if isinstance(mod, FullyConnectedNet | FullyConnectedLayer):
        return {"forward": _of((mod.hs[0] if isinstance(mod, FullyConnectedNet) else mod.h_in,))}
    if isinstance(mod, BatchNorm | Dropout):
        return {"forward": Method((torch.randn(4, 3, mod.irreps.dim),), ((mod.irreps.dim,),), samples=True)}
    return _with_irreps(mod)


def _of(size: tuple[int, ...]) -> Method:
    return Method((torch.randn(3, *size),), (size,))


def _with_irreps(mod: Any) -> dict[str, Method]:
    irreps_in, _ = io_irreps(mod, irreps_in=getattr(mod, "irreps", None), irreps_out=[None])
    inputs, f_in = tuple(random_arguments(irreps_in)), getattr(mod, "f_in", None)
    sizes: tuple[Any, ...] = tuple((tensor.shape[-1],) for tensor in inputs)
    pair, shared = len(inputs) == 2, 0
    if f_in is not None:
        inputs, sizes = (torch.randn(inputs[0].shape[0], f_in, inputs[0].shape[1]),), ((f_in, *sizes[0]),)
    if hasattr(mod, "weight_numel") and not getattr(mod, "internal_weights", True) and mod.weight_numel:
        weights = _weights(mod, inputs[0].shape[0])
        own = 0 if mod.shared_weights else 1
        inputs, sizes = (*inputs, *weights), (*sizes, *(tuple(tensor.shape[own:]) for tensor in weights))
        shared = len(weights) if mod.shared_weights else 0
    described = {"forward": Method(inputs, sizes, shared)}
    if pair and hasattr(mod, "right"):
        described["right"] = Method(inputs[1:], sizes[1:], shared)
    return described


def _weights(mod: Any, rows: int) -> tuple[Tensor, ...]:
    lead = () if mod.shared_weights else (rows,)
    channels = (mod.f_in, mod.f_out) if getattr(mod, "f_in", None) is not None else ()
    weight = torch.randn(*lead, *channels, mod.weight_numel)
    biases = getattr(mod, "bias_numel", 0)
    return (weight, torch.randn(*lead, *channels[1:], biases)) if biases else (weight,)


@contextmanager
def looking_at_axes(mod: nn.Module) -> Iterator[None]:
    """Within, the methods of one of our modules see their inputs with a single leading axis, and begin and end with
    operations that look at the real ones: a trace of them refuses other sizes, and serves any leading axes."""
    try:
        described = methods(mod) if is_ours(mod) else {}
    except ValueError:
        described = {}
    within: set[nn.Module] = set()
    for name, method in described.items():
        setattr(mod, name, MethodType(_looking(getattr(mod, name), method, within), mod))
    try:
        yield
    finally:
        for name in described:
            delattr(mod, name)


def traced(mod: nn.Module, examples: list[Any], **options: Any) -> Any:
    """``torch.jit.trace_module`` of one of our modules, or another; what acts otherwise in training is traced twice,
    and does so still.
    """
    if not is_ours(mod):
        return torch.jit.trace_module(mod, inputs=examples[0], check_inputs=examples, **options)
    options["check_trace"] = False  # torch compares the names of variables as well, and can't know of random numbers
    with looking_at_axes(mod):
        if isinstance(mod, BatchNorm | Dropout):
            return _in_both_modes(mod, examples[0]["forward"], **options)
        program = torch.jit.trace_module(mod, inputs=examples[0], **options)
    for example in examples:
        for name, inputs in example.items():
            _compare(name, getattr(program, name)(*inputs), getattr(mod, name)(*inputs))
    return program


def _compare(name: str, results: Any, wanted: Any) -> None:
    """Torch's error, if a trace and the module differ by more than a thousand roundings."""
    for a, b in zip(
        *((result,) if isinstance(result, Tensor) else result for result in (results, wanted)), strict=True
    ):
        bound = 1e3 * torch.finfo(b.dtype).eps
        scale = float(b.detach().abs().nan_to_num(posinf=0.0).max()) if b.numel() else 0.0
        try:
            torch.testing.assert_close(a, b, rtol=bound, atol=bound * max(scale, 1.0), equal_nan=True)
        except AssertionError as error:
            raise torch.jit.TracingCheckError(
                None, str(error), f"the trace of {name} differs from the module"
            ) from error


_SWITCH = """
def forward(self, input):
    if self.training and input.numel() > 0:
        return self._in_training(input)
    return self._in_evaluation(input)
"""


def _in_both_modes(mod: nn.Module, inputs: tuple[Any, ...], **options: Any) -> Any:
    now, before = mod.training, {name: buffer.clone() for name, buffer in mod.named_buffers()}
    names, forward = {"_in_training": True, "_in_evaluation": False}, mod.forward

    def of(mode: bool) -> MethodType:
        return MethodType(lambda self, input: self.train(mode) and forward(input), mod)

    for name, mode in names.items():
        setattr(mod, name, of(mode))
    try:
        program = torch.jit.trace_module(mod, inputs=dict.fromkeys(names, inputs), **options)
    finally:
        for name in names:
            delattr(mod, name)
        mod.train(now)
        with torch.no_grad():  # what the trace was made with is not learned from
            for name, buffer in mod.named_buffers():
                buffer.copy_(before[name])
    program._actual_script_module.define(_SWITCH)
    return program.train(now)


def _looking(function: Callable[..., Any], method: Method, within: set[nn.Module]) -> Callable[..., Any]:
    script = scripts()

    @functools.wraps(getattr(function, "__func__", function))
    def looking(mod: nn.Module, *inputs: Any) -> Any:
        if mod in within:  # one method of the module calls another
            return function(*inputs)
        within.add(mod)
        try:
            own = next(_numbers(mod), inputs[0])
            if method.samples:
                return script.like(function(script.samples(inputs[0], list(method.sizes[0]), own)), inputs[0])
            apart = len(method.sizes) - method.shared
            others = [x for x in inputs[:apart] if x is not None]
            owns = [len(size) for x, size in zip(inputs, method.sizes[:apart]) if x is not None]
            result = function(
                *(
                    x
                    if x is None
                    else script.flat(x, others, owns, list(size), own)
                    if k < apart
                    else script.shared(x, list(size), own)
                    for k, (x, size) in enumerate(zip(inputs, method.sizes))
                )
            )
            if isinstance(result, tuple | list):
                return type(result)(script.apart(y, others, owns) for y in result)
            return script.apart(result, others, owns)
        finally:
            within.discard(mod)

    return looking


def _numbers(mod: nn.Module) -> Iterator[Tensor]:
    """What has the precision that a module computes in."""
    for name, tensor in (*mod.named_parameters(), *mod.named_buffers()):
        if tensor.is_floating_point() and tensor.numel() and not name.endswith("output_mask"):
            yield tensor
