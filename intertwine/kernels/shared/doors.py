"""The doors of compiled programs: what a tensor must be before anything reads or writes where its pointer shows.

A compiled program knows pointers and sizes, not tensors. Tensors change between a forward and a backward pass
(``x.data = ...``, ``double()``, a storage that is freed, a hook that returns something else), and operators are called
by anybody. So the pointer of a tensor is taken in one function, :func:`address`, immediately before a program runs, and
whoever asks for it states what the program takes it for: its shape, or how many numbers are read or written, and their
precision. The same is said of what the launch itself has just made (:func:`made`), which nobody else has seen and which
is not looked at. :func:`require` says the same of an argument that is yet to be copied, or that plain torch reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from intertwine.numerics import InputError


def address(
    tensor: Tensor, name: str, size: Sequence[int] | int, dtype: torch.dtype, device: torch.device | None = None
) -> int:
    """Where the numbers of a tensor begin, if they are what a program is told that they are.

    Args:
        tensor: its numbers lie one after the other: see :func:`in_memory`.
        name: of the argument, for messages.
        size: its shape; or a number, if the program does not care how so many numbers, or more, are arranged.
        dtype: of its numbers.
        device: where they are; the CPU by default.

    Raises:
        InputError: the shape, the precision, the device, the strides or the memory behind them is another one.
    """
    try:
        n = tensor.numel()
        if (
            (n >= size if size.__class__ is int else tensor.shape == size)  # type: ignore[operator]
            and tensor.dtype is dtype
            and (tensor.is_cpu if device is None else tensor.device == device)
            and tensor.is_contiguous()
            and not tensor.is_neg()
            and (tensor.untyped_storage().nbytes() >= (tensor.storage_offset() + n) * dtype.itemsize or not n)
        ):
            return tensor.data_ptr()
    except RuntimeError:  # no strides, no storage, no pointer: sparse, fake, of torch.func
        pass
    raise refusal(tensor, name, size, dtype, device)


def own_address(tensor: Tensor, name: str, size: Sequence[int] | int, dtype: torch.dtype) -> int:
    """Where the numbers of a tensor begin that the caller has made for this launch; arguments, which the tests hold it
    to, as of :func:`address`.
    """
    return tensor.data_ptr()


def require(tensor: Tensor, name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
    """Make sure that an argument has a shape, a precision, a device and, if it is not a stand-in without numbers,
    memory behind it.

    Raises:
        InputError: one of them is another one.
    """
    try:
        if tensor.shape == shape and tensor.dtype is dtype and tensor.device == device and _stored(tensor):
            return
    except RuntimeError:  # no shape: nested; no storage: sparse
        pass
    raise refusal(tensor, name, shape, dtype, device)


def rows(tensor: Tensor, name: str, dim: int) -> int:
    """How many rows of ``dim`` floating-point numbers an argument has.

    Raises:
        InputError: it is no matrix of such rows.
    """
    try:
        shape, real = tensor.shape, tensor.dtype.is_floating_point
        if len(shape) == 2 and shape[1] == dim and real and tensor.layout is torch.strided:
            return shape[0]
    except RuntimeError:  # a nested tensor
        pass
    raise refusal(tensor, name, ("rows", dim), tensor.dtype if real else None, tensor.device)


def count(index: Tensor, name: str, device: torch.device) -> int:
    """How many whole numbers an argument has.

    Raises:
        InputError: it is no list of them in memory.
    """
    dtype = index.dtype
    if index.ndim != 1 or dtype.is_floating_point or dtype.is_complex or dtype is torch.bool:
        raise refusal(index, name, ("nodes",), torch.int64, device)
    require(index, name, index.shape, dtype, device)
    return index.shape[0]


def in_memory(tensor: Tensor, name: str = "argument") -> Tensor:
    """The numbers of a tensor one after the other: what is behind its pointer, which may be strided, a lazy negative,
    or nothing at all.

    Raises:
        InputError: there is no memory to copy them from.
    """
    if tensor.layout is not torch.strided:
        raise refusal(tensor, name, tensor.shape, tensor.dtype, tensor.device)
    if tensor._is_zerotensor():
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    if tensor.is_neg() or not tensor.is_contiguous():
        require(tensor, name, tensor.shape, tensor.dtype, tensor.device)
        return tensor.resolve_neg().contiguous()
    return tensor


def laid(tensor: Tensor, name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """An argument of a shape, a precision and a device, as :func:`in_memory`. Whether there is memory behind it is
    asked where it is read.

    Raises:
        InputError: one of them is another one.
    """
    try:
        if tensor.shape == shape and tensor.dtype is dtype and tensor.device == device:
            return in_memory(tensor, name)
    except RuntimeError:  # no shape: nested
        pass
    raise refusal(tensor, name, shape, dtype, device)


def indices(
    index: Tensor, name: str, count: int, what: str = "node {} of an edge", remedy: str = "count the nodes from 0."
) -> None:
    """Compiled programs read where an index says: it must be right.

    Args:
        index: whole numbers, in memory; name: of it, for messages.
        count: they are in [0, count).
        what: a number is, for messages; remedy: what to do about a wrong one.

    Raises:
        InputError: on the CPU; on other devices torch's assertion, which needs no synchronisation.
    """
    if index.numel() == 0:
        return
    least, most = torch.aminmax(index)
    if index.device.type != "cpu":
        torch._assert_async((least >= 0) & (most < count))
        return
    low, high = int(least), int(most)
    if low < 0 or high >= count:
        bad = what.format(low if low < 0 else high)
        raise InputError(f"{bad} does not exist: there are {count}", where=name, remedy=remedy)


def _stored(tensor: Tensor) -> bool:
    """Whether the memory of a tensor holds all its numbers; so it is for one that stands for others and has none of its
    own.
    """
    last = (
        tensor.numel()
        if tensor.is_contiguous()
        else 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride()))
    )
    if tensor.untyped_storage().nbytes() >= (tensor.storage_offset() + last) * tensor.dtype.itemsize:
        return True
    return tensor._is_zerotensor() or tensor.is_meta or not tensor.numel()


def refusal(
    tensor: Tensor,
    name: str,
    size: Sequence[object] | int,
    dtype: torch.dtype | None,
    device: torch.device | None = None,
) -> InputError:
    """What says what was found in the place of what is needed; arguments as in :func:`address`, a dtype of None is any
    real one.
    """
    shape = (
        f"{size} numbers or more" if isinstance(size, int) else f"({', '.join(map(str, size))}{',' * (len(size) == 1)})"
    )
    kind = "a floating-point precision" if dtype is None else str(dtype)
    remedy = f"it must be {kind} {shape} on {device or 'cpu'}, unchanged since the forward pass."
    return InputError(_found(tensor), where=name, remedy=remedy)


def _found(tensor: Tensor) -> str:
    """A tensor in a few words, and what is wrong with its memory."""
    if not isinstance(tensor, Tensor):
        return f"a {type(tensor).__name__}"
    try:
        words = f"{tensor.dtype} {tuple(tensor.shape)} on {tensor.device}"
    except RuntimeError:
        return f"{tensor.dtype}, a nested tensor, on {tensor.device}"
    if tensor.layout is not torch.strided:
        return f"{words}, {str(tensor.layout).removeprefix('torch.')}"
    try:
        if not _stored(tensor):
            return f"{words}, whose memory has been freed or cut down to {tensor.untyped_storage().nbytes()} bytes"
        tensor.data_ptr()
    except RuntimeError:
        return f"{words}, a {type(tensor).__name__} without numbers of its own"
    return words if tensor.is_contiguous() else f"{words}, in strides of {tensor.stride()}"
