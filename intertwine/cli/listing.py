"""intertwine models, datasets: what there is."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from intertwine.cli import console
from intertwine.numerics import InputError, plugins

Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@console.guarded
def models(as_json: Json = False) -> None:
    """List the architectures: what a message looks at, symmetry group, number of weights, cost per edge, paper."""
    from intertwine.bench.architectures import CAPTION, COLUMNS, architectures, cells
    from intertwine.models import MODELS

    with console.bar(len(MODELS), "counting operations") as progress:
        entries = architectures(progress=progress)
    own = installed("models")
    if as_json:
        console.emit([*entries, *own])
        return
    papers = "\n".join(f"{entry['name']}: {entry['paper']}" for entry in entries)
    caption = f"{CAPTION}\n\n{papers}\n\nintertwine train DATA --model NAME; any argument by --set model.width=64."
    console.table("Architectures", list(COLUMNS.values()), [cells(entry) for entry in entries], caption=caption)
    if own:
        console.table("Of installed packages", ["name", "class", "what"], [list(entry.values()) for entry in own])


def installed(group: str) -> list[dict[str, str]]:
    """Name, class and first line of what installed packages offer; one that can't be imported is told on standard
    error, and left out.
    """
    entries = []
    for name, specs in sorted(plugins.offered(group).items()):
        for spec in specs:
            try:
                plugin = plugins.load(spec)
                entries.append({"name": name, "class": spec, "what": (plugin.__doc__ or "").strip().partition("\n")[0]})
            except InputError as error:
                console.complain(f"{name}: {error}", "warning:")
    return entries


@console.guarded
def datasets(as_json: Json = False) -> None:
    """List the data sets that have a name. `intertwine train` also takes any file that ASE reads."""
    from intertwine.data import DATASETS, Dataset

    if as_json:
        facts = [field.name for field in dataclasses.fields(Dataset) if field.name not in ("make", "selects")]
        entries = {name: {fact: getattr(info, fact) for fact in facts} for name, info in DATASETS.items()}
        console.emit(entries | {entry.pop("name"): entry for entry in installed("datasets")})
    else:
        rows = [[name, info.description, info.task, info.entries, info.source] for name, info in DATASETS.items()]
        console.table(
            "Data sets",
            ["name", "what", "task", "structures", "source"],
            rows,
            caption="Or any file that ASE reads: intertwine train FILE.",
        )
        if own := installed("datasets"):
            console.table(
                "Of installed packages", ["name", "what", "description"], [list(entry.values()) for entry in own]
            )
