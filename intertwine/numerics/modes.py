"""What torch is doing with a call: recording it, differentiating it, batching it, choosing its precision.

The only file that asks torch's private state: what another version calls otherwise is changed here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode as Watcher  # the base of what watches torch's operations
from torch.utils._pytree import tree_leaves as leaves_of

__all__ = [
    "Watcher",
    "apart",
    "apply_once",
    "asserted",
    "autocasting",
    "below_autograd",
    "break_graph",
    "captured",
    "exact_product",
    "forward_mode",
    "inspectable",
    "leaf",
    "leaves_of",
    "needed_now",
    "noting",
    "plain",
    "readable",
    "recording",
    "traced",
    "transforming",
    "watched",
    "without_autocast",
]

_PLAIN_TYPES = (Tensor, torch.nn.Parameter, torch.nn.Buffer)


def inspectable(x: Tensor) -> bool:
    """Whether Python may look at the values of x for nothing: on the CPU, and neither compiled, traced, fake nor of
    ``torch.func``.
    """
    return x.device.type == "cpu" and not traced(x) and not torch._C._functorch.is_functorch_wrapped_tensor(x)


def autocasting(x: Tensor) -> bool:
    """Whether torch itself picks the precision of matrix products, where x is; the device ``meta`` has no such mode,
    and would raise.
    """
    return x.device.type != "meta" and torch.is_autocast_enabled(x.device.type)


def exact_product(x: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The product of two matrices in the precision of x, also where torch is told to take a lower one."""
    exact = x.dtype != torch.float32 or torch.get_float32_matmul_precision() == "highest"
    return torch.mm if exact and not autocasting(x) else lambda a, b: (a[:, :, None] * b).sum(1)


def without_autocast(device: torch.device) -> AbstractContextManager:
    """A context in which operations have the precision of their arguments; the devices that have no other raise if told
    so.
    """
    return torch.autocast(device.type, enabled=False) if torch.amp.is_autocast_available(device.type) else nullcontext()


def traced(x: Tensor) -> bool:
    """Whether operations are recorded (a compiler, ``make_fx``, ``jit.trace``) or x has no values.

    A branch on the values of x would then fail, or be recorded as if all later values were of the same kind.
    """
    if torch.compiler.is_compiling():
        return True
    if type(x) not in _PLAIN_TYPES or watched():
        return True
    return torch._is_functional_tensor(x) or torch.jit.is_tracing()


def captured(x: Tensor) -> bool:
    """Whether a CUDA graph records what is done with x: nothing may then wait for its values."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


def recording() -> AbstractContextManager:
    """Autograd can be asked for derivatives inside the ``with`` block, also in the code of an operator: torch calls
    that below autograd.
    """
    below = torch._C._dispatch_tls_local_exclude_set()
    for key in (torch._C.DispatchKey.AutogradFunctionality, torch._C.DispatchKey.ADInplaceOrView):
        below = below.remove(key)
    return torch._C._ForceDispatchKeyGuard(torch._C._dispatch_tls_local_include_set(), below)


def leaf(x: Tensor) -> Tensor:
    """x as a leaf of autograd, also in the code of an operator that a transform of ``torch.func`` calls."""
    functorch = torch._C._functorch
    allowed = functorch.get_inplace_requires_grad_allowed()
    functorch.set_inplace_requires_grad_allowed(True)
    try:
        return x.detach().requires_grad_()
    finally:
        functorch.set_inplace_requires_grad_allowed(allowed)


def forward_mode() -> bool:
    """Whether derivatives in forward mode are being taken, by ``torch.func.jvp`` or dual numbers."""
    return torch.autograd.forward_ad._current_level >= 0


def plain(*tensors: Tensor) -> bool:
    """Whether all are ordinary tensors, which may be written to, outside of ``torch.func``: none of a compiler, a
    tracer or forward mode.
    """
    if torch.compiler.is_compiling() or transforming() or watched() or torch.jit.is_tracing():
        return False
    wrapped, forward = torch._C._functorch, forward_mode()
    for x in tensors:
        if type(x) not in _PLAIN_TYPES or torch._is_functional_tensor(x):
            return False
        if wrapped.is_functorch_wrapped_tensor(x) or wrapped.is_legacy_batchedtensor(x):
            return False
        if forward and torch.autograd.forward_ad.unpack_dual(x).tangent is not None:
            return False
    return True


def readable(x: Tensor) -> bool:
    """Whether NumPy may take the numbers of x, and return what it makes of them: ordinary real numbers on the CPU."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and plain(x)


