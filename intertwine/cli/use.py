"""intertwine evaluate, predict: what a trained run is worth, and what it says about new structures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console

RunFolder = Annotated[Path, typer.Argument(help="Folder of a run made by `intertwine train`.")]


@console.guarded
def evaluate(
    run: RunFolder,
    source: Annotated[str | None, typer.Argument(help="Data with labels; by default the run's own test set.")] = None,
    key: Annotated[list[str] | None, typer.Option(help="Name of a label in the file, as energy=U0; repeatable.")] = None,
    unit: Annotated[list[str] | None, typer.Option(help="Unit of a label in the file, as energy=kcal/mol; repeatable.")] = None,
    which: Annotated[str, typer.Option(help="Which weights: best or last.")] = "best",
    limit: Annotated[int | None, typer.Option(help="Read only so many structures.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the errors as JSON.")] = False,
) -> None:
    """Mean absolute and root-mean-square errors of a run on labelled structures."""
    from intertwine.data import open_dataset
    from intertwine.training import evaluate as score
    from intertwine.training import load_run, test_set

    trained = load_run(run, which=which)
    if source is None:
        store = test_set(trained)
        store = store.subset(range(min(limit, len(store)))) if limit is not None else store
    else:
        target = getattr(trained.task, "target", None)
        store = open_dataset(source, keys=console.pairs(key, "--key"), units=console.pairs(unit, "--unit"), target=target, limit=limit)
    errors = score(trained, store)
    for note in store.notes if source is not None else ():
        console.err.print(f"note: {note}", markup=False)
    if as_json:
        console.emit({"structures": len(store), "errors": errors})
        return
    rows = [
        [name, e["unit"], f"{e['mae']:.4g}", f"{e['rmse']:.4g}", f"{e['size']:.4g}" if "size" in e else ""] for name, e in errors.items()
    ]
    console.table(f"{run} on {source or 'its test set'}: {len(store)} structures", ["target", "unit", "MAE", "RMSE", "rms of label"], rows)


@console.guarded
def predict(
    run: RunFolder,
    structures: Annotated[Path, typer.Argument(help="A file that ASE reads, also gzipped.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write: .xyz (extended xyz), .json or .npz.")] = None,
    which: Annotated[str, typer.Option(help="Which weights: best or last.")] = "best",
    as_json: Annotated[bool, typer.Option("--json", help="Print predictions as JSON.")] = False,
) -> None:
    """Predict for structures without labels, in their order."""
    from intertwine.data import open_dataset
    from intertwine.integrations import writable, write_predictions
    from intertwine.training import load_run
    from intertwine.training import predict as forecast

    if output is not None:
        writable(output)  # said before the work, not after it
    trained = load_run(run, which=which)
    store = open_dataset(str(structures))
    with console.bar(len(store), "predicting") as progress:
        predictions = forecast(trained, _counted(store, progress))
    if output is not None:
        write_predictions(output, [store[k] for k in range(len(store))], predictions, trained.task)
        console.err.print(f"wrote {len(predictions)} predictions to {output}", markup=False)
    if as_json:
        console.emit(predictions)
    elif output is None:
        units = {name: o.unit for name, o in trained.task.outputs.items()}
        names = [name for name, o in trained.task.outputs.items() if o.level == "graph"] or list(units)
        rows = [[k, *[_short(p[name]) for name in names]] for k, p in enumerate(predictions)]
        console.table(
            str(structures), ["frame", *[f"{name} ({units[name]})" for name in names]], rows, caption="-o FILE writes everything."
        )


def _short(value: Any) -> str:
    import numpy as np

    flat = np.asarray(value).reshape(-1)
    return " ".join(f"{x:.6g}" if abs(x) < 1e4 else f"{x:.4f}" for x in flat[:9]) + (" ..." if len(flat) > 9 else "")


def _counted(store: Any, progress: Any) -> Any:
    for k in range(len(store)):
        yield store[k]
        progress(k + 1)
