"""A class of a whole graph (an image, a cloud of points, a signal), or of each of its nodes (segmentation)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, Graphs
from intertwine.groups import Cartesian
from intertwine.nn import MLP, Backbone, invariant_columns, pool
from intertwine.numerics import DataError, InputError, choose
from intertwine.numerics.signature import arguments
from intertwine.tasks import class_data, class_pictures
from intertwine.tasks.baselines import Baseline, Majority
from intertwine.tasks.task import Metric, Output, Pace, Suggestion, Task, label
from intertwine.tasks.verdict import percent

LOGITS, ERROR, CROSS_ENTROPY = "logits", "error", "cross_entropy"
#: What an entry of the data is -> the architecture that learns it where the user names none.
MODELS_BY_DOMAIN = {
    "image": "p4cnn",
    "point cloud": "painn",
    "voxels": "steerable_cnn_3d",
    "spherical signal": "clebsch_gordan_net",
}


class Classification(Task):
    r"""One of K classes, of a graph or of each node:

    .. math::
        \ell = W \operatorname{pool}_i s_i + b, \qquad p = \operatorname{softmax}(\ell), \qquad
        L = \frac{\sum_n w_{y_n} \big[-(1 - \epsilon) \log p_{y_n} - \tfrac{\epsilon}{K} \sum_k \log p_k\big]}
        {\sum_n w_{y_n}}

    with the invariant features :math:`s_i` of the nodes, label smoothing :math:`\epsilon` (Szegedy et al. 2016,
    arXiv:1512.00567, section 7) and weights w of the classes. Of a node :math:`\ell_i = W s_i + b`. It predicts
    ``logits``, which are invariants; a user is told ``class``, the name of the most probable one, and ``probability``.
    The errors are the share of wrong answers (%) and the cross-entropy (nat), without smoothing and weights.

    Args:
        backbone: a model with invariant features.
        classes: names of the classes 0, 1, ..., or their number (no unit).
        target: name of the label in the data: whole numbers from 0.
        level: "graph", or "node" for a label of each node.
        readout: "mean", "max" or "sum" over the nodes of a graph; not used where the model has pooled already.
        hidden: width of a hidden layer between pooling and logits (no unit); 0 for none.
        smoothing: label smoothing :math:`\epsilon`, from 0 to below 1 (no unit).
        class_weights: w: "none" (all 1), "balanced" (:math:`n / (K n_k)` with the numbers of the training set), or one
            number for each class.
        loss: "cross_entropy", the only one.

    Raises:
        InputError: fewer than two classes, names that are not different, a number out of range; a model that has
            pooled for classes of nodes, or that has no invariant features.
    """

    name = "classification"
    pace = Pace(batch_size=32, learning_rate=2e-3, steps=1_500, least=10, most=100)
    loss_arguments = ("loss", "smoothing", "class_weights")
    loss_buffers = ("balance",)
    heading = ""
    counts: Tensor
    balance: Tensor
    columns: Tensor

    def __init__(
        self, backbone: Backbone, classes: Sequence[str] | int = 2, target: str = "label", level: str = "graph",
        readout: str = "mean", hidden: int = 0, smoothing: float = 0.0,
        class_weights: str | Sequence[float] = "none", loss: str = CROSS_ENTROPY,
    ) -> None:  # fmt: skip
        super().__init__(backbone)
        if loss != CROSS_ENTROPY:
            raise InputError(f"loss {loss!r}", where="loss", remedy="leave it out: this task has cross-entropy alone.")
        self.loss = loss
        self.classes = tuple(map(str, range(classes))) if isinstance(classes, int) else tuple(map(str, classes))
        k = len(self.classes)
        if k < 2 or len(set(self.classes)) < k:
            what = f"{k} class{'' if k == 1 else 'es'}" if k < 2 else "two classes of one name"
            raise InputError(
                what, where="classes", remedy="give two or more different names, or a number of 2 or more."
            )
        self.target, self.level = target, choose(level, ("graph", "node"), kind="level", where="level")
        self.readout = choose(readout, ("mean", "max", "sum"), kind="readout", where="readout")
        if level == "node" and backbone.level == "graph":
            remedy = "choose a model that keeps features of nodes, or learn classes of whole graphs."
            raise InputError(f"{type(backbone).__name__} pools over the nodes", where="model", remedy=remedy)
        for what, number, right in (("smoothing", smoothing, 0 <= smoothing < 1), ("hidden", hidden, hidden >= 0)):
            if not right:
                remedy = "give 0 or more, and of smoothing less than 1."
                raise InputError(f"{what} is {number}", where=what, remedy=remedy)
        self.smoothing, self.class_weights = smoothing, class_weights
        self.register_buffer("columns", torch.tensor(invariant_columns(backbone.irreps_out)), persistent=False)
        width = len(self.columns)
        self.head = MLP([width, hidden, k]) if hidden else nn.Linear(width, k)
        self.register_buffer("counts", torch.zeros(k, dtype=torch.float64))  # of the training set
        self.register_buffer("balance", torch.as_tensor(_weights(class_weights, k), dtype=torch.float32))
        self.outputs = {LOGITS: Output(Cartesian(0), level, "", label=target)}
        self.metrics = {ERROR: Metric("%", 100.0), CROSS_ENTROPY: Metric("nat")}
        self.weights = {CROSS_ENTROPY: 1.0}

    @classmethod
    def suits(cls, data: Graphs, target: str | None) -> bool:
        return class_data.label_of(data, target) is not None

    @classmethod
    def default_model(cls, data: Graphs, target: str | None) -> str:
        """By what an entry is: an image, a cloud of points, voxels, a signal on the sphere."""
        return MODELS_BY_DOMAIN.get(getattr(data, "domain", "graph")) or super().default_model(data, target)

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone], told: Mapping[str, Any]) -> Suggestion:
        """The classes with their names, their level, the form of images and signals, and of nodes that are no atoms a
        cutoff by their spacing.

        Raises:
            InputError: no label that is a class, or a single class.
        """
        name = target or class_data.label_of(data, target) or "label"
        classes = told.get("classes") or class_data.classes_of(data, name)
        level = "node" if getattr(data, "levels", {}).get(name) == "node" else "graph"
        wanted = dict(super().suggest(data, name, model, told)["model"])
        if "z" not in data.fields and "cutoff" in arguments(model) and model.EDGES:
            wanted["cutoff"] = class_data.reach(data)
            if wanted["cutoff"] < class_data.FINE:
                wanted["radial"] = "gaussian"
        wanted |= {"scale": class_data.extent(data)} | class_data.form(data)
        if level == "node":
            wanted["level"] = level
        return {"task": {"target": name, "classes": classes, "level": level}, "model": wanted}

    def labels(self, fields: Iterable[str]) -> list[str]:
        return [self.target]

    def output_of(self, target: str) -> str:
        return LOGITS

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        s = self.backbone(graph)[:, self.columns]
        if self.level == "graph" and self.backbone.level == "node":
            s = pool(s, graph, self.readout)
        return {LOGITS: self.head(s)}

    def truth(self, graph: Graph) -> Int[Tensor, " rows"] | None:
        """The classes of a graph or a batch; None where there are none.

        Raises:
            DataError: a label that is no class of this task; it is named.
        """
        y = graph.get(self.target)
        if y is None:
            return None
        y = y.reshape(-1)
        wrong = ~torch.isfinite(y) | (y < 0) | (y >= len(self.classes)) | (y != y.round())
        if bool(wrong.any()):
            k = int(wrong.nonzero()[0])
            what = f"{self.target} {y[k].item()} of {self.level} {k}, and the classes are 0 to {len(self.classes) - 1}"
            raise DataError(what, where=self.target, remedy="repair the label, or give the task all classes.")
        return y.to(torch.int64)

    def losses(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, tuple[Tensor, int | float]]:
        if (y := self.truth(graph)) is None:
            return {}
        logits = prediction[LOGITS]
        w = self.balance.to(logits)
        total = nn.functional.cross_entropy(logits, y, w, label_smoothing=self.smoothing, reduction="sum")
        return {CROSS_ENTROPY: (total, float(w[y].sum()))}

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        """Of each row 1 for a wrong answer and 0 for a right one, and the cross-entropy (nat)."""
        if (y := self.truth(graph)) is None:
            return {}
        logits = prediction[LOGITS].to(self.dtype)
        wrong = logits.argmax(1) != y
        return {
            ERROR: wrong.to(self.dtype),
            CROSS_ENTROPY: nn.functional.cross_entropy(logits, y, reduction="none"),
        }

    def make_baselines(self) -> dict[str, Baseline]:
        """The most frequent class."""
        return {LOGITS: Majority(self.target, self.classes)}

    def fit(self, graphs: Iterable[Graph]) -> None:
        """Count the classes of the training set.

        Raises:
            DataError: a label is missing or is no class; or all are of a single class.
        """
        counts = torch.zeros(len(self.classes), dtype=torch.float64)
        for number, graph in enumerate(graphs):
            label(graph, self.target, number)  # is there, and finite
            try:
                y = cast(Tensor, self.truth(graph))
            except DataError as error:
                raise DataError(error.what, where=f"graph {number} of the training set", remedy=error.remedy) from error
            counts += torch.bincount(y, minlength=len(counts))
        if int((counts > 0).sum()) < 2:
            what = "the training set is empty" if not counts.any() else "all of the training set is of a single class"
            raise DataError(what, where="training set", remedy="give data of two classes or more.")
        self.counts.copy_(counts)
        if self.class_weights == "balanced":
            self.balance.copy_(counts.sum() / (len(counts) * counts.clamp(min=1)))

    def doubts(self, data: Graphs) -> list[str]:
        if not len(data) or not hasattr(data, "field") or self.target not in data.fields or not self.counts.any():
            return []
        return class_data.untrained(data.field(self.target), self.counts, self.classes)

    def cautions(self) -> list[str]:
        absent = [name for name, count in zip(self.classes, self.counts.tolist(), strict=True) if not count]
        return [f"no entry of class {name!r} in the training set: it is never predicted rightly" for name in absent]

    def errors(self, target: str, mae: float, rmse: float, truth: Tensor | None) -> dict[str, Any]:
        """``error`` and ``accuracy`` (%), or ``cross_entropy`` (nat)."""
        if target == ERROR:
            return {"error": mae, "accuracy": 100 - mae, "unit": self.metrics[target].unit}
        return {"cross_entropy": mae, "unit": self.metrics[target].unit}

    def line(self, target: str, errors: dict[str, Any]) -> str:
        share = "".join(f" ({percent(ratio)} of the baseline's)" for ratio in errors.get("ratio", {}).values())
        if target == ERROR:
            return f"{errors['error']:.3g} % wrong, accuracy {errors['accuracy']:.4g} %{share}"
        return f"{errors['cross_entropy']:.4g} {errors['unit']}{share}"

    def answer(self, prediction: dict[str, Any]) -> dict[str, Any]:
        """With ``class``, the name of the most probable one, and ``probability`` of each, in the order of the names."""
        probability = probabilities(prediction[LOGITS])
        names = np.asarray(np.array(self.classes)[probability.argmax(-1)])
        return {"class": names, "probability": probability, **prediction}

    @property
    def told(self) -> list[str]:
        return ["class", "probability"]

    def pictures(
        self, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]
    ) -> dict[str, Callable[..., Any]]:
        """``confusion.png``, ``examples.png``, and ``error_by_angle.png`` where an entry can be turned."""
        kept = [k for k, graph in enumerate(graphs) if graph.get(self.target) is not None]
        if not kept:
            return {}
        graphs, predictions = [graphs[k] for k in kept], [predictions[k] for k in kept]
        pictured = functools.partial(class_pictures.confusion, self.classes, self.target, graphs, predictions)
        result: dict[str, Callable[..., Any]] = {"confusion.png": pictured}
        if self.level == "graph":
            result["examples.png"] = functools.partial(
                class_pictures.examples, self.classes, self.target, graphs, predictions
            )
            if class_pictures.turns(graphs[0]):
                result["error_by_angle.png"] = functools.partial(
                    class_pictures.error_by_angle, self, self.target, graphs
                )
        return result

    def describe(self) -> dict[str, Any]:
        return {"classes": list(self.classes), "training entries": [int(count) for count in self.counts.tolist()]}


def probabilities(logits: Float[np.ndarray, "*rows k"]) -> Float[np.ndarray, "*rows k"]:
    """The softmax of logits, in float64, along the last axis."""
    powers = np.exp(np.asarray(logits, dtype=np.float64) - np.max(logits, axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _weights(told: str | Sequence[float], k: int) -> list[float]:
    """The weights of the classes before the training set is known."""
    if isinstance(told, str):
        choose(told, ("none", "balanced"), kind="weights", where="class_weights")
        return [1.0] * k
    if len(told) != k or not all(0 < float(w) < float("inf") for w in told):
        what = f"{len(told)} weights for {k} classes" if len(told) != k else "a weight that is not positive"
        raise InputError(what, where="class_weights", remedy='give a positive number for each class, or "balanced".')
    return [float(w) for w in told]
