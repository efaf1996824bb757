"""A network as it is used: in the middle of its training, and where nobody asks for derivatives by its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")
_FIXED: ContextVar[bool] = ContextVar("fixed", default=False)


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Inside the ``with`` block all parts are in evaluation mode; behind it, or an error, each is in its own again."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def with_fixed_weights(fixed: bool, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function; if ``fixed``, nobody takes derivatives by the weights: what they alone decide may be kept."""
    if not fixed or torch.compiler.is_compiling():  # a program has its weights in it
        return function(*arguments)
    token = _FIXED.set(True)
    try:
        return function(*arguments)
    finally:
        _FIXED.reset(token)


def weights_are_fixed() -> bool:
    """Whether this is within :func:`with_fixed_weights`."""
    return _FIXED.get()
