"""Machines without llvmlite or Triton: all that is imported with the package works in plain torch, and one
warning says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Imports every module but those that compile; energies and forces of models, with and without kernels; what was warned
#: of.
PROGRAM = """
import importlib, json, os, pkgutil, re, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch
    import intertwine
    compilers = "intertwine[.]kernels[.](llvm[.]|[a-z]+[.]cpu|convolution[.]gpu[.]programs)"
    names = [m.name for m in pkgutil.walk_packages(intertwine.__path__, "intertwine.")]
    for name in names:
        if "__main__" not in name and not re.match(compilers, name) and "sitecustomize" not in name:
            importlib.import_module(name)
    from intertwine import o3
    from intertwine.geometry import Graph
    from intertwine.models import MODELS
    from intertwine.tasks import ForceField
    generator = torch.Generator().manual_seed(0)
    graph = Graph(torch.randn(9, 3, generator=generator), z=torch.tensor([6, 1, 1, 8, 1, 6, 1, 1, 8]))
    x, points = torch.randn(50, 16, generator=generator), torch.randn(200, 3, generator=generator)
    worst = {}
    for name in ("nequip", "mace", "painn", "linear", "harmonics"):
        found = []
        for kernels in ("auto", "reference"):
            os.environ["INTERTWINE_KERNELS"] = kernels
            torch.manual_seed(0)
            if name == "linear":
                layer = o3.Linear("4x0e+4x1o", "4x0e+4x1o", layout="ir_mul")
                found.append({"x": layer(x)})
            elif name == "harmonics":
                found.append({"y": o3.spherical_harmonics([0, 1, 2, 3], points, normalize=True)})
            else:
                task = ForceField(MODELS[name](layers=2)).train()
                found.append(task(graph))
                found[-1]["energy"].sum().backward()
        worst[name] = max(float((found[0][k] - found[1][k]).abs().max() / found[1][k].abs().max()) for k in found[0])
warned = [one for one in caught if issubclass(one.category, RuntimeWarning)]
said = [str(one.message) for one in warned if "intertwine" in one.filename + str(one.message)]
os.environ["INTERTWINE_KERNELS"] = "cpu"
try:
    ForceField(MODELS["nequip"](layers=1))(graph)
    refused = ""
except Exception as error:
    refused = type(error).__name__ + ": " + str(error)
try:
    import intertwine.operators
    given = [torch.ones(2, 4, 1), torch.ones(1, 3, 1)]
    torch.ops.intertwine.symmetric_contraction(given, torch.zeros(2, dtype=torch.int64), 1, "0e+1o|0e|2|shared", "")
    refused = refused and "a contraction is not"
except Exception as error:
    refused = refused if type(error).__name__ == "InputError" else repr(error)
try:
    from intertwine.data.nbody import generate
    generate(3, 0, 1, 0, 0)
    particles = ""
except Exception as error:
    particles = type(error).__name__ + ": " + str(error).splitlines()[0]
said = [text for text in said if "llvmlite" in text or "kernel" in text]
print(json.dumps({"particles": particles, "worst": worst, "said": said, "refused": refused}))
"""


def outcome(refused: list[str], folder: Path) -> dict[str, Any]:
    """What the program prints where some modules are not available."""
    (folder / "refused.txt").write_text(" ".join(refused))
    path = os.pathsep.join([str(ROOT / "tests" / "only_these"), str(ROOT)])
    environment = os.environ | {"REFUSED": str(folder / "refused.txt"), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("refused", [["llvmlite"], ["llvmlite", "triton"]], ids=" ".join)
def test_plain_torch_takes_over_and_says_so_once(refused: list[str], tmp_path: Path) -> None:
    found = outcome(refused, tmp_path)
    assert max(found["worst"].values()) < 2e-5
    assert len(found["said"]) == 1, found["said"]
    assert "no kernels for the processor, since llvmlite is not available" in found["said"][0]
    assert "pip install llvmlite" in found["said"][0]
    assert found["refused"].startswith("InputError: INTERTWINE_KERNELS: no kernel of the backend 'cpu'")
    assert found["particles"] == ""


def test_without_triton_the_kernels_are_there(tmp_path: Path) -> None:
    found = outcome(["triton"], tmp_path)
    assert max(found["worst"].values()) < 2e-5
    assert found["said"] == []
    assert found["refused"] == ""
