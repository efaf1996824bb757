"""intertwine models, datasets: what there is."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from intertwine.cli import console

Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@console.guarded
def models(as_json: Json = False) -> None:
    """The architectures, what they are and what they cost: the map of lecture 3.2."""
    from intertwine.bench.architectures import COLUMNS, architectures, cells
    from intertwine.bench.cost import ATOMS
    from intertwine.models import MODELS

    with console.bar(len(MODELS), "counting operations") as progress:
        entries = architectures(progress=progress)
    if as_json:
        console.emit(entries)
        return
    papers = "\n".join(f"{entry['name']}: {entry['paper']}" for entry in entries)
    caption = (
        f"Operations and bytes of the features for each edge of {ATOMS} atoms within the model's cutoff, at its defaults.\n\n{papers}\n\n"
        "intertwine train DATA --model NAME; any argument by --set model.width=64."
    )
    console.table("Architectures", list(COLUMNS.values()), [cells(entry) for entry in entries], caption=caption)


@console.guarded
def datasets(as_json: Json = False) -> None:
    """The data sets that have a name; any file that ASE reads will do too."""
    from intertwine.data import DATASETS, Dataset

    if as_json:
        facts = [field.name for field in dataclasses.fields(Dataset) if field.name not in ("make", "selects")]
        console.emit({name: {fact: getattr(info, fact) for fact in facts} for name, info in DATASETS.items()})
    else:
        rows = [[name, info.description, info.task, info.entries, info.source] for name, info in DATASETS.items()]
        console.table(
            "Data sets",
            ["name", "what", "task", "structures", "source"],
            rows,
            caption="Or any file that ASE reads: intertwine train FILE.",
        )
