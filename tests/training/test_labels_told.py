"""What a run says of the labels of its file: learned, read or left; and of its errors beside the baseline."""

from __future__ import annotations

import pytest

from intertwine.data.resolution import Decision
from intertwine.models import PaiNN
from intertwine.tasks import ForceField, Property
from intertwine.tasks.verdict import of_the_baseline
from intertwine.training.report import _for


@pytest.mark.parametrize(
    ("task", "used"),
    [
        (lambda: ForceField(PaiNN(width=4, layers=1)), {"energy", "forces"}),
        (lambda: ForceField(PaiNN(width=4, layers=1, node_inputs=("charge",))), {"energy", "forces", "charge"}),
        (lambda: Property(PaiNN(width=4, layers=1), target="temperature"), {"temperature"}),
    ],
    ids=["force field", "with charges", "property"],
)
def test_labels_that_are_not_learned_say_so(task, used: set[str]) -> None:
    names = ("energy", "forces", "temperature", "charge")
    decisions = [Decision(name, name, "structure", "", 3, 3, "why") for name in names]
    told = _for(task(), decisions)
    assert [each.label for each in told] == list(names)
    assert {each.label for each in told if each.why == "why"} == used
    assert {each.why for each in told} == {"why", "read, not learned"}


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ([], ""),
        ([0.0203, 0.444], "2.03 % and 44.4 % of the baseline's"),
        ([9.99], "999 % of the baseline's"),
        ([0.9, 121.24], "0.9 and 121 times the baseline's"),
    ],
)
def test_ratios_are_read_at_a_glance(ratios: list[float], words: str) -> None:
    assert of_the_baseline(ratios) == words
