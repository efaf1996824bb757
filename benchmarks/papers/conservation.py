"""Does a network without symmetry conserve energy, averaged over frames? 100 ps of ethanol at constant energy: frames
with weights that make forces continuous, and plain ones, the principal axes.

    python benchmarks/papers/conservation.py                  # both: 40 minutes of one core; goes on if it was stopped
    python benchmarks/papers/conservation.py --only weighted  # one of the two
    python benchmarks/papers/conservation.py --page           # only writes the table and the picture of docs/ again

A transformer on coordinates, without a cutoff (so that nothing but frames can be rough), learns the embedded ethanol by
energies and forces; at each step each structure is turned at random. The same weights are then averaged over either
frames of SE(3), in float64: a frame of the embedded data at 300 K, 1 ps of Langevin dynamics, velocities scaled to the
mean energy, and 100 ps of velocity Verlet in steps of 1 fs. Every tenth step is recorded, by its total energy and by
what velocity Verlet conserves to fourth order (the shadow energy, intertwine.integrations.observed). The slope is that
of a least squares line through means of 40 blocks, its standard error that of their residuals. Weights and the state of
the dynamics are kept in a run folder; the state is written every minute.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from ase import Atoms
from measure import DOCS, RESULTS, insert, machine, markdown

from intertwine import plots
from intertwine.data.embedded import ethanol
from intertwine.integrations import Calculator
from intertwine.integrations.beginning import begin, equilibrated
from intertwine.integrations.ensembles import Ensemble, temperature_of
from intertwine.integrations.observed import ShadowEnergy
from intertwine.numerics.files import write_atomically
from intertwine.symmetrize import SymmetrizedBackbone
from intertwine.tasks import ForceField
from intertwine.training import Loader, load_run, train
from intertwine.training.scoring import score

FILE = RESULTS / "conservation.json"
RUNS = Path(__file__).resolve().parents[2] / "runs" / "conservation"
ARMS: dict[str, dict[str, Any]] = {"weighted": {"width": 0.3}, "frames": {}}
NETWORK = {"name": "frame_transformer", "width": 32, "layers": 2, "cutoff": "none"}
EPOCHS, RATE = 80, 3e-3
TIMESTEP, EQUILIBRATION, EVERY = 1.0, 1_000, 10  # fs; steps
TEMPERATURE = 300.0
BLOCKS, GOAL = 40, 1e-3  # eV per atom and ns
KEPT_EVERY = 60.0  # s
NAMES = {"weighted": "weighted frames", "frames": "plain frames"}


def trained() -> Path:
    """The run folder of the network, which is trained, or gone on with, if it is not there."""
    folder = RUNS / "network"
    config = {
        "data": {"source": "ethanol"},
        "model": NETWORK,
        "symmetrize": {"method": "average", "group": "SE(n)", "samples": 1, "draw": "training"},
        "training": {
            "epochs": EPOCHS, "learning_rate": RATE, "patience": 0, "evaluate_every": 5, "certify": False,
            "threads": 1, "seed": 0,
        },
    }  # fmt: skip
    if not (folder / "report.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        train(config, run=folder, resume=folder.exists(), progress=False)
    return folder


def averaged(folder: Path, arm: str) -> ForceField:
    """The force field of the network's mean over the frames of an arm, in float64."""
    task = load_run(folder).task
    task.backbone = SymmetrizedBackbone(task.backbone.network, arm, group="SE(n)", **ARMS[arm])
    return task.double().eval()


def start() -> Atoms:
    """The first frame of the training set at 300 K."""
    data = ethanol()
    graph = next(data[k] for k in data.splits.train if float(data[k].temperature) == TEMPERATURE)
    return Atoms(numbers=graph.z.numpy(), positions=graph.pos.numpy())


