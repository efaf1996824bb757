"""A program in a file, loaded in a process that knows the library's operators at most, on other sizes than it was
traced on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ase.build import molecule
from switches import as_users_run_it

from intertwine.data import to_graph
from intertwine.geometry import collate
from intertwine.integrations import export_program
from intertwine.models import MODELS
from intertwine.numerics import InputError
from intertwine.tasks import ForceField, TensorForm

LOADED = """
import sys, torch
{first}
path, inputs = sys.argv[1:3]
program = torch.export.load(path).module()
torch.save(program(torch.load(inputs)), inputs)
assert ("intertwine" in sys.modules) == {needed}
"""


@pytest.mark.parametrize(("name", "needed"), [("painn", False), ("nequip", True)])
def test_in_another_process(name: str, needed: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = ForceField(MODELS[name](**MODELS[name].PRESETS["small"] | {"layers": 1})).double().eval()
    example, other = (to_graph(molecule(one)) for one in ("CH3CH2OH", "C6H6"))
    with as_users_run_it():
        description = export_program(task, tmp_path / "model.pt2", example)
        inputs = TensorForm(task, example).inputs(collate([other, example]))
    assert bool(description["operators"]) == needed
    assert description["outputs"]["forces"] == {"unit": "eV/A", "level": "node"}
    torch.save(inputs, tmp_path / "tensors.pt")
    script = LOADED.format(first="import intertwine.operators" if needed else "", needed=needed)
    subprocess.run([sys.executable, "-c", script, tmp_path / "model.pt2", tmp_path / "tensors.pt"], check=True)
    found, wanted = torch.load(tmp_path / "tensors.pt"), task(collate([other, example]))
    for one, value in wanted.items():
        torch.testing.assert_close(found[one], value, rtol=1e-10, atol=1e-10)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    task = ForceField(MODELS["schnet"](width=8, layers=1))
    with pytest.raises(InputError, match=r"no \.pt2 file"):
        export_program(task, tmp_path / "model.pt", to_graph(molecule("H2O")))
