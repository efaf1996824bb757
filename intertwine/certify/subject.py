"""What is certified: any map from a Graph to tensors, brought to one form, in one precision, without touching the
original.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.certify.pixels import KINDS
from intertwine.certify.spread import redrawn, seeded
from intertwine.geometry import LEVELS, Graph, connect
from intertwine.groups import Representation
from intertwine.numerics import InputError, choose
from intertwine.o3 import Irreps

Weights = dict[str, Tensor]


class Quantity(NamedTuple):
    """What an output is.

    Attributes:
        representation: how it transforms.
        level: what its rows belong to, one of :data:`intertwine.geometry.LEVELS`, or "" while not known.
        unit: "eV" for example.
        affine: a point of space, which translations move.
    """

    representation: Representation
    level: str
    unit: str = ""
    affine: bool = False


class Subject:
    """A function of graphs in one precision.

    Args:
        function: takes a Graph, returns a tensor or a dict of tensors; a module is copied, set to evaluation and cast.
        quantities: what its outputs are.
        dtype: precision.
        cutoff: radius (A) at which edges are built for a function that does not build them itself; None for all pairs.
        device: where it computes; graphs come from the CPU, and outputs go back there.

    Raises:
        InputError: the module can't be copied.
    """

    def __init__(
        self,
        function: Callable[[Graph], Any],
        quantities: dict[str, Quantity],
        dtype: torch.dtype,
        cutoff: float | None,
        device: torch.device | None = None,
    ) -> None:
        self.function, self.dtype, self.device = in_precision(function, dtype, device), dtype, device
        self.quantities = dict(quantities)
        self.kind = tried_on(function)
        self.connects = hasattr(function, "cutoff") or self.kind in KINDS
        self.seed: int | None = None
        self.cutoff: float | None = None if self.kind in KINDS else getattr(function, "cutoff", cutoff)

    def __call__(self, graph: Graph) -> dict[str, Tensor]:
        """The outputs, detached, each with the rows of its level first and the axes of its representation last."""
        return {name: value.detach() for name, value in self.evaluate(graph).items()}

    def at(self, seed: int, graph: Graph) -> dict[str, Tensor]:
        """The outputs of another draw: torch's random numbers are those of the seed, and what a module keeps of an
        earlier draw is drawn anew (:func:`~intertwine.certify.spread.redrawn`).
        """
        kept = self.seed, self.function
        self.seed, self.function = seed, redrawn(self.function, seed)
        try:
            return self(graph)
        finally:
            self.seed, self.function = kept

    def evaluate(self, graph: Graph) -> dict[str, Tensor]:
        """The outputs with their history.

        Raises:
            InputError: outputs that are not tensors of the declared shape.
        """
        graph = (
            self.connected(graph)
            if self.connects
            else graph
            if graph.get("edge_index") is not None
            else connect(graph, self.cutoff)
        )
        if self.device is not None:
            graph = graph.to(self.device)
        result = self.function(graph) if self.seed is None else seeded(lambda: self.function(graph), self.seed)
        named = result if isinstance(result, Mapping) else {"output": result}
        # a stress, say, is there for periodic graphs only
        present = [name for name in self.quantities if name in named]
        if not present:
            raise InputError(
                f"none of {list(self.quantities)} returned; returned: {sorted(map(str, named))}",
                where="outputs",
                remedy="return every declared output by its name.",
            )
        outputs = {name: self._shaped(name, named[name], graph) for name in present}
        return outputs if self.device is None else {name: value.to("cpu") for name, value in outputs.items()}

    def connected(self, graph: Graph) -> Graph:
        """The graph with edges, where an output is of those that are given."""
        return connect(graph, self.cutoff) if graph.get("edge_index") is None and of_edges(self.quantities) else graph

    def gradient(
        self, graph: Graph, weights: Weights | Callable[[dict[str, Tensor]], Weights]
    ) -> Float[Tensor, "nodes n"] | None:
        """Derivative of the sum of outputs, weighted, with respect to positions; None where autograd sees no path.

        ``weights`` is by name (an output that is not named does not count), or a function of the outputs that gives it.
        A module that detaches its results when it is not training (a task) is told that it trains; its parts are not,
        so dropout and the like stay off.
        """
        graph = graph.clone()
        graph.pos = graph.pos.detach().clone().requires_grad_()
        module = self.function if isinstance(self.function, nn.Module) else None
        if module is not None:
            module.training = True
        try:
            outputs = self.evaluate(graph)
            named = weights(outputs) if callable(weights) else weights
            counted = [name for name in outputs if name in named]
            total = sum((outputs[name] * named[name].to(outputs[name])).sum().to(torch.float64) for name in counted)
            if not isinstance(total, Tensor) or not total.requires_grad:
                return None
            return torch.autograd.grad(total, graph.pos, allow_unused=True)[0]
        finally:
            if module is not None:
                module.training = False

    def learn_levels(self, graph: Graph) -> None:
        """Find out from one graph what the rows of an output of unknown level belong to: the first level that has as
        many.
        """
        if all(quantity.level for quantity in self.quantities.values()):
            return
        for name, value in self(graph).items():
            quantity = self.quantities[name]
            if quantity.level:
                continue
            counts = {level: LEVELS[level].rows(graph) for level in LEVELS}
            fitting = [level for level, count in counts.items() if count == value.shape[0]]
            if not fitting:
                rows = ", ".join(f"{count} of {level}s" for level, count in counts.items() if count is not None)
                what = f"{name} has {value.shape[0]} rows; the graph has {rows}"
                raise InputError(what, where="outputs", remedy="return one row per node, graph, pair or point.")
            self.quantities[name] = quantity._replace(level=fitting[0])

    def _shaped(self, name: str, value: Any, graph: Graph) -> Tensor:
        representation, level = self.quantities[name][:2]
        if not isinstance(value, Tensor) or value.ndim == 0:
            kind = "a tensor without axes" if isinstance(value, Tensor) else type(value).__name__
            remedy = "return a tensor whose first axis is the node, graph, pair or point."
            raise InputError(f"{name} is {kind}", where="outputs", remedy=remedy)
        if representation.axes == 1 and representation.dim == 1 and value.ndim == 1:
            value = value.unsqueeze(-1)
        if representation.axes == 1 and (value.ndim < 2 or value.shape[-1] != representation.dim):
            raise InputError(
                f"{name} has shape {tuple(value.shape)}, "
                f"its representation {representation} has {representation.dim} components",
                where="irreps_out",
                remedy="declare what is returned.",
            )
        rows = LEVELS[level].rows(graph) if level else None
        if rows is not None and value.shape[0] != rows:
            what = f"{name} has {value.shape[0]} rows, expected one per {level}: {rows}"
            raise InputError(
                what, where="outputs", remedy=f"return one row per {level}, or declare the level that it has."
            )
        return value


def in_precision(
    function: Callable[[Any], Any], dtype: torch.dtype, device: torch.device | None = None
) -> Callable[[Any], Any]:
    """The function; of a module a copy of that precision, set to evaluation, on the device if one is given.

    Raises:
        InputError: the module can't be copied.
    """
    if not isinstance(function, nn.Module):
        return function
    try:
        return copy.deepcopy(function).to(device=device, dtype=dtype).eval()
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"the module can't be copied: {error}",
            where=type(function).__name__,
            remedy="keep no results of a forward pass in its attributes.",
        ) from error


def tried_on(function: Callable[[Any], Any]) -> str:
    """What a function is tried on, by its attribute ``trials``: that of a task, or of its model where the task leaves
    it open.
    """
    own, inner = (getattr(f, "trials", "molecules") for f in (function, getattr(function, "backbone", None)))
    return inner if own == "molecules" else own


def claimed_error_of(function: Callable[[Any], Any], stated: float | None = None) -> float | None:
    """The relative error of its symmetry that a function claims, by its attribute ``claimed_error`` or that of its
    backbone: it averages by quadrature. None if it claims to have none; ``stated``, if not None, replaces it.
    """
    own = getattr(getattr(function, "backbone", function), "claimed_error", None)
    return own if own is None or stated is None else stated


def undefined_of(function: Callable[[Any], Any], x: Any) -> str:
    """Why a function, or its backbone, claims nothing of an input, by its method ``undefined``: one reason for each
    graph, "" where there is none.
    """
    undefined: Any = getattr(function, "undefined", None)
    undefined = undefined or getattr(getattr(function, "backbone", function), "undefined", None)
    if undefined is None or not isinstance(x, Graph):
        return ""
    return next((reason for reason in undefined(x) if reason), "")


def unclaimed(reasons: Mapping[str, str]) -> str:
    """The inputs of which nothing is claimed, in words, from the reasons by name of the input."""
    return "frames not unique, and nothing claimed, for " + ", ".join(f"{k} ({why})" for k, why in reasons.items())


def declare(
    function: Callable[[Graph], Any], irreps_out: str | Representation | Mapping[str, Any] | None
) -> dict[str, Quantity]:
    """What a function says it returns: its ``outputs`` (a task), or ``irreps_out``, given here or as its attribute.

    Args:
        function: the function.
        irreps_out: a string such as "64x0e + 1o", a representation, or a dict of either by output name.

    Raises:
        InputError: it declares nothing.
    """
    outputs = getattr(function, "outputs", None)
    if irreps_out is None and isinstance(outputs, Mapping):
        return {
            name: Quantity(
                _representation(o.representation),
                choose(o.level, LEVELS, kind="level", where=f"outputs of {name_of(function)}: {name}"),
                getattr(o, "unit", ""),
                getattr(o, "affine", False),
            )
            for name, o in outputs.items()
        }
    declared = irreps_out if irreps_out is not None else getattr(function, "irreps_out", None)
    if declared is None:
        raise InputError(
            "the function does not say what it returns",
            where=name_of(function),
            remedy='give it an attribute irreps_out = "0e" (or "16x0e + 1o", ...), or pass irreps_out=.',
        )
    named = declared if isinstance(declared, Mapping) else {"output": declared}
    return {name: Quantity(_representation(value), "") for name, value in named.items()}


def of_edges(quantities: Mapping[str, Quantity]) -> bool:
    """Whether an output has the rows of the edges that it is given, which must then stay the same ones."""
    return any(LEVELS[quantity.level].lists == "edge_index" for quantity in quantities.values() if quantity.level)


def name_of(function: Callable[[Graph], Any]) -> str:
    """A module's class or a function's name; a task is named with its backbone."""
    backbone = getattr(function, "backbone", None)
    own = getattr(function, "__name__", type(function).__name__)
    return f"{own} of {type(backbone).__name__}" if isinstance(backbone, nn.Module) else own


def _representation(value: Any) -> Representation:
    if isinstance(value, str):
        return Irreps(value)
    if not isinstance(value, Representation):
        raise InputError(
            f"{value!r} is not a representation",
            where="irreps_out",
            remedy='give a string such as "0e + 1o", Irreps, Cartesian or DirectSum.',
        )
    return value
