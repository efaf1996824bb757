r"""Steerable multilayer perceptrons, made of conditional linear layers and gates (lecture 3.3).

.. math::
    \widehat{\mathrm{MLP}}(v \mid a) = W_n(a)\, \sigma\big(W_{n-1}(a) \cdots \sigma(W_1(a)\, v)\big)

W(a) are layers of :mod:`intertwine.nn.irreps.steerable_linear`. Gates stand for sigma.

Brandstetter, Hesselink, van der Pol, Bekkers, Welling, ICLR 2022, arXiv:2110.02905, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn.irreps.gate import Gate
from intertwine.nn.irreps.steerable_linear import StackedLinear, SteerableLinear
from intertwine.numerics import InputError, choose
from intertwine.o3.irreps import Irreps

FORMS = {"adaptive": SteerableLinear, "stacked": StackedLinear}


def reached(irreps_in: Irreps, irreps_attribute: Irreps, wanted: Irreps, form: str = "adaptive") -> Irreps:
    """The blocks of ``wanted`` that a conditional layer of this form can fill."""
    irs = {ir for mul, ir in irreps_in if mul}
    others = {ir for mul, ir in irreps_attribute if mul}
    outputs = irs | others if form == "stacked" else {ir for ir_in in irs for other in others for ir in ir_in * other}
    return Irreps([(mul, ir) for mul, ir in wanted if ir in outputs])


def steerable_gate(irreps: Irreps, layout: str = "ir_mul", gate: Callable[[Tensor], Tensor] = torch.sigmoid) -> Gate:
    """The gate with this output: even scalars through silu, odd ones through tanh, all else times ``gate`` of a scalar
    of its own.
    """
    scalars = Irreps([block for block in irreps if not block.ir.l])
    gated = Irreps([block for block in irreps if block.ir.l])
    gates = Irreps([(gated.num_irreps, "0e")]) if len(gated) else Irreps()
    functions = [F.silu if ir.p == 1 else torch.tanh for _, ir in scalars]
    return Gate(scalars, functions, gates, [gate] * len(gates), gated, layout=layout)


class SteerableMLP(nn.Module):
    r""":math:`W_n(a)\, \sigma(\cdots \sigma(W_1(a)\, v))` with gates :math:`\sigma`; equivariant in v and a together.

    Args:
        irreps_in: representation of v. irreps_attribute: of a.
        hidden: representations of the hidden layers; irreps that can't be reached are left out.
        irreps_out: representation of the result; likewise.
        form: of the layers, "adaptive" or "stacked".
        last: whether there is a gate after the last layer, too.
        layout: of v, a and the result.

    Attributes:
        irreps_out: representation of the result.

    Raises:
        InputError: an unknown form, or nothing that is asked for can be reached.

    >>> mlp = SteerableMLP("8x0e", "0e+1o", ["8x0e+4x1o"], "1o")
    >>> mlp(torch.randn(5, 8), torch.randn(5, 4)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_attribute: Any,
        hidden: Sequence[Any],
        irreps_out: Any,
        *,
        form: str = "adaptive",
        last: bool = False,
        layout: str = "ir_mul",
    ) -> None:
        super().__init__()
        layer = FORMS[choose(form, FORMS, kind="form", where="SteerableMLP")]
        self.irreps_in, self.irreps_attribute = Irreps(irreps_in), Irreps(irreps_attribute)
        self.layers, self.gates = nn.ModuleList(), nn.ModuleList()
        current = self.irreps_in
        for number, wanted in enumerate([*hidden, irreps_out]):
            target = reached(current, self.irreps_attribute, Irreps(wanted), form)
            if not target.dim:
                what = f"{current} with {self.irreps_attribute} does not lead to {Irreps(wanted)}"
                raise InputError(
                    what,
                    where="hidden" if number < len(hidden) else "irreps_out",
                    remedy="ask for irreps in the product.",
                )
            following = target
            if number < len(hidden) or last:
                gate = steerable_gate(target, layout)
                if reached(current, self.irreps_attribute, gate.irreps_in, form) != gate.irreps_in:
                    remedy = "gates need even scalars: let the attribute or v have some."
                    raise InputError(
                        f"{current} with {self.irreps_attribute} gives no scalars", where="hidden", remedy=remedy
                    )
                self.gates.append(gate)
                target, following = gate.irreps_in, gate.irreps_out
            self.layers.append(layer(current, self.irreps_attribute, target, layout=layout))
            current = following
        self.irreps_out = current

    def forward(
        self, v: Float[Tensor, "*batch dim_in"], a: Float[Tensor, "*batch dim_a"]
    ) -> Float[Tensor, "*batch dim_out"]:
        """The result for v and a with the same leading axes."""
        for number, layer in enumerate(self.layers):
            v = layer(v, a)
            if number < len(self.gates):
                v = self.gates[number](v)
        return v
