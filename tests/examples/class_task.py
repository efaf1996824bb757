"""A class of the whole structure, and a structure as the code of itself: outputs that are no quantities with an error
bar.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from intertwine import Graph, plots
from intertwine.data import GraphStore
from intertwine.groups import Cartesian
from intertwine.nn import ScalarHead, VectorHead, pool
from intertwine.numerics import segment
from intertwine.o3 import Irreps
from intertwine.tasks import Metric, Output, Pace, Task

SHAPES = ("chain", "star", "ring")


class Shape(Task):
    """Which of three shapes a molecule has: cross-entropy is learned, the share of right answers is reported."""

    name, pace = "shape", Pace(batch_size=6, learning_rate=5e-3, steps=120, least=4, most=50)

    def __init__(self, backbone) -> None:
        super().__init__(backbone)
        self.head = ScalarHead(backbone.irreps_out, len(SHAPES))
        self.outputs = {"shape": Output(Irreps(f"{len(SHAPES)}x0e"), "graph", "")}
        self.metrics, self.weights = {"shape": Metric("% wrong", 100.0)}, {"shape": 1.0}

    @classmethod
    def suits(cls, data, target):
        return "shape" in data.fields

    def predict(self, graph):
        return {"shape": pool(self.head(self.backbone(graph)), graph, "mean")}

    def residuals(self, prediction, graph):
        """1 for a wrong answer, 0 for a right one."""
        return (
            {}
            if graph.get("shape") is None
            else {"shape": (prediction["shape"].argmax(1) != graph.shape).to(self.dtype)}
        )

    def losses(self, prediction, graph):
        return {
            "shape": (nn.functional.cross_entropy(prediction["shape"], graph.shape, reduction="sum"), len(graph.shape))
        }

    def errors(self, target, mae, rmse, truth):
        return {"accuracy": 1 - mae / 100, "unit": ""}

    def line(self, target, errors):
        return f"{100 * errors['accuracy']:.0f} % right"

    def pictures(self, graphs, predictions):
        return {
            "confusion.png": partial(
                self.draw, [(int(g.shape), int(p["shape"].argmax())) for g, p in zip(graphs, predictions)]
            )
        }

    def draw(self, answers, path):
        """How often each shape was taken for each."""
        picture, table = plots.figure(), torch.zeros(3, 3)
        for true, said in answers:
            table[true, said] += 1 / len(answers)
        plots.representation(
            table, axes=picture.add_subplot(), title=f"true (down), said (across): {', '.join(SHAPES)}", bar=False
        )
        return plots.save(picture, path)


class Autoencoder(Task):
    """The positions of the atoms from a code of the structure: an output that is a place, labelled by the input itself.

    It is measured from the centre of the structure, so its model sees all of it: it has no cutoff.
    """

    name, model, pace = "autoencoder", "egnn", Pace(batch_size=6, learning_rate=5e-3, steps=60, least=2, most=50)

    def __init__(self, backbone, loss: str = "l2") -> None:
        super().__init__(backbone, loss)
        self.head = VectorHead(backbone.irreps_out)
        self.outputs = {"again": Output(Cartesian(1), "node", "A", affine=True, label="pos")}
        self.metrics, self.weights = {"again": Metric("A")}, {"again": 1.0}

    @classmethod
    def suggest(cls, data, target, model, told):
        return {"model": {"cutoff": None}}

    def predict(self, graph):
        centre = segment.mean(graph.pos, graph.membership(), graph.graphs)[graph.membership()]
        return {"again": centre + self.head(self.backbone(graph)).squeeze(-2).to(centre.dtype)}

    def residuals(self, prediction, graph):
        return {"again": (prediction["again"] - graph.pos).to(self.dtype)}


def shapes() -> GraphStore:
    """Chains, stars and rings of carbon atoms, bonds 1.5 A long give or take."""
    generator, graphs = torch.Generator().manual_seed(0), []
    for k in range(18):
        turn = 2 * torch.pi * torch.arange(4, dtype=torch.float64) / (3 if k % 3 == 1 else 4)
        circle = torch.stack([turn.cos(), turn.sin(), 0 * turn], dim=1)
        chain = torch.arange(4, dtype=torch.float64).unsqueeze(1) * circle.new_tensor([1.0, 0.0, 0.0])
        pos = (chain, torch.cat([circle[:3], 0 * circle[:1]]), circle)[k % 3]
        pos = 1.5 * pos + 0.05 * torch.randn(4, 3, generator=generator, dtype=torch.float64)
        graphs.append(Graph(pos, z=[6] * 4, shape=torch.tensor([k % 3])))
    return GraphStore.from_graphs(graphs, name="shapes", levels={"shape": "graph"}, task="class_task:Shape")
