"""Do graphs of a batch stay apart, and do the order and memory layout of the input not matter?"""

from __future__ import annotations

import torch
from torch import Tensor

from intertwine.certify.measured import Findings, Worst
from intertwine.certify.structures import Structure
from intertwine.certify.symmetry import listed_anew
from intertwine.certify.trial import DIGITS, Trial
from intertwine.geometry import LEVELS, Graph, connect, fields_at, permute
from intertwine.geometry.pyg import Batch

BATCH_EPS = 20  # batch of B against B singles, of the largest value (docs/design.md)
ORDER_EPS = 50  # nodes or edges in another order: sums over neighbours, and reduced products, add up otherwise
STRETCH_FACTOR = 1.01  # the other graphs, stretched


def allowed(trial: Trial, eps: int = BATCH_EPS) -> float:
    """The largest error, relative to the largest value, of the same graphs listed in another way."""
    return max(eps * trial.eps, DIGITS * trial.digit)


def batch_against_single(trial: Trial) -> Findings:
    """A batch gives what its graphs give alone."""
    worst = Worst(trial, allowed(trial), peak=True)
    for chosen in _batchable(trial, mixed=True):
        structures = [trial.structures[k] for k in chosen]
        batch = _batch(structures)
        together = trial.subject(batch)
        for place, k in enumerate(chosen):
            got = {name: value[_rows(trial, name, batch) == place] for name, value in together.items()}
            worst.compare(got, trial.outputs[k], f"{structures[place].name} in a batch of {len(chosen)}")
    return worst.findings("no two graphs have the same fields")


def gradient_across_graphs(trial: Trial) -> Findings:
    """The derivative of one graph's outputs with respect to another's positions is exactly zero.

    Where autograd sees no path from positions to outputs (a task returns forces, detached) the others are moved
    instead, and not a bit of the outputs may change.
    """
    worst = Worst(trial, 0.0)
    for chosen in _batchable(trial):
        structures = [trial.structures[k] for k in chosen]
        batch = _batch(structures)
        owner, outputs = batch.membership(), trial.subject(batch)
        for place in {0, len(chosen) - 1}:
            weights = {name: torch.zeros_like(value) for name, value in outputs.items()}
            for name, weight in weights.items():
                weight[_rows(trial, name, batch) == place] = 1.0
            gradient = trial.subject.gradient(batch, weights)
            words = f"outputs of {structures[place].name}, positions of another graph"
            if gradient is None:
                _others_moved(trial, worst, batch, weights, owner != place, words)
                continue
            other = gradient[owner != place]
            largest = max(float(gradient[owner == place].abs().max()), torch.finfo(gradient.dtype).tiny)
            worst.see("", float(other.abs().max()) / largest, words)
    return worst.findings("no two graphs have the same fields")


def _others_moved(
    trial: Trial, worst: Worst, batch: Graph, weights: dict[str, Tensor], others: Tensor, words: str
) -> None:
    """Same edges, so that every operation has the same shape and rounds alike."""
    connected = _connected(trial, batch)
    if isinstance(connected, str):
        return
    before, moved = trial.subject(connected), connected.clone()
    field = "x" if trial.images else "pos"  # pixels have their places
    moved[field] = torch.where(others.unsqueeze(1), connected[field] * STRETCH_FACTOR, connected[field])
    for name, value in trial.subject(moved).items():
        worst.see("", trial.deviation(name, value * weights[name], before[name] * weights[name]), f"{name}: {words}")


def node_order(trial: Trial) -> Findings:
    """A batch whose nodes are in random order, so that ``batch`` is not sorted, gives the same to every node, pair,
    point and graph.
    """
    worst = Worst(trial, allowed(trial, ORDER_EPS), peak=True)
    for chosen in _batchable(trial):
        batch = _connected(trial, _batch([trial.structures[k] for k in chosen]))
        if isinstance(batch, str):
            continue
        order = torch.randperm(batch.num_nodes, generator=trial.generator)
        mixed = permute(order, batch)
        del mixed["ptr"]  # which speaks of nodes in order
        expected = listed_anew(trial, order, batch, trial.subject(batch))
        worst.compare(trial.subject(mixed), expected, f"batch of {len(chosen)} graphs, nodes in random order")
    return worst.findings("no graphs that can be batched and connected")


