"""What a run says of the labels of its file: which it learns, which it reads, and which it does not look at."""

from __future__ import annotations

import pytest

from intertwine.data.resolution import Decision
from intertwine.models import PaiNN
from intertwine.tasks import ForceField, Property
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
