"""A step of a deployed force field beside the packages that its model comes from, at the same weights: energy, forces
and stress by ASE's calculators, neighbour list included, atoms moved before each step.

mace-torch and nequip run their eager models by their own calculators, as they run after a training. Both of MACE's
models are of random weights (128x0e+128x1o, harmonics to l = 3, correlation 3, two layers, on 64 Si at 5 A); so are
NequIP's (l = 2, 32 channels of both parities, 4 layers, on one ethanol). Ours are converted from theirs, stored, and
deployed. All take turns, so that what else the machine does meets all; medians of the CPU time of the thread.

    python benchmarks/deploy_peers.py [--steps 20] [--case nequip] [--memory]

``--memory`` measures instead what a step adds to the memory of a process of its own, at 1,000 to 100,000 atoms.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from deploy import DTYPES, MOVED_ANGSTROM, demo_of_silicon, ethanol, silicon

from intertwine.integrations import Calculator, from_mace, from_nequip
from intertwine.integrations.deployment import deploy
from intertwine.training import load_run, save_task

ATOMS = (1_000, 10_000, 100_000)


def mace(dtype: torch.dtype) -> tuple[Any, Any]:
    """mace-torch's calculator, and our force field of its weights."""
    from e3nn import o3
    from mace import modules
    from mace.calculators import MACECalculator

    theirs = modules.ScaleShiftMACE(
        r_max=5.0, num_bessel=8, num_polynomial_cutoff=5, max_ell=3, num_interactions=2, num_elements=1,
        atomic_numbers=[14], atomic_energies=-np.ones(1), avg_num_neighbors=28.0, correlation=3,
        gate=torch.nn.functional.silu, hidden_irreps=o3.Irreps("128x0e+128x1o"), MLP_irreps=o3.Irreps("16x0e"),
        atomic_inter_scale=1.0, atomic_inter_shift=0.0,
        interaction_cls_first=modules.RealAgnosticInteractionBlock,
        interaction_cls=modules.RealAgnosticResidualInteractionBlock,
    ).to(dtype)  # fmt: skip
    ours = from_mace(theirs)
    return MACECalculator(models=theirs, device="cpu", default_dtype=str(dtype).removeprefix("torch.")), ours


def nequip(dtype: torch.dtype) -> tuple[Any, Any]:
    """nequip's calculator, and our force field of its weights."""
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
    from nequip.integrations.ase import NequIPCalculator
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state()
    names = ["H", "C", "O"]
    scales = {"per_type_energy_scales": dict.fromkeys(names, 1.0), "per_type_energy_shifts": dict.fromkeys(names, -1.0)}
    theirs = NequIPGNNModel(
        seed=0, model_dtype=str(dtype).removeprefix("torch."), r_max=4.0, type_names=names, avg_num_neighbors=8.0,
        num_layers=4, l_max=2, num_features=32, radial_mlp_depth=1, radial_mlp_width=128, **scales,
    )  # fmt: skip
    ours = from_nequip(theirs)
    transforms = [ChemicalSpeciesToAtomTypeMapper(names), NeighborListTransform(r_max=4.0)]
    return NequIPCalculator(theirs.eval(), "cpu", transforms=transforms), ours


#: name -> title, their package, how to make both, a structure, how many times as fast ours should be.
CASES: dict[str, tuple[str, str, Callable[[torch.dtype], tuple[Any, Any]], Callable[[], Atoms], float]] = {
    "mace": ("MACE, 64 Si", "mace-torch", mace, silicon, 25.0),
    "nequip": ("NequIP, 1 ethanol", "nequip", nequip, ethanol, 15.0),
}


