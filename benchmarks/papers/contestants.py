"""What time_to_accuracy.py compares: for each program the commands that a user would type, and its errors on the test
set.

Every contestant gets ``train.xyz`` and ``test.xyz`` in its folder, with ``REF_energy`` (eV) and ``REF_forces`` (eV/A),
one thread, and so many minutes for its training command.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.io import read

from intertwine.numerics import InputError

OURS = ("mace", "nequip", "painn", "esen", "schnet")
PEERS = ("mace-torch", "GAP")
ONE = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
MANY_SPECIES = 20  # from which GAP, with a sparse set for every pair and species, does not fit the memory
PROBE_EPOCHS = 2
#: mace-torch as its README trains: 32 channels of scalars and vectors, average references, EMA, amsgrad; the energies
#: weigh more in the last quarter (its stage two). Epochs that fit the time are found by a short run before.
MACE = (
    "--model=MACE --E0s=average --hidden_irreps=32x0e+32x1o --r_max=5.0 --batch_size=5 --valid_fraction=0.1 --ema "
    "--ema_decay=0.99 --amsgrad --energy_key=REF_energy --forces_key=REF_forces --default_dtype=float32 --device=cpu "
    "--seed=0 --error_table=PerAtomMAE --compute_stress=False"
)
#: GAP as its authors fit elements: two bodies and SOAP with 500 sparse points.
GAP = (
    "distance_2b cutoff=5.0 covariance_type=ard_se delta=1.0 theta_uniform=1.0 sparse_method=uniform n_sparse=20 "
    "add_species=T : soap l_max=6 n_max=8 cutoff=5.0 cutoff_transition_width=1.0 delta=0.5 atom_sigma=0.5 zeta=4 "
    "covariance_type=dot_product sparse_method=cur_points n_sparse=500 add_species=T"
)
GAP_OPTIONS = (
    "energy_parameter_name=REF_energy force_parameter_name=REF_forces virial_parameter_name=none "
    "default_sigma={0.001 0.1 0.0 0.0} e0_method=average do_copy_at_file=F sparse_separate_file=T gp_file=gap.xml"
)
READ_GAP = """
from ase.io import read, write
from quippy.potential import Potential
gap, frames = Potential(param_filename="gap.xml"), read("test.xyz", ":")
for atoms in frames:
    atoms.calc = gap
    atoms.info["found_energy"], atoms.arrays["found_forces"] = atoms.get_potential_energy(), atoms.get_forces()
    atoms.calc = None
