r"""A pointwise nonlinearity on the sphere: to a grid, through the function, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups.rotations import rand_matrix
from intertwine.nn.irreps.activation import normalize2mom, parity_of
from intertwine.numerics import InputError, Rebuildable, choose
from intertwine.o3.blocks import LAYOUTS
from intertwine.o3.irreps import Irreps
from intertwine.o3.s2_transforms import FromS2Grid, ToS2Grid


class S2Activation(Rebuildable):
    r""":math:`\{A^l\} \mapsto \{\int \phi(\sum_l A^l \cdot Y^l(x))\, Y^j(x)\, dx\}`: equivariant as far as the grid
    resolves the result.

    A polynomial :math:`\phi` of degree d is treated exactly where both resolutions are above d lmax + lmax_out; the
    error of a smooth function falls faster than any power of the resolution.

    Args:
        irreps: of one signal on the sphere: each degree from 0 to lmax once, with parities :math:`p_v p_a^l`.
        act: the function :math:`\phi`, elementwise; even or odd where :math:`p_v = -1`. It is scaled to keep the second
            moment.
        res: number of parallels, or a pair of parallels and meridians.
        normalization: what the features are: ``component``, ``norm`` or ``integral``; see
            :class:`~intertwine.o3.ToS2Grid`.
        lmax_out: largest degree of the output; lmax if None.
        random_rot: whether each call turns the grid at random, which makes it equivariant on average.
        layout: ``mul_ir`` or ``ir_mul``, one and the same thing here, where each irrep comes once.
        dtype, device: of the constants.

    Attributes:
        irreps_in, irreps_out: the representations.
        to_s2, act, from_s2: the three steps.

    Raises:
        InputError: irreps of another form, a function without parity on a signal that is odd, or a grid that does not
            resolve them.

    Source: Cohen, Geiger, Köhler and Welling, *Spherical CNNs* (2018); e3nn 0.6's normalisation.

    >>> S2Activation("0e + 1o + 2e", torch.tanh, 20)
    S2Activation (1x0e+1x1o+1x2e -> 1x0e+1x1o+1x2e)
    """

    def __init__(
        self,
        irreps: Any,
        act: Callable[[Tensor], Tensor],
        res: int | Sequence[int | None],
        normalization: str = "component",
        lmax_out: int | None = None,
        random_rot: bool = False,
        *,
        layout: str = "mul_ir",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.layout = choose(layout, LAYOUTS, kind="layout", where="S2Activation")
        self.irreps_in = Irreps(irreps).simplify()
        p_val, p_arg = _parities(self.irreps_in)
        lmax = self.irreps_in.lmax
        lmax_out = lmax if lmax_out is None else lmax_out
        if p_val == -1:
            parity = parity_of(act)
            if parity is None:
                raise InputError(
                    "the function is neither even nor odd, the signal is odd",
                    where="S2Activation",
                    remedy="use tanh, for example.",
                )
            p_val = parity
        self.irreps_out = Irreps([(1, (l, p_val * p_arg**l)) for l in range(lmax_out + 1)])
        self.to_s2 = ToS2Grid(lmax, res, normalization, dtype=dtype, device=device)
        self.from_s2 = FromS2Grid(res, lmax_out, normalization, lmax_in=lmax, dtype=dtype, device=device)
        grids = [(grid.res_beta, grid.res_alpha) for grid in (self.to_s2, self.from_s2)]
        if grids[0] != grids[1]:
            raise InputError(
                f"grids {grids} for lmax and lmax_out", where="S2Activation", remedy="give both resolutions in res."
            )
        self.act = normalize2mom(act)
        self.random_rot = random_rot

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        nn.Module.__init__(self)
        self.layout = "mul_ir"
        self.irreps_in, self.irreps_out, self.random_rot = (
            state[name] for name in ("irreps_in", "irreps_out", "random_rot")
        )
        self.to_s2, self.from_s2, self.act = (state["_modules"][name] for name in ("to_s2", "from_s2", "act"))

    def forward(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim_out"]:
        """Features (..., irreps_in.dim) to features (..., irreps_out.dim).

        Raises:
            InputError: another size, or another precision than the module.
        """
        if not self.random_rot:
            return self.from_s2(self.act(self.to_s2(features)))
        rotation = rand_matrix(dtype=features.dtype, device=features.device)
        turned = self.to_s2(features @ self.irreps_in.D_from_matrix(rotation).T)
        return self.from_s2(self.act(turned)) @ self.irreps_out.D_from_matrix(rotation)

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({self.irreps_in} -> {self.irreps_out})"


def _parities(irreps: Irreps) -> tuple[int, int]:
    """Parity of the value and of the argument of a signal with these irreps."""
    if not irreps or any(mul != 1 for mul, _ in irreps) or irreps.ls != list(range(len(irreps))):
        what = f"{str(irreps) or 'nothing'} is not one signal on the sphere"
        raise InputError(what, where="S2Activation", remedy="give each degree from 0 to lmax once.")
    p_val = irreps[0].ir.p
    for p_arg in (1, -1):
        if all(ir.p == p_val * p_arg**ir.l for _, ir in irreps):
            return p_val, p_arg
    raise InputError(
        f"the parities of {irreps} belong to no signal",
        where="S2Activation",
        remedy="let them be all equal, or alternate with the degree.",
    )
