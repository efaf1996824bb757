"""intertwine encode, align: codes that a group does not change, and two inputs laid on each other."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console, inputs
from intertwine.cli.code import Allow
from intertwine.cli.inputs import Device, Keys, Limit, SkipUnknown, Units
from intertwine.cli.outputs import Overwrite
from intertwine.cli.outputs import check as check_outputs
from intertwine.cli.runs import RunFolder, Which, opened
from intertwine.numerics import InputError, write_atomically
from intertwine.numerics.showing import counted

FORMATS = (".npz", ".csv")
Structures = "file, folder or quoted pattern of structures, a file of images; or a data set, by name or as module:name."


@console.guarded
def encode(
    run: RunFolder,
    structures: Annotated[Path, typer.Argument(help=f"What to encode: {Structures}")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .npz or .csv.")],
    overwrite: Overwrite = False,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Structures at a time; changes the speed and the memory only.")
    ] = 32,
    key: Keys = None,
    unit: Units = None,
    which: Which = "best",
    limit: Limit = None,
    skip_unknown: SkipUnknown = False,
    device: Device = "auto",
    allow: Allow = None,
) -> None:
    """Write the invariant codes of structures or images, one row each, in their order.

    An .npz has the arrays code (rows, numbers), frame (rows), where there are classes label, and of molecules and
    spherical signals open: 1 where the motion is not fixed, as of symmetric ones. A .csv has the same columns.
    """
    from intertwine.integrations import writable
    from intertwine.training import predict

    if output.suffix not in FORMATS:
        what = f"codes are not written to {output.suffix or 'a file without ending'}"
        raise InputError(what, where=str(output), remedy="name a file .npz or .csv.")
    writable(output, source=structures, formats=False)  # said before the work, not after it
    check_outputs({"--output": output}, overwrite)
    trained = opened(run, allow, which=which, device=device)
    _has_codes(trained)
    trained.task.double()  # a frame of its own magnifies the rounding of coordinates
    inputs.spare([output], trained)
    content = inputs.read(structures, trained, key, unit, limit=limit)
    frames = inputs.known(content, trained, skip_unknown)
    content = content.only(frames)
    with console.bar(len(content.structures), "encoding") as progress:
        about: dict[str, Any] = {"keys": content.keys, "places": content.places}
        made = predict(trained, content.structures, batch_size=batch_size, progress=progress, **about)
    columns = {"frame": frames, **_columns(made, content.structures)}
    write_atomically(output, _npz(columns) if output.suffix == ".npz" else _csv(columns))
    numbers = counted(len(made[0]["code"]), "numbers") if made else "no numbers"
    console.err.print(f"wrote {counted(len(made), 'codes')} of {numbers} to {output}", markup=False, soft_wrap=True)


def _has_codes(trained: Any) -> None:
    """Raise an :class:`InputError` unless the task of a run has codes."""
    if "code" not in trained.task.outputs:
        what = f"the task of the run, {trained.task.name}, has no codes"
        remedy = "train one that has: --task autoencoder on images, --task point_autoencoder on molecules, "
        remedy += "--task signal_autoencoder on signals on the sphere."
        raise InputError(what, where=str(trained.folder), remedy=remedy)


def _columns(made: list[dict[str, Any]], structures: list[Any]) -> dict[str, Any]:
    """Codes, and what is known besides: classes, and whether the motion is open."""
    import numpy as np

    columns: dict[str, Any] = {}
    labels = [each.get("label") if hasattr(each, "keys") else None for each in structures]
    known = [int(label) for label in labels if label is not None]
    if labels and len(known) == len(labels):
        columns["label"] = np.array(known)
    if made and "open" in made[0]:
        columns["open"] = np.array([int(each["open"]) for each in made])
    columns["code"] = np.stack([each["code"] for each in made]) if made else np.zeros((0, 0))
    return columns


def _npz(columns: dict[str, Any]) -> bytes:
    import numpy as np

    file = io.BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(values) for name, values in columns.items()}
    np.savez(file, **arrays)
    return file.getvalue()


def _csv(columns: dict[str, Any]) -> bytes:
    """A line for each row; the numbers of the code are code_0, code_1, ..., with all their digits."""
    code = columns["code"]
    others = [name for name in columns if name != "code"]
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow([*others, *(f"code_{k}" for k in range(code.shape[1]))])
    for k, row in enumerate(code):
        rows.writerow([*(columns[name][k] for name in others), *(repr(float(value)) for value in row)])
    return file.getvalue().encode()


@console.guarded
def align(
    run: RunFolder,
    first: Annotated[Path, typer.Argument(metavar="A", help=f"What is moved: {Structures}")],
    second: Annotated[Path, typer.Argument(metavar="B", help="What it is laid on, likewise.")],
    frame_a: Annotated[int, typer.Option(min=0, help="Which one of A: number of the frame, from 0.")] = 0,
    frame_b: Annotated[int, typer.Option(min=0, help="Which one of B: number of the frame, from 0.")] = 0,
    key: Keys = None,
    unit: Units = None,
    which: Which = "best",
    device: Device = "auto",
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Lay A on B by the motion and the order that an autoencoder finds in each, beside the best ones there are.

    Molecules may list their atoms in any order. Lengths are in A, angles in degrees.
    """
    from intertwine.tasks.code_alignment import aligned

    trained = opened(run, allow, which=which, device=device)
    _has_codes(trained)
    graphs = [
        _one(path, frame, option, trained, key, unit)
        for path, frame, option in ((first, frame_a, "--frame-a"), (second, frame_b, "--frame-b"))
    ]
    laid = aligned(trained.task, *graphs)
    for name, reason in zip(("A", "B"), laid.open, strict=True):
        if reason:
            inputs.say(f"{name}: {reason}")
    molecules = laid.partner is not None
    if as_json:
        told = {"angle": laid.angle, "rotation": laid.rotation, "change of the code": laid.change}
        told |= {"rmsd" if molecules else "rmse": laid.reached, "best": laid.best}
        told |= {"kabsch": laid.same_order, "partner": laid.partner} if molecules else {}
        console.emit(told | {"open": list(laid.open)})
        return
    what, unit_of = ("RMSD", "A") if molecules else ("RMSE of the pixels", "")
    rows = [["rotation", f"{laid.angle:.2f}", "degrees"], [f"{what}, as found", f"{laid.reached:.4g}", unit_of]]
    if laid.same_order is not None:
        rows.append([f"{what}, Kabsch's rotation, order as found", f"{laid.same_order:.4g}", unit_of])
    best = "best rotation and order" if molecules else "best angle of 360"
    rows += [[f"{what}, {best}", f"{laid.best:.4g}", unit_of], ["largest change of the code", f"{laid.change:.1e}", ""]]
    console.table(f"{first} on {second}", ["", "value", "unit"], rows)


def _one(path: Path, frame: int, option: str, trained: Any, key: list[str] | None, unit: list[str] | None) -> Any:
    """One entry of a file, as a graph."""
    from intertwine.data import to_graph
    from intertwine.geometry import Graph
    from intertwine.training.evaluation import inputs_of

    content = inputs.read(path, trained, key, unit, limit=frame + 1)
    if frame >= len(content.structures):
        what = f"frame {frame} of {counted(len(content.structures), 'frames')}"
        raise InputError(what, where=option, remedy="frames are counted from 0.")
    content = content.only([frame])
    inputs.known(content, trained)
    made = content.structures[0]
    return made if isinstance(made, Graph) else to_graph(made, inputs_of(trained.task), content.keys)
