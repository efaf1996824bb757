r"""Does :math:`f(g x) = \rho(g) f(x)` hold for rotations, reflections, translations and permutations?"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from intertwine.certify import elements
from intertwine.certify.certificate import APPROXIMATE, IN_DISTRIBUTION
from intertwine.certify.elements import Element
from intertwine.certify.measured import Findings, Worst
from intertwine.certify.pixels import MOST_INTERPOLATION, ROUGH, TIMES_INTERPOLATION, disc, of_reference, there_and_back
from intertwine.certify.spread import MOST_DEVIATIONS, Draws, difference
from intertwine.certify.trial import Trial
from intertwine.geometry import LEVELS, Graph, act, moved, permute, rasters, resample
from intertwine.groups import AffineMap

Outputs = dict[str, Tensor]


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
    for k in [] if trial.images or trial.claim.random else with_edges:
        for element in elements.alignments(trial.structures[k].graph, trial.generator):
            _compare(trial, worst, k, element)
    return worst.findings()


def tiny_rotations(trial: Trial) -> Findings:
    """Angles of 1e-3, 1e-5 and 1e-8."""
    if trial.images:
        return elements.INTERPOLATED
    return _try(trial, elements.tiny_rotations(trial.structures[0].graph.dimension, trial.generator))


def point_elements(trial: Trial) -> Findings:
    """The elements of the group of rotations, reflections or scalings that is claimed: all of a small one, else its
    generators and random ones.
    """
    if trial.claim.point is None:
        return "no such group is claimed"
    count = max(trial.rotations, 2)
    return _try(trial, elements.of_group(trial.claim.point, count, trial.generator), everywhere=trial.rotations > 2)


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
    for k, (structure, reference) in enumerate(zip(trial.structures, trial.outputs, strict=True)):
        n = structure.graph.num_nodes
        orders = {
            "nodes backwards": torch.arange(n).flip(0),
            "nodes in random order": torch.randperm(n, generator=trial.generator),
        }
        for words, order in orders.items() if n > 1 else ():

            def listed(outputs: dict[str, Tensor], order: Tensor = order, graph: Graph = structure.graph) -> Outputs:
                return listed_anew(trial, order, graph, outputs)

            _see(
                trial,
                worst,
                k,
                permute(order, structure.graph),
                listed(reference),
                f"{structure.name}, {words}",
                listed,
            )
    return worst.findings("no structure has two nodes")


def transform(trial: Trial, name: str, g: AffineMap, value: Tensor) -> Tensor:
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
    count, everywhere = len(trial.structures), everywhere and not trial.claim.random
    for turn, element in enumerate(tried):
        for k in range(count) if everywhere else _in_turn(trial, turn):
            _compare(trial, worst, k, element)


def _in_turn(trial: Trial, turn: int) -> set[int]:
    """A few structures, others each turn."""
    spread = 1 if trial.claim.random else trial.spread  # a comparison of many draws takes long
    return {(-1 - turn - k) % len(trial.structures) for k in range(spread)}


def _compare(trial: Trial, worst: Worst, k: int, element: Element) -> None:
    structure, reference = trial.structures[k], trial.outputs[k]
    graph, exact = trial.moved(element.isometry, structure.graph)
    words = f"{structure.name}, {element.name}"
    if not exact:
        _interpolated(trial, worst, k, element, graph, words)
        return
    rounding = trial.rounding(k, element.isometry, graph)
    expected = {
        name: transform(trial, name, element.isometry, value.to(torch.float64) + rounding.get(name, 0.0))
        for name, value in reference.items()
    }

    def turned(outputs: Outputs) -> Outputs:
        return {name: transform(trial, name, element.isometry, value) for name, value in outputs.items()}

    _see(trial, worst, k, graph, expected, words, turned, approximate=trial.claimed_error)


def _see(
    trial: Trial, worst: Worst, k: int, graph: Graph, expected: Outputs, words: str,
    moving: Callable[[Outputs], Outputs], approximate: float | None = None,
) -> None:  # fmt: skip
    """The outputs on a moved graph against what they should be; of a function that draws, draw for draw, and in the
    mean of many draws where that is not enough. ``moving`` takes outputs to those of the moved graph.
    """
    got = trial.subject(graph)
    if approximate is not None:
        for name in expected:
            error, bound = trial.deviation(name, got[name], expected[name]), max(approximate, trial.bound)
            worst.see(name, error, f"{words}: a mean by quadrature", bound=bound, sense=APPROXIMATE)
        return
    unequal = [n for n in expected if n not in got or trial.deviation(n, got[n], expected[n]) > trial.bound]
    if not (trial.claim.random and unequal):
        worst.compare(got, expected, words)
        return
    if k not in trial.drawn:
        trial.drawn[k] = trial.draws_on(trial.structures[k].graph, 1)
    there, still = trial.draws_on(graph, 1 + trial.draws), [moving(outputs) for outputs in trial.drawn[k]]
    for name in expected:
        at_rest = Draws.of([outputs[name] for outputs in still])
        see_draws(worst, name, Draws.of([outputs[name] for outputs in there]), at_rest, words)


def see_draws(worst: Worst, name: str, got: Draws, expected: Draws, words: str) -> None:
    """The difference of two means, in the sense of a distribution."""
    size, apart = worst.trial.size(name), difference(got, expected)
    if not apart.spread:
        worst.see(name, apart.mean / size, f"{words}: every draw is the same")
        return
    said = (
        f"{words}: means of {got.number} draws are {apart.deviations:.1f} standard errors apart, "
        f"one draw deviates by {apart.spread / size:.1e}"
    )
    bound = MOST_DEVIATIONS * apart.error / size
    worst.see(name, apart.mean / size, said, bound=max(bound, worst.trial.bound), sense=IN_DISTRIBUTION)


def _interpolated(trial: Trial, worst: Worst, k: int, element: Element, graph: Graph, words: str) -> None:
    """Of an image whose pixels leave the grid: the error beside that of interpolation alone, which bounds it: three
    times what it does to the image, and what it does to an output that is one; or the stated approximation, if that is
    more.
    """
    structure, g = trial.structures[k].graph, element.isometry
    pixels = rasters(structure, structure.x).values
    alone = there_and_back(g, pixels)
    said = f"{words}: there and back {alone:.1e}, an isotropic filter {of_reference(g, pixels):.1e}"
    inside = rasters(structure, structure.x).at_nodes(disc(pixels.shape[2:])[None, None])[:, 0]
    got = trial.subject(graph)
    for name, value in trial.outputs[k].items():
        expected, turned, own = transform(trial, name, g, value), got[name], 0.0
        if trial.quantities[name].level == "node":
            carrier = structure.clone()
            carrier.x = expected.flatten(1)
            own = there_and_back(g, rasters(carrier, carrier.x).values)
            expected = resample(AffineMap(g.linear, torch.zeros_like(g.translation)), carrier).x.reshape(value.shape)
            expected, turned = expected[inside], turned[inside]
        excused = TIMES_INTERPOLATION * alone + own
        if excused > MOST_INTERPOLATION:
            worst.untold = ROUGH
            continue
        bound = max(excused, trial.approximation)
        worst.see(name, trial.deviation(name, turned, expected), said, bound=bound, sense=APPROXIMATE)
