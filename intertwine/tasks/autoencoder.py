r"""Codes that a group does not change, learned without labels: what an input is, apart from how it lies."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry import Graph, Graphs, Raster, rasters, turned, turned_images
from intertwine.groups import Cartesian
from intertwine.nn import Backbone
from intertwine.nn.codes.images import ImageDecoder, ImageEncoder, Turns
from intertwine.numerics import DataError, InputError
from intertwine.tasks import code_pictures
from intertwine.tasks.baselines import Baseline
from intertwine.tasks.code_check import TRIED, refuse_a_changed_code
from intertwine.tasks.output import Metric, Output
from intertwine.tasks.pace import CODES, Pace
from intertwine.tasks.task import Suggestion, Task, label

CODE, CANONICAL, DIRECTION, RECONSTRUCTION = "code", "canonical", "direction", "reconstruction"
MANY = 8  # turns of a network, from which on it is taken for one of all turns
TURNED_SHARE = 0.5  # of the images of a batch
SETTINGS = CODES | {"clip": 10.0}
SMALL = 12  # pixels along an edge, up to which a network needs no strides


class Autoencoder(Task):
    r"""A code of each image that turns about its centre do not change, and the turn:

    .. math::
        z = \eta(x), \qquad \hat x = \rho(\psi(x))\, \delta(z), \qquad L = \frac{1}{\sigma^2} \|x - \hat x\|^2, \qquad
        \eta(g x) = \eta(x), \quad \psi(g x) = g\, \psi(x).

    So the loss of an image is that of the image turned. Winter et al., NeurIPS 2022 (arXiv:2202.07559), eq. 3. Of C_n
    the loss is its mean over the elements, with probabilities :math:`\mathrm{softmax}(s)` of their scores s, in
    training; otherwise the element of the largest score is taken. The label is the image itself.

    It predicts ``code`` z, ``canonical``, the image :math:`\delta(z)`, ``direction``, where :math:`\psi(x)` takes the x
    axis, and ``reconstruction``, the values of the pixels.

    Args:
        backbone: a network of images with invariants of each pixel (``level="node"``).
        code: numbers of the code (no unit).
        group: "SO(2)", "C_4" (any C_n), or "none": a plain autoencoder, whose code turns change. "" is what the model
            is equivariant to; C_n with n of 8 or more counts as SO(2).
        size: pixels along an edge of the images, which are square.
        channels: values of a pixel (no unit).
        moments: number of moments of each frequency that the code is read from (no unit).
        hidden: width of the perceptrons (no unit).
        turning: turn half of the images at random, by linear interpolation, in training: between the angles of the grid
            no network is exactly equivariant, and so it learns what is left. Without effect of groups other than SO(2).
        loss: "l2", "l1" or "huber".

    Raises:
        InputError: a model of anything but images, that has pooled over the pixels, or is not equivariant to the group;
            an unknown group.
    """

    name: ClassVar[str] = "autoencoder"
    model: ClassVar[str] = "steerable_cnn"
    pace: ClassVar[Pace] = Pace(batch_size=32, learning_rate=2e-3, steps=8_000, least=20, most=200, settings=SETTINGS)
    loss_arguments: ClassVar[tuple[str, ...]] = ("loss", "turning")
    loss_buffers: ClassVar[tuple[str, ...]] = ("spread",)
    labelled: ClassVar[bool] = False
    spread: Tensor

    def __init__(
        self, backbone: Backbone, code: int = 32, group: str = "", size: int = 8, channels: int = 1, moments: int = 32,
        hidden: int = 256, turning: bool = True, loss: str = "l2",
    ) -> None:  # fmt: skip
        super().__init__(backbone, loss)
        if backbone.trials != "images" or backbone.level != "node":
            pooled = backbone.trials == "images"
            what = f"{type(backbone).__name__} " + ("pools over the pixels" if pooled else "is no network of images")
            remedy = (
                'set model.level="node".'
                if pooled
                else "choose steerable_cnn, se2cnn, p4cnn (see `intertwine models`)."
            )
            raise InputError(what, where="model", remedy=remedy)
        self.order = order_of(group, backbone)
        self.group = {0: "SO(2)", 1: "none"}.get(self.order, f"C_{self.order}")
        self.size, self.channels, self.turning = size, channels, turning
        self.encoder = ImageEncoder(backbone.irreps_out.dim, size, code, self.order, moments, hidden // 2)
        self.decoder = ImageDecoder(code, channels, size, hidden, turning=self.order != 1)
        self.turns = Turns(self.order) if self.order > 1 else None
        self.register_buffer("spread", torch.ones((), dtype=torch.float64))
        invariant = Cartesian(0, dimension=2)
        self.outputs = {
            CODE: Output(invariant, "graph", ""),
            CANONICAL: Output(invariant, "graph", ""),
            RECONSTRUCTION: Output(invariant, "node", "", label="x"),
        }
        if self.order != 1:
            self.outputs[DIRECTION] = Output(Cartesian(1, dimension=2), "graph", "")
        self.metrics, self.weights = {RECONSTRUCTION: Metric("")}, {RECONSTRUCTION: 1.0}

    @property
    def symmetry(self) -> str:
        """What a certificate claims: the group of the code, and translations of all pixels together."""
        if self.order == 1:
            return "T(2)"
        known = _turns(self.backbone.card.symmetry)
        return f"T(2) x {self.group}" if self.order or not known else f"T(2) x C_{known}"

    @classmethod
    def default_model(cls, data: Graphs, target: str | None) -> str:
        return cls.model

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone], told: Mapping[str, Any]) -> Suggestion:
        """The size and channels of the images, and features of pixels; a network without strides for small images.

        Raises:
            InputError: the data are no square images.
        """
        where = getattr(data, "name", "") or "data"
        if getattr(data, "domain", "") != "image" or "x" not in data.fields or not len(data):
            remedy = "give images: digits, or a file of images (IDX); of molecules use --task point_autoencoder."
            raise InputError("the data are no images", where=where, remedy=remedy)
        first = data[0]
        rows, columns = rasters(first, first.x.flatten(1)).values.shape[2:]
        if rows != columns:
            what = f"images of {rows} x {columns} pixels"
            raise InputError(what, where=where, remedy="pad them to squares, which can be turned.")
        channels = first.x.flatten(1).shape[1]
        small = {"strides": (), "width": 8, "layers": 3} if rows <= SMALL else {}
        return {
            "task": {"size": rows, "channels": channels},
            "model": {"channels": channels, "level": "node", **small},
            "training": dict(cls.pace.settings),
        }

    def labels(self, fields: Iterable[str]) -> list[str]:
        """The images themselves; classes, if there are some, colour a picture."""
        return ["x", *({"label"} & set(fields))]

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        image = rasters(graph, graph.x.flatten(1))
        seen = {}
        if self.training and self.backbone.training and self.turning and self.order == 0:
            graph, image = self._at_random(graph, image)
            seen["seen"] = image.at_nodes(image.values)
        maps = rasters(graph, self.backbone(graph)).values
        parts = self.encoder(maps)
        coefficients = self.decoder(parts.code)
        made = {CODE: parts.code, CANONICAL: self.decoder.canonical(coefficients)}
        shown = made[CANONICAL]
        if parts.turn is not None:
            rotation = parts.turn.element if self.turns is None else self.turns(parts.turn.element)
            made[DIRECTION] = rotation[:, :, 0]
            if self.training and self.turns is not None and parts.turn.soft is not None:
                every = [self.decoder.turned(coefficients, r.expand(graph.graphs, 2, 2)) for r in self.turns.matrices]
                seen["every"] = torch.stack([image.at_nodes(each) for each in every])
                seen["probability"] = parts.turn.soft
            shown = self.decoder.turned(coefficients, rotation)
        made[RECONSTRUCTION] = image.at_nodes(shown)
        return made | seen

    def decoded(self, code: Float[Tensor, "images code"]) -> Float[Tensor, "images channels edge edge"]:
        """The canonical images of codes."""
        return self.decoder.canonical(self.decoder(code.to(self.dtype))).detach().cpu()

    def _at_random(self, graph: Graph, image: Raster) -> tuple[Graph, Raster]:
        """Half of the images turned by an angle each, drawn from torch's generator; the others as they are, since what
        is resampled is less sharp."""
        angle, chosen = torch.rand(2, graph.graphs, dtype=torch.float64)
        angle = torch.where(chosen < TURNED_SHARE, 2 * math.pi * angle, 0.0)
        c, s = angle.cos(), angle.sin()
        rotation = torch.stack([c, -s, s, c], dim=1).unflatten(1, (2, 2))
        image = Raster(turned_images(image.values, rotation), image.places)
        return graph.replaced(x=image.at_nodes(image.values)), image

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        """Of each value of a pixel."""
        if graph.get("x") is None:
            return {}
        target = prediction.get("seen", graph.x.flatten(1).to(self.dtype))
        return {RECONSTRUCTION: prediction[RECONSTRUCTION].reshape(target.shape) - target}

    def scale_of(self, target: str) -> Tensor | float:
        return self.spread.to(self.dtype)

    def losses(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, tuple[Tensor, int | float]]:
        if "every" not in prediction:
            return super().losses(prediction, graph)
        target = graph.x.flatten(1).to(self.dtype)
        apart = (prediction["every"] - target) / self.scale_of(RECONSTRUCTION)
        each = {"l2": apart.square(), "l1": apart.abs()}.get(self.loss)
        if each is None:
            each = torch.nn.functional.huber_loss(apart, torch.zeros_like(apart), reduction="none")
        shares = prediction["probability"].T[:, graph.membership()].unsqueeze(2)
        return {RECONSTRUCTION: ((shares * each).sum(), target.numel())}

    def fit(self, graphs: Iterable[Graph]) -> None:
        """Take the spread of the pixels, and see on the first images whether turns leave the code alone.

        Raises:
            DataError: no values, or values that are all equal.
            InputError: the model is not equivariant to the group.
        """
        sums, first = torch.zeros(3, dtype=torch.float64), []
        for number, graph in enumerate(graphs):
            x = label(graph, "x", number)
            sums += torch.tensor([x.numel(), float(x.sum()), float(x.square().sum())], dtype=torch.float64)
            if number < TRIED:
                first.append(graph)
        count, total, squares = sums.tolist()
        variance = squares / count - (total / count) ** 2 if count else 0.0
        if not variance > 0:
            what = "all pixels of the training set are equal" if count else "the training set is empty"
            raise DataError(what, where="training set", remedy="give images.")
        self.spread.fill_(variance**0.5)
        self.refuse_unless_equivariant(first)

    def refuse_unless_equivariant(self, graphs: Sequence[Graph]) -> None:
        """Raise an :class:`~intertwine.numerics.InputError` that names the model if a turn that is exact on the grid
        changes the code of one of these images."""
        if self.order not in (0, 2, 4):
            return
        quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
        turn = quarter if self.order != 2 else quarter @ quarter
        moved, remedy = [turned(g, turn) for g in graphs], "choose a model that is, or task.group=none."
        refuse_a_changed_code(self, graphs, moved, self.group, "a turn", remedy)

    def undefined(self, graph: Graph) -> list[str]:
        """For each image of a batch why its turn is open (it is symmetric, or constant), or ""."""
        with torch.no_grad():
            graph = graph.in_precision(self.dtype)
            turn = self.encoder(rasters(graph, self.backbone(graph)).values).turn
        return [""] * graph.graphs if turn is None else turn.reasons()

    def make_baselines(self) -> dict[str, Baseline]:
        """The mean image."""
        return {RECONSTRUCTION: MeanImage()}

    def cautions(self) -> list[str]:
        known = self.backbone.card.symmetry
        if self.order == 1:
            return [f"the code changes when images are turned: the model is equivariant to {known}"]
        if self.order == 0 and _turns(known):
            return [f"the model is equivariant to {known}: other angles are learned, not built in"]
        return []

    @property
    def told(self) -> list[str]:
        return [name for name in (DIRECTION, CODE) if name in self.outputs]

    def pictures(
        self, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]
    ) -> dict[str, Callable[..., Any]]:
        """``reconstructions.png``, ``turned.png`` and ``codes.png``."""
        return code_pictures.of_images(self, graphs, predictions)

    def describe(self) -> dict[str, Any]:
        return {"group": self.group, "spread of the pixels": float(self.spread)}


def order_of(group: str, backbone: Backbone) -> int:
    """The turns about the centre of an image that a code does not see: 0 for SO(2), n for C_n, 1 for none.

    Raises:
        InputError: an unknown group, or one that the model is not equivariant to.
    """
    known = _turns(backbone.card.symmetry)
    if group == "":
        return 0 if known == 0 or known >= MANY else known
    match = re.fullmatch(r"C_([1-9]\d*)", group)
    if match is None and group not in ("SO(2)", "none"):
        raise InputError(f"group {group!r}", where="task.group", remedy='give "SO(2)", "C_4" (any C_n) or "none".')
    wanted = 1 if group == "none" else 0 if match is None else int(match[1])
    fits = wanted == 1 or known == 0 or (known >= MANY if wanted == 0 else known % wanted == 0)
    if not fits:
        what = f"{type(backbone).__name__} is equivariant to {backbone.card.symmetry}, and not to {group}"
        remedy = "choose steerable_cnn or se2cnn for SO(2), p4cnn for C_4, or task.group=none."
        raise InputError(what, where="model", remedy=remedy)
    return wanted


def _turns(symmetry: str) -> int:
    """The turns of the plane in a group that is told in words: n of C_n or D_n, 0 for all, 1 for none."""
    words = symmetry.rpartition(" x ")[2]
    match = re.fullmatch(r"[CD]_(\d+)", words)
    return int(match[1]) if match else 0 if words in ("SO(2)", "O(2)", "E(2)", "SE(2)", "E(n)", "SE(n)") else 1


class MeanImage(Baseline):
    """The mean of the images of the training set, as they lie."""

    name = "mean image"

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._count = 0

    def add(self, graph: Graph) -> None:
        if graph.get("x") is not None:
            values = rasters(graph, graph.x.flatten(1)).values[0].to(torch.float64)
            if self._sum is None or self._sum.shape == values.shape:
                self._sum, self._count = values if self._sum is None else self._sum + values, self._count + 1

    def fit(self) -> None:
        if self._sum is not None:
            self.coefficients = (self._sum / self._count).flatten(1)  # (channels, pixels)
        self._sum, self._count = None, 0

    def predict(self, graph: Graph, like: Float[Tensor, "nodes channels"]) -> Tensor | None:
        if self.coefficients is None or graph.get("x") is None:
            return None
        image = rasters(graph, graph.x.flatten(1))
        if image.values[0].flatten(1).shape != self.coefficients.shape:
            return None
        mean = self.coefficients.to(image.values).unflatten(1, image.values.shape[2:])
        return image.at_nodes(mean.expand(image.values.shape)).reshape(like.shape)
