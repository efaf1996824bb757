"""Several runs side by side: which settings differ, and which errors are smallest, where they may be compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from intertwine.numerics import InputError
from intertwine.numerics.showing import counted
from intertwine.tasks.verdict import FIGURES, short_verdict
from intertwine.training.common_ground import CommonGround, attempt
from intertwine.training.sections import SECTIONS
from intertwine.training.summary import history, info

FEW = 10  # structures, whose mean error is uncertain by a third of their spread or more
SAME, DIFFER, UNKNOWN = "same", "differ", "unknown"  # of a set of several runs
#: What -> (unit, run -> (epochs, values)).
Panels = dict[str, tuple[str, dict[str, tuple[list[float], list[float]]]]]


def compare(runs: Sequence[Path | str], *, allow: Collection[str] = ()) -> dict[str, Any]:
    """Settings that differ between runs, and their errors.

    Args:
        runs: two or more folders or checkpoints.
        allow: modules outside the package whose code may run.

    Returns:
        ``runs``: names, no two equal; ``settings``: name -> value of each run, of those that differ (None if it has
        none); ``facts``: number of weights, epochs, seconds of training,
        certificate, version; ``errors``: for each set ("test", "validation"), target and kind of error the ``unit``,
        the ``values`` of the runs (None where there is none), and the indices of the ``best`` ones, none where the
        sets or units differ, and ``baselines``: name -> values of the baseline of each run (None where it has another
        or none); ``common``: if the test sets differ, the number of structures that all of them have, on which the
        errors of the test then are (else None); ``warnings`` on the comparison; ``beaten``: a line for each run
        that has targets of which the baseline is better, or nearly as good; ``info`` of each run.

    Raises:
        InputError: fewer than two runs, or one twice.
        CheckpointError: as :func:`intertwine.training.summary.info`.
    """
    paths = [Path(run) for run in runs]
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise InputError(
            f"{len(paths)} runs, {len({path.resolve() for path in paths})} of them different",
            where="compare",
            remedy="give two or more different run folders.",
        )
    everything = [info(path, allow=allow) for path in paths]
    names = _names(paths)
    of_sets: dict[str, list[str]] = {"test": [], "validation": []}
    same = {part: _same(part, everything, names, lines) for part, lines in of_sets.items()}
    ground = None
    if same["test"] == DIFFER:
        ground = attempt(paths, everything, allow=allow)
        if isinstance(ground, CommonGround):
            everything = [each | {"test": e} for each, e in zip(everything, ground.errors, strict=True)]
            same["test"] = SAME
            count = counted(ground.structures, "structures")
            few = f"the test sets have {count} in common: the errors of so few say little"
            of_sets["test"] = [few] if ground.structures < FEW else []
        else:
            of_sets["test"] = [line.replace(", so errors", f": {ground}, so errors", 1) for line in of_sets["test"]]
    warnings = [line for lines in of_sets.values() for line in lines]
    return {
        "runs": names,
        "settings": _settings(everything),
        "facts": _facts(everything),
        "errors": [
            row
            for part in ("test", "validation")
            for row in _errors(part, everything, names, same[part] == SAME, warnings)
        ],
        "common": ground.structures if isinstance(ground, CommonGround) else None,
        "warnings": list(dict.fromkeys(warnings)),
        "beaten": [
            f"{name}: {words}"
            for name, each in zip(names, everything, strict=True)
            if (words := short_verdict(each["test"]))
        ],
        "info": everything,
    }


def learning_curves(runs: Sequence[Path | str], *, allow: Collection[str] = ()) -> Panels:
    """The curves of several runs: what -> (unit, run -> (epochs, values)).

    What is the mean absolute error on the validation set of each target that two runs have or, where there is none,
    the loss of the training, which runs of other weights and targets don't share.
    """
    paths = [Path(run) for run in runs]
    rows = dict(zip(_names(paths), (history(path) for path in paths), strict=True))
    everything = [info(path, allow=allow) for path in paths]
    units = {target: unit for each in everything for target, unit in each["task"]["errors"].items()}

    def column(name: str) -> dict[str, tuple[list[float], list[float]]]:
        return {
            run: ([float(row["epoch"]) for row in kept], [float(row[name]) for row in kept])
            for run, all_rows in rows.items()
            if (kept := [row for row in all_rows if isfinite(row.get(name, float("nan")))])
        }

    panels = {
        f"validation MAE of {target}": (unit, column(f"validation_{target}_mae")) for target, unit in units.items()
    }
    panels = {name: panel for name, panel in panels.items() if len(panel[1]) > 1}
    return panels or {"training loss": ("", column("train_loss"))}


def _names(paths: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _settings(everything: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Settings that are not the same in all runs, and their training sets."""
    flat = [
        {f"{part}.{name}": v for part, values in each["configuration"].items() for name, v in values.items()}
        | {"model.preset": each["model"].get("preset")}
        for each in everything
    ]
    sizes = [((each["data"] or {}).get("sizes") or {}).get("train") for each in everything]
    rows = {"structures to train on": sizes}
    order = [f"{part}." for part in SECTIONS]
    names = sorted({name for each in flat for name in each} - {"start.weights"}, key=lambda name: _place(name, order))
    rows |= {name: [each.get(name) for each in flat] for name in names}
    return {name: values for name, values in rows.items() if any(value != values[0] for value in values)}


