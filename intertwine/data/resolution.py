"""What was decided of a file's labels, and the table that says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from intertwine.data.inventory import Found


class Decision(NamedTuple):
    """One label: ``key``, its name in the file; ``level``, "structure" or "atoms"; ``unit``, of the file; in ``frames``
    of ``of``; why.
    """

    label: str
    key: str
    level: str
    unit: str
    frames: int
    of: int
    why: str


def table(decisions: Sequence[Decision]) -> list[str]:
    """The decisions as lines of a table."""
    rows = [
        (
            each.label,
            f"from {each.key}",
            f"of the {each.level}",
            each.unit,
            f"{each.frames} of {each.of} structures",
            each.why,
        )
        for each in decisions
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(5)] if rows else []
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    ]


@dataclass
class Resolution:
    """What was decided for a file: ``sources`` by label, why each (``reasons``), the level of each, and ``notes`` for
    the user.
    """

    sources: dict[str, Found] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def take(self, label: str, source: Found, why: str) -> None:
        self.sources[label], self.reasons[label] = source, why

    def table(self, units: Mapping[str, str], frames: int) -> tuple[Decision, ...]:
        """The decisions, one a label; ``units`` by label."""
        word = {"node": "atoms", "graph": "structure"}
        return tuple(
            Decision(
                label,
                source.key,
                word[self.levels[label]],
                units.get(label, ""),
                source.count,
                frames,
                self.reasons[label],
            )
            for label, source in self.sources.items()
        )
