"""A plan with its fused kernels: what modules call."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels.convolution.operators import convolve
from intertwine.kernels.convolution.plan import channelwise
from intertwine.kernels.plan import Plan
from intertwine.numerics import InputError, modes

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
        self.weighted = form.dim_w > 0

    @staticmethod
    def supports(plan: Plan) -> bool:
        """Whether every channel of x stays itself: ``uvu``, and what is ``uvu`` in other words."""
        return channelwise(plan) is not None

    def convolve(
        self,
        x: Float[Tensor, "senders dim_x"],
        y: Float[Tensor, "edges dim_y"],
        w: Float[Tensor, "edges weights"] | None,
        source: Int[Tensor, " edges"] | None,
        destination: Int[Tensor, " edges"] | None,
        nodes: int | None,
    ) -> Float[Tensor, "nodes dim_z"]:
        r""":math:`z_n = \sum_{e: s_e \to n} T(x_{s_e}, y_e, w_e)`, without a buffer of edges times outputs.

        Args:
            x: features of the nodes; y: attributes of the edges; w: weights of the edges, None if the plan has none.
            source, destination: int64 nodes that each edge comes from and goes to, in any order; both None: edge e goes
                from node e to node e.
            nodes: rows of z; None for as many as x has. A node without edges gets 0.

        Raises:
            InputError: a wrong shape, precision or device; an index out of range.
        """
        if isinstance(nodes, bool | float):
            raise InputError(f"{nodes} nodes", where="nodes", remedy="give a whole number >= 0.")
        nodes = x.shape[0] if nodes is None else nodes
        w = w if self.weighted else None
        tensors = [tensor for tensor in (x, y, w) if tensor is not None]
        dtype = _common(tensors)
        # on a processor, half precision is a way to store numbers: it computes in single
        works = torch.float32 if dtype in _NARROW and x.device.type == "cpu" else dtype
        x, y = x.to(works), y.to(works)
        w = None if w is None else w.to(works)
        z = convolve(self.text, x, y, w, source, destination, nodes)
        return z if z.dtype == dtype else z.to(dtype)

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
        return self.convolve(x, y, w, None, None, x.shape[0])


def _common(tensors: list[Tensor]) -> torch.dtype:
    """The precision of all tensors; under autocast the widest of them."""
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        if tensor.dtype != dtype:
            if not modes.autocasting(tensor):
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
