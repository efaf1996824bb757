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
from intertwine.cli.completion import LOGGERS, METHODS, of_words
from intertwine.cli.settings import (
    Device,
    Indices,
    Keys,
    Limit,
    Model,
    Preset,
    Seed,
    Settings,
    Source,
    Target,
    TaskName,
    TrainSize,
    Units,
    ValidationSize,
    data_section,
    ranked,
)
from intertwine.numerics import InputError


@console.guarded
def train(
    source: Source = None,
    test: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Second file; all of it is the test set. With --resume: where that file is now. Default: the test set "
                "is split off the data."
            )
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help=(
                "With --resume: where the data of the run are now, as SOURCE; that they are the same is checked. "
                "Default: where they were."
            ),
        ),
    ] = None,
    model: Model = None,
    preset: Preset = None,
    symmetrize: Annotated[
        str | None,
        typer.Option(
            autocompletion=of_words(*METHODS),
            help=(
                "Make any model equivariant from outside: frames, weighted, average, canonical, or none; settings "
                "by --set symmetrize.KEY=VALUE. Default: none."
            ),
        ),
    ] = None,
    task: TaskName = None,
    target: Target = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help=(
                "Run folder, checkpoint or converted model whose weights to start from; reference energies are fitted "
                "to the new data. Default: random weights."
            ),
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=(
                "With --from: part of the network that is not trained, such as embedding or 'layers.*'; repeatable. "
                "Default: all parts are trained."
            ),
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help=(
                "Largest number of passes over the training set. Default: chosen by the task and the number of "
                "structures; 20 to 150 for a force field."
            )
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help=(
                "Time budget of the training in minutes; the learning rate falls to its minimum within it. Reading the "
                "data before it, and test, certificate and pictures after it, are not counted: they take 10 s to 2 "
                "minutes more (--no-certify leaves the certificate out). Default: no limit."
            )
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Structures in a batch of each process. Default: chosen by the task; 5 for a force field."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help=(
                "Largest learning rate of the schedule (no unit). Default: chosen by task and model; 0.002 for a force "
                "field, times the factor of the model."
            )
        ),
    ] = None,
    train_size: TrainSize = None,
    validation: ValidationSize = None,
    limit: Limit = None,
    rotate: Annotated[
        str | None,
        typer.Option(
            help="Turn each entry by a rotation of its own: quarter (right angles), z, any, or none. Default: none."
        ),
    ] = None,
    rotate_test: Annotated[
        str | None, typer.Option(help="The same of the test set alone. Default: as --rotate.")
    ] = None,
    key: Keys = None,
    unit: Units = None,
    indices: Indices = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            help="Number of machines; this command runs on each, started by torchrun, srun or by hand. Default: 1."
        ),
    ] = None,
    devices: Annotated[
        int | None, typer.Option(help="How many GPUs, or processes on the CPU, of each machine. Default: 1.")
    ] = None,
    device: Device = None,
    logger: Annotated[
        list[str] | None,
        typer.Option(
            autocompletion=of_words(*LOGGERS),
            help=(
                "Logger beside metrics.csv: csv, tensorboard, wandb, or module:Class of a Lightning logger; "
                "repeatable. Default: none."
            ),
        ),
    ] = None,
    certify: Annotated[
        bool | None,
        typer.Option(
            "--certify/--no-certify",
            help=(
                "Certify symmetry, smoothness and forces of the trained model, or save the time that it takes (some "
                "10 s to minutes). Default: --certify."
            ),
        ),
    ] = None,
    seed: Seed = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of settings, such as the config.toml of a run; options override it. Default: none."
        ),
    ] = None,
    settings: Settings = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run. Default: runs/<data>-<model>-<time>.")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Folder of an interrupted run; training continues after its last saved epoch. Default: a new run."
        ),
    ] = None,
    allow: Allow = None,
    quiet: Annotated[bool, typer.Option(help="Print nothing but errors; all results are in the run folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train a model on a data set, score it on the test set, certify its symmetry, draw the pictures.

    `intertwine train ethanol` learns a force field from data in the package.
    """
    if source is not None and data is not None:
        raise InputError("the data are given twice", where="--data", remedy="give SOURCE or --data PATH, not both.")
    common: dict[str, dict[str, Any]] = {
        "data": data_section(
            data or source,
            target=target,
            limit=limit,
            train=train_size,
            validation=validation,
            keys=key,
            units=unit,
            indices=indices,
            seed=seed,
        )
        | {"test": None if test is None else str(test), "rotate": rotate, "rotate_test": rotate_test},
        "model": {"name": model, "preset": preset},
        "symmetrize": {"method": symmetrize},
        "task": {"name": task},
        "training": {
            "epochs": epochs,
            "minutes": minutes,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "nodes": nodes,
            "devices": devices,
            "accelerator": device,
            "loggers": logger or None,
            "certify": certify,
            "seed": seed,
        },
        "start": {"run": origin, "freeze": freeze or None},
    }
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):  # standard output is for the report alone
        folder = start(common, config, settings, run, resume, allow=allow or [], progress=not quiet)
    from intertwine.training.nodes import leads

    if as_json and leads():
        console.emit({"run": str(folder), **json.loads((folder / "report.json").read_text())})


def start(
    options: dict[str, dict[str, Any]], config: Path | None, settings: list[str] | None, run: Path | None,
    resume: Path | None, *, allow: list[str], progress: bool,
) -> Path:  # fmt: skip
    """Train, or go on training, under a TOML file, then the options, then the settings, later ones first in rank.

    Code that the options and settings name may run; what the file or the run folder names, only from the modules in
    ``allow``.

    Raises:
        InputError: ``--run`` and ``--resume`` name different folders.
    """
    from intertwine.data import DEFAULT
    from intertwine.training import train as run_training

    if resume is not None and run is not None and run.resolve() != resume.resolve():
        raise InputError(
            "--run and --resume name different folders",
            where=str(run),
            remedy="give --resume alone: it continues in place.",
        )
    merged, line = ranked(options, settings, config)
    if resume is None and not merged["data"].get("source"):
        merged["data"]["source"] = DEFAULT
    return run_training(
        merged, run=resume or run, resume=resume is not None, progress=progress, allow=[*allow, *named(line)]
    )
