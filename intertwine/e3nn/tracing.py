"""Example inputs of a module, from what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.e3nn.arguments import io_irreps, random_arguments
from intertwine.o3.irreps import Irreps


def is_ours(mod: nn.Module) -> bool:
    """Whether a module is one of intertwine's classes itself, not one that a program derived from it."""
    return type(mod).__module__.startswith("intertwine.")


def example_inputs(mod: Any) -> dict[str, tuple[Any, ...]]:
    """Random arguments for the methods that a trace is made of.

    Raises:
        ValueError: the module has neither irreps nor another property that tells.
    """
    if hasattr(mod, "res_alpha") and hasattr(mod, "lmax"):
        return _grid(mod)
    angles = _angles(mod)
    if angles is not None:
        return {"forward": angles}
    if hasattr(mod, "hs"):
        return {"forward": (torch.randn(3, mod.hs[0]),)}
    irreps_in, _ = io_irreps(mod, irreps_in=getattr(mod, "irreps", None), irreps_out=[None])
    inputs = tuple(random_arguments(irreps_in))
    if getattr(mod, "f_in", None) is not None:
        inputs = (torch.randn(inputs[0].shape[0], mod.f_in, inputs[0].shape[1]),)
    if not hasattr(mod, "weight_numel") or getattr(mod, "internal_weights", True) or not mod.weight_numel:
        return {"forward": inputs, **({"right": inputs[1:]} if len(inputs) == 2 and hasattr(mod, "right") else {})}
    weights = _weights(mod, inputs[0].shape[0])
    right = {"right": (inputs[1], weights[0])} if len(inputs) == 2 and hasattr(mod, "right") else {}
    return {"forward": (*inputs, *weights), **right}


@contextmanager
def requiring_sizes(mod: nn.Module) -> Iterator[None]:
    """Within, a call of one of our modules begins with an operation that fails if an argument does not have the size of its irreps."""
    irreps = getattr(mod, "irreps_in", None) if is_ours(mod) else None
    sizes = [irreps.dim] if isinstance(irreps, Irreps) else []

    def require(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        sized = [x.reshape(*x.shape[:-1], size) for x, size in zip(inputs, sizes)]
        return (*sized, *inputs[len(sized) :])

    handle = mod.register_forward_pre_hook(require)
    try:
        yield
    finally:
        handle.remove()


def _weights(mod: Any, rows: int) -> tuple[Tensor, ...]:
    lead = () if mod.shared_weights else (rows,)
    channels = (mod.f_in, mod.f_out) if getattr(mod, "f_in", None) is not None else ()
    weight = torch.randn(*lead, *channels, mod.weight_numel)
    biases = getattr(mod, "bias_numel", 0)
    return (weight, torch.randn(*lead, *channels[1:], biases)) if biases else (weight,)


def _grid(mod: Any) -> dict[str, tuple[Any, ...]]:
    signal, coefficients = torch.randn(2, mod.res_beta, mod.res_alpha), torch.randn(2, (mod.lmax + 1) ** 2)
    return {"forward": (coefficients,) if type(mod).__name__.startswith("To") else (signal,)}


def _angles(mod: nn.Module) -> tuple[Tensor, ...] | None:
    if type(mod).__name__ not in ("SphericalHarmonicsAlphaBeta", "Legendre"):
        return None
    alpha, beta = 6 * torch.rand(4), 3 * torch.rand(4)
    return (beta.cos(), beta.sin()) if type(mod).__name__ == "Legendre" else (alpha, beta)
