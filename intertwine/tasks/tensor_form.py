"""A task as a function of tensors: what is compiled whole, and exported to a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export
from torch.fx.experimental import _config
from torch.fx.experimental.proxy_tensor import make_fx

from intertwine.geometry import EDGE_INVARIANTS, Graph, PlainGraph, check_shapes, collate, pair_list
from intertwine.geometry.batching import SAID
from intertwine.geometry.plain import OWNERS
from intertwine.numerics import GeometryError
from intertwine.tasks.task import Task

COUNTS = "counts"  # (graphs,) nodes of each graph
# fields that models look at
READ = ("pos", "z", "vel", "frame", "charge", "x", "edge_index", "shifts", "edge_attr", "cell", "pbc")
LISTED = ("pairs", "points", OWNERS)  # what rows of labels are of


class TensorForm(nn.Module):
    """A task that reads a dict of tensors and returns one, as ``torch.compile(form, fullgraph=True, dynamic=True)`` and
    exporters want it.

    The tensors are the fields of a connected graph by their names, edges among them, ``counts`` (graphs,), the number
    of nodes of each graph, and the lists of paths of models that have some: :meth:`inputs` makes them of any graph.
    Nodes of one graph stand together. Numbers of nodes, edges, graphs and paths may be any; precisions and the
    dimension of space are those of the example. Values are not checked, as they would be of a
    :class:`~intertwine.geometry.Graph`.

    Args:
        task: whose predictions are made; in evaluation mode, as the form is, they are detached.
        example: a graph, or a batch, with the fields that there will be. With a cell, open structures can be given too
            (their cell is zero), and a force field has a stress, NaN where there is none.

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
        graph, backbone = self._connected(example), task.backbone
        inputs = [getattr(backbone, f"{kind}_inputs", {}) for kind in ("node", "edge", "vector")]
        edges = [name for name in inputs[1] if name not in EDGE_INVARIANTS or inputs[1][name] > 1]
        self.needed = tuple(dict.fromkeys((*backbone.rows(example.dimension), *edges)))
        levels = {
            key: {
                name: declared if isinstance(declared, str) else declared[0]
                for name, declared in (graph.get(key) or {}).items()
            }
            for key in SAID
        }
        read = dict.fromkeys((*READ, *self.needed, *task.reads, *LISTED))
        labels = {output.label or name for name, output in task.outputs.items()} - set(read)
        said = {name for name in levels["representations"] if name not in labels}
        lists, wanted = backbone.LISTS, dict.fromkeys((*read, *sorted(said), *backbone.LISTS))
        self._lacks(graph, self.needed)
        self.dtypes = {name: graph[name].dtype for name in wanted if isinstance(graph.get(name), Tensor)} | {
            COUNTS: torch.int64
        }
        self.names = tuple(self.dtypes)
        self.said = {
            key: {name: declared for name, declared in ones.items() if name in self.names}
            for key, ones in levels.items()
        }
        self.axes = {name: lists.get(name, (int(name == "edge_index"),)) for name in self.names}
        self.shapes = {name: self._fixed(name, graph[name]) for name in self.names if name != COUNTS}
        self.eval()

    def inputs(self, graph: Graph) -> dict[str, Tensor]:
        """The tensors of a graph or a batch; edges and lists are made where it has none.

        Raises:
            GeometryError: it lacks a field that the form was made with, has one of another shape, or one that the task
                reads and that the form was made without: a cell that repeats, for example.
        """
        if not isinstance(graph, PlainGraph):
            check_shapes(graph)
        membership = graph.membership()
        if bool((membership.diff() < 0).any()):
            raise GeometryError(
                "nodes of one graph do not stand together", where="batch", remedy="sort the nodes by graph."
            )
        if "cell" in self.names and graph.get("cell") is None:  # an open structure is one whose cell repeats nowhere
            none = graph.pos.new_zeros(graph.graphs, 3, 3)
            graph = graph.replaced(cell=none, pbc=torch.zeros_like(none[:, 0], dtype=torch.bool))
        graph = self._connected(graph)
        if "shifts" in self.names and graph.get("shifts") is None and not _repeats(graph):
            graph = graph.replaced(shifts=graph.edge_index.new_zeros(graph.num_edges, 3))
        self._dropped(graph)
        counted = graph.replaced(**{COUNTS: torch.bincount(membership, minlength=graph.graphs)})
        self._lacks(counted, self.names)
        for name, shape in self.shapes.items():
            if self._fixed(name, counted[name]) != shape:
                what = f"shape {tuple(counted[name].shape)}, and the example's rows have shape {shape}"
                raise GeometryError(
                    what, where=name, remedy="give rows like the example's, or make the form with another example."
                )
        return {name: counted[name].to(dtype) for name, dtype in self.dtypes.items()}

    def _connected(self, graph: Graph) -> PlainGraph:
        """With all lists whose lengths depend on the data, pairs among them where predictions are of pairs."""
        graph = self.task.backbone.connected(graph)
        paired = "pairs" in self.task.reads or any(output.level == "pair" for output in self.task.outputs.values())
        return graph.replaced(pairs=pair_list(graph)) if paired else graph

    def _fixed(self, name: str, value: Tensor) -> tuple[int, ...]:
        """The lengths that do not depend on the data."""
        return tuple(length for axis, length in enumerate(value.shape) if axis not in self.axes[name])

    def _lacks(self, graph: Graph, names: Iterable[str]) -> None:
        for name in names:
            if graph.get(name) is None:
                raise GeometryError(
                    "the form reads it and the graph lacks it", where=name, remedy=f"give Graph(..., {name}=...)."
                )

    def _dropped(self, graph: PlainGraph) -> None:
        """Raise an error where the graph has what the task would look at, and the form was made without."""
        levels = {output.level for output in self.task.outputs.values()}
        listed = [name for name, level in (("points", "point"), (OWNERS, "point")) if level in levels]
        dropped = [
            name
            for name in (*self.needed, *self.task.reads, *listed)
            if name not in self.names and graph.get(name) is not None
        ]
        if _repeats(graph):
            dropped += [name for name in ("cell", "shifts") if name not in self.names]
        if dropped:
            what = f"the form was made of an example without {dropped[0]}, and this graph has it"
            remedy = "make the form with an example that has it: TensorForm(task, this graph), or a batch with it."
            raise GeometryError(what, where=dropped[0], remedy=remedy)

    def forward(self, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Predictions by name, as of the task.

        Args:
            fields: tensors by name, those of ``names``.

        Raises:
            GeometryError: one is missing.
        """
        for name in self.names:
            if name not in fields:
                raise GeometryError(
                    "no tensor of that name is given", where=name, remedy=f"give all of {', '.join(self.names)}."
                )
        counts = fields[COUNTS]
        nodes = torch.arange(fields["pos"].shape[0], device=counts.device)
        values: dict[str, Any] = {name: fields[name] for name in self.names if name != COUNTS}
        values["batch"] = torch.searchsorted(counts.cumsum(0), nodes, right=True)
        values |= {key: ones for key, ones in self.said.items() if ones}
        return self.task(PlainGraph(values, counts.shape[0]))

    def exported(self, example: Graph) -> ExportedProgram:
        """The form as a program of ``torch.export``: a graph of operators and the weights, for any numbers of nodes,
        edges, graphs, paths.

        Derivatives are operators like the rest, so the program differentiates nothing; it can't be trained. Where the
        model has kernels of this library, the program calls them: ``import intertwine.operators`` before it is loaded.

        Args:
            example: a graph, or a batch, with two edges at least, and two of each path that the model goes along.

        Raises:
            GeometryError: the example is too small to tell what may be of any number.
        """
        inputs = self.inputs(example if example.graphs > 1 else collate([example, example]))
        for name, axes in self.axes.items():
            if small := [axis for axis in axes if inputs[name].shape[axis] < 2]:
                what = (
                    f"the example's {name} has shape {tuple(inputs[name].shape)}: a number below 2 on axis {small[0]}"
                )
                raise GeometryError(what, where=name, remedy="give a larger example, of a few atoms within the cutoff.")
        # numbers that happen to be equal in the example are not the same number
        with _config.patch(use_duck_shape=False):  # type: ignore[attr-defined]
            program = make_fx(lambda fields: self(fields), tracing_mode="symbolic", _allow_non_fake_inputs=True)(inputs)
        shapes = {name: dict.fromkeys(axes, Dim.DYNAMIC) for name, axes in self.axes.items()}
        return export(program, (inputs,), dynamic_shapes=(shapes,))


def _repeats(graph: Graph) -> bool:
    """Whether space repeats, or edges say that it does."""
    return any(graph.get(name) is not None and bool(graph[name].any()) for name in ("pbc", "shifts"))
