r"""Predictions that do not look at the geometry, fitted to the training set: what a model has to beat."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry import LEVELS, Graph
from intertwine.groups import Cartesian, Isometry, Representation
from intertwine.tasks.output import Output
from intertwine.tasks.references import ATOMIC_NUMBERS, composition, is_isolated

TRIED_ISOMETRIES = 4  # random rotations and reflections, of which a constant must be invariant under all
INVARIANT_TOLERANCE = 1e-9  # singular value below which a direction counts as invariant


class Baseline(ABC):
    """A prediction of one target that does not look at the geometry.

    Attributes:
        name: what reports call it: "zero", "mean", "mean by species", "linear motion".
        coefficients: what was fitted, float64; None before that.
    """

    name: str = ""
    coefficients: Tensor | None = None

    @abstractmethod
    def add(self, graph: Graph) -> None:
        """Take in a graph of the training set; one without the label is passed over."""

    @abstractmethod
    def fit(self) -> None:
        """Find the coefficients from the graphs that were taken in, and forget these."""

    @abstractmethod
    def predict(self, graph: Graph, like: Tensor) -> Tensor | None:
        """The prediction for a graph or a batch; None where it was not fitted, or is not of the label's form.

        Args:
            graph: on the device of ``like``.
            like: what the model predicts: (rows, ...).
        """


class Constant(Baseline):
    r"""The best constant: for each row of the target

    .. math:: \hat y = \sum_k c_{k}\, b_k \quad\text{or}\quad \sum_k c_{z k}\, b_k \quad\text{(of a node)}, \qquad
        \hat y = \sum_i \sum_k c_{z_i k}\, b_k \quad\text{(extensive)}

    with the tensors :math:`b_k` that no isometry changes, and c by least squares over the training set. A vector has
    none, so that its baseline is "zero"; that of a symmetric tensor is its mean isotropic part, :math:`b = 1/\sqrt3`.
    It is the only kind of constant that an equivariant model can predict.

    Args:
        field: of the label.
        output: what is predicted.
    """

    def __init__(self, field: str, output: Output) -> None:
        self.field, self.output = field, output
        self.basis: Float[Tensor, "dim k"] | None = None
        self._dimension = 0
        self._forget()

    def _forget(self) -> None:
        self._rows: list[tuple[Tensor, Tensor, bool]] = []  # numbers of atoms, label, whether it is an isolated atom
        self._sums: Tensor | float = 0.0
        self._counts = torch.zeros(ATOMIC_NUMBERS, dtype=torch.float64)

    @property
    def name(self) -> str:  # type: ignore[override]
        if self.basis is None or not self.basis.shape[1]:
            return "zero" if not self.output.affine else "zero displacement"
        return "mean by species" if self.coefficients is not None and len(self.coefficients) > 1 else "mean"

    def add(self, graph: Graph) -> None:
        truth = graph.get(self.field)
        if truth is None or self.field == LEVELS[self.output.level].place:
            return
        basis = self._invariants(graph.pos.shape[-1])
        if not basis.shape[1] or truth.numel() % len(basis):
            return
        y = truth.to(torch.float64).reshape(-1, len(basis)) @ basis
        z = graph.get("z")
        if self.output.extensive:
            atoms = composition(z) if z is not None else y.new_tensor([graph.num_nodes])
            if len(y) == 1 and bool(y.isfinite().all()):
                self._rows.append((atoms, y[0], is_isolated(graph)))
            return
        species = z if z is not None and self.output.level == "node" else None
        feature = torch.zeros(len(y), dtype=torch.int64) if species is None else species
        there = y.isfinite().all(1)
        if len(feature) == len(y):
            size = ATOMIC_NUMBERS if species is not None else 1
            self._sums = self._sums + y.new_zeros(size, y.shape[1]).index_add(0, feature[there], y[there])
            self._counts += torch.bincount(feature[there], minlength=ATOMIC_NUMBERS)

    def fit(self) -> None:
        if self._rows:
            whole = [row for row in self._rows if not row[2]] or self._rows
            a, y = torch.stack([row[0] for row in whole]), torch.stack([row[1] for row in whole])
            self.coefficients = torch.linalg.lstsq(a, y, driver="gelsd").solution
        elif isinstance(self._sums, Tensor):
            self.coefficients = self._sums / self._counts[: len(self._sums)].clamp(min=1).unsqueeze(1)
        self._forget()

    def predict(self, graph: Graph, like: Tensor) -> Tensor | None:
        basis = self._invariants(graph.pos.shape[-1])
        place = LEVELS[self.output.level].place if self.output.affine else ""
        if not len(like) or like.numel() != len(like) * len(basis) or self.field == LEVELS[self.output.level].place:
            return None
        if not basis.shape[1]:
            return like.new_zeros(like.shape) + (graph[place].reshape(like.shape) if place else 0.0)
        if self.coefficients is None or self.coefficients.shape[1] != basis.shape[1]:
            return None
        weights = self._features(graph, len(like), len(self.coefficients))
        if weights is None:
            return None
        value = (weights @ self.coefficients @ basis.T).reshape(like.shape).to(like.device)
        return value + graph[place].reshape(like.shape) if place else value

    def _features(self, graph: Graph, rows: int, features: int) -> Tensor | None:
        """What each row's constant is the sum of, on the CPU (rows, features)."""
        z = graph.get("z")
        if features == 1 and not self.output.extensive:
            return torch.ones(rows, 1, dtype=torch.float64)
        owner = torch.arange(rows) if self.output.level == "node" else graph.membership().cpu()
        which = torch.zeros_like(owner) if features == 1 else None if z is None else z.cpu()
        if which is None or len(which) != len(owner):
            return None
        return _counted(owner, which, rows, features)

    def _invariants(self, dimension: int) -> Tensor:
        if self.basis is None or dimension != self._dimension:
            self._dimension, self.basis = dimension, invariants(self.output.representation, dimension)
        return self.basis


