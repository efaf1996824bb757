r"""Equality in distribution: of a function that draws random numbers, f(g x) against :math:`\rho(g) f(x)` in the mean.

A network that samples (a stabiliser, say) is equivariant in another sense than one that does not: each draw breaks the
symmetry, and the distribution of its outputs has it. What can be measured is the mean over draws, against its standard
error.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

Result = TypeVar("Result")

SEED = 0  # of the draw at which everything else is measured
DRAWS = 64
#: Standard errors: under equality the largest of a thousand components passes it once in a million certificates.
MOST_DEVIATIONS = 7.0


class Draws(NamedTuple):
    """Mean and variance of an output over draws."""

    mean: Tensor
    variance: Tensor
    number: int

    @classmethod
    def of(cls, values: list[Tensor]) -> Draws:
        stack = torch.stack(values).to(torch.float64)
        return cls(stack.mean(0), stack.var(0), len(values))


class Difference(NamedTuple):
    """Of two means: at the component where it is largest in standard errors.

    Attributes:
        deviations: the difference in standard errors.
        mean: the difference.
        error: its standard error.
        spread: root mean square of the deviation of one draw, over all components.
    """

    deviations: float
    mean: float
    error: float
    spread: float


def seeded(function: Callable[[], Result], seed: int) -> Result:
    """What a function returns from a stated state of torch's generator, which is put back afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes a thousand times as long
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)
        return function()


def redrawn(function: Any, seed: int) -> Any:
    """A module with its samples drawn anew: a copy on which each part with a method ``redraw(seed)`` has been told to.
    Anything else as it is.
    """
    if not isinstance(function, nn.Module) or not any(hasattr(part, "redraw") for part in function.modules()):
        return function
    result = copy.deepcopy(function)
    for part in result.modules():
        redraw: Any = getattr(part, "redraw", None)
        if redraw is not None:
            redraw(seed)
    return result


def is_random(function: Callable[[int], dict[str, Tensor]]) -> bool:
    """Whether two seeds give two answers, and one seed gives one."""
    first, again, other = (function(seed) for seed in (SEED, SEED, SEED + 1))
    same = all(torch.equal(first[name].nan_to_num(), again[name].nan_to_num()) for name in first)
    return same and any(not torch.equal(first[name].nan_to_num(), other[name].nan_to_num()) for name in first)


def difference(a: Draws, b: Draws) -> Difference:
    """How far apart two means are."""
    error = (a.variance / a.number + b.variance / b.number).sqrt()
    apart = (a.mean - b.mean).abs()
    spread = float(((a.variance + b.variance) / 2).mean().sqrt())
    if not apart.numel():
        return Difference(0.0, 0.0, 0.0, spread)
    # a component that is the same at every draw has only rounding
    ratio = apart / error.clamp(min=float(1e-9 * (spread + a.mean.abs().max())) or 1e-300)
    k = ratio.argmax()
    return Difference(float(ratio.max()), float(apart.flatten()[k]), float(error.flatten()[k]), spread)
