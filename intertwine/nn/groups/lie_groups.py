"""The groups of Lie group convolutions, by name, and what a group must have to be one of them."""

from __future__ import annotations

import torch

from intertwine.groups import SE, SO, Affine, Group, ScaledRotation, Scaling, T
from intertwine.groups.matrix import NoTurn
from intertwine.numerics import InputError, nearest

#: How a group without an exponential map, or without a logarithm, is served instead.
FINITE = "a finite group has RegularGroupCNN, O(n) and E(n) have their rotations SO(n) and SE(n)"


def named_groups(dimension: int) -> dict[str, Group]:
    """The groups with exponential map and logarithm that move points of ``dimension`` axes, by name: T, R+ and their
    product in any, SO and SE in two and three, R+ x SO(2) in two.
    """
    groups: list[Group] = [T(dimension), Scaling(dimension), Affine(Scaling(dimension))]
    if dimension in (2, 3):
        groups += [SO(dimension), SE(dimension)]
    if dimension == 2:
        groups += [ScaledRotation(), Affine(ScaledRotation())]
    return {group.name: group for group in groups}


def lie_group(group: str | Group, dimension: int) -> Group:
    """A group with exponential map and logarithm, from its name or as it is.

    Args:
        group: as :func:`named_groups` calls it, "SE(3)" say, where n may stand for the dimension: "T(n)"; or an object.
        dimension: number of coordinates of a point.

    Raises:
        InputError: an unknown name; no exponential map, no logarithm, or none of some elements; a group of another
            dimension.

    >>> lie_group("SE(n)", 3)
    SE(3)
    """
    if isinstance(group, str):
        known = named_groups(dimension)
        squeezed = {name.replace(" ", ""): name for name in known}
        asked = group.replace(" ", "").replace("(n)", f"({dimension})")
        if asked not in squeezed:
            raise InputError(
                f"{group!r} is no group with exponential map and logarithm on points of dimension {dimension}",
                where="group",
                remedy=f"{nearest(group, known)} {FINITE[0].upper()}{FINITE[1:]}.",
            )
        return known[squeezed[asked]]
    if group.space != dimension:
        raise InputError(
            f"{group} moves points of dimension {group.space}, the model is for {dimension}",
            where="group",
            remedy="set the model's `dimension`, or take another group.",
        )
    probe = torch.full((1, group.dim), 0.1, dtype=torch.float64)
    try:
        if group.dim == 0:
            raise InputError(f"{group} has no exponential map")
        back = group.log(group.exp(probe))
        group.log(group.sample(32, torch.Generator().manual_seed(0)))
    except InputError as error:
        raise InputError(f"{group} can't be taken: {error.what}", where="group", remedy=f"{FINITE}.") from error
    if back.shape != probe.shape or float((back - probe).abs().max()) > 1e-9:
        raise InputError(f"log(exp(x)) of {group} is not x", where="group", remedy="repair its exp or log.")
    return group


def is_isometric(group: Group) -> bool:
    """Whether all elements keep distances."""
    matrices = group.linear(group.sample(8, torch.Generator().manual_seed(0))).to(torch.float64)
    eye = torch.eye(matrices.shape[-1], dtype=torch.float64)
    return float((matrices.mT @ matrices - eye).abs().max()) < 1e-9


def stabiliser_of_origin(group: Affine) -> Group | None:
    """H of :math:`\\mathbb{R}^n \\rtimes H`; None if it is the identity alone."""
    return None if isinstance(group.point, NoTurn) else group.point
