"""Labels beside the predictions of a run: structures whose labels stand apart, and labels that are all in another unit,
sign, order or size, or off by a constant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from intertwine.data import GraphStore
from intertwine.data.suspicion import Frames
from intertwine.data.suspicion.apart import Apart, apart, constant
from intertwine.data.suspicion.misread import Labelled, misread
from intertwine.data.suspicion.relabelled import numbered
from intertwine.geometry import Graph, six
from intertwine.numerics.showing import figure
from intertwine.tasks.output import Output
from intertwine.training.folder import Run
from intertwine.training.scored import known_part, symbols, without_isolated

FIRST, LOOKED_AT = 300, 2_000  # structures, evenly spread, that are predicted again; the more where there is a word
LARGE = 0.5  # error over that of the baseline, from which on it is looked for a reason


class Judged(NamedTuple):
    """What the predictions of a run tell of labels.

    ``apart``: the numbers in the store of structures whose labels are far from the predictions, where those of the
    others are near; ``lines``: what is said of these, which are at most one sentence; ``misread``: by target, what the
    labels of the others are, all of them.
    """

    apart: tuple[int, ...] = ()
    lines: tuple[str, ...] = ()
    misread: Mapping[str, str] = {}


def judge(
    run: Run,
    store: GraphStore,
    errors: Mapping[str, Mapping[str, Any]],
    report: Mapping[str, Any],
    listed: Collection[int] = (),
    *,
    other: bool = True,
) -> Judged:
    """What explains the errors of targets that are large: structures whose labels stand apart
    (:func:`~intertwine.data.suspicion.apart.apart`), and of the others labels in another unit, of the opposite sign, in
    another order, per atom, times the volume (:func:`~intertwine.data.suspicion.misread.misread`), or off by a constant
    (:func:`~intertwine.data.suspicion.apart.constant`).

    Args:
        run: a trained run.
        store: what it was scored on.
        errors: by target, as :func:`intertwine.training.evaluation.errors_of` returns them.
        report: of the run, whose errors on its own sets are what is usual; may be empty.
        listed: numbers of structures whose labels are known to be wrong: they are not looked at.
        other: the labels need not be of the same method as those it was trained on, as those of a split are.
    """
    large = [target for target, output in run.task.outputs.items() if _large(errors.get(target)) and _is_told(output)]
    store = without_isolated(known_part(store, run.species))
    kept = [k for k, number in enumerate(store.numbers().tolist()) if number not in set(listed)]
    if not large or not kept:
        return Judged()
    judged = Judged()
    for most in (FIRST, LOOKED_AT):
        picked = [kept[k] for k in np.unique(np.linspace(0, len(kept) - 1, min(len(kept), most)).astype(int))]
        total = len(store) if len(picked) == len(kept) else len(picked)
        judged = _judged(run, store.subset(picked), total, large, errors, report, other=other)
        if len(picked) == len(kept) or judged == Judged():
            break
    return judged


def _judged(
    run: Run,
    view: GraphStore,
    total: int,
    large: Collection[str],
    errors: Mapping[str, Mapping[str, Any]],
    report: Mapping[str, Any],
    *,
    other: bool,
) -> Judged:
    """What the predictions of all structures of a view tell, of ``total`` ones that are spoken of; ``large``: targets
    that are looked into.
    """
    from intertwine.training.evaluation import predict

    graphs = [view[k] for k in range(len(view))]
    predictions = predict(run, graphs, strict=False)
    targets = [target for target, output in run.task.outputs.items() if _is_told(output) and target in errors]
    told: dict[str, Labelled] = {}
    for target in sorted(targets, key=lambda name: run.task.outputs[name].unit != "eV"):  # whose unit tells of others
        data = _labelled(target, run.task.outputs[target].label or target, graphs, predictions)
        told |= {target: data} if data is not None else {}
    off = _constant(run, graphs, told["energy"], errors, report) if other and "energy" in {*told} & {*large} else ""
    told = {name: data for name, data in told.items() if name != "energy" or not off}
    strays = _strays(run, told, errors, report)
    out = sorted({k for each in strays.values() for k in each.structures})
    sound = {name: data.of(~np.isin(_owner(data), out)) for name, data in told.items()}
    misread = _of_all(run, {name: sound[name] for name in large if name in sound})
    return Judged(
        tuple(view.numbers()[out].tolist()),
        tuple(_line(view, out, strays, total)),
        misread | ({"energy": off} if off else {}),
    )


def _strays(
    run: Run, told: Mapping[str, Labelled], errors: Mapping[str, Mapping[str, Any]], report: Mapping[str, Any]
) -> dict[str, Apart]:
    """What stands apart, by target, of those where something does."""
    result: dict[str, Apart] = {}
    energies = ""
    for target, data in told.items():
        output = run.task.outputs[target]
        factor = run.task.metrics[target].factor
        baseline = (errors[target].get("baseline") or {}).get("mae")
        clean = _of_report(report, target, "baseline")
        spread = min((value for value in (baseline, clean) if value is not None), default=None)
        usual = _of_report(report, target)
        each = apart(
            data,
            output.unit,
            extensive=output.extensive,
            per_atom=output.per_atom,
            vector=data.truth.shape[1] > 1,
            energies=energies,
            usual=None if usual is None else usual / factor,
            spread=None if spread is None else spread / factor,
        )
        energies = each.unit if output.unit == "eV" and each.unit else energies
        result |= {target: each} if each.structures else {}
    return result


def _of_all(run: Run, told: Mapping[str, Labelled]) -> dict[str, str]:
    """What the labels of all are, by target, of those that are not what they should be."""
    result: dict[str, str] = {}
    energies = ""
    for target, data in told.items():
        output = run.task.outputs[target]
        vector = data.truth.shape[1] > 1
        words, unit = misread(data, output.unit, extensive=output.extensive, vector=vector, energies=energies)
        energies = unit if output.unit == "eV" and words else energies
        result |= {target: words} if words else {}
    return result


def _constant(
    run: Run,
    graphs: list[Graph],
    data: Labelled,
    errors: Mapping[str, Mapping[str, Any]],
    report: Mapping[str, Any],
) -> str:
    """What is said of energies that are off by a constant; empty where they are not."""
    counts, output = _compositions(graphs, data), run.task.outputs["energy"]
    if counts is None or not output.per_atom or output.unit != "eV":
        return ""
    factor, usual = run.task.metrics["energy"].factor, _of_report(report, "energy")
    off = constant(data, *counts, None if usual is None else usual / factor)
    if not off.words:
        return ""
    return (
        f"the labels are off the predictions {off.words} in all structures, and without this constant the MAE is "
        f"{figure(factor * off.left)} in place of {figure(errors['energy']['mae'])} {errors['energy']['unit']}: they "
        "seem to be of another method or zero of energy, or the structures of another kind; take labels like those it "
        "was trained on"
    )


def _of_report(report: Mapping[str, Any], target: str, whose: str = "") -> float | None:
    """The root mean square error of a run on its validation or test set, the smaller, or the mean absolute error of its
    baseline there; None where its report does not tell.
    """
    test = (report.get("test") or {}).get(target) or {}
    if whose:
        value = (test.get(whose) or {}).get("mae")
        return float(value) if value is not None else None
    rest = test.get("without", test)
    known = [rest.get("rmse"), (report.get("validation") or {}).get(f"{target}_rmse")]
    return min((float(value) for value in known if value is not None), default=None)


def _line(view: GraphStore, out: list[int], strays: Mapping[str, Apart], total: int) -> list[str]:
    """What is said of structures whose labels stand apart, of so many in all: how many, the first by number, and in
    which way.
    """
    frames = Frames.of_store(view)
    if not out:
        return []
    named = numbered(frames, out) if frames is not None else ", ".join(map(str, view.numbers()[out[:4]].tolist()))
    count = f"the labels of {len(out):,} of {total:,} structures ({named}) stand apart"
    parts = []
    for target, each in strays.items():
        share = f" of {len(each.structures)} of them" if len(each.structures) < len(out) else ""
        parts.append(f"{target}{share} {each.words}")
    return [f"{count} from the predictions, which the others follow: {'; '.join(parts)}; look at these first"]


def _is_told(output: Output) -> bool:
    return not output.affine and output.level in ("node", "graph")


def _large(errors: Mapping[str, Any] | None) -> bool:
    if not errors:
        return False
    ratio = errors.get("ratio", {}).get("rmse")
    return ratio is None or ratio > LARGE


def _owner(data: Labelled) -> np.ndarray:
    assert data.owner is not None
    return data.owner


def _compositions(graphs: list[Graph], data: Labelled) -> tuple[np.ndarray, list[str]] | None:
    """Atoms of each species (structures, species) of the structures of a label, and the symbols; None where their nodes
    are not atoms.
    """
    chosen = [graphs[k] for k in _owner(data).tolist()]
    if not chosen or any(graph.get("z") is None for graph in chosen):
        return None
    species = sorted({z for graph in chosen for z in graph.z.tolist()})
    counts = np.array([[int((graph.z == z).sum()) for z in species] for graph in chosen], dtype=np.float64)
    return counts, [symbols([z]) for z in species]


def _labelled(
    target: str, label: str, graphs: list[Graph], predictions: list[dict[str, np.ndarray]]
) -> Labelled | None:
    """Predictions and labels of the structures that have both; None where their forms differ."""
    rows: list[tuple[np.ndarray, np.ndarray, int, float, int]] = []
    for k, (graph, prediction) in enumerate(zip(graphs, predictions, strict=True)):
        truth = graph.get(label)
        if truth is None or target not in prediction or not bool(torch.isfinite(truth).any()):
            continue
        known, said = truth.to(torch.float64).numpy(), np.asarray(prediction[target], dtype=np.float64)
        known = six(known) if target == "stress" else known
        if known.size != said.size:
            return None
        each = len(graph.pos) if known.shape[:1] == (len(graph.pos),) and known.ndim > 1 else 1
        cell = graph.get("cell")
        volume = float(torch.linalg.det(cell[0]).abs()) if cell is not None and cell.shape[-1] == 3 else np.nan
        rows.append((said.reshape(each, -1), known.reshape(each, -1), len(graph.pos), volume, k))
    if not rows or len({row[1].shape[1] for row in rows}) > 1:
        return None
    counts = [len(row[0]) for row in rows]
    return Labelled(
        np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows]),
        np.repeat([float(row[2]) for row in rows], counts), np.repeat([row[3] for row in rows], counts), len(rows),
        np.repeat([row[4] for row in rows], counts),
    )  # fmt: skip
