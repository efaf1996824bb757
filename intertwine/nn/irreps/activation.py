"""Functions of scalars, scaled so that a standard normal input has an output of second moment one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.numerics import InputError, Rebuildable, choose
from intertwine.o3 import Irrep, Irreps
from intertwine.o3.blocks import LAYOUTS, require_features

#: e3nn's estimate of the moment is the sum over so many seeded samples; a better integral would be another number.
SAMPLES = 1_000_000


def moment(
    f: Callable[[Tensor], Tensor],
    n: int | float,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Float[Tensor, ""]:
    r"""The moment :math:`\langle f(z)^n \rangle` for standard normal z, over e3nn's sample of a million (good to three
    digits).

    Args:
        f: an elementwise function.
        n: the power.
        dtype: precision in which f is evaluated; None is torch's default.
        device: where.
    """
    dtype = torch.empty(0, dtype=dtype, device="cpu").dtype
    # a copy: f may work in place
    return f(torch.from_numpy(_sample()).to(dtype=dtype, device=device, copy=True)).pow(n).mean()


@lru_cache(maxsize=1)
def _sample() -> Float[np.ndarray, " samples"]:
    """Kept as an array, which no mode of torch (inference, fake tensors, a device) can spoil for the next caller."""
    return torch.randn(
        SAMPLES, generator=torch.Generator("cpu").manual_seed(0), dtype=torch.float64, device="cpu"
    ).numpy()


class normalize2mom(nn.Module):  # noqa: N801  (e3nn's name)
    r"""The function :math:`c f(x)` with :math:`c = \langle f(z)^2 \rangle^{-1/2}` for standard normal z; c = 1 where it
    is within 1e-4.

    Args:
        f: an elementwise function, or a module.
        dtype: not used: the constant is computed in float64. It is there because e3nn's is.
        device: where f has to be evaluated, for modules with parameters.

    >>> round(normalize2mom(torch.tanh).cst, 4)
    1.5937
    """

    def __init__(
        self, f: Callable[[Tensor], Tensor], dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> None:
        super().__init__()
        if device is None and isinstance(f, nn.Module):
            device = next((p.device for p in f.parameters()), None)
        with torch.no_grad():
            self.cst = float(moment(f, 2, dtype=torch.float64, device=device) ** -0.5)
        self._is_id = abs(self.cst - 1) < 1e-4
        self.f = f

    def extra_repr(self) -> str:
        return f"{getattr(self.f, '__name__', type(self.f).__name__)}, cst={self.cst:.6g}"

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Values of the shape of x."""
        return self.f(x) if self._is_id else self.f(x) * self.cst


class Activation(Rebuildable):
    r"""Scalar functions on blocks of scalars, :math:`z_i = c_i f_i(x_i)` with c of :class:`normalize2mom`.

    An even function of an odd scalar is even, an odd function odd; a function that is neither has no parity to offer.

    Args:
        irreps_in: representation of the input.
        acts: one function for each block, None leaves the block as it is.
        layout: accepted for symmetry with the other layers; scalars have one layout only, and other blocks pass.

    Raises:
        InputError: another number of functions, a function of a block that is not scalar, or one that breaks the
            parity.

    >>> Activation("256x0o+16x1e", [torch.abs, None]).irreps_out
    256x0e+16x1e
    """

    def __init__(
        self, irreps_in: Any, acts: Sequence[Callable[[Tensor], Tensor] | None], *, layout: str = "mul_ir"
    ) -> None:
        super().__init__()
        choose(layout, LAYOUTS, kind="layout", where="Activation")
        self.irreps_in = Irreps(irreps_in)
        if len(self.irreps_in) != len(acts):
            raise InputError(
                f"{len(acts)} functions for {len(self.irreps_in)} blocks",
                where=f"Activation {self.irreps_in}",
                remedy="give one a block.",
            )
        scaled = [None if act is None else normalize2mom(act) for act in acts]
        self.irreps_out = Irreps(
            [(mul, _parity(ir, act, self.irreps_in)) for (mul, ir), act in zip(self.irreps_in, scaled)]
        )
        self.acts = nn.ModuleList(scaled)  # type: ignore[arg-type]
        self._list_paths()

    def _list_paths(self) -> None:
        self.paths = [(mul, (ir.l, ir.p), act) for (mul, ir), act in zip(self.irreps_in, self.acts)]

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        nn.Module.__init__(self)
        self.irreps_in, self.irreps_out, self.acts = state["irreps_in"], state["irreps_out"], state["_modules"]["acts"]
        self._list_paths()

    def functions(self) -> list[Callable[[Tensor], Tensor] | None]:
        """The functions as they were given, without their scales."""
        return [None if act is None else act.f for act in self.acts]  # type: ignore[misc]

    def extra_repr(self) -> str:
        return f"{self.irreps_in} -> {self.irreps_out}"

    def forward(self, features: Float[Tensor, "*shape"], dim: int = -1) -> Float[Tensor, "*shape"]:
        """Features of the same shape.

        Args:
            features: the axis ``dim`` is that of the irreps.
            dim: which axis.
        """
        if dim in (-1, features.ndim - 1):
            require_features(features, self.irreps_in)
        if not self.acts:
            return features
        pieces = features.split([block.dim for block in self.irreps_in], dim) if len(self.acts) > 1 else (features,)
        outputs = [piece if act is None else act(piece) for piece, act in zip(pieces, self.acts)]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=dim)


def parity_of(act: Callable[[Tensor], Tensor]) -> int | None:
    """Whether a function is even (1), odd (-1) or neither (None), from its values on [-10, 10].

    Args:
        act: an elementwise function or a module, which may work in place; values may differ by 1e-5.
    """
    device = next((p.device for p in act.parameters()), None) if isinstance(act, nn.Module) else None
    x = torch.linspace(0, 10, 256, device=device)
    with torch.no_grad():
        plus, minus = act(x.clone()), act(-x)
    return next((parity for parity in (1, -1) if bool((plus - parity * minus).abs().max() <= 1e-5)), None)


def _parity(ir: Irrep, act: nn.Module | None, irreps: Irreps) -> Irrep:
    """The irrep of the function's values."""
    if act is None:
        return ir
    if ir.l:
        raise InputError(
            f"a function of the components of {ir} is not equivariant",
            where=f"Activation {irreps}",
            remedy="use Gate or NormActivation.",
        )
    if ir.p == 1:
        return ir
    parity = parity_of(act)
    if parity is not None:
        return Irrep(0, parity)
    raise InputError(
        "the function is neither even nor odd, so that of an odd scalar has no parity",
        where=f"Activation {irreps}",
        remedy="use an odd function such as tanh, or an even one such as abs.",
    )
