"""Group elements to try: random ones, and those at which hand-written geometry goes wrong."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.certify.structures import random_direction, snap
from intertwine.geometry import Graph
from intertwine.groups import Isometry

TINY_ANGLES_RADIANS = (1e-3, 1e-5, 1e-8)  # radians
SHIFT_ANGSTROM = 10.0  # A
FAR_SHIFT_ANGSTROM = 1e4  # A: single precision holds positions there to 1e-3 A
NEAR_AXIS_RADIANS = 1e-6  # radians off an axis


class Element(NamedTuple):
    """An isometry and its name in a report."""

    name: str
    isometry: Isometry


def rotation(q: Float[Tensor, "n n"]) -> Isometry:
    return Isometry(q, q.new_zeros(len(q)))


def turn(n: int, a: int, b: int, angle: float) -> Float[Tensor, "n n"]:
    """Rotation by an angle (radians) from axis a towards axis b; exact for multiples of 90 degrees."""
    quarter = angle / (math.pi / 2)
    exact = quarter == round(quarter)
    c, s = (round(math.cos(angle)), round(math.sin(angle))) if exact else (math.cos(angle), math.sin(angle))
    q = torch.eye(n, dtype=torch.float64)
    q[a, a], q[b, b], q[a, b], q[b, a] = c, c, -s, s
    return q


def align(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> Float[Tensor, "n n"]:
    r"""The rotation in the plane of the unit vectors a and b that takes a to b,
    :math:`1 - \frac{(a+b)(a+b)^T}{1 + a\cdot b} + 2 b a^T`.
    """
    if float(a @ b) < -0.5:  # the formula degenerates at b = -a: go through a vector orthogonal to a
        axis = torch.zeros_like(a)
        axis[int(a.abs().argmin())] = 1.0
        middle = axis - (axis @ a) * a
        middle = middle / middle.norm()
        return (
            align(middle, b) @ align(a, middle) if float(middle @ b) >= -0.5 else align(-middle, b) @ align(a, -middle)
        )
    total = a + b
    return torch.eye(len(a), dtype=a.dtype) - torch.outer(total, total) / (1 + a @ b) + 2 * torch.outer(b, a)


def random_rotations(n: int, count: int, generator: torch.Generator) -> list[Element]:
    return [Element(f"random rotation {k}", Isometry.random(n, generator=generator)) for k in range(count)]


def right_angles(n: int) -> list[Element]:
    """The identity, and 90 and 180 degrees about (three dimensions) or in the plane of (others) coordinate axes."""
    elements = [Element("identity", Isometry.identity(n))]
    for a, b in itertools.combinations(range(n), 2):
        where = f"about {'xyz'[3 - a - b]}" if n == 3 else f"in the plane of axes {a + 1} and {b + 1}"
        elements += [
            Element(f"{degrees} degrees {where}", rotation(turn(n, a, b, math.radians(degrees))))
            for degrees in (90, 180)
        ]
    return elements


def alignments(graph: Graph, generator: torch.Generator) -> list[Element]:
    """Rotations that lay the edge between the first two nodes along each axis, and a millionth of a radian off it."""
    if graph.num_nodes < 2 or graph.dimension < 2:
        return []
    edge = (graph.pos[1] - graph.pos[0]).to(torch.float64)
    if float(edge.norm()) == 0:
        return []
    edge, n, elements = edge / edge.norm(), graph.dimension, []
    for k in range(n):
        axis = torch.eye(n, dtype=torch.float64)[k]
        off = random_direction(n, generator)
        near = axis + NEAR_AXIS_RADIANS * (off - off[k] * axis)
        label = "xyz"[k] if n <= 3 else f"axis {k + 1}"
        elements.append(Element(f"first edge along {label}", rotation(align(edge, axis))))
        elements.append(Element(f"first edge nearly along {label}", rotation(align(edge, near / near.norm()))))
    return elements


def tiny_rotations(n: int, generator: torch.Generator) -> list[Element]:
    """Angles of 1e-3 to 1e-8 radians in random planes."""
    if n < 2:
        return []
    elements = []
    for angle in TINY_ANGLES_RADIANS:
        frame = Isometry.random(n, generator=generator).rotation
        elements.append(
            Element(f"{angle:.0e} radians about a random axis", rotation(frame @ turn(n, 0, 1, angle) @ frame.T))
        )
    return elements


def reflections(n: int, generator: torch.Generator) -> list[Element]:
    """A mirror across each axis, the inversion where it is improper, and two random improper elements."""
    elements = []
    for k in range(n):
        mirror = torch.eye(n, dtype=torch.float64)
        mirror[k, k] = -1
        elements.append(
            Element(f"mirror {'xyz'[k] if n <= 3 else k + 1} -> -{'xyz'[k] if n <= 3 else k + 1}", rotation(mirror))
        )
    if n % 2 == 1 and n > 1:
        elements.append(Element("inversion", rotation(-torch.eye(n, dtype=torch.float64))))
    return elements + [
        Element(f"random improper rotation {k}", Isometry.random(n, generator=generator, improper=True))
        for k in range(2)
    ]


def translations(n: int, generator: torch.Generator) -> list[Element]:
    """10 A along each axis and in a random direction, and the smallest step of the grid."""
    shifts = _shifts(n, SHIFT_ANGSTROM, generator)
    shifts["by 0.01 A in a random direction"] = 0.01 * random_direction(n, generator)
    return [Element(name, Isometry(torch.eye(n, dtype=torch.float64), snap(shift))) for name, shift in shifts.items()]


def far_translations(n: int, generator: torch.Generator) -> list[Element]:
    """1e4 A along each axis and in a random direction: too far for the digits of single precision."""
    return [
        Element(name, Isometry(torch.eye(n, dtype=torch.float64), snap(s)))
        for name, s in _shifts(n, FAR_SHIFT_ANGSTROM, generator).items()
    ]


def _shifts(n: int, length: float, generator: torch.Generator) -> dict[str, Float[Tensor, " n"]]:
    shifts = {
        f"by {length:g} A along {'xyz'[k] if n <= 3 else k + 1}": length * torch.eye(n, dtype=torch.float64)[k]
        for k in range(n)
    }
    return shifts | {f"by {length:g} A in a random direction": length * random_direction(n, generator)}
