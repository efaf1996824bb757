"""The map of the architectures, from their classes: the table of docs/models.md and its picture.

python benchmarks/architectures.py
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from measure import DOCS, insert

from intertwine.bench import CAPTION, COLUMNS, GEOMETRIES, architectures, cells
from intertwine.models import MODELS

COLOURS = {"linear": "#2a6f97", "nonlinear": "#c8553d"}


def page(entries: list[dict[str, Any]]) -> str:
    """The table."""
    lines = [list(COLUMNS.values()), ["---"] * 7 + ["--:"] * (len(COLUMNS) - 7), *(cells(entry) for entry in entries)]
    grid = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    papers = "\n".join(f"- `{entry['name']}`: {entry['paper']}" for entry in entries)
    return f"{grid}\n\n{CAPTION}\n\n{papers}"


def picture(entries: list[dict[str, Any]]) -> Any:
    """What a message looks at, against what an edge costs; the colour says whether the message is linear in the
    neighbour's features.
    """
    figure, axes = plt.subplots(figsize=(9.0, 4.8), layout="constrained")
    for place, geometry in enumerate(GEOMETRIES):
        here = sorted((entry for entry in entries if entry["geometry"] == geometry), key=lambda entry: entry["flops"])
        last = 0.0
        for entry in here:
            axes.scatter(place, entry["flops"], s=22 * entry["body order"], color=COLOURS[entry["message"]], zorder=3)
            height = max(entry["flops"], last * 1.3)  # names do not overlap
            kind = MODELS[entry["name"]].__name__
            axes.annotate(
                kind, (place, entry["flops"]), (place + 0.12, height), fontsize=8, va="center", annotation_clip=False
            )
            last = height
    axes.set_yscale("log")
    axes.set_xticks(range(len(GEOMETRIES)), GEOMETRIES, fontsize=9)
    axes.set_xlim(-0.4, len(GEOMETRIES) - 0.2)
    axes.set_ylabel("FLOP an edge", fontsize=9)
    axes.set_xlabel("what a message looks at", fontsize=9)
    axes.grid(True, axis="y", color="#dddddd", linewidth=0.6, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    for kind, colour in COLOURS.items():
        axes.scatter([], [], color=colour, label=f"{kind} in the neighbour's features")
    axes.legend(fontsize=8, frameon=False, loc="upper left", title="size: body order", title_fontsize=8)
    return figure


if __name__ == "__main__":
    entries = architectures()
    insert(DOCS / "models.md", "architectures.py", page(entries))
    picture(entries).savefig(DOCS / "images" / "architectures.png", dpi=150)
