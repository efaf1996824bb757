"""What the rows of a field belong to: the one place that tells nodes from pairs and from points of space.

A :class:`Level` says how many rows a graph has at it, which graph of a batch each row is of, and which rows are left,
in which order, where nodes are listed anew. How an isometry moves a row does not follow from its level but from the
field's representation (:func:`intertwine.geometry.act`). The trainer, the report, the files and the certificate ask
here and nowhere else: a new level (elements of a group, say) is one class and one line in :data:`LEVELS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from intertwine.numerics import GeometryError


@runtime_checkable
class Rowed(Protocol):
    """What a level asks of a :class:`~intertwine.geometry.Graph`, or of a batch: its fields by name, and how many
    graphs it is.
    """

    @property
    def pos(self) -> Any:
        """Positions (N, n)."""
        ...

    @property
    def graphs(self) -> int:
        """How many graphs: 1, or the size of the batch."""
        ...

    def membership(self) -> Tensor:
        """The graph of each node (N,)."""
        ...

    def level(self, name: str) -> str | None:
        """The level of a field, if it is known."""
        ...

    def rows(self, name: str) -> Tensor:
        """The graph of each row of a field."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        ...

    def get(self, name: str) -> Any:
        """A field; None where there is none."""
        ...

    def __getitem__(self, name: str) -> Any: ...


class Level(ABC):
    """Base of the levels.

    Attributes:
        single: every graph has one row.
        lists: the field that lists the rows, where one does: it speaks of nodes by number, so it is no field like
            others.
        place: the field with the place of each row in space, if it has one: ``pos`` or ``points``.
        copies: how often a row occurs in a cell that is written twice; None where another cell has other rows.
    """

    single: bool = False
    lists: str = ""
    place: str = ""
    copies: int | None = None

    @abstractmethod
    def rows(self, graph: Rowed) -> int | None:
        """How many rows a graph, or a batch, has; None where it does not say."""

    @abstractmethod
    def owner(self, graph: Rowed) -> Int[Tensor, " rows"]:
        """The graph of each row of a batch."""

    def taken(self, nodes: Int[Tensor, " k"], graph: Rowed) -> Int[Tensor, " rows"] | None:
        """The rows that are left, in their order, where the nodes are ``nodes``, in that order: all of them or some.
        None leaves all as they are."""
        return None

    def parts(self, value: Shaped[Tensor, "rows ..."], graphs: Sequence[Rowed]) -> list[Shaped[Tensor, "..."]]:
        """The rows of each graph, of a batch of them: (rows, ...) each; of a whole graph (...).

        Raises:
            GeometryError: a graph does not say how many rows it has.
        """
        if self.single:
            return list(value.unbind(0))
        counts = [self.rows(graph) for graph in graphs]
        if None in counts:
            what = f"graph {counts.index(None)} does not say how many rows it has"
            remedy = f"give {self.lists or self.place}, one row each."
            raise GeometryError(what, where=self.lists or self.place, remedy=remedy)
        return list(value.split(counts))


class Wholes(Level):
    single = True

    def rows(self, graph: Rowed) -> int | None:
        return graph.graphs

    def owner(self, graph: Rowed) -> Tensor:
        return torch.arange(graph.graphs, device=graph.pos.device)


class Nodes(Level):
    place, copies = "pos", 2

    def rows(self, graph: Rowed) -> int | None:
        return len(graph.pos)

    def owner(self, graph: Rowed) -> Tensor:
        return graph.membership()

    def taken(self, nodes: Tensor, graph: Rowed) -> Tensor | None:
        return nodes


class Edges(Level):
    """The columns of ``edge_index``, in their order."""

    lists = "edge_index"

    def rows(self, graph: Rowed) -> int | None:
        edges = graph.get(self.lists)
        return None if edges is None else edges.shape[1]

    def owner(self, graph: Rowed) -> Tensor:
        return graph.membership().index_select(0, graph["edge_index"][1])

    def taken(self, nodes: Tensor, graph: Rowed) -> Tensor | None:
        return None if graph.get(self.lists) is None else _within(nodes, graph["edge_index"].T, graph)


