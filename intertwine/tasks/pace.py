"""How fast, and for how long, a task is learned."""

from __future__ import annotations

from typing import Any, NamedTuple

BEGUN_RATE_FACTOR, MOST_WARMUP_STEPS = 0.6, 500  # rate of weights that are begun; steps at most in which it is reached


class Pace(NamedTuple):
    """Batch size, rate and length of training that suit a task on a processor, for minutes to hours.

    ``batch_size``: graphs; ``learning_rate``: the largest, for a model whose own factor is 1; ``steps``: of the
    optimizer in all, from which the epochs follow, between ``least`` and ``most``.
    """

    batch_size: int
    learning_rate: float
    steps: int
    least: int
    most: int

    def options(self, graphs: int, rate: float, begun: bool = False) -> dict[str, Any]:
        """The options of the training: of so many graphs, with a model whose rate is so many times the usual.

        Weights that are ``begun`` move at a lower rate, which rises over the first epoch: Adam's first steps are of
        full size whatever the gradient, and would undo what is known.
        """
        epochs = round(self.steps / max(1, graphs / self.batch_size))
        chosen = {
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate * rate,
            "epochs": min(max(epochs, self.least), self.most),
        }
        if begun:
            chosen["learning_rate"] = float(f"{chosen['learning_rate'] * BEGUN_RATE_FACTOR:.3g}")
            chosen["warmup"] = min(-(-graphs // self.batch_size), MOST_WARMUP_STEPS)
        return chosen
