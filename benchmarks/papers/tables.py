"""The tables and the picture of expressivity.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
from distinguish import SAME_RELATIVE_DIFFERENCE
from matplotlib.colors import LinearSegmentedColormap
from questions import BODIES, CHAIN, FOLDS, LAYERS, ORDERS, TURNED, Cell, Row, cells, expected
from theory import THEORY

from intertwine.models import MODELS

COLOURS = LinearSegmentedColormap.from_list("accuracy", ["#f2e3da", "#2a6f97"])


def accuracy(results: Mapping[str, Any], row: Row, cell: Cell) -> float | None:
    runs = results.get(row.name, {}).get(str(cell), {}).get("runs", {}).values()
    return sum(run["accuracy"] for run in runs) / len(runs) if runs else None


def _entry(results: Mapping[str, Any], row: Row, cell: Cell) -> str:
    """Accuracy, and what theory says; bold where they differ."""
    value, theory = accuracy(results, row, cell), expected(row, cell)
    if value is None:
        return ""
    text = f"{value:.0f}" if theory is None or (value > 50) == theory else f"**{value:.0f}**"
    return text + {True: " yes", False: " no", None: ""}[theory]


def _layers(results: Mapping[str, Any], row: Row) -> str:
    layers = [results.get(row.name, {}).get(str(cell), {}).get("layers") for cell in BODIES]
    return ", ".join("–" if n is None else str(n) for n in layers)


def _grid(lines: Sequence[Sequence[str]]) -> str:
    head, *body = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---", *["--:"] * (len(head) - 1)], *body))


def disagreements(results: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """Where random weights in double precision contradict the theory."""
    contradictions = []
    for row in rows:
        for cell in cells(row):
            kept, theory = results.get(row.name, {}).get(str(cell)), expected(row, cell)
            if kept is not None and theory is not None and (kept["separation"] > SAME_RELATIVE_DIFFERENCE) != theory:
                contradictions.append(
                    f"{row.name}, {cell}: theory says {'yes' if theory else 'no'}, "
                    f"features differ by {kept['separation']:.0e}"
                )
        layers = [results.get(row.name, {}).get(str(cell), {}).get("layers", "?") for cell in BODIES]
        if row.name in THEORY and "?" not in layers and tuple(layers) != THEORY[row.name].body:
            contradictions.append(
                f"{row.name}: theory says {THEORY[row.name].body} layers, random weights {tuple(layers)}"
            )
    return contradictions


def page(document: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """The tables, with what was used and where theory and measurement differ."""
    results, machine = document["results"], document["machine"]
    counts = [len(cell["runs"]) for row in results.values() for cell in row.values()]
    seeds = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    first = [
        ["model", *(f"chain, {n} layers" for n in LAYERS), *(str(cell.what) for cell in BODIES), "layers it takes"]
    ]
    first += [
        [row.name, *(_entry(results, row, cell) for cell in [*CHAIN, *BODIES]), _layers(results, row)] for row in rows
    ]
    second = [["model", "l", *(f"{fold}-fold" for fold in FOLDS)]]
    for row in rows:
        for order in sorted({cell.order or 0 for cell in cells(row) if cell.kind == "turned"}):
            second.append(
                [row.name, str(order), *(_entry(results, row, Cell("turned", fold, order)) for fold in FOLDS)]
            )
    return "\n\n".join(
        [
            f"Accuracy in %, mean of {seeds} seeds; 50 is a guess. Beside it what theory says: yes, so many layers can "
            "tell the two apart, or no; bold where the two differ. The last column: from how many layers random "
            "weights (1, 2 and 3 layers tried) tell the 2-body, 3-body, 4-body and chiral pair apart; the test has "
            "one. Models that have an option for pseudoscalars have it for the chiral pair.",
            _grid(first),
            "Orientations: polygons of so many corners, and the same turned. One layer, and a linear classifier of its "
            "pooled features of degree up to l; invariant models have none. MACE has correlation 1 here.",
            _grid(second),
            _verdict(results, rows),
            _not_asked(),
            "\n".join(f"- `{row.name}`: {THEORY[row.name].why}." for row in rows if row.name in THEORY),
            f"{machine['processor']}, {machine['usable_cores']} cores, torch {machine['versions']['torch']}, "
            f"{machine['date']}. `python benchmarks/papers/expressivity.py --seeds {max(counts)}`",
        ]
    )


def _not_asked() -> str:
    """The models whose input is no graph of points, and what it is."""
    others: dict[str, list[str]] = {}
    for name, model in MODELS.items():
        if (trials := model().trials) != "molecules":
            others.setdefault({"signals": "signals on a sphere"}.get(trials, trials), []).append(f"`{name}`")
    return (
        "Not asked, as a pair of graphs is no input for them: "
        + "; ".join(f"{', '.join(names)}, which take {what}" for what, names in others.items())
        + "."
    )


def _verdict(results: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Where theory, random weights and training differ."""
    wrong, able, starts = disagreements(results, rows), 0, {True: [0.0], False: [0.0]}
    for row in rows:
        for cell in cells(row):
            if expected(row, cell) and (kept := results.get(row.name, {}).get(str(cell))):
                able += 1
                for run in kept["runs"].values():
                    starts[run["accuracy"] == 100].append(run["separation"])
    learned, missed = (starts[key][1:] for key in (True, False))
    text = (
        "Random weights contradict the theory: " + "; ".join(wrong) + "."
        if wrong
        else "Random weights agree with the theory in every cell."
    )
    text += (
        f" Theory says yes to {able} cells; of their runs {len(learned)} learned it in 200 steps, "
        f"{len(missed)} did not."
    )
    if learned and missed:
        text += (
            " These start from less: before training the pooled features of the two graphs differ, relatively, by "
            f"{median(missed):.0e} (median), those of the runs that learned by {median(learned):.0e}."
        )
    return text


