"""A scalar or a vector of a whole graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from intertwine.geometry import Graph, Graphs
from intertwine.nn import Backbone, ScalarHead, SetHead, VectorHead, pool
from intertwine.numerics import DataError, InputError, choose
from intertwine.o3 import Irreps
from intertwine.tasks.references import References, beyond, composition, is_isolated
from intertwine.tasks.task import Metric, Output, Suggestion, Task, label


class Property(Task):
    r"""One property of a molecule.

    .. math::
        y = \sum_i r_{z_i} + \sigma \sum_i \epsilon(f_i) \quad\text{(sum)}, \qquad
        y = \mu + \sigma\,\frac1N \sum_i \epsilon(f_i) \quad\text{(mean)}

    For an extensive scalar (``readout="sum"``) the references r_z are fitted by species; for an intensive one (``"mean"``)
    :math:`\mu` is the mean of the training set. A vector has neither: its mean over orientations is zero.

    Args:
        backbone: a model with scalars (0e) for a scalar target, with vectors (1o) for a vector.
        target: the label's name in the data.
        representation: "0e" (scalar) or "1o" (vector).
        readout: "sum" or "mean" over the nodes, or "set2set" (Gilmer et al. 2017) for a scalar that is neither.
        unit: unit of the label, for printing.
        loss: "l2", "l1" or "huber".

    Raises:
        InputError: the backbone lacks the irreps; an unknown option.
    """

    name = "property"
    sizes = ("spread",)
    mean: Tensor
    scale: Tensor
    spread: Tensor

    def __init__(
        self, backbone: Backbone, target: str = "energy", representation: str = "0e", readout: str = "sum", unit: str = "", loss: str = "l1"
    ) -> None:
        super().__init__(backbone, loss)
        choose(representation, ("0e", "1o"), kind="representation", where="representation")
        self.readout = choose(readout, ("sum", "mean", "set2set"), kind="readout", where="readout")
        self.target, self.vector = target, representation == "1o"
        if self.vector and readout == "set2set":
            raise InputError("set2set reads scalars", where="readout", remedy="use sum or mean for a vector.")
        self.head = (SetHead if readout == "set2set" else VectorHead if self.vector else ScalarHead)(backbone.irreps_out)
        self.references = References()
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("scale", torch.ones(()))  # of one node's contribution
        self.register_buffer("spread", torch.ones(()))  # of the target beyond references or mean
        self.outputs = {target: Output(Irreps(representation), "graph", unit)}
        self.metrics = {target: Metric("meV", 1e3) if unit == "eV" else Metric(unit)}
        self.weights = {target: 1.0}

    @classmethod
    def suits(cls, data: Graphs, target: str | None) -> bool:
        return target is not None or "energy" in data.fields

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone]) -> Suggestion:
        """Target and unit; a vector or a scalar; the sum over atoms of what grows with their number, the mean of what does not."""
        if target is None and "forces" not in data.fields:
            data.note("no forces: energy is learned as a property; --key forces=NAME, if the file calls them so")
        name = target or "energy"
        values = data.fields[name] if name in data.fields else data.field(name)  # the error names the nearest
        extensive = data.extensive(name)
        vector = values.ndim > 1 and values.shape[-1] == 3
        readout = "mean" if extensive is False and not vector else "sum"
        if extensive is None and not vector:
            data.note(f"readout sum: {name} is taken as extensive; for an intensive quantity say --set task.readout=mean")
        representation = "1o" if vector else "0e"
        return {"task": {"target": name, "unit": data.units.get(name, ""), "representation": representation, "readout": readout}}

    def labels(self, fields: Iterable[str]) -> list[str]:
        return [self.target]

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        y = self.beyond_mean(graph)
        if self.vector:
            return {self.target: y}
        y = y.squeeze(-1).to(torch.float64) + self.mean
        if graph.get("z") is not None:
            y = y + self.references(graph.z, graph.membership(), graph.graphs)
        return {self.target: y}

    def beyond_mean(self, graph: Graph) -> Tensor:
        """The target of each graph (graphs, width) beyond mean and references, in the network's precision."""
        f = self.backbone(graph)
        return self.scale * (self.head(f, graph) if self.readout == "set2set" else pool(self.head(f).flatten(1), graph, self.readout))

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        if graph.get(self.target) is None:
            return {}
        value = prediction[self.target]
        return {self.target: (value - graph[self.target].to(value.dtype).reshape(value.shape)).to(self.dtype)}

    def scale_of(self, target: str) -> Tensor:
        return self.spread

    def fit(self, graphs: Iterable[Graph]) -> None:
        """References or mean, and the scale, of the training set.

        Raises:
            DataError: the label is missing, not finite or not of the representation's size.
        """
        values, compositions, atoms, alone = [], [], [], []
        width = 3 if self.vector else 1
        for number, graph in enumerate(graphs):
            value = label(graph, self.target, number).reshape(-1)
            if len(value) != width:
                raise DataError(
                    f"{self.target!r} has {len(value)} components, not {width}",
                    where=f"graph {number} of the training set",
                    remedy='set the task\'s representation: "0e" for a scalar, "1o" for a vector.',
                )
            values.append(value)
            atoms.append(graph.num_nodes)
            if graph.get("z") is not None:
                compositions.append(composition(graph.z))
                alone.append(is_isolated(graph))
        if not values:
            raise DataError("the training set is empty", where="training set", remedy="give more data, or a larger share for training.")
        y = torch.stack(values)
        if not self.vector:
            y = self._centre(y.squeeze(-1), compositions, torch.tensor(alone))
        size = y / torch.tensor(atoms).sqrt().view(-1, *[1] * (y.ndim - 1)) if self.readout == "sum" else y
        self.scale.fill_(_size(size))
        self.spread.fill_(_size(y))

    def refit(self, graphs: Graphs) -> None:
        """Move references or mean to what the network leaves of the target."""
        if not self.vector:
            y, compositions, alone = beyond(graphs, self.target, lambda batch: self.beyond_mean(batch.in_precision(self.dtype)))
            if self.readout == "sum" and len(compositions):
                self.references.fit(compositions, y, alone, moved=True)
            else:
                self.mean.fill_(y.mean())

    def _centre(self, y: Tensor, compositions: list[Tensor], isolated: Tensor) -> Tensor:
        if self.readout == "sum" and len(compositions) == len(y):
            return self.references.fit(torch.stack(compositions), y, isolated)
        self.mean.fill_(y.mean())
        return y - y.mean()

    def _apply(self, function, recurse: bool = True):
        """Follow moves between devices, but keep the mean in float64: it may have more digits than float32 holds."""
        mean = self.mean
        super()._apply(function, recurse)
        self.mean = mean.to(self.mean.device)
        return self

    def describe(self) -> dict[str, Any]:
        return {"mean": float(self.mean), "scale": float(self.scale)}


def _size(x: Tensor) -> Tensor:
    """Root mean square; 1 where that is zero."""
    size = x.square().mean().sqrt()
    return torch.where(size > 1e-12, size, torch.ones_like(size))
