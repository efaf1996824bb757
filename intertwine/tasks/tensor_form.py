"""A task as a function of tensors: what is compiled whole, and exported to a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export
from torch.fx.experimental import _config
from torch.fx.experimental.proxy_tensor import make_fx

from intertwine.geometry import Graph, PlainGraph, check_shapes, collate
from intertwine.numerics import GeometryError
from intertwine.tasks.task import Task

COUNTS = "counts"  # (graphs,) nodes of each graph
READ = ("pos", "z", "vel", "frame", "charge", "x", "edge_index", "shifts", "edge_attr", "cell", "pbc")  # fields that models look at


class TensorForm(nn.Module):
    """A task that reads a dict of tensors and returns one, as ``torch.compile(form, fullgraph=True, dynamic=True)`` and exporters want it.

    The tensors are the fields of a connected graph by their names, edges among them, ``counts`` (graphs,), the number of nodes of each
    graph, and the lists of paths of models that have some: :meth:`inputs` makes them of any graph. Nodes of one graph stand together.
    Numbers of nodes, edges, graphs and paths may be any; precisions and the dimension of space are those of the example. Values are not
    checked, as they would be of a :class:`~intertwine.geometry.Graph`.

    Args:
        task: whose predictions are made; in evaluation mode, as the form is, they are detached.
        example: a graph, or a batch, with the fields that there will be. With a cell, open structures can be given too (their cell is
            zero), and a force field has a stress, NaN where there is none.

    Attributes:
        names: of the tensors, in their order.

    Raises:
        InputError, GeometryError: what the task can't take.

    >>> from intertwine import ForceField, Graph, SchNet
    >>> water = Graph([[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.0, -0.8, -0.5]], z=[8, 1, 1])
    >>> form = TensorForm(ForceField(SchNet(width=8, layers=1)), water)
    >>> form.names
    ('pos', 'z', 'edge_index', 'shifts', 'counts')
    >>> {name: tuple(x.shape) for name, x in form(form.inputs(water)).items()}
    {'energy': (1,), 'forces': (3, 3)}
    """

    def __init__(self, task: Task, example: Graph) -> None:
        super().__init__()
        self.task = task
        graph = task.backbone.connected(example)
        declared = {name: one if isinstance(one, str) else one[0] for name, one in (graph.get("representations") or {}).items()}
        labels = {output.label or name for name, output in task.outputs.items()} - set(READ)
        self.representations = {name: one for name, one in declared.items() if name not in labels}
        lists, wanted = task.backbone.LISTS, dict.fromkeys((*READ, *self.representations, *task.backbone.LISTS))
        self.dtypes = {name: graph[name].dtype for name in wanted if isinstance(graph.get(name), Tensor)} | {COUNTS: torch.int64}
        self.names = tuple(self.dtypes)
        self.axes = {name: lists.get(name, (int(name == "edge_index"),)) for name in self.names}
        self.eval()

    def inputs(self, graph: Graph) -> dict[str, Tensor]:
        """The tensors of a graph or a batch; edges and lists are made where it has none.

        Raises:
            GeometryError: it lacks a field that the form was made with, or has one of another shape.
        """
        if not isinstance(graph, PlainGraph):
            check_shapes(graph)
        membership = graph.membership()
        if bool((membership.diff() < 0).any()):
            raise GeometryError("nodes of one graph do not stand together", where="batch", remedy="sort the nodes by graph.")
        if "cell" in self.names and graph.get("cell") is None:  # an open structure is one whose cell repeats nowhere
            none = graph.pos.new_zeros(graph.graphs, 3, 3)
            graph = graph.replaced(cell=none, pbc=torch.zeros_like(none[:, 0], dtype=torch.bool))
        graph = self.task.backbone.connected(graph)
        found = graph.replaced(**{COUNTS: torch.bincount(membership, minlength=graph.graphs)})
        for name in self.names:
            if found.get(name) is None:
                raise GeometryError("the form reads it and the graph lacks it", where=name, remedy=f"give Graph(..., {name}=...).")
        return {name: found[name].to(dtype) for name, dtype in self.dtypes.items()}

    def forward(self, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Predictions by name, as of the task.

        Args:
            fields: tensors by name, those of ``names``.
        """
        counts = fields[COUNTS]
        nodes = torch.arange(fields["pos"].shape[0], device=counts.device)
        given: dict[str, Any] = {name: fields[name] for name in self.names if name != COUNTS}
        given["batch"] = torch.searchsorted(counts.cumsum(0), nodes, right=True)
        if self.representations:
            given["representations"] = self.representations
        return self.task(PlainGraph(given, counts.shape[0]))

    def exported(self, example: Graph) -> ExportedProgram:
        """The form as a program of ``torch.export``: a graph of operators and the weights, for any numbers of nodes, edges, graphs, paths.

        Derivatives are operators like the rest, so the program differentiates nothing; it can't be trained. Where the model has kernels
        of this library, the program calls them: ``import intertwine.operators`` before it is loaded.

        Args:
            example: a graph, or a batch, with two edges at least, and two of each path that the model goes along.

        Raises:
            GeometryError: the example is too small to tell what may be of any number.
        """
        inputs = self.inputs(example if example.graphs > 1 else collate([example, example]))
        for name, axes in self.axes.items():
            if small := [axis for axis in axes if inputs[name].shape[axis] < 2]:
                what = f"the example's {name} has shape {tuple(inputs[name].shape)}: a number below 2 on axis {small[0]}"
                raise GeometryError(what, where=name, remedy="give a larger example, of a few atoms within the cutoff.")
        with _config.patch(use_duck_shape=False):  # type: ignore[attr-defined]  # numbers that happen to be equal in the example are not the same number
            program = make_fx(lambda fields: self(fields), tracing_mode="symbolic", _allow_non_fake_inputs=True)(inputs)
        shapes = {name: dict.fromkeys(axes, Dim.DYNAMIC) for name, axes in self.axes.items()}
        return export(program, (inputs,), dynamic_shapes=(shapes,))