def edge_order(trial: Trial) -> Findings:
    """Edges in random order give the same answer."""
    worst = Worst(trial, allowed(trial, ORDER_EPS), peak=True)
    for k, structure in enumerate(trial.structures[: trial.spread]):
        graph = _connected(trial, structure.graph)
        if isinstance(graph, str) or graph.get("edge_index") is None:
            return graph if isinstance(graph, str) else "an image has no edges"
        order = torch.randperm(graph.edge_index.shape[1], generator=trial.generator)
        graph.edge_index = graph.edge_index[:, order]
        for name, value in fields_at(graph, "edge").items():
            graph[name] = value[order]
        expected = {
            name: value[order] if trial.quantities[name].level == "edge" else value
            for name, value in trial.outputs[k].items()
        }
        worst.compare(trial.subject(graph), expected, f"{structure.name}, edges in random order")
    return worst.findings()


def memory_layout(trial: Trial) -> Findings:
    """Tensors that are views with strides give the same answer."""
    worst = Worst(trial, allowed(trial), peak=True)
    for k, structure in enumerate(trial.structures[: trial.spread]):
        graph = _connected(trial, structure.graph)
        graph = structure.graph.clone() if isinstance(graph, str) else graph
        for name, value in graph.to_dict().items():
            if isinstance(value, Tensor) and value.ndim:
                graph[name] = torch.stack([value, value], dim=-1)[..., 0]
        worst.compare(trial.subject(graph), trial.outputs[k], f"{structure.name}, non-contiguous input")
    return worst.findings()


def determinism(trial: Trial) -> Findings:
    """Two runs give the same bits."""
    return _again(trial, trial.spread, "run twice")


def no_memory(trial: Trial) -> Findings:
    """After all other tests every structure still gives the bits it gave first: nothing was counted or stored."""
    return _again(trial, len(trial.structures), "run again after all tests")


def _again(trial: Trial, count: int, words: str) -> Findings:
    worst = Worst(trial, 0.0)
    for structure, reference in zip(trial.structures[:count], trial.outputs, strict=False):
        for name, value in trial.subject(structure.graph).items():
            equal = torch.equal(value.nan_to_num(), reference[name].nan_to_num())
            worst.see(
                name,
                0.0 if equal else max(trial.deviation(name, value, reference[name]), trial.eps),
                f"{structure.name}, {words}",
            )
    return worst.findings()


def _connected(trial: Trial, graph: Graph) -> Graph | str:
    """The graph with edges, its own if it has any, or the reason why it has none."""
    if graph.get("edge_index") is not None or trial.images:
        return graph.clone()
    if trial.subject.cutoff is None and graph.periodic:
        return "no cutoff to connect a periodic graph"
    return connect(graph, trial.subject.cutoff)


def _batchable(trial: Trial, mixed: bool = False) -> list[list[int]]:
    """Structures that can be collated: with the same fields, open and periodic ones together if ``mixed``; groups of
    two or more.

    An output that only periodic graphs have (a stress) is not a number for the open ones among them.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for k, structure in enumerate(trial.structures):
        if structure.graph.num_nodes:
            fields = sorted({*structure.graph.to_dict()} - ({"cell", "pbc"} if mixed else set()))
            size = structure.graph.num_nodes if trial.images else 0  # images of a batch have one size
            groups.setdefault((size, *fields), []).append(k)
    for group in groups.values():  # one graph makes a batch of two
        group += group if len(group) == 1 else []
    return list(groups.values())


def _batch(structures: list[Structure]) -> Graph:
    return Batch.from_data_list([s.graph for s in structures])


def _rows(trial: Trial, name: str, batch: Graph) -> Tensor:
    """The graph of each row of an output of the batch."""
    return LEVELS[trial.quantities[name].level].owner(batch)
