"""intertwine relax: relaxation of a structure under a trained force field; and what it shares with `intertwine md`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console, inputs
from intertwine.cli.code import Allow
from intertwine.cli.inputs import Device, Keys, Units
from intertwine.cli.outputs import Overwrite
from intertwine.cli.outputs import check as check_outputs
from intertwine.cli.runs import RunFolder, opened
from intertwine.numerics import Caution, InputError, choose
from intertwine.numerics.showing import counted

Structure = Annotated[Path, typer.Argument(help="File whose last structure is the start; any format that ASE reads.")]
Precision = Annotated[str, typer.Option(help="Precision of the network: float64 or float32.")]


@console.guarded
def relax(
    run: RunFolder,
    structure: Structure,
    fmax: Annotated[
        float,
        typer.Option(
            help="Largest force that may remain on an atom, in eV/A; with --cell also stress times volume per atom, "
            "in eV."
        ),
    ] = 0.01,
    steps: Annotated[int, typer.Option(help="Largest number of optimizer steps.")] = 500,
    cell: Annotated[
        bool,
        typer.Option(
            "--cell",
            help="Relax the cell (lengths and angles) as well as the positions, to zero stress. Fixed atoms keep their "
            "places in the cell, and move with it.",
        ),
    ] = False,
    pressure: Annotated[float | None, typer.Option(help="With --cell: external pressure, in GPa. Default: 0.")] = None,
    key: Keys = None,
    unit: Units = None,
    precision: Precision = "float64",
    device: Device = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File for the relaxed structure. Default: <structure>-relaxed.xyz in the current folder.",
        ),
    ] = None,
    trajectory: Annotated[
        Path | None, typer.Option(help="File for every step of the relaxation, .traj. Default: none is written.")
    ] = None,
    overwrite: Overwrite = False,
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Relax a structure until its forces vanish, by L-BFGS, then if need be by FIRE; never above the start.

    Fixed atoms stay; with --cell, in the cell. Exit code 0 if the forces vanished, 1 if the steps ran out, no such
    structure was met, or the end is far outside of the training data: the lowest structure is written then."""
    from intertwine.data.opening import shown
    from intertwine.integrations import relax as minimise
    from intertwine.integrations import to_atoms, writable, write_structures
    from intertwine.integrations.writing import is_device, tells_its_unit

    path = writable(output or Path(f"{structure.name.split('.')[0]}-relaxed.xyz"), source=structure, tables=False)
    if trajectory is not None:
        writable(trajectory, source=structure, tables=False)
        if trajectory.suffix != ".traj" and not is_device(trajectory):
            raise InputError(f"a trajectory called {trajectory.name}", where="--trajectory", remedy="call it .traj.")
    check_outputs({"--output": path, "--trajectory": trajectory}, overwrite)
    atoms = prepare(run, structure, precision, key, unit, allow, device, [path, trajectory])
    tells_its_unit(path, [atoms])
    volume = atoms.cell.volume
    with console.bar(steps, "relaxing") as progress:
        ended = minimise(
            atoms,
            fmax=fmax,
            steps=steps,
            cell=cell,
            pressure=pressure,
            trajectory=trajectory,
            progress=lambda step, largest: progress(step, f"{largest:.3g} eV/A"),
            say=inputs.say,
        )
    energy = atoms.get_potential_energy()  # also where no step was taken
    losses = write_structures(path, [to_atoms(atoms)])
    remarks = _remarks(ended, fmax, _going_on(losses, path, trajectory), cell=cell)
    for note in (*losses, *remarks, *_held(atoms, cell), *_cells(run, atoms, cell)):
        inputs.say(note)
    if ended.departures:
        console.complain(
            "no relaxation: the end is far outside of what the run was trained on, where the energy gained means "
            "nothing; begin nearer to its structures, or train on structures like the start",
            "warning:",
        )
    summary = {
        "converged": ended.converged,
        "optimizer": ", then ".join(ended.methods),
        "steps": ended.steps,
        **({"structure of step": ended.kept} if ended.kept < ended.steps else {}),
        "energy (eV)": energy,
        f"{'enthalpy ' if pressure else ''}gained (eV)": ended.gained,
        **({} if ended.departures is None else {"beside the training data": "; ".join(ended.departures) or "within"}),
        "constraints": ", ".join(described(constraint) for constraint in atoms.constraints) or "none",
        f"largest force{', that on the cell included' if cell else ''} (eV/A)": ended.largest_force,
        **(_of_cell(atoms, volume) if cell else {}),
        "structure": shown(path),
        **({"trajectory": shown(trajectory)} if trajectory is not None else {}),
    }
    report(summary, as_json, f"relaxation of {structure}")
    raise SystemExit(0 if ended else console.FAILED)


def _going_on(losses: list[str], path: Path, trajectory: Path | None) -> str:
    """How a relaxation that was not long enough is gone on with: from a file that still has the constraints.

    ``losses`` is what ``path`` could not hold.
    """
    from intertwine.data.opening import shown
    from intertwine.integrations.packing import CONSTRAINTS

    if not any(f"{CONSTRAINTS} (" in each for each in losses):
        return f"relax {shown(path)} to go on"
    if trajectory is not None:
        return f"relax {shown(trajectory)}, which has the constraints, to go on"
    return f"begin again with -o {path.stem}.traj, which keeps the constraints, or with more --steps"


