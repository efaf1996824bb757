"""Names of finite groups of rotations and reflections, from their elements."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

#: Order -> the group of rotations of a polyhedron.
POLYHEDRAL = {12: "T", 24: "O", 60: "I"}
#: Two elements of a finite group with fewer than a hundred turns differ by more than this, points are fitted to less.
SAME = 0.02


def closed(elements: Float[Tensor, "order d d"]) -> bool:
    """Whether products of elements are elements, to 0.02 in every entry."""
    for g in elements:
        products = g @ elements
        apart = (products[:, None] - elements).abs().amax((2, 3)).amin(1)
        if bool((apart > SAME).any()):
            return False
    return True


def firsts(elements: Float[Tensor, "n d d"]) -> Bool[Tensor, " n"]:
    """Which matrices differ from all before them by more than 0.02 in some entry."""
    same = (elements[:, None] - elements).abs().amax((2, 3)) <= SAME
    return ~same.tril(-1).any(1)


def name(elements: Float[Tensor, "order d d"]) -> str:
    """Schoenflies's symbol of a finite group in O(3), with an underscore; "C_n" or "D_n" of one in O(2).

    Args:
        elements: all of the group, orthogonal matrices.
    """
    proper = torch.linalg.det(elements) > 0
    turns, others = elements[proper], elements[~proper]
    h = len(turns)
    if elements.shape[-1] == 2:
        return f"{'D' if len(others) else 'C'}_{h}"
    orders = _orders(turns)
    most = int(orders.max())
    axis = _axis(turns[int(orders.argmax())])  # if most is 1 there is none, and this is not used
    if most == h:
        return _cyclic(h, others, axis)
    if 2 * most == h:
        return _dihedral(most, others, axis)
    kind = POLYHEDRAL.get(h, f"[{h}]")
    if not len(others):
        return kind
    return f"{kind}_{'h' if bool(_inversions(others).any()) else 'd'}"


def _orders(turns: Float[Tensor, "n 3 3"]) -> Tensor:
    """The least power that is the identity, of each rotation."""
    result, power = torch.zeros(len(turns), dtype=torch.int64), turns
    identity = torch.eye(3, dtype=turns.dtype)
    for k in range(1, len(turns) + 1):
        is_identity = ((power - identity).abs().amax((1, 2)) < SAME) & (result == 0)
        result[is_identity] = k
        power = power @ turns
    return result


def _axis(turn: Float[Tensor, "3 3"]) -> Float[Tensor, "3"]:
    """The unit vector along the axis of a rotation that is not the identity."""
    return torch.linalg.svd(turn - torch.eye(3, dtype=turn.dtype))[2][-1]


def _inversions(others: Float[Tensor, "n 3 3"]) -> Bool[Tensor, " n"]:
    return (others.diagonal(dim1=1, dim2=2).sum(1) + 3).abs() < SAME


def _mirrors(others: Float[Tensor, "n 3 3"]) -> Float[Tensor, "mirrors 3"]:
    """The normals of the reflections."""
    planes = others[(others.diagonal(dim1=1, dim2=2).sum(1) - 1).abs() < SAME]
    return torch.stack([_axis(-plane) for plane in planes]) if len(planes) else others.new_zeros(0, 3)


def _cyclic(n: int, others: Float[Tensor, "others 3 3"], axis: Tensor) -> str:
    """Of a group whose rotations are C_n."""
    if not len(others):
        return f"C_{n}"
    normals = _mirrors(others)
    if n == 1:
        return "C_s" if len(normals) else "C_i"
    if not len(normals):
        return f"S_{2 * n}"
    return f"C_{n}h" if bool(((normals @ axis).abs() > 0.5).any()) else f"C_{n}v"


def _dihedral(n: int, others: Float[Tensor, "others 3 3"], axis: Tensor) -> str:
    """Of a group whose rotations are D_n."""
    if not len(others):
        return f"D_{n}"
    if n == 2:  # three axes of which none is the principal one, unless four-fold improper turns are about it
        return "D_2h" if bool(_inversions(others).any()) else "D_2d"
    return f"D_{n}h" if bool(((_mirrors(others) @ axis).abs() > 0.5).any()) else f"D_{n}d"
