"""intertwine md: molecular dynamics of a structure under a trained force field."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console, inputs
from intertwine.cli.code import Allow
from intertwine.cli.inputs import Device, Keys, Units
from intertwine.cli.outputs import Overwrite
from intertwine.cli.outputs import check as check_outputs
from intertwine.cli.runs import RunFolder
from intertwine.cli.simulate import described, prepare, report
from intertwine.numerics import InputError

#: What is taken where nothing is said; fs, K.
DEFAULTS: dict[str, Any] = {"ensemble": "nve", "steps": 20000, "temperature": 300.0, "timestep": 0.25, "every": 10}
DEFAULTS |= {"velocities": "thermal"}
#: Options of the bath, in the order of :class:`~intertwine.integrations.ensembles.Ensemble`, and what they are called
#: in the summary.
BATH = {
    "thermostat": "thermostat",
    "friction": "friction (1/fs)",
    "thermostat_time": "thermostat time (fs)",
    "barostat": "barostat",
    "pressure": "pressure asked for (GPa)",
    "barostat_time": "barostat time (fs)",
}


@console.guarded
def md(
    run: RunFolder,
    structure: Annotated[
        Path,
        typer.Argument(
            help="File whose last structure is the start; any format that ASE reads. With --resume: the trajectory."
        ),
    ],
    steps: Annotated[
        int | None, typer.Option(help="Number of time steps, without equilibration. Default: 20000.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Temperature of the starting velocities and of the bath, in K. Default: 300."),
    ] = None,
    timestep: Annotated[float | None, typer.Option(help="Time step in fs. Default: 0.25.")] = None,
    ensemble: Annotated[
        str | None,
        typer.Option(
            help="nve (constant energy; its drift measures the force field), nvt (constant temperature: a thermostat) "
            "or npt (constant temperature and pressure: a barostat too). Default: nve."
        ),
    ] = None,
    thermostat: Annotated[
        str | None,
        typer.Option(
            help="Of nvt: langevin (friction and noise on each atom), bussi (stochastic velocity rescaling, CSVR) or "
            "nose-hoover (a chain). npt has a Nose-Hoover chain. Default: langevin."
        ),
    ] = None,
    friction: Annotated[
        float | None, typer.Option(help="Friction of langevin, in 1/fs. Default: 0.01, which is 10/ps.")
    ] = None,
    thermostat_time: Annotated[
        float | None, typer.Option(help="Time constant of bussi and nose-hoover, in fs. Default: 100.")
    ] = None,
    barostat: Annotated[
        str | None,
        typer.Option(
            help="Of npt, by Martyna, Tobias and Klein: isotropic (the cell keeps its shape) or flexible (lengths and "
            "angles change). Default: isotropic."
        ),
    ] = None,
    pressure: Annotated[float | None, typer.Option(help="Pressure of npt, in GPa. Default: 0.")] = None,
    barostat_time: Annotated[
        float | None, typer.Option(help="Time constant of the barostat, in fs. Default: 1000.")
    ] = None,
    equilibrate: Annotated[
        int | None,
        typer.Option(
            help="Time steps with a Langevin thermostat (0.02/fs) before the recorded ones; nve then starts with the "
            "mean energy of the temperature. Default: 2000; 0 with --velocities keep."
        ),
    ] = None,
    velocities: Annotated[
        str | None,
        typer.Option(
            help="Starting velocities: thermal (drawn at the temperature) or keep (those of the file). "
            "Default: thermal."
        ),
    ] = None,
    key: Keys = None,
    unit: Units = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Precision of the network: float64 or float32. Default: float64; with --resume that of the trajectory."
        ),
    ] = None,
    device: Device = "auto",
    every: Annotated[int | None, typer.Option(help="Time steps between recorded frames. Default: 10.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the velocities and of the thermostat.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Trajectory to write, .traj. Default: <structure>-md.traj in the current folder."
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            help="Table to write, .csv: step, time (ps), temperature (K), energies (eV), pressure (GPa), volume (A^3). "
            "Default: the trajectory's name with .csv; with --resume and without -o, the log that the run had."
        ),
    ] = None,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the last frame of a trajectory that was interrupted, with its settings; --steps counts "
            "from its beginning.",
        ),
    ] = False,
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Molecular dynamics (NVE, NVT, NPT); prints the drift of the energy that is conserved.

    In nve that is the shadow energy of velocity Verlet: the total energy fluctuates with the square of the time step,
    so that over a few ps its slope is mostly phase, and the drift of the conserved energy is the force field's and the
    arithmetic's. With a thermostat or a barostat it is the total energy less what the bath has given."""
    from intertwine.integrations import run_dynamics

    options: dict[str, Any] = {
        "steps": steps, "temperature": temperature, "timestep": timestep, "ensemble": ensemble,
        "thermostat": thermostat, "friction": friction, "thermostat_time": thermostat_time, "barostat": barostat,
        "pressure": pressure, "barostat_time": barostat_time, "every": every, "velocities": velocities, "seed": seed,
    }  # fmt: skip
    options["equilibrate"] = equilibrate
    options = _settled(options, structure if resume else None)
    begun = _begun(options, temperature, structure if resume else None)
    files = _files(structure, output, log, resume, overwrite)
    precision = precision or _precision_of(structure if resume else None)
    atoms = prepare(run, structure, precision, key, unit, allow, device, list(files.values()), resumed=resume)
    started = "those of the last frame" if resume else _started(atoms, options)
    with console.bar(options["steps"] + options["equilibrate"], options["ensemble"]) as progress:
        record = run_dynamics(
            atoms,
            trajectory=files["trajectory"],
            log=files["log"],
            resume=structure if resume else None,
            progress=progress,
            say=inputs.say,
            **options | {"temperature": begun.get("asked") if not resume else options["temperature"]},
        )
    report(
        _summary(atoms, record, options, begun, started, files),
        as_json,
        f"{options['ensemble'].upper()} of {structure}",
    )


