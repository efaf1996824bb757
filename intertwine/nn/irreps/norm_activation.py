"""Functions of the norms of irreps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.numerics import InputError, Rebuildable, choose, ignore_keys, safe
from intertwine.o3 import Irreps
from intertwine.o3.blocks import LAYOUTS, join_blocks, split_blocks


class NormActivation(Rebuildable):
    r"""Every single irrep times a function of its norm, :math:`z = f(\|x\| + b)\, x / \|x\|`, or
    :math:`f(\|x\| + b)\, x`.

    Source: Thomas et al., Tensor field networks (2018), section 4.1.5; the defaults are e3nn's.

    Args:
        irreps_in: representation of input and output.
        scalar_nonlinearity: f, an elementwise function.
        normalize: whether x is divided by its norm.
        epsilon: shorter norms count as this one (constant, without derivative) when normalising; 1e-8 if not given, or
            the root of the smallest normal number where that is larger (0.008 in float16).
        bias: whether each irrep has a learned b, zero at first.
        layout: "mul_ir" or "ir_mul".
        dtype, device: of the biases.

    Raises:
        InputError: epsilon without normalising, or not positive.
    """

    def __init__(
        self,
        irreps_in: Any,
        scalar_nonlinearity: Callable[[Tensor], Tensor],
        normalize: bool = True,
        epsilon: int | float | None = None,
        bias: bool = False,
        *,
        layout: str = "mul_ir",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.layout = choose(layout, LAYOUTS, kind="layout", where="NormActivation")
        if epsilon is not None and (not normalize or not epsilon > 0):
            raise InputError(
                f"epsilon={epsilon} with normalize={normalize}",
                where="NormActivation",
                remedy="epsilon is positive, and only for normalize=True.",
            )
        self.irreps_in = self.irreps_out = Irreps(irreps_in)
        self.epsilon = 1e-8 if normalize and epsilon is None else epsilon
        self.scalar_nonlinearity, self.normalize, self.bias = scalar_nonlinearity, normalize, bias
        if bias:
            self.biases = nn.Parameter(torch.zeros(self.irreps_in.num_irreps, dtype=dtype, device=device))
        ignore_keys(self, [r"(norm|scalar_multiplier)\..*"])

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        act = state.get("scalar_nonlinearity") or state["_modules"]["scalar_nonlinearity"]
        epsilon = state["epsilon"] if state["normalize"] else None
        NormActivation.__init__(self, state["irreps_in"], act, state["normalize"], epsilon, state["bias"])

    def extra_repr(self) -> str:
        return f"{self.irreps_in}, normalize={self.normalize}, bias={self.bias}"

    def forward(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Features (..., irreps_in.dim) from the same."""
        blocks = split_blocks(features, self.irreps_in, self.layout)
        if not blocks:
            return features
        squares = [block.square().sum(-1) for block in blocks]
        square = squares[0] if len(squares) == 1 else torch.cat(squares, dim=-1)
        if self.epsilon is None:
            norm = safe.sqrt(square)
        else:
            least = max(self.epsilon**2, torch.finfo(square.dtype).tiny)  # of float16, 1e-16 is 0
            norm = torch.where(square < least, least, square).sqrt()
        scale = self.scalar_nonlinearity(norm + self.biases if self.bias else norm)
        scale = scale / norm if self.normalize else scale
        factors = scale.split([mul for mul, _ in self.irreps_in], -1)
        return join_blocks([block * factor.unsqueeze(-1) for block, factor in zip(blocks, factors)], self.layout)
