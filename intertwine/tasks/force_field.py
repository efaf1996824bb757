r"""Energies of structures, forces as their derivative, stress as their derivative by strain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from ase.data import chemical_symbols
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.geometry import Graph, Graphs
from intertwine.groups import Cartesian
from intertwine.nn import Backbone, ScalarHead, pool
from intertwine.numerics import DataError, GeometryError, InputError, safe
from intertwine.numerics.derivatives import value_and_gradients
from intertwine.numerics.signature import arguments
from intertwine.tasks.references import References, beyond, composition, is_isolated
from intertwine.tasks.strain import repeating, strained
from intertwine.tasks.task import Metric, Output, Pace, Suggestion, Task, label
from intertwine.tasks.verdict import HARDLY, behind, of_others

KNOTS = 128  # distances that radial networks are asked at: 0.04 A apart at a cutoff of 5 A
LEFT_BEHIND_LENGTH = 0.2  # A, of the RMSE of energies per atom over that of forces, from which on energies lag
WEIGHTS = {"energy": "energy_loss_weight", "forces": "force_weight", "stress": "stress_weight"}
DEFAULTS = {"energy": 10.0, "forces": 1.0, "stress": 0.1}  # that of the stress where the data have one
CLIP = 0.1  # largest norm of the gradient; it is larger in nearly every step, which Adam then takes by its direction


class ForceField(Task):
    r"""A potential-energy surface.

    .. math::
        E = \sum_i \big(r_{z_i} + \sigma\, \epsilon(f_i)\big), \qquad F_i = -\partial E/\partial x_i, \qquad
        \sigma_{ab} = \frac1V \frac{\partial E}{\partial \varepsilon_{ab}}

    with reference energies r_z fitted to the training set by least squares, the scale :math:`\sigma` from its forces
    (root mean square; less where random weights give more) and :math:`\epsilon` a multilayer perceptron of the scalars
    of the backbone. Strain :math:`\varepsilon` (symmetric) moves positions and cell, :math:`x \to x(1 + \varepsilon)`:
    Knuth et al. 2015 (Comput. Phys. Commun. 190, 33), eq. 12.

    The loss is

    .. math::
        w_E \frac{\langle(\Delta E/N)^2\rangle}{(\sigma \cdot 1\,\text{A})^2}
        + w_F \frac{\langle\Delta F^2\rangle}{\sigma^2} + w_S \frac{\langle\Delta\sigma_{ab}^2\rangle}{\sigma_S^2}

    with :math:`\sigma_S` the root mean square of the stress in the training set. Energies per atom and forces are
    measured by one scale, that of the forces, as where the loss is in eV/atom and eV/A: MACE (Batatia et al. 2022;
    w_E : w_F is 10 : 1 in the second stage of its training programme, the ratio taken here), NequIP and Allegro (1 : 1
    with their per-atom loss), fairchem (energies per atom and forces normalised by the forces' root mean square).
    The spread of the energies does not enter it: over many phases of a crystal it is a hundred times as large as what
    matters, along one trajectory of a large cell it is next to nothing. Where forces are not trained on, the scale is
    that of the energies per atom beyond the references.

    Args:
        backbone: any model with scalars (0e).
        energy_loss_weight: weight of the energies per atom in the loss, w_E (no unit). Ten times that of the forces
            counts an error of 1 eV/atom as one of 3.2 eV/A, of any data; more favours energies.
        force_weight: weight of the forces in the loss, w_F (no unit); 0 trains on energies alone.
        stress_weight: weight of the stress in the loss, w_S (no unit); needs data with ``stress``, periodic in two
            directions at least. If it is not given and the data have a stress it is 0.1.
        loss: function of the error: "l2", "l1" or "huber".
        energy_weight: weight of the energies as configurations of former versions mean it (no unit): it stands for
            ``energy_loss_weight``, and divides the energies per atom by their own root mean square beyond the
            references, not by the scale of the forces. 1 was its default. None is today's balance.

    Raises:
        InputError: the backbone has no scalars, or both weights of the energies are given.
    """

    name = "force_field"
    model = "mace"
    pace = Pace(batch_size=5, learning_rate=2e-3, steps=40_000, least=20, most=150, settings={"clip": CLIP})
    uses = ("evaluate", "predict", "certify", "md", "relax")
    loss_arguments = ("energy_loss_weight", "force_weight", "stress_weight", "loss", "energy_weight")
    loss_buffers = ("energy_scale", "stress_scale")
    gain = "scale"
    scale: Tensor
    force_scale: Tensor | None  # of the forces of the training set, once they are fitted; None takes the network's
    energy_scale: Tensor
    stress_scale: Tensor

    def __init__(
        self,
        backbone: Backbone,
        *,  # a weight by position would not say which balance it means
        energy_loss_weight: float = DEFAULTS["energy"],
        force_weight: float = DEFAULTS["forces"],
        stress_weight: float = 0.0,
        loss: str = "l2",
        energy_weight: float | None = None,
    ) -> None:
        if energy_weight is not None and energy_loss_weight != DEFAULTS["energy"]:
            raise InputError(
                f"{energy_loss_weight:g}, beside energy_weight={energy_weight:g}, its form of former versions",
                where="task.energy_loss_weight",
                remedy="give one of the two; task.energy_weight=none drops that of an old configuration.",
            )
        super().__init__(backbone, loss)
        self.former_energy_weight = energy_weight
        self.head = ScalarHead(backbone.irreps_out)
        self.references = References()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("energy_scale", torch.ones(()))
        self.register_buffer("stress_scale", torch.ones(()))
        self.register_buffer("force_scale", None, persistent=False)
        energy = energy_loss_weight if energy_weight is None else energy_weight
        self.weights = {"energy": energy, "forces": force_weight, "stress": stress_weight}
        self.outputs = {
            "energy": Output(Cartesian(0), "graph", "eV", per_atom=True, extensive=True),
            "forces": Output(Cartesian(1), "node", "eV/A"),
        }
        self.metrics = {"energy": Metric("meV/atom", 1e3), "forces": Metric("meV/A", 1e3)}
        if stress_weight > 0:
            self.outputs["stress"] = Output(Cartesian(2), "graph", "eV/A^3")
            self.metrics["stress"] = Metric("meV/A^3", 1e3)

    @classmethod
    def suits(cls, data: Graphs, target: str | None) -> bool:
        return "energy" in data.fields and "forces" in data.fields and target in (None, "energy", "forces")

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone], told: Mapping[str, Any]) -> Suggestion:
        """Weights of the labels that there are, a cutoff (no positions, no forces), radial functions by a table."""
        task: dict[str, Any] = {}
        if "forces" not in data.fields:
            task |= {"force_weight": 0.0, "energy_loss_weight": 1.0}
        task |= {"stress_weight": DEFAULTS["stress"]} if "stress" in data.fields else {}
        known = arguments(model)
        chosen = super().suggest(data, target, model, told)["model"]
        if (cutoff := known.get("cutoff")) is not None and cutoff.default is None:
            chosen["cutoff"] = 5.0
        chosen |= {"radial_knots": KNOTS} if "radial_knots" in known else {}
        return {"task": task, "model": chosen, "training": dict(cls.pace.settings)}

    def labels(self, fields: Iterable[str]) -> list[str]:
        wanted = {"energy": True, "forces": "forces" in set(fields), "stress": self.weights["stress"] > 0}
        return [name for name, there in wanted.items() if there]

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        if graph.get("z") is None:
            raise GeometryError("a force field needs atoms", where="z", remedy="give Graph(pos, z=...).")
        if self.training and not (self.weights["forces"] > 0 or self.weights["stress"] > 0):
            return {"energy": self.total(self.interaction(graph), graph)}
        inputs = [graph.pos, graph.pos.new_zeros(graph.graphs, 3, 3)] if self.stressed(graph) else [graph.pos]
        interaction, gradients = value_and_gradients(
            lambda *x: self.interaction(strained(graph, *x)), inputs, self.training
        )
        result = {"energy": self.total(interaction, graph), "forces": -gradients[0].to(self.dtype)}
        if len(inputs) == 2:
            volume = torch.linalg.det(graph.cell).abs().view(-1, 1, 1)
            defined = repeating(graph).view(-1, 1, 1)
            result["stress"] = torch.where(defined, gradients[1] / torch.where(defined, volume, 1.0), torch.nan).to(
                self.dtype
            )
        return result

    def stressed(self, graph: Graph) -> bool:
        """Whether the stress is wanted: if any graph repeats in two directions at least (that of others in a batch is
        NaN), unless only energies and forces are being trained."""
        if graph.get("cell") is None or (self.training and not self.weights["stress"] > 0):
            return False
        return safe.traced(graph.cell) or bool(repeating(graph).any())  # a program does not branch: then all are NaN

    def total(self, interaction: Tensor, graph: Graph) -> Tensor:
        """Energies (eV) with the references, in float64."""
        return interaction.to(torch.float64) + self.references(graph.z, graph.membership(), graph.graphs)

    def interaction(self, graph: Graph) -> Tensor:
        """Energy of each graph (eV) beyond the references, in the network's precision."""
        return pool(self.contributions(graph), graph)

    def contributions(self, graph: Graph) -> Tensor:
        r"""What each atom adds to it, :math:`\sigma\,\epsilon(f_i)` (eV)."""
        return self.scale * self.head(self.backbone(graph)).squeeze(-1)

    def atomic_energies(self, graph: Graph) -> Float[Tensor, " nodes"]:
        r"""Energy of each atom, :math:`r_{z_i} + \sigma\,\epsilon(f_i)` (eV, float64), whose sum is that of the graph.

        It is the network's way to divide the energy, which no calculation of electrons knows.
        """
        values = self.references.values.index_select(0, graph.z)
        return values + self.contributions(graph.in_precision(self.dtype)).to(torch.float64)

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        """Energy per atom (eV), forces (eV/A), stress (eV/A^3) of the graphs that have them: a label of NaN is none. A
        stress that the task does not learn is left out.
        """
        result = {}
        if graph.get("energy") is not None:
            atoms = torch.bincount(graph.membership(), minlength=graph.graphs).clamp(min=1)
            result["energy"] = ((prediction["energy"] - graph.energy) / atoms)[~graph.energy.isnan()].to(self.dtype)
        for name in ("forces", "stress"):
            if name in self.metrics and graph.get(name) is not None and name in prediction:
                rows = labelled(graph[name]) & (repeating(graph) if name == "stress" else True)
                result[name] = prediction[name][rows] - graph[name][rows].to(prediction[name].dtype)
        return result

    def scale_of(self, target: str) -> Tensor:
        forces = self.scale if self.force_scale is None else self.force_scale
        return {"energy": self.energy_scale, "forces": forces, "stress": self.stress_scale}[target]

    def fit(self, graphs: Iterable[Graph]) -> None:
        """Reference energies, and the sizes of energies, forces and stress.

        Raises:
            DataError: a label of positive weight is missing or not finite.
        """
        compositions, energies, forces, stress, alone = [], [], [], [], []
        for number, graph in enumerate(graphs):
            compositions.append(composition(graph.z))
            alone.append(is_isolated(graph))
            if self.weights["energy"] > 0 or graph.get("energy") is not None:
                energies.append(label(graph, "energy", number))
            if self.weights["forces"] > 0 and not (alone[-1] and _absent(graph, "forces")):
                forces.append(label(graph, "forces", number).square().mean())
            if (
                self.weights["stress"] > 0
                and graph.get("cell") is not None
                and bool(repeating(graph))
                and not _absent(graph, "stress")
            ):
                stress.append(label(graph, "stress", number).square().mean())
        if not compositions:
            remedy = "give more data, or a larger share for training."
            raise DataError("the training set is empty", where="training set", remedy=remedy)
        if self.weights["stress"] > 0 and not stress:
            raise DataError("nothing has a stress", where="training set", remedy="set the task's stress_weight to 0.")
        size = torch.ones(())
        if len(energies) == len(compositions):
            counts = torch.stack(compositions)
            rest = self.references.fit(counts, torch.cat(energies), torch.tensor(alone)) / counts.sum(1).clamp(min=1)
            size = rest.square().mean().sqrt()
        force = torch.stack(forces).mean().sqrt() if forces else size
        self.scale.fill_(next((each for each in (force, size) if each > 1e-6), 1.0))
        self.energy_scale.copy_(self.scale)  # per atom, a force over 1 A; stays where that of the network is another's
        if self.former_energy_weight is not None:
            self.energy_scale.fill_(size if size > 1e-6 else 1.0)
        self.force_scale = self.scale.clone()  # stays where the scale is another run's, or smaller for random weights
        if stress:
            tension = torch.stack(stress).mean().sqrt()
            self.stress_scale.fill_(tension if tension > 1e-9 else 1.0)

    def refit(self, graphs: Graphs) -> None:
        """Move the reference energies to what the network leaves of the energies."""
        if "energy" in graphs.fields:
            y, compositions, alone = beyond(
                graphs, "energy", lambda batch: self.interaction(batch.in_precision(self.dtype))
            )
            self.references.fit(compositions, y, alone, moved=True)

    def left_behind(self, errors: Mapping[str, Mapping[str, Any]], first: str = "") -> list[str]:
        """Targets that are far behind the others (:func:`~intertwine.tasks.verdict.behind`), or energies
        whose error per atom is more than the forces' error over 0.2 A (atoms move by some 0.1 A) and which are worse
        beside their baseline than the forces; none where no target is well below its baseline, for nothing is learnt
        then. And targets of weight 0 that are not well below their baseline.
        """
        errors = {name: of_others(e) for name, e in errors.items()}
        known = {name: e["ratio"]["rmse"] for name, e in errors.items() if "rmse" in e.get("ratio", {})}
        share = {name: ratio for name, ratio in known.items() if self.weights.get(name, 0.0) > 0}
        untrained = [
            f"{name}: not trained, for its weight in the loss is 0; give it one, {self._larger(name)}"
            for name, ratio in known.items()
            if name in WEIGHTS and name not in share and ratio >= HARDLY
        ]
        if not min(share.values(), default=1.0) < HARDLY:
            return untrained
        reasons = behind(share)
        if {"energy", "forces"} <= share.keys():
            energy, forces = errors["energy"]["rmse"], errors["forces"]["rmse"]
            if energy > LEFT_BEHIND_LENGTH * forces and share["energy"] > share["forces"]:
                reasons.setdefault("energy", f"RMSE {energy:.4g} meV/atom beside {forces:.4g} meV/A in forces")
        return untrained + [
            f"{name}: left behind by the other targets ({reason}); "
            + (first or f"give it a larger weight, {self._larger(name)}")
            for name, reason in reasons.items()
        ]

    def _larger(self, target: str) -> str:
        """The setting that gives a target more weight: ten times its own, and no less than the default."""
        if target == "energy" and self.former_energy_weight is not None:
            return f"{self._today()}: today's balance, with task.{WEIGHTS[target]}={DEFAULTS[target]:g}"
        return f"--set task.{WEIGHTS[target]}={max(10 * self.weights[target], DEFAULTS[target]):g}"

    def cautions(self) -> list[str]:
        if self.former_energy_weight is None:
            return []
        return [
            f"task.energy_weight={self.former_energy_weight:g} is the weight of former versions: energies per atom are "
            "divided by their own spread, not by the scale of the forces. Today's balance is "
            f"task.{WEIGHTS['energy']}, {DEFAULTS['energy']:g} by default: {self._today()}"
        ]

    def _today(self) -> str:
        """The settings that take a former configuration to today's balance of weights."""
        others = [f"task.{WEIGHTS[k]}={DEFAULTS[k]:g}" for k in ("forces", "stress") if self.weights[k] > 0]
        return " ".join(f"--set {each}" for each in ("task.energy_weight=none", *others))

    def describe(self) -> dict[str, Any]:
        present = self.references.values.nonzero().flatten().tolist()
        return {
            "reference energies (eV)": {chemical_symbols[z]: float(self.references.values[z]) for z in present},
            "force scale (eV/A)": float(self.scale_of("forces")),
        }


def labelled(label: Tensor) -> Bool[Tensor, " rows"]:
    """Which rows of a label are there at all: absent ones are NaN."""
    return ~label.isnan().flatten(1).any(1)


def _absent(graph: Graph, name: str) -> bool:
    return graph.get(name) is not None and bool(graph[name].isnan().all())
