"""What a task predicts, and how its errors are printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from intertwine.geometry import LEVELS
from intertwine.groups import Representation
from intertwine.numerics import choose


@dataclass(frozen=True)
class Output:
    """What one predicted quantity is.

    ``representation``: how it transforms; ``level``: what its rows belong to, "node", "edge" (``edge_index``), "pair"
    (:func:`intertwine.geometry.pair_list`), "graph" or "point" (``points``); ``unit``; ``affine``: whether it is a
    point of space, which translations move too; ``label``: the field of the data that holds the truth, by default of
    the output's own name; ``per_atom``: whether it is drawn and compared divided by the number of atoms;
    ``extensive``: whether it is a sum over the nodes, as is then its baseline.

    Raises:
        InputError: there is no such level.
    """

    representation: Representation
    level: str
    unit: str
    affine: bool = False
    label: str = ""
    per_atom: bool = False
    extensive: bool = False

    def __post_init__(self) -> None:
        choose(self.level, LEVELS, kind="level", where="Output")


class Metric(NamedTuple):
    """How errors of a target are printed: ``unit``, and ``factor`` from the residual's own unit to it."""

    unit: str
    factor: float = 1.0
