"""Structures of proteins from frames of residues: backbones that are refined, and side chains placed by angles."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine import plots
from intertwine.geometry import Graph, Graphs, deviation
from intertwine.geometry.residues import ANGLES, ideal_residues, torsion_angles
from intertwine.groups import Cartesian
from intertwine.nn import Backbone, residue_frames
from intertwine.nn.frame_losses import Cells, aligned_point_error, torsion_loss
from intertwine.nn.point_attention import unit_pairs
from intertwine.nn.refinement import Refiner
from intertwine.nn.side_chains import all_atoms, group_frames, measured_groups, renamed
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.tasks.task import Metric, Output, Pace, Suggestion, Task

TARGET, MASK, FOLLOWS = "target_atoms", "atom_mask", "follows"
BACKBONE_SMOOTHING, ATOM_SMOOTHING = 1e-12, 1e-4  # A^2, epsilon of algorithm 20, lines 17 and 28
UNIT_SMOOTHING = 1e-6  # pairs shorter than this are no angle
COLUMNS = {"node": "x", "pair": "pair"}  # the single and the pair representation, where the data have them


class Truth(NamedTuple):
    """What is to be reached: atoms (residues, 14, 3) and which are known; (sin, cos) of angles (residues, 7, 2) and
    which are known; the frame of the backbone (axes as columns)."""

    atoms: Float[Tensor, "residues 14 3"]
    known: Bool[Tensor, "residues 14"]
    angles: Float[Tensor, "residues 7 2"]
    has_angle: Bool[Tensor, "residues 7"]
    axes: Float[Tensor, "residues 3 3"]


class Structure(Task):
    r"""Refined frames of residues, and all heavy atoms from torsion angles.

    .. math::
        L = \tfrac12 \mathrm{FAPE}(\text{all groups, all atoms}) + \tfrac12 \operatorname{mean}_l \big(
        \mathrm{FAPE}(T^l, x^l) + L_{torsion}(\alpha^l)\big)

    over the iterations l of the model, with the losses of :mod:`intertwine.nn.frame_losses` (Jumper et al. 2021,
    supplement, algorithms 20 and 24 to 28 and section 1.9). Atoms that chemistry does not tell apart are called by the
    names that fit the prediction better. The loss does not ask where in space a structure is.

    It predicts ``pos``, the alpha carbons (A); ``frame`` (axes as rows); ``atoms`` (residues, 14, 3), heavy atoms in
    the places of :func:`intertwine.geometry.residues.ideal_residues`, an empty one at the alpha carbon; ``angles``
    (residues, 7, 2), sine and cosine of omega, phi, psi, chi1 to chi4; and of all iterations ``path``
    (residues, iterations + 1, 3), the alpha carbons, of which the first are those given, ``axes``
    (residues, iterations, 3, 3) and ``pairs`` (residues, iterations, 7, 2), angles before they are normalised.

    Args:
        backbone: a model that shows its iterations (:class:`intertwine.nn.refinement.Refiner`) and has seven angles.
        loss: "l2", the only one: the loss is the paper's.

    Raises:
        InputError: the model does not show its iterations, or has no seven angles; another loss.
    """

    name = "structure"
    model = "invariant_point_attention"
    pace = Pace(batch_size=10, learning_rate=3e-3, steps=1_000, least=5, most=200)
    reads = ("backbone", "residue")
    trials = "particles"

    def __init__(self, backbone: Backbone, loss: str = "l2") -> None:
        super().__init__(backbone, loss)
        if not isinstance(backbone, Refiner):
            remedy = (
                "use --model invariant_point_attention, or give a model a method `refine` and a number of `angles`."
            )
            raise InputError(f"{type(backbone).__name__} does not show its iterations", where="model", remedy=remedy)
        if backbone.angles != len(ANGLES):
            what = f"the model has {backbone.angles} angles, residues have {len(ANGLES)}"
            raise InputError(what, where="angles", remedy=f"set model.angles={len(ANGLES)}.")
        if loss != "l2":
            raise InputError(f"loss {loss!r}", where="loss", remedy="leave it out: this task has a loss of its own.")
        points, vectors, numbers = Cartesian(1), Cartesian(1), Cartesian(0)
        self.outputs = {
            "pos": Output(points, "node", "A", affine=True),
            "frame": Output(vectors, "node", "", label="target_frame"),
            "atoms": Output(points, "node", "A", affine=True),
            "angles": Output(numbers, "node", ""),
            "path": Output(points, "node", "A", affine=True),
            "axes": Output(vectors, "node", ""),
            "pairs": Output(numbers, "node", ""),
        }
        self.metrics = {
            "rmsd": Metric("A"),  # of alpha carbons, after superposition
            "remaining": Metric("%", 100.0),  # of the RMSD of the given structure
            "heavy_atoms": Metric("A"),  # RMSD of all of them
            "torsion": Metric("degrees"),
            "fape": Metric("A", 10.0),
            "iterations": Metric(""),
        }
        self.weights = {"fape": 0.5, "iterations": 0.5}

    @classmethod
    def suits(cls, data: Graphs, target: str | None) -> bool:
        return {TARGET, MASK, *cls.reads} <= set(data.fields) and target in (None, TARGET)

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone], told: Mapping[str, Any]) -> Suggestion:
        """Frames of the backbone, all pairs, the same weights in all iterations, and the single and pair representation
        of the data."""
        lacking = [name for name in (TARGET, MASK, FOLLOWS, *cls.reads) if name not in data.fields]
        if lacking:
            remedy = "make graphs by intertwine.data.residue_graph(..., target_atoms=...); `intertwine train structure`"
            raise InputError(f"no {', '.join(lacking)}", where=data.name or "data", remedy=f"{remedy} is such a set.")
        width = {name: data.fields[name].shape[1:].numel() for name in COLUMNS.values() if name in data.fields}
        wanted: dict[str, Any] = {
            "species": (), "frames": True, "angles": len(ANGLES), "shared": True, "stopped": True, "cutoff": None,
            "layers": 4, "heads": 4, "channels": 16, "values": 8, "length": 10.0, "smoothing": 1e-3,
        }  # fmt: skip
        if "x" in width:
            wanted["node_inputs"] = {"x": width["x"]}
        if "pair" in width:
            wanted["pair_inputs"] = {"pair": width["pair"]}
        return {"model": wanted}

    def labels(self, fields: Iterable[str]) -> list[str]:
        have = set(fields)
        return [name for name in (TARGET, MASK, FOLLOWS, *self.reads) if name in have]

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        if graph.get("residue") is None:
            remedy = "give Graph(..., residue=...), numbers from 0 to 19; intertwine.data.residue_graph makes it."
            raise GeometryError("the graph does not say which residues they are", where="residue", remedy=remedy)
        residue = _checked_types(graph.residue)
        states = cast(Refiner, self.backbone).refine(graph)
        pos = graph.pos
        path = torch.stack([pos, *(pos + state.displacement.to(pos.dtype) for state in states)], dim=1)
        axes = torch.stack([state.frames for state in states], dim=1)
        pairs = torch.stack([cast(Tensor, state.angles) for state in states], dim=1)
        angles = unit_pairs(pairs[:, -1], UNIT_SMOOTHING)
        groups, origins = group_frames(residue, axes[:, -1], path[:, -1], angles)
        return {
            "pos": path[:, -1],
            "frame": axes[:, -1].transpose(1, 2),
            "atoms": all_atoms(residue, groups, origins)[0],
            "angles": angles,
            "path": path,
            "axes": axes.transpose(2, 3),
            "pairs": pairs,
        }

    def truth(self, prediction: Mapping[str, Tensor], graph: Graph) -> Truth | None:
        """The labels of a graph or a batch, named as fits the prediction; None where there are none."""
        if graph.get(TARGET) is None or graph.get(MASK) is None:
            return None
        atoms, known, residue = graph[TARGET].to(graph.pos.dtype), graph[MASK] > 0, graph.residue
        with torch.no_grad():
            swap = renamed(prediction["atoms"].to(atoms.dtype), atoms, known, residue, graph.membership())
            exchanged = ideal_residues().exchanged.to(residue.device)[residue]
            places = torch.where(swap.unsqueeze(1), exchanged, torch.arange(atoms.shape[1], device=residue.device))
            atoms = torch.gather(atoms, 1, places.unsqueeze(-1).expand_as(atoms))
            known = torch.gather(known, 1, places)
            follows = graph[FOLLOWS] > 0 if graph.get(FOLLOWS) is not None else torch.zeros_like(residue) > 0
            angles, has_angle = torsion_angles(atoms, known, residue, follows)
            axes = residue_frames(*atoms[:, :3].unbind(1)).transpose(1, 2)
        return Truth(atoms, known, angles.to(self.dtype), has_angle, axes.to(self.dtype))

    def losses(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, tuple[Tensor, int | float]]:
        if (truth := self.truth(prediction, graph)) is None:
            return {}
        return {
            "fape": (self._all_atom_error(prediction, truth, graph).sum(), graph.graphs),
            "iterations": (self._of_iterations(prediction, truth, graph).sum(), graph.graphs),
        }

    def _all_atom_error(self, prediction: Mapping[str, Tensor], truth: Truth, graph: Graph) -> Tensor:
        """FAPE of each graph, of all rigid groups and all heavy atoms."""
        owner, residue = graph.membership(), graph.residue
        axes, origins = group_frames(
            residue, prediction["frame"].transpose(1, 2), prediction["pos"], prediction["angles"]
        )
        true_axes, true_origins, complete = measured_groups(truth.atoms, truth.known, residue)
        k, a = complete.nonzero()[:, 0], truth.known.nonzero()[:, 0]
        return aligned_point_error(
            Cells(axes[complete], origins[complete]), prediction["atoms"][truth.known],
            Cells(true_axes[complete].to(self.dtype), true_origins[complete]), truth.atoms[truth.known],
            owner[k], owner[a], graph.graphs, smoothing=ATOM_SMOOTHING,
        )  # fmt: skip

    def _of_iterations(self, prediction: Mapping[str, Tensor], truth: Truth, graph: Graph) -> Tensor:
        """Backbone FAPE and torsion loss of each graph, the mean over iterations."""
        owner, ca = graph.membership(), truth.atoms[:, 1]
        symmetric = torch.zeros_like(truth.has_angle)
        symmetric[:, 3:] = ideal_residues().symmetric.to(owner.device)[graph.residue]
        parts = []
        for k, axes in enumerate(prediction["axes"].unbind(1)):
            frames = Cells(axes.transpose(1, 2), prediction["path"][:, k + 1])
            error = aligned_point_error(
                frames, frames.origin, Cells(truth.axes, ca), ca, owner, owner, graph.graphs,
                smoothing=BACKBONE_SMOOTHING,
            )  # fmt: skip
            angles = prediction["pairs"][:, k]
            turn = torsion_loss(angles, truth.angles, truth.has_angle, symmetric, owner, graph.graphs)
            parts.append(error + turn)
        return torch.stack(parts).mean(0)

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        """Of each graph: RMSD of alpha carbons (A), its share of that of the given structure, RMSD of all heavy atoms
        (A), and the two parts of the loss; of each known angle the error (degrees)."""
        if (truth := self.truth(prediction, graph)) is None:
            return {}
        owner, ca = graph.membership(), truth.atoms[:, 1]
        with torch.no_grad():
            rmsd = deviation(prediction["pos"], ca, owner, graph.graphs)
            before = deviation(graph.pos, ca, owner, graph.graphs)
            of_atom = truth.known.nonzero()[:, 0]
            heavy = deviation(prediction["atoms"][truth.known], truth.atoms[truth.known], owner[of_atom], graph.graphs)
            moved = before > 1e-6  # where there was anything to refine
            sine, cosine = prediction["angles"].unbind(-1)
            true_sine, true_cosine = truth.angles.unbind(-1)
            apart = torch.atan2(sine * true_cosine - cosine * true_sine, cosine * true_cosine + sine * true_sine)
            return {
                "rmsd": rmsd,
                "remaining": rmsd[moved] / before[moved],
                "heavy_atoms": heavy,
                "torsion": torch.rad2deg(apart)[truth.has_angle],
                "fape": self._all_atom_error(prediction, truth, graph),
                "iterations": self._of_iterations(prediction, truth, graph),
            }

    def fit(self, graphs: Iterable[Graph]) -> None:
        """Nothing is fitted; the labels are looked at.

        Raises:
            DataError: a label is missing or not finite; the graph is named.
        """
        count = 0
        for k, graph in enumerate(graphs):
            count += 1
            for name in (TARGET, MASK, *self.reads):
                value = graph.get(name)
                if value is None or not bool(torch.isfinite(value).all()):
                    what = f"no {name!r}" if value is None else f"{name!r} is not finite"
                    remedy = "intertwine.data.residue_graph(..., target_atoms=...) makes it."
                    raise DataError(what, where=f"graph {k} of the training set", remedy=remedy)
        if not count:
            remedy = "give more data, or a larger share for training."
            raise DataError("the training set is empty", where="training set", remedy=remedy)

    def line(self, target: str, errors: dict[str, Any]) -> str:
        unit = errors["unit"]
        if target == "torsion":
            return f"mean error {errors['mae']:.3g} {unit}"
        what = {"remaining": " of the RMSD of the given structure", "fape": " in all frames", "iterations": " (loss)"}
        return f"{errors['mae']:.3g} {unit}".rstrip() + what.get(target, " after superposition")

    def pictures(
        self, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]
    ) -> dict[str, Callable[..., Any]]:
        """``iterations.png``: alpha carbons of up to four structures after each iteration, beside the target."""
        shown = [k for k, graph in enumerate(graphs) if graph.get(TARGET) is not None][:4]
        if not shown:
            return {}
        paths = [predictions[k]["path"] for k in shown]
        targets = [graphs[k][TARGET][:, 1].numpy() for k in shown]
        breaks = [~(graphs[k][FOLLOWS] > 0).numpy() if FOLLOWS in graphs[k] else None for k in shown]
        return {"iterations.png": functools.partial(plots.iterations, paths, targets, breaks=breaks)}


def _checked_types(residue: Tensor) -> Tensor:
    """Residue types, 0 to 19."""
    wrong = (residue < 0) | (residue >= len(ideal_residues().names))
    if bool(wrong.any()):
        k = int(wrong.nonzero()[0])
        what = f"unknown residue {int(residue[k])} of node {k}"
        raise DataError(what, where="residue", remedy="the twenty are 0 to 19, by geometry.residues.LETTERS.")
    return residue
