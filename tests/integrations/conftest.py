"""Force fields with random weights: smooth, conservative, cheap."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from intertwine.models import MODELS
from intertwine.tasks import ForceField

SIZES = {"width": 8, "layers": 1, "radial_size": 6, "cutoff": 3.0}


@pytest.fixture
def force_field() -> Callable[..., ForceField]:
    """Makes a force field (eV, A) of random weights, in float64, with energies and forces of the size that molecules
    have.
    """

    def make(name: str = "painn", scale: float = 1.0, **sizes: object) -> ForceField:
        torch.manual_seed(2)
        arguments = {key: value for key, value in (SIZES | sizes).items() if name != "egnn" or key != "radial_size"}
        task = ForceField(MODELS[name](**arguments)).double().eval()
        task.scale.fill_(scale)
        task.references.values[[1, 6, 8]] = torch.tensor([-13.6, -1029.4, -2042.7], dtype=torch.float64)
        return task

    return make
