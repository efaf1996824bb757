"""intertwine bench: how fast is it here, beside other libraries?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from intertwine.cli import console
from intertwine.numerics import InputError, choose


@console.guarded
def bench(
    what: Annotated[str, typer.Argument(help="What to measure: kernels.")] = "kernels",
    only: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Part to measure: A, B, C, tiny, harmonics, contraction, first-use, edges, memory, or all; repeatable. "
                "Default: A, tiny, harmonics, contraction."
            )
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Samples of each time.")] = 5,
    threads: Annotated[int | None, typer.Option(help="Threads of torch. Default: one for each core.")] = None,
    compiled: Annotated[
        list[str] | None,
        typer.Option(
            "--compile",
            help=(
                "Size at which e3nn is measured under torch.compile too (a minute or more each), or none; repeatable. "
                "Default: none."
            ),
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--json", help="JSON file to write all numbers to. Default: none.")
    ] = None,
) -> None:
    """Time the kernels beside e3nn, cuequivariance, sphericart and mace-torch, whichever are installed.

    Half a minute of two idle cores, and one more the first time; `--only all` measures larger sizes, first uses, a
    million edges and memory too, which takes minutes."""
    choose(what, ("kernels",), kind="benchmark", where="bench")
    if threads is not None and threads < 1:
        raise InputError(f"{threads} threads", where="--threads", remedy="give 1 or more.")
    if output is not None and not output.resolve().parent.is_dir():
        raise InputError("there is no such folder", where=str(output.resolve().parent), remedy="make it first.")

    import torch

    from intertwine.bench import PARTS, USUAL, grids, heading, jobs, measure
    from intertwine.numerics import destination, write_atomically

    if output is not None:
        destination(output)  # said before the work, not after it
    if threads is not None:
        torch.set_num_threads(threads)
    todo = jobs(PARTS if only == ["all"] else only or USUAL, repeats, [] if compiled == ["none"] else compiled or [])
    with console.bar(sum(job.steps for job in todo), "measuring") as progress:
        document = measure(todo, repeats, progress)
    if output is not None:
        write_atomically(output, (json.dumps(document, indent=1) + "\n").encode())
    console.out.print(heading(document), markup=False, soft_wrap=True)
    for grid in grids(document):
        console.table(grid.title, list(grid.columns), [list(row) for row in grid.rows], caption=grid.caption)
