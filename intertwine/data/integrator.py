"""Charged particles in float64, integrated as the authors of EGNN did; compiled by numba on first use and cached."""

from __future__ import annotations

import inspect
import math

import numba
import numpy as np


def _forces(pos, charge, largest, out):
    r"""Coulomb forces :math:`F_i = \sum_{j \ne i} q_i q_j (r_i - r_j) / |r_{ij}|^3`, each Cartesian component clamped
    to +-largest.

    Args:
        pos: positions (N, 3).
        charge: charges (N,).
        largest: bound on a component; infinity turns the clamp off.
        out: the forces (N, 3), overwritten.
    """
    n = len(pos)
    for i in range(n):
        fx, fy, fz = 0.0, 0.0, 0.0
        for j in range(n):
            if j != i:
                x, y, z = pos[i, 0] - pos[j, 0], pos[i, 1] - pos[j, 1], pos[i, 2] - pos[j, 2]
                d2 = x * x + y * y + z * z
                size = charge[i] * charge[j] / (d2 * math.sqrt(d2))
                fx += size * x
                fy += size * y
                fz += size * z
        out[i, 0] = min(max(fx, -largest), largest)
        out[i, 1] = min(max(fy, -largest), largest)
        out[i, 2] = min(max(fz, -largest), largest)


# numba compiles the function itself, without the wrapper that run-time checkers of shapes put around it
forces = numba.njit(cache=True)(inspect.unwrap(_forces))


def _integrate(pos, vel, charge, steps, dt, largest):
    """Symplectic Euler, a full kick and then a drift: v += dt F(x); x += dt v.

    Args:
        pos: initial positions (S, N, 3) of S independent systems.
        vel: initial velocities (S, N, 3).
        charge: charges (S, N).
        steps: the steps after which to record (F,), ascending and positive.
        dt: time step.
        largest: bound on a component of the force; infinity turns the clamp off.

    Returns:
        positions and velocities (S, F, N, 3) after each of ``steps``; the velocity is the one of the step's kick.
    """
    systems, n, _ = pos.shape
    positions = np.empty((systems, len(steps), n, 3))
    velocities = np.empty((systems, len(steps), n, 3))
    for s in numba.prange(systems):
        x, v, f = pos[s].copy(), vel[s].copy(), np.empty((n, 3))
        done = 0
        for k in range(len(steps)):
            for _ in range(steps[k] - done):
                forces(x, charge[s], largest, f)
                v += dt * f
                x += dt * v
            done = steps[k]
            positions[s, k] = x
            velocities[s, k] = v
    return positions, velocities


integrate = numba.njit(cache=True, parallel=True)(inspect.unwrap(_integrate))
