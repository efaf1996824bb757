"""The paths of a linear layer: between which blocks, with which factors, biases, and the products that make them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from intertwine.kernels.linear.plan import Block, Mixing, Route
from intertwine.numerics import InputError
from intertwine.o3.irreps import Irreps


class LinearInstruction(NamedTuple):
    """A path from block ``i_in`` to block ``i_out``, or a bias of block ``i_out`` (``i_in`` is -1).

    ``path_shape`` are the axes of its weights, (channels in, channels out); ``path_weight`` is a constant factor.
    """

    i_in: int
    i_out: int
    path_shape: tuple[int, ...]
    path_weight: float


class Group(NamedTuple):
    """Outputs that read the same inputs: one matrix product. ``numbers[a][b]`` is the instruction from input a to
    output b.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    numbers: tuple[tuple[int, ...], ...]


def weighted_paths(
    ins: Irreps, outs: Irreps, pairs: Sequence[tuple[int, int]] | None, normalization: str, f_in: int | None
) -> list[LinearInstruction]:
    """The weighted paths with their normalisation; all pairs of equal irreps where none are given."""
    if pairs is None:
        pairs = [(a, b) for a, (_, ir) in enumerate(ins) for b, (_, other) in enumerate(outs) if ir == other]
    for a, b in pairs:
        if not (0 <= a < len(ins) and 0 <= b < len(outs)):
            raise InputError(
                f"instruction ({a}, {b}) names a block that is not there",
                where="Linear",
                remedy="count blocks from 0.",
            )
        if ins[a].ir != outs[b].ir:
            raise InputError(
                f"instruction ({a}, {b}) joins {ins[a].ir} to {outs[b].ir}",
                where="Linear",
                remedy="a linear map keeps the irrep.",
            )
    made = []
    for a, b in pairs:
        into = [ins[other].mul if normalization == "element" else ins[a].mul for other, target in pairs if target == b]
        fan = sum(into) * (f_in or 1)
        made.append(LinearInstruction(a, b, (ins[a].mul, outs[b].mul), fan**-0.5 if fan else 1.0))
    return made


def bias_paths(outs: Irreps, biases: bool | Sequence[bool] | None) -> list[LinearInstruction]:
    """The biases, each as an instruction from block -1."""
    wanted = (
        [bool(biases) and ir.is_scalar() for _, ir in outs]
        if biases is None or isinstance(biases, bool)
        else list(biases)
    )
    if len(wanted) != len(outs) or any(bias and not ir.is_scalar() for bias, (_, ir) in zip(wanted, outs)):
        raise InputError(
            f"biases {wanted} don't fit {outs}",
            where="Linear",
            remedy="give one truth value a block, true for 0e only, or just True.",
        )
    return [LinearInstruction(-1, b, (outs[b].dim,), 1.0) for b, bias in enumerate(wanted) if bias]


def grouped(paths: Sequence[LinearInstruction]) -> list[Group]:
    """The products that make all paths: those without channels left out; a pair of blocks that comes twice has two."""
    groups: list[Group] = []
    remaining = {number: path for number, path in enumerate(paths) if prod(path.path_shape)}
    while remaining:
        reading: dict[int, dict[int, int]] = {}
        for number, path in remaining.items():
            reading.setdefault(path.i_out, {}).setdefault(path.i_in, number)
        first = next(iter(reading.values()))
        same = {b: sources for b, sources in reading.items() if set(sources) == set(first)}
        groups.append(
            Group(tuple(first), tuple(same), tuple(tuple(sources[a] for sources in same.values()) for a in first))
        )
        for sources in same.values():
            for number in sources.values():
                del remaining[number]
    return groups


def planned(
    ins: Irreps, outs: Irreps, instructions: Sequence[LinearInstruction], groups: Sequence[Group], layout: str
) -> Mixing:
    """The groups as the eager path wants them.

    Args:
        ins, outs: representations of input and output.
        instructions: the weighted paths, and the biases after them.
        groups: of the weighted paths (:func:`grouped`).
        layout: of both features.
    """
    paths = [path for path in instructions if path.i_in >= 0]
    sizes = [prod(path.path_shape) for path in paths]
    at = [sum(sizes[:number]) for number in range(len(paths))]
    sides = []
    for irreps in (ins, outs):
        sides.append([Block(place.start, mul, ir.dim) for place, (mul, ir) in zip(irreps.slices(), irreps)])
    routes = tuple(
        Route(
            tuple(sides[0][a] for a in group.inputs),
            tuple(sides[1][b] for b in group.outputs),
            tuple(tuple(at[number] for number in row) for row in group.numbers),
            tuple(tuple(paths[number].path_weight for number in row) for row in group.numbers),
        )
        for group in groups
    )
    biased = [path for path in instructions[len(paths) :] if path.path_shape[0]]
    starts = [sum(path.path_shape[0] for path in biased[:number]) for number in range(len(biased))]
    biases = tuple((sides[1][path.i_out], start) for path, start in zip(biased, starts))
    return Mixing(ins.dim, outs.dim, sum(sizes), routes, biases, layout)
