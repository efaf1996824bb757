"""Batches in an order that the seed and the epoch decide, dealt to any number of processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch

from intertwine.data.store import GraphStore
from intertwine.geometry import Graph, collate
from intertwine.numerics import InputError, IntertwineError
from intertwine.numerics.showing import counted

KEPT_BYTES = 512 * 2**20  # bytes of graphs that are kept as objects, because making them costs as much as batching them
OBJECT_BYTES = 4096  # bytes of a graph besides its tensors, about


class Loader:
    """Iterates over one epoch of batches (each a :class:`Graph` with ``batch`` and ``num_graphs``).

    An epoch is cut into global batches of nearly equal size, at most ``processes * batch_size``; process ``rank`` takes
    the graphs ``rank, rank + processes, ...`` of each. So P processes see together what one with P times the batch size
    sees.

    Args:
        dataset: graphs by index.
        batch_size: graphs in a batch of one process, at most.
        seed: decides the order, with ``epoch``; None keeps the order of the data set.
        rank: number of this process.
        processes: how many there are.
        workers: processes that prepare batches ahead; 0 prepares them here.

    Attributes:
        epoch: the epoch that the next iteration is of.

    Raises:
        InputError: fewer graphs than processes.
    """

    def __init__(
        self,
        dataset: GraphStore | Sequence[Graph],
        batch_size: int,
        *,
        seed: int | None = None,
        rank: int = 0,
        processes: int = 1,
        workers: int = 0,
    ) -> None:
        if len(dataset) < processes:
            raise InputError(
                f"{counted(len(dataset), 'structures')} for {processes} processes",
                where="training.devices",
                remedy="use fewer devices or more data.",
            )
        self.dataset, self.seed, self.rank, self.processes, self.workers = dataset, seed, rank, processes, workers
        n = len(dataset)
        self.count = -(-n // (batch_size * processes))
        while self.count and n // self.count < processes:  # every process needs a graph in every batch
            self.count -= 1
        self.epoch = 0
        self._kept: list[Graph | None] | None = [None] * n if not workers else None
        self._bytes = 0  # of the graphs kept
        self._prepared: torch.utils.data.DataLoader | None = None

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.count

    def global_batches(self, epoch: int) -> list[np.ndarray]:
        """Indices of the graphs of each batch of an epoch, of all processes together."""
        n = len(self.dataset)
        order = np.arange(n) if self.seed is None else np.random.default_rng([self.seed, epoch]).permutation(n)
        return np.array_split(order, self.count) if self.count else []

    def batches(self) -> list[list[int]]:
        """Indices of the graphs of each batch of the current epoch, of this process."""
        return [batch[self.rank :: self.processes].tolist() for batch in self.global_batches(self.epoch)]

    def __iter__(self) -> Iterator[Graph]:
        if self.workers:
            yield from self._ahead()
            return
        for indices in self.batches():
            yield collate([self._graph(k) for k in indices])

    def _graph(self, k: int) -> Graph:
        if self._kept is None:
            return self.dataset[k]
        graph = self._kept[k]
        if graph is None:
            graph = self.dataset[k]
            size = OBJECT_BYTES + sum(
                value.nbytes for value in graph.to_dict().values() if isinstance(value, torch.Tensor)
            )
            if self._bytes + size <= KEPT_BYTES:
                self._kept[k] = graph
                self._bytes += size
        return graph

    def _ahead(self) -> Iterator[Graph]:
        if self._prepared is None:
            dataset: Any = self.dataset  # torch asks for its own class, and needs only an index
            self._prepared = torch.utils.data.DataLoader(
                _Caught(dataset),
                batch_sampler=_Batches(self),
                collate_fn=_together,
                num_workers=self.workers,
                worker_init_fn=quiet_when_left,
                persistent_workers=True,
            )
        for batch in self._prepared:
            if isinstance(batch, Exception):
                raise batch
            yield batch


def quiet_when_left(worker: int) -> None:
    """Makes this process silent about a connection that the program it prepares batches for has closed.

    A thread hands a batch's memory over while the program may end, by an error of its own or because another worker
    was killed. The program says what happened; a traceback of this process beside it says nothing.

    Args:
        worker: number of the worker, which torch's loader gives.
    """
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if not isinstance(error, (EOFError, ConnectionError)):
            before(kind, error, traceback)

    sys.excepthook = hook


class _Caught(torch.utils.data.Dataset):
    """A data set whose errors are returned: torch would send them home as another error, its message a traceback."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitem__(self, k: int) -> Any:
        try:
            return self.dataset[k]
        except (IntertwineError, MemoryError) as error:
            return error


def _together(graphs: list[Any]) -> Any:
    """The batch of these graphs, or the first of the errors among them."""
    return next((graph for graph in graphs if isinstance(graph, Exception)), None) or collate(graphs)


class _Batches:
    """What torch's loader calls a batch sampler."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.loader.batches())

    def __len__(self) -> int:
        return len(self.loader)
