"""Run one program twice: on e3nn, and unchanged on the replacement."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """One thread, no random order of sets, and the repository on the path, without what this test run itself
    put there.
    """
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }


def run(
    arguments: list[str], folder: Path, *, replaced: bool, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """``python ARGUMENTS``, or ``python -m intertwine.e3nn ARGUMENTS``, in a folder."""
    command = [sys.executable, *(["-m", "intertwine.e3nn"] if replaced else []), *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
    )


def both(program: Path, folder: Path, *arguments: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What the program saves in the file that is its first argument: on e3nn, on the replacement."""
    results = []
    for replaced in (False, True):
        output = folder / f"{replaced}.pt"
        done = run([str(program), str(output), *arguments], folder, replaced=replaced)
        assert done.returncode == 0, (
            f"{program.name}, e3nn {'replaced' if replaced else 'itself'}:\n{done.stdout}\n{done.stderr}"
        )
        results.append(torch.load(output, weights_only=True))
    return results[0], results[1]


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor], tolerance: float) -> None:
    """Same names; every number equal within ``tolerance`` of the largest of its tensor."""
    assert first.keys() == second.keys()
    for name, x in first.items():
        scale = max(1.0, float(x.abs().max())) if x.numel() else 1.0
        error = float((x - second[name]).abs().max()) / scale if x.numel() else 0.0
        assert error <= tolerance, f"{name} differs by {error:.1e} of {scale:.1e}"
