r"""Electron densities, as coefficients of functions on the atoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry import Graph, Graphs, collate
from intertwine.nn import Backbone
from intertwine.nn.atom_coefficients import AtomCoefficients
from intertwine.numerics import DataError, InputError
from intertwine.numerics.showing import figure
from intertwine.o3 import Irreps, quaternion_to_matrix
from intertwine.orbitals import AtomLayout, Basis, BlockLayout, even_tempered, orbital_matrix, overlap_matrix
from intertwine.orbitals.auxiliary import RATIO
from intertwine.orbitals.basis import BOHR
from intertwine.orbitals.density import charges, density_moments, fitted
from intertwine.orbitals.overlap import moment_matrix
from intertwine.orbitals.quadrature import molecular_quadrature
from intertwine.orbitals.values import expanded_density, matrix_density
from intertwine.tasks.baselines import Baseline
from intertwine.tasks.compositions import Molecules, basis_of, check_blocks, molecules, tensors_of
from intertwine.tasks.density_pictures import pictures_of
from intertwine.tasks.output import Metric, Output
from intertwine.tasks.pace import Pace
from intertwine.tasks.representations import outputs_of
from intertwine.tasks.task import Suggestion, Task, label
from intertwine.tasks.verdict import of_the_baseline

DEBYE = 2.541746473  # of e Bohr
BUCKINGHAM = DEBYE * BOHR  # D A, of e Bohr^2
FITTED_GRAPHS = 100  # of the training set, from which means and components are taken
TRAINED = (12, 5)  # radii, and degree of the spheres, of the points that are trained on; spheres turn at each step
SCORED = (20, 11)  # of those that errors are measured at: 0.02 % of a density's electrons, 3 % of the NMAPE
THIN = 2e-4  # e / Bohr^3, density below which errors count less in the loss "l2"
#: Steps of the three numbers that a turn of the spheres is made of: 1 / p, 1 / p^2, 1 / p^3 with p^4 = p + 1, by which
#: they fill the cube evenly; Shoemake's map makes rotations of them (Graphics Gems III, 1992).
TURNS = (0.8191725133961645, 0.6710436067037893, 0.5497004779019703)


class Density(Task):
    r"""The electron density of neutral closed shells as functions of an auxiliary basis,

    .. math:: \rho(r) = \sum_{iklm} C_{iklm}\, Y_{lm}(r - r_i)\, |r - r_i|^l\, e^{-\alpha_{ikl} |r - r_i|^2},

    with coefficients (e / Bohr^(3/2)) of :class:`~intertwine.nn.atom_coefficients.AtomCoefficients` and a correction of
    the s functions, :math:`C \mathrel{+}= \lambda S_0^{-1} q` with the overlaps S_0 of the functions of one atom, by
    which the charge :math:`q^T C = N` is exact.

    The label is the density matrix of orbitals. The loss is of the density at points around the atoms: "l2" is
    :math:`\int (\Delta\rho)^2 / \rho`, whose root is never below the error that is reported, "l1" is that error,

    .. math:: \mathrm{NMAPE} = 100\, \frac{\int |\Delta\rho|}{\int \rho}.

    Errors are also of the dipole (D), of the charge (e), and of Buckingham's traceless quadrupole about the centre of
    the nuclei's charge (D A), :math:`\Theta_{ab} = \frac12 \int \rho\, (3 r_a r_b - r^2 \delta_{ab})`. How far the
    least value at the points of the NMAPE is below zero is told too (e / Bohr^3). What the best coefficients of the
    basis leave is reported beside, as the floor.

    Args:
        backbone: a model with tensors.
        basis: of the orbitals, as :meth:`intertwine.orbitals.Basis.to_json` writes it; a data set says it.
        auxiliary: basis of the functions, as ``basis``; "" for even-tempered ones.
        ratio: of the exponents of even-tempered functions (no unit).
        width: channels of the features that coefficients are read from.
        hidden: features of the hidden layer of the scalars.
        loss: "l2" or "l1".

    Raises:
        InputError: no basis, a model without tensors, an unknown loss, a ratio that is not above 1.
        DataError: the text of a basis is damaged.
    """

    name: ClassVar[str] = "density"
    model: ClassVar[str] = "nequip"
    pace: ClassVar[Pace] = Pace(batch_size=5, learning_rate=2e-3, steps=20_000, least=20, most=1000)
    loss_buffers: ClassVar[tuple[str, ...]] = ("spread", "step")
    spread: Tensor
    step: Tensor
    floor: Tensor

    def __init__(
        self, backbone: Backbone, basis: str = "", auxiliary: str = "", ratio: float = RATIO, width: int = 16,
        hidden: int = 64, loss: str = "l2",
    ) -> None:  # fmt: skip
        super().__init__(backbone, loss)
        if loss == "huber":
            raise InputError("no loss 'huber' of densities", where="loss", remedy="choose l2 or l1.")
        self.basis = basis_of(basis)
        self.orbitals = BlockLayout(self.basis)
        species = sorted(self.basis.shells)
        self.auxiliary = Basis.from_json(auxiliary) if auxiliary else even_tempered(self.basis, species, ratio)
        self.layout = AtomLayout(self.auxiliary.only(species))
        self.head = AtomCoefficients(tensors_of(backbone), self.layout.orbitals, species, width, hidden)
        self.register_buffer("spread", torch.ones((), dtype=torch.float64))
        self.register_buffer("floor", torch.full((), torch.nan, dtype=torch.float64))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.metric = {z: self._overlaps(z) for z in species}
        self.charge = torch.zeros(len(species), self.layout.size, dtype=torch.float64)
        self.shift = torch.zeros_like(self.charge)
        for kind, z in enumerate(species):
            q = charges(self.auxiliary, z)
            places, q = self.layout.places(z)[q != 0], q[q != 0]  # s functions
            self.charge[kind, places] = q
            self.shift[kind, places] = torch.linalg.solve(self.metric[z][places][:, places], q)
        self.outputs = {"coefficients": Output(self.layout.orbitals, "node", "e/Bohr^1.5", label="coefficients")}
        self.metrics = {
            "density": Metric("%", 100.0), "dipole_moment": Metric("D", DEBYE), "quadrupole": Metric("D A", BUCKINGHAM),
            "electrons": Metric("e"), "negative_density": Metric("e/Bohr^3"),
        }  # fmt: skip
        self.weights = {name: float(name == "density") for name in self.metrics}

    def _overlaps(self, z: int) -> Float[Tensor, "size size"]:
        """Overlaps of the functions of one atom, in the places of its row."""
        places, whole = self.layout.places(z), torch.zeros(self.layout.size, self.layout.size, dtype=torch.float64)
        S = overlap_matrix(self.auxiliary, torch.tensor([z]), torch.zeros(1, 3, dtype=torch.float64))
        whole[places.unsqueeze(1), places] = S
        return whole

    @classmethod
    def suits(cls, data: Graphs, target: str | None) -> bool:
        paired = getattr(data, "levels", {}).get("density") == "pair"
        return paired and target in (None, "density")

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone], told: Mapping[str, Any]) -> Suggestion:
        """The basis of the data, a model with tensors, a cosine schedule and averaged weights."""
        task: dict[str, Any] = {}
        if text := told.get("basis") or getattr(data, "about", {}).get("basis"):
            task["basis"] = Basis.from_json(text).only(data.species()).to_json()
        general = super().suggest(data, "density", model, told)["model"]
        size = {"width": 16, "layers": 2} if model.__name__ == "NequIP" else {}
        pace = {"schedule": "cosine", "average": 0.995, "clip": 1.0, "minimum_rate": 1e-6, "evaluate_every": 10}
        return {"task": task, "model": general | size | outputs_of(model, Irreps("0e+1o+2e")), "training": pace}

    def labels(self, fields: Iterable[str]) -> list[str]:
        return ["density"]

    def output_of(self, target: str) -> str:
        """The coefficients; charges of model and baseline are exact, and neither has much below zero, so that there is
        nothing to compare."""
        return target if target in ("electrons", "negative_density") else "coefficients"

    def make_baselines(self) -> dict[str, Baseline]:
        return {"coefficients": MeanAtoms(self.mean_atoms)}

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        return {"coefficients": self._neutral(self.head(self.backbone(graph), graph.z), graph)}

    def _neutral(self, c: Float[Tensor, "nodes size"], graph: Graph) -> Float[Tensor, "nodes size"]:
        """Coefficients whose charge is that of the nuclei of each molecule."""
        kind, owner = self.head.species(graph.z), graph.membership()
        q, shift = self.charge.to(c.device)[kind], self.shift.to(c.device)[kind]
        lack = graph.z - (q * c).sum(1)
        sums = c.new_zeros(2, graph.graphs).index_add(1, owner, torch.stack([lack, (q * shift).sum(1)]))
        return c + (sums[0] / sums[1])[owner].unsqueeze(1) * shift

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        """Of each molecule: NMAPE / 100, the dipole (e Bohr), the quadrupole (e Bohr^2), the number of electrons, and
        how far the density is below zero."""
        if graph.get("density") is None:
            return {}
        check_blocks(graph.density, self.orbitals, graph, "a batch")
        parts: dict[str, list[Tensor]] = {name: [] for name in self.metrics}
        for ones in molecules(graph):
            c, D = self._of(ones, prediction["coefficients"], graph)
            grid = molecular_quadrature(ones.pos, *SCORED)
            made, true = self._both(ones, c, D, grid.points.to(self.dtype))
            w = grid.weights.to(self.dtype)
            parts["density"].append(((w * (made - true).abs()).sum(1) / (w * true).sum(1)).to(torch.float64))
            parts["negative_density"].append(-made.min(1).values.clamp(max=0.0).to(torch.float64))
            charge, first, second = self._moment_errors(ones, c, D)
            parts["dipole_moment"].append(first.flatten())
            trace = torch.einsum("maa,bc->mbc", second, torch.eye(3).to(second))
            parts["quadrupole"].append((1.5 * second - 0.5 * trace).flatten())
            parts["electrons"].append(charge - ones.numbers.sum())
        return {name: torch.cat(values) for name, values in parts.items()}

    def losses(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, tuple[Tensor, int | float]]:
        if graph.get("density") is None:
            return {}
        check_blocks(graph.density, self.orbitals, graph, "a batch")
        turn = self._turn() if self.training else None
        total = prediction["coefficients"].new_zeros(())
        for ones in molecules(graph):
            c, D = self._of(ones, prediction["coefficients"], graph)
            points = molecular_quadrature(ones.pos, *TRAINED, turn)
            made, true = self._both(ones, c, D, points.points.to(self.dtype))
            electrons, w = ones.numbers.sum(), points.weights.to(self.dtype)
            if self.loss == "l1":
                total = total + (w * (made - true).abs()).sum() / (electrons * self.spread)
            else:
                each = w * (made - true).square() / (true + THIN)
                total = total + each.sum() / (electrons * self.spread**2)
        return {"density": (total.to(self.dtype), graph.graphs)}

    def _turn(self) -> Float[Tensor, "3 3"]:
        """A rotation for each step, so that no direction from an atom is left out."""
        share, first, second = (float(self.step) * torch.tensor(TURNS, dtype=torch.float64) % 1).unbind()
        self.step += 1
        parts = [
            part * turn(2 * torch.pi * angle)
            for part, angle in (((1 - share).sqrt(), first), (share.sqrt(), second))
            for turn in (torch.sin, torch.cos)
        ]
        return quaternion_to_matrix(torch.stack(parts))

    def _of(self, ones: Molecules, y: Tensor, graph: Graph) -> tuple[Float[Tensor, "m functions"], Tensor]:
        """Coefficients of the functions, and density matrices, of molecules of one composition."""
        D = orbital_matrix(self.orbitals, ones.numbers, graph.density[ones.pairs].to(torch.float64))
        return self.layout.to_orbitals(ones.numbers, y[ones.nodes]), D

    def _both(self, ones: Molecules, c: Tensor, D: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """The density as predicted, and as it is, at points (A)."""
        return (
            expanded_density(self.auxiliary, ones.numbers, ones.pos, c, points),
            matrix_density(self.basis, ones.numbers, ones.pos, D, points),
        )

    def _moment_errors(self, ones: Molecules, c: Tensor, D: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The charge of electrons, and errors of the first and second moments of all charge (Bohr), about the centre of
        the nuclei's."""
        z = ones.numbers.to(ones.pos)
        pos = ones.pos - (torch.einsum("a,max->mx", z, ones.pos) / z.sum()).unsqueeze(1)
        charge, first, second = density_moments(self.auxiliary, ones.numbers, pos, c)
        unit = torch.eye(3, dtype=torch.int64)

        def moment(powers: Tensor) -> Tensor:
            i, j, k = powers.tolist()
            return (moment_matrix(self.basis, ones.numbers, pos, (i, j, k)) * D).sum((1, 2))

        dipole = torch.stack([moment(e) for e in unit], dim=1)
        upper = {(a, b): moment(unit[a] + unit[b]) for a in range(3) for b in range(a, 3)}
        rows = [torch.stack([upper[min(a, b), max(a, b)] for b in range(3)], dim=1) for a in range(3)]
        return charge, dipole - first, torch.stack(rows, dim=1) - second

    def fit(self, graphs: Iterable[Graph]) -> None:
        """Means, principal components and the floor from the first graphs of the training set.

        Raises:
            DataError: a matrix is missing, not finite, or of another basis; a molecule has an odd number of electrons.
            GeometryError: functions are linearly dependent.
        """
        kept: list[Graph] = []
        for number, graph in enumerate(graphs):
            label(graph, "density", number)
            check_blocks(graph.density, self.orbitals, graph, f"graph {number} of the training set")
            if number < FITTED_GRAPHS:
                kept.append(graph)
        if not kept:
            raise DataError("the training set is empty", where="training set", remedy="give more data.")
        batch = collate(kept)
        rows = torch.zeros(batch.num_nodes, self.layout.size, dtype=torch.float64)
        for ones in molecules(batch):
            D = orbital_matrix(self.orbitals, ones.numbers, batch.density[ones.pairs].to(torch.float64))
            best = fitted(self.basis, self.auxiliary, ones.numbers, ones.pos, D)
            rows[ones.nodes] = self.layout.to_atoms(ones.numbers, best)
        self.head.fit(rows, batch.z, self.metric)
        self.floor.fill_(self.residuals({"coefficients": rows}, batch)["density"].mean())
        self.spread.fill_(1.0)
        loss, count = self.losses({"coefficients": self.mean_atoms(batch)}, batch)["density"]
        size = float(loss) / count
        self.spread.fill_((size if self.loss == "l1" else size**0.5) or 1.0)
        self.step.zero_()

    def mean_atoms(self, graph: Graph) -> Float[Tensor, "nodes size"]:
        """The coefficients of atoms as they are in the mean, with the charge of the molecule."""
        return self._neutral(self.head.mean[self.head.species(graph.z)], graph)

    def errors(self, target: str, mae: float, rmse: float, truth: Tensor | None) -> dict[str, Any]:
        """As of any task, with ``floor`` of the NMAPE: what the best coefficients leave of the training set (%)."""
        result = super().errors(target, mae, rmse, None)
        return result | ({"floor": 100 * float(self.floor)} if target == "density" else {})

    def line(self, target: str, errors: dict[str, Any]) -> str:
        if target != "density":
            return super().line(target, errors)
        share = of_the_baseline([ratio for kind, ratio in errors.get("ratio", {}).items() if kind == "mae"])
        told = f"NMAPE {figure(errors['mae'])} %, of the best coefficients {figure(errors['floor'])} %"
        return told + (f" ({share})" if share else "")

    def pictures(
        self, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]
    ) -> dict[str, Callable[..., Any]]:
        graph, made = graphs[0], torch.as_tensor(predictions[0]["coefficients"]).to(torch.float64)
        c = self.layout.to_orbitals(graph.z, made)
        D = orbital_matrix(self.orbitals, graph.z, graph.density.to(torch.float64))
        return pictures_of(self.auxiliary, self.basis, graph.z, graph.pos.to(torch.float64), c, D)

    def describe(self) -> dict[str, Any]:
        return {
            "auxiliary basis": self.auxiliary.name,
            "functions by element": {str(z): self.auxiliary.size(z) for z in sorted(self.auxiliary.shells)},
            "NMAPE of the best coefficients (%)": 100 * float(self.floor),
        }


class MeanAtoms(Baseline):
    """Atoms with the mean coefficients of the training set, whose charge is corrected as the task's is.

    Args:
        coefficients_of: of a graph.
    """

    name = "mean atoms"

    def __init__(self, coefficients_of: Callable[[Graph], Tensor]) -> None:
        self.coefficients_of = coefficients_of

    def add(self, graph: Graph) -> None:
        """Nothing: the task has the means."""

    def fit(self) -> None:
        """Nothing."""

    def predict(self, graph: Graph, like: Tensor) -> Tensor | None:
        return self.coefficients_of(graph)
