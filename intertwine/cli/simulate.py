"""intertwine md, relax: dynamics and relaxation of a structure under a trained force field."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console
from intertwine.cli.use import RunFolder
from intertwine.numerics import InputError, choose

Structure = Annotated[Path, typer.Argument(help="Starting structure, a file that ASE reads (its last frame).")]
Precision = Annotated[str, typer.Option(help="float64 or float32.")]


@console.guarded
def md(
    run: RunFolder,
    structure: Structure,
    steps: Annotated[int, typer.Option(help="Number of steps.")] = 20000,
    temperature: Annotated[float, typer.Option(help="K, of the starting velocities and of the bath.")] = 300.0,
    timestep: Annotated[float, typer.Option(help="fs.")] = 0.25,
    ensemble: Annotated[str, typer.Option(help="nve (conserves energy: its drift measures the force field) or nvt (Langevin).")] = "nve",
    equilibrate: Annotated[int, typer.Option(help="Steps with a bath before the first that counts.")] = 2000,
    precision: Precision = "float64",
    every: Annotated[int, typer.Option(help="Record every so many steps.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the velocities and of the bath.")] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Trajectory to write; by default <structure>-md.traj here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Molecular dynamics; prints the drift of the energy that velocity Verlet conserves, and of the total energy.

    The total energy fluctuates with the square of the time step, so that over a few ps its slope is mostly phase; the conserved
    (shadow) energy does not, and its drift is the force field's and the arithmetic's."""
    from intertwine.integrations import run_dynamics, writable
    from intertwine.plots import trajectory as picture

    path = writable(output or Path(f"{structure.name.split('.')[0]}-md.traj"))
    if path.suffix != ".traj":
        raise InputError(f"a trajectory called {path.name}", where="--output", remedy="call it .traj; `ase convert` makes other formats.")
    atoms = prepare(run, structure, precision)
    with console.bar(steps + equilibrate, f"{ensemble} at {temperature:g} K") as progress:
        record = run_dynamics(
            atoms,
            steps,
            temperature=temperature,
            timestep=timestep,
            equilibrate=equilibrate,
            ensemble=ensemble,
            seed=seed,
            every=every,
            trajectory=path,
            progress=progress,
        )
    image = picture(record.time, record.total, record.temperature, path.with_suffix(".png"), atoms=record.atoms)
    summary = {
        "equilibration steps": equilibrate,
        "steps": steps,
        "time (ps)": steps * timestep * 1e-3,
        "atoms": record.atoms,
        "ensemble": ensemble,
        "mean temperature (K)": sum(record.temperature) / len(record.temperature),
        "drift of the conserved energy (eV/atom/ns)": record.drift,
        "drift of the total energy (eV/atom/ns)": record.total_drift,
        "fluctuation (meV/atom)": record.fluctuation,
        "neighbour lists built": atoms.calc.rebuilds,
        "trajectory": str(path),
        "picture": str(image),
    }
    report(summary, as_json, f"{ensemble.upper()} of {structure}")


@console.guarded
def relax(
    run: RunFolder,
    structure: Structure,
    fmax: Annotated[float, typer.Option(help="Largest force that may remain, eV/A.")] = 0.01,
    steps: Annotated[int, typer.Option(help="At most so many steps.")] = 500,
    cell: Annotated[bool, typer.Option("--cell", help="Relax the cell too.")] = False,
    precision: Precision = "float64",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Relaxed structure; by default <structure>-relaxed.xyz here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Relax a structure until its forces vanish. Exit code 0 if they did, 1 if the steps ran out."""
    import numpy as np

    from intertwine.integrations import relax as minimise
    from intertwine.integrations import writable

    path = writable(output or Path(f"{structure.name.split('.')[0]}-relaxed.xyz"))
    atoms = prepare(run, structure, precision)
    before = atoms.get_potential_energy()
    taken = 0

    def count(step: int, largest: float) -> None:
        nonlocal taken
        taken = step
        progress(step)

    with console.bar(steps, "relaxing") as progress:
        converged = minimise(atoms, fmax=fmax, steps=steps, cell=cell, progress=count)
    atoms.write(path)
    summary = {
        "converged": converged,
        "steps": taken,
        "energy (eV)": atoms.get_potential_energy(),
        "gained (eV)": before - atoms.get_potential_energy(),
        "largest force (eV/A)": float(np.linalg.norm(atoms.get_forces(), axis=1).max(initial=0.0)),
        "structure": str(path),
    }
    report(summary, as_json, f"relaxation of {structure}")
    raise SystemExit(0 if converged else console.FAILED)


def prepare(run: Path, structure: Path, precision: str) -> Any:
    """The structure's last frame, with the run as its calculator."""
    import torch

    from intertwine.data import open_dataset
    from intertwine.integrations import Calculator, to_atoms

    dtype = {"float64": torch.float64, "float32": torch.float32}[
        choose(precision, ("float32", "float64"), kind="precision", where="--precision")
    ]
    calculator = Calculator(run, dtype=dtype)
    frames = open_dataset(str(console.existing(structure, "file")), progress=False)
    atoms = to_atoms(frames[len(frames) - 1])
    atoms.calc = calculator
    return atoms


def report(summary: dict[str, Any], as_json: bool, title: str) -> None:
    if as_json:
        console.emit(summary)
    else:
        rows = [[name, f"{value:.6g}" if isinstance(value, float) else value] for name, value in summary.items()]
        console.table(title, ["quantity", "value"], rows)
