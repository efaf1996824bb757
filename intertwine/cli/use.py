"""intertwine evaluate, predict: what a trained run is worth, and what it says about new structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console, inputs
from intertwine.cli.code import Allow
from intertwine.cli.inputs import DataPath, Device, Keys, Limit, SkipUnknown, TestPath, Units
from intertwine.cli.outputs import Overwrite, chemiscope_file, cube_files, viewer_files
from intertwine.cli.outputs import check as check_outputs
from intertwine.cli.runs import RunFolder, Which, opened
from intertwine.numerics import InputError
from intertwine.numerics.showing import counted, figure

SIZE = (
    "rms of label: the root mean square of the references, beside which an error is large or small; "
    "of what a structure has many of (forces, but one energy)."
)


@console.guarded
def evaluate(
    run: RunFolder,
    source: Annotated[str | None, typer.Argument(help="Data with labels. Default: the test set of the run.")] = None,
    data: DataPath = None,
    test: TestPath = None,
    key: Keys = None,
    unit: Units = None,
    which: Which = "best",
    limit: Limit = None,
    rotate: Annotated[
        str,
        typer.Option(
            help=(
                "With SOURCE, turn each entry first: quarter (right angles), z (about the z axis), any, or none. "
                "Default: none. (The run's own test set is turned as data.rotate and data.rotate_test say.)"
            )
        ),
    ] = "none",
    chemiscope: Annotated[
        Path | None,
        typer.Option(
            help="File (.json.gz) with structures, predictions and errors of each for chemiscope.org to show as a map. "
            "Default: none."
        ),
    ] = None,
    overwrite: Overwrite = False,
    skip_unknown: SkipUnknown = False,
    device: Device = "auto",
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the errors as JSON.")] = False,
) -> None:
    """Mean absolute and root-mean-square errors of a run on labelled structures, each beside those of a baseline that
    does not look at the geometry.
    """
    from intertwine.data import open_dataset
    from intertwine.data.turning import turned_store
    from intertwine.tasks.verdict import beaten, before_weights, remedy_for, with_spoilt
    from intertwine.training import evaluate as score
    from intertwine.training import load_run, test_set
    from intertwine.training import predict as forecast
    from intertwine.training.causes import causes_of
    from intertwine.training.evaluation import in_classes_of, inputs_of
    from intertwine.training.folder import REPORT, read_json
    from intertwine.training.scored import labelled_part, scored_part

    if source is not None and (data or test):
        remedy = "leave SOURCE out: --data and --test say where the run's own data are, SOURCE is other data."
        raise InputError("two data sets to score", where="--data" if data else "--test", remedy=remedy)
    scope = chemiscope_file(chemiscope, overwrite, source=Path(source) if source else None)
    trained = load_run(run, which=which, device=device, allow=allow or ())
    inputs.spare([chemiscope], trained)
    if source is None:
        store = test_set(trained, data=data, test=test)
        store = store.subset(range(min(limit, len(store)))) if limit is not None else store
    else:
        keys, units = inputs.labels(source, trained, key, unit)
        told: dict[str, Any] = {"keys": keys, "units": units, "limit": limit}
        told |= {"of_run": trained.labels, "target": getattr(trained.task, "target", None)}
        told |= {"required": inputs_of(trained.task)}
        store = inputs.known_part(open_dataset(source, **told, **inputs.sampled(trained)), trained, skip_unknown)
        store = turned_store(store, rotate, trained.config.data.seed)
    errors = score(trained, store)
    store = labelled_part(trained, store)
    scored = scored_part(store, trained.species)
    causes = causes_of(trained, store, read_json(trained.folder / REPORT), errors, own=source is None)
    errors = with_spoilt(errors, causes)
    for note in store.notes:
        if source is not None or "left out of the errors" in note:
            inputs.say(note)
    # on data of others it is not the balance of the training that is wrong
    remedy = remedy_for(causes)
    left = trained.task.left_behind(errors, before_weights(causes)) if source is None else []
    warnings = [*store.warnings, *causes.lines, *beaten(errors, left, remedy)]
    if as_json:
        console.emit({"structures": len(scored), "errors": errors, "warnings": warnings})
    else:
        _table_of(errors, f"{run} on {source or 'its test set'}: {counted(len(scored), 'structures')}")
    if scope is not None:
        numbered = in_classes_of(trained, store)
        graphs = [numbered[k] for k in range(len(store))]
        words = str(source or f"the test set of {run}")
        inputs.say(scope(graphs, forecast(trained, graphs, strict=False), trained, words, store.numbers().tolist()))
    for line in warnings:
        console.complain(line, "warning:")


def _table_of(errors: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """The errors of each target over those of its baseline."""
    from intertwine.tasks.verdict import FIGURES

    hidden = ("unit", "mse", "baseline", "ratio", "misread", "without", "left_out")
    columns = {name: name for e in errors.values() for name in e if name not in hidden}
    columns |= {name: words for name, words in (FIGURES | {"size": "rms of label"}).items() if name in columns}
    columns |= {"size": columns.pop("size")} if "size" in columns else {}  # the last: it is no error
    rows = []
    for target, e in errors.items():
        rows.append([target, e["unit"], *(_figure(e, name) for name in columns)])
        if blind := e.get("baseline"):
            rows.append([f"  baseline: {blind['name']}", e["unit"], *(_figure(blind, name) for name in columns)])
    sized = "size" in columns
    console.table(title, ["target", "unit", *columns.values()], rows, caption=SIZE if sized else None)


@console.guarded
def predict(
    run: RunFolder,
    structures: Annotated[
        Path,
        typer.Argument(help="File, folder or quoted pattern of structures; or a data set, by name or as module:name."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help=(
                "File to write: .xyz (extended xyz), .traj, .db or .json (ASE's), or .npz. Default: none, a table is "
                "printed."
            ),
        ),
    ] = None,
    cube: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write densities to, a cube file for each structure: density-FRAME.cube. Default: none."
        ),
    ] = None,
    spacing: Annotated[float | None, typer.Option(help="With --cube: of the points, in A. Default: 0.1.")] = None,
    viewer: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write densities to as pages for a browser, for each structure density-FRAME.html, which "
            "needs no network. Default: none."
        ),
    ] = None,
    chemiscope: Annotated[
        Path | None,
        typer.Option(
            help="File (.json.gz) with structures and predictions for chemiscope.org to show as a map. Default: none."
        ),
    ] = None,
    overwrite: Overwrite = False,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Structures at a time; changes the speed and the memory only.")
    ] = 32,
    tag: Annotated[
        str,
        typer.Option(
            help="Word in the names of the predictions: predicted_TAG_energy. Default: none, predicted_energy."
        ),
    ] = "",
    key: Keys = None,
    unit: Units = None,
    which: Which = "best",
    limit: Limit = None,
    skip_unknown: SkipUnknown = False,
    device: Device = "auto",
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print predictions as JSON.")] = False,
) -> None:
    """Predict for structures, in their order; labels are not read. Energies are in eV and lengths in A, whatever the
    file has.

    The file has all that the structures had, labels too; predictions stand beside it as predicted_energy,
    predicted_forces, ... An input is never written to."""
    from intertwine.data.suspicion import Frames
    from intertwine.integrations import writable, write_predictions
    from intertwine.integrations.export import check_names, holds, prefix_of
    from intertwine.integrations.writing import format_of, tells_its_unit
    from intertwine.training import predict as forecast
    from intertwine.training.departures import departures

    if output is not None:
        writable(output, source=structures)  # said before the work, not after it
    scope = chemiscope_file(chemiscope, overwrite, source=structures)
    check_outputs({"--output": output, "--chemiscope": chemiscope}, overwrite)
    prefix = prefix_of(tag)
    trained = opened(run, allow, which=which, device=device)
    inputs.spare([output, chemiscope], trained)
    if spacing is not None and cube is None:
        raise InputError("a spacing without cubes", where="--spacing", remedy="give --cube FOLDER, or leave it out.")
    if output is not None:
        holds(output, trained.task)
    content = inputs.read(structures, trained, key, unit, limit=limit)
    frames = inputs.known(content, trained, skip_unknown)
    content = content.only(frames)
    if output is not None and format_of(output) not in ("json", "npz"):
        tells_its_unit(output, [s for s in content.structures if hasattr(s, "info")])
        check_names(content.structures, trained.task, prefix, content.places)
    about_task = frames, content.structures, trained.task, overwrite
    written = [cube_files(cube, *about_task, spacing)] if cube is not None else []
    written += [viewer_files(viewer, *about_task, structures.name)] if viewer is not None else []
    replaced = ", which is replaced" if output is not None and output.is_file() else ""
    with console.bar(len(content.structures), "predicting") as progress:
        about: dict[str, Any] = {"keys": content.keys, "places": content.places}
        predictions = forecast(trained, content.structures, batch_size=batch_size, progress=progress, **about)
    beside = Frames.of_structures(content.structures, str(structures))
    for line in departures(trained, beside, content.places, predictions):
        console.complain(line, "warning:")
    if output is not None:
        told: dict[str, Any] = {"prefix": prefix, "keys": content.keys}
        for note in write_predictions(output, content.structures, predictions, trained.task, **told):
            inputs.say(note)
        console.err.print(
            f"wrote {counted(len(predictions), 'predictions')} to {output}{replaced}{_in_units(trained.task)}",
            markup=False,
            soft_wrap=True,
        )
    for write in written:
        inputs.say(write(predictions))
    if scope is not None:
        inputs.say(scope(content.structures, predictions, trained, structures.name, frames))
    if as_json:
        console.emit(predictions)
    elif output is None and not written and scope is None:
        _show(trained.task, str(structures), frames, predictions)


def _show(task: Any, name: str, frames: Sequence[int], predictions: Sequence[Mapping[str, Any]]) -> None:
    """The first numbers of each prediction, in a table."""
    from intertwine.geometry.voigt import ORDER
    from intertwine.integrations.export import STRESS

    units, names = {name: o.unit for name, o in task.outputs.items()}, task.told
    rows = [
        [k, *[_short(p[name]) if name in p else "-" for name in names]]
        for k, p in zip(frames, predictions, strict=True)
    ]
    console.table(
        name,
        ["frame", *[f"{name} ({units[name]})" if units.get(name) else name for name in names]],
        rows,
        caption="-o FILE writes everything." + "".join(f" {name}: {ORDER}." for name in STRESS if name in names),
    )


def _figure(errors: Mapping[str, Any], name: str) -> str:
    return figure(errors[name]) if name in errors else ""


def _in_units(task: Any) -> str:
    """Units of the predictions, as far as they are known."""
    units = {name: output.unit for name, output in task.outputs.items() if output.unit}
    if any(unit.startswith("eV") for unit in units.values()):
        return ", in eV and A"
    return f", {', '.join(f'{name} in {unit}' for name, unit in units.items())}" if units else ""


def _short(value: Any) -> str:
    import numpy as np

    flat = np.asarray(value).reshape(-1)
    if flat.dtype.kind in "US":
        return " ".join(flat[:9].tolist()) + (" ..." if len(flat) > 9 else "")
    return " ".join(f"{x:.6g}" if abs(x) < 1e4 else f"{x:.4f}" for x in flat[:9]) + (" ..." if len(flat) > 9 else "")
