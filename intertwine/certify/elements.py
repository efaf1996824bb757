"""Group elements to try: random ones, and those at which hand-written geometry goes wrong."""

from __future__ import annotations

import contextlib
import itertools
import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.certify.structures import random_direction, snap
from intertwine.geometry import Graph
from intertwine.groups import (
    Action,
    Affine,
    AffineMap,
    FiniteGroup,
    Group,
    Isometry,
    Orthogonal,
    Permutations,
    cyclic,
    dihedral,
    octahedral,
)
from intertwine.groups.rotations import matrix_to_axis_angle
from intertwine.numerics import InputError

TINY_ANGLES_RADIANS = (1e-3, 1e-5, 1e-8)  # radians
SHIFT_ANGSTROM = 10.0  # A
FAR_SHIFT_ANGSTROM = 1e4  # A: single precision holds positions there to 1e-3 A
#: Why none are tried: forth and back the errors of interpolation cancel in the first order, so they are no measure.
INTERPOLATED = "less than a pixel of interpolation proves nothing"
MOST_LATTICE = 200  # elements of a finite group that are looked through
MOST_LISTED = 24  # elements of a group that are all tried
NEAR_AXIS_RADIANS = 1e-6  # radians off an axis


class Element(NamedTuple):
    """An isometry, or another map of space, and its name in a report."""

    name: str
    isometry: AffineMap


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


def of_group(group: Group, count: int, generator: torch.Generator) -> list[Element]:
    """All elements of a group of at most 24 that moves points; of a larger one its generators and ``count`` random
    ones.
    """
    if group.order is not None and group.order <= MOST_LISTED:
        chosen = list(group.elements())
    else:
        chosen = [*group.generators(), *group.sample(count, generator)]
    return [Element(describe(group.linear(g)), AffineMap.of(g, group)) for g in chosen]


def classes_of(
    group: Group, action: Action, x: Any, count: int, generator: torch.Generator
) -> dict[str, list[tuple[str, Tensor]] | str]:
    """Elements to try by class, each with a name; or why there are none.

    The identity; where the action interpolates, elements that it moves exactly; generators; all of a small group, or
    random ones; and elements near the identity.

    Raises:
        InputError: an infinite group without random elements.
    """
    small = group.order is not None and group.order <= 2 * MOST_LISTED
    rest = group.elements() if small else group.sample(max(count, 2), generator)
    classes: dict[str, list[tuple[str, Tensor]] | str] = {"identity": [("identity", group.identity())]}
    listed = {"all elements" if small else "random elements": rest}
    with contextlib.suppress(InputError):  # a group need not know any
        listed = {"generators": group.generators()} | listed
    if not all(action.exact(g, x) for elements in listed.values() for g in elements):
        lattice = [g for g in lattice_elements(group) if action.exact(g, x)]
        classes["exact elements"] = [(name_of(group, g, k), g) for k, g in enumerate(lattice)]
    for test, elements in listed.items():
        named = [(name_of(group, g, k), g) for k, g in enumerate(elements)]
        if "exact elements" in classes:  # which are not counted among the others
            named = [(name, g) for name, g in named if not action.exact(g, x)]
        if named:
            classes[test] = named
    if group.dim:
        interpolates = "exact elements" in classes
        classes["tiny elements"] = INTERPOLATED if interpolates else tiny(group, generator)
    return classes


def lattice_elements(group: Group) -> Tensor:
    """The elements that take a square or cubic lattice to itself, as far as they are known: all of a finite group,
    right angles and mirrors of O(n) and SO(n), these with steps by one of a group with translations; else the identity.
    """
    if group.order is not None and group.order <= MOST_LATTICE:
        return group.elements()
    if isinstance(group, Orthogonal) and group.n in (2, 3):
        square = {(2, True): cyclic(4), (2, False): dihedral(4), (3, True): octahedral(), (3, False): octahedral(True)}
        finite = square[group.n, group.special]
        return finite.linear(finite.elements())
    if isinstance(group, Affine):
        turns = lattice_elements(group.point)
        linear = group.point.linear(turns)
        steps = group.make(torch.eye(group.n, dtype=torch.float64), torch.eye(group.n, dtype=torch.float64))
        return torch.cat([group.make(linear, linear.new_zeros(group.n)), steps])
    return group.identity()[None]


def tiny(group: Group, generator: torch.Generator) -> list[tuple[str, Tensor]] | str:
    r"""Elements :math:`\exp(s x)` with unit coordinates x and s of 1e-3, 1e-5 and 1e-8."""
    elements = []
    for size in TINY_ANGLES_RADIANS:
        x = torch.randn(group.dim, generator=generator, dtype=torch.float64)
        try:
            elements.append((f"{size:.0e} from the identity", group.exp(size * x / x.norm())))
        except InputError as error:
            return error.what
    return elements


def name_of(group: Group, g: Tensor, k: int) -> str:
    """An element in words: how it turns and shifts, where it moves points; else its number or its entries."""
    if isinstance(group, Permutations):
        return f"permutation {g.tolist()}" if len(g) <= 12 else f"permutation {k}"
    if isinstance(group, FiniteGroup) and group.space not in (2, 3):
        return f"element {group.labels[int(g)]}"
    if group.space not in (2, 3):
        return f"element {k}"
    shift = group.shift(g)
    moved = f", shift by ({', '.join(f'{float(t):.3g}' for t in shift)})" if bool((shift != 0).any()) else ""
    return describe(group.linear(g)) + moved


def describe(a: Float[Tensor, "n n"]) -> str:
    """A matrix in words: "90 degrees", "mirror at 22.5 degrees", "120 degrees about (1, 1, 1)", "a matrix"."""
    n = len(a)
    factor = float(torch.linalg.det(a).abs()) ** (1 / n)
    scale = "" if abs(factor - 1) < 1e-9 else f" times {factor:.3g}"
    q = a / factor
    eye = torch.eye(n, dtype=a.dtype)
    if n not in (2, 3) or float((q @ q.T - eye).abs().max()) > 1e-6:
        return "the identity" if torch.equal(a, eye) else "a matrix"
    improper = float(torch.linalg.det(q)) < 0
    if n == 2:
        angle = math.degrees(math.atan2(float(q[1, 0]), float(q[0, 0]))) % 360
        return (f"mirror across {angle / 2:.4g} degrees" if improper else f"{angle:.4g} degrees") + scale
    axis, turned = matrix_to_axis_angle(-q if improper else q)
    largest = float(axis.abs().max()) or 1.0
    about = ", ".join(f"{round(float(x) / largest, 2) + 0.0:g}" for x in axis)
    words = f"{math.degrees(float(turned)):.4g} degrees about ({about})" if float(turned) > 1e-9 else "0 degrees"
    return words + (" and inversion" if improper else "") + scale


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
