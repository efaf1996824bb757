"""A case of the algebra: how to build it from a namespace, ours or e3nn's, and inputs drawn for it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

import intertwine.nn as our_nn
from intertwine import o3 as our_o3
from intertwine.groups import index_symmetry, permutations
from intertwine.numerics import linalg


def ours() -> SimpleNamespace:
    """Our classes under e3nn's four names."""
    io = SimpleNamespace(CartesianTensor=our_o3.CartesianTensor, SphericalTensor=our_o3.SphericalTensor)
    math = SimpleNamespace(
        **{name: getattr(linalg, name) for name in ("complete_basis", "direct_sum", "orthonormalize")},
        **{name: getattr(index_symmetry, name) for name in ("germinate_formulas", "reduce_permutation")},
        **{
            name: getattr(our_nn, name)
            for name in ("moment", "normalize2mom", "soft_unit_step", "soft_one_hot_linspace", "bessel")
        },
        perm=permutations,
    )
    return SimpleNamespace(o3=our_o3, nn=our_nn, io=io, math=math)


def theirs() -> SimpleNamespace:
    """e3nn's four namespaces."""
    from e3nn import io, math, nn, o3
    from e3nn.math import perm

    return SimpleNamespace(o3=o3, nn=nn, io=io, math=SimpleNamespace(**{**vars(math), "perm": perm}))


@dataclass(frozen=True)
class Case:
    """One object under test.

    Args:
        name: ``namespace.Name``, with ``[variant]`` behind it.
        build: from a namespace to a function or module.
        inputs: from a generator to the arguments, in the default precision.
        differentiable: whether gradients are compared.
        train: compare in training mode (with the same seed).
        peer: whether e3nn has it, under the same name.
    """

    name: str
    build: Callable[[SimpleNamespace], Any]
    inputs: Callable[[torch.Generator], tuple[Any, ...]]
    differentiable: bool = True
    train: bool = False
    peer: bool = True

    @property
    def subject(self) -> str:
        return self.name.split("[")[0]


def randn(*shape: int) -> Callable[[torch.Generator], tuple[Tensor, ...]]:
    return lambda g: (torch.randn(*shape, generator=g),)


def several(*shapes: tuple[int, ...]) -> Callable[[torch.Generator], tuple[Tensor, ...]]:
    return lambda g: tuple(torch.randn(*shape, generator=g) for shape in shapes)


def positive(*shape: int) -> Callable[[torch.Generator], tuple[Tensor, ...]]:
    return lambda g: (torch.rand(*shape, generator=g) * 1.5 + 0.2,)


def angles(g: torch.Generator) -> tuple[Tensor, ...]:
    alpha, beta, gamma = torch.rand(3, 4, generator=g)
    return 6 * alpha - 3, 0.3 + 2.4 * beta, 6 * gamma - 3


def quaternions(n: int = 4, copies: int = 1) -> Callable[[torch.Generator], tuple[Tensor, ...]]:
    def draw(g: torch.Generator) -> tuple[Tensor, ...]:
        q = torch.randn(copies, n, 4, generator=g)
        return tuple(q / q.norm(dim=-1, keepdim=True))

    return draw


def of_unit(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of unit quaternions as one of any: how it goes on outside of the group, and so its raw gradient, is a
    choice.
    """
    return lambda q: function(q / q.norm(dim=-1, keepdim=True))


def matrices(g: torch.Generator) -> tuple[Tensor, ...]:
    return (our_o3.angles_to_matrix(*angles(g)).detach(),)


def axis_and_angle(copies: int = 1) -> Callable[[torch.Generator], tuple[Tensor, ...]]:
    def draw(g: torch.Generator) -> tuple[Tensor, ...]:
        found: list[Tensor] = []
        for _ in range(copies):
            axis = torch.randn(4, 3, generator=g)
            found += [axis / axis.norm(dim=-1, keepdim=True), 0.2 + 2.5 * torch.rand(4, generator=g)]
        return tuple(found)

    return draw


def random_irreps(seed: int, *, lmax: int = 3, most: int = 4, blocks: int = 4) -> str:
    """A seeded sum with repeats and, now and then, an empty block."""
    rng = random.Random(seed)
    return "+".join(
        f"{rng.randint(0, most)}x{rng.randint(0, lmax)}{rng.choice('eo')}" for _ in range(rng.randint(1, blocks))
    )


def dimension(spec: str) -> int:
    return our_o3.Irreps(spec).dim


CASES: list[Case] = []


def case(
    name: str,
    build: Callable[[SimpleNamespace], Any],
    inputs: Callable[[torch.Generator], tuple[Any, ...]],
    **options: Any,
) -> None:
    CASES.append(Case(name, build, inputs, **options))
