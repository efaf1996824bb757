"""A scalar, a vector or a tensor of a whole graph, or of each of its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry import Graph, Graphs
from intertwine.groups import Cartesian
from intertwine.nn import Backbone, ScalarHead, SetHead, TensorHead, VectorHead, pool
from intertwine.numerics import DataError, InputError, WideBuffers, choose
from intertwine.o3 import Irreps
from intertwine.o3.cartesian import CartesianTensor
from intertwine.tasks.references import References, beyond, composition, is_isolated
from intertwine.tasks.representations import SYMMETRY_TOLERANCE, irreps_of, is_formula, outputs_of, representation_of
from intertwine.tasks.task import Metric, Output, Suggestion, Task, label


class Property(Task, WideBuffers):
    r"""One property of a molecule or of its atoms: a scalar, or a tensor of any irreps.

    .. math::
        y = \sum_i r_{z_i} + \sigma \sum_i \epsilon(f_i) \quad\text{(sum)}, \qquad
        y = \mu + \sigma\,\frac1N \sum_i \epsilon(f_i) \quad\text{(mean)}, \qquad
        y_i = r_{z_i} + \sigma\, \epsilon(f_i) \quad\text{(of each atom)}

    The references r_z of an extensive scalar (``readout="sum"``), or of a scalar of atoms, are fitted by species; of an
    intensive one (``"mean"``) :math:`\mu` is the mean of the training set. Of a tensor they are of its even scalar: the
    isotropic part :math:`\mathrm{tr}(T)/\sqrt3` of a polarizability, nothing of a vector, whose mean over orientations
    is zero. Several even scalars have a mean each, of an atom where they are summed.

    A Cartesian tensor is learned as irreps and given back as it came, :math:`T = Q^T y` with the orthonormal change of
    basis Q of its index symmetry (:class:`intertwine.o3.CartesianTensor`), which it has to the last bit.

    Args:
        backbone: a model with the irreps of the target: scalars (0e), vectors (1o), 0e and 2e for a polarizability.
        target: name of the label in the data.
        representation: irreps of the label, "0e" (a scalar), "1o" (a vector) or "2x0e+1e+2e" for example, components in
            their order; or an index symmetry of a Cartesian label, "ij=ji" (a polarizability), "ij" or "ijk=jik=kji" (a
            first hyperpolarizability).
        readout: "sum" or "mean" over the nodes, or "set2set" (Gilmer et al. 2017) for a scalar that is neither.
        unit: unit of the label, which tables and predictions show; "" for none.
        loss: function of the error: "l2", "l1" or "huber", of the components of the label.
        level: "graph", or "node" for a label of each node; ``readout`` is then not used.

    Raises:
        InputError: the backbone lacks the irreps; an unknown option.
    """

    name = "property"
    loss_buffers = ("spread",)
    mean: Tensor
    scale: Tensor
    spread: Tensor

    def __init__(
        self, backbone: Backbone, target: str = "energy", representation: str = "0e", readout: str = "sum",
        unit: str = "", loss: str = "l1", level: str = "graph",
    ) -> None:  # fmt: skip
        super().__init__(backbone, loss)
        self.level = choose(level, ("graph", "node"), kind="level", where="level")
        self.readout = choose(readout, ("sum", "mean", "set2set"), kind="readout", where="readout")
        self.target, self.representation = target, representation
        self.tensor = CartesianTensor(representation) if is_formula(representation) else None
        self.irreps = self.tensor if self.tensor is not None else Irreps(representation)
        if self.irreps.dim == 0:
            raise InputError(
                f"{representation!r} has no components", where="representation", remedy='give irreps, "0e" for example.'
            )
        self.scalar = str(self.irreps) == "1x0e"
        self.scalars = [
            k
            for block, at in zip(self.irreps, self.irreps.slices())
            if str(block.ir) == "0e"
            for k in range(at.start, at.stop)
        ]
        self.extensive = self.readout == "sum" and level == "graph"
        if readout == "set2set" and not (self.scalar and level == "graph"):
            raise InputError(
                "set2set reads scalars", where="readout", remedy="use sum or mean for a tensor, or what atoms have."
            )
        self.head = _head(backbone, self.irreps, readout)
        self.references = References()
        self.register_wide(
            "mean", torch.zeros([len(self.scalars)] if len(self.scalars) > 1 else [], dtype=torch.float64)
        )
        self.register_buffer("scale", torch.ones(()))  # of one node's contribution
        self.register_buffer("spread", torch.ones(()))  # of the target beyond references or mean
        of = Cartesian(len(self.tensor.indices)) if self.tensor is not None else self.irreps
        self.outputs = {target: Output(of, level, unit, extensive=self.extensive)}
        self.metrics = {target: Metric("meV", 1e3) if unit == "eV" else Metric(unit)}
        self.weights = {target: 1.0}

    @classmethod
    def suits(cls, data: Graphs, target: str | None) -> bool:
        return target is not None or "energy" in data.fields

    @classmethod
    def default_model(cls, data: Graphs, target: str | None) -> str:
        """NequIP for a tensor: its features have any irreps."""
        values = data.fields.get(target or "energy")
        tensor = values is not None and values.ndim > 1 and values.shape[1:].numel() not in (1, 3)
        return "nequip" if tensor else super().default_model(data, target)

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone], told: Mapping[str, Any]) -> Suggestion:
        """Target, unit, what its shape says of it, and a model that has the irreps; the sum over atoms of what grows
        with their number, the mean of what does not."""
        if target is None and "forces" not in data.fields:
            data.note("no forces: energy is learned as a property; --key forces=NAME, if the file calls them so")
        name = target or "energy"
        values = data.fields[name] if name in data.fields else data.field(name)  # the error names the nearest
        said = told.get("representation") or getattr(data, "representations", {}).get(name)
        representation = said or representation_of(values, name)
        if representation not in ("0e", "1o") and not said:
            data.note(
                f"{name} is taken as a Cartesian tensor with the symmetry {representation}: "
                "--set task.representation says otherwise"
            )
        extensive, scalar = data.extensive(name), str(irreps_of(representation)) == "1x0e"
        level = "node" if getattr(data, "levels", {}).get(name) == "node" else "graph"
        readout = "mean" if extensive is False else "sum"
        if extensive is None and scalar and level == "graph":
            data.note(
                f"readout sum: {name} is taken as extensive; for an intensive quantity say --set task.readout=mean"
            )
        task = {
            "target": name,
            "unit": data.units.get(name, ""),
            "representation": representation,
            "readout": readout,
            "level": level,
        }
        features = {} if representation in ("0e", "1o") else outputs_of(model, irreps_of(representation))
        return {"task": task, "model": super().suggest(data, name, model, told)["model"] | features}

    def labels(self, fields: Iterable[str]) -> list[str]:
        return [self.target]

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        y = self.beyond_mean(graph)
        if self.scalars:
            y = y.to(torch.float64) + self._shift(graph, y.shape[0]) @ self._places(y)
        if self.tensor is not None:
            y = self.tensor.to_cartesian(y)
        return {self.target: y.squeeze(1) if self.scalar else y}

    def _shift(self, graph: Graph, rows: int) -> Float[Tensor, "rows scalars"]:
        """Mean and references of each row's even scalars, in float64."""
        if len(self.scalars) > 1:
            atoms = torch.bincount(graph.membership(), minlength=graph.graphs).unsqueeze(1) if self.extensive else 1.0
            return self.mean.expand(rows, -1) * atoms
        if graph.get("z") is None:
            return self.mean.expand(rows, 1)
        owner = graph.membership() if self.level == "graph" else torch.arange(rows, device=graph.z.device)
        return (self.mean + self.references(graph.z, owner, rows)).unsqueeze(1)

    def _places(self, like: Tensor) -> Float[Tensor, "scalars dim"]:
        """A row for each even scalar, 1 in its place; in float64."""
        return torch.eye(self.irreps.dim, dtype=torch.float64, device=like.device)[self.scalars]

    def beyond_mean(self, graph: Graph) -> Float[Tensor, "rows dim"]:
        """The irreps of the target beyond mean and references, in the network's precision."""
        f = self.backbone(graph)
        if self.readout == "set2set":
            return self.scale * self.head(f, graph)
        y = self.head(f).flatten(1)
        return self.scale * (pool(y, graph, self.readout) if self.level == "graph" else y)

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        if graph.get(self.target) is None:
            return {}
        value, truth = prediction[self.target], graph[self.target]
        if truth.numel() != value.numel():
            what = f"{self.target!r} has shape {tuple(truth.shape)}, and {tuple(value.shape)} is predicted"
            raise DataError(what, where=self.target, remedy="give labels of the representation that was trained on.")
        return {self.target: (value - truth.to(value.dtype).reshape(value.shape)).to(self.dtype)}

    def scale_of(self, target: str) -> Tensor:
        return self.spread

    def fit(self, graphs: Iterable[Graph]) -> None:
        """References or means, and the scale, of the training set.

        Raises:
            DataError: the label is missing, not finite, not of the representation's size, or has not the symmetry that
                it says.
        """
        values, lacking, compositions, atoms, alone, species = [], [], [], [], [], []
        for number, graph in enumerate(graphs):
            rows, without = self._components(graph, number)
            values.append(rows)
            lacking.append(without)
            atoms.append(graph.num_nodes)
            if graph.get("z") is not None:
                species.append(graph.z)
                compositions.append(composition(graph.z))
                alone.append(is_isolated(graph))
        if not values:
            raise DataError(
                "the training set is empty",
                where="training set",
                remedy="give more data, or a larger share for training.",
            )
        y, counts = torch.cat(values), torch.tensor(atoms, dtype=torch.float64).unsqueeze(1)
        self._check_symmetry(torch.tensor(lacking), float(y.square().sum().sqrt()) / len(lacking) ** 0.5)
        known = len(compositions) == len(values)
        if len(self.scalars) > 1:
            weights = counts if self.extensive else torch.ones(len(y), 1, dtype=torch.float64)
            self.mean.copy_(y[:, self.scalars].sum(0) / weights.sum())
            y[:, self.scalars] -= self.mean * weights
        elif self.scalars and self.level == "node" and known:
            y[:, self.scalars] = self._by_species(y[:, self.scalars].squeeze(1), torch.cat(species)).unsqueeze(1)
        elif self.scalars:
            scalar = y[:, self.scalars].squeeze(1)
            if self.extensive and known:
                rest = self.references.fit(torch.stack(compositions), scalar, torch.tensor(alone))
            else:
                self.mean.fill_(scalar.mean())
                rest = scalar - scalar.mean()
            y[:, self.scalars] = rest.unsqueeze(1)
        self.scale.fill_(_size(y / counts.sqrt() if self.extensive else y))
        self.spread.fill_(_size(y))

    def _by_species(self, y: Float[Tensor, " nodes"], z: Int[Tensor, " nodes"]) -> Float[Tensor, " nodes"]:
        """Move the references by the mean of each species; returns what is left."""
        sums, counts = (
            torch.zeros(len(self.references.values), dtype=torch.float64).index_add(0, z, x)
            for x in (y, torch.ones_like(y))
        )
        moves = sums / counts.clamp(min=1)
        self.references.values += moves.to(self.references.values)
        return y - moves[z]

    def _components(self, graph: Graph, number: int) -> tuple[Float[Tensor, "rows dim"], float]:
        """The label of a training graph as irreps, in float64, and how much of it has not the symmetry."""
        value, where = label(graph, self.target, number), f"graph {number} of the training set"
        rows = 1 if self.level == "graph" else graph.num_nodes
        shape = torch.Size((self.irreps.dim,) if self.tensor is None else (3,) * len(self.tensor.indices))
        if self.level == "node" and value.shape[:1] != (rows,):
            what = f"{self.target!r} has shape {tuple(value.shape)}, for {rows} nodes"
            raise DataError(what, where=where, remedy='it is of the graph: set the task\'s level to "graph".')
        if value.numel() != rows * shape.numel():
            what = f"{self.target!r} has {value.numel() / max(rows, 1):g} components, not {shape.numel()}"
            remedy = (
                'set the task\'s representation: "0e" for a scalar, "1o" for a vector, '
                '"ij=ji" for a symmetric 3x3 tensor, or irreps.'
            )
            raise DataError(what, where=where, remedy=remedy)
        value = value.reshape(rows, *shape)
        if self.tensor is None:
            return value, 0.0
        y = self.tensor.from_cartesian(value)
        return y, float((self.tensor.to_cartesian(y) - value).norm())

    def _check_symmetry(self, lacking: Float[Tensor, " graphs"], size: float) -> None:
        """Raise a :class:`DataError` if more of a label has not the symmetry than digits explain, beside the size of
        all of them.
        """
        if len(lacking) and float(lacking.max()) > SYMMETRY_TOLERANCE * size:
            what = (
                f"{self.target!r} has not the symmetry {self.representation!r}: "
                f"{float(lacking.max()):.2g} of it are without"
            )
            assert self.tensor is not None
            remedy = f'set the task\'s representation to "{self.tensor.indices}", or repair the label.'
            raise DataError(what, where=f"graph {int(lacking.argmax())} of the training set", remedy=remedy)

    def refit(self, graphs: Graphs) -> None:
        """Move references or means to what the network leaves of the target's even scalars."""
        for number, place in enumerate(self.scalars):

            def network(batch: Graph, place: int = place) -> Tensor:
                return self.beyond_mean(batch.in_precision(self.dtype))[:, place]

            def truth(graph: Graph, place: int = place) -> Tensor:
                return self._components(graph, 0)[0][:, place]

            y, compositions, alone = beyond(graphs, self.target, network, truth=truth, of_nodes=self.level == "node")
            atoms = (
                compositions.sum(1) if self.extensive and len(compositions) else torch.ones(len(y), dtype=torch.float64)
            )
            if len(self.scalars) > 1:
                self.mean[number] = y.sum() / atoms.sum()
            elif (self.extensive or self.level == "node") and len(compositions):
                self.references.fit(compositions, y, alone, moved=True)
            else:
                self.mean.fill_(y.mean())

    def describe(self) -> dict[str, Any]:
        return {"mean": self.mean.tolist(), "scale": float(self.scale)}


def _head(backbone: Backbone, irreps: Irreps, readout: str) -> torch.nn.Module:
    if str(irreps) == "1x0e":
        return (SetHead if readout == "set2set" else ScalarHead)(backbone.irreps_out)
    return VectorHead(backbone.irreps_out) if str(irreps) == "1x1o" else TensorHead(backbone.irreps_out, irreps)


def _size(x: Tensor) -> Tensor:
    """Root mean square; 1 where that is zero."""
    size = x.square().mean().sqrt()
    return torch.where(size > 1e-12, size, torch.ones_like(size))
