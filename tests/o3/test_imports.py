"""What ``from intertwine import o3`` does without: heavy packages that only some of the library needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    *(
        "torch_geometric",
        "ase",
        "lightning",
        "pytorch_lightning",
        "matplotlib",
        "llvmlite",
        "numba",
        "scipy",
        "h5py",
        "pandas",
    ),
    *("torch._dynamo", "torch._inductor", "triton"),
)
KINDS = (
    "from intertwine import o3",
    "import intertwine",
    "from intertwine.e3nn import o3; o3.Linear",
    "from intertwine.numerics import safe",
)


@pytest.mark.parametrize("statement", KINDS)
def test_what_is_not_imported(statement: str) -> None:
    """Beyond what torch imports by itself."""
    program = f"import sys, torch\nbefore = set(sys.modules)\n{statement}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    new = done.stdout.split()
    assert not [name for name in new if any(name == heavy or name.startswith(f"{heavy}.") for heavy in HEAVY)]
    if "e3nn" not in statement:  # ours on the floors above o3 stay away as well
        assert not [
            name
            for name in new
            if name.startswith(("intertwine.nn", "intertwine.models", "intertwine.geometry", "intertwine.data"))
        ]


def test_a_run_is_used_without_lightning() -> None:
    """It costs seconds to import, and only training needs it: not what loads, predicts, certifies or computes."""
    modules = "training, intertwine.integrations.calculator, intertwine.cli.use, intertwine.cli.simulate"
    program = f"import sys, intertwine.{modules}, intertwine.cli.certificate\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    assert not [name for name in done.stdout.split() if name.split(".")[0] in ("lightning", "pytorch_lightning")]
