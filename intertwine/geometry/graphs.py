"""A data set as a task sees it: what both speak of, on a floor below both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

from intertwine.geometry.graph import Graph


@runtime_checkable
class Graphs(Protocol):
    """Graphs with labels, by number.

    Attributes:
        name: of the data set, for messages.
        task: name of the task that it is meant for; empty if it says none.
        target: the label that is learned where nothing else is asked for; empty if it says none.
        units: unit of each field that has one, such as ``{"energy": "eV"}``.
        notes: what was assumed about the data, one sentence each; more may be added.
    """

    name: str
    task: str
    target: str
    units: dict[str, str]
    notes: list[str]

    @property
    def fields(self) -> Mapping[str, Tensor]:
        """The fields of all graphs, by name."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Graph: ...

    def field(self, name: str) -> Tensor:
        """A field of all graphs, concatenated over their nodes or stacked over the graphs."""
        ...

    def species(self) -> list[int]:
        """Atomic numbers that occur; empty if the nodes are not atoms."""
        ...

    def extensive(self, name: str) -> bool | None:
        """Whether a label grows with the size of a structure; None where that is not known."""
        ...

    def note(self, sentence: str) -> None:
        """Add a sentence to ``notes``, once."""
        ...
