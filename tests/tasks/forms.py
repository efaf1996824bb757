"""Small force fields of all models, structures to trace them on, and others; as a program: what torch makes of them,
compiled whole, for each line of standard input.

The checks of annotations that the tests run with can't be compiled, so the compiler is tried in a process without them.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from intertwine.geometry import Graph, collate
from intertwine.models import MODELS
from intertwine.tasks import ForceField, TensorForm

D = torch.float64
SIZES: dict[str, dict[str, Any]] = {
    "cormorant": {"width": 2},
    "dimenet": {"width": 8, "triplet_width": 4, "output_width": 8, "degrees": 3, "radial_size": 3},
    "egnn": {"width": 8},
    "esen": {"width": 4, "lmax": 1, "mmax": 1},
    "gemnet": {
        "width": 8,
        "triplet_width": 4,
        "quadruplet_width": 4,
        "basis_width": 4,
        "degrees": 3,
        "torsion_degrees": 2,
        "radial_size": 3,
        "interaction_cutoff": 2.4,
    },
    "mace": {"width": 2, "lmax": 1, "correlation": 2},
    "nequip": {"radial_knots": 64},
}


def structure(atoms: int, seed: int, bulk: bool = False) -> Graph:
    """Atoms at random, some within the cutoff of each other; in a cell that an atom sees its own images in."""
    generator = torch.Generator().manual_seed(seed)
    side = 1.6 * atoms ** (1 / 3)
    pos = side * torch.rand(atoms, 3, generator=generator, dtype=D)
    z = torch.tensor([1, 6, 8])[torch.randint(3, (atoms,), generator=generator)]
    return Graph(pos, z=z, **({"cell": max(side, 2.9) * torch.eye(3, dtype=D), "pbc": True} if bulk else {}))


# more of them than any axis of 2 or 3 numbers
TRACED = [structure(6, 1, bulk=True), structure(4, 2), structure(2, 7), structure(3, 8)]
OTHERS = {
    "batch": [
        structure(3, 3, bulk=True),
        structure(7, 4),
        structure(2, 5, bulk=True),
        structure(4, 6),
        structure(5, 7),
    ],
    "crystal": [structure(2, 6, bulk=True)],
    "atom": [Graph(torch.zeros(1, 3, dtype=D), z=[6])],  # and no edge
}


def field(name: str, dtype: torch.dtype = D) -> ForceField:
    torch.manual_seed(0)
    options = {"layers": 1, "cutoff": 3.0, "species": (1, 6, 8)} | SIZES.get(name, {})
    task = ForceField(MODELS[name](**MODELS[name].PRESETS["small"] | options)).to(dtype).eval()
    task.references.values[:9] = -torch.arange(9.0, dtype=D)
    return task


def expected(task: ForceField, graphs: list[Graph]) -> dict[str, Tensor]:
    """Eager predictions, with the stress of a crystal that stands beside, and which is left out."""
    found = task(collate([*graphs, structure(2, 9, bulk=True)]))
    return {name: value[:-2] if name == "forces" else value[:-1] for name, value in found.items()}


def same(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name, one in wanted.items():
        scale = float(one.nan_to_num().abs().amax()) if one.numel() else 1.0
        torch.testing.assert_close(
            found[name], one, rtol=tolerance, atol=tolerance * max(scale, 1e-2), equal_nan=True, msg=name
        )


def apart(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """The largest difference, relative to the largest number; NaN must be where NaN is."""
    assert found.keys() == wanted.keys()
    most = 0.0
    for name, one in wanted.items():
        assert torch.equal(found[name].isnan(), one.isnan()), name
        scale = max(float(one.nan_to_num().abs().amax()), 1e-2) if one.numel() else 1.0
        most = max(most, float((found[name] - one).nan_to_num().abs().amax()) / scale if one.numel() else 0.0)
    return most


def compiled(name: str) -> dict[str, float]:
    """One graph for all sizes, without a break: the errors on three of them, and how many graphs were made for the
    first two.
    """
    task, graphs = field(name), []

    def backend(graph: torch.fx.GraphModule, example: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph

    form = TensorForm(task, collate(TRACED))
    program = torch.compile(form, fullgraph=True, dynamic=True, backend=backend)
    result = {
        key: apart(program(form.inputs(collate(one))), expected(task, one))
        for key, one in (("traced", TRACED), ("batch", OTHERS["batch"]))
    }
    result["graphs"] = len(graphs)
    # compiled anew, as sizes of 0 and 1 are: some of each kind will do
    if name in ("nequip", "gemnet"):
        result["atom"] = apart(program(form.inputs(OTHERS["atom"][0])), expected(task, OTHERS["atom"]))
    return result


def single(name: str) -> dict[str, float]:
    task = field(name, torch.float32)
    form = TensorForm(task, collate(TRACED))
    program = torch.compile(form, fullgraph=True, dynamic=True, backend="eager")
    return {"batch": apart(program(form.inputs(collate(OTHERS["batch"]))), expected(task, OTHERS["batch"]))}


def machine_code(name: str) -> dict[str, float]:
    """By inductor, as scalar code, which differs from vector code in nothing of ours and is made in three quarters of
    the time.
    """
    task = field(name)
    form = TensorForm(task, collate(TRACED))
    program = torch.compile(form, fullgraph=True, dynamic=True, options={"cpp.simdlen": 1})
    return {
        str(k): apart(program(form.inputs(collate(one))), expected(task, one))
        for k, one in enumerate((TRACED, OTHERS["batch"]))
    }


def training_step(name: str) -> dict[str, float]:
    """Gradients of a loss on energies and forces to all weights: derivatives of second order."""
    task, found = field(name).train(), []
    graph = task.backbone.connected(collate(OTHERS["batch"]))
    for forward in (task, torch.compile(task, fullgraph=True, dynamic=True, backend="aot_eager")):
        task.zero_grad()
        prediction = forward(graph)
        (prediction["forces"].square().sum() + prediction["energy"].sum()).backward()
        found.append({key: torch.zeros_like(w) if w.grad is None else w.grad for key, w in task.named_parameters()})
    assert sum(bool(one.any()) for one in found[0].values()) > len(found[0]) / 2
    return {"gradients": apart(found[1], found[0])}


def graph_itself(name: str) -> dict[str, float]:
    """A Graph goes into a compiled task as it is, edges within."""
    task = field(name)
    program = torch.compile(task, fullgraph=True, dynamic=True, backend="eager")
    found = {}
    for atoms in (5, 8):
        graph = structure(atoms, atoms)
        edges = task.backbone.connected(graph)
        graph = Graph(graph.pos, z=graph.z, edge_index=edges.edge_index, shifts=edges.shifts)
        found[str(atoms)] = apart(program(graph), task(graph))
    return found


def partly(name: str) -> dict[str, float]:
    """A compiler that may break its graph lists the paths by itself."""
    task, graph = field(name), structure(5, 1)
    edges = task.backbone.connected(graph)
    graph = Graph(graph.pos, z=graph.z, edge_index=edges.edge_index, shifts=edges.shifts)
    return {"values": apart(torch.compile(task, backend="eager")(graph), task(graph))}


def refusal(name: str) -> dict[str, float]:
    """What a compiler says of a model that would have to list paths."""
    graph = Graph(structure(5, 1).pos, z=[1, 6, 8, 1, 1], edge_index=[[0, 1, 1, 2], [1, 0, 2, 1]])
    try:
        torch.compile(field(name), fullgraph=True, dynamic=True, backend="eager")(graph)
    except Exception as error:
        return {"named": float("a compiled program can't list paths" in str(error))}
    return {"named": 0.0}


if __name__ == "__main__":
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # tracing makes objects by the million
    for job in map(str.strip, sys.stdin):
        kind, name = job.split(":")
        torch._dynamo.reset()
        try:
            print(json.dumps([job, globals()[kind](name)]), flush=True)
        except Exception as error:
            print(json.dumps([job, f"{type(error).__name__}: {error}"[:2000]]), flush=True)
