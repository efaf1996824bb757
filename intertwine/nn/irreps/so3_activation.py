"""A pointwise nonlinearity on the rotation group: to a grid, through the function, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn.irreps.activation import normalize2mom
from intertwine.numerics import Rebuildable
from intertwine.o3.so3_grid import SO3Grid


class SO3Activation(Rebuildable):
    r""":math:`\{F^l\} \mapsto \{\int \phi(f(R))\, D^j(R)\, dR\}` for a signal f on the rotations.

    Equivariant as far as the grid resolves the result, under turns of the argument from either side.

    Args:
        lmax_in: largest degree of the input.
        lmax_out: largest degree of the output.
        act: the function :math:`\phi`, elementwise. It is scaled to keep the second moment.
        resolution: half the number of polar angles; above lmax for the linear part to be exact.
        normalization: ``component``.
        aspect_ratio: number of azimuths for each polar angle.
        layout: ``mul_ir``, or ``ir_mul`` for features whose copies lie innermost.
        dtype, device: of the constants.

    Attributes:
        irreps_in, irreps_out: ``1x0e + 3x1e + 5x2e + ...``; the parity is the user's to choose.
        grid_in, act, grid_out: the three steps.

    Raises:
        InputError: a negative degree, a resolution that is not positive, an unknown normalisation or layout.

    Source: Cohen, Geiger, Köhler and Welling, *Spherical CNNs* (2018); e3nn 0.6's normalisation.

    >>> SO3Activation(2, 1, torch.tanh, 4)(torch.randn(7, 35)).shape
    torch.Size([7, 10])
    """

    def __init__(
        self,
        lmax_in: int,
        lmax_out: int,
        act: Callable[[Tensor], Tensor],
        resolution: int,
        *,
        normalization: str = "component",
        aspect_ratio: int | float = 2,
        layout: str = "mul_ir",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.lmax_in, self.lmax_out = lmax_in, lmax_out
        self.grid_in, self.grid_out = (
            SO3Grid(
                lmax,
                resolution,
                normalization=normalization,
                aspect_ratio=aspect_ratio,
                layout=layout,
                dtype=dtype,
                device=device,
            )
            for lmax in (lmax_in, lmax_out)
        )
        self.irreps_in, self.irreps_out = self.grid_in.irreps, self.grid_out.irreps
        self.layout = layout
        self.act = normalize2mom(act)

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        nn.Module.__init__(self)
        self.layout, self.lmax_in, self.lmax_out = "mul_ir", state["lmax_in"], state["lmax_out"]
        self.grid_in, self.grid_out, self.act = (state["_modules"][name] for name in ("grid_in", "grid_out", "act"))
        self.irreps_in, self.irreps_out = self.grid_in.irreps, self.grid_out.irreps

    def forward(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim_out"]:
        """Features (..., irreps_in.dim) to features (..., irreps_out.dim).

        Raises:
            InputError: another size, or another precision than the module.
        """
        return self.grid_out.from_grid(self.act(self.grid_in.to_grid(features)))

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({self.lmax_in} -> {self.lmax_out})"
