"""The product of a plan for each sample separately, by the fastest of our implementations."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.kernels.batched.evaluator import Batched
from intertwine.kernels.convolution.fused import Fused
from intertwine.kernels.convolution.plan import channelwise
from intertwine.kernels.plan import Plan
from intertwine.numerics import modes

_LEAST_CHANNELS = 4  # fewer do not fill a vector: there plain torch is as fast (benchmarks/products.py)
_MOST_COEFFICIENTS = 5_000  # coefficients; the code of more takes seconds to compile


class Product(nn.Module):
    """A plan evaluated by :class:`Batched`, or by the fused kernel on a processor where channels stay apart and every
    sample has its own weights.

    Args:
        plan, shared, dtype, device: as for :class:`Batched`.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        shared: bool = True,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.plan, self.batched = plan, Batched(plan, shared=shared, dtype=dtype, device=device)
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
        """z of the plan; arguments, result and errors as for :meth:`Batched.forward`."""
        fused = None if torch.jit.is_tracing() else self._fused  # a trace is to run where our operators are not
        if (
            fused is None
            or x.device.type != "cpu"
            or x.dtype not in (torch.float32, torch.float64)
            or modes.autocasting(x)
        ):
            return self.batched(x, y, weight)  # type: ignore[no-any-return]
        x, y, weight, batch = self.batched.taken(x, y, weight)
        z = fused.product(x, y, weight)
        return z if len(batch) == 1 else z.reshape(*batch, self.plan.out.dim)
