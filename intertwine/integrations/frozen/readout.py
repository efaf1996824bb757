"""The energies of atoms from the scalars of features, and their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intertwine.integrations.frozen.parts import FUNCTIONS, silu
from intertwine.integrations.frozen.workspace import UnfitError, array
from intertwine.integrations.mace import MACEReadout
from intertwine.nn import ScalarHead


@dataclass
class Form:
    r""":math:`\epsilon_i = w \cdot s_i + v \cdot f(s_i^{(n)} A + b) + c`, in float64.

    Attributes:
        width: number of scalars s that it reads.
        linear: w (width,); None for none.
        first, bias, last: A (n, hidden), b and v (hidden,) of the last n scalars; first is None for no network.
        end: c.
        function: f, which gives values and slopes.
    """

    width: int
    linear: Tensor | None = None
    first: Tensor | None = None
    bias: Tensor | None = None
    last: Tensor | None = None
    end: float = 0.0
    function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] = silu


def form_of(head: nn.Module) -> Form:
    """What a head computes.

    Raises:
        UnfitError: something else.
    """
    if isinstance(head, ScalarHead):
        layers: list[Any] = list(head.mlp.layers)
        if len(layers) != 2 or head.mlp.activation is not F.silu or head.mlp.last:
            raise UnfitError("a head of another form")
        (a, b), (v, c) = ((layer.weight.detach().double(), layer.bias.detach().double()) for layer in layers)
        return Form(a.shape[1], None, a.t(), b, v[0], float(c))
    if isinstance(head, nn.Linear) and head.bias is None and head.out_features == 1:
        return Form(head.in_features, head.weight.detach().double()[0])
    if isinstance(head, MACEReadout):
        linear = head.linear.weight.detach().double()[0]
        if head.mlp is None:
            return Form(len(linear), linear)
        layers = list(head.mlp)
        function = FUNCTIONS.get(getattr(layers[0].act, "f", None))
        if len(layers) != 2 or function is None or layers[1].act is not None:
            raise UnfitError("a readout of another form")
        first, last = (layer.weight.detach().double() for layer in layers)
        first = first * (layers[0].h_in * layers[0].var_in) ** -0.5
        factor = 1.0 if layers[0].act._is_id else layers[0].act.cst
        last = (
            last[:, 0] * factor * (layers[0].var_out * layers[1].var_out / (layers[1].h_in * layers[1].var_in)) ** 0.5
        )
        return Form(len(linear), linear, first, torch.zeros(first.shape[1]).double(), last, 0.0, function)
    raise UnfitError("a head of another form")


class Readout:
    r"""The energy of each node, :math:`\sigma_{z_i} \epsilon_i`, and its derivative.

    Args:
        head: of the task.
        scales: :math:`\sigma` (eV) of each species, float64.
        dtype: of the features.
    """

    def __init__(self, head: nn.Module, scales: Tensor, dtype: torch.dtype) -> None:
        form = form_of(head)

        def constant(x: Tensor | None) -> np.ndarray | None:
            return None if x is None else np.ascontiguousarray(x.to(dtype).numpy())

        self.form, self.scales, self.dtype = form, scales.double(), dtype
        self.linear, self.first, self.bias, self.last = map(constant, (form.linear, form.first, form.bias, form.last))

    def step(
        self, features: Sequence[tuple[Tensor, Sequence[slice]]], slopes: Sequence[Tensor], kind: Tensor,
        energies: np.ndarray,
    ) -> Callable[[], None]:  # fmt: skip
        """Energies (float64) beyond the references from the scalars (columns) of features, and the cotangents of all
        features.

        Args:
            features: and the columns of them that are read; slopes: of the features; kind: species of each node.
            energies: of the nodes, written.
        """
        taken = [(array(x)[:, columns]) for x, many in features for columns in many]
        back_to = [(array(g)[:, columns]) for g, (_, many) in zip(slopes, features, strict=True) for columns in many]
        if sum(part.shape[1] for part in taken) != self.form.width:
            raise UnfitError("a head that reads other features")
        scales = self.scales.index_select(0, kind).numpy()
        narrow, alone = scales.astype(taken[0].dtype)[:, None], len(taken) == 1
        linear, first, bias, last = self.linear, self.first, self.bias, self.last
        turned = None if first is None else np.ascontiguousarray(first.T)
        start = 0 if first is None else self.form.width - len(first)

        def read() -> None:
            s = taken[0] if alone else np.concatenate(taken, axis=1)
            back = np.zeros_like(s)
            energies[:] = self.form.end
            if linear is not None:
                np.add(energies, s @ linear, out=energies)  # in float64
                back += linear
            if first is not None:
                value, slope = self.form.function(s[:, start:] @ first + bias)
                np.add(energies, value @ last, out=energies)
                back[:, start:] += (slope * last) @ turned
            np.multiply(energies, scales, out=energies)
            np.multiply(back, narrow, out=back)
            for g in slopes:
                g.zero_()
            column = 0
            for part in back_to:
                part[:] = back[:, column : column + part.shape[1]]
                column += part.shape[1]

        return read
