r"""Does what an atom sends vanish smoothly as it crosses the cutoff?"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from intertwine.certify.measured import Findings, Worst
from intertwine.certify.structures import Structure, random_direction, subset
from intertwine.certify.trial import Trial
from intertwine.geometry import LEVELS, Graph

STEP_ANGSTROM = 1e-6  # A, on either side of the cutoff
LARGEST_RELATIVE_STEP = 1e-10  # of the size of the output
BOND_ANGSTROM = 1.0  # A, to the third atom
APART_ANGSTROM = 10.0  # A beyond the cutoff
BONDED_PER_CUTOFF = 0.4  # of the cutoff: where the size of a derivative is taken


def value_at_cutoff(trial: Trial) -> Findings:
    """Outputs (energy and forces among them) go to those of the atoms apart, with no step at the cutoff."""
    return _crossing(trial, slope=False)


def slope_at_cutoff(trial: Trial) -> Findings:
    """Derivatives of the outputs with respect to positions have no step at the cutoff: forces are continuous."""
    return _crossing(trial, slope=True)


def _crossing(trial: Trial, slope: bool) -> Findings:
    r"""The step :math:`\lim_{\delta\to0} s(\delta)`, :math:`s(\delta) = f(r_c - \delta) - f(r_c + \delta)`.

    Taken as :math:`(8 s(\delta/4) - 6 s(\delta/2) + s(\delta))/3`, which cancels slope and curvature: those are no
    step.
    """
    cutoff = trial.subject.cutoff
    if cutoff is None:
        return "the function has no cutoff"
    if not getattr(trial.subject.function, "local", True):
        return "the function sees all of a structure, beyond its cutoff"
    worst = Worst(trial, LARGEST_RELATIVE_STEP)
    for structure in [s for s in trial.structures if s.graph.num_nodes > 1][: trial.spread]:
        frame = _directions(structure, trial.generator)
        for count in range(2, min(3, structure.graph.num_nodes) + 1):
            words = f"{count} atoms of {structure.name}, one crossing the cutoff at {cutoff:g} A"
            distances = [cutoff + sign * STEP_ANGSTROM / part for part in (1, 2, 4) for sign in (-1, 1)] + [
                cutoff + APART_ANGSTROM,
                BONDED_PER_CUTOFF * cutoff,
            ]
            values = [_values(trial, _arranged(structure, count, distance, frame), slope) for distance in distances]
            shift = torch.full_like(frame[0], BOND_ANGSTROM)
            elsewhere = _values(trial, _arranged(structure, count, cutoff + APART_ANGSTROM, frame, shift), slope)
            at = [value for value in values if value is not None]
            if elsewhere is None or len(at) < len(values):
                return "outputs carry no derivative with respect to positions (forces are tested as values)"
            for name in at[0]:
                *near, apart, bonded = [value[name] for value in at]
                full, half, quarter = (near[k] - near[k + 1] for k in (0, 2, 4))
                size = (float(bonded.abs().max()) or 1.0) if slope else trial.size(name)
                step, rest = (8 * quarter - 6 * half + full) / 3, near[1] - apart
                moved = float((elsewhere[name] - apart).abs().max())
                if moved > LARGEST_RELATIVE_STEP * size:  # depends on where it is, which is another test's matter
                    rest = torch.zeros_like(rest)
                worst.see(name, max(float(x.abs().max()) for x in (step, rest)) / size, words)
    return worst.findings("no structure has two atoms")


def _values(trial: Trial, graph: Graph, slope: bool) -> dict[str, Tensor] | None:
    graph = trial.subject.connected(graph)
    if not slope:
        return {name: _fixed(trial, name, value, graph) for name, value in trial.subject(graph).items()}
    gradient = trial.subject.gradient(graph, partial(_weights, trial, graph))
    return None if gradient is None else {"": gradient}


def _fixed(trial: Trial, name: str, value: Tensor, graph: Graph) -> Tensor:
    """An output in rows that stay: a point of space as seen from its atom, which moves, and what is of edges summed by
    pairs of nodes.
    """
    level = LEVELS[trial.quantities[name].level]
    if level.lists == "edge_index":
        return value.new_zeros(graph.num_nodes**2, *value.shape[1:]).index_add(0, _by_pair(graph), value)
    return value - graph[level.place] if trial.quantities[name].affine and level.place in graph else value


def _by_pair(graph: Graph) -> Tensor:
    """The number of each edge among all pairs of nodes."""
    return graph.edge_index[1] * graph.num_nodes + graph.edge_index[0]


def _weights(trial: Trial, graph: Graph, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Random, the same for every arrangement; none for forces and stress, derivatives already: only their values must
    be continuous.
    """
    generator, weights = torch.Generator().manual_seed(0), {}
    for name, value in outputs.items():
        edges = LEVELS[trial.quantities[name].level].lists == "edge_index"
        rows = graph.num_nodes**2 if edges else len(value)
        weights[name] = torch.randn(rows, *value.shape[1:], generator=generator, dtype=torch.float64)
        if edges:
            weights[name] = weights[name][_by_pair(graph)]
    return {
        name: weight for name, weight in weights.items() if "energy" not in outputs or name not in ("forces", "stress")
    }


def _directions(structure: Structure, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two unit vectors at about 110 degrees (in one dimension, opposite ones): for the crossing and the third atom."""
    n = structure.graph.dimension
    u = random_direction(n, generator)
    if n == 1:
        return u, -u
    w = random_direction(n, generator)
    w = w - (w @ u) * u
    return u, math.cos(math.radians(110)) * u + math.sin(math.radians(110)) * w / w.norm()


def _arranged(
    structure: Structure, count: int, distance: float, frame: tuple[Tensor, Tensor], shift: Tensor | None = None
) -> Graph:
    """An atom at the origin (or at ``shift``), one at a distance, and perhaps one bonded to the first beyond it."""
    origin = torch.zeros_like(frame[0]) if shift is None else shift
    pos = torch.stack([origin, origin + distance * frame[0], origin + BOND_ANGSTROM * frame[1]])[:count]
    graph = subset(structure.graph, torch.arange(count), pos)
    return graph.without_edges() if graph.dimension else graph