def _remarks(ended: Any, fmax: float, going_on: str, *, cell: bool = False) -> list[str]:
    """What a user has to know of a relaxation that did not go down to a structure without forces."""
    notes = []
    if ended.kept < ended.steps:
        notes.append(
            f"the energy rose after step {ended.kept} of {ended.steps}: its structure, the lowest, is kept "
            "and ends the trajectory"
        )
    if ended.gained < 0:
        notes.append(f"the energy rose by {-ended.gained:.2g} eV, which is within the rounding of the energy")
    if not ended.converged:
        where = " (on an atom, or on the cell)" if cell else ""
        much = f"a force of {ended.largest_force:.3g} eV/A{where} is left, where {fmax:g} was asked for (--fmax)"
        if len(ended.methods) > 1 and ended.gained <= 0:
            why = "; the energy rises along the forces, as where they are not its derivative (intertwine certify RUN)"
        elif ended.departures:
            why = ""
        else:
            why = f"; {going_on}"
        notes.append(f"not converged: {much}{why}")
    return notes


def _held(atoms: Any, cell: bool) -> list[str]:
    """What is said of fixed atoms in a cell that relaxes: of a fixed distance, say, it is untrue."""
    from intertwine.integrations.packing import PLACES

    holding = [described(constraint) for constraint in atoms.constraints if type(constraint).__name__ in PLACES]
    if not cell or not holding:
        return []
    return [f"{', '.join(holding)}: what is fixed keeps its place in the cell, and moves with it where it changes"]


def _cells(run: Any, atoms: Any, cell: bool) -> list[str]:
    """What is said of a cell that relaxes by the energies of a run that knows no stress."""
    from intertwine.training.folder import REPORT, read_json

    task = getattr(atoms.calc, "task", None)
    if not cell or task is None or task.weights.get("stress", 0.0) > 0 or not read_json(Path(run) / REPORT):
        return []
    return ["the run was not trained on stress: how the cell changes follows from its energies alone, check it"]


def _of_cell(atoms: Any, before: float) -> dict[str, Any]:
    """What became of the cell."""
    import numpy as np
    from ase import units

    stress = atoms.get_stress()
    return {
        "volume (A^3)": float(atoms.cell.volume),
        "change of the volume (%)": float(100 * (atoms.cell.volume / before - 1)),
        "pressure (GPa)": float(-stress[:3].mean() / units.GPa),
        "largest stress (GPa)": float(np.abs(stress).max() / units.GPa),
    }


def prepare(
    run: Path, structure: Path, precision: str, key: list[str] | None, unit: list[str] | None, allow: list[str] | None,
    device: str = "auto", outputs: Sequence[Path | None] = (), *, resumed: bool = False,
) -> Any:  # fmt: skip
    """The structure's last frame as its file gives it, with the run as its calculator; ``outputs`` are what will
    be written, and of a trajectory that is ``resumed`` the frame's labels are its own.
    """
    import torch

    from intertwine.integrations import Calculator, start_of, to_atoms

    dtype = {"float64": torch.float64, "float32": torch.float32}[
        choose(precision, ("float32", "float64"), kind="precision", where="--precision")
    ]
    trained = opened(run, allow, device=device)
    inputs.spare(outputs, trained)
    content = inputs.read(structure, trained, key, unit, last=True)
    if content.read > 1 and not resumed:
        inputs.say(f"the start is the last of {content.read:,} structures (frame {content.read - 1}, counted from 0)")
    atoms = content.structures[-1]
    inputs.known(content, trained)
    atoms = atoms if hasattr(atoms, "calc") else to_atoms(atoms)  # a graph, of a data set that has a name
    labels = {} if resumed else start_of(atoms, f"run {run.resolve().name}")
    if labels:
        kept = ", ".join(labels.values())
        inputs.say(f"the file's labels ({', '.join(labels)}) are not used, and kept as those of the start ({kept})")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Caution)  # the doubts that were said above
        atoms.calc = Calculator(trained, dtype=dtype, device=device, keys=content.keys)
    if "pos_unit" in atoms.info or trained.config.data.units:  # which the reader would take for those of the results
        atoms.info |= {"energy_unit": "eV", "forces_unit": "eV/A", "stress_unit": "eV/A^3"}
    return atoms


def described(constraint: Any) -> str:
    """A constraint in a word or two: its kind, and how many atoms it holds."""
    count = len(constraint.get_indices()) if hasattr(constraint, "get_indices") else 0
    return type(constraint).__name__ + (f" of {counted(count, 'atoms')}" if count else "")


def report(summary: dict[str, Any], as_json: bool, title: str) -> None:
    """Print a summary, as JSON or as a table."""
    if as_json:
        console.emit(summary)
    else:
        console.table(title, ["quantity", "value"], [[name, _cell(name, value)] for name, value in summary.items()])


def _cell(name: str, value: Any) -> Any:
    """A value of the table: six digits, of a large energy all down to 0.1 meV; "none" where there is none."""
    if value is None:
        return "none"
    if not isinstance(value, float):
        return value
    return f"{value:.4f}" if name.endswith("(eV)") and abs(value) >= 10 else f"{value:.6g}"
