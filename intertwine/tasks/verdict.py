"""The errors of a model beside those of a baseline: numbers, and what they say in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from intertwine.numerics.showing import figure

#: The numbers of a task's errors that are the better the smaller they are, and what they are called.
FIGURES = {"mae": "MAE", "rmse": "RMSE", "error": "error", "cross_entropy": "cross-entropy"}
REMEDY = "train longer, on more data, or check units and labels"
SUSPICIOUS = "the data are suspicious, see the warnings on them: mend those first"
OTHER_DATA = (
    "no structure of these is known as a copy of a training structure (in another cell it would not be): check units "
    "and labels, and train on data like them"
)
UNLEARNT = "the model has not learnt its own training structures"
COPIES = f"{UNLEARNT}: train longer, or a larger model"
OTHERS = (
    "not all structures are known as copies of training structures (in another cell they would not be): check units "
    "and labels of the others, and train on data like them"
)
LONGER = "train longer"
HARDLY = 0.9  # ratio from which on a target counts as hardly learnt
LEFT_BEHIND = 10.0  # ratio over the smallest of the targets, from which on a target counts as left behind
LAGGING, HALF = 3.0, 0.5  # likewise of one that is above that ratio itself
LEARNT = 0.75  # ratio of the MAE, below which a target is learnt, though the RMSE may be as large as the baseline's
LARGE_ONES = " where errors are squared, not in the mean: a few are large"
TIMES = 10.0  # ratio from which on a factor is easier to read than a percentage
NONE = 1e-9  # of the model's error: a baseline that errs less makes no error, and there is no ratio to it
EXACT = 1e-5  # of the model's error: what a baseline errs less by is rounding
EXACTLY = (
    ", but it fits these structures exactly, as there are no more of them than it has numbers, or their labels are "
    "alike: compare on more of them"
)


@dataclass(frozen=True)
class Causes:
    """What is known of why the errors of a model may be large.

    Args:
        suspicious: something in the data it was trained or is scored on can make an error large: outlying labels,
            coincident atoms, doubtful units.
        spoilt: targets whose errors beside those of the baseline say nothing, and why, in words: an outlier among the
            labels that its baseline was fitted to, or that both are scored on.
        copies: what it is scored on are copies of training structures, all of them.
        some_copies: some of them are.
        few: how short the training was, in words; empty if it was not.
        own: what it is scored on is of the data that it was trained on.
        misread: targets whose labels are in another unit, sign, order or size than the predictions, or off by a
            constant, and in which, in words: their errors say nothing else.
        without: errors without the structures whose labels stand apart, as those of all; empty where none do.
        left_out: how many those are.
        lines: what is said of labels that stand apart from predictions.
    """

    suspicious: bool = False
    spoilt: Mapping[str, str] = field(default_factory=dict)
    copies: bool = False
    few: str = ""
    own: bool = True
    misread: Mapping[str, str] = field(default_factory=dict)
    some_copies: bool = False
    without: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: int = 0
    lines: Sequence[str] = ()


def remedy_for(causes: Causes) -> str:
    """What to do about errors that are too large: mend the data, where they can be a cause, and train longer, where
    these are training structures or the training was short; of other data than the run's that these may be unlike.
    """
    training = COPIES if causes.copies else f"{LONGER}: {causes.few}" if causes.few else ""
    if causes.copies and causes.few:
        training = f"{UNLEARNT}: {LONGER}: {causes.few}"
    other = OTHERS if causes.some_copies else OTHER_DATA
    data = SUSPICIOUS if causes.suspicious else "" if causes.own or causes.copies else other
    return "; and ".join(filter(None, (data, training))) or REMEDY


def before_weights(causes: Causes) -> str:
    """What to do before the weights of a loss are changed, where one target is left behind by others: mend suspicious
    data, end a training that was short; empty if there is neither.
    """
    return remedy_for(causes) if causes.suspicious or causes.few else ""


def with_spoilt(errors: Mapping[str, Mapping[str, Any]], causes: Causes) -> dict[str, dict[str, Any]]:
    """The errors, of which those of a spoilt target have no ``ratio`` to their baseline, which says by what it is
    spoilt (``spoilt``): nothing follows from the ratio. Nor have those whose labels are misread, which say how
    (``misread``). Where labels of single structures stand apart, the ratio is that of the errors ``without`` them, and
    ``left_out`` is how many they are.
    """
    result = {target: dict(e) for target, e in errors.items()}
    for target, rest in causes.without.items():
        if target in result:
            result[target].pop("ratio", None)
            result[target] |= {"without": dict(rest), "left_out": causes.left_out}
    for target, why in causes.misread.items():
        of_others(result[target]).pop("ratio", None)
        result[target]["misread"] = why
    for target, why in causes.spoilt.items():
        if "baseline" in result.get(target, {}) and target not in causes.misread:
            of_others(result[target]).pop("ratio", None)
            result[target]["baseline"] = result[target]["baseline"] | {"spoilt": why}
    return result


def of_others(errors: Mapping[str, Any]) -> Any:
    """The errors of a target without those structures whose labels stand apart, where there are some."""
    return errors.get("without") or errors


def compared_with(
    name: str, errors: Mapping[str, Any], mae: float, rmse: float, figures: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a report adds to the errors of a target: ``baseline``, its ``name`` and its figures, and ``ratio``, the
    model's over its, of each that both have: ``mae`` and ``rmse``, or those of a task that reports others; no ratio
    where it makes none.

    Args:
        name: of the baseline.
        errors: of the model, as the task reports them.
        mae, rmse: of the baseline on the same entries, in the same unit.
        figures: the baseline's errors as the task reports them; None where they are ``mae`` and ``rmse``.
    """
    told = {kind: figures[kind] for kind in FIGURES if kind in figures} if figures is not None else {}
    own = told or {"mae": mae, "rmse": rmse}
    ratio = {kind: errors[kind] / own[kind] for kind in own if kind in errors and own[kind] > NONE * errors[kind]}
    return {"baseline": {"name": name, **own}} | ({"ratio": ratio} if ratio else {})


