"""What every model of the command line checks when it is made."""

from __future__ import annotations

import pytest
import torch
from molecular import MODELS

from intertwine.geometry import Graph
from intertwine.numerics import InputError


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_usable(name: str) -> None:
    """Every model of the command line can be made with no arguments and takes a molecule of any elements."""
    model = MODELS[name]()
    assert model(Graph(torch.zeros(1, 3), z=[92])).shape == (1, model.irreps_out.dim)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("name", MODELS)
def test_cutoffs_are_checked_when_the_model_is_made(name: str, cutoff: float) -> None:
    with pytest.raises(InputError, match="cutoff"):
        MODELS[name](cutoff=cutoff)


@pytest.mark.parametrize("argument", ["width", "layers"])
@pytest.mark.parametrize("name", MODELS)
def test_sizes_are_checked_when_the_model_is_made(name: str, argument: str) -> None:
    with pytest.raises(InputError, match=argument):
        MODELS[name](**{argument: 0})
