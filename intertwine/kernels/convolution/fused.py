"""A plan with its fused kernels: what modules call."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels.convolution import derivatives
from intertwine.kernels.convolution.plan import channelwise
from intertwine.kernels.plan import Plan
from intertwine.numerics import InputError, safe

_NARROW = (torch.bfloat16, torch.float16)


class Fused:
    r"""The product of a plan, fused with the gather before it and the sum after it.

    Args:
        plan: a product that :meth:`supports` accepts.

    Raises:
        InputError: the plan mixes channels, or multiplies channels of x with channels of y.

    >>> import numpy as np
    >>> from intertwine.kernels import Operand, Table
    >>> scalars, vectors = Operand.of([(1, 1)]), Operand.of([(2, 3)], "ir_mul")
    >>> path = (0, 0, 0, "uvu", False, 1.0, Table.of(np.eye(3)[:, None, :]))
    >>> fused = Fused(Plan.of(vectors, scalars, vectors, [path]))
    >>> x, y, (source, target) = torch.ones(1, 6), torch.tensor([[2.0], [3.0]]), torch.tensor([[0, 0], [1, 1]])
    >>> fused.convolve(x, y, None, source, target, 2)[:, 0]
    tensor([0., 5.])
    """

    def __init__(self, plan: Plan) -> None:
        form = channelwise(plan)
        if form is None:
            raise InputError(
                "a path mixes channels, or has channels of x and of y",
                where="plan",
                remedy="use 'uvu' paths, and mix channels by a Linear.",
            )
        self.text = form.encode()
        self.dims = (form.dim_x, form.dim_y, form.dim_w)

    @staticmethod
    def supports(plan: Plan) -> bool:
        """Whether every channel of x stays itself: ``uvu``, and what is ``uvu`` in other words."""
        return channelwise(plan) is not None

    def convolve(
        self,
        x: Float[Tensor, "senders dim_x"],
        y: Float[Tensor, "edges dim_y"],
        w: Float[Tensor, "edges weights"] | None,
        source: Int[Tensor, " edges"],
        destination: Int[Tensor, " edges"],
        nodes: int | None,
    ) -> Float[Tensor, "nodes dim_z"]:
        r""":math:`z_n = \sum_{e: s_e \to n} T(x_{s_e}, y_e, w_e)`, without a buffer of edges times outputs.

        Args:
            x: features of the nodes; y: attributes of the edges; w: weights of the edges, None if the plan has none.
            source, destination: int64 nodes that each edge comes from and goes to, in any order.
            nodes: rows of z; None for as many as x has. A node without edges gets 0.

        Raises:
            InputError: a wrong shape, precision or device; an index out of range.
        """
        for name, index in (("source", source), ("destination", destination)):
            if index.dtype != torch.int64 or index.ndim != 1 or index.device != x.device:
                description = f"{index.dtype}, shape {tuple(index.shape)}, on {index.device}"
                raise InputError(
                    description,
                    where=name,
                    remedy=f"give int64 numbers of nodes, shape ({y.shape[0]},), on {x.device}.",
                )
        if not source.shape == destination.shape == y.shape[:1]:
            sizes = f"{source.shape[0]} sources, {destination.shape[0]} destinations and {y.shape[0]} rows of y"
            raise InputError(sizes, where="edges", remedy="give one of each for every edge.")
        if nodes is None:
            nodes = x.shape[0]
        elif isinstance(nodes, bool | float) or nodes < 0:
            raise InputError(f"{nodes} nodes", where="nodes", remedy="give a whole number >= 0.")
        return self._call(x, y, w, source, destination, nodes)

    def product(
        self,
        x: Float[Tensor, "samples dim_x"],
        y: Float[Tensor, "samples dim_y"],
        w: Float[Tensor, "samples weights"] | None,
    ) -> Float[Tensor, "samples dim_z"]:
        """z of each sample separately.

        Args:
            x, y: arguments; w: weights, None if the plan has none.

        Raises:
            InputError: a wrong shape, precision or device.
        """
        if x.shape[:1] != y.shape[:1]:
            raise InputError(f"{x.shape[0]} samples of x, {y.shape[0]} of y", where="y", remedy="give equally many.")
        return self._call(x, y, w, None, None, x.shape[0])

    def _call(
        self, x: Tensor, y: Tensor, w: Tensor | None, source: Tensor | None, destination: Tensor | None, nodes: Any
    ) -> Tensor:
        w = w if self.dims[2] else None
        for name, tensor, dim in zip(("x", "y", "weight"), (x, y, w), self.dims):
            if tensor is None:
                if dim:
                    raise InputError("the weights are missing", where="weight", remedy=f"give {dim} for each edge.")
                continue
            if tensor.ndim != 2 or tensor.shape[1] != dim:
                raise InputError(
                    f"shape {tuple(tensor.shape)}",
                    where=name,
                    remedy=f"its last axis must be {dim}, and it needs one more.",
                )
            if tensor.device != x.device:
                raise InputError(
                    f"is on {tensor.device}, x on {x.device}", where=name, remedy="move one of them, with .to(device)."
                )
        if w is not None and w.shape[0] != y.shape[0]:
            raise InputError(
                f"{w.shape[0]} rows of weights, {y.shape[0]} of y", where="weight", remedy="give one row for each edge."
            )
        tensors = [tensor for tensor in (x, y, w) if tensor is not None]
        dtype = _common(tensors)
        # on a processor, half precision is a way to store numbers: it computes in single
        works = torch.float32 if dtype in _NARROW and x.device.type == "cpu" else dtype
        x, y = x.to(works), y.to(works)
        w = None if w is None else w.to(works)
        z = derivatives.convolve(self.text, x, y, w, source, destination, nodes)
        return z if z.dtype == dtype else z.to(dtype)


def _common(tensors: list[Tensor]) -> torch.dtype:
    """The precision of all tensors; under autocast the widest of them."""
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        if tensor.dtype != dtype:
            if not safe.autocasting(tensor):
                kinds = ", ".join(str(argument.dtype) for argument in tensors)
                raise InputError(
                    f"x, y and the weights are {kinds}",
                    where="dtype",
                    remedy="cast them to one precision, with .to(dtype).",
                )
            dtype = torch.promote_types(dtype, tensor.dtype)
    if not dtype.is_floating_point:
        raise InputError(f"the arguments are {dtype}", where="dtype", remedy="give floating-point numbers.")
    return dtype
