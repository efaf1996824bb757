"""The kernels for graphics cards in Triton's interpreter, and what comes before they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import gpu_cases
import pytest
import torch

from intertwine.kernels.convolution import gpu
from intertwine.kernels.convolution.forms import VALUE, gradient, second
from intertwine.kernels.convolution.gpu import launch
from intertwine.kernels.convolution.gpu.schedule import gather_jobs, scatter_jobs
from intertwine.kernels.convolution.plan import channelwise
from intertwine.numerics import InputError

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")


def script(*arguments: str, **environment: str) -> str:
    """What a new process prints: Triton's interpreter is chosen when Triton is imported."""
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@needs_triton
@pytest.mark.parametrize("suites", [("plans",), ("precisions", "graphs", "parts")], ids=" ".join)
def test_values_and_derivatives_are_those_of_the_reference(suites: tuple[str, ...]) -> None:
    found = json.loads(script(gpu_cases.__file__, *suites, TRITON_INTERPRET="1"))
    assert len(found) > 20
    assert [name for name, value in found.items() if not value <= gpu_cases.bounds(name)] == []


@needs_triton
def test_the_programs_compile_for_a_hopper_card_without_spilling() -> None:
    """With the compiler and the assembler that come with Triton; a card is not needed."""
    found = json.loads(script(str(Path(__file__).parent / "gpu_compile.py"), TRITON_INTERPRET="0"))
    assert set(found) == {"gather", "scatter"}
    for one in found.values():
        assert one["local"] == 0
        assert one["bytes"] > 0


def test_tensors_on_the_cpu_are_refused() -> None:
    if find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("this process has no compiler of Triton")
    plan = channelwise(gpu_cases.product(*gpu_cases.PRODUCTS["scalars"]))
    assert plan is not None
    tensors = {"x": torch.ones(2, plan.dim_x), "y": torch.ones(1, plan.dim_y), "w": torch.ones(1, plan.dim_w)}
    index = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(InputError, match="graphics card"):
        gpu.gather(plan, VALUE, tensors, index, torch.tensor([0, 1, 1]), index, 2)


def test_a_missing_triton_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_installed", lambda: False)
    assert not gpu.supports(torch.float32)
    with pytest.raises(InputError, match="pip install triton"):
        gpu.require()


@needs_triton
def test_precisions() -> None:
    assert [gpu.supports(dtype) for dtype in (torch.float32, torch.float64, torch.bfloat16)] == [True] * 3
    assert not gpu.supports(torch.float16)
    assert not gpu.supports(torch.int64)


@pytest.mark.parametrize("name", gpu_cases.PRODUCTS)
@pytest.mark.parametrize("size", [4, 8, 64])
def test_jobs_share_the_terms_out(name: str, size: int) -> None:
    """Every term is in one job, jobs write to different places, and none but a single block is much above the limit."""
    plan = channelwise(gpu_cases.product(*gpu_cases.PRODUCTS[name]))
    assert plan is not None
    gathers, scatters = gather_jobs(plan, VALUE, size), scatter_jobs(plan, gradient("xyw"), size)
    assert sum(len(job.steps) for job in gathers) == sum(len(job.steps) for job in scatters) == len(plan.terms)
    written = [strip for job in gathers for strip in job.zs]
    assert len(set(written)) == len(written)
    assert set(written) == {term.z for term in plan.terms}
    sources = [strip for job in scatters for strip in job.xs]
    assert len(set(sources)) == len(sources)
    assert all(strip.mul == job.channels for job in gathers for strip in (*job.zs, *job.xs))
    assert all(len(job.zs) == 1 or job.summed <= 1.5 * 256 / size for job in gathers)


def test_equal_plans_have_one_job_and_different_ones_have_different_names() -> None:
    plan, other = (channelwise(gpu_cases.product(*gpu_cases.PRODUCTS[name])) for name in ("scalars", "vectors"))
    same = channelwise(gpu_cases.product(*gpu_cases.PRODUCTS["scalars"]))
    assert plan is not None
    assert other is not None
    assert same is not None
    assert gather_jobs(plan, VALUE, 4)[0] is gather_jobs(same, VALUE, 4)[0]
    names = [repr(gather_jobs(one, forms, 4)[0]) for one in (plan, other) for forms in (VALUE, second("abc", "gxyw"))]
    assert len(set(names)) == 4
