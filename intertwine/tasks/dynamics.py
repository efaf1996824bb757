"""Positions at a later time from positions and velocities now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from intertwine.geometry import Graph, Graphs
from intertwine.groups import Cartesian
from intertwine.nn import Backbone, VectorHead
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.numerics.signature import arguments
from intertwine.tasks.baselines import Baseline, LinearMotion
from intertwine.tasks.task import Metric, Output, Pace, Suggestion, Task, label

LATER = "target_pos"
COUNTED_SYSTEMS = 100  # systems whose extent and displacements are looked at


class Dynamics(Task):
    r"""One jump of time: :math:`\hat x_i(t + \Delta t) = x_i + \sigma\,u(f_i)` with u a vector read out of the features
    of a node.

    The displacement, not the position, is predicted: predicting the position costs a factor of twenty in error on the
    charged particles of ``benchmarks/papers/nbody.py``. :math:`\sigma` is 1 for models whose vector already is a
    displacement (EGNN), and the root mean square displacement of the training set for others.

    Args:
        backbone: a model with vectors (1o).
        loss: function of the error: "l2", "l1" or "huber" of the displacement, averaged over particles and coordinates.

    Raises:
        InputError: the backbone has no vectors.
    """

    name = "dynamics"
    model = "egnn"
    pace = Pace(batch_size=100, learning_rate=1e-3, steps=9_000, least=20, most=300)
    reads = ("vel",)
    trials = "particles"
    scale: Tensor

    def __init__(self, backbone: Backbone, loss: str = "l2") -> None:
        super().__init__(backbone, loss)
        self.head = VectorHead(backbone.irreps_out)
        self.register_buffer("scale", torch.ones(()))
        self.outputs = {"pos": Output(Cartesian(1), "node", "", affine=True, label=LATER)}
        self.metrics = {"pos": Metric("")}
        self.weights = {"pos": 1.0}

    @classmethod
    def suits(cls, data: Graphs, target: str | None) -> bool:
        return LATER in data.fields and target in (None, LATER)

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone], told: Mapping[str, Any]) -> Suggestion:
        """Charges and velocities as inputs of models that take them; every particle acts on every other one; gradients
        are clipped in the unit of the loss."""
        if LATER not in data.fields:
            remedy = (
                "`intertwine train nbody` is such a data set; of your own, "
                f"give positions at the later time as the label {LATER}."
            )
            raise InputError("no later positions to learn", where=data.name or "data", remedy=remedy)
        seen = super().suggest(data, LATER, model, told)["model"]
        wanted: dict[str, Any] = {"outputs": "0e+1o"} | seen
        if "vel" in data.fields:
            nodes = {"speed": 1} | seen["node_inputs"] if "node_inputs" in seen else ("speed",)
            wanted |= {"velocity": True, "node_inputs": nodes, "vector_inputs": ("vel",), "gate": "sigmoid"}
        if "charge" in data.fields:
            wanted |= {
                "edge_inputs": {"charge_product": 1} | seen["edge_inputs"]
                if "edge_inputs" in seen
                else ("charge_product",)
            }
        cutoff = arguments(model).get("cutoff")
        if cutoff is not None:
            wanted["cutoff"] = None if type(None) in getattr(cutoff.hint, "__args__", ()) else _extent(data)
        return {"model": wanted, "training": {"clip": clip} if (clip := _clip(data)) else {}}

    def labels(self, fields: Iterable[str]) -> list[str]:
        return [LATER]

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        if graph.get("vel") is None:
            raise GeometryError("the graph has no velocities", where="vel", remedy="give Graph(..., vel=...).")
        displacement = self.scale * self.head(self.backbone(graph)).squeeze(-2)
        return {"pos": graph.pos + displacement.to(graph.pos.dtype)}

    def make_baselines(self) -> dict[str, Baseline]:
        """Motion in a straight line."""
        return {"pos": LinearMotion(LATER)}

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        """Predicted minus true position."""
        if graph.get("target_pos") is None:
            return {}
        # a difference, taken in the precision of the positions
        return {"pos": (prediction["pos"] - graph.target_pos).to(self.dtype)}

    def fit(self, graphs: Iterable[Graph]) -> None:
        """The scale of displacements.

        Raises:
            DataError: ``target_pos`` is missing or not finite.
        """
        squares = [
            (label(graph, "target_pos", k) - graph.pos.to(torch.float64)).square().mean()
            for k, graph in enumerate(graphs)
        ]
        if not squares:
            raise DataError(
                "the training set is empty",
                where="training set",
                remedy="give more data, or a larger share for training.",
            )
        if not self.head.plain:
            self.scale.fill_(torch.stack(squares).mean().sqrt())

    def describe(self) -> dict[str, Any]:
        return {"displacement scale": float(self.scale)}


def _first(data: Graphs) -> list[Graph]:
    return [data[k] for k in range(min(len(data), COUNTED_SYSTEMS))]


def _clip(data: Graphs) -> float | None:
    """A largest norm of gradients in proportion to the mean squared displacement, the unit of the loss: an order above
    what is usual.

    Particles that nearly collide have gradients a thousand times as large, which would spoil Adam's steps for hundreds
    of others."""
    squares = [(graph[LATER] - graph.pos).square().mean() for graph in _first(data)]
    square = float(sum(squares)) / max(len(squares), 1)
    return float(f"{0.75 * square:.2g}") if isfinite(square) and square > 0 else None


def _extent(data: Graphs) -> float:
    """A cutoff beyond the most distant particles of the first systems: all of them act on each other."""
    systems = [graph.pos for graph in _first(data)]
    radius = max((float((pos - pos.mean(0)).norm(dim=-1).max()) for pos in systems if len(pos) > 1), default=1.0)
    return float(f"{2.5 * max(radius, 1e-3):.2g}")
