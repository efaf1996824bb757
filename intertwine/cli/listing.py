"""intertwine models, datasets: what there is."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from intertwine.cli import console

Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@console.guarded
def models(as_json: Json = False) -> None:
    """The architectures and what they are: the map of lecture 3.2."""
    from intertwine.models import MODELS

    entries = []
    for name, kind in MODELS.items():
        model = kind()
        entries.append(
            {
                "name": name,
                "message": kind.message,
                "domain": kind.domain,
                "geometry": kind.geometry,
                "body order": kind.body_order,
                "symmetry": kind.symmetry,
                "features": str(model.irreps_out),
                "parameters": sum(p.numel() for p in model.parameters()),
                "paper": kind.paper,
            }
        )
    if as_json:
        console.emit(entries)
        return
    shown = ["name", "message", "domain", "geometry", "body order", "symmetry", "features", "parameters"]
    papers = "\n".join(f"{entry['name']}: {entry['paper']}" for entry in entries)
    caption = f"{papers}\n\nintertwine train DATA --model NAME; any argument by --set model.width=64."
    headings = ["model", "message", "domain", "looks at", "body", "group", "features", "weights"]
    console.table("Architectures", headings, [[entry[name] for name in shown] for entry in entries], caption=caption)


@console.guarded
def datasets(as_json: Json = False) -> None:
    """The data sets that have a name; any file that ASE reads will do too."""
    from intertwine.data import DATASETS

    if as_json:
        console.emit({name: dataclasses.asdict(info) for name, info in DATASETS.items()})
    else:
        rows = [[name, info.description, info.task, info.entries, info.source] for name, info in DATASETS.items()]
        console.table(
            "Data sets",
            ["name", "what", "task", "structures", "source"],
            rows,
            caption="Or any file that ASE reads: intertwine train FILE.",
        )
