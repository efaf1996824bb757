"""What a run is: what was trained on what, how, and with which result. Its data are not opened."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from intertwine.certify import Certificate
from intertwine.numerics import DataError
from intertwine.numerics.checkpoint import load_checkpoint, written_by
from intertwine.numerics.plugins import NotAllowed
from intertwine.numerics.signature import arguments
from intertwine.tasks.verdict import beaten, remedy_for, short_verdict, shortfalls
from intertwine.training.causes import causes_in
from intertwine.training.config import Config
from intertwine.training.declared import check_run
from intertwine.training.folder import (
    CERTIFICATE,
    CHECKPOINTS,
    CONFIG,
    REPORT,
    SPLITS,
    Run,
    check_folder,
    read_json,
    rebuilt,
    with_weights,
)
from intertwine.training.options import DataOptions, StartOptions, SymmetrizeOptions, TrainingOptions
from intertwine.training.sections import read_config
from intertwine.training.start import fingerprint

OPTIONS = {kind.section: kind for kind in (DataOptions, TrainingOptions, StartOptions, SymmetrizeOptions)}
#: Settings that :func:`info` tells elsewhere.
TOLD = {"data.source", "data.test", "data.target", "model.name", "model.species", "task.name", "start.weights"}
PARTS = ("train", "validation", "test")


def info(run: Path | str, *, allow: Collection[str] = ()) -> dict[str, Any]:
    """What is known of a run folder, or of a ``.safetensors`` file, in plain values.

    Args:
        run: the folder, one of its checkpoints, or a file of :func:`intertwine.training.save_task`.
        allow: modules outside the package whose code may run, as in :func:`intertwine.training.load_run`. Without them
            a run of other code is told as far as its files say.

    Returns:
        ``run``, ``file`` (the checkpoint), ``finished`` (it has a report of its last epoch); ``data``: source, sizes
        and SHA-256 of the sets (equal in two runs if the set is), fingerprint, species, labels; ``units`` of the labels
        by name; ``model``: name, number of weights, their SHA-256, precision, group, cutoff (A), irreps of the
        features, preset that was asked for; ``task``: name and the unit of each error; ``start``; ``settings`` that are
        not the defaults: name -> value, default, whether the user set it, and the preset that did; ``configuration``:
        all of them, by section; ``training``: epochs, budget in minutes, steps, seconds, the epoch of the weights;
        ``validation`` and ``test``: errors, those of the test beside the baseline's; ``certificate``; ``versions``;
        ``written``; ``notes``; ``warnings``: of the report, and of a baseline that is better.

    Raises:
        CheckpointError: as :func:`intertwine.training.load_run`.
    """
    path = Path(run)
    file, folder = files_of(path)
    state = load_checkpoint(file)
    check_run(state, str(file))
    report, splits = (read_json(folder / name if folder else None) for name in (REPORT, SPLITS))
    last = _last(folder, file, state)
    notes: list[str] = []
    sections, config, model, task = _built(state, file, allow, notes)
    units = {target: errors.get("unit", "") for target, errors in (report.get("test") or {}).items()}
    task["errors"] = task["errors"] or units
    model["weights"] = model.get("weights", report.get("parameters"))
    model["preset"] = preset_of(config, state.get("given"))[0]
    epochs = last.get("epoch", state["epoch"])
    finished = bool(report) and report.get("epochs") == epochs
    if folder and not finished:
        notes.append(f"not finished, or stopped: go on with intertwine train --resume {folder}")
    return {
        "run": str(path), "file": str(file), "finished": finished,
        "data": _data(state, sections, splits, report), "units": dict(state.get("units") or {}),
        "model": model, "task": task, "start": sections.get("start"),
        "settings": differing(sections, config, state.get("given")),
        "configuration": {part: {name: _plain(v) for name, v in values.items()} for part, values in sections.items()},
        "training": {
            "epochs": epochs, "of": sections.get("training", {}).get("epochs") if "data" in state else None,
            "minutes": sections.get("training", {}).get("minutes"),
            "steps": last.get("steps"), "seconds": last.get("seconds"), "epoch of the weights": state["epoch"],
        },
        "validation": _validation(state, last), "test": report.get("test") or {},
        "certificate": _certificate(folder, notes),
        "versions": state.get("versions") or {"intertwine": written_by(file)},
        "written": report.get("written"), "notes": notes + list(report.get("notes") or []),
        "warnings": _warnings(report),
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of what a run depends on, by name."""
    names = ("intertwine", "torch", "lightning", "ase", "numpy")
    installed = {}
    for name in names:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = "unknown"
    return installed | {"python": platform.python_version(), "platform": sys.platform}


