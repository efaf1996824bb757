"""A search over settings: short trainings of equal time, compared by their validation errors."""

from intertwine.training.tuning.knobs import Knob, knobs_of
from intertwine.training.tuning.record import Record, Trial
from intertwine.training.tuning.search import Search, tune
from intertwine.training.tuning.telling import Findings, best_of, command, document, table
from intertwine.training.tuning.yardstick import Yardstick

__all__ = [
    "Findings",
    "Knob",
    "Record",
    "Search",
    "Trial",
    "Yardstick",
    "best_of",
    "command",
    "document",
    "knobs_of",
    "table",
    "tune",
]
