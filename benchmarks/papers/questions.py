"""Who is asked what in expressivity.py: the lines and cells of its table, and what theory says of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from distinguish import Question, steerable, vectors
from pairs import BODY, Pair, chains, turned
from theory import THEORY

ORDERS = (1, 2, 3, 5, 10)  # largest degrees of steerable models
LAYERS, FOLDS = (2, 3, 4, 5, 6), (2, 3, 5, 10)
#: Its messages couple all degrees: 381 paths for l = 10, too long for a kernel, minutes a run.
LARGEST_ORDER = {"segnn": 5}
CHAIN_NODES = 4  # in the line of a chain


class Row(NamedTuple):
    """A line of the table: a model, with arguments where it has several lines."""

    name: str
    model: str
    extra: dict[str, Any]


class Cell(NamedTuple):
    """A test: "chain" with layers, "turned" with a fold and a degree, or "body" with the name of a pair."""

    kind: str
    what: int | str
    order: int | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.what}" + (f", l = {self.order}" if self.order is not None else "")

    def question(self) -> Question:
        if self.kind == "chain":
            return Question(int(self.what), None, "scalars")
        if self.kind == "turned":
            return Question(1, self.order, "all")
        return Question(1, None, "handed" if self.what == "chiral" else "scalars")

    def pair(self, seed: int) -> Pair:
        if self.kind == "chain":
            return chains(CHAIN_NODES)
        if self.kind == "turned":
            fold = int(self.what)
            return turned(fold, 2 * math.pi / (fold + 1 + seed % fold))
        return BODY[str(self.what)]()


CHAIN = [Cell("chain", layers) for layers in LAYERS]
BODIES = [Cell("body", name) for name in BODY]
TURNED = [Cell("turned", fold, order) for fold in FOLDS for order in ORDERS]


def rows(names: Sequence[str]) -> list[Row]:
    """The lines of the table; MACE has one for each correlation."""
    lines = []
    for name in sorted(names, key=lambda model: (list(THEORY).index(model) if model in THEORY else len(THEORY), model)):
        lines.append(Row(name, name, {}))
        if name == "mace":
            lines += [Row(f"mace, correlation {nu}", name, {"correlation": nu}) for nu in (1, 2, 4)]
    return lines


def cells(row: Row) -> list[Cell]:
    """The tests that a line takes part in: directions only where the model has some, other correlations only in the
    test of body order.
    """
    if row.extra:
        return BODIES
    orders = (
        [l for l in ORDERS if l <= LARGEST_ORDER.get(row.model, l)]
        if steerable(row.model)
        else [1]
        if vectors(row.model)
        else []
    )
    return [*CHAIN, *BODIES, *(cell for cell in TURNED if cell.order in orders)]


def expected(row: Row, cell: Cell) -> bool | None:
    """What theory says; None where it says nothing."""
    theory = THEORY.get(row.name)
    if theory is None:
        return None
    if cell.kind == "chain":
        return theory.chain is not None and int(cell.what) >= theory.chain
    if cell.kind == "body":
        return theory.body[list(BODY).index(str(cell.what))] == 1
    fold, order = int(cell.what), cell.order or 0
    if theory.directions == "axes":
        return False if fold == 2 else None
    if theory.directions == "even":
        return order >= fold * (1 + fold % 2)
    return int({"l": order, "frame": fold}.get(str(theory.directions), theory.directions)) >= fold
