"""Leading axes in a trace: ``torch.jit.trace`` keeps the number of axes that it sees, and these functions look again at
every call.

They are TorchScript, which a trace calls instead of recording what it did once. A file that holds them needs nothing of
this library.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, no_type_check

import torch
from torch import Tensor


@no_type_check  # TorchScript reads the source of what it compiles
def _required(x: Tensor, sizes: list[int], leading: int, like: Tensor) -> None:
    """Refuse what does not end in these sizes, has fewer axes before them, or mixes single and double precision."""
    if x.dtype != like.dtype and x.element_size() + like.element_size() == 12:
        raise RuntimeError(
            "the module is in "
            + ("float64" if like.element_size() == 8 else "float32")
            + ", its input is not: cast one of them"
        )
    own = len(sizes)
    fits = x.dim() >= own + leading
    for k in range(own):
        if fits:
            fits = x.size(x.dim() - own + k) == sizes[k]
    if not fits:
        raise RuntimeError("an input has shape " + str(x.size()) + ", its last axes should be " + str(sizes))


@no_type_check
def _lead(others: list[Tensor], owns: list[int]) -> list[int]:
    """The leading axes of several tensors, broadcast; the last ``owns`` axes of each do not count."""
    lead: list[int] = []
    for k in range(len(others)):
        count = others[k].dim() - owns[k]
        while len(lead) < count:
            lead.insert(0, 1)
        for axis in range(count):
            size, place = others[k].size(axis), len(lead) - count + axis
            if lead[place] == 1:
                lead[place] = size
            elif size != 1 and size != lead[place]:
                raise RuntimeError(
                    "the leading axes of the inputs don't fit: " + str(size) + " and " + str(lead[place])
                )
    return lead


@no_type_check
def _flat(x: Tensor, others: list[Tensor], owns: list[int], sizes: list[int], like: Tensor) -> Tensor:
    """x broadcast to the leading axes of all, which become a single one."""
    _required(x, sizes, 0, like)
    lead = _lead(others, owns)
    rows = 1
    for size in lead:
        rows *= size
    return x.expand(lead + sizes).reshape([rows] + sizes)  # noqa: RUF005  TorchScript has no stars


@no_type_check
def _apart(y: Tensor, others: list[Tensor], owns: list[int]) -> Tensor:
    """The leading axes again, for the first axis of y."""
    return y.reshape(_lead(others, owns) + list(y.shape[1:]))


@no_type_check
def _samples(x: Tensor, sizes: list[int], like: Tensor) -> Tensor:
    """(batch, ..., *sizes) with a single axis of samples between."""
    _required(x, sizes, 1, like)
    rows = 1
    for axis in range(1, x.dim() - len(sizes)):
        rows *= x.size(axis)
    return x.reshape([x.size(0), rows] + sizes)  # noqa: RUF005


@no_type_check
def _shared(x: Tensor, sizes: list[int], like: Tensor) -> Tensor:
    """x itself, which has no leading axes, or some of size one."""
    _required(x, sizes, 0, like)
    for axis in range(x.dim() - len(sizes)):
        if x.size(axis) != 1:
            raise RuntimeError(
                "an input that all samples share has shape " + str(x.size()) + ", it should be " + str(sizes)
            )
    return x.reshape(sizes)


@no_type_check
def _like(y: Tensor, x: Tensor) -> Tensor:
    """y in the shape of x."""
    return y.reshape(x.shape)


class Scripts:
    """The functions above in TorchScript, made when a trace first asks for them."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # as long as there are traces there are scripts
            self.flat, self.apart, self.samples, self.shared, self.like = map(
                _scripted, (_flat, _apart, _samples, _shared, _like)
            )


def _scripted(function: Callable[..., Any]) -> Any:
    return torch.jit.script(function)


@lru_cache(maxsize=1)
def scripts() -> Scripts:
    """The one copy of :class:`Scripts`."""
    return Scripts()