def picture(document: Mapping[str, Any], rows: Sequence[Row]) -> Any:
    """Models by tests; the colour is the accuracy, a dot says that theory says yes."""
    results, columns = document["results"], [*CHAIN, *BODIES, *TURNED]
    figure, axes = plt.subplots(figsize=(12.5, 1.6 + 0.27 * len(rows)), layout="constrained")
    for y, row in enumerate(rows):
        for x, cell in enumerate(columns):
            value = accuracy(results, row, cell)
            colour = "#f7f7f7" if value is None else COLOURS((value - 50) / 50)
            axes.add_patch(plt.Rectangle((x, y), 0.94, 0.9, color=colour, linewidth=0))
            if value is not None and expected(row, cell):
                axes.plot(x + 0.47, y + 0.45, "o", markersize=4, color="white" if value > 75 else "#c8553d")
    starts = [
        0,
        len(CHAIN),
        len(CHAIN) + len(BODIES),
        *(len(CHAIN) + len(BODIES) + len(ORDERS) * k for k in range(1, len(FOLDS))),
    ]
    titles = ["chain of 4: layers", "star, one layer", *(f"{fold}-fold: l" for fold in FOLDS)]
    for start, title in zip(starts, titles, strict=True):
        axes.text(start, -1.15, title, fontsize=8.5, ha="left", va="bottom", weight="bold")
        axes.axvline(start - 0.03, color="#888888", linewidth=0.6)
    labels = [str(cell.what if cell.order is None else cell.order) for cell in columns]
    for x, label in enumerate(labels):
        axes.text(
            x + 0.47,
            -0.12,
            label.replace("-body", ""),
            fontsize=8,
            ha="center",
            va="bottom",
            rotation=60 if label == "chiral" else 0,
        )
    axes.set_yticks([y + 0.45 for y in range(len(rows))], [row.name for row in rows], fontsize=8.5)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set_xlim(-0.1, len(columns))
    axes.set_ylim(len(rows), -1.9)
    axes.spines[:].set_visible(False)
    scale = plt.cm.ScalarMappable(plt.Normalize(50, 100), COLOURS)
    figure.colorbar(scale, ax=axes, label="accuracy, %; dot: theory says yes", shrink=0.7, pad=0.01)
    return figure