def _place(name: str, order: Sequence[str]) -> tuple[int, bool, str]:
    """Sections in their order, names of models and tasks first."""
    part = next((k for k, prefix in enumerate(order) if name.startswith(prefix)), len(order))
    return part, not name.endswith((".source", ".name")), name


def _facts(everything: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    certificates = [each["certificate"] for each in everything]
    return {
        "weights": [each["model"].get("weights") for each in everything],
        "epochs": [each["training"]["epochs"] for each in everything],
        "seconds": [each["training"]["seconds"] for each in everything],
        "certificate": [None if c is None else "passed" if c["passed"] else "FAILED" for c in certificates],
        "intertwine": [each["versions"].get("intertwine") for each in everything],
    }


def _same(part: str, everything: Sequence[Mapping[str, Any]], names: Sequence[str], warnings: list[str]) -> str:
    """Whether a set is the same in all runs, by the fingerprint of the data and the indices; if not, or if it is not
    known, a warning says so.
    """
    marks = [((each["data"] or {}).get("sets") or {}).get(part) for each in everything]
    unknown = [name for name, mark in zip(names, marks, strict=True) if mark is None]
    if unknown:
        warnings.append(
            f"{', '.join(unknown)}: not known which structures the {part} set has, so errors on it can't be compared"
        )
        return UNKNOWN
    groups: dict[str, list[str]] = {}
    for name, mark in zip(names, marks, strict=True):
        groups.setdefault(str(mark), []).append(name)
    if len(groups) > 1:
        differ = "; ".join(", ".join(group) for group in groups.values())
        remedy = "; compare on one file: intertwine evaluate RUN FILE" if part == "test" else ""
        warnings.append(f"the {part} sets differ ({differ}), so errors on them can't be compared{remedy}")
    return SAME if len(groups) == 1 else DIFFER


def _errors(
    part: str, everything: Sequence[Mapping[str, Any]], names: Sequence[str], same: bool, warnings: list[str]
) -> list[dict[str, Any]]:
    """Rows of MAE and RMSE for each target, the best of them by index."""
    result = []
    for target in dict.fromkeys(target for each in everything for target in each["task"]["errors"]):
        units = [_unit(each, target) for each in everything]
        told = dict.fromkeys(unit for unit in units if unit is not None)
        if len(told) > 1:
            which = ", ".join(f"{name} {unit or 'none'}" for name, unit in zip(names, units, strict=True))
            warnings.append(f"the units of {target} differ ({which}), so its errors can't be compared")
        for kind in FIGURES:
            values = [_value(each, part, target, kind) for each in everything]
            numbers = [value for value in values if value is not None]
            if not numbers:
                continue
            comparable = same and len(told) == 1 and len(numbers) > 1
            best = [k for k, value in enumerate(values) if comparable and value == min(numbers)]
            row = {"set": part, "target": target, "error": kind, "unit": next(iter(told), ""), "values": values}
            row["baselines"] = _baselines(target, kind, everything) if part == "test" else {}
            result.append(row | {"units": units if len(told) > 1 else None, "best": best})
    return result


def _baselines(target: str, kind: str, everything: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Errors of the baselines of each run on its test set, by their name."""
    each = [run["test"].get(target, {}).get("baseline") or {} for run in everything]
    names = dict.fromkeys(baseline["name"] for baseline in each if kind in baseline)
    return {name: [b.get(kind) if b.get("name") == name else None for b in each] for name in names}


def _unit(each: Mapping[str, Any], target: str) -> str | None:
    """The unit of a run's errors of a target; None if it has no such target."""
    own = each["test"].get(target, {}).get("unit")
    return own if own is not None else each["task"]["errors"].get(target)


def _value(each: Mapping[str, Any], part: str, target: str, kind: str) -> float | None:
    value = each["test"].get(target, {}).get(kind) if part == "test" else each["validation"].get(f"{target}_{kind}")
    return float(value) if isinstance(value, int | float) and isfinite(value) else None
