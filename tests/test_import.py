"""``import intertwine`` stays light: a command that prints help must not wait for a training framework."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = [
    "ase",
    "distributed",
    "h5py",
    "lightning",
    "matplotlib",
    "numba",
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
