r"""Does what an atom sends vanish smoothly as it crosses the cutoff?"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from intertwine.certify.structures import Structure, random_direction, subset
from intertwine.certify.trial import Findings, Trial, Worst
from intertwine.geometry import Graph

STEP = 1e-6  # A, on either side of the cutoff
BOUND = 1e-10  # of the size of the output
BOND = 1.0  # A, to the third atom
APART = 10.0  # A beyond the cutoff
BONDED = 0.4  # of the cutoff: where the size of a derivative is taken


def value_at_cutoff(trial: Trial) -> Findings:
    """Outputs (energy and forces among them) go to those of the atoms apart, with no step at the cutoff."""
    return _crossing(trial, slope=False)


def slope_at_cutoff(trial: Trial) -> Findings:
    """Derivatives of the outputs with respect to positions have no step at the cutoff: forces are continuous."""
    return _crossing(trial, slope=True)


def _crossing(trial: Trial, slope: bool) -> Findings:
    r"""The step :math:`\lim_{\delta\to0} s(\delta)`, :math:`s(\delta) = f(r_c - \delta) - f(r_c + \delta)`.

    Taken as :math:`(8 s(\delta/4) - 6 s(\delta/2) + s(\delta))/3`, which cancels slope and curvature: those are no step.
    """
    cutoff = trial.subject.cutoff
    if cutoff is None:
        return "the function has no cutoff"
    worst = Worst(trial, BOUND)
    for structure in [s for s in trial.structures if s.graph.num_nodes > 1][: trial.spread]:
        frame = _directions(structure, trial.generator)
        for count in range(2, min(3, structure.graph.num_nodes) + 1):
            words = f"{count} atoms of {structure.name}, one crossing the cutoff at {cutoff:g} A"
            distances = [cutoff + sign * STEP / part for part in (1, 2, 4) for sign in (-1, 1)] + [cutoff + APART, BONDED * cutoff]
            values = [_values(trial, _arranged(structure, count, distance, frame), slope) for distance in distances]
            shift = torch.full_like(frame[0], BOND)
            elsewhere = _values(trial, _arranged(structure, count, cutoff + APART, frame, shift), slope)
            at = [value for value in values if value is not None]
            if elsewhere is None or len(at) < len(values):
                return "outputs carry no derivative with respect to positions (forces are tested as values)"
            for name in at[0]:
                *near, apart, bonded = [value[name] for value in at]
                one, half, quarter = (near[k] - near[k + 1] for k in (0, 2, 4))
                size = (float(bonded.abs().max()) or 1.0) if slope else trial.size(name)
                step, rest = (8 * quarter - 6 * half + one) / 3, near[1] - apart
                if float((elsewhere[name] - apart).abs().max()) > BOUND * size:  # depends on where it is, which is another test's matter
                    rest = torch.zeros_like(rest)
                worst.see(name, max(float(x.abs().max()) for x in (step, rest)) / size, words)
    return worst.findings("no structure has two atoms")


def _values(trial: Trial, graph: Graph, slope: bool) -> dict[str, Tensor] | None:
    if not slope:  # a point of space is compared by how far it is from the atom, which moves
        return {
            name: value - graph.pos if trial.quantities[name].affine and value.shape == graph.pos.shape else value
            for name, value in trial.subject(graph).items()
        }
    gradient = trial.subject.gradient(graph, _weights)
    return None if gradient is None else {"": gradient}


def _weights(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Random, the same for every arrangement; none for forces and stress, derivatives already: only their values must be continuous."""
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(value.shape, generator=generator, dtype=torch.float64) for name, value in outputs.items()}
    return {name: weight for name, weight in weights.items() if "energy" not in outputs or name not in ("forces", "stress")}


def _directions(structure: Structure, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two unit vectors at about 110 degrees (in one dimension, opposite ones): where the crossing and the third atom go."""
    n = structure.graph.dimension
    u = random_direction(n, generator)
    if n == 1:
        return u, -u
    w = random_direction(n, generator)
    w = w - (w @ u) * u
    return u, math.cos(math.radians(110)) * u + math.sin(math.radians(110)) * w / w.norm()


def _arranged(structure: Structure, count: int, distance: float, frame: tuple[Tensor, Tensor], shift: Tensor | None = None) -> Graph:
    """An atom at the origin (or at ``shift``), one at a distance, and perhaps one bonded to the first on the other side."""
    origin = torch.zeros_like(frame[0]) if shift is None else shift
    pos = torch.stack([origin, origin + distance * frame[0], origin + BOND * frame[1]])[:count]
    return subset(structure.graph, torch.arange(count), pos)
