"""intertwine tune: a search over settings, which ends with a file that `intertwine train` takes."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from intertwine.cli import console
from intertwine.cli.code import Allow, named
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

if TYPE_CHECKING:
    from intertwine.training.tuning import Search


@console.guarded
def tune(
    source: Source = None,
    minutes: Annotated[
        float,
        typer.Option(help="Time budget of the whole search in minutes; reading the data before it is not counted."),
    ] = 10.0,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Largest number of trials. Default: as many as the time allows.")
    ] = None,
    trial_minutes: Annotated[
        float | None,
        typer.Option(
            help=(
                "Time budget of the training in each trial, in minutes. Default: a tenth of --minutes, or what the "
                "search in the folder began with."
            )
        ),
    ] = None,
    model: Model = None,
    preset: Preset = None,
    task: TaskName = None,
    target: Target = None,
    train_size: TrainSize = None,
    validation: ValidationSize = None,
    limit: Limit = None,
    key: Keys = None,
    unit: Units = None,
    indices: Indices = None,
    device: Device = None,
    seed: Seed = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file of settings that are fixed; options override it. Default: none."),
    ] = None,
    settings: Settings = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of the search; one that is there goes on. Default: tune/<data>-<model>."),
    ] = None,
    allow: Allow = None,
    quiet: Annotated[bool, typer.Option(help="Print nothing but errors; everything is in the folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the trials as JSON.")] = False,
) -> None:
    """Search for settings: short trainings of equal time, the defaults first, compared by their validation errors.
    Settings that are given are fixed.

    The same command goes on with a search that was stopped or killed. `intertwine train FILE --config best.toml` trains
    with what was found.
    """
    from intertwine.training.tuning import Search, best_of

    common: dict[str, dict[str, Any]] = {
        "data": data_section(
            source, target=target, limit=limit, train=train_size, validation=validation, keys=key, units=unit,
            indices=indices, seed=seed,
        ),
        "model": {"name": model, "preset": preset},
        "task": {"name": task},
        "training": {"accelerator": device, "seed": seed},
    }  # fmt: skip
    merged, line = ranked(common, settings, config)
    times: dict[str, Any] = {"minutes": minutes, "trials": trials, "trial_minutes": trial_minutes}
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):  # standard output is for the document alone
        search = Search(merged, **times, run=run, progress=not quiet, allow=[*(allow or []), *named(line)])
        with search:
            try:
                search.run()
            except KeyboardInterrupt:
                _show(search, as_json or quiet)
                raise
            best_of(search.record)
            _show(search, as_json or quiet)
    if as_json:
        from intertwine.training.tuning import document

        console.emit(document(search.findings))


def _show(search: Search, silent: bool) -> None:
    """The table of trials, and the command to go on with."""
    from intertwine.training.tuning import command, table

    if silent or not search.record.trials:
        return
    first = search.record.defaults is not None
    caption = (
        f"Errors are mean absolute errors on the validation set; of the {'defaults' if first else 'baseline'}: the "
        "geometric mean over the targets of their ratio."
    )
    console.table("Trials", *table(search.findings), caption)
    if search.record.best is not None:
        console.out.print(f"next     {command(search.findings)}", markup=False, soft_wrap=True)
    console.out.print(f"results  {search.folder}", markup=False, soft_wrap=True)
