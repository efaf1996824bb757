r"""Quadrature of densities of molecules: spheres around the atoms, whose cells share space smoothly.

.. math:: \int f \approx \sum_i \sum_k w_{ik}\, c_i(r_{ik})\, f(r_{ik}), \qquad \sum_i c_i = 1

Radii are those of Treutler and Ahlrichs (their map M4, of Chebyshev's second kind, with one scale for all elements), a
sphere has the product of Gauss' nodes and a circle's, and cells are Becke's with three iterations.

Sources: Becke, J. Chem. Phys. 88, 2547 (1988); Treutler and Ahlrichs, J. Chem. Phys. 102, 346 (1995), eq. 19.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError, safe
from intertwine.orbitals.basis import BOHR

SHARPENINGS = 3  # of the cells' walls
POWER = 0.6  # of the map of radii


class Quadrature(NamedTuple):
    """``points`` (A) of each geometry and their ``weights`` (Bohr^3)."""

    points: Float[Tensor, "m points 3"]
    weights: Float[Tensor, "m points"]


def molecular_quadrature(
    pos: Float[Tensor, "m atoms 3"], radii: int = 30, degree: int = 17, turn: Float[Tensor, "3 3"] | None = None
) -> Quadrature:
    """Points and weights for geometries of as many atoms, float64; on water 30 radii and degree 17 integrate a density
    to 1e-4 of its electrons.

    Args:
        pos: positions (A).
        radii: spheres around each atom.
        degree: of the harmonics that a sphere integrates exactly.
        turn: rotation of all spheres; None for none.

    Raises:
        InputError: fewer than two radii, or a negative degree.
    """
    if radii < 2 or degree < 0:
        what = f"{radii} radii and degree {degree}"
        raise InputError(what, where="molecular_quadrature", remedy="give two radii and degree 0 at least.")
    centres = pos.to(torch.float64) / BOHR
    nodes, weights = (x.to(pos.device) for x in _sphere_nodes(radii, degree))
    points = centres.unsqueeze(2) + (nodes if turn is None else nodes @ turn.to(nodes).T)
    shares = _cells(centres, points.flatten(1, 2))  # (m, points, atoms)
    own = torch.arange(pos.shape[1], device=pos.device).repeat_interleave(len(nodes))
    share = shares.gather(2, own.expand(len(pos), -1).unsqueeze(2)).squeeze(2)
    return Quadrature(points.flatten(1, 2) * BOHR, share * weights.repeat(pos.shape[1]))


def _cells(centres: Tensor, points: Tensor) -> Tensor:
    """The share of each atom in space at points, of sum 1."""
    if centres.shape[1] == 1:
        return points.new_ones(*points.shape[:2], 1)
    d = safe.norm(points.unsqueeze(2) - centres.unsqueeze(1))
    apart = safe.norm(centres.unsqueeze(2) - centres.unsqueeze(1)) + torch.eye(centres.shape[1]).to(centres)
    mu = (d.unsqueeze(3) - d.unsqueeze(2)) / apart.unsqueeze(1)
    for _ in range(SHARPENINGS):
        mu = mu * (3 - mu * mu) / 2
    wall = 0.5 * (1 - mu)
    wall = wall + 0.5 * torch.eye(centres.shape[1]).to(centres)  # an atom has no wall to itself
    cell = wall.prod(3)
    return cell / cell.sum(2, keepdim=True)


@lru_cache(maxsize=8)
def _sphere_nodes(radii: int, degree: int) -> tuple[Tensor, Tensor]:
    """Points of the spheres around an origin (Bohr), and their weights."""
    k = np.arange(1, radii + 1)
    x = np.cos(k * math.pi / (radii + 1))
    r = (1 + x) ** POWER / math.log(2) * np.log(2 / (1 - x))
    slope = (1 + x) ** POWER / math.log(2) * (POWER * np.log(2 / (1 - x)) / (1 + x) + 1 / (1 - x))
    of_radius = math.pi / (radii + 1) * np.sin(k * math.pi / (radii + 1)) * slope * r * r
    height, of_height = np.polynomial.legendre.leggauss(degree // 2 + 1)
    turns = 2 * math.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)
    ring = np.sqrt(1 - height * height)
    unit = np.stack(
        [np.outer(ring, np.cos(turns)), np.outer(ring, np.sin(turns)), np.outer(height, np.ones(degree + 1))], axis=2
    ).reshape(-1, 3)
    of_unit = np.repeat(of_height * 2 * math.pi / (degree + 1), degree + 1)
    points = (r[:, None, None] * unit).reshape(-1, 3)
    return torch.from_numpy(points), torch.from_numpy(np.outer(of_radius, of_unit).reshape(-1))
