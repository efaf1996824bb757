"""Means over many copies, a few at a time, and what may not run in copies."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.checkpoint import checkpoint

from intertwine.numerics import Caution, InputError

Outputs = dict[str, Tensor]
SINGLE = "output"  # the name of what a network returns by none


def mean_in_chunks(part: Callable[[slice], Outputs], count: int, chunk: int | None) -> Outputs:
    """The sum of weighted outputs over ``count`` copies, ``chunk`` at once.

    Of each chunk nothing is stored for derivatives: they compute it again, so that memory does not depend on the number
    of copies, but for 5 kB a chunk (time grows by a third; a derivative of a derivative stores what it needs).

    Args:
        part: the weighted sum of the outputs over the copies of a slice, by name.
        count: copies.
        chunk: at once; None for all, which stores everything.
    """
    if chunk is None or chunk >= count:
        return part(slice(0, count))
    total: Outputs = {}
    for start in range(0, count, chunk):
        here = slice(start, min(start + chunk, count))
        stored = not torch.is_grad_enabled() or torch.compiler.is_compiling()
        values: Outputs = part(here) if stored else checkpoint(part, here, use_reentrant=False)
        total = values if not total else {name: total[name] + value for name, value in values.items()}
    return total


def named(result: Any) -> Outputs:
    """What a network returns, by name.

    Raises:
        InputError: it is no tensor, and no mapping of tensors.
    """
    outputs = dict(result) if isinstance(result, Mapping) else {SINGLE: result}
    for name, value in outputs.items():
        if not isinstance(value, Tensor):
            what = f"the network returns {type(value).__name__}" + ("" if name == SINGLE else f" as {name}")
            raise InputError(what, where="symmetrize", remedy="return a tensor, or a dict of tensors.")
    return outputs


def check_chunk(chunk: int | None) -> int | None:
    """A number of copies at once; an :class:`InputError` below 1."""
    if chunk is not None and chunk < 1:
        raise InputError(f"{chunk} copies at once", where="chunk", remedy="give 1 or more, or None for all.")
    return chunk


def check_mode(network: Any, chunk: int | None) -> None:
    """Say by name that a layer looks at the batch, or draws, in training.

    Copies of one input are a batch to such a layer: what one copy gives depends on the others, or on chance, so the
    mean is equivariant in evaluation only.

    Raises:
        InputError: batch statistics in chunks, where they would depend on the number of copies at once.
    """
    if not isinstance(network, nn.Module) or not network.training:
        return
    for name, layer in network.named_modules():
        told = f"{type(layer).__name__} ({name or 'the network itself'}) in training mode"
        if isinstance(layer, _BatchNorm) and layer.training:
            if chunk is not None:
                remedy = "call .eval() on it, leave out chunk=, or use a LayerNorm."
                raise InputError(
                    f"{told}: its statistics are of the copies of a chunk", where="symmetrize", remedy=remedy
                )
            _warn(f"{told}: its statistics are of all copies; the mean is equivariant in evaluation, model.eval()")
        elif isinstance(layer, _DropoutNd) and layer.training and layer.p > 0:
            _warn(f"{told}: each copy loses others; the mean is equivariant in evaluation, model.eval()")


def _warn(words: str) -> None:
    warnings.warn(words, Caution, stacklevel=4)
