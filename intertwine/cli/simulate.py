"""intertwine md, relax: dynamics and relaxation of a structure under a trained force field."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console, inputs
from intertwine.cli.code import Allow
from intertwine.cli.inputs import Keys, Units
from intertwine.cli.use import RunFolder
from intertwine.numerics import InputError, choose

Structure = Annotated[Path, typer.Argument(help="File whose last structure is the start; any format that ASE reads.")]
Precision = Annotated[str, typer.Option(help="Precision of the network: float64 or float32.")]


@console.guarded
def md(
    run: RunFolder,
    structure: Structure,
    steps: Annotated[int, typer.Option(help="Number of time steps, without equilibration.")] = 20000,
    temperature: Annotated[
        float, typer.Option(help="Temperature of the starting velocities and of the bath, in K.")
    ] = 300.0,
    timestep: Annotated[float, typer.Option(help="Time step in fs.")] = 0.25,
    ensemble: Annotated[
        str,
        typer.Option(help="nve (constant energy; its drift measures the force field) or nvt (Langevin thermostat)."),
    ] = "nve",
    equilibrate: Annotated[
        int | None,
        typer.Option(
            help="Time steps with a thermostat before the recorded ones. Default: 2000; 0 with --velocities keep."
        ),
    ] = None,
    velocities: Annotated[
        str, typer.Option(help="Starting velocities: thermal (drawn at the temperature) or keep (those of the file).")
    ] = "thermal",
    key: Keys = None,
    unit: Units = None,
    precision: Precision = "float64",
    every: Annotated[int, typer.Option(help="Time steps between recorded frames.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the velocities and of the thermostat.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Trajectory to write, .traj. Default: <structure>-md.traj in the current folder."
        ),
    ] = None,
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Molecular dynamics; prints the drift of the energy that velocity Verlet conserves, and of the total energy.

    The total energy fluctuates with the square of the time step, so that over a few ps its slope is mostly phase; the
    conserved (shadow) energy does not, and its drift is the force field's and the arithmetic's."""
    from intertwine.data.opening import shown
    from intertwine.integrations import run_dynamics, writable
    from intertwine.integrations.simulate import free
    from intertwine.integrations.writing import is_device
    from intertwine.plots import trajectory as picture

    path = writable(output or Path(f"{structure.name.split('.')[0]}-md.traj"), source=structure, tables=False)
    if path.suffix != ".traj" and not is_device(path):
        raise InputError(
            f"a trajectory called {path.name}",
            where="--output",
            remedy="call it .traj; `ase convert` makes other formats.",
        )
    drawing = None if is_device(path) else writable(path.with_suffix(".png"), source=structure, tables=False)
    equilibrate = equilibrate if equilibrate is not None else 0 if velocities == "keep" else 2000
    atoms = prepare(run, structure, precision, key, unit, allow, path)
    started = _started(atoms, velocities, temperature)
    with console.bar(steps + equilibrate, f"{ensemble} at {temperature:g} K") as progress:
        record = run_dynamics(
            atoms,
            steps,
            temperature=temperature,
            timestep=timestep,
            equilibrate=equilibrate,
            ensemble=ensemble,
            velocities=velocities,
            seed=seed,
            every=every,
            trajectory=path,
            progress=progress,
            say=inputs.say,
        )
    if drawing is not None:
        picture(record.time, record.total, record.temperature, drawing, atoms=record.atoms)
    summary = {
        "equilibration steps": equilibrate,
        "steps": steps,
        "time (ps)": steps * timestep * 1e-3,
        "ensemble": ensemble,
        "velocities": started,
        "centre of mass": "at rest to begin with" if free(atoms) and velocities == "thermal" else "free",
        **_found(atoms, record),
        "trajectory": shown(path),
        "picture": shown(drawing) if drawing is not None else "none",
    }
    report(summary, as_json, f"{ensemble.upper()} of {structure}")


