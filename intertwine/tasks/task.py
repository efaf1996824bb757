"""A task: a backbone, a head, a loss, and the way to score."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from intertwine.geometry import Graph, Graphs
from intertwine.groups import Representation
from intertwine.nn import Backbone
from intertwine.numerics import DataError, InputError, choose, safe


class Output(NamedTuple):
    """What one predicted quantity is.

    ``representation``: how it transforms; ``level``: "node" or "graph"; ``unit``; ``affine``: whether it is a point of space,
    which translations move too; ``label``: the field of the data that holds the truth, by default of the output's own name;
    ``per_atom``: whether it is drawn and compared divided by the number of atoms.
    """

    representation: Representation
    level: str
    unit: str
    affine: bool = False
    label: str = ""
    per_atom: bool = False


class Metric(NamedTuple):
    """How errors of a target are printed: ``unit``, and ``factor`` from the residual's own unit to it."""

    unit: str
    factor: float = 1.0


class Pace(NamedTuple):
    """Batch size, rate and length of training that suit a task on a processor, for minutes to hours.

    ``batch_size``: graphs; ``learning_rate``: the largest, for a model whose own factor is 1; ``steps``: of the optimizer in all, from
    which the epochs follow, between ``least`` and ``most``.
    """

    batch_size: int
    learning_rate: float
    steps: int
    least: int
    most: int

    def options(self, graphs: int, rate: float) -> dict[str, Any]:
        """The options of the training: of so many graphs, with a model whose rate is so many times the usual."""
        epochs = round(self.steps / max(1, graphs / self.batch_size))
        return {
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate * rate,
            "epochs": min(max(epochs, self.least), self.most),
        }


#: What a task takes from the data: arguments of the task, of the model (those that it has), and options of the training.
Suggestion = dict[str, dict[str, Any]]
FLAT = "egnn"  # the architecture that lives in any dimension

LOSSES = {
    "l2": lambda r: (r * r).sum(),
    "l1": lambda r: r.abs().sum(),
    "huber": lambda r: nn.functional.huber_loss(r, torch.zeros_like(r), reduction="sum", delta=1.0),
}


