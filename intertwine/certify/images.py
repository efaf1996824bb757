"""Periodic structures: which image of an atom is listed, and how many cells, must not matter."""

from __future__ import annotations

import torch

from intertwine.certify.structures import periodic
from intertwine.certify.trial import Findings, Trial, Worst
from intertwine.geometry import Graph, node_fields


def lattice_image(trial: Trial) -> Findings:
    """An atom written one lattice vector further on is the same atom."""
    worst = Worst(trial)
    for k, structure in enumerate(trial.structures):
        graph = structure.graph
        if not periodic(graph):
            continue
        axis = int(graph.pbc[0].nonzero()[0])
        moved, step = graph.clone(), torch.zeros_like(graph.pos)
        step[0] = graph.cell[0, axis]
        moved.pos = graph.pos + step
        expected = {
            name: value + step if trial.quantities[name].affine and value.shape == step.shape else value
            for name, value in trial.outputs[k].items()
        }
        worst.compare(trial.subject(moved), expected, f"{structure.name}, first atom one lattice vector further")
    return worst.findings("no periodic structure")


def supercell(trial: Trial) -> Findings:
    """A cell written twice side by side gives every atom the same outputs."""
    worst = Worst(trial)
    for k, structure in enumerate(trial.structures):
        if not periodic(structure.graph):
            continue
        axis = int(structure.graph.pbc[0].nonzero()[0])
        expected = {
            name: torch.cat([value, value + structure.graph.cell[0, axis].to(value)])
            if trial.quantities[name].affine
            else torch.cat([value, value])
            for name, value in trial.outputs[k].items()
            if trial.quantities[name].level == "node"
        }
        worst.compare(
            trial.subject(_doubled(structure.graph, axis)), expected, f"{structure.name}, two cells along lattice vector {axis + 1}"
        )
    return worst.findings("no periodic structure, or no output of nodes")


def _doubled(graph: Graph, axis: int) -> Graph:
    result = graph.clone()
    for name, value in node_fields(graph).items():
        result[name] = torch.cat([value, value])
    result.pos = torch.cat([graph.pos, graph.pos + graph.cell[0, axis]])
    result.cell = graph.cell.clone()
    result.cell[0, axis] = 2 * graph.cell[0, axis]
    return result
