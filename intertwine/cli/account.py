"""intertwine info, compare: what runs are, and how they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from intertwine.cli import console, inputs
from intertwine.cli.code import Allow
from intertwine.cli.deploy import told as described
from intertwine.cli.outputs import Overwrite
from intertwine.cli.outputs import check as check_outputs
from intertwine.numerics.showing import counted, figure

WIDTH = 12  # columns of the first word of a line


@console.guarded
def info(
    run: Annotated[
        Path,
        typer.Argument(
            help="Folder of a run made by `intertwine train`, a .safetensors file, or a deployed file (.iw)."
        ),
    ],
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """What was trained on what: data and sizes of the split, model, settings that are not the defaults, errors,
    certificate, versions. The data are not opened.
    """
    from intertwine.training import info as account
    from intertwine.training.deployed import is_deployed, read_deployed

    if is_deployed(run):
        about = read_deployed(run).about
        if as_json:
            console.emit(finite(about))
        else:
            console.table(str(run), ["", ""], [list(row) for row in described(about).items()])
        return
    content = account(run, allow=allow or ())
    if as_json:
        console.emit(finite(content))
        return
    for name, lines in told(content).items():
        for k, line in enumerate(lines):
            console.out.print(f"{'' if k else name:{WIDTH}}{line}", markup=False, soft_wrap=True)
    for note in content["notes"]:
        inputs.say(note)
    for line in content["warnings"]:
        console.complain(line, "warning:")


@console.guarded
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders, or .safetensors files.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help=(
                "Picture (.png, .pdf or .svg) of the learning curves over each other: mean absolute errors on the "
                "validation set by epoch, in the unit of each target. Default: none."
            ),
        ),
    ] = None,
    overwrite: Overwrite = False,
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Runs side by side: the settings that differ, and the errors, of which the smallest are marked, beside those of a
    baseline that does not look at the geometry; a warning if it is better, or if units differ. Runs of the same data
    whose test sets differ are evaluated on the structures that all of these have.
    """
    from intertwine.training import compare as side_by_side
    from intertwine.training.side_by_side import learning_curves

    if output is not None:
        check_outputs({"--output": output}, overwrite)  # said before the work, not after it
    replaced = ", which is replaced" if output is not None and output.is_file() else ""
    content = side_by_side(runs, allow=allow or ())
    if output is not None:
        from intertwine import plots

        plots.learning_curves(learning_curves(runs, allow=allow or ()), output)
        console.err.print(f"wrote the learning curves to {output}{replaced}", markup=False, soft_wrap=True)
    if as_json:
        console.emit(finite(content))
        return
    for title, part in (("Runs", "facts"), ("Settings that differ", "settings")):
        rows = [[name, *map(value, values)] for name, values in content[part].items()]
        console.table(title, ["", *content["runs"]], rows or [["none", *[""] * len(runs)]])
    rows = []
    for row in content["errors"]:
        unit = row["unit"] if row["units"] is None else "differ"
        values = [f"{value(v)}{' *' if k in row['best'] else ''}" for k, v in enumerate(row["values"])]
        rows.append([f"{row['set']} {row['target']} {row['error'].upper()}", unit, *values])
        rows += [[f"  baseline: {name}", unit, *map(value, values)] for name, values in row["baselines"].items()]
    marked = any(row["best"] for row in content["errors"])
    if content["common"] is not None:
        structures = counted(content["common"], "structures")
        inputs.say(f"the test sets differ: the errors of the test are on the {structures} that all of them have")
    console.table("Errors", ["", "unit", *content["runs"]], rows, caption="* the smallest" if marked else None)
    for warning in [*content["warnings"], *content["beaten"]]:
        console.complain(warning, "warning:")