def _settled(options: dict[str, Any], resumed: Path | None) -> dict[str, Any]:
    """The options with a value for each: what the user typed, else that of the resumed trajectory, else the default."""
    typed = {name: value for name, value in options.items() if value is not None}
    if resumed is None:
        default = {"equilibrate": 0 if typed.get("velocities") == "keep" else 2000}
        return dict.fromkeys(BATH) | DEFAULTS | default | typed
    from intertwine.integrations.resuming import settings_of

    before = settings_of(console.existing(resumed, "trajectory"))
    for name in ("equilibrate", "velocities"):
        if name in typed:
            raise InputError(f"--{name} with --resume", where=f"--{name}", remedy="leave it out: it goes on as it was.")
    former = {name: before.get("name" if name == "ensemble" else name) for name in (*DEFAULTS, *BATH)}
    return former | typed | {"velocities": "keep", "equilibrate": 0}


def _begun(options: dict[str, Any], temperature: float | None, resumed: Path | None) -> dict[str, Any]:
    """How the first part of a run began: velocities, steps of equilibration, the temperature that was asked for (K);
    nothing where a resumed trajectory does not say.
    """
    if resumed is not None:
        from intertwine.integrations.resuming import BEGUN, settings_of

        return settings_of(resumed).get(BEGUN) or {}
    drawn = options["temperature"] if options["velocities"] != "keep" else None
    asked = drawn if temperature is None else temperature
    return {"velocities": options["velocities"], "equilibrate": options["equilibrate"], "asked": asked}


def _precision_of(resumed: Path | None) -> str:
    if resumed is None:
        return "float64"
    from intertwine.integrations.resuming import POTENTIAL, settings_of

    return (settings_of(resumed).get(POTENTIAL) or {}).get("precision", "float64")


def _files(
    structure: Path, output: Path | None, log: Path | None, resume: bool, overwrite: bool
) -> dict[str, Path | None]:
    """Where trajectory, log and picture go; none beside a device.

    Raises:
        InputError: one of them can't be written, is there already, is another one of them, or has the ending of
            another format.
    """
    from intertwine.integrations import writable
    from intertwine.integrations.resuming import whole
    from intertwine.integrations.writing import is_device, same_file

    source = None if resume else structure
    default = whole(structure) if resume else Path(f"{structure.name.split('.')[0]}-md.traj")
    path = writable(output or default, source=source, tables=False)
    device = is_device(path)
    if path.suffix != ".traj" and not device:
        raise InputError(
            f"a trajectory called {path.name}",
            where="--output",
            remedy="call it .traj; `ase convert` makes other formats.",
        )
    table = log or (None if device else _log_of(structure) if resume and output is None else path.with_suffix(".csv"))
    if table is not None:
        writable(table, source=source, tables=False, formats=False)
        if table.suffix != ".csv" and not is_device(table):
            raise InputError(f"a log called {table.name}", where="--log", remedy="call it .csv.")
    drawing = None if device else writable(path.with_suffix(".png"), source=structure, tables=False)
    # what a resumed run goes on with is its own; of a log its rows tell, when they are read
    own = {"--log"} if resume else set()
    own |= {"--output"} if resume and same_file(path, structure) else set()
    own |= {"picture"} if resume and os.path.realpath(path) == os.path.realpath(default) else set()
    remedy = "" if resume else "go on with it (intertwine md RUN TRAJECTORY --resume)"
    check_outputs({"--output": path, "--log": table, "picture": drawing}, overwrite, own=own, remedy=remedy)
    return {"trajectory": path, "log": table, "picture": drawing}


