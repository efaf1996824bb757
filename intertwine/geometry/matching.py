r"""Which point of one structure is which of another, where nobody says: superposition and assignment in turn.

.. math::
    \min_{R, \pi} \sum_i \| x_i - \bar x - R (y_{\pi(i)} - \bar y) \|^2 + c_{i \pi(i)}

over rotations R and assignments :math:`\pi`. With :math:`\pi` fixed R is Kabsch's (Acta Cryst. A32, 922 (1976)), with R
fixed :math:`\pi` is the best assignment (the Hungarian method); both in turn never get worse, and end in a minimum, the
least of those reached from several starts.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.groups import octahedral
from intertwine.numerics import GeometryError

TURNS = 20  # at most, of superposition and assignment
BETTER = 1e-12  # relative gain below which it has ended
ALIKE = 0.1  # of distances, in the unit of the positions: closer ones count as equal


class Match(NamedTuple):
    """How a structure y lies on another one, x.

    Attributes:
        partner: for each point of x the number of the point of y that it is (points).
        rotation: R (3, 3).
        centre_x, centre_y: centroids, in the unit of the points (3).
        rmsd: root mean square distance, in the unit of the points; no costs.
    """

    partner: Int[Tensor, " points"]
    rotation: Float[Tensor, "3 3"]
    centre_x: Float[Tensor, " 3"]
    centre_y: Float[Tensor, " 3"]
    rmsd: float


def matched(
    x: Float[Tensor, "points 3"],
    y: Float[Tensor, "others 3"],
    cost: Float[Tensor, "points others"] | None = None,
    rotations: Float[Tensor, "starts 3 3"] | None = None,
) -> Match:
    """The rotation, without reflection, and the assignment by which y lies on x; on the CPU, in float64.

    Args:
        x, y: as many points, in one unit.
        cost: c, in the square of that unit, of x's point i being y's point k: for two atoms of other species large.
        rotations: from where to start; None for those that lay principal axes on principal axes, in 24 ways, and the
            identity.

    Raises:
        GeometryError: not as many points, or none.
    """
    if x.shape != y.shape or not len(x):
        what = f"{len(x)} and {len(y)} points"
        raise GeometryError(what, where="matched", remedy="give two structures of as many points.")
    a, b = (each.detach().to("cpu", torch.float64).numpy() for each in (x, y))
    centre_a, centre_b = a.mean(0), b.mean(0)
    a, b = a - centre_a, b - centre_b
    extra = np.zeros((len(a), len(a))) if cost is None else cost.detach().to("cpu", torch.float64).numpy()
    starts = _starts(a, b) if rotations is None else rotations.detach().to("cpu", torch.float64).numpy()
    ends = [_from(a, b, extra, start) for start in starts]
    _, partner, rotation = min(ends, key=lambda end: end[0])
    rmsd = float(np.sqrt(max(np.square(a - b[partner] @ rotation.T).sum(1).mean(), 0.0)))
    numbers = torch.from_numpy(partner.astype(np.int64))
    turn, first, second = (torch.from_numpy(each.copy()) for each in (rotation, centre_a, centre_b))
    return Match(numbers, turn, first, second, rmsd)


def equivalent(
    x: Float[Tensor, "points 3"], kinds: Int[Tensor, " points"] | None = None, tolerance: float = ALIKE
) -> Bool[Tensor, "points points"]:
    """Which points a symmetry of the structure may exchange: of one kind, and with the same distances to the points of
    each kind. Reflections count as symmetries.

    Args:
        x: the points.
        kinds: species; None where all are of one.
        tolerance: of distances, in the unit of the points.
    """
    points = x.detach().to("cpu", torch.float64)
    z = torch.zeros(len(points), dtype=torch.int64) if kinds is None else kinds.detach().cpu()
    apart = torch.cdist(points, points)
    by_kind, counts = torch.argsort(z, stable=True), z.unique(return_counts=True)[1].tolist()
    rows = [part.sort(dim=1).values for part in apart[:, by_kind].split(counts, dim=1)]
    seen = torch.cat(rows, dim=1)
    same = (seen.unsqueeze(1) - seen).abs().amax(2) <= tolerance
    return same & (z.unsqueeze(1) == z)


def _from(
    a: np.ndarray, b: np.ndarray, extra: np.ndarray, rotation: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """The minimum that is reached from a rotation: its value, the assignment and the rotation."""
    from scipy.optimize import linear_sum_assignment

    value, partner = np.inf, np.arange(len(a))
    for _ in range(TURNS):
        squares = np.square(a[:, None] - (b @ rotation.T)[None]).sum(2) + extra
        _, partner = linear_sum_assignment(squares)
        rotation = _kabsch(b[partner], a)
        now = float(np.square(a - b[partner] @ rotation.T).sum() + extra[np.arange(len(a)), partner].sum())
        if not now < value - BETTER * (1 + abs(value) if np.isfinite(value) else 0.0):
            return min(now, value), partner, rotation
        value = now
    return value, partner, rotation


def _kabsch(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """R for which R y lies on x best; both are centred."""
    u, _, v = np.linalg.svd(x.T @ y)
    proper = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    return np.asarray(u @ proper @ v)


def _starts(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The identity, and principal axes on principal axes in all ways that do not mirror."""
    axes = [_proper(np.linalg.eigh(each.T @ each)[1]) for each in (a, b)]
    return np.concatenate([np.eye(3)[None], axes[0] @ _cube() @ axes[1].T])


def _proper(axes: np.ndarray) -> np.ndarray:
    axes = axes.copy()
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return axes


@cache
def _cube() -> np.ndarray:
    """The 24 rotations of a cube."""
    group = octahedral()
    return group.linear(group.elements()).to(torch.float64).numpy()
