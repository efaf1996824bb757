"""Every model as a function of tensors: compiled as one graph, exported, and equal to eager on other sizes than those of the trace."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from switches import as_users_run_it
from torch import Tensor

from intertwine.geometry import Graph, PlainGraph, collate, plain
from intertwine.models import MODELS
from intertwine.numerics import GeometryError
from intertwine.tasks import Dynamics, ForceField, Property, TensorForm

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
}


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    torch._dynamo.reset()
    with as_users_run_it():
        yield
    torch._dynamo.reset()


def structure(atoms: int, seed: int, bulk: bool = False) -> Graph:
    """Atoms at random, some within the cutoff of each other; in a cell that an atom sees its own images in."""
    generator = torch.Generator().manual_seed(seed)
    side = 1.6 * atoms ** (1 / 3)
    pos = side * torch.rand(atoms, 3, generator=generator, dtype=D)
    z = torch.tensor([1, 6, 8])[torch.randint(3, (atoms,), generator=generator)]
    return Graph(pos, z=z, **({"cell": max(side, 2.9) * torch.eye(3, dtype=D), "pbc": True} if bulk else {}))


TRACED = [structure(6, 1, bulk=True), structure(4, 2)]
OTHERS = {
    "batch": [structure(3, 3, bulk=True), structure(7, 4), structure(2, 5, bulk=True)],
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
        torch.testing.assert_close(found[name], one, rtol=tolerance, atol=tolerance * max(scale, 1e-2), equal_nan=True, msg=name)


@pytest.mark.parametrize("name", MODELS)
def test_compiled_whole(name: str) -> None:
    """One graph for all sizes: without a break, and without being compiled again but for sizes of 0 and 1, which torch treats by themselves."""
    task, calls = field(name), []

    def backend(graph: torch.fx.GraphModule, example: Any) -> Any:
        calls.append(graph)
        return graph

    form = TensorForm(task, collate(TRACED))
    compiled = torch.compile(form, fullgraph=True, dynamic=True, backend=backend)
    for graphs in (TRACED, OTHERS["batch"]):
        same(compiled(form.inputs(collate(graphs))), expected(task, graphs), 1e-10)
    assert len(calls) == 1
    same(compiled(form.inputs(OTHERS["atom"][0])), expected(task, OTHERS["atom"]), 1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_exported(name: str) -> None:
    task = field(name)
    form = TensorForm(task, collate(TRACED))
    program = form.exported(collate(TRACED)).module()
    for graphs in (TRACED, *OTHERS.values()):
        inputs = form.inputs(collate(graphs) if len(graphs) > 1 else graphs[0])
        same(program(inputs), expected(task, graphs), 1e-10)


@pytest.mark.parametrize("name", ["painn", "nequip", "gemnet"])
def test_single_precision(name: str) -> None:
    task = field(name, torch.float32)
    form = TensorForm(task, collate(TRACED))
    compiled = torch.compile(form, fullgraph=True, dynamic=True, backend="eager")
    program = form.exported(collate(TRACED)).module()
    inputs, wanted = form.inputs(collate(OTHERS["batch"])), expected(task, OTHERS["batch"])
    same(compiled(inputs), wanted, 1e-5)
    same(program(inputs), wanted, 1e-5)


@pytest.mark.parametrize("name", ["schnet", "nequip"])
def test_machine_code(name: str) -> None:
    task = field(name)
    form = TensorForm(task, collate(TRACED))
    compiled = torch.compile(form, fullgraph=True, dynamic=True)
    for graphs in (TRACED, OTHERS["batch"]):
        same(compiled(form.inputs(collate(graphs))), expected(task, graphs), 1e-10)


@pytest.mark.parametrize("name", ["painn", "mace"])
def test_a_training_step_of_a_compiled_force_field(name: str) -> None:
    """Gradients of a loss on energies and forces to all weights: derivatives of second order."""
    task = field(name).train()
    graph = plain(task.backbone.connected(collate(OTHERS["batch"])))
    found = []
    for forward in (task, torch.compile(task, fullgraph=True, dynamic=True, backend="aot_eager")):
        task.zero_grad()
        prediction = forward(graph)
        (prediction["forces"].square().sum() + prediction["energy"].sum()).backward()
        found.append({key: weight.grad for key, weight in task.named_parameters() if weight.grad is not None})
    same(found[1], found[0], 1e-10)


def test_a_graph_is_compiled_as_it_is() -> None:
    task = field("painn")
    graph = task.backbone.connected(structure(5, 1))
    compiled = torch.compile(task, fullgraph=True, dynamic=True, backend="eager")
    same(compiled(graph), task(graph), 1e-12)
    batch = collate([Graph(**{name: one.pos if name == "pos" else one[name] for name in ("pos", "z")}) for one in OTHERS["batch"]])
    whole = Graph(batch.pos, z=batch.z, edge_index=graph.edge_index[:, :4], shifts=graph.shifts[:4])
    same(compiled(whole), task(whole), 1e-12)


@pytest.mark.parametrize("representation", ["0e", "1o"])
def test_properties(representation: str) -> None:
    torch.manual_seed(0)
    model = MODELS["painn"](width=8, layers=1, cutoff=3.0, species=(1, 6, 8))
    task = Property(model, "mu", representation, readout="mean" if representation == "1o" else "set2set").double().eval()
    graphs = [structure(5, 1), structure(4, 2)]
    form = TensorForm(task, collate(graphs))
    assert form.names == ("pos", "z", "edge_index", "shifts", "counts")
    program = form.exported(collate(graphs)).module()
    other = collate([structure(7, 3), structure(2, 4), structure(3, 5)])
    same(program(form.inputs(other)), task(other), 1e-10)


def test_dynamics_of_particles_with_charges() -> None:
    torch.manual_seed(0)
    model = MODELS["egnn"](width=8, layers=1, species=(), velocity=True, node_inputs=("speed",), edge_inputs=("charge_product",))
    task = Dynamics(model).double().eval()

    def particles(count: int) -> Graph:
        pos, vel, charge = torch.randn(count, 3, dtype=D), torch.randn(count, 3, dtype=D), torch.randn(count, dtype=D)
        return Graph(pos, vel=vel, charge=charge)

    form = TensorForm(task, collate([particles(5), particles(5)]))
    program = form.exported(particles(4)).module()
    other = particles(6)
    same(program(form.inputs(other)), task(other), 1e-10)


def test_what_is_refused() -> None:
    form = TensorForm(field("dimenet"), structure(5, 1, bulk=True))
    with pytest.raises(GeometryError, match="2 on axis"):
        form.exported(Graph(torch.zeros(1, 3, dtype=D), z=[6]))
    lonely = structure(4, 1, bulk=True)
    del lonely.z
    with pytest.raises(GeometryError, match="the form reads it"):
        form.inputs(lonely)
    mixed = Graph(torch.randn(3, 3, dtype=D), z=[1, 6, 1], batch=[0, 1, 0])
    with pytest.raises(GeometryError, match="do not stand together"):
        form.inputs(mixed)
    compiled = torch.compile(field("dimenet"), fullgraph=True, dynamic=True, backend="eager")
    with pytest.raises(Exception, match="paths can't be listed inside of a compiled program"):
        compiled(structure(5, 1).replaced(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))


def test_a_plain_graph_reads_as_a_graph_does() -> None:
    graph = collate(TRACED)
    view = plain(graph)
    assert isinstance(view, PlainGraph)
    assert plain(view) is view
    assert (view.num_nodes, view.graphs, view.dimension, view.precision) == (graph.num_nodes, 2, 3, D)
    assert torch.equal(view.membership(), graph.membership())
    assert "cell" in view
    assert view.in_precision(torch.float32).precision == torch.float32
    assert view.in_precision(torch.float32).pos.dtype == D
    assert view.replaced(z=view.z + 1).z is not view.z
    with pytest.raises(AttributeError):
        view.nothing  # noqa: B018
    with pytest.raises(TypeError, match="can't be written"):
        view.pos = view.pos
