"""A step of a deployed force field beside that of the run it is of: energy and forces by ASE's calculator, neighbour
list included, atoms moved before each step.

The two take turns, so that what else the machine does meets both; medians of the CPU time of the thread and of the
wall clock. MACE: 128x0e+128x1o, harmonics to l = 3, correlation 3, two layers, on 64 Si at 5 A. NequIP: l = 2, 32
channels of both parities, 4 layers, on one ethanol. "demo" is the MACE that `intertwine train ethanol` trains by
default, with random weights unless a run folder is given.

    python benchmarks/deploy.py [--steps 40] [--run runs/my-run] [--case demo] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import pstats
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule

from intertwine.integrations import Calculator
from intertwine.integrations.deployment import deploy
from intertwine.models import MACE, NequIP
from intertwine.tasks import ForceField
from intertwine.training import load_run, save_task

DTYPES = {"float64": torch.float64, "float32": torch.float32}
MOVED_ANGSTROM = 0.01


def silicon() -> Atoms:
    atoms = bulk("Si", "diamond", a=5.43, cubic=True).repeat((2, 2, 2))
    atoms.rattle(0.05, seed=0)
    return atoms


def ethanol() -> Atoms:
    return molecule("CH3CH2OH")


def mace() -> ForceField:
    sizes: dict[str, Any] = {"width": 128, "layers": 2, "lmax": 3, "hidden_lmax": 1, "correlation": 3}
    return ForceField(MACE(**sizes, cutoff=5.0, species=(14,), average_degree=28.0, radial_knots=128))


def nequip() -> ForceField:
    sizes: dict[str, Any] = {"width": 32, "layers": 4, "lmax": 2, "parity": True, "outputs": "0e"}
    return ForceField(NequIP(**sizes, cutoff=4.0, species=(1, 6, 8), radial_layers=2, radial_knots=128))


def demo() -> ForceField:
    return ForceField(MACE(species=(1, 6, 8), radial_knots=128))


def demo_of_silicon() -> ForceField:
    """What `intertwine train` trains on silicon by default."""
    return ForceField(MACE(species=(14,), average_degree=28.0, radial_knots=128))


CASES: dict[str, tuple[str, Callable[[], ForceField], Callable[[], Atoms], float]] = {
    "mace": ("MACE, 64 Si", mace, silicon, 2.5),
    "nequip": ("NequIP, 1 ethanol", nequip, ethanol, 3.0),
    "demo": ("demo's MACE, 1 ethanol", demo, ethanol, 6.0),
}


def calculators(name: str, folder: Path, run: str | None, dtype: torch.dtype) -> tuple[Calculator, Calculator]:
    """The run's calculator and that of its deployed file."""
    source: Any = run
    if run is None:
        source = folder / f"{name}.safetensors"
        if not source.is_file():
            torch.manual_seed(0)
            task = CASES[name][1]()
            save_task(task, source, species=task.backbone.arguments["species"])
    file = folder / f"{name}.iw"
    if not file.is_file():
        deploy(load_run(source, device="cpu"), file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Calculator(source, dtype=dtype, device="cpu"), Calculator(file, dtype=dtype, device="cpu")


def measured(pair: tuple[Calculator, Calculator], atoms: Atoms, steps: int) -> dict[str, Any]:
    """Medians (ms) of both, and the largest difference of their forces over the root mean square."""
    generator, start = np.random.default_rng(0), atoms.positions.copy()
    times: list[list[tuple[float, float]]] = [[], []]
    worst, size = 0.0, 1.0
    for step in range(steps + 3):
        positions = start + generator.normal(0, MOVED_ANGSTROM, start.shape)
        forces = []
        for calculator, mine in zip(pair, times, strict=True):
            atoms = atoms.copy()
            atoms.positions, atoms.calc = positions, calculator
            wall, cpu = time.perf_counter(), time.thread_time()
            forces.append(atoms.get_forces())
            if step >= 3:  # the first ones compile
                mine.append((time.thread_time() - cpu, time.perf_counter() - wall))
        size = float(np.sqrt(np.mean(forces[0] ** 2)))
        worst = max(worst, float(np.abs(forces[0] - forces[1]).max()) / size)
    (eager_cpu, eager_wall), (cpu, wall) = (
        tuple(1e3 * statistics.median(column) for column in zip(*mine, strict=True)) for mine in times
    )
    return {"eager_cpu_ms": eager_cpu, "deployed_cpu_ms": cpu, "eager_wall_ms": eager_wall, "deployed_wall_ms": wall,
            "ratio_cpu": eager_cpu / cpu, "ratio_wall": eager_wall / wall, "forces_differ": worst}  # fmt: skip


def profile(calculator: Calculator, atoms: Atoms, steps: int) -> str:
    """The ten functions that take most of a step's time."""
    atoms.calc, generator, start = calculator, np.random.default_rng(0), atoms.positions.copy()
    atoms.get_forces()
    watch = cProfile.Profile()
    watch.enable()
    for _ in range(steps):
        atoms.positions = start + generator.normal(0, MOVED_ANGSTROM, start.shape)
        atoms.get_forces()
    watch.disable()
    text = io.StringIO()
    pstats.Stats(watch, stream=text).sort_stats("tottime").print_stats(10)
    lines = text.getvalue().splitlines()
    return "\n".join(line for line in lines if line.strip())


def line(row: dict[str, Any]) -> str:
    """A row in words."""
    return (
        f"{row['case']:24}{row['precision']:9}eager {row['eager_cpu_ms']:8.2f} ms  deployed "
        f"{row['deployed_cpu_ms']:7.2f} ms  {row['ratio_cpu']:5.1f}x (goal {row['goal']}x; wall clock "
        f"{row['ratio_wall']:.1f}x)  forces differ by {row['forces_differ']:.1e} of their rms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40, help="Steps of each.")
    parser.add_argument("--run", help="Run folder in the place of the demo's random weights.")
    parser.add_argument("--case", action="append", choices=list(CASES), help="Cases; all by default.")
    parser.add_argument("--profile", action="store_true", help="Print where the time of a step goes.")
    parser.add_argument("--json", type=Path, help="File for the figures.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.case or CASES:
            title, _, structure, goal = CASES[name]
            run = options.run if name == "demo" else None
            for precision, dtype in DTYPES.items():
                pair = calculators(name, Path(folder), run, dtype)
                row = {"case": title, "precision": precision, "goal": goal}
                row |= measured(pair, structure(), options.steps)
                rows.append(row)
                print(line(row), flush=True)
                if options.profile:
                    for words, calculator in zip(("eager", "deployed"), pair, strict=True):
                        print(f"--- {words}\n{profile(calculator, structure(), options.steps)}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