class Trajectory:
    """Dynamics at constant energy whose state is kept in a file; the same bits whether it was stopped or not.

    Args:
        atoms: with a calculator.
        file: of the state.
    """

    def __init__(self, atoms: Atoms, file: Path) -> None:
        self.atoms, self.file, self.step = atoms, file, 0
        self.rows: list[list[float]] = []
        self.seconds = 0.0
        if file.is_file():
            with np.load(file) as kept:
                self.step, self.seconds, self.rows = int(kept["step"]), float(kept["seconds"]), kept["rows"].tolist()
                atoms.set_positions(kept["positions"])
                atoms.set_momenta(kept["momenta"])
            return
        rng = np.random.default_rng(0)
        begin(atoms, TEMPERATURE, "thermal", rng)
        equilibrated(atoms, Ensemble("nve", TEMPERATURE, TIMESTEP), EQUILIBRATION, rng, EVERY, lambda done: None)
        self.keep()

    def keep(self) -> None:
        """Write the state: whole or not at all."""
        buffer = io.BytesIO()
        np.savez(
            buffer, step=self.step, seconds=self.seconds, rows=np.array(self.rows).reshape(-1, 4),
            positions=self.atoms.get_positions(), momenta=self.atoms.get_momenta(),
        )  # fmt: skip
        write_atomically(self.file, buffer.getvalue())

    def go(self, steps: int) -> None:
        """On to so many steps. A row is the time (ps), the total and the shadow energy (eV) of the step before the
        last of ten, and the temperature (K).
        """
        integrator = Ensemble("nve", TEMPERATURE, TIMESTEP).integrator(self.atoms, np.random.default_rng(0))
        written, cpu = time.monotonic(), time.process_time()
        while self.step < steps:
            shadow = ShadowEnergy(self.atoms, TIMESTEP)
            energy = None
            for k in range(1, EVERY + 1):
                integrator.step()
                if k > EVERY - 3:
                    energy = shadow()
                if k == EVERY - 1:
                    total, temperature = self.atoms.get_total_energy(), temperature_of(self.atoms)
            self.step += EVERY
            assert energy is not None
            if not np.isfinite(energy) or temperature > 10 * TEMPERATURE:
                raise SystemExit(f"{self.file}: {temperature:.0f} K at step {self.step}; the trajectory blew up")
            self.rows.append([(self.step - 1) * TIMESTEP * 1e-3, total, energy, temperature])
            if time.monotonic() - written > KEPT_EVERY or self.step >= steps:
                self.seconds += time.process_time() - cpu
                self.keep()
                print(f"step {self.step:,}: {temperature:.0f} K, {energy:.6f} eV", flush=True)
                written, cpu = time.monotonic(), time.process_time()


def slope(t: np.ndarray, energy: np.ndarray, blocks: int = BLOCKS) -> tuple[float, float]:
    """Slope of a least squares line through the means of blocks, and its standard error by their residuals.

    Args:
        t: times (T,).
        energy: of those times (T,).
        blocks: longer than what is correlated.
    """
    size = len(t) // blocks
    x, y = (values[: blocks * size].reshape(blocks, size).mean(1) for values in (t, energy - energy[0]))
    x = x - x.mean()
    steepness = float((x * y).sum() / (x * x).sum())
    residual = y - y.mean() - steepness * x
    return steepness, float(np.sqrt((residual**2).sum() / (blocks - 2) / (x * x).sum()))


