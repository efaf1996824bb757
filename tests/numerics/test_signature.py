"""What is made from a configuration remembers it."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from intertwine.numerics.signature import Configured


class Made(Configured, torch.nn.Module):
    def __init__(
        self, inner: torch.nn.Module, width: int = 3, names: tuple[str, ...] = (), *, loss: str = "l2"
    ) -> None:
        super().__init__()
        self.inner = inner


def test_arguments_as_given_and_no_objects() -> None:
    made = Made(torch.nn.Linear(1, 1), 4, loss="l1")
    assert made.settings == {"width": 4, "loss": "l1"}
    assert "settings" not in made.state_dict()
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert twin.settings == made.settings
        assert twin.inner.weight is not made.inner.weight


def test_wrong_arguments_are_the_constructors_to_refuse() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'widht'"):
        Made(torch.nn.Linear(1, 1), widht=4)
