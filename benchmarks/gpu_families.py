"""Spherical harmonics, linear layers and symmetric contractions on a graphics card, beside plain torch and the package
that people have: rows of the table of ``gpu.py``.

Bytes are those that must move: every input read once, every output written once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import torch
from gpu import timed
from torch import Tensor

from intertwine import o3
from intertwine.nn import SymmetricContraction

Function = Callable[..., Tensor]


class Size(NamedTuple):
    """How many rows and channels, the largest degree, and that of the polynomial of a contraction."""

    rows: int
    channels: int
    lmax: int
    correlation: int = 3


SIZES = {
    "harmonics": Size(10_000, 1, 3), "harmonics x 50": Size(500_000, 1, 3), "linear": Size(4_000, 128, 2),
    "linear x 10": Size(40_000, 128, 2), "contraction": Size(4_000, 128, 3),
}  # fmt: skip
TINY = {"harmonics": Size(3, 1, 1), "linear": Size(3, 2, 1), "contraction": Size(2, 2, 1, 1)}


class Problem:
    """The arguments of a size on a device, our layer as a function of them, and what others make of the same.

    Args:
        family: the first word of the name; size, device: of the arguments.
    """

    def __init__(self, family: str, size: Size, device: torch.device) -> None:
        torch.manual_seed(0)
        self.family, self.size, self.device = family, size, device
        self.degrees = list(range(size.lmax + 1))
        self.irreps = "+".join(f"{size.channels}x{l}{'eo'[l % 2]}" for l in self.degrees)
        self.species = (torch.arange(size.rows) % 10).to(device)
        generator = torch.Generator().manual_seed(0)
        columns = 3 if family == "harmonics" else size.channels * (size.lmax + 1) ** 2
        self.x = torch.randn(size.rows, columns, generator=generator).to(device)
        self.function, self.weights = getattr(self, f"_{family}")()
        with torch.no_grad():
            self.g = torch.randn_like(self.function(self.x, *self.weights))

    def _harmonics(self) -> tuple[Function, list[Tensor]]:
        layer = o3.SphericalHarmonics(self.degrees, normalize=True, normalization="component")
        return layer, []

    def _linear(self) -> tuple[Function, list[Tensor]]:
        layer = o3.Linear(self.irreps, self.irreps, layout="ir_mul").to(self.device)
        return layer, [layer.weight]

    def _contraction(self) -> tuple[Function, list[Tensor]]:
        outs = f"{self.size.channels}x0e+{self.size.channels}x1o"
        layer = SymmetricContraction(self.irreps, outs, self.size.correlation, 10).to(self.device)
        weights = [weight for weight in layer.weights if weight.numel()]
        return lambda x, *_: layer(x, self.species), weights

    def peer(self) -> tuple[str, Function, list[Tensor]]:
        """The name of a package, and its function of its own arguments."""
        from e3nn import o3 as theirs

        if self.family == "harmonics":
            layer = theirs.SphericalHarmonics(self.degrees, normalize=True, normalization="component").to(self.device)
            return "e3nn", layer, [self.x]
        if self.family == "linear":
            layer = theirs.Linear(self.irreps, self.irreps).to(self.device)
            return "e3nn", lambda x, _: layer(x), [self.x, layer.weight]
        from mace.modules.symmetric_contraction import SymmetricContraction as Theirs

        outs = theirs.Irreps(f"{self.size.channels}x0e+{self.size.channels}x1o")
        layer = Theirs(theirs.Irreps(self.irreps), outs, self.size.correlation, num_elements=10).to(self.device)
        one_hot = torch.nn.functional.one_hot(self.species, 10).to(self.x.dtype)
        x = self.x.view(len(self.x), -1, self.size.channels).mT.contiguous()
        weights = [weight for weight in layer.parameters() if weight.requires_grad]
        return "mace-torch", lambda x, *_: layer(x, one_hot), [x, *weights]

    def bytes(self, what: str) -> int:
        """Bytes that must move."""
        inputs = sum(tensor.nbytes for tensor in (self.x, *self.weights))
        return inputs + self.g.nbytes if what == "forward" else 3 * inputs + 2 * self.g.nbytes

    def deviation(self, rows: int = 1000) -> float:
        """Of the first rows, from plain torch; over the root mean square, in eps of float32."""
        first, species = self.x[:rows], self.species
        try:
            self.species = species[:rows]
            with torch.no_grad():
                computed, right = self.function(first, *self.weights), plain(self.function)(first, *self.weights)
        finally:
            self.species = species
        return float((computed - right).abs().max() / right.square().mean().sqrt() / torch.finfo(torch.float32).eps)


def plain(function: Function) -> Function:
    """The function without kernels."""

    def run(*arguments: Tensor) -> Tensor:
        before = os.environ.get("INTERTWINE_KERNELS")
        os.environ["INTERTWINE_KERNELS"] = "reference"
        try:
            return function(*arguments)
        finally:
            del os.environ["INTERTWINE_KERNELS"]
            os.environ |= {} if before is None else {"INTERTWINE_KERNELS": before}

    return run


def forward(function: Function, leaves: Sequence[Tensor]) -> Callable[[], Any]:
    """The result without gradients."""

    def run() -> Tensor:
        with torch.no_grad():
            return function(*leaves)

    return run


def backward(function: Function, leaves: Sequence[Tensor]) -> Callable[[], Any]:
    """The result and the gradients of all arguments."""
    g = torch.randn_like(forward(function, leaves)())
    return lambda: torch.autograd.grad(function(*leaves), leaves, g)


def forces(function: Function, leaves: Sequence[Tensor]) -> Callable[[], Any]:
    """Gradients of a loss on the derivatives to the features, as a loss on forces has."""
    g = torch.randn_like(forward(function, leaves)()).requires_grad_()

    def run() -> tuple[Tensor, ...]:
        (slope,) = torch.autograd.grad(function(*leaves), leaves[0], g, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), [*leaves, g], allow_unused=True)

    return run


TASKS = {"forward": forward, "forward + backward": backward, "force training": forces}


def rows_of(name: str, problem: Problem, copied: float, without: Collection[str] = ()) -> list[dict[str, Any]]:
    """The lines of the table for one size; a package that is not there, or refuses, is left out and named.

    Args:
        name: of the size; problem: its arguments; copied: bytes that a copy moves in a second.
        without: packages that are not asked for.
    """
    leaves = [x.detach().requires_grad_() for x in (problem.x, *problem.weights)]
    if problem.family == "contraction":  # the weights are the layer's own
        leaves = [leaves[0], *problem.weights]
    functions: dict[str, tuple[Function, list[Tensor]]] = {"ours": (problem.function, leaves)}
    missing: dict[str, str] = {}
    try:
        peer, function, given = problem.peer()
        if peer in without:
            missing[peer] = "not asked for"
        else:
            own = [given[0].detach().requires_grad_(), *given[1:]]
            forces(function, own)()
            functions[peer] = (function, own)
    except Exception as error:  # a peer's failure must not hide our figures
        missing["peer"] = f"{type(error).__name__}: {error}".splitlines()[0][:80]
    lines = []
    for task, prepare in TASKS.items():
        runs = {library: prepare(*pair) for library, pair in functions.items()}
        runs["plain torch"] = plain(prepare(problem.function, leaves))
        times = timed(runs)
        line: dict[str, Any] = {"size": name, "task": task} | {f"{library} ms": time for library, time in times.items()}
        line["missing"] = missing
        if task != "force training":
            line["bytes / copy bandwidth"] = problem.bytes(task) / (1e-3 * times["ours"]) / copied
        line["deviation, eps"] = problem.deviation() if task == "forward" else None
        lines.append(line)
    return lines