def beaten(errors: Mapping[str, Mapping[str, Any]], behind: Sequence[str] = (), remedy: str = REMEDY) -> list[str]:
    """One sentence for each target of which the baseline's MAE or RMSE is below the model's, or not far above it: that
    the model has hardly learnt it, and what to do. And one for each whose baseline is spoilt by an outlying label.

    Args:
        errors: for each target what :func:`intertwine.training.evaluate` returns.
        behind: what the task says of targets that are left behind by others, as
            :meth:`intertwine.tasks.Task.left_behind`: each is one sentence with that on its baseline, whose remedy is
            then the only one.
        remedy: what to do about all others (:func:`remedy_for`).
    """
    lines = {
        target: f"{target}: the baseline {blind['name']!r} is spoilt by {blind['spoilt']}, so what the error is "
        "beside it says nothing: mend that first"
        for target, e in errors.items()
        if (blind := e.get("baseline") or {}).get("spoilt")
    }
    lines |= {target: f"{target}: {words}; {remedy}" for target, words in shortfalls(errors).items()}
    lines |= {target: f"{target}: {words}" for target in errors if (words := misread_as(errors[target]))}
    lines = {"": _without(errors), **lines} if any("without" in e for e in errors.values()) else lines
    for line in behind:
        target, _, words = line.partition(": ")
        own = lines[target].removesuffix(f"; {remedy}") + ", and it is " if target in lines else f"{target}: "
        lines[target] = own + words
    return list(lines.values())


def _without(errors: Mapping[str, Mapping[str, Any]]) -> str:
    """The errors without the structures whose labels stand apart, of all targets, in a sentence."""
    kept = {target: e for target, e in errors.items() if "without" in e}
    count = max(e["left_out"] for e in kept.values())
    figures = [
        f"{target} " + ", ".join(f"{words} {figure(e['without'][kind])}" for kind, words in FIGURES.items()
                                 if kind in e["without"]) + f" {e['unit']}".rstrip()
        for target, e in kept.items()
    ]  # fmt: skip
    those = f"these {count:,} structures" if count > 1 else "this structure"
    return f"without {those}, whose labels are to be looked at, the errors are: {'; '.join(figures)}"


