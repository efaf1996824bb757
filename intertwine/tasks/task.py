"""A task: a backbone, a head, a loss, and the way to score."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.groups import Representation
from intertwine.nn import Backbone
from intertwine.numerics import DataError, InputError, choose, safe


class Output(NamedTuple):
    """What one predicted quantity is.

    ``representation``: how it transforms; ``level``: "node" or "graph"; ``unit``; ``affine``: whether it is a point of space,
    which translations move too.
    """

    representation: Representation
    level: str
    unit: str
    affine: bool = False


class Metric(NamedTuple):
    """How errors of a target are printed: ``unit``, and ``factor`` from the residual's own unit to it."""

    unit: str
    factor: float = 1.0


LOSSES = {
    "l2": lambda r: (r * r).sum(),
    "l1": lambda r: r.abs().sum(),
    "huber": lambda r: nn.functional.huber_loss(r, torch.zeros_like(r), reduction="sum", delta=1.0),
}


class Task(nn.Module):
    """Base of the tasks. A subclass sets ``name``, ``outputs``, ``metrics`` and ``weights`` and defines ``predict``, ``residuals``.

    Attributes:
        name: the name that the command line uses.
        outputs: what ``forward`` returns, by name.
        metrics: how the errors of each target are printed.
        weights: weight of each target in the loss.
        loss: "l2", "l1" or "huber", of the residual in units of the target's ``scale``.
    """

    name: ClassVar[str]
    outputs: dict[str, Output]
    metrics: dict[str, Metric]
    weights: dict[str, float]

    def __init__(self, backbone: Backbone, loss: str = "l2") -> None:
        super().__init__()
        self.backbone = backbone
        self.loss = choose(loss, LOSSES, kind="loss", where="loss")

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
        if torch.is_inference_mode_enabled():
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
