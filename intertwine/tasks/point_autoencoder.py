"""Codes of molecules and point clouds that motions and the order of the points do not change, without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.certify.claims import claims
from intertwine.geometry import Graph, Graphs, act, centred
from intertwine.groups import Cartesian, Isometry
from intertwine.nn import Backbone
from intertwine.nn.codes.heads import unclear
from intertwine.nn.codes.sets import SetDecoder, SetEncoder, SetParts
from intertwine.nn.embedding import SpeciesTable
from intertwine.numerics import DataError, GeometryError, InputError, choose
from intertwine.numerics.signature import arguments
from intertwine.tasks import class_data, code_pictures
from intertwine.tasks.baselines import Baseline
from intertwine.tasks.code_check import TRIED, refuse_a_changed_code
from intertwine.tasks.code_matching import Slots, best_orders, reconstructed
from intertwine.tasks.output import Metric, Output
from intertwine.tasks.pace import CODES, Pace
from intertwine.tasks.task import Suggestion, Task

CODE, CANONICAL, SPECIES, SIZE = "code", "canonical", "species", "size"
ROTATION, PLACE, RECONSTRUCTION, OPEN = "rotation", "place", "reconstruction", "open"
RMSD, ORDER, ELEMENTS, ATOMS = "rmsd", "order", "elements", "atoms"  # what is scored
MOVING, STILL = "SE(3) x S_n", "T(3) x S_n"  # groups
SMALL = {"width": 32, "layers": 2, "cutoff": 3.0}  # A; enough of a network to find a frame, in which all is seen


class PointAutoencoder(Task):
    r"""A code of each molecule that rotations, translations and the order of its atoms leave alone, the motion and the
    order:

    .. math::
        z = \eta(x), \quad \psi(x) = (R, t, \pi), \quad \hat x_{\pi(k)} = R\, \delta(z)_k + t, \qquad
        L = \sum_k \sum_i P_{ki} \Big( \frac{\|\hat x_k - x_i\|^2}{\sigma^2} - \log p_k(z_i) \Big) - w \log p(n)

    with the SoftSort matrix P of the scores in training, and the order itself otherwise; :math:`\sigma` is the root
    mean square distance of an atom from its molecule's centroid. Winter et al., NeurIPS 2022 (arXiv:2202.07559), eq. 3.
    To the loss comes :math:`w_c \max(0, 1 - m / 0.2)`, m the shorter one of the two vectors that fix the rotation.

    Of the group "T(3) x S_n" R is 1: rotations change the code. That is a plain autoencoder of sets, to compare with.

    Of a symmetric molecule no equivariant motion exists: it is open, and :meth:`undefined` says so. Where the rotation
    is open, the loss takes the motion, and the exchange of equivalent atoms, that fit best
    (:func:`intertwine.geometry.matched`), which is the same up to the molecule's own symmetry.

    It predicts ``code`` z (no unit), ``canonical``, the places :math:`\delta(z)` (most, 3) in A, with ``species``
    (most, kinds) and ``size`` (most), logits of the species of each and of the numbers of atoms 1, 2, ...;
    ``rotation``, the axes of R as rows; ``open``, 1 where motion or order are open; and of each atom ``place``, its
    number k from 0, and ``reconstruction`` (A).

    Args:
        backbone: a network of molecules with scalars, equivariant to SE(3); vectors are used where there are some.
        code: numbers of the code (no unit).
        most: size of the largest set, in atoms; molecules of more are refused (no unit).
        channels: vectors that the motion is read from (no unit).
        hidden: width of the perceptrons (no unit).
        softness: temperature of SoftSort, in the unit of the scores (no unit).
        size_weight: weight w of the number of atoms in the loss (no unit).
        clear_weight: weight :math:`w_c` of rotations that are all but open (no unit).
        group: "SE(3) x S_n", or "T(3) x S_n".
        loss: "l2", the only one.

    Raises:
        InputError: a model of images, one that has pooled, or one that is not equivariant to the group; another group
            or loss.
    """

    name: ClassVar[str] = "point_autoencoder"
    model: ClassVar[str] = "painn"
    pace: ClassVar[Pace] = Pace(batch_size=32, learning_rate=1e-3, steps=20_000, least=10, most=400, settings=CODES)
    loss_arguments: ClassVar[tuple[str, ...]] = ("loss", "size_weight", "clear_weight")
    heading: ClassVar[str] = ""
    local: ClassVar[bool] = False  # the code sees where all atoms are
    labelled: ClassVar[bool] = False
    trials: ClassVar[str] = "particles"  # others may have more atoms
    spread: Tensor

    def __init__(
        self, backbone: Backbone, code: int = 128, most: int = 29, channels: int = 32, hidden: int = 256,
        softness: float = 0.1, size_weight: float = 0.1, clear_weight: float = 0.3, group: str = MOVING,
        loss: str = "l2",
    ) -> None:  # fmt: skip
        super().__init__(backbone)
        if loss != "l2":
            raise InputError(f"loss {loss!r}", where="loss", remedy="leave it out: distances are squared.")
        if backbone.trials in ("images", "voxels", "signals") or backbone.level != "node":
            what = f"{type(backbone).__name__} has no features of points"
            raise InputError(what, where="model", remedy="choose painn, egnn, mace (see `intertwine models`).")
        self.group, self.moving = choose(group, (MOVING, STILL), kind="group", where="group"), group == MOVING
        known = claims(backbone.card.symmetry, 3)
        asked, what = ({"rotation"}, "SE(3)") if self.moving else (set(), "translations")
        if not {"translation", "permutation"} | asked <= set(known.names) or known.random or known.approximate:
            what = f"{type(backbone).__name__} is equivariant to {backbone.card.symmetry}, and not to {what}"
            raise InputError(what, where="model", remedy="choose painn, egnn, mace (see `intertwine models`).")
        species = backbone.arguments["species"]
        self.table = SpeciesTable(species) if species is None or len(species) else None
        self.encoder = SetEncoder(backbone.irreps_out, code, most, channels, hidden // 2, softness, self.moving)
        self.decoder = SetDecoder(code, most, len(self.table.known) if self.table is not None else 0, hidden)
        self.size_weight = size_weight
        self.register_buffer("spread", torch.ones((), dtype=torch.float64))
        scalar = Cartesian(0)
        self.outputs = {
            CODE: Output(scalar, "graph", ""),
            CANONICAL: Output(scalar, "graph", "A"),
            SIZE: Output(scalar, "graph", ""),
            ROTATION: Output(Cartesian(1), "graph", ""),
            OPEN: Output(scalar, "graph", ""),
            PLACE: Output(scalar, "node", ""),
            RECONSTRUCTION: Output(Cartesian(1), "node", "A", affine=True),
        }
        self.metrics = {RMSD: Metric("A"), ORDER: Metric("%", 100.0), ATOMS: Metric("%", 100.0)}
        self.weights = {RMSD: 1.0, ATOMS: size_weight, "clear": clear_weight if self.moving else 0.0}
        if self.table is not None:
            self.outputs[SPECIES] = Output(scalar, "graph", "")
            self.metrics[ELEMENTS], self.weights[ELEMENTS] = Metric("%", 100.0), 1.0

    @property
    def symmetry(self) -> str:
        return "SE(3) where frames are unique" if self.moving else "T(3)"

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone], told: Mapping[str, Any]) -> Suggestion:
        """The largest number of atoms, and a small network; of points that are no atoms a cutoff by their spacing.

        Raises:
            InputError: images or signals, structures of another dimension than 3, or periodic ones.
        """
        where = getattr(data, "name", "") or "data"
        domain = getattr(data, "domain", "graph")
        if domain in ("image", "voxels", "spherical signal") or not len(data) or data.fields["pos"].shape[-1] != 3:
            remedy = "give molecules or clouds of points in three dimensions; of images use --task autoencoder."
            raise InputError("the data are no sets of points", where=where, remedy=remedy)
        wishes: Suggestion = {"task": {}, "model": {}, "training": dict(cls.pace.settings)}
        counts = data.counts().tolist() if hasattr(data, "counts") else [data[k].num_nodes for k in range(len(data))]
        wishes["task"]["most"] = max(counts)
        if "z" not in data.fields:
            if "cutoff" in arguments(model):
                wishes["model"] |= {"cutoff": class_data.reach(data)}
            wishes["model"] |= {"species": (), "scale": class_data.extent(data)}
        else:
            wishes["model"] |= {name: value for name, value in SMALL.items() if name in arguments(model)}
        return wishes

    def labels(self, fields: Iterable[str]) -> list[str]:
        """None; classes, if there are some, colour a picture."""
        return [name for name in ("label",) if name in set(fields)]

    def output_of(self, target: str) -> str:
        return RECONSTRUCTION if target == RMSD else target

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        self._fits(graph)
        parts, places = self._parts(graph)
        slots, kinds, sizes = self.decoder(parts.code)
        order, owner = parts.order.element, graph.membership()
        counts = torch.bincount(owner, minlength=graph.graphs)
        rank = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner[order]]
        place = torch.empty_like(order).index_copy(0, order, rank)
        turned = (parts.rotation.element @ slots.mT).mT + parts.shift.element.unsqueeze(1)
        spread = self.spread.to(self.dtype)
        offset = (turned[owner, place] - places) * spread
        made = {
            CODE: parts.code,
            CANONICAL: slots * spread,
            SIZE: sizes,
            ROTATION: parts.rotation.element.mT,
            OPEN: (parts.rotation.open | parts.order.open).to(self.dtype),
            PLACE: place.to(self.dtype),
            RECONSTRUCTION: graph.pos + offset.to(graph.pos.dtype),
        }
        if self.table is not None:
            made[SPECIES] = kinds
        if parts.order.soft is not None:
            made["probability"], made["margin"] = parts.order.soft, parts.rotation.margin
        return made

    def decoded(self, code: Float[Tensor, "molecules code"]) -> list[Graph]:
        """The canonical molecules of codes: the most probable numbers of atoms, and the most probable species.

        Args:
            code: z (no unit).

        Returns:
            Positions in A; ``z`` unless the task has no species.
        """
        slots, kinds, sizes = self.decoder(code.to(self.dtype))
        made = []
        for places, logits, n in zip(slots.detach().cpu(), kinds.detach().cpu(), sizes.argmax(1) + 1, strict=True):
            pos = places[: int(n)].to(torch.float64) * float(self.spread)
            if self.table is None:
                made.append(Graph(pos))
            else:
                made.append(Graph(pos, z=torch.tensor(self.table.known)[logits[: int(n)].argmax(1)]))
        return made

    def _parts(self, graph: Graph) -> tuple[SetParts, Float[Tensor, "nodes 3"]]:
        """eta and psi, and the places from the centroids over the spread."""
        places = centred(graph) / self.spread.to(self.dtype)
        parts: SetParts = self.encoder(self.backbone(graph), places, graph.membership(), graph.graphs)
        return parts, places

    def _fits(self, graph: Graph) -> None:
        """Raise a :class:`GeometryError` for an empty graph, or one of more atoms than the code is of."""
        if graph.dimension != 3:
            what = f"points of {graph.dimension} dimensions"
            raise GeometryError(what, where="pos", remedy="give points in three dimensions.")
        counts = torch.bincount(graph.membership(), minlength=graph.graphs)
        if not len(counts) or int(counts.min()) < 1:
            remedy = "leave it out: a code is of one atom or more."
            raise GeometryError("a structure without atoms", where="pos", remedy=remedy)
        if (largest := int(counts.max())) > self.decoder.most:
            what = f"a structure of {largest} atoms, and the code is of {self.decoder.most} at most"
            remedy = f"train with task.most={largest} on structures of that size, or leave it out."
            raise GeometryError(what, where="pos", remedy=remedy)

    def slots(self, prediction: Mapping[str, Tensor], graph: Graph) -> Slots:
        """What was predicted and what is there, by places of the canonical order."""
        kinds = self.table(graph.z) if self.table is not None else None
        return Slots.of(graph, prediction, kinds, float(self.spread))

    def losses(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, tuple[Tensor, int | float]]:
        slots, sizes = self.slots(prediction, graph), prediction[SIZE]
        soft = prediction.get("probability")
        shares = slots.hard if soft is None else soft.to(slots.apart.dtype)
        apart, species = slots.apart, slots.surprise
        if bool((open_ := prediction[OPEN] > 0).any()):
            apart, shares = best_orders(slots, open_, shares, turning=self.moving)
        atoms = int(slots.counts.sum())
        made: dict[str, tuple[Tensor, int | float]] = {RMSD: ((shares * apart).sum(), atoms)}
        if species is not None:
            made[ELEMENTS] = (shares * species).sum(), atoms
        if self.weights["clear"] > 0 and "margin" in prediction:  # in training
            made["clear"] = unclear(prediction["margin"]), len(sizes)
        if self.size_weight > 0:
            made[ATOMS] = nn.functional.cross_entropy(sizes, slots.counts - 1, reduction="sum"), len(sizes)
        return made

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        """Of each molecule the RMSD after alignment (A) and whether the size is wrong; of each atom whether its place
        is not that of the alignment, up to atoms that a symmetry exchanges, and whether its species is wrong."""
        with torch.no_grad():
            kinds = self.table(graph.z) if self.table is not None else None
            scores = reconstructed(prediction, graph, kinds, turning=self.moving)
            wrong = prediction[SIZE].argmax(1) + 1 != torch.bincount(graph.membership(), minlength=graph.graphs)
        made = {RMSD: scores.rmsd, ORDER: scores.misplaced, ATOMS: wrong}
        made |= {} if scores.mistaken is None else {ELEMENTS: scores.mistaken}
        return {name: value.to(graph.pos.device, self.dtype) for name, value in made.items()}

    def fit(self, graphs: Iterable[Graph]) -> None:
        """Take the distance of atoms from their centroids, and see on the first molecules whether rotations leave the
        code alone.

        Raises:
            DataError: no molecules, or none of two atoms.
            GeometryError: a molecule with more atoms than the task has.
            InputError: the model is not equivariant to SE(3).
        """
        squares, count = 0.0, 0
        first: list[Graph] = []
        for graph in graphs:
            self._fits(graph)
            x = graph.pos.to(torch.float64)
            squares, count = squares + float((x - x.mean(0)).square().sum()), count + len(x)
            if len(first) < TRIED:
                first.append(graph)
        if not squares > 0:
            what = "no molecule of the training set has two atoms" if count else "the training set is empty"
            raise DataError(what, where="training set", remedy="give molecules or clouds of points.")
        self.spread.fill_((squares / count) ** 0.5)
        self.refuse_unless_equivariant(first)

    def refuse_unless_equivariant(self, graphs: Sequence[Graph]) -> None:
        """Raise an InputError that names the model if a rotation, or a translation, changes a code."""
        g = Isometry.random(3, generator=torch.Generator().manual_seed(0))
        if not self.moving:
            g = Isometry(torch.eye(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
        moved, remedy = [act(g, graph) for graph in graphs], "choose a model that is: painn, egnn, mace."
        what = ("SE(3)", "a rotation") if self.moving else ("translations", "a translation")
        refuse_a_changed_code(self, graphs, moved, *what, remedy)

    def undefined(self, graph: Graph) -> list[str]:
        """For each molecule of a batch why its motion or its order is open (it is symmetric, lies on a line, or is one
        atom), or ""."""
        with torch.no_grad():
            graph = graph.in_precision(self.dtype)
            self._fits(graph)
            parts, _ = self._parts(graph)
        return [r or o for r, o in zip(parts.rotation.reasons(), parts.order.reasons(), strict=True)]

    def make_baselines(self) -> dict[str, Baseline]:
        """All atoms in the centroid."""
        return {RECONSTRUCTION: Centroid()}

    def answer(self, prediction: dict[str, Any]) -> dict[str, Any]:
        """With ``atoms``, the most probable number of atoms, and ``numbers``, the most probable atomic number of each
        canonical place."""
        more: dict[str, Any] = {"atoms": np.asarray(prediction[SIZE].argmax(-1) + 1)}
        if self.table is not None:
            more["numbers"] = np.array(self.table.known)[np.asarray(prediction[SPECIES]).argmax(-1)]
        return {**more, **prediction}

    @property
    def told(self) -> list[str]:
        return ["atoms", CODE]

    def errors(self, target: str, mae: float, rmse: float, truth: Tensor | None) -> dict[str, Any]:
        """Of the RMSD its mean and its root mean square over the molecules (A); of the others shares (%)."""
        unit = self.metrics[target].unit
        return {"mae": mae, "rmse": rmse, "unit": unit} if target == RMSD else {"error": mae, "unit": unit}

    def line(self, target: str, errors: dict[str, Any]) -> str:
        if target == RMSD:
            return f"RMSD after alignment {errors['mae']:.3g} A (mean of the molecules)"
        what = {
            ORDER: "of the atoms in another place than aligned",
            ELEMENTS: "of the species wrong",
            ATOMS: "of the numbers of atoms wrong",
        }
        return f"{errors['error']:.3g} % {what[target]}"

    def pictures(
        self, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]
    ) -> dict[str, Callable[..., Any]]:
        """``reconstructions.png`` and ``codes.png``."""
        return code_pictures.of_sets(graphs, predictions)

    def describe(self) -> dict[str, Any]:
        return {"group": self.group, "spread of the atoms": float(self.spread)}


class Centroid(Baseline):
    """All atoms of a molecule in its centroid: their RMSD is the molecule's radius."""

    name = "centroid"

    def add(self, graph: Graph) -> None: ...

    def fit(self) -> None: ...

    def predict(self, graph: Graph, like: Float[Tensor, "nodes 3"]) -> Tensor | None:
        return graph.pos - centred(graph).to(graph.pos.dtype)
