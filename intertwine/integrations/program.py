"""A trained task as a file that torch alone reads: tensors in, tensors out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from intertwine.geometry import Graph
from intertwine.numerics import InputError, replacing
from intertwine.tasks import Task, TensorForm

DESCRIPTION = "intertwine.json"  # its name in the file
UNITS = {"pos": "A", "cell": "A", "shifts": "rows of the cell", "charge": "e"}  # of inputs, where nodes are atoms


def export_program(task: Task, path: Path, example: Graph) -> dict[str, Any]:
    """Write a task as a program of ``torch.export`` (.pt2), with a description; the file is there whole or not at all.

    It is read, in a process that need not know how the model was built, by::

        import torch, intertwine.operators
        description = {"intertwine.json": ""}
        program = torch.export.load("model.pt2", extra_files=description).module()
        program({"pos": pos, "z": z, "edge_index": edges, "shifts": shifts, "counts": counts})

    The second import registers the kernels with torch; a program whose description says ``"operators": []`` needs only
    torch. The tensors are those of :class:`~intertwine.tasks.TensorForm`; edges are all pairs within the cutoff, from
    source to destination.

    Args:
        task: trained, in any precision.
        path: the file.
        example: a graph with the fields that there will be, as in :meth:`TensorForm.exported`.

    Returns:
        The description: ``inputs``, their precisions, the axes of ``any`` length and of atoms their units; ``outputs``,
        their units and levels; the ``cutoff`` (A); the ``species`` known (None for all); the ``operators`` of this
        library that are called.

    Raises:
        InputError: the file's name does not end in .pt2.
        GeometryError, CheckpointError: the example is too small; the file can't be written.
    """
    path = Path(path)
    if path.suffix != ".pt2":
        raise InputError(
            f"{path.name} is no .pt2 file", where="path", remedy="programs of torch.export are: model.pt2."
        )
    form = TensorForm(task, example)
    program = form.exported(example)
    table = getattr(getattr(task.backbone, "embedding", None), "table", None)
    called = {str(node.target) for node in program.graph.nodes if str(node.target).startswith("intertwine.")}
    description = {
        "inputs": {
            name: {"dtype": str(dtype).removeprefix("torch."), "any": list(form.axes[name])}
            | ({"unit": UNITS[name]} if name in UNITS and "z" in form.names else {})
            for name, dtype in form.dtypes.items()
        },
        "outputs": {name: {"unit": output.unit, "level": output.level} for name, output in task.outputs.items()},
        "cutoff": task.cutoff,
        "species": None if table is None else table.known,
        "operators": sorted(called),
        "torch": torch.__version__,
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.export.save(program, file, extra_files={DESCRIPTION: json.dumps(description, indent=1)})
    return description
