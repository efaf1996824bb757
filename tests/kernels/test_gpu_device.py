"""The kernels on a graphics card: the cases of the interpreter, and larger ones."""

from __future__ import annotations

import os
from importlib.util import find_spec

import gpu_cases
import gpu_layers
import pytest
import torch

from intertwine.kernels.harmonics.operators import evaluate
from intertwine.kernels.polynomial.operators import contract
from intertwine.o3 import Linear
from intertwine.o3.harmonic_plans import solid

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


@pytest.mark.parametrize("family", ["harmonics", "linear", "polynomial"])
def test_layers_and_their_derivatives(family: str) -> None:
    found = gpu_layers.deviations(family, "cuda", twice=True)
    assert [name for name, value in found.items() if not value <= gpu_cases.bounds(name)] == []


def test_a_whole_model_runs_on_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTWINE_KERNELS", "auto")  # and back to what it was
    for name, found in gpu_layers.models("cuda").items():
        assert {"gather gpu", "scatter gpu", "harmonics gpu", "linear gpu"} <= set(found["ran"]), name
        assert found["trusted"]
        assert found["off"] < 1e-4


def test_a_fault_is_told_once() -> None:
    for family, found in gpu_layers.faults("cuda").items():
        assert len(found["messages"]) == 1, family
        assert found["off"] <= 40


def test_offsets_beyond_32_bits() -> None:
    """The last rows of arrays of more than 2^31 numbers are those of small ones."""
    half, device, last = torch.bfloat16, "cuda", 5
    rows = 2**31 // 16 + 1000
    plan, generator = solid((0, 1, 2, 3), "component", True).text, torch.Generator(device).manual_seed(0)
    x = torch.randn(rows, 3, dtype=half, device=device, generator=generator)
    y = evaluate(x, plan)
    assert y.numel() > 2**31
    assert torch.equal(y[-last:], evaluate(x[-last:].clone(), plan))
    layer = Linear("16x0e", "16x0e", dtype=half, device=device).requires_grad_(False)
    assert torch.equal(layer(y)[-last:], layer(y[-last:].clone()))
    nodes = 2**31 // 1152 + last
    z = y.flatten()[: nodes * 9 * 128].view(nodes, 9, 128)
    weights, group = z[:1, :2].clone(), torch.zeros(nodes, dtype=torch.int64, device=device)
    program = gpu_layers.long_rows().text
    own, _ = contract([z, weights], group, 1, program)
    assert torch.equal(own[-last:], contract([z[-last:].clone(), weights], group[-last:], 1, program)[0])
