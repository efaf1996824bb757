"""Reference values by species: the part of an extensive quantity that composition alone explains."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.geometry import Graph, Graphs, collate
from intertwine.numerics import WideBuffers, segment

ATOMIC_NUMBERS = 119  # atomic numbers 0 .. 118


class References(WideBuffers):
    r""":math:`y_0 = \sum_i r_{z_i}` with one :math:`r_z` per species, fitted by least squares and kept in float64.

    Where compositions don't determine the r_z (a single molecule, say) the smallest solution is taken.
    """

    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_wide("values", torch.zeros(ATOMIC_NUMBERS, dtype=torch.float64))

    def fit(
        self,
        compositions: Float[Tensor, "graphs species"],
        y: Float[Tensor, " graphs"],
        isolated: Bool[Tensor, " graphs"] | None = None,
        *,
        moved: bool = False,
    ) -> Float[Tensor, " graphs"]:
        """Fit to targets ``y`` of graphs with the given numbers of atoms by species; returns what is left of ``y``.

        The value of a species that is there as an isolated atom is that atom's (the lowest, if there are several); the
        rest are fitted.

        Args:
            compositions: numbers of atoms.
            y: the targets.
            isolated: which graphs are isolated atoms.
            moved: the values that there are get moved by as little as will do, those of species that have none (0)
                first; species that these graphs have not keep theirs.
        """
        known = self.values.clone()
        if not moved:
            self.values.zero_()
        alone = torch.zeros(len(y), dtype=torch.bool) if isolated is None else isolated
        for z in compositions[alone].argmax(1).unique().tolist():
            self.values[z] = y[alone & (compositions[:, z] > 0)].min()
        pinned = compositions[alone].sum(0) > 0
        rest = y - compositions @ self.values.to(y)
        free = (compositions.sum(0) > 0) & ~pinned
        for species in ([free & (known == 0)] if moved else []) + [free]:
            if species.any():
                counts = compositions[:, species]
                solution = torch.linalg.lstsq(counts, rest.unsqueeze(1), driver="gelsd").solution.squeeze(1)
                self.values[species] += solution
                rest = rest - counts @ solution
        return rest

    def forward(
        self, z: Int[Tensor, " nodes"], membership: Int[Tensor, " nodes"], graphs: int
    ) -> Float[Tensor, " graphs"]:
        """:math:`y_0` of each graph, float64."""
        return segment.sum(self.values.index_select(0, z), membership, graphs)


def composition(z: Int[Tensor, " nodes"]) -> Float[Tensor, " species"]:
    """The number of atoms of each species, by atomic number, float64."""
    return torch.bincount(z, minlength=ATOMIC_NUMBERS).to(torch.float64)


def is_isolated(graph: Graph) -> bool:
    """Whether a graph is an isolated atom: one node that does not repeat in space."""
    return graph.get("z") is not None and graph.num_nodes == 1 and not graph.periodic


def beyond(
    graphs: Graphs, name: str, network: Callable[[Graph], Tensor], most: int = 32, *,
    truth: Callable[[Graph], Tensor] | None = None, of_nodes: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """What a network leaves of a label: y minus its part of it, compositions, and which graphs are isolated atoms; of
    those with the label.

    Args:
        graphs: with or without atomic numbers; without, there are no compositions.
        name: of the label.
        network: a batch -> its part of the label of each graph, without references.
        most: graphs in a batch.
        truth: a graph -> the numbers of its label that the network answers; None for all of them.
        of_nodes: there is one for each node, whose composition is itself.
    """
    rest, compositions, alone = [], [], []
    for start in range(0, len(graphs), most):
        several = [
            graph
            for k in range(start, min(start + most, len(graphs)))
            if bool((graph := graphs[k])[name].isfinite().all())
        ]
        if several:
            with torch.no_grad():
                part = network(collate(several)).reshape(-1).to("cpu", torch.float64)
            labels = [
                (graph[name] if truth is None else truth(graph)).reshape(-1).to(torch.float64) for graph in several
            ]
            rest.append(torch.cat(labels) - part)
            parts = [
                z
                for graph in several
                if (all_z := graph.get("z")) is not None
                for z in (all_z.split(1) if of_nodes else (all_z,))
            ]
            compositions += [composition(z) for z in parts]
            alone += [is_isolated(graph) for graph in several for _ in range(graph.num_nodes if of_nodes else 1)]
    return (
        torch.cat(rest),
        torch.stack(compositions) if compositions else torch.empty(0, ATOMIC_NUMBERS),
        torch.tensor(alone),
    )
