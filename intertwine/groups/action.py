r"""What a group does to a thing: the protocol that certificates, averages and augmentation speak, and its plain cases.

An action takes an element g and a thing x to g x, with :math:`(g h) x = g (h x)`, and says for which elements it does
so exactly. Here are tensors and sets; :mod:`intertwine.geometry.actions` has graphs, images and voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from intertwine.groups.finite import FiniteGroup
from intertwine.groups.group import Group, Representation
from intertwine.groups.named import Permutations
from intertwine.groups.product import DirectProduct
from intertwine.groups.regular import natural
from intertwine.groups.representation import Trivial, group_of
from intertwine.numerics import InputError


@runtime_checkable
class Action(Protocol):
    """What a group does to things of one kind."""

    @property
    def group(self) -> Group:
        """The group that acts."""
        ...

    def act(self, g: Tensor, x: Any) -> Any:
        """g x for one element g, computed in float64 and returned in the precision of x.

        Raises:
            InputError: the group does not act on such a thing.
        """
        ...

    def exact(self, g: Tensor, x: Any) -> bool:
        """Whether g x is right to rounding; False where values are interpolated."""
        ...


@dataclass(frozen=True)
class LinearAction:
    r"""Tensors (..., dim) under a representation: :math:`\rho(g)\,x` on the last axis (on the last ``rep.axes``).

    Args:
        rep: a representation that says its group.

    Raises:
        InputError: it does not.
    """

    rep: Representation

    def __post_init__(self) -> None:
        group_of(self.rep)

    @property
    def group(self) -> Group:
        return group_of(self.rep)

    def act(self, g: Tensor, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        if self.rep.axes == 1 and (x.ndim < 1 or x.shape[-1] != self.rep.dim):
            raise InputError(
                f"a tensor of shape {tuple(x.shape)} for {self.rep.dim} components of {self.rep}, {self.group}",
                where="LinearAction",
                remedy="they are the last axis; give the representation that the tensor has.",
            )
        exact = g.to(torch.float64) if g.is_floating_point() else g
        return self.rep.transform(exact, x.to(torch.float64)).to(x.dtype)

    def exact(self, g: Tensor, x: Any) -> bool:
        """True."""
        return True

    def __str__(self) -> str:
        return str(self.rep)


@dataclass(frozen=True)
class RowAction:
    """Sets: the rows of a tensor are permuted, row i of x becomes row g(i) of g x.

    Args:
        group: permutations: :class:`~intertwine.groups.Permutations`, or a finite group whose matrices permute.
        axis: the axis that counts the rows.
    """

    group: Group
    axis: int = -2

    def act(self, g: Tensor, x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        if not isinstance(self.group, Permutations | FiniteGroup):
            raise InputError(
                f"{self.group} does not permute rows", where="RowAction", remedy="use Permutations(n), symmetric(n)."
            )
        rows = self.group.space
        if x.ndim < max(-self.axis, self.axis + 1) or x.shape[self.axis] != rows:
            raise InputError(
                f"a tensor of shape {tuple(x.shape)} for {self.group} on axis {self.axis}",
                where="RowAction",
                remedy=f"that axis must have {rows} rows.",
            )
        images = g if isinstance(self.group, Permutations) else natural(self.group).images[g]
        return x.index_select(self.axis, images.argsort().to(x.device))

    def exact(self, g: Tensor, x: Any) -> bool:
        """True."""
        return True

    def __str__(self) -> str:
        return f"rows permuted by {self.group}"


@dataclass(frozen=True)
class ProductAction:
    r"""A direct product on one thing: :math:`(g, h) x = g (h x)`, of two actions that commute.

    Args:
        first: action of the first factor.
        second: action of the second.
    """

    first: Action
    second: Action

    @property
    def group(self) -> DirectProduct:
        return DirectProduct(self.first.group, self.second.group)

    def act(self, g: Tensor, x: Any) -> Any:
        return self.first.act(self.group.first(g), self.second.act(self.group.second(g), x))

    def exact(self, g: Tensor, x: Any) -> bool:
        """Whether both factors' actions are."""
        return self.first.exact(self.group.first(g), x) and self.second.exact(self.group.second(g), x)

    def __str__(self) -> str:
        return f"{self.first} and {self.second}"


@dataclass(frozen=True)
class Unchanged:
    """Anything, moved by no element: what an invariant function returns, of whatever shape.

    Args:
        group: the group.
    """

    group: Group

    def act(self, g: Tensor, x: Any) -> Any:
        return x

    def exact(self, g: Tensor, x: Any) -> bool:
        """True."""
        return True

    def __str__(self) -> str:
        return "unchanged"


def action_of(declared: Action | Representation | None, group: Group) -> Action:
    """An action from what a caller may give for one: itself, a representation of tensors, or None for no change.

    Raises:
        InputError: it is none of these, or of another group.
    """
    if declared is None or isinstance(declared, Trivial):
        return Unchanged(group) if declared is None else LinearAction(Trivial(group, declared.dim))
    if isinstance(declared, Action):
        action = declared
    elif isinstance(declared, Representation):
        action = LinearAction(declared)
    else:
        raise InputError(
            f"{declared!r} is no action", where="act_in", remedy="give a representation, or an action of groups.action."
        )
    if action.group != group:
        raise InputError(
            f"{action} is of {action.group}, not of {group}",
            where="action",
            remedy=f"give a representation of {group}: groups.Restricted makes it from a larger group's.",
        )
    return action