def measured(arm: str, steps: int) -> dict[str, Any]:
    """The row of an arm, after its training and its dynamics."""
    folder, data = trained(), ethanol()
    task, atoms = averaged(folder, arm), start()
    errors = score(task, Loader(data.subset(data.splits.test).connected(task.cutoff), 10))
    atoms.calc = Calculator(task, device="cpu")
    trajectory = Trajectory(atoms, folder.parent / f"{arm}.npz")
    trajectory.go(steps)
    t, total, shadow, temperature = np.array(trajectory.rows).T
    steepness, error = slope(t * 1e-3, shadow / len(atoms))
    rough, rough_error = slope(t * 1e-3, total / len(atoms))
    size = max(1, round(0.2 / (EVERY * TIMESTEP * 1e-3)))  # means over 0.2 ps, for the picture
    middle = len(t) // size * size
    curve = 1e3 * (shadow - shadow[0])[:middle].reshape(-1, size).mean(1) / len(atoms)
    return {
        "forces_mae": errors["forces_mae"],
        "energy_mae": errors["energy_mae"],
        "weights": sum(p.numel() for p in task.parameters()),
        "ps": float(t[-1]),
        "temperature": float(temperature.mean()),
        "slope": steepness,
        "slope_error": error,
        "total_slope": rough,
        "total_slope_error": rough_error,
        "deviation": float(1e3 * np.std(shadow) / len(atoms)),
        "largest_step": float(1e3 * np.abs(np.diff(shadow)).max() / len(atoms)),
        "ms_a_step": 1e3 * trajectory.seconds / trajectory.step,
        "curve": [t[:middle].reshape(-1, size).mean(1).round(4).tolist(), curve.round(5).tolist()],
        "machine": machine(),
    }


def page(rows: dict[str, Any]) -> str:
    """The table, and whether the aim is met."""
    lines = [
        {
            "average over": NAMES[arm],
            "ps": f"{row['ps']:.0f}",
            "mean temperature, K": f"{row['temperature']:.0f}",
            "slope, eV per atom and ns": f"{row['slope']:.1e} ± {row['slope_error']:.1e}",
            "of the total energy": f"{row['total_slope']:.1e} ± {row['total_slope_error']:.1e}",
            "deviation, meV per atom": f"{row['deviation']:.2g}",
            "largest change in 10 fs, meV per atom": f"{row['largest_step']:.2g}",
            "MAE of forces, meV/A": f"{row['forces_mae']:.0f}",
            "ms a step": f"{row['ms_a_step']:.1f}",
        }
        for arm, row in rows.items()
    ]
    words = []
    for arm, row in rows.items():
        met = abs(row["slope"]) + 2 * row["slope_error"] <= GOAL
        words.append(f"{NAMES[arm].capitalize()} {'meet' if met else 'do not meet'} the aim of {GOAL:g}.")
    told = next(iter(rows.values()))["machine"]
    return f"{markdown(lines)}\n\n{' '.join(words)} {told['date']}. `python benchmarks/papers/conservation.py`"


def picture(rows: dict[str, Any]) -> Any:
    """The conserved energy over time, both arms, and the aim as a line."""
    figure = plots.figure(6.4, 3.4)
    axes = figure.subplots()
    for arm, row in rows.items():
        t, energy = row["curve"]
        color = {"weighted": "#2a6f97", "frames": "#c8553d"}[arm]
        axes.plot(t, energy, color=color, linewidth=1.2, label=NAMES[arm])
    longest = max(row["ps"] for row in rows.values())
    axes.plot([0, longest], [0, GOAL * longest], color="#888888", linestyle="--", linewidth=1, label="the aim")
    axes.set(xlabel="time (ps)", ylabel="conserved energy (meV per atom)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(ARMS), default=list(ARMS), help="which frames")
    parser.add_argument("--ps", type=float, default=100.0, help="length of the dynamics")
    parser.add_argument("--page", action="store_true", help="write table and picture into docs/, run nothing")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(FILE.read_text()) if FILE.is_file() else {}
    if not chosen.page:
        for arm in chosen.only:
            rows[arm] = measured(arm, round(chosen.ps * 1e3 / TIMESTEP))
            rows = {name: rows[name] for name in ARMS if name in rows}
            FILE.write_text(json.dumps(rows, indent=1) + "\n")
            print(page(rows), flush=True)
    else:
        print(page(rows))
        insert(DOCS / "results.md", "papers/conservation.py", page(rows))
        picture(rows).savefig(DOCS / "images" / "conservation.png", dpi=110)


if __name__ == "__main__":
    main()
