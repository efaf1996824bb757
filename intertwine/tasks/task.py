"""A task: a backbone, a head, a loss, and the way to score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from intertwine.geometry import LEVELS, Graph, Graphs
from intertwine.nn import Backbone, freeze
from intertwine.numerics import DataError, InputError, choose, safe
from intertwine.numerics.devices import OnePrecision, Placed
from intertwine.numerics.once import once
from intertwine.numerics.showing import figure
from intertwine.numerics.signature import Configured
from intertwine.tasks.baselines import Baseline, Constant, watched
from intertwine.tasks.output import Metric, Output
from intertwine.tasks.pace import Pace
from intertwine.tasks.verdict import neglected, of_the_baseline

#: What a task takes from the data: arguments of the task, of the model (those that it has), and options of the
#: training.
Suggestion = dict[str, dict[str, Any]]
MODEL_OF_ANY_DIMENSION = "egnn"  # the architecture that lives in any dimension

LOSSES = {
    "l2": lambda r: (r * r).sum(),
    "l1": lambda r: r.abs().sum(),
    "huber": lambda r: nn.functional.huber_loss(r, torch.zeros_like(r), reduction="sum", delta=1.0),
}


class Task(Configured, OnePrecision, Placed, nn.Module, ABC):
    """Base of the tasks. A subclass sets ``name``, ``outputs``, ``metrics`` and ``weights`` and defines ``predict``,
    ``residuals``; it says what data it is for (``suits``) and what they suggest (``suggest``).

    Attributes:
        name: the name that the command line uses.
        model: the architecture that learns it where the user names none.
        pace: how long, and in what steps.
        uses: commands that a trained run is good for.
        reads: fields of a graph that the task itself reads, besides what its model does.
        labelled: whether images need labels to be learned from.
        heading: what the means of the residuals are called; "" where the names of the targets say it.
        trials: what a certificate tries it on besides the test set: "molecules", or what the model says by its own;
            "particles".
        outputs: what ``forward`` returns, by name.
        metrics: how the errors of each target are printed (more of it in :meth:`errors` and :meth:`line`).
        weights: weight of each target in the loss.
        loss: "l2", "l1" or "huber", of the residual in units of the target's ``scale``.
        loss_arguments: arguments of the constructor that only the loss looks at.
        loss_buffers: buffers that only the loss looks at.
        gain: buffer that multiplies the network in all predictions; a run with random weights fits it. "" for none.
        frozen: submodules whose weights and statistics stay as they are (:meth:`freeze`).
    """

    name: ClassVar[str]
    model: ClassVar[str] = "painn"
    pace: ClassVar[Pace] = Pace(batch_size=32, learning_rate=1e-3, steps=60_000, least=20, most=300)
    uses: ClassVar[tuple[str, ...]] = ("evaluate", "predict", "certify")
    reads: ClassVar[tuple[str, ...]] = ()
    labelled: ClassVar[bool] = True
    heading: ClassVar[str] = "MAE"
    trials: ClassVar[str] = "molecules"
    loss_arguments: ClassVar[tuple[str, ...]] = ("loss",)
    loss_buffers: ClassVar[tuple[str, ...]] = ()
    levers: ClassVar[dict[str, str]] = {}
    gain: ClassVar[str] = ""
    frozen: tuple[str, ...] = ()
    outputs: dict[str, Output]
    metrics: dict[str, Metric]
    weights: dict[str, float]

    def __init__(self, backbone: Backbone, loss: str = "l2") -> None:
        super().__init__()
        self.backbone = backbone
        self.loss = choose(loss, LOSSES, kind="loss", where="loss")

    @classmethod
    def suits(cls, data: Graphs, target: str | None) -> bool:
        """Whether the labels of the data, and the target if one is named, ask for this task; the first in ``TASKS``
        that does is taken.
        """
        return False

    @classmethod
    def default_model(cls, data: Graphs, target: str | None) -> str:
        """The architecture to learn these data, or a target in them, with, where the user names none: the class's
        ``model`` (mace of a force field, painn of most); a task that looks at the data for it defines this method.
        """
        return cls.model if data.fields["pos"].shape[-1] == 3 else MODEL_OF_ANY_DIMENSION

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone], told: Mapping[str, Any]) -> Suggestion:
        """What the training set says about task, model and training, where the user does not: here, the invariants that
        models can see.

        Args:
            data: the training set.
            target: the label that the user, or the data set, names.
            model: the architecture; arguments that it does not have are left out.
            told: arguments of the task that the user gave.

        Raises:
            InputError: the data are not for this task.
        """
        options = {"node_inputs": "x", "edge_inputs": "edge_attr"}
        seen = {
            option: data.fields[name].shape[1:].numel()
            for option, name in options.items()
            if name in data.fields and name != target
        }
        return {"model": {option: {options[option]: columns} for option, columns in seen.items()}}

    def labels(self, fields: Iterable[str]) -> list[str]:
        """The labels that it learns from, of those that the data have; one that it can't do without is named in any
        case. What it ``reads`` itself is among them."""
        have = set(fields)
        wanted = [output.label or name for name, output in self.outputs.items()]
        return [name for name in dict.fromkeys((*wanted, *self.reads)) if name in have]

    @property
    def cutoff(self) -> float | None:
        """Radius of interaction (A) of the backbone; None where all pairs interact."""
        return self.backbone.cutoff

    @property
    def symmetry(self) -> str:
        """What a certificate claims of it, in the words of a card: what its model is equivariant to."""
        return self.backbone.card.symmetry

    @property
    def dtype(self) -> torch.dtype:
        """Precision that the network computes in."""
        return next(self.backbone.parameters()).dtype

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        """Predictions by name; differentiable in training mode, detached in evaluation mode.

        Args:
            graph: one graph or a batch, of any precision, with or without edges. Predictions have the network's
                precision, points of space that of the positions.

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
        weight = next(self.backbone.parameters())
        graph = self._differentiable(graph, weight)
        prediction = self.predict(graph.in_precision(weight.dtype))
        return prediction if self.training else {name: value.detach() for name, value in prediction.items()}

    def _differentiable(self, graph: Graph, weight: Tensor) -> Graph:
        """The graph, or a copy where its tensors come from inference mode, which autograd refuses."""
        if not safe.inspectable(graph.pos):
            return graph
        if weight.is_inference():
            what, remedy = "the weights were made under torch.inference_mode", "make or load the model outside of it."
            raise InputError(what, where=type(self).__name__, remedy=remedy)
        foreign = any(isinstance(value, Tensor) and value.is_inference() for value in graph.to_dict().values())
        return graph.clone() if foreign else graph

    @abstractmethod
    def predict(self, graph: Graph) -> dict[str, Tensor]:
        """Predictions on a graph prepared for the backbone's precision (``Graph.in_precision``)."""

    @abstractmethod
    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        """Prediction minus label, in the unit of the metric before its factor; targets without a label are left out."""

    def scale_of(self, target: str) -> Tensor | float:
        """What the loss divides the residual of a target by, so that weights have no unit."""
        return 1.0

    def losses(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, tuple[Tensor, int | float]]:
        """For each target that has a label, the summed loss and the number of entries that it sums over, or the sum of
        their weights."""
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

    def gather(self, graphs: Iterable[Graph]) -> None:
        """:meth:`fit`, and fit the baselines too, in one pass over the training set.

        Raises:
            DataError: as :meth:`fit`.
        """
        passing = watched(self.baselines.values(), graphs)
        self.fit(passing)
        for _ in passing:  # those that ``fit`` did not look at
            pass
        for baseline in self.baselines.values():
            baseline.fit()

    @once
    def baselines(self) -> dict[str, Baseline]:
        """For each output the prediction that does not look at the geometry, which reports set beside the model's."""
        return self.make_baselines()

    def make_baselines(self) -> dict[str, Baseline]:
        """New baselines, by the name of the output: here the best constant of each."""
        return {name: Constant(output.label or name, output) for name, output in self.outputs.items()}

    def output_of(self, target: str) -> str:
        """The output that a target of ``metrics`` measures: that of its own name, unless one output has several."""
        return target

    def baseline_predictions(self, graph: Graph, prediction: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the baselines say of a graph or a batch; those that can't are left out.

        Args:
            graph: with labels or without.
            prediction: the model's, whose forms they take.
        """
        values = {
            name: baseline.predict(graph, prediction[name])
            for name, baseline in self.baselines.items()
            if name in prediction
        }
        return {name: value for name, value in values.items() if value is not None}

    def answer(self, prediction: dict[str, Any]) -> dict[str, Any]:
        """What a user is told of one structure: the prediction, an array for each output, with what follows from it."""
        return prediction

    @property
    def told(self) -> list[str]:
        """What a table of predictions shows, of :meth:`answer`: the outputs of whole graphs, or else all."""
        return [name for name, output in self.outputs.items() if LEVELS[output.level].single] or list(self.outputs)

    def doubts(self, data: Graphs) -> list[str]:
        """One sentence for each thing in other data than the training set that the model can't get right."""
        return []

    def cautions(self) -> list[str]:
        """One sentence for each argument that does not mean what is usual today; said before the training."""
        return []

    def left_behind(self, errors: Mapping[str, Mapping[str, Any]], first: str = "") -> list[str]:
        """One sentence for each target that the loss has neglected for the sake of others, with the remedy; arguments
        as those of :func:`intertwine.tasks.verdict.neglected`.
        """
        return neglected(errors, self.weights, self.levers, first)

    def errors(self, target: str, mae: float, rmse: float, truth: Tensor | None) -> dict[str, Any]:
        """What the report and ``intertwine evaluate`` say of a target: numbers by name, and their ``unit``.

        Args:
            target: one of ``metrics``.
            mae: mean absolute residual over all of its components, in the unit of the metric.
            rmse: root mean square of the same.
            truth: the label of all structures, if there is one.

        Returns:
            ``mae``, ``rmse``, ``unit``; of points of space also ``mse``; of what structures have many of also ``size``,
            the root mean square of the label over all components. What a baseline makes of the same labels is added
            by :func:`intertwine.tasks.verdict.compared_with`.
        """
        metric, output = self.metrics[target], self.outputs.get(target)
        result = {"mae": mae, "rmse": rmse, "unit": metric.unit}
        if output is not None and output.affine:
            result["mse"] = rmse**2  # how the field reports errors of positions
        elif output is not None and truth is not None and not LEVELS[output.level].single:
            result["size"] = metric.factor * float(truth.to(torch.float64).square().nanmean().sqrt())
        return result

    def line(self, target: str, errors: dict[str, Any]) -> str:
        """:meth:`errors` as the words after the name of the target, on the line that ends a training."""
        mae, rmse = (f"{figure(errors[name])} {errors['unit']}".rstrip() for name in ("mae", "rmse"))
        mse = f", MSE {errors['mse']:.4g}" if "mse" in errors else ""
        share = of_the_baseline(errors.get("ratio", {}).values())
        return f"MAE {mae}, RMSE {rmse}{mse}" + (f" ({share})" if share else "")

    def pictures(
        self, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]
    ) -> dict[str, Callable[..., Any]]:
        """Pictures of its own for the run folder, besides parities: by the name of the file, functions that are called
        with ``path``.

        Args:
            graphs: of the test set, with labels.
            predictions: of each of them, arrays by name.
        """
        return {}

    def refit(self, graphs: Graphs) -> None:
        """Where the weights are another run's: move what is not trained and belongs to the data, such as the zero of
        energy, to these.

        Scales that multiply the network stay: it was trained under them.
        """

    def freeze(self, names: Sequence[str]) -> None:
        """Training leaves these parts alone, weights and statistics; names as in :func:`intertwine.nn.freeze`, also
        within the backbone.
        """
        self.frozen = freeze(self, names, "backbone")

    def train(self, mode: bool = True) -> Task:
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

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
            f"no {name!r}",
            where=f"graph {number} of the training set",
            remedy="give data with this label, or map its name with keys.",
        )
    if not bool(torch.isfinite(value).all()):
        raise DataError(
            f"{name!r} is not finite",
            where=f"graph {number} of the training set",
            remedy="remove or repair that entry.",
        )
    return value.to(torch.float64)
