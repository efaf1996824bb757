"""The errors of a model beside those of a baseline: numbers, and what they say in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from intertwine.numerics.showing import figure

#: The numbers of a task's errors that are the better the smaller they are, and what they are called.
FIGURES = {"mae": "MAE", "rmse": "RMSE", "error": "error", "cross_entropy": "cross-entropy"}
TIMES = 10.0  # ratio from which on a factor is easier to read than a percentage


def compared_with(
    name: str, errors: Mapping[str, Any], mae: float, rmse: float, figures: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a report adds to the errors of a target: ``baseline``, its ``name`` and its figures, and ``ratio``, the
    model's over its, of each that both have: ``mae`` and ``rmse``, or those of a task that reports others; no ratio
    where it makes no error.

    Args:
        name: of the baseline.
        errors: of the model, as the task reports them.
        mae, rmse: of the baseline on the same entries, in the same unit.
        figures: the baseline's errors as the task reports them; None where they are ``mae`` and ``rmse``.
    """
    told = {kind: figures[kind] for kind in FIGURES if kind in figures} if figures is not None else {}
    own = told or {"mae": mae, "rmse": rmse}
    ratio = {kind: errors[kind] / own[kind] for kind in own if kind in errors and own[kind] > 0}
    return {"baseline": {"name": name, **own}} | ({"ratio": ratio} if ratio else {})


def beaten(errors: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One sentence for each target of which the baseline's MAE or RMSE is below the model's.

    Args:
        errors: for each target what :func:`intertwine.training.evaluate` returns.
    """
    lines = []
    for target, e in errors.items():
        ratios = (e.get("ratio") or {}).items()  # a number that is not finite is null in a report
        worse = [kind for kind, ratio in ratios if None not in (ratio, e.get(kind)) and ratio > 1]
        if worse:
            figures = ", ".join(
                f"{FIGURES[kind]} {figure(e['baseline'][kind])} against {figure(e[kind])}" for kind in worse
            )
            lines.append(
                f"{target}: the baseline {e['baseline']['name']!r} is better than the model "
                f"({figures} {e['unit']}".rstrip()
                + "); train longer, on more data, or check units and labels"
            )
    return lines


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
    return f"{baseline['name']}: {figures} {errors['unit']}".rstrip()
