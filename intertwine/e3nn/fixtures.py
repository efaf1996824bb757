"""The pytest fixture of ``e3nn.util.test``, apart, so that only test suites need pytest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from intertwine.e3nn.testing import FLOAT_TOLERANCE


@pytest.fixture(scope="session", autouse=True, params=["float32", "float64"])
def float_tolerance(request: pytest.FixtureRequest) -> Iterator[Tensor]:
    """Run every test with each of torch's default precisions; the value is the tolerance of that precision."""
    before = torch.empty(0).dtype
    dtype = getattr(torch, request.param)
    torch.set_default_dtype(dtype)
    yield FLOAT_TOLERANCE[dtype]
    torch.set_default_dtype(before)