def _log_of(trajectory: Path) -> Path:
    """The log that a run goes on with: the one it had, if that folder is still there, else by the trajectory's name; so
    for a copy, whose original has that log.
    """
    from intertwine.integrations.resuming import LOG, OWN, settings_of, whole

    settings = settings_of(trajectory)
    copied = settings.get(OWN, whole(trajectory).name) != whole(trajectory).name
    name = None if copied else settings.get(LOG)
    former = None if name is None else trajectory.parent / name
    return whole(trajectory).with_suffix(".csv") if former is None or not former.parent.is_dir() else former


def _started(atoms: Any, options: dict[str, Any]) -> str:
    if options["velocities"] == "keep":
        return "those of the file"
    return f"thermal, {options['temperature']:g} K" + (
        ", in place of the file's (--velocities keep keeps them)" if atoms.has("momenta") else ""
    )


def _summary(
    atoms: Any, record: Any, options: dict[str, Any], begun: dict[str, Any], started: str,
    files: dict[str, Path | None],
) -> dict[str, Any]:  # fmt: skip
    """What a dynamics was and has shown; draws its picture."""
    import numpy as np

    from intertwine.data.opening import shown
    from intertwine.integrations.ensembles import Ensemble
    from intertwine.plots import trajectory as picture

    nve = options["ensemble"] == "nve"
    kind = Ensemble(options["ensemble"], *(options[name] for name in ("temperature", "timestep", *BATH)))
    times, energies = zip(*record.conserved, strict=True) if record.conserved else ((), ())
    if files["picture"] is not None:
        picture(
            record.time,
            record.total if nve else record.effective,
            record.temperature,
            files["picture"],
            atoms=record.atoms,
            target=None if nve and begun and _kept(begun) and begun["asked"] is None else options["temperature"],
            what="total energy" if nve else "conserved energy",
            conserved=(times, energies) if nve and times else None,
            drift=record.drift,
            caveat=record.caveat,
        )
    bath = {words: kind.settings[name] for name, words in BATH.items() if name in kind.settings}
    slopes = {"drift of the conserved energy (eV/atom/ns)": record.drift}
    if nve:
        slopes["drift of the total energy (eV/atom/ns)"] = record.total_drift
        slopes["fluctuation of the total energy (meV/atom)"] = record.fluctuation
    means = {"mean pressure (GPa)": record.pressure, "mean volume (A^3)": record.volume if not nve else []}
    return {
        "equilibration steps": begun.get("equilibrate", "not recorded"),
        "steps": options["steps"],
        "time (ps)": options["steps"] * options["timestep"] * 1e-3,
        "ensemble": options["ensemble"],
        **bath,
        "velocities": started,
        "centre of mass": _centre_of_mass(atoms, begun),
        "atoms": record.atoms,
        "constraints": ", ".join(described(constraint) for constraint in atoms.constraints) or "none",
        "mean temperature (K)": record.mean_temperature,
        **{name: float(np.mean(values)) for name, values in means.items() if np.isfinite(values).any()},
        "conserved energy": kind.conserves,
        **{name: value if np.isfinite(value) else None for name, value in slopes.items()},
        **({"beside the training data": _beside(record)} if atoms.calc.domain is not None else {}),
        "neighbour lists built": atoms.calc.rebuilds,
        "a list is built": _when(atoms.calc.skin, options),
        **{name: shown(path) if path is not None else "none" for name, path in files.items()},
    }


def _kept(begun: dict[str, Any]) -> bool:
    """Whether a run began with velocities that were there, and not with those of an equilibration."""
    return begun["velocities"] == "keep" and not begun["equilibrate"] > 0


def _centre_of_mass(atoms: Any, begun: dict[str, Any]) -> str:
    from intertwine.integrations.ensembles import free

    if not begun:
        return "not recorded"
    return "at rest to begin with" if free(atoms) and not _kept(begun) else "free"


def _when(skin: float, options: dict[str, Any]) -> str:
    """At which steps neighbour lists are built, and which steps are counted."""
    moved = f"where an atom has moved by {skin / 2:g} A, half the skin, since the last"
    cell = ", and at every step of npt, where the cell changes" if options["ensemble"] == "npt" else ""
    before = f"; the {options['equilibrate']:,} steps of the equilibration count" if options["equilibrate"] else ""
    return f"{moved}{cell}{before}"


def _beside(record: Any) -> str:
    """Whether all recorded structures are of the kind that the run was trained on, or from which step on not."""
    if record.left is None:
        return "within"
    step, time, departures = record.left
    return f"outside from step {step} ({time:.4g} ps): {'; '.join(departures)}"