def told(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """What is known of a run as lines, by the word that they begin with."""
    from intertwine.tasks.verdict import baseline_line

    model, task, training, data = (content[part] for part in ("model", "task", "training", "data"))
    start, certificate = content["start"], content["certificate"]
    labels = (data or {}).get("labels", [])
    errors = [f"{name} ({unit})".replace(" ()", "") for name, unit in task["errors"].items()]
    settings = content["settings"]
    lines = {
        "run": [content["run"] + ("" if content["finished"] else " (no report of its last epoch)")],
        "data": _data(data) if data else [],
        "labels": [f"{each['label']} from {each['key']}, {each['unit'] or 'no unit'}" for each in labels],
        "units": [", ".join(f"{name} {unit or 'none'}" for name, unit in content["units"].items())],
        "species": [", ".join((data or {}).get("species", []))],
        "model": _model(model),
        "task": [f"{task['name']}: {', '.join(errors)}"],
        "start": [f"from {start['run']}, weights {start['which']}" + _frozen(start)] if start else [],
        "settings": [_setting(name, each) for name, each in settings.items() if each["set"] is not False],
        "chosen": [
            f"{_setting(name, each)}, by {'--preset ' + each['preset'] if each.get('preset') else 'intertwine'}"
            for name, each in settings.items()
            if each["set"] is False
        ],
        "trained": _trained(training),
        "validation": _validation(content["validation"], task["errors"]),
        "test": [
            f"{target}: MAE {value(e.get('mae'))}, RMSE {value(e.get('rmse'))} {e.get('unit') or ''}".rstrip()
            for target, e in content["test"].items()
        ],
        "baseline": [f"{target}, {words}" for target, e in content["test"].items() if (words := baseline_line(e))],
        "certificate": [certificate["summary"].partition(" Skipped:")[0]] if certificate else ["none"],
        "versions": [", ".join(f"{name} {version}" for name, version in content["versions"].items())],
        "written": [content["written"] or ""],
    }
    return {name: kept for name, texts in lines.items() if (kept := [text for text in texts if text])}


def _setting(name: str, setting: Mapping[str, Any]) -> str:
    return f"{name} = {value(setting['value'])} (default {value(setting['default'])})"


def _data(data: Mapping[str, Any]) -> list[str]:
    if data.get("source") is None:
        return ["not known: the weights were trained elsewhere"]
    sizes = data["sizes"]
    names = {"train": "to train on", "validation": "to validate", "test": "to test"}
    counts = ", ".join(f"{sizes[part]:,} {words}" for part, words in names.items() if part in sizes)
    lines = [f"{data['source']}: {counts or 'sizes of the split unknown'}"]
    lines += [f"test set: {data['test']}"] if data["test"] else []
    lines += [f"target: {data['target']}"] if data["target"] else []
    lines += [f"fingerprint {data['fingerprint']}"] if data["fingerprint"] else []
    return lines + [f"test set SHA-256 {data['sets']['test']}"] * bool(data["sets"]["test"])


def _model(model: Mapping[str, Any]) -> list[str]:
    weights = "weights not counted" if model.get("weights") is None else f"{model['weights']:,} weights"
    if "sha256" not in model:
        return [f"{model['name']}, {weights}"]
    frozen = f", {model['trained']:,} of them trained" * (model["trained"] != model["weights"])
    preset = f" (--preset {model['preset']})" if model.get("preset") else ""
    cutoff = "no cutoff" if model["cutoff"] is None else f"cutoff {model['cutoff']:g} A"
    return [
        f"{model['name']}{preset}, {weights}{frozen}, {model['precision']}",
        f"{model['symmetry']}, {cutoff}, features {model['features']}",
        f"SHA-256 of the weights {model['sha256']}",
    ]


def _trained(training: Mapping[str, Any]) -> list[str]:
    from intertwine.training.progress import duration

    if training["of"] is None:
        return []
    steps = (
        ""
        if training["steps"] is None
        else f", {training['steps']:,} step{'s' * (training['steps'] != 1)}, {duration(training['seconds'])}"
    )
    of = f" of {training['of']}" if training["minutes"] is None else f" in a budget of {training['minutes']:g} min"
    words = f"{training['epochs']} epoch{'s' * (training['epochs'] != 1)}{of}{steps}"
    return [f"{words}; weights of epoch {training['epoch of the weights']}"]


def _validation(errors: Mapping[str, float], units: Mapping[str, str]) -> list[str]:
    lines = [
        f"{target}: MAE {value(errors[f'{target}_mae'])}, RMSE {value(errors.get(f'{target}_rmse'))} {unit}".rstrip()
        for target, unit in units.items()
        if f"{target}_mae" in errors
    ]
    return lines + ([f"loss {value(errors['loss'])}"] if "loss" in errors else [])


def _frozen(start: Mapping[str, Any]) -> str:
    return f", frozen: {', '.join(start['freeze'])}" if start.get("freeze") else ""


def value(x: Any) -> str:
    """A setting or a number, as short as it can be read."""
    if x is None:
        return "none"
    if isinstance(x, bool):
        return str(x).lower()
    if isinstance(x, float):
        return figure(x)
    if isinstance(x, Mapping):
        return "{" + ", ".join(f"{key} = {value(v)}" for key, v in x.items()) + "}"
    return "[" + ", ".join(map(value, x)) + "]" if isinstance(x, Sequence) and not isinstance(x, str) else str(x)


def finite(content: Any) -> Any:
    """The same with null for numbers that JSON lacks."""
    if isinstance(content, Mapping):
        return {key: finite(v) for key, v in content.items()}
    if isinstance(content, list | tuple):
        return [finite(v) for v in content]
    return None if isinstance(content, float) and content - content != 0 else content
