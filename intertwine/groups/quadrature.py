"""Points with weights on the circle and on SO(3)."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.rotations import matrix_x, matrix_y, quaternion_to_matrix
from intertwine.numerics import InputError

_PSI = 1.533751168755204288118041  # the real root of psi^4 = psi + 4 above 1


def circle_grid(order: int) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    r"""``order + 1`` equal angles (radians) and their weights: exact for frequencies up to ``order``."""
    _require(order)
    n = order + 1
    return 2 * math.pi * torch.arange(n, dtype=torch.float64) / n, torch.full((n,), 1 / n, dtype=torch.float64)


def rotation_grid(order: int) -> tuple[Float[Tensor, "n 3 3"], Float[Tensor, " n"]]:
    r"""Rotations :math:`R_y(\alpha) R_x(\beta) R_y(\gamma)` and weights, exact for matrix elements of degree up to
    ``order``.

    Equal angles in alpha and gamma leave the elements :math:`D^l_{00} = P_l(\cos\beta)`, which Gauss and Legendre's
    nodes integrate.
    """
    angles, weights = circle_grid(order)
    nodes, masses = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(order // 2 + 1))
    outer, inner = matrix_y(angles), matrix_x(nodes.acos())
    turns = outer[:, None, None] @ inner[None, :, None] @ outer[None, None]
    mass = weights[:, None, None] * (masses / 2)[None, :, None] * weights[None, None]
    return turns.flatten(0, 2), mass.flatten()


def super_fibonacci(n: int) -> Float[Tensor, "n 3 3"]:
    """n rotations spread evenly over SO(3), by two golden spirals in the three-sphere (Alexa 2022, "Super-Fibonacci
    Spirals: Fast, Low-Discrepancy Sampling of SO(3)", algorithm 1).

    A mean over them is not exact for any degree but the zeroth; its error falls about as 1/n.
    """
    if n < 1:
        raise InputError(f"{n} rotations", where="super_fibonacci", remedy="give a number of 1 or more.")
    s = torch.arange(n, dtype=torch.float64) + 0.5
    t = s / n
    alpha, beta = 2 * math.pi * s / math.sqrt(2), 2 * math.pi * s / _PSI
    inner, outer = t.sqrt(), (1 - t).sqrt()
    return quaternion_to_matrix(
        torch.stack([outer * beta.cos(), inner * alpha.sin(), inner * alpha.cos(), outer * beta.sin()], dim=-1)
    )


def _require(order: int) -> None:
    if order < 0:
        raise InputError(f"order {order}", where="grid", remedy="give a degree or frequency of 0 or more.")
