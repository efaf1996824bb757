"""Charged particles in float64, integrated as the authors of EGNN did: in numpy, over many systems at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

PARTICLES_AT_ONCE = 9000  # of all systems of a block: its arrays fit into the cache of a core; measured
LEAST_SYSTEMS_AT_ONCE = 128  # of a block: fewer cost more in calls than in arithmetic; measured on 100 particles
NUMBERS_PER_CACHE_LINE = 8


def integrate(
    pos: np.ndarray,
    vel: np.ndarray,
    charge: np.ndarray,
    steps: np.ndarray,
    dt: float,
    largest: float,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Symplectic Euler, a full kick and then a drift: v += dt F(x); x += dt v.

    :math:`F_i = \sum_{j \ne i} q_i q_j (r_i - r_j) / |r_{ij}|^3`, summed in ascending j, each Cartesian component
    clamped to +-largest. The result of a system does not depend, to the last bit, on the others beside it, nor on the
    number of threads, which is torch's.

    Args:
        pos: initial positions (S, N, 3) of S independent systems.
        vel: initial velocities (S, N, 3).
        charge: charges (S, N).
        steps: the steps after which to record (F,), ascending and positive.
        dt: time step.
        largest: bound on a component of the force; infinity turns the clamp off.
        advance: called with the number of systems that are done since the last call.

    Returns:
        positions and velocities (S, F, N, 3) after each of ``steps``; the velocity is the one of the step's kick.

    Raises:
        FloatingPointError: two particles are at one place, or a coordinate is no finite number.
    """
    systems, particles, _ = pos.shape
    positions, velocities = (np.empty((systems, len(steps), particles, 3)) for _ in range(2))
    whole = PARTICLES_AT_ONCE // particles // NUMBERS_PER_CACHE_LINE * NUMBERS_PER_CACHE_LINE
    size = max(whole, LEAST_SYSTEMS_AT_ONCE)

    def run(start: int) -> int:
        part = slice(start, start + size)
        block, now = Block(pos[part], vel[part], charge[part]), 0
        with np.errstate(divide="raise", invalid="raise"):
            for k, step in enumerate(steps):
                for _ in range(step - now):
                    block.step(dt, largest)
                now = step
                positions[part, k], velocities[part, k] = (a.transpose(2, 0, 1) for a in (block.pos, block.vel))
        return block.pos.shape[2]

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for count in pool.map(run, range(0, systems, size)):
            advance(count)
    return positions, velocities


class Block:
    """Some systems side by side, and the memory of a step: systems are the innermost axis of every array.

    Args:
        pos: positions (S, N, 3).
        vel: velocities (S, N, 3).
        charge: charges (S, N).
    """

    def __init__(self, pos: np.ndarray, vel: np.ndarray, charge: np.ndarray) -> None:
        systems, n, _ = pos.shape
        self.pos, self.vel, self.force = (_aligned(n, 3, systems) for _ in range(3))
        self.pos[...], self.vel[...] = pos.transpose(1, 2, 0), vel.transpose(1, 2, 0)
        terms, squares = (_aligned(n - 1, 3, systems) for _ in range(2))
        distances, sizes = (_aligned(n - 1, systems) for _ in range(2))
        charges = _aligned(n * (n - 1) // 2, systems)
        self.rows, start = [], 0  # of a particle with all later ones: views, made once
        for i in range(n - 1):
            m, ends = n - 1 - i, (self.pos[i], self.pos[i + 1 :], self.force[i], self.force[i + 1 :])
            charges[start : start + m] = (charge[:, i : i + 1] * charge[:, i + 1 :]).T
            memory = terms[:m], list(terms[:m]), [squares[:m, c] for c in range(3)], squares[:m]
            self.rows.append((*ends, charges[start : start + m], *memory, distances[:m], sizes[:m], sizes[:m, None]))
            start += m

    def step(self, dt: float, largest: float) -> None:
        """One kick and one drift of all systems."""
        self._forces()
        np.clip(self.force, -largest, largest, out=self.force)
        np.multiply(self.force, dt, self.force)
        np.add(self.vel, self.force, self.vel)
        np.multiply(self.vel, dt, self.force)
        np.add(self.pos, self.force, self.pos)

    def _forces(self) -> None:
        r"""Each pair once, since its two terms are exactly opposite; those of a particle are added in ascending order
        of the other one.
        """
        add, subtract, multiply = np.add, np.subtract, np.multiply
        self.force.fill(0.0)
        for particle, later, force, forces, charges, terms, each, (
            x,
            y,
            z,
        ), squares, distances, sizes, column in self.rows:
            subtract(particle, later, terms)
            multiply(terms, terms, squares)
            add(x, y, sizes)
            add(sizes, z, sizes)
            np.sqrt(sizes, distances)
            multiply(sizes, distances, sizes)
            np.divide(charges, sizes, sizes)
            multiply(terms, column, terms)
            for term in each:
                add(force, term, force)
            subtract(forces, terms, forces)


def _aligned(*shape: int) -> np.ndarray:
    """An array that begins where a line of the cache does: numpy's loops read two lines for one otherwise."""
    numbers = math.prod(shape)
    memory = np.empty(numbers + NUMBERS_PER_CACHE_LINE)
    start = -(memory.ctypes.data // memory.itemsize) % NUMBERS_PER_CACHE_LINE
    return memory[start : start + numbers].reshape(shape)
