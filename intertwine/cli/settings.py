"""Options that `train` and `tune` share: which data, which model, which settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console
from intertwine.cli.completion import PRESETS, of_table, of_words
from intertwine.cli.inputs import WHERE

Source = Annotated[
    str | None,
    typer.Argument(
        autocompletion=of_table("data/catalogue"),
        help=(
            "Data set (`intertwine datasets` lists them), file, folder or quoted pattern of files, or module:name "
            "of your own. Default: ethanol, which is in the package."
        ),
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        autocompletion=of_table("models"),
        help=(
            "Architecture (`intertwine models` lists them), or module:Class of your own. Default: chosen by the "
            "task; mace for energies and forces."
        ),
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        autocompletion=of_words(*PRESETS),
        help=("Sizes of the model: small (fast) or paper (as published). Default: neither, the defaults of the model."),
    ),
]
TaskName = Annotated[
    str | None,
    typer.Option(
        autocompletion=of_table("tasks"),
        help=(
            "force_field, property, classification, dynamics, structure, hamiltonian, density, autoencoder, "
            "point_autoencoder, signal_autoencoder, or module:Class of your own. Default: chosen by the labels in the "
            "data."
        ),
    ),
]
Target = Annotated[
    str | None, typer.Option(help="Label to learn, such as homo. Default: energy and forces if the data have them.")
]
TrainSize = Annotated[
    str | None,
    typer.Option(
        "--train",
        metavar="SIZE",
        help=(
            "Structures to train on: a number (1 is one structure) or a share (0.8; 1.0 is all). Default: what the "
            "other two sets leave."
        ),
    ),
]
ValidationSize = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help=(
            "Structures to validate on: a number or a share. Default: the split of the data set, or a tenth, at "
            "most 1,000."
        ),
    ),
]
Limit = Annotated[int | None, typer.Option(help="Read only the first so many structures. Default: all.")]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        help="Name of a label or input in the file, as energy=U0; repeatable. Default: found by their usual names."
    ),
]
Units = Annotated[
    list[str] | None,
    typer.Option(
        help=(
            "Unit of a label or of positions in the file, as energy=kcal/mol or pos=Bohr; repeatable. Default: "
            "what the file declares, else eV and A."
        )
    ),
]
Indices = Annotated[
    Path | None,
    typer.Option(
        help=(
            "File (.json or .npz) with the indices of the training, validation and test set. Default: a random split."
        )
    ),
]
Device = Annotated[str | None, typer.Option(help=WHERE)]
Seed = Annotated[
    int | None, typer.Option(help="Seed of the data split, the initial weights and the data order. Default: 0.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help=(
            "Any setting, as model.width=64 or training.average=0.995; repeatable. docs/settings.md lists all with "
            "unit and default. Default: none."
        ),
    ),
]


def data_section(
    source: str | None, *, target: str | None, limit: int | None, train: str | None, validation: str | None,
    keys: list[str] | None, units: list[str] | None, indices: Path | None, seed: int | None,
) -> dict[str, Any]:  # fmt: skip
    """The section ``data`` of a configuration from these options; None where one was not given.

    Raises:
        InputError: a size is no number, or a pair is not name=value.
    """
    return {
        "source": source,
        "target": target,
        "limit": limit,
        "train": console.size(train, "--train"),
        "validation": console.size(validation, "--validation"),
        "keys": console.pairs(keys, "--key"),
        "units": console.pairs(units, "--unit"),
        "indices": None if indices is None else str(indices),
        "seed": seed,
    }


def ranked(
    options: dict[str, dict[str, Any]], settings: list[str] | None, config: Path | None
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """A TOML file under the options under ``--set``, and the last two alone, whose code may run.

    Args:
        options: sections; None where an option was not given.
        settings: of ``--set``.
        config: the file.
    """
    from intertwine.training import merge, parse_settings, read_config

    sections = {section: {k: v for k, v in values.items() if v is not None} for section, values in options.items()}
    line = merge(sections, parse_settings(settings or []))
    return merge(*([read_config(config)] if config is not None else []), line), line
