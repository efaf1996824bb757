"""The product of a plan for each sample separately, by the fastest of our implementations."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.batched.reference import Reference
from intertwine.kernels.convolution.fused import Fused
from intertwine.kernels.convolution.plan import channelwise
from intertwine.kernels.plan import Plan
from intertwine.numerics import safe

_LEAST_CHANNELS = 4  # fewer do not fill a vector: there the reference is as fast (benchmarks/products.py)
_MOST_COEFFICIENTS = 5_000  # coefficients; the code of more takes seconds to compile


class Product(Reference):
    """:class:`Reference`, with the fused kernel in its place on a processor where channels stay apart and every sample
    has its own weights.

    Args:
        plan, shared, dtype, device: as for :class:`Reference`.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        shared: bool = True,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(plan, shared=shared, dtype=dtype, device=device)
        form = channelwise(plan)
        pays = (
            form is not None
            and form.channels >= _LEAST_CHANNELS
            and form.coefficients <= _MOST_COEFFICIENTS
            and not (shared and plan.weight_numel)
        )
        self._fused = Fused(plan) if pays else None

    def forward(
        self, x: Float[Tensor, "... dim1"], y: Float[Tensor, "... dim2"], weight: Float[Tensor, "... weights"] | None
    ) -> Float[Tensor, "... dim_out"]:
        """z of the plan; arguments, result and errors as for :meth:`Reference.forward`."""
        fused = None if torch.jit.is_tracing() else self._fused  # a trace is to run where our operators are not
        if (
            fused is None
            or x.device.type != "cpu"
            or x.dtype not in (torch.float32, torch.float64)
            or safe.autocasting(x)
        ):
            return super().forward(x, y, weight)
        self._check(x, y, weight)
        x, y, weight, batch = self._flatten(x, y, weight)
        z = fused.product(x, y, weight)
        return z if len(batch) == 1 else z.reshape(*batch, self.plan.out.dim)
