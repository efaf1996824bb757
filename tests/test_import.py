"""``import intertwine`` stays light: a command that prints help must not wait for a training framework."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import intertwine

HEAVY = [
    "ase",
    "distributed",
    "h5py",
    "lightning",
    "matplotlib",
    "numba",
    "optuna",
    "pyscf",
    "scipy.spatial",
    "tblite",
    "torch_geometric.nn",
]


@pytest.mark.parametrize("module", ["intertwine"])
def test_import_loads_nothing_heavy(module: str) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded & set(HEAVY)


def test_import_loads_no_part_before_it_is_used() -> None:
    code = "import sys, intertwine; print('torch_geometric' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_dir_lists_every_subpackage_and_imports_none() -> None:
    """So does tab completion, which asks ``dir``; a name that is listed can be used."""
    code = "import json, sys, intertwine; names = dir(intertwine); loaded = list(sys.modules); "
    code += "print(json.dumps([names, loaded, intertwine.groups.__name__]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, loaded, groups = json.loads(done.stdout)
    rooms = {path.parent.name for path in Path(intertwine.__file__).parent.glob("*/__init__.py")}
    assert {"o3", "nn", "plots", "groups", "geometry"} <= rooms
    assert rooms <= set(names)
    assert set(intertwine.__all__) <= set(names)
    assert not [name for name in loaded if name.startswith("intertwine.") or name == "torch"]
    assert groups == "intertwine.groups"


def test_graphs_bring_neither_the_compiler_nor_the_rest_of_pyg() -> None:
    """PyG's ``__init__`` imports all of itself; it is there, whole, for whoever asks for it afterwards."""
    asked = ("torch_geometric.nn.GCNConv", "torch_geometric.datasets.QM9", "torch_geometric.transforms.Center")
    code = "import json, sys, intertwine.geometry, intertwine.models; print(json.dumps(sorted(sys.modules)))\n"
    code += f"import torch, torch_geometric\nprint({', '.join(asked)}, torch._dynamo.is_compiling(), sep='|')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, later = done.stdout.splitlines()
    heavy = {"numba.core", "pandas", "sympy", "torch_geometric.nn.conv", "torch_geometric.llm", "torch._dynamo.utils"}
    assert not heavy & set(json.loads(loaded))
    assert [word.split(".")[-1] for word in later.split("|")] == ["GCNConv'>", "QM9'>", "Center'>", "False"]


def test_pyg_comes_through_one_door() -> None:
    """A second import of it, at the top of another file, would bring all of it again where that file comes first."""
    room = Path(intertwine.__file__).parent
    doors = [
        path for path in room.rglob("*.py") if re.search(r"^\s*(from|import) torch_geometric", path.read_text(), re.M)
    ]
    assert doors == [room / "geometry" / "pyg.py"]