class Pairs(Level):
    """The rows (i, j) of ``pairs``, in their order; where a graph lists none, every node with every node
    (:func:`pair_list`).
    """

    lists = "pairs"

    def rows(self, graph: Rowed) -> int | None:
        if graph.get(self.lists) is not None:
            return len(graph["pairs"])
        return int(torch.bincount(graph.membership(), minlength=graph.graphs).square().sum())

    def owner(self, graph: Rowed) -> Tensor:
        return graph.membership().index_select(0, pair_list(graph)[:, 0])

    def taken(self, nodes: Tensor, graph: Rowed) -> Tensor | None:
        if graph.get(self.lists) is not None:
            return _within(nodes, graph["pairs"], graph)
        member, graphs = graph.membership(), graph.graphs
        counts, rank = _ranks(member, graphs)
        i, j = nodes[_all_pairs(member[nodes], graphs)].T
        starts = counts.square().cumsum(0) - counts.square()
        return starts[member[i]] + rank[i] * counts[member[i]] + rank[j]


class Points(Level):
    """Points of space, any number of them: ``points`` has their coordinates."""

    place, copies = "points", 1

    def rows(self, graph: Rowed) -> int | None:
        name = self._first(graph)
        return None if name is None else len(graph[name])

    def owner(self, graph: Rowed) -> Tensor:
        name = self._first(graph)
        return graph.pos.new_zeros(0, dtype=torch.int64) if name is None else graph.rows(name)

    def _first(self, graph: Rowed) -> str | None:
        return next(
            (
                name
                for name, value in graph.to_dict().items()
                if isinstance(value, Tensor) and graph.level(name) == "point"
            ),
            None,
        )


#: What the rows of a field can belong to.
LEVELS: dict[str, Level] = {"node": Nodes(), "edge": Edges(), "graph": Wholes(), "pair": Pairs(), "point": Points()}


def pair_list(graph: Rowed) -> Int[Tensor, "pairs 2"]:
    """The nodes (i, j) of each row of a field at level "pair".

    They are the rows of ``graph.pairs``. Without it all pairs of nodes of one graph, each with itself too: graph after
    graph, row :math:`i N + j` for the i-th and the j-th of the N nodes of a graph as they are listed.
    """
    listed = graph.get("pairs")
    return listed if listed is not None else _all_pairs(graph.membership(), graph.graphs)


def pair_rows(graph: Rowed, i: Int[Tensor, " edges"], j: Int[Tensor, " edges"]) -> Int[Tensor, " edges"]:
    """The rows of fields at level "pair" that are of the nodes (i, j), which are nodes of one graph.

    Raises:
        GeometryError: the graph's ``pairs`` do not list one of them; it is named.
    """
    listed, nodes = pair_list(graph), len(graph.pos)
    keys, order = torch.sort(listed[:, 0] * nodes + listed[:, 1])
    wanted = i * nodes + j
    place = torch.searchsorted(keys, wanted).clamp(max=max(len(keys) - 1, 0))
    missing = keys[place] != wanted if len(keys) else torch.ones_like(wanted, dtype=torch.bool)
    if bool(missing.any()):
        k = int(missing.nonzero()[0])
        what = f"the pair of nodes {int(i[k])} and {int(j[k])} is not listed"
        raise GeometryError(what, where="pairs", remedy="list it, and each node with itself; or leave `pairs` out.")
    return order[place]


def _all_pairs(member: Tensor, graphs: int) -> Tensor:
    counts = torch.bincount(member, minlength=graphs)
    nodes, squares = torch.argsort(member, stable=True), counts.square()
    of = torch.repeat_interleave(torch.arange(graphs, device=member.device), squares)
    row = torch.arange(len(of), device=member.device) - (squares.cumsum(0) - squares)[of]
    both = torch.stack([row // counts[of], row % counts[of]], dim=1)
    return nodes[(counts.cumsum(0) - counts)[of].unsqueeze(1) + both]


def _ranks(member: Tensor, graphs: int) -> tuple[Tensor, Tensor]:
    """The number of nodes of each graph, and the number of each node among those of its graph."""
    counts, nodes = torch.bincount(member, minlength=graphs), torch.argsort(member, stable=True)
    place = torch.arange(len(member), device=member.device) - (counts.cumsum(0) - counts)[member[nodes]]
    return counts, torch.empty_like(nodes).index_copy(0, nodes, place)


def _within(nodes: Tensor, listed: Tensor, graph: Rowed) -> Tensor:
    """The rows of a list of nodes that name only ``nodes``."""
    return (renumbered(nodes, graph)[listed] >= 0).all(1).nonzero().flatten()


def renumbered(nodes: Tensor, graph: Rowed) -> Int[Tensor, " nodes"]:
    """The number that each node of a graph has in the list ``nodes``; -1 if it is not in it."""
    new = torch.full((len(graph.pos),), -1, dtype=torch.int64, device=nodes.device)
    return new.index_copy(0, nodes, torch.arange(len(nodes), device=nodes.device))
