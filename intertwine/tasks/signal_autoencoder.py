"""Codes of signals on the sphere that rotations do not change, without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.certify.claims import claims
from intertwine.geometry import Graph, Graphs, act, field
from intertwine.groups import Cartesian, Isometry
from intertwine.nn import Backbone
from intertwine.nn.codes.heads import unclear
from intertwine.nn.codes.signals import SignalDecoder, SignalEncoder, SignalParts, turned
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.o3 import Irreps
from intertwine.tasks import class_data, code_pictures
from intertwine.tasks.baselines import Baseline
from intertwine.tasks.code_check import TRIED, refuse_a_changed_code
from intertwine.tasks.output import Metric, Output
from intertwine.tasks.pace import CODES, Pace
from intertwine.tasks.task import Suggestion, Task

CODE, CANONICAL, ROTATION, OPEN, RECONSTRUCTION = "code", "canonical", "rotation", "open", "reconstruction"
SIGNAL = "signal"  # the field
VECTORS = 16  # of the model, from which the rotation is read
MODELS = "choose clebsch_gordan_net (see `intertwine models`)."


class SignalAutoencoder(Task):
    r"""A code of each signal on the sphere that rotations leave alone, and the rotation:

    .. math::
        z = \eta(x), \qquad \hat x = D(\psi(x))\, \delta(z), \qquad
        L = \frac{1}{\sigma^2 d} \|x - \hat x\|^2 + w_c \max(0, 1 - m / 0.2), \qquad
        \eta(D(R) x) = \eta(x), \quad \psi(D(R) x) = R\, \psi(x)

    of d coefficients of spherical harmonics; :math:`\sigma^2` is their mean square over the training set, and m the
    margin of the rotation, the length of the shorter one of the two vectors that fix it (no unit). Winter et al.,
    NeurIPS 2022 (arXiv:2202.07559), eq. 3. The label is the signal itself.

    Of a symmetric signal no equivariant rotation exists, as of a constant or a zonal one: it is open, and
    :meth:`undefined` says so. The code is invariant all the same.

    It predicts ``code`` z (no unit), ``canonical``, the coefficients :math:`\delta(z)` in the unit of the signal,
    ``rotation``, the axes of R as rows, ``open``, 1 where the rotation is open, and ``reconstruction``
    :math:`\hat x` in the unit of the signal.

    Args:
        backbone: a network of signals with scalars and at least two vectors, equivariant to rotations.
        code: numbers of the code (no unit).
        hidden: width of the perceptrons (no unit).
        clear_weight: weight :math:`w_c` of rotations that are all but open (no unit).
        loss: "l2", the only one: others depend on how the signal lies.

    Raises:
        InputError: a model of anything but signals, without vectors, or not equivariant to rotations; another loss.
    """

    name: ClassVar[str] = "signal_autoencoder"
    model: ClassVar[str] = "clebsch_gordan_net"
    pace: ClassVar[Pace] = Pace(batch_size=32, learning_rate=2e-3, steps=8_000, least=20, most=200, settings=CODES)
    loss_arguments: ClassVar[tuple[str, ...]] = ("loss", "clear_weight")
    labelled: ClassVar[bool] = False
    in_frames: ClassVar[bool] = True  # the rotation turns by a rounding over its margin, and degree l by l times that
    spread: Tensor

    def __init__(
        self, backbone: Backbone, code: int = 64, hidden: int = 256, clear_weight: float = 0.3, loss: str = "l2"
    ) -> None:
        super().__init__(backbone)
        if loss != "l2":
            raise InputError(f"loss {loss!r}", where="loss", remedy="leave it out: others change with the rotation.")
        signal = getattr(backbone, "signal", None)
        if backbone.trials != "signals" or backbone.level != "node" or not isinstance(signal, Irreps):
            raise InputError(f"{type(backbone).__name__} is no network of signals", where="model", remedy=MODELS)
        known = claims(backbone.card.symmetry, 3)
        if "rotation" not in known.names or known.random or known.approximate:
            what = f"{type(backbone).__name__} is equivariant to {backbone.card.symmetry}, and not to rotations"
            raise InputError(what, where="model", remedy=MODELS)
        self.irreps = signal
        self.encoder = SignalEncoder(backbone.irreps_out, signal, code, hidden // 2)
        self.decoder = SignalDecoder(code, signal, hidden)
        self.register_buffer("spread", torch.ones((), dtype=torch.float64))
        scalar = Cartesian(0)
        self.outputs = {
            CODE: Output(scalar, "graph", ""),
            CANONICAL: Output(scalar, "graph", ""),
            ROTATION: Output(Cartesian(1), "graph", ""),
            OPEN: Output(scalar, "graph", ""),
            RECONSTRUCTION: Output(signal, "node", "", label=SIGNAL),
        }
        self.metrics = {RECONSTRUCTION: Metric("")}
        self.weights = {RECONSTRUCTION: 1.0, "clear": clear_weight}

    @property
    def symmetry(self) -> str:
        return "SE(3) where frames are unique"

    @classmethod
    def default_model(cls, data: Graphs, target: str | None) -> str:
        return cls.model

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone], told: Mapping[str, Any]) -> Suggestion:
        """Channels and degree of the signals, vectors to read the rotation from, and one round of products: the code
        sees the signal itself, and rounds of high degrees take long.

        Raises:
            InputError: the data are no signals on the sphere.
        """
        where = getattr(data, "name", "") or "data"
        if getattr(data, "domain", "") != "spherical signal" or SIGNAL not in data.fields or not len(data):
            remedy = "give spherical_digits; of images use --task autoencoder, of molecules --task point_autoencoder."
            raise InputError("the data are no signals on the sphere", where=where, remedy=remedy)
        form = class_data.form(data)
        return {
            "model": {**form, "layers": 1, "vectors": VECTORS},
            "training": dict(cls.pace.settings),
        }

    def labels(self, fields: Iterable[str]) -> list[str]:
        """The signals themselves; classes, if there are some, colour a picture."""
        return [SIGNAL, *({"label"} & set(fields))]

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        parts = self._parts(graph)
        canonical, spread = self.decoder(parts.code), self.spread.to(self.dtype)
        again = turned(self.irreps, parts.rotation.element, canonical) * spread
        made = {
            CODE: parts.code,
            CANONICAL: canonical * spread,
            ROTATION: parts.rotation.element.mT,
            OPEN: parts.rotation.open.to(self.dtype),
            RECONSTRUCTION: again[graph.membership()],
        }
        return made | {"margin": parts.rotation.margin} if self.training else made

    def decoded(self, code: Float[Tensor, "signals code"]) -> Float[Tensor, "signals rows"]:
        """The canonical signals of codes, in the unit of the signals.

        Args:
            code: z (no unit).
        """
        return self.decoder(code.to(self.dtype)).detach().cpu() * self.spread.to(self.dtype).cpu()

    def _parts(self, graph: Graph) -> SignalParts:
        """eta and psi, graph by graph, of the signals over their root mean square."""
        owner = graph.membership()
        if bool((torch.bincount(owner, minlength=graph.graphs) != 1).any()):
            what = f"{graph.num_nodes} nodes in {graph.graphs} graphs"
            raise GeometryError(what, where=SIGNAL, remedy="give graphs of one node each: a node has one signal.")
        signal = field(graph, SIGNAL) / self.spread.to(self.dtype)
        order = torch.argsort(owner)  # the nodes of a batch may come in any order
        features = self.backbone(graph.replaced(signal=signal))
        parts: SignalParts = self.encoder(features[order], signal[order])
        return parts

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        """Of each coefficient."""
        if graph.get(SIGNAL) is None:
            return {}
        target = graph.signal.to(self.dtype)
        return {RECONSTRUCTION: prediction[RECONSTRUCTION].reshape(target.shape) - target}

    def scale_of(self, target: str) -> Tensor | float:
        return self.spread.to(self.dtype)

    def losses(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, tuple[Tensor, int | float]]:
        made = super().losses(prediction, graph)
        if self.weights["clear"] > 0 and "margin" in prediction:  # in training
            made["clear"] = unclear(prediction["margin"]), len(prediction["margin"])
        return made

    def fit(self, graphs: Iterable[Graph]) -> None:
        """Take the root mean square of the coefficients, and see on the first signals whether rotations leave the code
        alone.

        Raises:
            DataError: no signals, or signals that all vanish.
            InputError: the model is not equivariant to rotations.
        """
        squares, count = 0.0, 0
        first: list[Graph] = []
        for graph in graphs:
            x = field(graph, SIGNAL).to(torch.float64)
            squares, count = squares + float(x.square().sum()), count + x.numel()
            if len(first) < TRIED:
                first.append(graph)
        if not squares > 0:
            what = "all signals of the training set vanish" if count else "the training set is empty"
            raise DataError(what, where="training set", remedy="give signals on the sphere.")
        self.spread.fill_((squares / count) ** 0.5)
        self.refuse_unless_equivariant(first)

    def refuse_unless_equivariant(self, graphs: Sequence[Graph]) -> None:
        """Raise an InputError that names the model if a rotation changes the code of one of these signals."""
        g = Isometry.random(3, generator=torch.Generator().manual_seed(0))
        refuse_a_changed_code(self, graphs, [act(g, graph) for graph in graphs], "SO(3)", "a rotation", MODELS)

    def undefined(self, graph: Graph) -> list[str]:
        """For each signal of a batch why its rotation is open (it is symmetric, zonal, or constant), or ""."""
        with torch.no_grad():
            parts = self._parts(graph.in_precision(self.dtype))
        return parts.rotation.reasons()

    def make_baselines(self) -> dict[str, Baseline]:
        """Signals that vanish: the error is then the root mean square of the coefficients."""
        return {RECONSTRUCTION: Zero()}

    @property
    def told(self) -> list[str]:
        return [OPEN, CODE]

    def pictures(
        self, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]
    ) -> dict[str, Callable[..., Any]]:
        """``reconstructions.png`` and ``codes.png``."""
        return code_pictures.of_signals(self.irreps, graphs, predictions)

    def describe(self) -> dict[str, Any]:
        return {"group": "SO(3)", "root mean square of the coefficients": float(self.spread)}


class Zero(Baseline):
    """All coefficients 0."""

    name = "zero"

    def add(self, graph: Graph) -> None: ...

    def fit(self) -> None: ...

    def predict(self, graph: Graph, like: Float[Tensor, "nodes rows"]) -> Tensor | None:
        return torch.zeros_like(like)
