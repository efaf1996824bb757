"""What the tests of the layers share: the oracle's precision, the two layouts, and every way in which a module
travels.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import torch
from switches import as_users_run_it
from torch import Tensor, nn

from intertwine.o3 import Irreps, rand_matrix
from intertwine.o3.blocks import join_blocks, split_blocks

D = torch.float64


def swapped(x: Tensor, irreps: Any, start: str = "mul_ir") -> Tensor:
    """Features in the other layout."""
    irreps = Irreps(irreps)
    return (
        join_blocks(split_blocks(x, irreps, start), "ir_mul" if start == "mul_ir" else "mul_ir") if len(irreps) else x
    )


def results(
    module: nn.Module, x: Tensor, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """Values and the gradients of a fixed combination of them, through a change of layout before and after."""
    x = x.clone().requires_grad_()
    torch.manual_seed(5)
    y = after(module(before(x)))
    total = (y * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))).sum()
    return [y, *torch.autograd.grad(total, [x, *[p for p in module.parameters() if p.numel()]])]


def same_as(ours: nn.Module, theirs: nn.Module, x: Tensor, layout: str = "mul_ir", bound: float = 1e-11) -> None:
    """Values, gradients to input and parameters, and buffers; ours in its layout."""

    def keep(t: Tensor) -> Tensor:
        return t

    irreps_in = getattr(ours, "irreps_in", None) or getattr(ours, "irreps", None)
    irreps_out = getattr(ours, "irreps_out", irreps_in)
    turn: Any = (lambda t: swapped(t, irreps_in)) if layout == "ir_mul" else keep
    back: Any = (lambda t: swapped(t, irreps_out, "ir_mul")) if layout == "ir_mul" else keep
    for mine, other in zip(results(ours, x, turn, back), results(theirs, x, keep, keep), strict=True):
        assert mine.dtype == other.dtype
        torch.testing.assert_close(mine, other, rtol=bound, atol=bound)
    state = theirs.state_dict()
    for name, value in ours.state_dict().items():
        if name in state:
            torch.testing.assert_close(value, state[name], rtol=bound, atol=bound)


def commutes(module: nn.Module, x: Tensor, layout: str = "mul_ir") -> None:
    """With a rotation and a reflection."""
    irreps_in = Irreps(getattr(module, "irreps_in", None) or module.irreps)
    irreps_out = Irreps(getattr(module, "irreps_out", irreps_in))

    def act(t: Tensor, irreps: Irreps, q: Tensor) -> Tensor:
        plain = swapped(t, irreps, "ir_mul") if layout == "ir_mul" else t
        moved = plain @ irreps.D_from_matrix(q).T
        return swapped(moved, irreps) if layout == "ir_mul" else moved

    q = rand_matrix(dtype=x.dtype, generator=torch.Generator().manual_seed(2))
    for rotation in (q, -q):
        torch.testing.assert_close(
            module(act(x, irreps_in, rotation)), act(module(x), irreps_out, rotation), rtol=1e-12, atol=1e-12
        )


def differentiates(function: Callable[..., Tensor], *arguments: Tensor) -> None:
    """First and second derivatives against differences."""
    leaves = [x.detach().clone().requires_grad_() for x in arguments]
    assert torch.autograd.gradcheck(function, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


def finite_to_the_third(function: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
    """Values and three derivatives, none NaN or infinite."""
    x = x.detach().clone().requires_grad_()
    orders = [function(x)]
    for _ in range(3):
        last = orders[-1]
        total = (last * torch.linspace(0.5, 1.5, last.numel(), dtype=x.dtype).reshape(last.shape)).sum()
        (gradient,) = (
            torch.autograd.grad(total, x, create_graph=True) if total.requires_grad else (torch.zeros_like(x),)
        )
        orders.append(gradient)
    assert all(bool(order.isfinite().all()) for order in orders)
    return orders


def travels(module: nn.Module, x: Tensor, *, pickles: bool = True, batched: bool = True) -> None:
    """Copies, files, compilers, precisions, empty batches, further axes, strides."""
    expected = module(x)
    assert torch.equal(copy.deepcopy(module)(x), expected)
    if pickles:
        assert torch.equal(pickle.loads(pickle.dumps(module))(x), expected)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    module.load_state_dict(torch.load(file, weights_only=True))
    assert module(x[:0]).shape == (0, *expected.shape[1:])
    torch.testing.assert_close(module(x.mT.contiguous().mT), expected, rtol=1e-13, atol=1e-13)
    if batched:
        torch.testing.assert_close(module(x[:, None]), expected[:, None], rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(torch.func.vmap(module)(x), expected, rtol=1e-13, atol=1e-13)
    with as_users_run_it():
        torch._dynamo.reset()
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), expected, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), expected, rtol=1e-13, atol=1e-13)
    single = copy.deepcopy(module).float()(x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=1e-4, atol=1e-5)
