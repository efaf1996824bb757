"""intertwine cite: what a run stands on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intertwine.cli import console, inputs
from intertwine.numerics import InputError

TITLE = "intertwine: equivariant graph neural networks, every architecture on one proven core"  # CITATION.cff has both
AUTHOR = "The intertwine authors"
HEADINGS = {"model": "Model", "data": "Data", "program": "Programs"}


@console.guarded
def cite(
    run: Annotated[Path, typer.Argument(help="Folder of a run made by `intertwine train`, or a .safetensors file.")],
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print as BibTeX, in UTF-8.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """What to cite for a run: this library, and the papers of its model, of its data and of the programs that it used.
    The run's own code is not imported.
    """
    from intertwine.nn.paper import entry
    from intertwine.training.works import stands_on

    if bibtex and as_json:
        raise InputError("two formats at once", where="--bibtex, --json", remedy="give one of them.")
    works, notes = stands_on(run)
    version = _version()
    if as_json:
        library = {"authors": [AUTHOR], "title": TITLE, "version": version}
        console.emit({"run": str(run), "library": library, "works": [work.facts() for work in works], "notes": notes})
        return
    for note in notes:
        inputs.say(note)
    if bibtex:
        fields = {"author": f"{{{AUTHOR}}}", "title": f"{{{TITLE}}}", "version": version}
        papers = {work.paper.key: work.paper for work in works if work.paper is not None}
        _print("\n\n".join([entry("software", "intertwine", fields), *(paper.bibtex() for paper in papers.values())]))
    else:
        lines = ["Library", f"  {AUTHOR}. {TITLE}. Version {version}"]
        for role, heading in HEADINGS.items():
            of_role = [work for work in works if work.role == role]
            lines += ["", heading] * bool(of_role)
            for work in of_role:
                paper = work.paper.text() if work.paper is not None else "no paper known here"
                lines.append(f"  {work.name} ({work.why}): {paper}")
        _print("\n".join(lines))


def _version() -> str:
    import intertwine

    return intertwine.__version__


def _print(text: str) -> None:
    console.out.print(text, markup=False, soft_wrap=True)
