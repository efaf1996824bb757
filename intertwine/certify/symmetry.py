r"""Does :math:`f(g x) = \rho(g) f(x)` hold for rotations, reflections, translations and permutations?"""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor

from intertwine.certify import elements
from intertwine.certify.elements import Element
from intertwine.certify.trial import Findings, Trial, Worst
from intertwine.geometry import LEVELS, Graph, act, moved, permute
from intertwine.groups import Isometry
from intertwine.numerics import InputError

#: What each group claims.
GROUPS = {
    "E": ("translation", "rotation", "reflection", "permutation"),
    "SE": ("translation", "rotation", "permutation"),
    "O": ("rotation", "reflection", "permutation"),
    "SO": ("rotation", "permutation"),
    "T": ("translation", "permutation"),
    "S": ("permutation",),
}


def claims(symmetry: str, dimension: int) -> tuple[str, ...]:
    """The symmetries of a group written "E(3)", "SE(3)", "O(n)", "SO(n)", "T(3)" or "S(n)" (permutations, which all
    include).

    Raises:
        InputError: no such group, or one of another dimension than the graphs.
    """
    match = re.fullmatch(r"\s*(SE|SO|E|O|T|S)\s*\(\s*(n|\d+)\s*\)\s*", symmetry)
    if match is None:
        raise InputError(
            f"unknown symmetry {symmetry!r}",
            where="symmetry",
            remedy="write E(3), SE(3), O(3), SO(3), T(3), S(n), or n for any dimension.",
        )
    group, n = match.groups()
    if group != "S" and n != "n" and int(n) != dimension:
        raise InputError(
            f"{symmetry} on graphs of dimension {dimension}",
            where="symmetry",
            remedy=f"write {group}({dimension}) or {group}(n).",
        )
    return GROUPS[group]


def random_rotations(trial: Trial) -> Findings:
    """Haar-random rotations of every structure."""
    n = trial.structures[0].graph.dimension
    return (
        _try(trial, elements.random_rotations(n, trial.rotations, trial.generator), everywhere=True)
        if n > 1
        else "one dimension has no rotations"
    )


def special_rotations(trial: Trial) -> Findings:
    """The identity, right angles, and edges along the axes or nearly so."""
    n = trial.structures[0].graph.dimension
    if n < 2:
        return "one dimension has no rotations"
    worst = Worst(trial)
    _apply(trial, worst, elements.right_angles(n))
    with_edges = [k for k, s in enumerate(trial.structures) if s.graph.num_nodes > 1][: trial.spread]
    for k in with_edges:
        for element in elements.alignments(trial.structures[k].graph, trial.generator):
            _compare(trial, worst, k, element)
    return worst.findings()


def tiny_rotations(trial: Trial) -> Findings:
    """Angles of 1e-3, 1e-5 and 1e-8."""
    return _try(trial, elements.tiny_rotations(trial.structures[0].graph.dimension, trial.generator))


def reflections(trial: Trial) -> Findings:
    """Mirrors, inversion, random improper rotations."""
    return _try(trial, elements.reflections(trial.structures[0].graph.dimension, trial.generator))


def translations(trial: Trial) -> Findings:
    """Shifts of 10 A and of 0.01 A, exact in the precision of the positions; and of 1e4 A, with points in float64.

    A function of another precision that takes such points has all it needs to lose nothing. One that can't is spared
    the last.
    """
    n, worst = trial.structures[0].graph.dimension, Worst(trial)
    _apply(trial, worst, elements.translations(n, trial.generator))
    for turn, element in enumerate(elements.far_translations(n, trial.generator)):
        for k in _in_turn(trial, turn):
            graph = trial.exactly(k)
            if graph is None:
                continue
            expected = {
                name: transform(trial, name, element.isometry, value) for name, value in trial.subject(graph).items()
            }
            worst.compare(
                trial.subject(act(element.isometry, graph)), expected, f"{trial.structures[k].name}, {element.name}"
            )
    return worst.findings("no such element in this dimension")


def permutations(trial: Trial) -> Findings:
    """Nodes listed backwards and in random order: outputs of nodes and of pairs follow, those of the graph and of
    points stay.
    """
    worst = Worst(trial)
    for structure, reference in zip(trial.structures, trial.outputs, strict=True):
        n = structure.graph.num_nodes
        orders = {
            "nodes backwards": torch.arange(n).flip(0),
            "nodes in random order": torch.randperm(n, generator=trial.generator),
        }
        for words, order in orders.items() if n > 1 else ():
            expected = listed_anew(trial, order, structure.graph, reference)
            worst.compare(trial.subject(permute(order, structure.graph)), expected, f"{structure.name}, {words}")
    return worst.findings("no structure has two nodes")


def transform(trial: Trial, name: str, g: Isometry, value: Tensor) -> Tensor:
    r""":math:`\rho(g)` on an output, in float64."""
    quantity = trial.quantities[name]
    return moved(g, value, quantity.representation, quantity.affine)


def listed_anew(trial: Trial, order: Tensor, graph: Graph, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the outputs on a graph become where its nodes are listed in another order."""
    rows = {name: LEVELS[trial.quantities[name].level].taken(order, graph) for name in outputs}
    return {name: value if rows[name] is None else value[rows[name]] for name, value in outputs.items()}


def _try(trial: Trial, tried: Iterable[Element], everywhere: bool = False) -> Findings:
    worst = Worst(trial)
    _apply(trial, worst, tried, everywhere)
    return worst.findings("no such element in this dimension")


def _apply(trial: Trial, worst: Worst, tried: Iterable[Element], everywhere: bool = False) -> None:
    """Each element on all structures, or on a few, in turn (the displaced copies, which have no symmetry of their own,
    come last).
    """
    count = len(trial.structures)
    for turn, element in enumerate(tried):
        for k in range(count) if everywhere else _in_turn(trial, turn):
            _compare(trial, worst, k, element)


def _in_turn(trial: Trial, turn: int) -> set[int]:
    """A few structures, others each turn."""
    return {(-1 - turn - k) % len(trial.structures) for k in range(trial.spread)}


def _compare(trial: Trial, worst: Worst, k: int, element: Element) -> None:
    structure, reference = trial.structures[k], trial.outputs[k]
    graph = act(element.isometry, structure.graph)
    rounding = trial.rounding(k, element.isometry, graph)
    expected = {
        name: transform(trial, name, element.isometry, value.to(torch.float64) + rounding.get(name, 0.0))
        for name, value in reference.items()
    }
    worst.compare(trial.subject(graph), expected, f"{structure.name}, {element.name}")
