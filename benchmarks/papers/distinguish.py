"""Can an architecture tell the two graphs of a pair apart, and does it learn to? Models of the size of the experiment,
their separation at random weights, and the training of the protocol of Joshi et al. 2023.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from pairs import Pair
from torch import Tensor, nn

from intertwine.models import MODELS
from intertwine.nn import Backbone
from intertwine.nn.readout import pool
from intertwine.numerics import InputError
from intertwine.o3 import Irreps

CUTOFF_ANGSTROM = 5.0  # A, the default; the edges, 1 to 2.9 A, are inside, where the envelope is above 0.7
LEARNING_RATE, EPOCHS, STEPS_PER_EPOCH = 1e-4, 100, 2  # of Adam; steps an epoch: one for each graph of a pair
SAME_RELATIVE_DIFFERENCE = 1e-12  # relative difference, in double precision, below which two results are one

WIDTHS = {1: 32, 2: 32, 3: 32, 5: 16, 10: 8}  # of features up to a degree


class Question(NamedTuple):
    """Layers of the model, largest degree of steerable features (None: the default), and what is read: "scalars",
    "handed" (pseudoscalars and other signs of handedness as well) or "all" irreps."""

    layers: int
    order: int | None
    read: str


def wider(model: nn.Module) -> None:
    """EGNN's authors start with steps of a thousandth; they would take more than 100 epochs to grow."""
    for name, parameter in model.named_parameters():
        if name.endswith("step.weight"):
            nn.init.xavier_uniform_(parameter)


#: Arguments that an architecture needs here besides the common ones.
ARGUMENTS: dict[str, dict[str, Any]] = {}
#: What is done to an architecture's initial weights.
START: dict[str, Callable[[nn.Module], None]] = {"egnn": wider}
#: Arguments that let an architecture see handedness, where it has no ``parity``.
HANDED: dict[str, dict[str, Any]] = {
    "esen": {"reflections": False},
    "frame_averaged_gnn": {"reflections": False},
    "mace": {"lmax": 3, "outputs": "0e+0o"},
}


def accepts(name: str) -> set[str]:
    """The arguments of an architecture."""
    return set(inspect.signature(MODELS[name]).parameters)


def steerable(name: str) -> bool:
    """Whether the degree of the features can be chosen."""
    return {"lmax", "outputs"} <= accepts(name)


@functools.cache
def vectors(name: str) -> bool:
    """Whether the results of an architecture have directions, at its defaults."""
    irreps = MODELS[name]().irreps_out
    return isinstance(irreps, Irreps) and any(ir.l for _, ir in irreps)


def build(name: str, question: Question, extra: Mapping[str, Any]) -> Backbone:
    """The model for a question; with arguments ``extra`` in addition to those of the tables above."""
    accepted, order = accepts(name), question.order
    arguments: dict[str, Any] = {
        "layers": question.layers,
        "cutoff": CUTOFF_ANGSTROM,
        "species": (6,),
        "average_degree": 2.0,
    }
    arguments["width"] = (WIDTHS[order] if order is not None else 32) if steerable(name) else 64
    if name == "mpnn":
        arguments["cutoff"] = None
    if order is not None and steerable(name):
        outputs = "+".join(f"1x{ir}" for _, ir in Irreps.spherical_harmonics(order))
        arguments |= {"lmax": order, "mmax": order, "hidden_lmax": order, "outputs": outputs, "correlation": 1}
    elif steerable(name):
        arguments["outputs"] = "0e"
    arguments |= ARGUMENTS.get(name, {}) | dict(extra)
    arguments = {key: value for key, value in arguments.items() if key in accepted}
    if question.read == "handed":
        handed = HANDED.get(name, {"parity": True, "outputs": "0e+0o"} if "parity" in accepted else {})
        if handed:
            try:
                return MODELS[name](**(arguments | handed))
            except InputError:  # nothing leads to pseudoscalars at this depth
                pass
    return MODELS[name](**arguments)


class Classifier(nn.Module):
    """Sum over the nodes of what is read, and two logits: by an MLP from scalars, linear from all irreps."""

    def __init__(self, model: Backbone, read: str) -> None:
        super().__init__()
        self.model, self.read = model, read
        irreps = model.irreps_out
        assert isinstance(irreps, Irreps)
        self.irreps = irreps
        width = irreps.dim if read == "all" else irreps.count("0e") + irreps.count("0o")
        self.head = (
            nn.Linear(width, 2)
            if read == "all"
            else nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
        )

    def pooled(self, graph) -> Tensor:
        f = self.model(graph)
        if self.read != "all":
            f = torch.cat([self.irreps.part(f, ir).flatten(1) for ir in ("0e", "0o") if self.irreps.count(ir)], dim=1)
        return pool(f, graph)

    def forward(self, graph) -> Tensor:
        return self.head(self.pooled(graph))


def classifier(name: str, question: Question, extra: Mapping[str, Any], seed: int) -> Classifier:
    torch.manual_seed(seed)
    model = build(name, question, extra)
    START.get(name, lambda model: None)(model)
    return Classifier(model, question.read).double()


def difference(values: Tensor) -> float:
    """Of two rows: the largest difference, relative to the largest value."""
    return float((values[0] - values[1]).abs().max() / values.abs().max().clamp(min=1e-300))


def separation(
    name: str, question: Question, extra: Mapping[str, Any], pair: Pair, scales: tuple[float, ...] = (1.0, 3.0)
) -> float:
    """How far the pooled features of the two graphs are apart at random weights, relatively, in double precision.

    They are analytic functions of the weights almost everywhere: where they agree at random weights they agree at all
    weights. Large weights (initial ones times 3) make much of small terms of high order.
    """
    graph, differences = pair.batch(), []
    with torch.no_grad():
        for scale in scales:
            model = classifier(name, question, extra, 0)
            for parameter in model.model.parameters():
                parameter *= scale
            differences.append(difference(model.pooled(graph)))
    return max(x for x in differences if math.isfinite(x))


def learn(
    name: str, question: Question, extra: Mapping[str, Any], pair: Pair, seed: int, possible: bool = True
) -> dict[str, float]:
    """Train as the protocol does: both graphs are training set and test set; the result is that of the best epoch.

    Both graphs are in one batch, and there are two steps an epoch, as many as with batches of one. Training ends when
    both are right, since nothing can be better, and after five epochs where it is not possible (:func:`separation`) and
    the two logits agree to rounding.

    Returns:
        accuracy (50 or 100), epochs, and the separation of the pooled features before training.
    """
    graph, labels = pair.batch(), torch.tensor([0, 1])
    model = classifier(name, question, extra, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.9, patience=25, min_lr=1e-5)
    with torch.no_grad():
        before = difference(model.pooled(graph))
    best, epoch = 0.0, 0
    for epoch in range(1, EPOCHS + 1):
        for _ in range(STEPS_PER_EPOCH):
            logits = model(graph)
            right = 100 * float((logits.detach().argmax(1) == labels).double().mean())
            optimizer.zero_grad()
            F.cross_entropy(logits, labels).backward()
            optimizer.step()
        schedule.step(right)
        best = max(best, right)
        if best == 100 or (epoch == 5 and not possible and difference(logits.detach()) < SAME_RELATIVE_DIFFERENCE):
            break
    return {"accuracy": max(best, 50.0), "epochs": epoch, "separation": before}