def measured(calculators: dict[str, Any], atoms: Atoms, steps: int) -> dict[str, float]:
    """Medians of the CPU time of a step (ms), and the largest difference of the forces of the file from theirs."""
    generator, start = np.random.default_rng(0), atoms.positions.copy()
    times: dict[str, list[float]] = {name: [] for name in calculators}
    worst = 0.0
    for step in range(steps + 3):
        positions, forces = start + generator.normal(0, MOVED_ANGSTROM, start.shape), {}
        for name, calculator in calculators.items():
            atoms = atoms.copy()
            atoms.positions, atoms.calc = positions, calculator
            before = time.thread_time()
            forces[name] = atoms.get_forces()
            if step >= 3:  # the first ones compile
                times[name].append(1e3 * (time.thread_time() - before))
        differences = np.abs(forces["file"] - forces["theirs"]).max() / np.sqrt(np.mean(forces["theirs"] ** 2))
        worst = max(worst, float(differences))
    return {f"{name}_ms": statistics.median(column) for name, column in times.items()} | {"forces_differ": worst}


def compare(name: str, steps: int) -> list[dict[str, Any]]:
    """A row for each precision."""
    title, package, build, structure, goal = CASES[name]
    rows = []
    for precision, dtype in DTYPES.items():
        torch.manual_seed(0)
        theirs, task = build(dtype)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run, file = Path(folder) / "run.safetensors", Path(folder) / "model.iw"
            save_task(task, run)
            deploy(load_run(run, device="cpu"), file)
            ours = {name: Calculator(path, device="cpu") for name, path in (("run", run), ("file", file))}
            row = {"case": title, "package": package, "precision": precision, "goal": goal}
            row |= measured({"theirs": theirs, **ours}, structure(), steps)
        rows.append(row | {"ratio": row["theirs_ms"] / row["file_ms"]})
        print(
            f"{title:20}{precision:9}{package} {row['theirs_ms']:8.2f} ms  run {row['run_ms']:7.2f} ms  file "
            f"{row['file_ms']:7.2f} ms  {rows[-1]['ratio']:5.1f}x (goal {goal:g}x)  forces differ by "
            f"{row['forces_differ']:.1e} of their rms",
            flush=True,
        )
    return rows


def memory_of_a_step(file: str, atoms: int) -> None:
    """Prints what a step of silicon adds to the largest memory of this process, bytes an atom."""
    side = max(round((atoms / 8) ** (1 / 3)), 1)
    crystal = bulk("Si", "diamond", a=5.43, cubic=True) * (side, side, side)
    crystal.rattle(0.05, seed=0)
    crystal.calc = Calculator(file, device="cpu")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.thread_time()
    crystal.get_forces()
    first, started = time.thread_time() - started, time.thread_time()
    crystal.rattle(0.01, seed=1)
    crystal.get_forces()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row = {"atoms": len(crystal), "kB_an_atom": (peak - before) / len(crystal), "first_s": first}
    print(json.dumps(row | {"us_an_atom": 1e6 * (time.thread_time() - started) / len(crystal)}))


def memory() -> list[dict[str, Any]]:
    """A row for each number of atoms and precision, each in a process of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for precision, dtype in DTYPES.items():
            torch.manual_seed(0)
            run, file = Path(folder) / f"{precision}.safetensors", Path(folder) / f"{precision}.iw"
            save_task(demo_of_silicon().to(dtype), run)
            deploy(load_run(run, device="cpu"), file)
            for atoms in ATOMS:
                command = [sys.executable, __file__, "--one", str(file), str(atoms)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                rows.append({"precision": precision, **json.loads(done.stdout.splitlines()[-1])})
                print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="Steps of each.")
    parser.add_argument("--case", action="append", choices=list(CASES), help="Cases; all by default.")
    parser.add_argument("--memory", action="store_true", help="Memory an atom instead.")
    parser.add_argument("--one", nargs=2, metavar=("FILE", "ATOMS"), help="One process of --memory.")
    parser.add_argument("--json", type=Path, help="File for the figures.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        memory_of_a_step(options.one[0], int(options.one[1]))
        return
    if options.memory:
        rows = memory()
    else:
        rows = [row for name in options.case or CASES for row in compare(name, options.steps)]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
