"""How fast, and for how long, a task is learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

WARMUP_EPOCHS, WARMUP_PART = 10, 0.1  # of a run with another's weights: the rate rises over the shorter of the two

CODES = {"schedule": "cosine", "clip": 5.0}  # settings of what makes codes of points and signals
ELECTRONS = {"schedule": "cosine", "average": 0.995, "clip": 1.0, "minimum_rate": 1e-6}  # of densities, of matrices


class Pace(NamedTuple):
    """Batch size, rate and length of training that suit a task on a processor, for minutes to hours.

    ``batch_size``: graphs; ``learning_rate``: the largest, for a model whose own factor is 1; ``steps``: of the
    optimizer in all, from which the epochs follow, between ``least`` and ``most``; ``settings``: further ones of the
    training, by name, whatever the data are.
    """

    batch_size: int
    learning_rate: float
    steps: int
    least: int
    most: int
    settings: Mapping[str, Any] = {}

    def options(self, graphs: int, rate: float) -> dict[str, Any]:
        """The options of the training: of so many graphs, with a model whose rate is so many times the usual."""
        epochs = round(self.steps / max(1, graphs / self.batch_size))
        return {
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate * rate,
            "epochs": min(max(epochs, self.least), self.most),
        }


def warmup_steps(graphs: int, batch_size: int, epochs: int) -> int:
    """Steps over which the rate of a run that begins with another's weights rises: those of ten epochs, or a tenth of
    the run, whichever is less.

    Adam's first steps are of full size whatever the gradient, and would undo what is known.

    Args:
        graphs: of the training set.
        batch_size: graphs of a step, of all processes together.
        epochs: of the run.
    """
    return round(min(WARMUP_EPOCHS, WARMUP_PART * epochs) * -(-graphs // batch_size))
