"""Certificates of the user's code, which decides no exit code, and where they can't be stored; runs are called after
their model.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ase.build import molecule
from ase.io import read, write
from child_processes import finished

from intertwine.training import load_run

pytestmark = pytest.mark.usefixtures("own_folder")


# A certificate that can't be stored; the user's code


def test_a_certificate_is_printed_where_it_can_not_be_stored(run_cli, trained) -> None:
    shutil.copytree(trained[0], "r")
    for how in ("read-only", "a folder"):
        Path("r/certificate.json").chmod(0o444) if how == "read-only" else (
            Path("r/certificate.json").unlink(),
            Path("r/certificate.json").mkdir(),
        )
        result = run_cli("certify", "r", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["passed"]
        assert "warning: the certificate is not stored" in result.stderr
    Path("net.py").write_text(NET)
    result = run_cli("certify", "net:Wrong", "-o", "/dev/full")
    assert result.exit_code == 1  # the verdict's
    assert "not stored" in result.stderr
    Path("file").write_text("")
    result = run_cli("certify", "net:Wrong", "-o", "file/c.json")
    assert (result.exit_code, result.stdout) == (2, "")  # said before the work
    Path("nowhere.json").symlink_to("/dev/full")
    for target in ("/dev/full", "nowhere.json"):
        result = run_cli("certify", "net:Right", "-o", target)
        assert result.exit_code == 2  # it was asked for
        assert "passed" in result.stdout
        assert "error: the certificate is not stored" in result.stderr
    assert run_cli("certify", "net:Right", "-o", "/dev/null").exit_code == 0
    assert Path("/dev/null").is_char_device()


NET = """
import atexit, os, sys, threading, warnings
import torch
from intertwine.nn import pool

class Right(torch.nn.Module):
    irreps_out = "1x0e"
    def forward(self, graph):
        return pool(graph.pos.new_ones(graph.num_nodes, 1), graph)

class Wrong(Right):
    def forward(self, graph):
        return pool(graph.pos[:, :1], graph)

class Rude(BaseException):
    pass

def stops(error, where):
    class Net(Right):
        def __init__(self):
            super().__init__()
            if where == "made":
                raise error
        def forward(self, graph):
            if where == "called":
                raise error
            return super().forward(graph)
    return Net

ExitMade, ExitCalled = stops(SystemExit(0), "made"), stops(SystemExit(), "called")
InterruptMade, InterruptCalled = stops(KeyboardInterrupt(), "made"), stops(KeyboardInterrupt(), "called")
RudeMade, RudeCalled = stops(Rude("no"), "made"), stops(GeneratorExit(), "called")

class LeavesMade(Right):
    def __init__(self):
        os._exit(0)

class LeavesCalled(Right):
    def forward(self, graph):
        os._exit(0)

class Forks(Right):
    def forward(self, graph):
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        return super().forward(graph)

class Late(Right):
    def __init__(self):
        super().__init__()
        atexit.register(print, "at the end")
        threading.Thread(target=lambda: (threading.main_thread().join(), print("from a thread"))).start()

class Closes(Right):
    def __init__(self):
        super().__init__()
        os.close(1)

class Asked(Right):
    @property
    def cutoff(self):
        sys.exit(0)

class Warns(Right):
    def __init__(self):
        super().__init__()
        warnings.simplefilter("error")
        sys.stdout = sys.stderr = None

class PrintsAndForks(Forks):
    def forward(self, graph):
        print("from Python")
        os.write(1, b"from the system")
        return super().forward(graph)
"""


@pytest.mark.parametrize(
    "name",
    [
        "ExitMade",
        "ExitCalled",
        "InterruptMade",
        "InterruptCalled",
        "RudeMade",
        "RudeCalled",
        "Asked",
        "LeavesMade",
        "LeavesCalled",
    ],
)
def test_the_users_code_decides_no_exit_code(
    name: str, run_cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("rude_net.py").write_text(NET)
    result = run_cli("certify", f"rude_net:{name}")
    assert result.exit_code == 2, result.output
    assert f"rude_net:{name}" in result.stderr
    assert "rude_net.py, line" in result.stderr
    assert "passed" not in result.stdout


@pytest.mark.parametrize(
    "line",
    [
        "import os; os._exit(0)",
        "raise SystemExit",
        "import sys; sys.exit(0)",
        "raise KeyboardInterrupt",
        "exit()",
        "raise GeneratorExit",
    ],
)
def test_nor_does_its_import(line: str, run_cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"stops_{abs(hash(line))}"
    Path(f"{module}.py").write_text(f"{line}\n")
    result = run_cli("certify", f"{module}:Net")
    assert result.exit_code == 2, result.output
    assert "can't import" in result.stderr


def test_the_users_code_leaves_the_document_alone() -> None:
    Path("loud_net.py").write_text("print('imported')\n" + NET)
    write("water.xyz", molecule("H2O"))
    for name in ("PrintsAndForks", "Warns", "Late", "Closes"):
        code, out, err = finished("certify", f"loud_net:{name}", "--molecules", "water.xyz", "--json")
        assert code == 0, err
        assert json.loads(out)["passed"]
        assert "imported" in err


def test_the_run_is_called_after_its_model(run_cli, ethanol_file: Path) -> None:
    options = ["--epochs", 1, "--quiet"]
    options += ["--set=training.certify=false", "--set=training.threads=1", "--set=model.width=4"]
    flat = read(ethanol_file, index=":12")
    for k, atoms in enumerate(flat):
        atoms.calc = None
        atoms.info["homo"] = -0.25 - 0.001 * k
    write("labels.xyz", flat, format="extxyz")
    for arguments in (
        ["train", ethanol_file],
        ["train", "labels.xyz", "--target", "homo"],
        ["train", ethanol_file, "--model", "egnn"],
    ):
        result = run_cli(*arguments, *options)
        assert result.exit_code == 0, result.output
    for folder in Path("runs").iterdir():
        assert f"-{load_run(folder).config.model.name}-" in folder.name
    assert {load_run(folder).config.model.name for folder in Path("runs").iterdir()} == {"mace", "painn", "egnn"}