write("found.xyz", frames)
"""


def commands(name: str, minutes: float) -> list[str]:
    """What is typed, for the page."""
    if name in OURS:
        return ["intertwine " + " ".join(_ours(name, minutes))]
    if name == "mace-torch":
        return [f"mace_run_train {MACE} --max_num_epochs=(as many as fit)"]
    return [f"gap_fit gap='{{{GAP}}}' {GAP_OPTIONS}"]


def errors(name: str, folder: Path, minutes: float, gap_python: str | None) -> dict[str, Any]:
    """MAE of energies (meV/atom) and forces (meV/A) on the test set, and the seconds that the training command took.

    Args:
        name: of a contestant.
        folder: with the data; the contestant works in a folder of its own below it.
        minutes: that its training may take.
        gap_python: interpreter of an environment with quippy-ase; None leaves GAP out.

    Returns:
        ``energy``, ``forces``, ``trained_s``; or ``reason``, why there are none.
    """
    own = folder / name.replace(" ", "_")
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    for file in ("train.xyz", "test.xyz"):
        shutil.copy(folder / file, own / file)
    if name in OURS:
        return _run_ours(name, own, minutes)
    if name == "mace-torch":
        return _run_mace(own, minutes)
    species = {int(z) for atoms in read(own / "train.xyz", ":") for z in atoms.numbers}
    if len(species) >= MANY_SPECIES:
        return {"reason": f"{len(species)} species: a sparse set for each and for each pair"}
    if gap_python is None:
        return {"reason": "no quippy-ase (--gap-python)"}
    return _run_gap(own, gap_python)


def _ours(name: str, minutes: float) -> list[str]:
    keys = ["--key", "energy=REF_energy", "--key", "forces=REF_forces"]
    return [
        "train", "train.xyz", "--test", "test.xyz", *keys, "--model", name, "--minutes", f"{minutes:g}", "--run", "run",
        "--no-certify", "--set", "training.threads=1",
    ]  # fmt: skip


def _run_ours(name: str, own: Path, minutes: float) -> dict[str, Any]:
    done = _call([sys.executable, "-m", "intertwine", *_ours(name, minutes), "--json", "--quiet"], own)
    report = json.loads(done.stdout)
    _call([sys.executable, "-m", "intertwine", "predict", "run", "test.xyz", "-o", "found.xyz"], own)
    result = _compared(own, "predicted_energy", "predicted_forces")
    return result | {"trained_s": report["seconds"], "steps": report["steps"]}


def _run_mace(own: Path, minutes: float) -> dict[str, Any]:
    base = [shutil.which("mace_run_train", path=os.path.dirname(sys.executable)) or "mace_run_train", *MACE.split()]
    base += ["--train_file=train.xyz"]
    # the time of an epoch: that of so many more of them, so that what comes before and after does not count
    times = []
    for epochs in (1, 1 + PROBE_EPOCHS):
        start = time.monotonic()
        _call([*base, f"--name=probe{epochs}", f"--max_num_epochs={epochs}"], own)
        times.append(time.monotonic() - start)
    epoch = max((times[1] - times[0]) / PROBE_EPOCHS, 1e-3)
    epochs = max(1, int(60 * minutes / epoch))
    last = ["--stage_two", f"--start_stage_two={max(1, 3 * epochs // 4)}"] if epochs >= 8 else []
    start = time.monotonic()
    _call([*base, "--name=run", f"--max_num_epochs={epochs}", *last], own)
    seconds = time.monotonic() - start - (times[0] - epoch)
    models = [file for file in own.glob("run*.model") if "compiled" not in file.name]
    models.sort(key=lambda file: ("stagetwo" in file.name, file.name))
    evaluate = shutil.which("mace_eval_configs", path=os.path.dirname(sys.executable)) or "mace_eval_configs"
    options = ["--configs=test.xyz", f"--model={models[-1].name}", "--output=found.xyz", "--device=cpu"]
    _call([evaluate, *options, "--default_dtype=float32", "--batch_size=8", "--info_prefix=found_"], own)
    return _compared(own) | {"trained_s": seconds, "epochs": epochs}


def _run_gap(own: Path, python: str) -> dict[str, Any]:
    start = time.monotonic()
    program = str(Path(python).with_name("gap_fit"))
    _call([program, "at_file=train.xyz", f"gap={{{GAP}}}", *re.findall(r"\S+=\{[^}]*\}|\S+", GAP_OPTIONS)], own)
    seconds = time.monotonic() - start
    _call([python, "-c", READ_GAP], own)
    return _compared(own) | {"trained_s": seconds}


def _compared(own: Path, energy: str = "found_energy", forces: str = "found_forces") -> dict[str, float]:
    """Errors of a file of predictions, for all contestants in the same way."""
    truth, found = (read(own / name, ":") for name in ("test.xyz", "found.xyz"))
    pairs = list(zip(truth, found, strict=True))
    off = [abs(b.info[energy] - a.info["REF_energy"]) / len(a) for a, b in pairs]
    sizes = [np.abs(b.arrays[forces] - a.arrays["REF_forces"]).ravel() for a, b in pairs]
    return {"energy": 1e3 * float(np.mean(off)), "forces": 1e3 * float(np.concatenate(sizes).mean())}


def _call(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=folder, env=os.environ | ONE, capture_output=True, text=True, check=False)
    (folder / "log.txt").write_text(done.stdout + done.stderr)
    if done.returncode:
        what = f"{command[0]} failed: {done.stderr.strip()[-300:]}"
        raise InputError(what, where=str(folder), remedy="see log.txt there; what else was measured is kept.")
    return done