def watched() -> bool:
    """Whether somebody watches torch's operations: a counter of FLOP would see none of a kernel's."""
    return torch._C._len_torch_dispatch_stack() > 0


def transforming() -> bool:
    """Whether a transform of ``torch.func`` is being taken."""
    return bool(torch._C._are_functorch_transforms_active())


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """What is computed inside the ``with`` block is of no mode: neither of inference, which could never be part of a
    backward pass, nor of ``torch.func``, which would end with its transform. Autograd is there.
    """
    with torch.inference_mode(False), torch._C._DisableFuncTorch(), recording():
        yield


def break_graph(reason: str) -> None:
    """Nothing; but a compiler ends its graph here, and says why where it may not."""
    torch._dynamo.graph_break(msg=reason)


def asserted(truth: Tensor) -> None:
    """An error of the device if a boolean there is false; nobody waits for it."""
    torch._assert_async(truth)


def below_autograd(operator: Any, keys: Any, arguments: Sequence[Any]) -> Any:
    """An operator of torch called from its own rule of autograd, which is not asked again at this level."""
    with torch._C._AutoDispatchBelowAutograd():
        return operator.redispatch(keys & torch._C._after_autograd_keyset, *arguments)


@contextlib.contextmanager
def noting() -> Iterator[None]:
    """Derivatives are noted inside the ``with`` block, backward and forward: in a Function's ``forward``, which torch
    runs without, for the levels of ``torch.func`` below.
    """
    with torch.enable_grad(), torch.autograd.forward_ad._set_fwd_grad_enabled(True):
        yield


def apply_once(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    """``function.apply`` for one level of derivatives, where the dispatcher has come to one: ``apply`` itself would
    pass the step on to all levels of ``torch.func``.
    """
    functorch = torch._C._functorch
    allowed = functorch.get_single_level_autograd_function_allowed()
    functorch.set_single_level_autograd_function_allowed(True)
    try:
        return super(torch.autograd.Function, function).apply(*arguments)  # type: ignore[misc]
    finally:
        functorch.set_single_level_autograd_function_allowed(allowed)


def needed_now(ctx: Any) -> tuple[bool, ...]:
    """Which gradients the pass under way will use, for each argument of a ``torch.autograd.Function``, in its
    ``backward``.

    ``ctx.needs_input_grad`` says which tensors require gradients. Of those ``torch.autograd.grad(energy, positions)``
    uses a part: the weights require gradients as well, and nobody reads them. torch's own operators look at that; a
    Function has to ask.

    Args:
        ctx: of the function.

    Returns:
        ``ctx.needs_input_grad`` with False where nothing that is asked for can be reached; as it is where torch can't
        tell.
    """
    needs: tuple[bool, ...] = ctx.needs_input_grad
    if torch.compiler.is_compiling() or transforming():
        return needs
    following = [node for node, _ in getattr(ctx, "next_functions", ()) if node is not None]
    if len(following) != sum(needs) or len(following) == 1:  # the pass has come here for it
        return needs
    nodes = iter(following)
    return tuple(need and _will_run(next(nodes)) for need in needs)


def _will_run(node: Any) -> bool:
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except RuntimeError:  # no pass is under way, or it ends at this very tensor
        return True
