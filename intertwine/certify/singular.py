"""Inputs at which formulas divide by zero: coincident, isolated and single atoms, and none at all."""

from __future__ import annotations

import torch
from torch import Tensor

from intertwine.certify.measured import Findings, Worst
from intertwine.certify.structures import subset
from intertwine.certify.trial import Trial
from intertwine.geometry import Graph
from intertwine.numerics import IntertwineError

OF_ATOMS = "about atoms: each pixel of an image has its place"
FAR_ANGSTROM = 100.0  # A, outside every cutoff


def coincident_atoms(trial: Trial) -> Findings:
    """Two and three atoms at one place: values and derivatives are finite, or a named error refuses them."""
    if trial.images:
        return OF_ATOMS
    worst = Worst(trial, 0.0)
    for structure in [s for s in trial.structures if s.graph.num_nodes > 1][: trial.spread]:
        for together in {2, min(3, structure.graph.num_nodes)}:
            graph = structure.graph.clone()
            graph.pos = graph.pos.clone()
            graph.pos[:together] = graph.pos[0].clone()
            _finite(trial, worst, graph, f"{structure.name}, first {together} atoms at one place")
    return worst.findings("no structure has two atoms")


def isolated_atom(trial: Trial) -> Findings:
    """One atom 100 A from the others: values and derivatives are finite."""
    if trial.images:
        return OF_ATOMS
    worst = Worst(trial, 0.0)
    for structure in [s for s in trial.structures if s.graph.num_nodes > 1 and s.graph.dimension][: trial.spread]:
        nodes = torch.arange(structure.graph.num_nodes)
        pos = structure.graph.pos.clone()
        pos[-1, 0] += FAR_ANGSTROM
        _finite(trial, worst, subset(structure.graph, nodes, pos), f"{structure.name}, last atom 100 A away")
    return worst.findings("no structure has two atoms with positions")


def single_atom(trial: Trial) -> Findings:
    """One atom alone, and two atoms 100 A apart, which have no edges within a cutoff: finite."""
    if trial.images:
        return OF_ATOMS
    worst = Worst(trial, 0.0)
    for structure in [s for s in trial.structures if s.graph.num_nodes][: trial.spread]:
        _finite(trial, worst, subset(structure.graph, torch.tensor([0])), f"first atom of {structure.name}, alone")
        if structure.graph.num_nodes > 1 and structure.graph.dimension:
            pos = torch.zeros_like(structure.graph.pos[:2])
            pos[1, 0] = FAR_ANGSTROM
            _finite(
                trial,
                worst,
                subset(structure.graph, torch.tensor([0, 1]), pos),
                f"two atoms of {structure.name}, 100 A apart",
            )
    return worst.findings("no structure has an atom")


def empty_graph(trial: Trial) -> Findings:
    """No nodes: an answer of the right shape, or a named error."""
    worst = Worst(trial, 0.0)
    graph = subset(trial.structures[0].graph, torch.zeros(0, dtype=torch.int64))
    _finite(trial, worst, graph, "no nodes")
    return worst.findings()


def _finite(trial: Trial, worst: Worst, graph: Graph, words: str) -> None:
    """Error 0 where all values and derivatives are finite or the function refuses by name, infinite otherwise."""
    try:
        outputs = trial.subject(graph)
        gradient = trial.subject.gradient(graph, {name: torch.ones_like(value) for name, value in outputs.items()})
    except IntertwineError as error:
        worst.see("", 0.0, f"{words}: refused by name, {error.what}")
        return
    for name, value in outputs.items():
        worst.see(name, _infinite(value), words)
    if gradient is not None:
        worst.see("gradient", _infinite(gradient), f"{words}, gradient")


def _infinite(value: Tensor) -> float:
    return 0.0 if bool(torch.isfinite(value).all()) else float("inf")
