"""Labels at points of space: a density, as a sum over atoms of radial functions times harmonics of the way from atom to
point.
"""

from __future__ import annotations

from functools import partial

import torch

from intertwine import Graph, plots
from intertwine.data import GraphStore
from intertwine.groups import Cartesian
from intertwine.nn import ScalarHead, VectorHead
from intertwine.numerics import GeometryError, safe, segment
from intertwine.tasks import Metric, Output, Pace, Task

EXPONENTS = (0.5, 1.0, 2.0)  # 1/A^2


def visits(graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
    """The numbers (point, atom) of every point with every atom of its graph."""
    return (graph.rows("points").unsqueeze(1) == graph.membership()).nonzero().T.unbind(0)


class Density(Task):
    r""":math:`\rho(x) = \sum_i \sum_k \big(a_{ik} + b_{ik} \cdot (x - x_i)\big)\, e^{-\alpha_k |x - x_i|^2}`
    in e/A^3.
    """

    name, model, pace = "density", "painn", Pace(batch_size=4, learning_rate=3e-3, steps=200, least=2, most=50)
    reads = ("points",)

    def __init__(self, backbone, loss: str = "l1") -> None:
        super().__init__(backbone, loss)
        self.constants, self.slopes = (kind(backbone.irreps_out, len(EXPONENTS)) for kind in (ScalarHead, VectorHead))
        self.register_buffer("size", torch.ones(()))
        self.outputs = {"density": Output(Cartesian(0), "point", "e/A^3")}
        self.metrics, self.weights = {"density": Metric("me/A^3", 1e3)}, {"density": 1.0}

    @classmethod
    def suits(cls, data, target):
        return "density" in data.fields and "points" in data.fields

    def predict(self, graph):
        if graph.get("points") is None:
            remedy = "give Graph(..., points=...): their coordinates in A."
            raise GeometryError("the graph has no points to give a density at", where="points", remedy=remedy)
        f = self.backbone(graph)
        point, atom = visits(graph)
        r = (graph.points[point] - graph.pos[atom]).to(f.dtype)  # a difference first, then the network's precision
        radial = torch.exp(-(r * r).sum(1, keepdim=True) * r.new_tensor(EXPONENTS))
        inner = (self.slopes(f)[atom] * r.unsqueeze(1)).sum(2)
        each = ((self.constants(f)[atom] + inner) * radial).sum(1)
        return {"density": self.size * segment.sum(each, point, len(graph.points))}

    def residuals(self, prediction, graph):
        if graph.get("density") is None:
            return {}
        return {"density": prediction["density"] - graph.density.to(self.dtype)}

    def scale_of(self, target):
        return self.size

    def fit(self, graphs):
        self.size.fill_(torch.cat([graph.density for graph in graphs]).square().mean().sqrt())

    def errors(self, target, mae, rmse, truth):
        """With the share of the density that is in the wrong place, as the field reports it."""
        return super().errors(target, mae, rmse, truth) | {"share": mae / (1e3 * float(truth.abs().mean()))}

    def line(self, target, errors):
        return f"{super().line(target, errors)}, {100 * errors['share']:.1f} % of the density"

    def pictures(self, graphs, predictions):
        return {"density.png": partial(self.draw, graphs, predictions)}

    def draw(self, graphs, predictions, path):
        """Densities by the distance of the nearest atom."""
        picture = plots.figure()
        axes = picture.add_subplot()
        for graph, prediction in zip(graphs, predictions, strict=True):
            near = torch.cdist(graph.points, graph.pos).min(1).values
            axes.plot(near, graph.density, ".k", near, prediction["density"], ".r")
        axes.set(xlabel="distance of the nearest atom (A)", ylabel="density (e/A^3)")
        return plots.save(picture, path)


def clouds() -> GraphStore:
    """Molecules, each with its own number of points and a sum of one Gaussian an atom and a dipole towards the others
    there.
    """
    generator, graphs = torch.Generator().manual_seed(0), []
    for k in range(16):
        n, count = 2 + k % 3, 5 + k % 4
        pos = 1.2 * torch.randn(n, 3, generator=generator, dtype=torch.float64)
        z = torch.tensor([1, 6, 8])[torch.randint(3, (n,), generator=generator)]
        points = pos[torch.randint(n, (count,), generator=generator)] + torch.randn(
            count, 3, generator=generator, dtype=torch.float64
        )
        r, axis = points.unsqueeze(1) - pos, safe.normalize(pos.mean(0) - pos)
        density = ((z + 0.3 * (r * axis).sum(2)) * torch.exp(-(r * r).sum(2))).sum(1)
        graphs.append(Graph(pos, z=z, points=points, density=density, levels={"density": "point"}))
    return GraphStore.from_graphs(graphs, name="clouds", units={"density": "e/A^3"}, task="point_task:Density")
