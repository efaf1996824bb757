"""A Function computes the gradients that the pass under way will use, and no others."""

from __future__ import annotations

from typing import Any

import torch

from intertwine.numerics import needed_now

asked: list[tuple[bool, ...]] = []


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: float, w: torch.Tensor, other: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, w)
        ctx.scale = scale
        return scale * x * w

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple:
        asked.append(needed_now(ctx))
        x, w = ctx.saved_tensors
        return ctx.scale * g * w, None, ctx.scale * g * x, None


def test_only_what_is_asked_for() -> None:
    x, w = torch.ones(3, requires_grad=True), torch.nn.Parameter(torch.ones(3))
    y = Product.apply(2 * x, 2.0, w, None).sum()
    asked.clear()
    torch.autograd.grad(y, x, retain_graph=True)
    torch.autograd.grad(y, x, create_graph=True)
    torch.autograd.backward(y, inputs=[x], retain_graph=True)
    torch.autograd.grad(y, [x, w], retain_graph=True)
    torch.autograd.grad(y, w, retain_graph=True)
    y.backward()
    everything, first = (True, False, True, False), (True, False, False, False)
    assert asked == [first, first, first, everything, (False, False, True, False), everything]


def test_tensors_that_require_nothing_stay_out() -> None:
    w = torch.nn.Parameter(torch.ones(3))
    asked.clear()
    Product.apply(torch.ones(3), 2.0, w, torch.ones(3)).sum().backward()
    assert asked == [(False, False, True, False)]
    torch.testing.assert_close(w.grad, torch.full((3,), 2.0))
