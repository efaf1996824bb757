"""Tensors that an operator can't take, and those that it must: changes of arguments, of leaves after the forward pass,
of saved tensors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def cut(t: Tensor, share: float) -> Tensor:
    """A tensor whose memory has been freed, or some of it."""
    t = t.clone()
    t.untyped_storage().resize_(int(t.untyped_storage().nbytes() * share))
    return t


def strided_and_freed(t: Tensor) -> Tensor:
    wide = torch.stack([t, t], -1)
    found = wide[..., 0]
    wide.untyped_storage().resize_(0)
    return found


def compressed(t: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that these are new
        return t.reshape(len(t), -1).to_sparse_csr()


#: Changes after which an argument is none any more.
WRONG: dict[str, Callable[[Tensor], Tensor]] = {
    "a row less": lambda t: t[:-1],
    "a row more": lambda t: torch.cat([t, t[:1]]),
    "no rows": lambda t: t[:0],
    "one axis more": lambda t: t[None],
    "another axis at the end": lambda t: t[..., None],
    "no axes": lambda t: t.flatten()[0],
    "of integers": lambda t: t.int() if t.is_floating_point() else t.float(),
    "of truth values": lambda t: t > 0,
    "complex": lambda t: torch.complex(t.float(), t.float()).conj(),
    "freed": lambda t: cut(t, 0),
    "half freed": lambda t: cut(t, 0.5),
    "a byte short": lambda t: cut(t, 1 - 1e-9),
    "strided and freed": strided_and_freed,
    "sparse": lambda t: t.to_sparse(),
    "compressed": compressed,
}
#: For those with numbers of features.
WRONG_REAL: dict[str, Callable[[Tensor], Tensor]] = {
    "a column less": lambda t: t[..., :-1],
    "a column more": lambda t: torch.cat([t, t[..., :1]], -1),
    "one column": lambda t: t[..., :1].contiguous(),
    "transposed": lambda t: t.transpose(0, 1),
    "flat": lambda t: t.flatten(),
    "of another precision": lambda t: t.double(),
    "of half precision": lambda t: t.half(),
}
#: And for numbers of nodes.
WRONG_INDEX: dict[str, Callable[[Tensor, int], Tensor]] = {
    "one too large": lambda t, n: t.index_fill(0, torch.tensor([1]), n),
    "huge": lambda t, n: t.index_fill(0, torch.tensor([0]), 2**40),
    "the largest": lambda t, n: t.index_fill(0, torch.tensor([2]), 2**63 - 1),
    "negative": lambda t, n: t.index_fill(0, torch.tensor([-1]), -1),
    "the least": lambda t, n: t.index_fill(0, torch.tensor([1]), -(2**63)),
}
#: Changes that leave the numbers as they are.
SAME: dict[str, Callable[[Tensor], Tensor]] = {
    "in other strides": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "every second": lambda t: torch.stack([t, t + 1], -1)[..., 0],
    "with an offset": lambda t: torch.cat([t.new_ones(3), t.flatten()])[3:].view(t.shape),
    "negated twice": lambda t: torch._neg_view(-t),
}
SAME_REAL: dict[str, Callable[[Tensor], Tensor]] = {
    "expanded": lambda t: t[:1].expand(t.shape),
    "of one number": lambda t: t.flatten()[0].expand(t.shape),
    "a zero": lambda t: torch._efficientzerotensor(t.shape, dtype=t.dtype),
    "imaginary part of a conjugate": lambda t: torch.complex(t, t).conj().imag,
}

#: (operator, argument, change) that is no change for that argument, or only another batch: these operators have any
#: number of rows in x.
ALLOWED = {
    ("convolve", "x", "a row more"),
    ("convolve_backward", "x", "a row more"),
    ("convolve_backward", "g", "a row more"),
}
ALLOWED |= {
    ("convolve_second", "g", "a row more"),
    ("convolve", "x", "a row less"),
    ("convolve_backward", "x", "a row less"),
}
ALLOWED |= {
    ("harmonics", "x", rows)
    for rows in ("a row less", "a row more", "no rows", "of another precision", "of half precision")
}


def replace(t: Tensor, new: Tensor) -> None:
    t.data = new


#: What happens to a leaf after the forward pass. (Changes in place of the numbers, torch itself counts.)
LATER: dict[str, Callable[[Tensor], object]] = {
    "fewer rows": lambda t: replace(t, t.data[:-1].clone()),
    "one row": lambda t: replace(t, t.data[:1].clone()),
    "no rows": lambda t: replace(t, t.data[:0].clone()),
    "more rows": lambda t: replace(t, torch.cat([t.data, t.data])),
    "fewer columns": lambda t: replace(t, t.data[..., :-1].clone()),
    "one column": lambda t: replace(t, t.data[..., :1].clone()),
    "another axis": lambda t: replace(t, t.data[None].clone()),
    "in double precision": lambda t: replace(t, t.data.double()),
    "in half precision": lambda t: replace(t, t.data.half()),
    "freed": lambda t: t.untyped_storage().resize_(0),
    "half freed": lambda t: t.untyped_storage().resize_(t.untyped_storage().nbytes() // 2),
    "strided and freed": lambda t: replace(t, strided_and_freed(t.data)),
    "one number": lambda t: replace(t, t.data.flatten()[:1].expand(t.shape[0] + 1)),
}
INDEX_LATER: dict[str, Callable[[Tensor], object]] = {
    "all huge": lambda t: t.detach().numpy().fill(10**7),
    "negative": lambda t: t.detach().numpy().fill(-1),
    "one too large": lambda t: np.put(t.detach().numpy(), [1], [99]),
    "freed": lambda t: t.untyped_storage().resize_(0),
    "half freed": lambda t: t.untyped_storage().resize_(t.untyped_storage().nbytes() // 2),
    "in floating point": lambda t: replace(t, t.data.double()),
    "fewer": lambda t: replace(t, t.data[..., :-1].clone()),
}


#: What hooks of saved tensors may return.
WRONG_SAVED: dict[str, Callable[[Tensor], Tensor]] = {
    "of another precision": lambda t: t.double(),
    "with a row less": lambda t: t[:-1],
    "with one number": lambda t: t.flatten()[:1],
    "freed": lambda t: cut(t, 0),
    "without memory": lambda t: t.detach().to("meta"),
}