def history(run: Path | str) -> list[dict[str, float | int]]:
    """The rows of a run's training, one an epoch; of a single checkpoint the row that it holds, if any."""
    file, folder = files_of(Path(run))
    state = load_checkpoint(file)
    rows = _last(folder, file, state).get("rows")
    return list(rows) if rows else [state["row"]] if "row" in state else []


def differing(
    sections: Mapping[str, Mapping[str, Any]], config: Config | None = None, by_user: Collection[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Settings that are not the defaults of their constructors: ``section.name`` -> ``value``, ``default`` and ``set``,
    whether the user gave it; what nobody gave suits the data, the weights to begin with, or is that of a preset, which
    is named as ``preset``.

    Args:
        sections: of a configuration.
        config: the same resolved, if its classes may be imported; without it the arguments of a model or task of other
            code have the default None.
        by_user: names of the settings that the user gave; None where a run does not tell, and ``set`` is None.
    """
    defaults = {name: arguments(kind) for name, kind in OPTIONS.items()}
    if config is not None:
        defaults |= {name: arguments(getattr(config, name).constructor) for name in ("model", "task")}
    preset, chosen_by_preset = preset_of(config, by_user)
    result = {}
    for section, values in sections.items():
        for name, value in values.items():
            known = defaults.get(section, {})
            default = _plain(known[name].default) if name in known else None
            if f"{section}.{name}" not in TOLD and _plain(value) != default:
                chosen = None if by_user is None else f"{section}.{name}" in by_user
                result[f"{section}.{name}"] = {"value": _plain(value), "default": default, "set": chosen}
                if section == "model" and name in chosen_by_preset:
                    result[f"{section}.{name}"]["preset"] = preset
    return result


def preset_of(config: Config | None, by_user: Collection[str] | None) -> tuple[str | None, list[str]]:
    """The preset that a run was asked for, and the arguments of the model that are its: the user gave no others. None
    where there was none, or its arguments are those of several or no longer of any.

    Args:
        config: of the run, resolved; None if its classes may not be imported.
        by_user: names of the settings that the user gave, as :func:`intertwine.training.sections.given` has them.
    """
    if config is None or "model.preset" not in (by_user or ()):
        return None, []
    presets: Any = getattr(config.model.constructor, "PRESETS", {})
    own = {
        name: {key: value for key, value in preset.items() if f"model.{key}" not in (by_user or ())}
        for name, preset in presets.items()
    }
    settled = config.model.arguments
    fitting = [
        name
        for name, values in own.items()
        if all(key in settled and _plain(settled[key]) == _plain(value) for key, value in values.items())
    ]
    return (fitting[0], list(own[fitting[0]])) if len(fitting) == 1 else (None, [])


def files_of(path: Path) -> tuple[Path, Path | None]:
    """The checkpoint that a path of a run names, and the run folder that it belongs to, if there is one."""
    if path.suffix != ".safetensors":
        file = path / CHECKPOINTS["best"]
        file = file if file.is_file() else path / CHECKPOINTS["last"]
        check_folder(path, file)
        return file, path
    folder = path.parent
    if path.name not in CHECKPOINTS.values() or not (folder / CONFIG).is_file() or not path.is_file():
        return path, None
    kept, state = read_config(folder / CONFIG), load_checkpoint(path)
    own = state.get("config", {}) if isinstance(state, Mapping) else {}
    same = all(_plain(kept[part]) == _plain(own.get(part)) for part in ("data", "model", "task"))
    return path, folder if same else None


def _last(folder: Path | None, file: Path, state: dict[str, Any]) -> dict[str, Any]:
    """The state after the last epoch; empty if there is none to be read."""
    if "rows" in state:
        return state
    last = folder / CHECKPOINTS["last"] if folder else file
    if last == file or not last.is_file():
        return {}
    content = load_checkpoint(last)
    return content if isinstance(content, dict) else {}


def doubts(run: Run) -> list[str]:
    """One sentence, with a remedy, if a baseline is better than a run on its test set (of a run without one on its
    training set), or nearly as good; none where there is no report.
    """
    report = read_json(run.folder / REPORT)
    if not (words := short_verdict(_errors(report))):
        return []
    figures = f"{words} (`intertwine info {run.folder}` has the figures)"
    told = _errors(report).values()
    if not shortfalls(_errors(report)) and not any((e.get("baseline") or {}).get("spoilt") for e in told):
        return [f"{figures}; mend the labels"]
    remedy = remedy_for(causes_in(run.task, report))
    # where the comparison is spoilt, nothing is known of what they are worth
    worth = ": its predictions mean little" if shortfalls(_errors(report)) else ""
    return [f"{figures}{worth}; {remedy}"]


def _warnings(report: Mapping[str, Any]) -> list[str]:
    """Those of a report, and of baselines, where the report is of a version that did not say it."""
    said = list(report.get("warnings") or [])
    heads = {line.partition(" (")[0] for line in said}
    return said + [line for line in beaten(_errors(report)) if line.partition(" (")[0] not in heads]


def _errors(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """On the test set, or on the training set of a run without one."""
    return report.get("test") or report.get("train") or {}


def _built(
    state: dict[str, Any], file: Path, allow: Collection[str], notes: list[str]
) -> tuple[dict[str, Any], Config | None, dict[str, Any], dict[str, Any]]:
    """Sections, resolved configuration, model and task, as far as they can be made."""
    sections = {name: dict(values) for name, values in state["config"].items() if isinstance(values, Mapping)}
    names = {part: sections.get(part, {}).get("name") for part in ("model", "task")}
    try:
        config, task = rebuilt(state["config"], file, allow)
    except NotAllowed as error:
        notes.append(f"its own code was not imported: {error.remedy}")
        return sections, None, {"name": names["model"]}, {"name": names["task"], "errors": {}}
    trained = with_weights(config, task, state, file, file.stem).task
    model = {
        "name": config.model.name, "weights": sum(p.numel() for p in trained.parameters()),
        "trained": sum(p.numel() for p in trained.parameters() if p.requires_grad), "sha256": fingerprint(trained),
        "precision": config.training.precision, "symmetry": trained.backbone.card.symmetry,
        "cutoff": trained.cutoff, "features": str(trained.backbone.irreps_out),
    }  # fmt: skip
    units = {name: metric.unit for name, metric in trained.metrics.items()}
    return config.sections(), config, model, {"name": config.task.name, "errors": units}


def _data(
    state: dict[str, Any], sections: dict[str, Any], splits: dict[str, Any], report: dict[str, Any]
) -> dict[str, Any] | None:
    """Of the data that a run was trained on; None for weights that come from elsewhere."""
    species = [chemical_symbols[z] for z in state["species"]]
    if "data" not in state:  # what save_task writes
        return {"source": None, "species": species}
    options = sections.get("data", {})
    sizes = {part: len(splits[part]) for part in PARTS if part in splits}
    return {
        "source": options.get("source"), "test": options.get("test"), "target": options.get("target"),
        "sizes": report.get("structures") or sizes, "fingerprint": splits.get("fingerprint"),
        "sets": {part: _digest(part, splits, options.get("test")) for part in PARTS}, "species": species,
        "labels": list(state.get("labels") or []),
    }  # fmt: skip


def _digest(part: str, splits: dict[str, Any], second: str | None) -> str | None:
    """SHA-256 of the data's fingerprint and the indices of a set, or the fingerprint of the second file, where that is
    the test set; None if the run does not say.
    """
    if part == "test" and second not in (None, "none"):
        return splits.get("test_fingerprint")
    if not isinstance(splits.get("fingerprint"), str) or not isinstance(splits.get(part), list):
        return None
    return hashlib.sha256(f"{splits['fingerprint']} {sorted(splits[part])}".encode()).hexdigest()


def _validation(state: dict[str, Any], last: dict[str, Any]) -> dict[str, float]:
    """Errors on the validation set, of the epoch that the weights are of."""
    rows = {row["epoch"]: row for row in last.get("rows") or [] if isinstance(row, Mapping)}
    row = state.get("row") or rows.get(state["epoch"]) or {}
    return {name.removeprefix("validation_"): v for name, v in row.items() if name.startswith("validation_")}


def _certificate(folder: Path | None, notes: list[str]) -> dict[str, Any] | None:
    file = folder / CERTIFICATE if folder else None
    if file is None or not file.is_file():
        return None
    try:
        certificate = Certificate.load(file)
    except DataError as error:
        notes.append(str(error).replace("\n", " "))
        return None
    return {"passed": certificate.passed, "summary": certificate.summary()}


def _plain(value: Any) -> Any:
    """A value as TOML and JSON have it, so that equal ones are equal."""
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if value == "none" else value