class LinearMotion(Baseline):
    r""":math:`\hat x_i = x_i + \tau v_i` with the time :math:`\tau` by least squares over the training set, as in the
    row "Linear" of Satorras et al. 2021 (EGNN), table 2.

    Args:
        field: of the later positions.
    """

    name = "linear motion"

    def __init__(self, field: str) -> None:
        self.field = field
        self._sums = torch.zeros(2, dtype=torch.float64)

    def add(self, graph: Graph) -> None:
        later, v = graph.get(self.field), graph.get("vel")
        if later is not None and v is not None:
            moved, v = (later - graph.pos).to(torch.float64), v.to(torch.float64)
            there = moved.isfinite() & v.isfinite()
            self._sums += torch.stack([(moved * v)[there].sum(), (v * v)[there].sum()])

    def fit(self) -> None:
        if self._sums[1] > 0:
            self.coefficients = (self._sums[0] / self._sums[1]).reshape(1, 1)
        self._sums = torch.zeros(2, dtype=torch.float64)

    def predict(self, graph: Graph, like: Tensor) -> Tensor | None:
        if self.coefficients is None or graph.get("vel") is None:
            return None
        return graph.pos + float(self.coefficients) * graph.vel.to(graph.pos.dtype)


class Majority(Baseline):
    r"""The classes by their frequency in the training set, whatever the graph: logits
    :math:`\log \frac{n_k + 1}{n + K}`, so that the answer is the most frequent class.

    Args:
        field: of the label.
        classes: their names.
    """

    def __init__(self, field: str, classes: Sequence[str]) -> None:
        self.field, self.classes = field, classes
        self._counts = torch.zeros(len(classes), dtype=torch.float64)

    @property
    def name(self) -> str:  # type: ignore[override]
        if self.coefficients is None:
            return "most frequent class"
        return f"always {self.classes[int(self.coefficients.argmax())]!r}"

    def add(self, graph: Graph) -> None:
        if (y := graph.get(self.field)) is not None:
            y = y.reshape(-1)
            k = len(self.classes)
            self._counts += torch.bincount(y[(y >= 0) & (y < k)].to(torch.int64), minlength=k)

    def fit(self) -> None:
        if self._counts.any():
            smoothed = self._counts + 1
            self.coefficients = (smoothed / smoothed.sum()).log().unsqueeze(0)
        self._counts = torch.zeros_like(self._counts)

    def predict(self, graph: Graph, like: Tensor) -> Tensor | None:
        if self.coefficients is None or like.shape[-1] != self.coefficients.shape[1]:
            return None
        return self.coefficients.to(like.device).expand(like.shape)


def invariants(representation: Representation, dimension: int) -> Float[Tensor, "dim k"]:
    r"""An orthonormal basis of the vectors with :math:`\rho(Q) b = b` for all orthogonal Q, float64.

    Args:
        representation: :math:`\rho`.
        dimension: of space; that of a Cartesian tensor is replaced by it.
    """
    if isinstance(representation, Cartesian):
        representation = replace(representation, dimension=dimension)
    generator = torch.Generator().manual_seed(0)
    identity = torch.eye(representation.dim, dtype=torch.float64)
    moves = [
        representation.matrix(Isometry.random(dimension, generator=generator, improper=bool(k % 2)).rotation)
        for k in range(TRIED_ISOMETRIES)
    ]
    _, sizes, directions = torch.linalg.svd(torch.cat([move.to(identity) - identity for move in moves]))
    return directions[sizes < INVARIANT_TOLERANCE].T


def watched(baselines: Iterable[Baseline], graphs: Iterable[Graph]) -> Iterator[Graph]:
    """The graphs, one after the other, each of which the baselines take in as it passes."""
    baselines = list(baselines)
    for graph in graphs:
        for baseline in baselines:
            baseline.add(graph)
        yield graph


def _counted(
    owner: Int[Tensor, " nodes"], which: Int[Tensor, " nodes"], rows: int, features: int
) -> Float[Tensor, "rows features"]:
    """How many nodes of each kind each row has."""
    flat = torch.bincount(owner * features + which, minlength=rows * features)
    return flat.reshape(rows, features).to(torch.float64)
