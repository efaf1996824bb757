"""Compiled code reads what a pointer shows: tensors that are not what they look like, and arguments that do not fit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from closed_doors import calls
from random_plans import D, case_of, depthwise

import intertwine
import intertwine.operators
from intertwine.kernels.convolution.fused import Fused
from intertwine.kernels.convolution.plan import channelwise
from intertwine.numerics import InputError
from intertwine.o3 import SphericalHarmonics, TensorProduct

PLAN = depthwise("8x0e+8x1o", "0e+1o", 1)
TEXT = channelwise(PLAN).encode()
convolve = torch.ops.intertwine.convolve


def test_lazy_negatives_and_zeros_have_their_values() -> None:
    one = case_of(PLAN, 0)
    run = Fused(PLAN).convolve
    expected = run(one.x, one.y, one.w, *one.ends)
    torch.testing.assert_close(run(torch._neg_view(one.x), one.y, one.w, *one.ends), -expected, rtol=0, atol=0)
    torch.testing.assert_close(run(one.x, one.y, torch._neg_view(one.w), *one.ends), -expected, rtol=0, atol=0)
    nothing = torch._efficientzerotensor(one.x.shape, dtype=D)
    assert not run(nothing, one.y, one.w, *one.ends).any()
    vectors = torch.randn(40, 3, dtype=D, generator=torch.Generator().manual_seed(0))
    harmonics = SphericalHarmonics([1, 2], normalize=True)
    assert torch.equal(harmonics(torch._neg_view(vectors)), harmonics(-vectors))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, w, i, j, n: (x[:, 1:], y, w, i, j, n), "x: "),
        (lambda x, y, w, i, j, n: (x, y[:, 1:], w, i, j, n), "y: "),
        (lambda x, y, w, i, j, n: (x, y.float(), w, i, j, n), "y: "),
        (lambda x, y, w, i, j, n: (x, y, w[:-1], i, j, n), "w: "),
        (lambda x, y, w, i, j, n: (x, y, None, i, j, n), "weights are missing"),
        (lambda x, y, w, i, j, n: (x, y, w, i.int(), j, n), "source: "),
        (lambda x, y, w, i, j, n: (x, y, w, i, j[:-1], n), "destination: "),
        (lambda x, y, w, i, j, n: (x, y, w, None, None, n), "source: "),
        (lambda x, y, w, i, j, n: (x, y, w, i, j, -1), "nodes: "),
    ],
)
def test_operators_look_at_their_arguments(change: Callable, message: str) -> None:
    """An exported program calls them without our modules."""
    one = case_of(PLAN, 0)
    with pytest.raises(InputError, match=message):
        convolve(TEXT, *change(one.x, one.y, one.w, *one.ends))


def test_parts_of_y_that_no_path_reads_have_no_slope() -> None:
    product = TensorProduct("8x1o", "0e+5x2e+1o", "8x1o", [(0, 0, 0, "uvu", True)], shared_weights=False, dtype=D)
    generator = torch.Generator().manual_seed(0)
    x, y, w = (torch.randn(6, size, dtype=D, generator=generator) for size in (24, 29, product.weight_numel))
    y.requires_grad_()
    (slope,) = torch.autograd.grad(product(x, y, w).square().sum(), y)
    assert slope[:, 0].all()
    assert not slope[:, 1:].any()


def test_many_channels_of_y_are_not_unrolled() -> None:
    """Code for each of a hundred channels would take minutes to compile; such products are evaluated as before."""
    assert Fused.supports(TensorProduct("8x1o", "16x0e", "8x1o", [(0, 0, 0, "uvu", True)]).kernel.plan)
    assert not Fused.supports(TensorProduct("8x1o", "130x0e", "8x1o", [(0, 0, 0, "uvu", True)]).kernel.plan)


# ----------------------------------------------------------------------------------------- every operator, in processes

HERE = Path(__file__).parent


def script(name: str, *arguments: str) -> subprocess.CompletedProcess:
    """A script beside this file, in a process of its own, with the kernels on."""
    variables = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)]),
        "INTERTWINE_KERNELS": "auto",
    }
    return subprocess.run(
        [sys.executable, str(HERE / name), *arguments], env=variables, capture_output=True, text=True, timeout=400
    )


def last(found: subprocess.CompletedProcess) -> str:
    return "\n".join((found.stdout.splitlines() or [""])[-8:]) + found.stderr[-2000:]


@pytest.mark.parametrize(
    ("family", "runs"), [("convolution", 160), ("harmonics", 336), ("linear", 96), ("contraction", 48)]
)
def test_programs_keep_to_the_memory_that_they_state(family: str, runs: int) -> None:
    """Value, first and second derivative, both precisions, between two pages that end the process when they are
    touched.
    """
    found = script("guarded.py", family)
    assert found.returncode == 0, last(found)
    assert found.stdout.splitlines()[-1].startswith(f"{family}: {runs} runs"), last(found)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="another signal")
@pytest.mark.parametrize("family", ["convolution", "harmonics", "linear", "contraction"])
def test_one_number_less_would_be_noticed(family: str) -> None:
    """The same with one number less than stated: the pages do what they are for."""
    assert script("guarded.py", family, "1").returncode == -signal.SIGSEGV


@pytest.mark.parametrize(("group", "cases"), [("operators", 1344), ("changes", 384), ("cotangents", 56)])
def test_doors_are_closed(group: str, cases: int) -> None:
    """What does not fit is refused by name, by every operator and in every backward pass; what is only laid out
    otherwise is served.
    """
    found = script("closed_doors.py", group)
    assert found.returncode == 0, last(found)
    assert found.stdout.splitlines()[-1] == f"{group}: {cases} cases, 0 wrong", last(found)


def test_the_case_of_november() -> None:
    cases = HERE.parent / "cases"
    found = subprocess.run(
        [sys.executable, str(cases / "reads_outside_memory.py")], capture_output=True, text=True, timeout=300
    )
    lines = [line for line in found.stdout.splitlines() if re.match("[a-e] ", line)]
    assert [line.split(" (")[0] for line in lines if "exit" in line] == [f"{name} exit 1" for name in "abcde"], (
        found.stdout
    )
    assert sum(" refused: InputError " in line for line in lines) == 5


def test_pointers_are_taken_at_one_door() -> None:
    """Benchmarks compare storages, and run nothing on them."""
    room = Path(intertwine.__file__).parent
    found = [
        str(file.relative_to(room))
        for file in room.rglob("*.py")
        if "data_ptr" in file.read_text() and file.parent.name != "bench"
    ]
    assert found == ["kernels/shared/doors.py"]
    launches = [
        file for file in (room / "kernels").rglob("*.py") if re.search(r"\brun\(|programs\.\w+\[", file.read_text())
    ]
    assert len(launches) >= 6
    assert all("doors." in file.read_text() for file in launches if file.name != "threads.py")


def test_every_operator_is_in_the_tables() -> None:
    """A new one must be called with what it can't take, too."""
    names = {
        name.removeprefix("intertwine::")
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("intertwine::")
    }
    assert {name.split(".")[0] for name in names} == {call.name.split(" ")[0] for call in calls()}
