"""Networks of scalars whose signals keep their variance."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn.irreps.activation import normalize2mom
from intertwine.numerics import InputError


class FullyConnectedLayer(nn.Module):
    r"""One layer, :math:`z = \sqrt{v_{out}}\, f(x W / \sqrt{n v_{in}})`, without f if there is none.

    Args:
        h_in: n, number of inputs.
        h_out: number of outputs.
        act: f, a function of second moment one; None for a linear layer.
        var_in, var_out: second moments :math:`v` of inputs and outputs.
        dtype, device: of the weight (h_in, h_out), standard normal at first.
    """

    def __init__(
        self,
        h_in: int,
        h_out: int,
        act: Callable[[Tensor], Tensor] | None,
        var_in: int | float,
        var_out: int | float,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(h_in, h_out, dtype=dtype, device=device))
        self.act = act
        self.h_in, self.h_out, self.var_in, self.var_out = h_in, h_out, var_in, var_out

    def extra_repr(self) -> str:
        return f"{self.h_in} -> {self.h_out}"

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """(..., h_out) from (..., h_in).

        Raises:
            InputError: the last axis of x is not ``h_in``.
        """
        if x.shape[-1:] != (self.h_in,):
            raise InputError(
                f"features have shape {tuple(x.shape)}, expected (..., {self.h_in})",
                where="FullyConnectedLayer",
                remedy="check the sizes.",
            )
        if self.act is None:
            return x @ (self.weight * (self.var_out / (max(self.h_in, 1) * self.var_in)) ** 0.5)
        y = self.act(x @ (self.weight * (max(self.h_in, 1) * self.var_in) ** -0.5))
        return y if self.var_out == 1 else y * self.var_out**0.5


class FullyConnectedNet(nn.Sequential):
    r"""Layers without biases whose signals keep a second moment of one, ``layer0``, ``layer1``, ...

    Args:
        hs: numbers of features of input, hidden layers and output.
        act: activation, scaled by :class:`~intertwine.nn.normalize2mom`; None for a linear network.
        variance_in, variance_out: second moments of input and output.
        out_act: whether the last layer has the activation as well.
        dtype, device: of the weights.

    Raises:
        InputError: a size is negative.
    """

    def __init__(
        self,
        hs: Sequence[int],
        act: Callable[[Tensor], Tensor] | None = None,
        variance_in: int | float = 1,
        variance_out: int | float = 1,
        out_act: bool = False,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.hs = list(hs)
        if any(h < 0 for h in self.hs):
            raise InputError(f"sizes {self.hs}", where="FullyConnectedNet", remedy="give numbers of features.")
        scaled = None if act is None else normalize2mom(act)
        last = len(self.hs) - 2
        for number, (h_in, h_out) in enumerate(zip(self.hs, self.hs[1:])):
            self.add_module(
                f"layer{number}",
                FullyConnectedLayer(
                    h_in,
                    h_out,
                    scaled if out_act or number < last else None,
                    variance_in if number == 0 else 1,
                    variance_out if number == last else 1,
                    dtype=dtype,
                    device=device,
                ),
            )

    def extra_repr(self) -> str:
        return f"{self.hs}"


@contextlib.contextmanager
def inputs_measured(module: nn.Module) -> Iterator[None]:
    r"""Inside the ``with`` block, the first input that each :class:`FullyConnectedNet` within a module gets scales its
    weights.

    .. math:: W_1 \to W_1 \sqrt{v_{in} / \langle x^2 \rangle}

    Then its signals have a second moment of one on that input, as they were meant to have on one of second moment
    :math:`v_{in}`. A network that gets nothing, zeros or numbers that are not finite stays as it is.

    Args:
        module: its networks are changed in place.
    """

    def measure(network: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        handles.pop(id(network)).remove()
        square = float(arguments[0].detach().to(torch.float64).square().mean())
        if isinstance(first := network.get_submodule("layer0"), FullyConnectedLayer) and 0 < square < float("inf"):
            with torch.no_grad():
                first.weight.mul_((first.var_in / square) ** 0.5)

    networks = [each for each in module.modules() if isinstance(each, FullyConnectedNet) and len(each)]
    handles = {id(network): network.register_forward_pre_hook(measure) for network in networks}
    try:
        yield
    finally:
        for handle in handles.values():
            handle.remove()
