"""intertwine lammps and intertwine ipi: a trained force field inside other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console, inputs
from intertwine.cli.code import Allow
from intertwine.cli.inputs import Device, Keys, Units
from intertwine.cli.outputs import Overwrite
from intertwine.cli.outputs import check as check_outputs
from intertwine.cli.runs import RunFolder
from intertwine.cli.simulate import Precision, prepare, report
from intertwine.numerics import choose


@console.guarded
def lammps(
    run: RunFolder,
    script: Annotated[
        Path,
        typer.Argument(
            help="Input file of LAMMPS with the lines `pair_style intertwine` and `pair_coeff * * O H`, a symbol for "
            "each type of atom."
        ),
    ],
    var: Annotated[
        list[str] | None,
        typer.Option(help="Variable of the input file, as T=300; repeatable. Default: those that the file sets."),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="File for LAMMPS's log. Default: none is written.")] = None,
    precision: Precision = "float64",
    device: Device = "auto",
    overwrite: Overwrite = False,
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, and nothing of LAMMPS.")] = False,
) -> None:
    """Run an input file of LAMMPS with the force field in it: energy, forces and virial of every step."""
    from ase.units import GPa

    from intertwine.integrations import run_lammps

    check_outputs({"--log": log}, overwrite)
    screen = ["-screen", "none"] if as_json else []
    done = run_lammps(
        run,
        script,
        variables=console.pairs(var, "--var"),
        arguments=["-log", "none" if log is None else str(log), *screen],
        dtype=_precision(precision),
        device=device,
        allow=allow or (),
    )
    atoms = done.atoms
    crystal = atoms is not None and atoms.pbc.sum() > 1
    summary: dict[str, Any] = {
        "atoms": 0 if atoms is None else len(atoms),
        "last step": done.step,
        "calls of the force field": done.calls,
        "time for a call (ms)": 1e3 * done.seconds / done.calls if done.calls else None,
        "potential energy (eV)": None if atoms is None else atoms.get_potential_energy(),
        "pressure without motion (GPa)": -atoms.get_stress()[:3].mean() / GPa if crystal and atoms else None,
        "beside the training data": "; ".join(done.departures) or "within, or not known",
    }
    report(summary, as_json, f"LAMMPS on {script}")


@console.guarded
def ipi(
    run: RunFolder,
    structure: Annotated[
        Path,
        typer.Argument(
            help="File whose last structure has the server's atoms in the server's order, and its periods; any format "
            "that ASE reads."
        ),
    ],
    host: Annotated[str, typer.Option(help="Name of the server's machine.")] = "localhost",
    port: Annotated[int, typer.Option(help="Port of the server, a number of its own choice.")] = 31415,
    unixsocket: Annotated[
        str | None,
        typer.Option(
            "--unix",
            metavar="NAME",
            help="Socket /tmp/ipi_NAME of this machine, in place of host and port. Default: host and port.",
        ),
    ] = None,
    wait: Annotated[float, typer.Option(help="How long to wait for a server that is not there yet, in s.")] = 60.0,
    key: Keys = None,
    unit: Units = None,
    precision: Precision = "float64",
    device: Device = "auto",
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Compute energies, forces and virials for i-PI, or another server of its protocol, until it has enough.

    Start the server first, or within the time of --wait. Path integrals may have many clients: start this so often."""
    from intertwine.integrations import run_client

    atoms = prepare(run, structure, precision, key, unit, allow, device)
    if not atoms.pbc.any():
        inputs.say(f"{structure} does not repeat: the server's cell is not looked at")
    done = run_client(atoms, host=host, port=port, unixsocket=unixsocket, wait=wait)
    report({"structures computed": done, "atoms": len(atoms)}, as_json, f"a client with {run}")


def _precision(name: str) -> Any:
    import torch

    known = {"float64": torch.float64, "float32": torch.float32}
    return known[choose(name, known, kind="precision", where="--precision")]
