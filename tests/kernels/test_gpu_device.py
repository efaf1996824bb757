"""The kernels on a graphics card: the cases of the interpreter, and larger ones."""

from __future__ import annotations

import os
from importlib.util import find_spec

import gpu_cases
import pytest
import torch

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed"),
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="Triton interprets here"),
]


@pytest.mark.parametrize("suite", ["plans", "precisions", "graphs", "parts"])
def test_small_cases(suite: str) -> None:
    found = {
        name: value
        for case in gpu_cases.suite(suite)
        for name, value in gpu_cases.deviations(case, "cuda", twice=True).items()
    }
    assert [name for name, value in found.items() if not value <= gpu_cases.bounds(name)] == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", gpu_cases.PRODUCTS)
def test_many_edges(name: str, dtype: torch.dtype) -> None:
    found = gpu_cases.deviations(gpu_cases.Case(name, "many", gpu_cases.EVERY, dtype), "cuda", twice=True)
    assert [name for name, value in found.items() if not value <= gpu_cases.bounds(name)] == []
