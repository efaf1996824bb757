"""What torch.compile makes of every model: graphs, seconds to compile, and milliseconds for energies and forces.

    python benchmarks/compile.py [MODEL ...] [--atoms 60] [--json FILE]

One structure of atoms at random (a density of 0.08 atoms per cubic A) in float32, on one thread. The time is the least
of ten calls.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from intertwine.geometry import Graph
from intertwine.models import MODELS
from intertwine.tasks import ForceField, TensorForm


def structure(atoms: int) -> Graph:
    side = (atoms / 0.08) ** (1 / 3)
    generator = torch.Generator().manual_seed(0)
    pos = side * torch.rand(atoms, 3, generator=generator)
    return Graph(
        pos, z=torch.tensor([1, 6, 8])[torch.randint(3, (atoms,), generator=generator)], cell=side * torch.eye(3)
    )


def milliseconds(function: Callable[[], Any]) -> float:
    times = []
    for _ in range(10):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def measured(name: str, atoms: int) -> dict[str, Any]:
    """Graphs of dynamo for two sizes (1: without a break, and not compiled again), and times."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    task = ForceField(MODELS[name](**MODELS[name].PRESETS["small"] | {"species": (1, 6, 8)})).eval()
    graph = structure(atoms)
    form = TensorForm(task, graph)
    inputs, graphs = form.inputs(graph), []

    def backend(module: torch.fx.GraphModule, example: Any) -> Any:
        graphs.append(module)
        return torch._inductor.compile(module, example)

    compiled = torch.compile(form, fullgraph=True, dynamic=True, backend=backend)
    start = time.perf_counter()
    compiled(inputs)
    seconds = time.perf_counter() - start
    compiled(form.inputs(structure(atoms + 7)))
    return {
        "graphs": len(graphs),
        "compile s": seconds,
        "eager ms": milliseconds(lambda: form(inputs)),
        "compiled ms": milliseconds(lambda: compiled(inputs)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--atoms", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, dict[str, Any]] = {}
    print(f"{'model':28}{'graphs':>8}{'compile s':>12}{'eager ms':>12}{'compiled ms':>14}")
    for name in options.models:
        rows[name] = row = measured(name, options.atoms)
        print(
            f"{name:28}{row['graphs']:>8}{row['compile s']:>12.1f}{row['eager ms']:>12.2f}{row['compiled ms']:>14.2f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