class Task(nn.Module):
    """Base of the tasks. A subclass sets ``name``, ``outputs``, ``metrics`` and ``weights`` and defines ``predict``, ``residuals``.

    It says of itself what data it is for (``suits``), what they suggest (``suggest``), and at which ``pace`` and with which ``model`` it is
    learned.

    Attributes:
        name: the name that the command line uses.
        model: the architecture that learns it where the user names none.
        pace: how long, and in what steps.
        uses: commands that a trained run is good for.
        reads: fields of a graph that the task itself reads, besides what its model does.
        trials: what a certificate tries it on besides the test set: "molecules" or "particles".
        outputs: what ``forward`` returns, by name.
        metrics: how the errors of each target are printed.
        weights: weight of each target in the loss.
        loss: "l2", "l1" or "huber", of the residual in units of the target's ``scale``.
    """

    name: ClassVar[str]
    model: ClassVar[str] = "painn"
    pace: ClassVar[Pace] = Pace(batch_size=32, learning_rate=1e-3, steps=60_000, least=20, most=300)
    uses: ClassVar[tuple[str, ...]] = ("evaluate", "predict", "certify")
    reads: ClassVar[tuple[str, ...]] = ()
    trials: ClassVar[str] = "molecules"
    outputs: dict[str, Output]
    metrics: dict[str, Metric]
    weights: dict[str, float]

    def __init__(self, backbone: Backbone, loss: str = "l2") -> None:
        super().__init__()
        self.backbone = backbone
        self.loss = choose(loss, LOSSES, kind="loss", where="loss")

    @classmethod
    def suits(cls, data: Graphs, target: str | None) -> bool:
        """Whether the labels of the data, and the target if one is named, ask for this task; the first in ``TASKS`` that does is taken."""
        return False

    @classmethod
    def default_model(cls, data: Graphs) -> str:
        """The architecture to learn these data with, where the user names none."""
        return cls.model if data.fields["pos"].shape[-1] == 3 else FLAT

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone]) -> Suggestion:
        """What the training set says about task, model and training, where the user does not.

        Args:
            data: the training set.
            target: the label that the user, or the data set, names.
            model: the architecture; arguments that it does not have are left out.

        Raises:
            InputError: the data are not for this task.
        """
        return {}

    def labels(self, fields: Iterable[str]) -> list[str]:
        """The labels that it learns from, of those that the data have; one that it can't do without is named in any case."""
        have = set(fields)
        return [output.label or name for name, output in self.outputs.items() if (output.label or name) in have]

    @property
    def cutoff(self) -> float | None:
        """Radius of interaction (A) of the backbone; None where all pairs interact."""
        return self.backbone.cutoff

    @property
    def dtype(self) -> torch.dtype:
        """Precision that the network computes in."""
        return next(self.backbone.parameters()).dtype

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        """Predictions by name; differentiable in training mode, detached in evaluation mode.

        Args:
            graph: one graph or a batch, of any precision, with or without edges. Predictions have the network's precision, points of
                space that of the positions.

        Under ``torch.inference_mode`` they are the same: what needs derivatives takes them outside of it.

        Raises:
            InputError: the weights were made under ``torch.inference_mode``, so that no derivative can be taken.
            GeometryError, DataError: what the backbone can't take.
        """
        if torch.compiler.is_compiling():
            graph = self.backbone.connected(graph)  # before derivatives are taken: a compiler may have to stop for it
        elif torch.is_inference_mode_enabled():
            with torch.inference_mode(False), torch.no_grad():
                return self(graph)
        graph = self._differentiable(graph)
        prediction = self.predict(graph.in_precision(self.dtype))
        return prediction if self.training else {name: value.detach() for name, value in prediction.items()}

    def _differentiable(self, graph: Graph) -> Graph:
        """The graph, or a copy where its tensors come from inference mode, which autograd refuses."""
        if not safe.inspectable(graph.pos):
            return graph
        if next(self.parameters()).is_inference():
            what, remedy = "the weights were made under torch.inference_mode", "make or load the model outside of it."
            raise InputError(what, where=type(self).__name__, remedy=remedy)
        foreign = any(isinstance(value, Tensor) and value.is_inference() for value in graph.to_dict().values())
        return graph.clone() if foreign else graph

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        """Predictions on a graph prepared for the backbone's precision (``Graph.in_precision``)."""
        raise TypeError(f"{type(self).__name__} must define predict(graph)")

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        """Prediction minus label, in the unit of the metric before its factor; targets without a label are left out."""
        raise TypeError(f"{type(self).__name__} must define residuals(prediction, graph)")

    def scale_of(self, target: str) -> Tensor | float:
        """What the loss divides the residual of a target by, so that weights have no unit."""
        return 1.0

    def losses(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, tuple[Tensor, int]]:
        """For each target that has a label, the summed loss and the number of entries that it sums over."""
        return {
            target: (LOSSES[self.loss](r / self.scale_of(target)), r.numel())
            for target, r in self.residuals(prediction, graph).items()
            if self.weights.get(target, 0.0) > 0
        }

    def fit(self, graphs: Iterable[Graph]) -> None:
        """Take reference values and scales from the training set; call once before training.

        Raises:
            DataError: a label that the task needs is missing or not finite.
        """

    def describe(self) -> dict[str, Any]:
        """What ``fit`` found, for the run's report."""
        return {}


def label(graph: Graph, name: str, number: int) -> Tensor:
    """A label of a training graph, in float64.

    Raises:
        DataError: the label is missing, or not finite; names the number of the graph.
    """
    value = graph.get(name)
    if value is None:
        raise DataError(
            f"no {name!r}", where=f"graph {number} of the training set", remedy="give data with this label, or map its name with keys."
        )
    if not bool(torch.isfinite(value).all()):
        raise DataError(f"{name!r} is not finite", where=f"graph {number} of the training set", remedy="remove or repair that entry.")
    return value.to(torch.float64)
