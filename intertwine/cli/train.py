"""intertwine train: from data to a trained, scored and certified run folder."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console
from intertwine.cli.code import Allow, named
from intertwine.numerics import InputError


@console.guarded
def train(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A data set (see `intertwine datasets`), a file that ASE reads, or module:name of your own."
        ),
    ] = None,
    test: Annotated[Path | None, typer.Option(help="A second file, all of it the test set.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Architecture (see `intertwine models`), or module:Class of your own.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Sizes of the model: small (fast), or paper (the authors').")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="force_field, property, dynamics, or module:Class of your own; by default what the data are for."
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The label to learn, `homo` for example, where it is not energies and forces.")
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="RUN", help="Begin with the weights of this run, its model and references fitted anew."
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="With --from: a part not to train, as embedding or 'layers.*'; repeatable."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set, at most.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time budget; the learning rate comes down within it.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Structures in a batch, of each process.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The largest rate of the schedule.")] = None,
    train_size: Annotated[
        str | None,
        typer.Option(
            "--train", metavar="SIZE", help="Structures to train on: a number (1), or a share (0.8; 1.0 is all)."
        ),
    ] = None,
    validation: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Structures to validate on: a number, or a share.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Read only so many structures.")] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="Name of a label in the file, as energy=U0; repeatable.")
    ] = None,
    unit: Annotated[
        list[str] | None, typer.Option(help="Unit of a label in the file, as energy=kcal/mol; repeatable.")
    ] = None,
    indices: Annotated[
        Path | None, typer.Option(help="File (.json or .npz) with the indices of the three sets.")
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="Machines, each of which runs this command (by torchrun, srun or hand).")
    ] = None,
    devices: Annotated[int | None, typer.Option(help="Processes on the CPU, or GPUs, of each machine.")] = None,
    logger: Annotated[
        list[str] | None,
        typer.Option(help="Also tell csv, tensorboard, wandb, or module:Class of a Lightning logger; repeatable."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the split, the initial weights and the order of the data.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file such as the config.toml of a run; options override it.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any argument, as model.width=64 or training.average=0.995; repeatable."),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run; by default runs/<data>-<model>-<time>.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with an interrupted run in this folder, exactly where it was.")
    ] = None,
    allow: Allow = None,
    quiet: Annotated[bool, typer.Option(help="Print nothing; the run folder has everything.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train a model on a data set, score it on the test set, certify its symmetry, draw the pictures.

    With nothing else said, `intertwine train ethanol` learns a force field from the data in the package.
    """
    common: dict[str, dict[str, Any]] = {
        "data": {
            "source": source,
            "test": None if test is None else str(test),
            "target": target,
            "limit": limit,
            "train": size(train_size, "--train"),
            "validation": size(validation, "--validation"),
            "keys": console.pairs(key, "--key"),
            "units": console.pairs(unit, "--unit"),
            "indices": None if indices is None else str(indices),
            "seed": seed,
        },
        "model": {"name": model, "preset": preset},
        "task": {"name": task},
        "training": {
            "epochs": epochs,
            "minutes": minutes,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "nodes": nodes,
            "devices": devices,
            "loggers": logger or None,
            "seed": seed,
        },
        "start": {"run": origin, "freeze": freeze or None},
    }
    given = {section: {k: v for k, v in values.items() if v is not None} for section, values in common.items()}
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):  # standard output is for the report alone
        folder = start(given, config, settings or [], run, resume, allow=allow or [], progress=not quiet)
    from intertwine.training.nodes import leads

    if as_json and leads():
        console.emit({"run": str(folder), **json.loads((folder / "report.json").read_text())})


def size(text: str | None, option: str) -> int | float | None:
    """A number of structures as an integer, a share as a float: ``1`` is one structure and ``1.0`` is all of them.

    Raises:
        InputError: it is no number.
    """
    if text is None:
        return None
    try:
        value = float(text)
        return int(value) if value.is_integer() and (value != 1 or text.strip().lstrip("+").isdigit()) else value
    except (ValueError, OverflowError) as error:
        remedy = f"write for example {option} 100 or {option} 0.8."
        raise InputError(f"{text!r} is not a number of structures or a share", where=option, remedy=remedy) from error


def start(
    given: dict[str, dict[str, Any]], config: Path | None, settings: list[str], run: Path | None, resume: Path | None,
    *, allow: list[str], progress: bool,
) -> Path:  # fmt: skip
    """Train, or go on training, under a TOML file, then the options, then the settings, later ones first in rank.

    Code that the options and settings name may run; what the file or the run folder names, only from the modules in
    ``allow``.

    Raises:
        InputError: ``--run`` and ``--resume`` name different folders.
    """
    from intertwine.data import DEFAULT
    from intertwine.training import merge, parse_settings, read_config
    from intertwine.training import train as run_training

    if resume is not None and run is not None and run.resolve() != resume.resolve():
        raise InputError(
            "--run and --resume name different folders",
            where=str(run),
            remedy="give --resume alone: it continues in place.",
        )
    layers = [read_config(config)] if config is not None else []
    line = merge(given, parse_settings(settings))
    merged = merge(*layers, line)
    if resume is None and not merged["data"].get("source"):
        merged["data"]["source"] = DEFAULT
    return run_training(
        merged, run=resume or run, resume=resume is not None, progress=progress, allow=[*allow, *named(line)]
    )