@console.guarded
def relax(
    run: RunFolder,
    structure: Structure,
    fmax: Annotated[float, typer.Option(help="Largest force that may remain on an atom, in eV/A.")] = 0.01,
    steps: Annotated[int, typer.Option(help="Largest number of optimizer steps.")] = 500,
    cell: Annotated[bool, typer.Option("--cell", help="Relax the cell as well as the positions.")] = False,
    key: Keys = None,
    unit: Units = None,
    precision: Precision = "float64",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File for the relaxed structure. Default: <structure>-relaxed.xyz in the current folder.",
        ),
    ] = None,
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Relax a structure until its forces vanish. Exit code 0 if they did, 1 if the steps ran out."""
    import numpy as np

    from intertwine.data.opening import shown
    from intertwine.integrations import relax as minimise
    from intertwine.integrations import to_atoms, writable, write_structures
    from intertwine.integrations.writing import tells_its_unit

    path = writable(output or Path(f"{structure.name.split('.')[0]}-relaxed.xyz"), source=structure, tables=False)
    atoms = prepare(run, structure, precision, key, unit, allow, path)
    tells_its_unit(path, [atoms])
    before = atoms.get_potential_energy()
    taken = 0

    def count(step: int, largest: float) -> None:
        nonlocal taken
        taken = step
        progress(step)

    with console.bar(steps, "relaxing") as progress:
        converged = minimise(atoms, fmax=fmax, steps=steps, cell=cell, progress=count)
    energy = atoms.get_potential_energy()  # also where no step was taken
    for note in write_structures(path, [to_atoms(atoms)]):
        inputs.say(note)
    summary = {
        "converged": converged,
        "steps": taken,
        "energy (eV)": energy,
        "gained (eV)": before - energy,
        "constraints": ", ".join(_described(constraint) for constraint in atoms.constraints) or "none",
        "largest force (eV/A)": float(np.linalg.norm(atoms.get_forces(), axis=1).max(initial=0.0)),
        "structure": shown(path),
    }
    report(summary, as_json, f"relaxation of {structure}")
    raise SystemExit(0 if converged else console.FAILED)


def prepare(
    run: Path, structure: Path, precision: str, key: list[str] | None, unit: list[str] | None, allow: list[str] | None,
    output: Path | None = None,
) -> Any:  # fmt: skip
    """The structure's last frame as its file gives it, with the run as its calculator; ``output`` is what will be
    written.
    """
    import torch

    from intertwine.integrations import Calculator, start_of, to_atoms
    from intertwine.training import load_run

    dtype = {"float64": torch.float64, "float32": torch.float32}[
        choose(precision, ("float32", "float64"), kind="precision", where="--precision")
    ]
    trained = load_run(run, allow=allow or ())
    inputs.spare(output, trained)
    content = inputs.read(structure, trained, key, unit, last=True)
    atoms = content.structures[-1]
    atoms = atoms if hasattr(atoms, "calc") else to_atoms(atoms)  # a graph, of a data set that has a name
    labels = start_of(atoms, f"run {run.resolve().name}")
    if labels:
        inputs.say(f"the file's {', '.join(labels)} are not used, and kept as those of the start (initial_{labels[0]})")
    atoms.calc = Calculator(trained, dtype=dtype, keys=content.keys)
    if "pos_unit" in atoms.info or trained.config.data.units:  # which the reader would take for those of the results
        atoms.info |= {"energy_unit": "eV", "forces_unit": "eV/A", "stress_unit": "eV/A^3"}
    return atoms


def _started(atoms: Any, velocities: str, temperature: float) -> str:
    if velocities == "keep":
        return "those of the file"
    return f"thermal, {temperature:g} K" + (
        ", in place of the file's (--velocities keep keeps them)" if atoms.has("momenta") else ""
    )


def _found(atoms: Any, record: Any) -> dict[str, Any]:
    """What a dynamics has shown, for its summary."""
    return {
        "atoms": record.atoms,
        "constraints": ", ".join(_described(constraint) for constraint in atoms.constraints) or "none",
        "mean temperature (K)": sum(record.temperature) / len(record.temperature),
        "drift of the conserved energy (eV/atom/ns)": record.drift,
        "drift of the total energy (eV/atom/ns)": record.total_drift,
        "fluctuation (meV/atom)": record.fluctuation,
        "neighbour lists built": atoms.calc.rebuilds,
    }


def _described(constraint: Any) -> str:
    """A constraint in a word or two: its kind, and how many atoms it holds."""
    count = len(constraint.get_indices()) if hasattr(constraint, "get_indices") else 0
    return type(constraint).__name__ + (f" of {count} atoms" if count else "")


def report(summary: dict[str, Any], as_json: bool, title: str) -> None:
    if as_json:
        console.emit(summary)
    else:
        rows = [[name, f"{value:.6g}" if isinstance(value, float) else value] for name, value in summary.items()]
        console.table(title, ["quantity", "value"], rows)
