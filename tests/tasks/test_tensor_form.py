"""Every model as a function of tensors: compiled as one graph, exported, and equal to eager on other sizes than those
of the trace.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from forms import OTHERS, TRACED, D, apart, expected, field, structure
from molecular import LOCAL, MODELS
from switches import as_users_run_it

from intertwine.geometry import Graph, PlainGraph, collate, plain
from intertwine.numerics import GeometryError, segment
from intertwine.tasks import Dynamics, ForceField, Property, TensorForm

# each model is compiled or exported, which trace the same function with the same open sizes; compiling takes 0.6 of the
# time, so few are exported: paths, tensor products, attention, frames, averages over frames, and plain messages
EXPORTED = ["dimenet", "mace", "eqgat", "local_frames", "faenet", "mpnn", "scalar_vector", "schnet"]
COMPILED = [f"compiled:{name}" for name in LOCAL if name not in EXPORTED]
SOME = ["single:nequip", "machine_code:nequip", "training_step:mace", "graph_itself:painn", "partly:dimenet"]
SOME += ["refusal:dimenet"]


@pytest.fixture(autouse=True)
def _as_users_run_it() -> Iterator[None]:
    with as_users_run_it():
        yield


@pytest.fixture(scope="module")
def ask() -> Iterator[Callable[[str], Any]]:
    """What compilers make of a model, from a process without the checks of annotations, which serves all tests here."""
    pipe = subprocess.PIPE
    program = [sys.executable, Path(__file__).with_name("forms.py")]
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, env=os.environ, text=True) as process:

        def answer(job: str) -> Any:
            print(job, file=process.stdin, flush=True)
            for line in process.stdout:
                if line.startswith("["):
                    name, result = json.loads(line)
                    assert name == job
                    return result
            return "the process has ended"

        yield answer
        process.stdin.close()


@pytest.mark.parametrize("job", COMPILED)
def test_compiled_whole(ask: Callable[[str], Any], job: str) -> None:
    """Without a break, once for all sizes but those of 0 and 1, which torch treats by themselves: an atom without
    edges.
    """
    assert isinstance(errors := ask(job), dict), errors
    assert errors.pop("graphs") == 1
    assert errors.keys() - {"atom"} == {"traced", "batch"}
    assert max(errors.values()) < 1e-10


@pytest.mark.parametrize("job", SOME)
def test_compiled_further(ask: Callable[[str], Any], job: str) -> None:
    """In single precision, to machine code, with a training step, given a Graph; and what is refused."""
    assert isinstance(errors := ask(job), dict), errors
    if job.startswith("refusal"):
        assert errors["named"] == 1
    else:
        assert max(errors.values()) < (1e-5 if job.startswith("single") else 1e-10)


@pytest.mark.parametrize("name", EXPORTED)
def test_exported(name: str) -> None:
    task = field(name)
    form = TensorForm(task, collate(TRACED))
    program = form.exported(collate(TRACED)).module()
    for graphs in (TRACED, *OTHERS.values()):
        inputs = form.inputs(collate(graphs) if len(graphs) > 1 else graphs[0])
        assert apart(program(inputs), expected(task, graphs)) < 1e-10


def test_exported_in_single_precision() -> None:
    task = field("painn", torch.float32)
    form = TensorForm(task, collate(TRACED))
    program = form.exported(collate(TRACED)).module()
    assert apart(program(form.inputs(collate(OTHERS["batch"]))), expected(task, OTHERS["batch"])) < 1e-5


@pytest.mark.parametrize("representation", ["0e", "1o"])
def test_properties(representation: str) -> None:
    torch.manual_seed(0)
    model = MODELS["painn"](width=8, layers=1, cutoff=3.0, species=(1, 6, 8))
    task = (
        Property(model, "mu", representation, readout="mean" if representation == "1o" else "set2set").double().eval()
    )
    graphs = collate([structure(5, 1), structure(4, 2)])
    form = TensorForm(task, graphs)
    assert form.names == ("pos", "z", "edge_index", "shifts", "counts")
    other = collate([structure(7, 3), structure(2, 4), structure(3, 5)])
    assert apart(form.exported(graphs).module()(form.inputs(other)), task(other)) < 1e-10


@pytest.mark.parametrize("readout", ["sum", "mean"])
def test_tensors(readout: str) -> None:
    torch.manual_seed(0)
    model = MODELS["nequip"](width=4, layers=1, lmax=2, cutoff=3.0, species=(1, 6, 8), outputs="0e+2e")
    task = Property(model, "polarizability", "ij=ji", readout=readout).double().eval()
    graphs = collate([structure(5, 1), structure(4, 2)])
    other = collate([structure(7, 3), structure(2, 4), structure(3, 5)])
    form = TensorForm(task, graphs)
    found = form.exported(graphs).module()(form.inputs(other))
    assert found["polarizability"].shape == (3, 3, 3)
    assert apart(found, task(other)) < 1e-10


def test_fields_of_ones_own() -> None:
    torch.manual_seed(0)
    inputs = {"node_inputs": {"soap": 4}, "edge_inputs": {"bond": 2}, "vector_inputs": {"push": 1}}
    task = Property(MODELS["painn"](width=8, layers=1, cutoff=3.0, species=(1, 6, 8), **inputs)).double().eval()

    def given(atoms: int, seed: int, **without: None) -> Graph:
        one = task.backbone.connected(structure(atoms, seed))
        fields = {
            "soap": torch.randn(atoms, 4, dtype=D),
            "bond": torch.randn(one.num_edges, 2, dtype=D),
            "push": torch.randn(atoms, 3, dtype=D),
        }
        said = {"representations": {"push": "1o"}, "levels": {"soap": "node", "bond": "edge"}}
        return Graph(one.pos, z=one.z, edge_index=one.edge_index, shifts=one.shifts, **said, **(fields | without))

    graphs, other = collate([given(5, 1), given(4, 2)]), collate([given(7, 3), given(6, 4), given(3, 5)])
    form = TensorForm(task, graphs)
    assert {"soap", "bond", "push"} < set(form.names)
    assert apart(form.exported(graphs).module()(form.inputs(other)), task(other)) < 1e-10
    with pytest.raises(GeometryError, match="soap: the form reads it"):
        TensorForm(task, given(5, 1, soap=None))


def test_points_of_space() -> None:
    class Field(ForceField):
        """With the distances of points to the centre of their graph."""

        reads = ("points",)

        def predict(self, graph: Graph) -> dict[str, torch.Tensor]:
            owner = graph.rows("points")
            centre = segment.mean(graph.pos, graph.membership(), graph.graphs)
            return super().predict(graph) | {"far": (graph.points - centre.index_select(0, owner)).norm(dim=1)}

    def given(atoms: int, seed: int, points: int) -> Graph:
        one = structure(atoms, seed)
        return Graph(one.pos, z=one.z, points=torch.randn(points, 3, dtype=D))

    task = Field(field("painn").backbone).double().eval()
    graphs, other = collate([given(5, 1, 3), given(4, 2, 4)]), collate([given(7, 3, 2), given(6, 4, 5), given(3, 5, 1)])
    form = TensorForm(task, graphs)
    assert apart(form(form.inputs(other)), task(other)) < 1e-10
    assert apart(form.exported(graphs).module()(form.inputs(other)), task(other)) < 1e-10
    with pytest.raises(GeometryError, match="points: the form was made"):
        TensorForm(task, structure(5, 1)).inputs(given(5, 1, 3))


def test_dynamics_of_particles_with_charges() -> None:
    torch.manual_seed(0)
    model = MODELS["egnn"](
        width=8, layers=1, species=(), velocity=True, node_inputs=("speed",), edge_inputs=("charge_product",)
    )
    task = Dynamics(model).double().eval()

    def particles(count: int) -> Graph:
        pos, vel, charge = torch.randn(count, 3, dtype=D), torch.randn(count, 3, dtype=D), torch.randn(count, dtype=D)
        return Graph(pos, vel=vel, charge=charge)

    form, other = TensorForm(task, particles(5)), particles(6)
    assert apart(form.exported(particles(4)).module()(form.inputs(other)), task(other)) < 1e-10


def test_what_is_refused() -> None:
    form = TensorForm(field("dimenet"), structure(5, 1, bulk=True))
    with pytest.raises(GeometryError, match="below 2 on axis"):
        form.exported(Graph(torch.zeros(1, 3, dtype=D), z=[6]))
    with pytest.raises(GeometryError, match="the form reads it"):
        form.inputs(Graph(torch.randn(4, 3, dtype=D)))
    with pytest.raises(GeometryError, match="do not stand together"):
        form.inputs(Graph(torch.randn(3, 3, dtype=D), z=[1, 6, 1], batch=torch.tensor([0, 1, 0])))


def test_nothing_is_dropped() -> None:
    """A cell that repeats changes the energy: a form made of open structures must not take it."""
    task, bulk = field("painn"), structure(5, 1, bulk=True)
    form = TensorForm(task, structure(5, 1))
    for one in (bulk, collate([structure(4, 2), bulk])):
        with pytest.raises(GeometryError, match="cell: the form was made of an example without cell"):
            form.inputs(one)
    edges = Graph(bulk.pos, z=bulk.z, edge_index=[[0, 1], [1, 0]], cell=bulk.cell, pbc=False)
    with pytest.raises(GeometryError, match="shifts: the form was made"):
        TensorForm(task, edges).inputs(bulk)
    cell = Graph(bulk.pos, z=bulk.z, cell=bulk.cell, pbc=False)  # which repeats nowhere
    assert apart(form(form.inputs(cell)), task(structure(5, 1))) < 1e-10
    bare = Graph(bulk.pos, z=bulk.z, edge_index=[[0, 1], [1, 0]])
    assert apart(form(form.inputs(bare)), task(bare)) < 1e-10
    tensors = form.inputs(structure(5, 1))
    del tensors["counts"]
    with pytest.raises(GeometryError, match="counts: no tensor"):
        form(tensors)


def test_a_plain_graph_is_copied_and_cast() -> None:
    graph = collate(TRACED)
    view = plain(graph)
    assert repr(view).startswith("PlainGraph(pos=[15, 3]")
    assert view.keys() == graph.keys()
    for one in (
        view.clone(),
        view.to("cpu"),
        view.double(),
        view.cpu(),
        copy.copy(view),
        copy.deepcopy(view),
        view.cast(torch.float32),
    ):
        assert isinstance(one, PlainGraph)
        assert (one.graphs, one.precision, one.keys()) == (4, one.pos.dtype, graph.keys())
    assert view.clone().pos.data_ptr() != view.pos.data_ptr()
    assert copy.deepcopy(view).pos.data_ptr() != view.pos.data_ptr()
    assert view.cast(torch.float32).pos.dtype == torch.float32
    assert view.in_precision(torch.float32).clone().precision == torch.float32
    connected = field("painn").backbone.connected(graph)
    assert "shifts" not in connected.without_edges()
    assert "shifts" in connected


def test_inference_mode() -> None:
    task, graph = field("painn"), structure(5, 1)
    form, wanted = TensorForm(task, graph), task(graph)
    with torch.inference_mode():
        assert apart(form(form.inputs(structure(5, 1))), wanted) < 1e-12
        assert apart(task(task.backbone.connected(structure(5, 1))), wanted) < 1e-12


def test_a_plain_graph_reads_as_a_graph_does() -> None:
    graph = collate(TRACED)
    view = plain(graph)
    assert isinstance(view, PlainGraph)
    assert plain(view) is view
    assert (view.num_nodes, view.graphs, view.dimension, view.precision) == (graph.num_nodes, 4, 3, D)
    assert torch.equal(view.membership(), graph.membership())
    assert torch.equal(plain(structure(2, 1)).membership(), torch.zeros(2, dtype=torch.int64))
    assert "cell" in view
    assert view.in_precision(torch.float32).precision == torch.float32
    assert view.in_precision(torch.float32).pos.dtype == D
    assert view.replaced(z=view.z + 1).z is not view.z
    with pytest.raises(AttributeError):
        view.nothing  # noqa: B018
    with pytest.raises(TypeError, match="can't be written"):
        view.pos = view.pos
