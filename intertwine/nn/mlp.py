"""Multilayer perceptrons on invariants."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class MLP(nn.Module):
    r""":math:`x \mapsto W_n\,\sigma(W_{n-1} \cdots \sigma(W_1 x + b_1) \cdots) + b_n`.

    Args:
        widths: input, hidden and output widths.
        activation: :math:`\sigma`, between the layers.
        last: whether :math:`\sigma` follows the last layer too.
        xavier: Xavier-uniform weights and zero biases (as the invariant networks' authors do) instead of torch's
            default.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: Callable[[Tensor], Tensor] = F.silu,
        *,
        last: bool = False,
        xavier: bool = True,
    ) -> None:
        super().__init__()
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
        self.layers = nn.ModuleList(layers)
        self.activation, self.last = activation, last
        if xavier:
            for layer in layers:
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        return self.after_first(self.layers[0](x))

    def after_first(self, x: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch outputs"]:
        """What follows the first linear map, from its result: a model may know it before it knows all inputs."""
        _, *rest = self.layers
        for layer in rest:
            x = layer(self.activation(x))
        return self.activation(x) if self.last else x


class ResidualMLP(nn.Module):
    r""":math:`y_0 = W x + b,\; y_{l+1} = y_l + B_l\, \sigma(A_l N(y_l) + a_l) + b_l,\; V N(y_n) + v`, with N layer
    normalisation: linear maps pass it unhindered, where an :class:`MLP` has to learn them.

    Args:
        inputs: width of x.
        hidden: width of all y.
        outputs: width of the result.
        blocks: n.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, blocks: int = 2) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.norms = nn.ModuleList([nn.LayerNorm(hidden) for _ in range(blocks + 1)])
        self.blocks = nn.ModuleList([MLP([hidden, hidden, hidden]) for _ in range(blocks)])
        self.last = nn.Linear(hidden, outputs)

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        y = self.first(x)
        for norm, block in zip(self.norms, self.blocks, strict=False):
            y = y + block(norm(y))
        return self.last(self.norms[-1](y))


def on_rows(network: Callable[[Tensor], Tensor], x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
    """A network of the last axis, on one axis of rows in place of several.

    The same numbers; a program keeps the number of nodes open, where a linear map of three axes fixes it.
    """
    return network(x.flatten(0, -2)).unflatten(0, x.shape[:-1])


def shifted_softplus(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r""":math:`\ln(\tfrac12 e^x + \tfrac12)`, zero at zero. SchNet (Schütt et al. 2017), section 4.1."""
    return F.softplus(x) - math.log(2.0)
