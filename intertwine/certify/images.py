"""Periodic structures: which image of an atom is listed, and how many cells, must not matter."""

from __future__ import annotations

import torch
from torch import Tensor

from intertwine.certify.measured import Findings, Worst
from intertwine.certify.trial import Trial
from intertwine.geometry import LEVELS, Graph, node_fields

MOST_CELLS = 500  # that an atom is moved by


def lattice_image(trial: Trial) -> Findings:
    """An atom written one lattice vector further on is the same atom; so are all of them 500 cells away, or each in a
    cell of its own.

    The latter with points of space in float64, for functions that take them.
    """
    worst = Worst(trial)
    for k, structure in enumerate(trial.structures):
        graph = structure.graph
        if not graph.periodic:
            continue
        axis = int(graph.pbc[0].nonzero()[0])
        step = torch.zeros_like(graph.pos)
        step[0] = graph.cell[0, axis]
        _moved(trial, worst, graph, trial.outputs[k], step, f"{structure.name}, first atom one lattice vector further")
        exact = trial.exactly(k)
        if exact is not None:
            near, cells = trial.subject(exact), torch.zeros_like(exact.pos)
            cells[:, axis] = MOST_CELLS
            _moved(
                trial,
                worst,
                exact,
                near,
                cells @ exact.cell[0],
                f"{structure.name}, {MOST_CELLS} lattice vectors further",
            )
            cells = torch.randint(-MOST_CELLS, MOST_CELLS + 1, cells.shape, generator=trial.generator) * exact.pbc
            _moved(
                trial,
                worst,
                exact,
                near,
                cells.to(exact.cell) @ exact.cell[0],
                f"{structure.name}, every atom in a cell of its own",
            )
    return worst.findings("no periodic structure")


def _moved(trial: Trial, worst: Worst, graph: Graph, outputs: dict[str, Tensor], step: Tensor, words: str) -> None:
    """The outputs stay, those that are places of nodes move along. Edges, where an output is of those given, are the
    same ones.
    """
    moved = graph.clone()
    moved.pos = graph.pos + step
    if graph.get("edge_index") is not None:
        cells = (step @ torch.linalg.pinv(graph.cell[0])).round().to(graph.shifts.dtype)
        source, target = graph.edge_index
        moved.shifts = graph.shifts - cells[source] + cells[target]
    expected = {}
    for name, value in outputs.items():
        place = LEVELS[trial.quantities[name].level].place
        expected[name] = (
            value + (moved[place] - graph[place]) if trial.quantities[name].affine and place in graph else value
        )
    worst.compare(trial.subject(moved), expected, words)


def supercell(trial: Trial) -> Findings:
    """A cell written twice side by side gives every atom, and every point of space, the same outputs."""
    worst = Worst(trial)
    for k, structure in enumerate(trial.structures):
        if not structure.graph.periodic:
            continue
        axis = int(structure.graph.pbc[0].nonzero()[0])
        expected = {}
        for name, value in trial.outputs[k].items():
            shift = structure.graph.cell[0, axis].to(value) if trial.quantities[name].affine else 0.0
            copies = LEVELS[trial.quantities[name].level].copies
            if copies is not None:
                expected[name] = torch.cat([value + copy * shift for copy in range(copies)])
        worst.compare(
            trial.subject(_doubled(structure.graph, axis)),
            expected,
            f"{structure.name}, two cells along lattice vector {axis + 1}",
        )
    return worst.findings("no periodic structure, or no output of nodes or points")


def _doubled(graph: Graph, axis: int) -> Graph:
    result = graph.without_edges().clone()
    for name, value in node_fields(graph).items():
        result[name] = torch.cat([value, value])
    result.pos = torch.cat([graph.pos, graph.pos + graph.cell[0, axis]])
    result.cell = graph.cell.clone()
    result.cell[0, axis] = 2 * graph.cell[0, axis]
    return result
