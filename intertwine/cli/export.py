"""intertwine export: a trained run as a program that torch alone runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intertwine.cli import console, inputs
from intertwine.cli.code import Allow
from intertwine.cli.inputs import DataPath
from intertwine.cli.outputs import Overwrite
from intertwine.cli.outputs import check as check_outputs
from intertwine.cli.runs import RunFolder, Which, opened


@console.guarded
def export(
    run: RunFolder,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .pt2.")],
    example: Annotated[
        Path | None,
        typer.Option(
            help=(
                "File whose last structure has the fields that the program shall read. Default: a structure of the "
                "run's test set."
            )
        ),
    ] = None,
    data: DataPath = None,
    which: Which = "best",
    overwrite: Overwrite = False,
    allow: Allow = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print inputs and outputs of the program as JSON.")] = False,
) -> None:
    """A program for torch.export.load: energies, forces and other predictions from tensors, for any numbers of atoms
    and edges.
    """
    from intertwine.data import to_graph
    from intertwine.geometry import Graph
    from intertwine.integrations import export_program
    from intertwine.training import test_set
    from intertwine.training.evaluation import inputs_of

    check_outputs({"--output": output}, overwrite)  # said before the work, not after it
    trained = opened(run, allow, which=which, device="cpu")
    if example is None:
        store = test_set(trained, data=data)
        graph = max((store[k] for k in range(min(len(store), 100))), key=lambda candidate: candidate.num_nodes)
    else:
        content = inputs.read(example, trained, None, None, last=True)
        last = content.structures[-1]
        graph = last if isinstance(last, Graph) else to_graph(last, inputs_of(trained.task), content.keys)
    inputs.say("tracing the model for any numbers of atoms and edges: ten seconds, up to a minute of large models")
    description = export_program(trained.task, output, graph)
    if as_json:
        console.emit(description)
        return
    rows = [[name, facts["dtype"], facts.get("unit", "")] for name, facts in description["inputs"].items()]
    rows += [[f"-> {name}", facts["level"], facts["unit"]] for name, facts in description["outputs"].items()]
    needed = (
        "import intertwine.operators before torch.export.load" if description["operators"] else "torch alone loads it"
    )
    console.table(str(output), ["tensor", "of", "unit"], rows, caption=needed)
