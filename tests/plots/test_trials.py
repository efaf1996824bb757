"""The picture of a search: the best so far is of trials that were not stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from intertwine import plots
from intertwine.numerics import InputError


def test_the_best_so_far_is_of_whole_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, step = [], Axes.step
    monkeypatch.setattr(Axes, "step", lambda self, x, y, **o: steps.append((list(x), list(y))) or step(self, x, y, **o))
    stopped = [False, True, False, False]
    path = plots.trials([1.0, 0.5, 0.8, 0.9], stopped, np.arange(1.0, 5.0), tmp_path / "t.png")
    assert path.stat().st_size > 5000
    assert steps == [([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 0.8, 0.8])]


@pytest.mark.parametrize(
    ("figures", "minutes", "words"),
    [([], [], "0 values"), ([1.0, 0.0], [1.0, 2.0], "a figure of 0"), ([1.0], [1.0, 2.0], "figures and minutes")],
)
def test_bad_trials_are_named(figures: list, minutes: list, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        plots.trials(figures, [False] * len(figures), minutes, tmp_path / "t.png")
    assert words in str(caught.value)
