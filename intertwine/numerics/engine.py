"""What a backward pass that is under way will use."""

from __future__ import annotations

from typing import Any

import torch


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
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return needs
    following = [node for node, _ in getattr(ctx, "next_functions", ()) if node is not None]
    if len(following) != sum(needs):
        return needs
    nodes = iter(following)
    return tuple(need and _will_run(next(nodes)) for need in needs)


def _will_run(node: Any) -> bool:
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except RuntimeError:  # no pass is under way, or it ends at this very tensor
        return True
