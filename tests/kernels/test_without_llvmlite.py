"""Machines without llvmlite or Triton: all that is imported with the package works in plain torch, and one
warning says so.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "intertwine"

#: Modules that may need llvmlite (or Triton) to be imported; all others have to be there without it.
COMPILERS = (
    r"intertwine\.(kernels\.(llvm\.|frozen\.|[a-z]+\.cpu|convolution\.gpu\.programs)"
    r"|integrations\.frozen\.(layers|parts|readout|stepper|workspace))"
)

#: Imports every module but those that compile; energies and forces of models, with and without kernels; what was warned
#: of.
PROGRAM = """
import importlib, json, os, pkgutil, re, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch
    import intertwine
    compilers = os.environ["COMPILERS"]
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
from ase.build import molecule
from intertwine.integrations import Calculator
from intertwine.nn.frozen_radial import frozen
os.environ["INTERTWINE_KERNELS"] = "auto"
torch.manual_seed(0)
from intertwine.data import to_graph
from intertwine.geometry import connect
task = frozen(ForceField(MODELS["mace"](width=4, layers=1, radial_knots=64)).double(), 64)
atoms = molecule("CH3CH2OH")
atoms.calc = Calculator(task)
energies = [float(task(connect(to_graph(atoms), task.cutoff))["energy"].sum()), atoms.get_potential_energy()]
said = [text for text in said if "llvmlite" in text or "kernel" in text]
print(json.dumps({"particles": particles, "worst": worst, "said": said, "refused": refused,
    "frozen": abs(energies[1] - energies[0]) / abs(energies[0])}))
"""


def printed(program: str, refused: list[str], folder: Path) -> str:
    """The last line of a program where some modules are not available."""
    (folder / "refused.txt").write_text(" ".join(refused))
    path = os.pathsep.join([str(ROOT / "tests" / "only_these"), str(ROOT)])
    environment = os.environ | {"REFUSED": str(folder / "refused.txt"), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    environment["COMPILERS"] = COMPILERS
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


def at_its_top(statements: list[ast.stmt]) -> Iterator[str]:
    """What a file imports as soon as it is imported: not what its functions do, nor what only type checkers read."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from at_its_top(statement.orelse)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for block in ("body", "orelse", "finalbody"):
                yield from at_its_top(getattr(statement, block, []))


def needing(sources: Mapping[str, str], library: str) -> set[str]:
    """The modules, of name -> source, that cannot be imported without a library: by themselves, or by what they import,
    with the packages that it is in.
    """
    graph = dict[str, set[str]]()
    for name, source in sources.items():
        steps = {name, *at_its_top(ast.parse(source).body)}
        graph[name] = {".".join(step.split(".")[:k]) for step in steps for k in range(1, step.count(".") + 2)} - {name}
    needs = {library}
    while more := {name for name, steps in graph.items() if name not in needs and steps & needs}:
        needs |= more
    return needs - {library}


def test_only_what_compiles_needs_llvmlite_to_be_imported() -> None:
    """In the quick tier: an import at the top of a wrong file is told before the programs below run."""
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
    sources = {name.removesuffix(".__init__"): path.read_text() for path, name in names.items()}
    needs = needing(sources, "llvmlite")
    assert {"intertwine.kernels.llvm.assembler", "intertwine.integrations.frozen.stepper"} <= needs
    assert not {name for name in needs if not re.match(COMPILERS, name)}


@pytest.mark.parametrize(
    "top", ["import p.b", "from p.b import x", "from p import b", "try:\n    import p.b.c\nfinally: 0"]
)
def test_the_reader_of_imports_sees_tops(top: str) -> None:
    below = {"p": "", "p.b": "class A:\n    import llvmlite.ir", "p.b.c": "", "p.d": "def f():\n    import p.b"}
    typed = "if TYPE_CHECKING:\n    import p.b\nelse:\n    x = 1"
    assert needing(below | {"p.a": top, "p.e": typed}, "llvmlite") == {"p.a", "p.b", "p.b.c"}


@pytest.mark.parametrize("refused", [["llvmlite"], ["llvmlite", "triton"]], ids=" ".join)
def test_plain_torch_takes_over_and_says_so_once(refused: list[str], tmp_path: Path) -> None:
    found = json.loads(printed(PROGRAM, refused, tmp_path))
    assert max(found["worst"].values()) < 2e-5
    assert len(found["said"]) == 1, found["said"]
    assert "no kernels for the processor, since llvmlite is not available" in found["said"][0]
    assert "pip install llvmlite" in found["said"][0]
    assert found["refused"].startswith("InputError: INTERTWINE_KERNELS: no kernel of the backend 'cpu'")
    assert found["particles"] == ""
    assert found["frozen"] < 1e-9, "the calculator of a frozen force field"


def test_without_triton_the_kernels_are_there(tmp_path: Path) -> None:
    found = json.loads(printed(PROGRAM, ["triton"], tmp_path))
    assert max(found["worst"].values()) < 2e-5
    assert found["said"] == []
    assert found["refused"] == ""