def shortfalls(errors: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What is said of targets whose errors are not well below those of the baseline, by name."""
    result = {}
    for target, whole in errors.items():
        e, known = of_others(whole), _ratios(whole)
        high = [kind for kind, ratio in known.items() if ratio > 1] or [k for k, r in known.items() if r >= HARDLY]
        if not high:
            continue
        figures = ", ".join(f"{FIGURES[kind]} {figure(e['baseline'][kind])} against {figure(e[kind])}" for kind in high)
        worse, learnt = max(known.values()) > 1, high == ["rmse"] and known.get("mae", 1.0) < LEARNT
        verdict = "is better than the model" if worse else "is nearly as good"
        verdict += LARGE_ONES if learnt else "" if worse else ": the model has hardly learnt this target"
        exact = EXACTLY if max(known.values()) > 1 / EXACT else ""
        result[target] = (
            f"the baseline {e['baseline']['name']!r} {verdict} ({figures} {e['unit']}".rstrip() + f"){exact}"
        )
    return result


def short_verdict(errors: Mapping[str, Mapping[str, Any]]) -> str:
    """The same of all targets in one short sentence; empty where all are well below their baseline's."""
    worse = [name for name, words in shortfalls(errors).items() if "is better" in words]
    hardly = [name for name, words in shortfalls(errors).items() if "hardly learnt" in words]
    squared = [name for name in shortfalls(errors) if name not in (*worse, *hardly)]
    parts = [f"the baseline is better than the model in {' and '.join(worse)}"] if worse else []
    parts += [f"the model is hardly better than the baseline in {' and '.join(hardly)}"] if hardly else []
    parts += [f"the baseline is nearly as good as the model in {' and '.join(squared)}{LARGE_ONES}"] if squared else []
    parts += [f"{name}: {words.partition(';')[0]}" for name, e in errors.items() if (words := misread_as(e))]
    why: dict[str, list[str]] = {}
    for name, e in errors.items():
        if spoilt := (e.get("baseline") or {}).get("spoilt"):
            why.setdefault(spoilt, []).append(name)
    parts += [
        f"whether the model is better than the baseline in {' and '.join(names)} is not known ({spoilt})"
        for spoilt, names in why.items()
    ]
    return "; ".join(parts)


def misread_as(errors: Mapping[str, Any]) -> str:
    """What the labels of a target seem to be in place of what they should be, in words, from its errors in a report;
    empty if nothing is known of it.
    """
    return str(errors.get("misread") or "")


def behind(shares: Mapping[str, float]) -> dict[str, str]:
    """Which targets are left far behind the best one, and by what, in words: with more than :data:`LEFT_BEHIND` times
    its RMSE over baseline; or with so many times (:data:`LAGGING`), where half of the baseline is left. None where no
    target is well below its baseline, for nothing is learnt then.

    Args:
        shares: RMSE over that of the baseline, by target, of those that have a part in the loss.
    """
    best = min(shares, key=lambda name: shares[name], default="")
    if not best or not shares[best] < HARDLY:
        return {}
    return {
        name: f"RMSE {percent(share)} of its baseline's, {percent(shares[best])} in {best}"
        for name, share in shares.items()
        if share > LEFT_BEHIND * shares[best] or (share > HALF and share > LAGGING * shares[best])
    }


def neglected(
    errors: Mapping[str, Mapping[str, Any]], weights: Mapping[str, float], levers: Mapping[str, str], first: str = ""
) -> list[str]:
    """One sentence for each target that is left :func:`behind` and has a setting for its weight, with ten times it.

    Args:
        errors: for each target what :func:`intertwine.training.evaluate` returns.
        weights: of targets in the loss; those of weight 0 have no part in it.
        levers: the settings of the weights, by target.
        first: what is to be done before a weight is changed, in its place; empty if nothing is.
    """
    kept = {name: of_others(e) for name, e in errors.items()}
    known = {name: e["ratio"]["rmse"] for name, e in kept.items() if "rmse" in e.get("ratio", {})}
    return [
        f"{name}: left behind by the other targets ({reason}); "
        + (first or f"give it a larger weight, --set task.{levers[name]}={10 * weights[name]:g}")
        for name, reason in behind({name: ratio for name, ratio in known.items() if weights.get(name, 0.0) > 0}).items()
        if name in levers
    ]


def _ratios(errors: Mapping[str, Any]) -> dict[str, float]:
    """The model's errors over the baseline's, infinite where the baseline makes none and the model does; none where the
    comparison is spoilt, or the labels are misread.
    """
    baseline = errors.get("baseline") or {}
    if baseline.get("spoilt") or misread_as(errors):
        return {}
    errors = of_others(errors)
    baseline = errors.get("baseline") or {}
    ratios = (errors.get("ratio") or {}).items()  # a number that is not finite is null in a report
    known = {kind: float(ratio) for kind, ratio in ratios if None not in (ratio, errors.get(kind))}
    for kind in FIGURES:
        own, other = errors.get(kind), baseline.get(kind)
        if kind not in known and own is not None and other is not None and own > 0 and other <= NONE * own:
            known[kind] = inf
    return known


def percent(ratio: float) -> str:
    """A ratio as "2.03 %", "44.4 %", "4,444 %"."""
    return f"{100 * ratio:.3g} %" if 100 * ratio < 999.5 else f"{100 * ratio:,.0f} %"


def of_the_baseline(ratios: Collection[float]) -> str:
    """Ratios as "2.03 % and 44.4 % of the baseline's", large ones as "0.9 and 121 times the baseline's"; empty where
    there are none.
    """
    if not ratios:
        return ""
    if max(ratios) < TIMES:
        return f"{' and '.join(map(percent, ratios))} of the baseline's"
    words = (f"{ratio:.0f}" if ratio >= TIMES else f"{ratio:.2g}" for ratio in ratios)
    return f"{' and '.join(words)} times the baseline's"


def baseline_line(errors: Mapping[str, Any]) -> str:
    """The baseline's name and errors, in the unit of the model's; empty where there is none."""
    if not (baseline := errors.get("baseline")):
        return ""
    figures = ", ".join(f"{words} {figure(baseline[kind])}" for kind, words in FIGURES.items() if kind in baseline)
    spoilt = f" (spoilt by {baseline['spoilt']})" if baseline.get("spoilt") else ""
    return f"{baseline['name']}: {figures} {errors['unit']}".rstrip() + spoilt
