"""Positions at a later time from positions and velocities now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from intertwine.geometry import Graph
from intertwine.groups import Cartesian
from intertwine.nn import Backbone, VectorHead
from intertwine.numerics import DataError, GeometryError
from intertwine.tasks.task import Metric, Output, Task, label


class Dynamics(Task):
    r"""One jump of time: :math:`\hat x_i(t + \Delta t) = x_i + \sigma\,u(f_i)` with u a vector read out of the features of a node.

    The displacement, not the position, is predicted: predicting the position costs a factor of twenty in error
    (PAPERS.md, section 1). :math:`\sigma` is 1 for models whose vector already is a displacement (EGNN), and the root mean square
    displacement of the training set for others.

    Args:
        backbone: a model with vectors (1o).
        loss: "l2", "l1" or "huber" of the displacement, averaged over particles and coordinates.

    Raises:
        InputError: the backbone has no vectors.
    """

    name = "dynamics"
    scale: Tensor

    def __init__(self, backbone: Backbone, loss: str = "l2") -> None:
        super().__init__(backbone, loss)
        self.head = VectorHead(backbone.irreps_out)
        self.register_buffer("scale", torch.ones(()))
        self.outputs = {"pos": Output(Cartesian(1), "node", "", affine=True)}
        self.metrics = {"pos": Metric("")}
        self.weights = {"pos": 1.0}

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        if graph.get("vel") is None:
            raise GeometryError("the graph has no velocities", where="vel", remedy="give Graph(..., vel=...).")
        displacement = self.scale * self.head(self.backbone(graph)).squeeze(-2)
        return {"pos": graph.pos + displacement.to(graph.pos.dtype)}

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        """Predicted minus true position."""
        if graph.get("target_pos") is None:
            return {}
        return {"pos": (prediction["pos"] - graph.target_pos).to(self.dtype)}  # a difference, taken in the precision of the positions

    def fit(self, graphs: Iterable[Graph]) -> None:
        """The scale of displacements.

        Raises:
            DataError: ``target_pos`` is missing or not finite.
        """
        squares = [(label(graph, "target_pos", k) - graph.pos.to(torch.float64)).square().mean() for k, graph in enumerate(graphs)]
        if not squares:
            raise DataError("the training set is empty", where="training set", remedy="give more data, or a larger share for training.")
        if not self.head.plain:
            self.scale.fill_(torch.stack(squares).mean().sqrt())

    def describe(self) -> dict[str, Any]:
        return {"displacement scale": float(self.scale)}
