r"""Electron densities, as coefficients of functions on the atoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry import Graph, Graphs, collate
from intertwine.nn import Backbone
from intertwine.numerics import InputError, choose
from intertwine.numerics.showing import figure
from intertwine.o3 import Irreps, quaternion_to_matrix
from intertwine.orbitals import Basis, BlockLayout, orbital_matrix
from intertwine.orbitals.auxiliary import RATIO
from intertwine.orbitals.basis import BOHR
from intertwine.orbitals.density import matrix_moments
from intertwine.orbitals.quadrature import molecular_quadrature
from intertwine.orbitals.values import matrix_density
from intertwine.tasks.baselines import Baseline
from intertwine.tasks.compositions import Molecules, basis_of, centred, check_blocks, labelled, molecules, one_molecule
from intertwine.tasks.density_forms import Form, Guess, Linear, Quadratic, auxiliary_of
from intertwine.tasks.density_pictures import pictures_of
from intertwine.tasks.output import Metric
from intertwine.tasks.pace import ELECTRONS, Pace
from intertwine.tasks.representations import outputs_of
from intertwine.tasks.task import Suggestion, Task
from intertwine.tasks.verdict import of_the_baseline

LINEAR, QUADRATIC = FORMS = ("linear", "quadratic")
SETTINGS = ELECTRONS | {"evaluate_every": 10}  # epochs
LOSSES = ("l2", "l1", "coefficients", "both")
DEBYE = 2.541746473  # of e Bohr
BUCKINGHAM = DEBYE * BOHR  # D A, of e Bohr^2
MEASURED = 100  # graphs of the training set that the floor and the size of the loss are taken from
TRAINED = (12, 5)  # radii, and degree of the spheres, of the points that are trained on; spheres turn at each step
SCORED = (20, 11)  # of those that errors are measured at: 0.02 % of a density's electrons, 3 % of the NMAPE
THIN = 2e-4  # e / Bohr^3, density below which errors count less in the loss "l2"
#: Steps of the three numbers that a turn of the spheres is made of: 1 / p, 1 / p^2, 1 / p^3 with p^4 = p + 1, by which
#: they fill the cube evenly; Shoemake's map makes rotations of them (Graphics Gems III, 1992).
TURNS = (0.8191725133961645, 0.6710436067037893, 0.5497004779019703)


class Density(Task):
    r"""The electron density of neutral closed shells. With ``form="linear"`` it is a sum of functions on the atoms,

    .. math:: \rho(r) = \sum_{iklm} C_{iklm}\, Y_{lm}(r - r_i)\, |r - r_i|^l\, e^{-\alpha_{ikl} |r - r_i|^2},

    with coefficients (e / Bohr^(3/2)) of :class:`~intertwine.nn.atom_coefficients.AtomCoefficients` and a correction of
    the s functions, :math:`C \mathrel{+}= \lambda S_0^{-1} q` with the overlaps S_0 of the functions of one atom, by
    which the charge :math:`q^T C = N` is exact. With ``form="quadratic"`` it is one of products of orbitals,

    .. math:: \rho(r) = \sum_{\mu\nu} \Gamma_{\mu\nu}\, \chi_\mu(r)\, \chi_\nu(r), \qquad
        \Gamma S \Gamma = 2 \Gamma, \quad \operatorname{tr} \Gamma S = N,

    of rank N/2 and nowhere negative (:mod:`intertwine.tasks.density_forms`).

    The label is the density matrix of orbitals. The loss is of the density at points around the atoms: "l2" is
    :math:`\int (\Delta\rho)^2 / \rho`, whose root is never below the error that is reported, "l1" is that error,

    .. math:: \mathrm{NMAPE} = 100\, \frac{\int |\Delta\rho|}{\int \rho};

    or it is of the "coefficients", the squared distance from the best ones in the metric of overlaps (for a density
    matrix :math:`\operatorname{tr} \Delta S \Delta S`); "both" is the sum of this and "l2", each in units of what
    training begins at. The squared error of the dipole can be added: many small errors of one sign far from each other
    are a large dipole, and hardly seen at points.

    Errors are also of the dipole (D), of the charge (e), and of Buckingham's traceless quadrupole about the centre of
    the nuclei's charge (D A), :math:`\Theta_{ab} = \frac12 \int \rho\, (3 r_a r_b - r^2 \delta_{ab})`. How far the
    least value at the points of the NMAPE is below zero is told too (e / Bohr^3). What the best coefficients of the
    basis leave is reported beside, as the floor.

    Args:
        backbone: a model with tensors.
        basis: of the orbitals, as :meth:`intertwine.orbitals.Basis.to_json` writes it; a data set says it.
        form: "linear" or "quadratic".
        auxiliary: basis of the functions, as ``basis``, or a name that PySCF knows, "def2-universal-jkfit" for example;
            "" for even-tempered ones.
        ratio: of the exponents of even-tempered functions (no unit).
        width: channels of the features that coefficients, or pairs, are read from.
        hidden: features of the hidden layer of the scalars, or of pairs.
        loss: "l2", "l1", "coefficients" or "both".
        dipole_weight: of the squared error of the dipole in the loss (1 / D^2).

    Raises:
        InputError: no basis, a model without tensors, an unknown form or loss, a ratio that is not above 1, a negative
            weight; PySCF is not installed, or does not know the auxiliary basis.
        DataError: the text of a basis is damaged.
    """

    name: ClassVar[str] = "density"
    model: ClassVar[str] = "nequip"
    pace: ClassVar[Pace] = Pace(batch_size=5, learning_rate=2e-3, steps=20_000, least=20, most=1000, settings=SETTINGS)
    loss_arguments: ClassVar[tuple[str, ...]] = ("loss", "dipole_weight")
    levers: ClassVar[dict[str, str]] = {"dipole_moment": "dipole_weight"}
    loss_buffers: ClassVar[tuple[str, ...]] = ("spread", "extent", "step")
    spread: Tensor
    extent: Tensor
    step: Tensor
    floor: Tensor

    def __init__(
        self, backbone: Backbone, basis: str = "", form: str = LINEAR, auxiliary: str = "", ratio: float = RATIO,
        width: int = 16, hidden: int = 64, loss: str = "l2", dipole_weight: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(backbone)
        self.loss = choose(loss, LOSSES, kind="loss of densities", where="loss")
        if not 0 <= dipole_weight < float("inf"):
            what = f"a weight of {dipole_weight}"
            raise InputError(what, where="dipole_weight", remedy="give a number, or 0 for no dipole in the loss.")
        self.basis = basis_of(basis)
        self.orbitals = BlockLayout(self.basis)
        if choose(form, FORMS, kind="form of densities", where="form") == LINEAR:
            functions = auxiliary_of(auxiliary, self.basis) if auxiliary else None
            self.form: Form = Linear(backbone, self.basis, functions, ratio, width, hidden)
        else:
            self.form = Quadratic(backbone, self.basis, width, hidden)
        self.register_buffer("spread", torch.ones((), dtype=torch.float64))
        self.register_buffer("extent", torch.ones((), dtype=torch.float64))
        self.register_buffer("floor", torch.full((), torch.nan, dtype=torch.float64))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.outputs = {self.form.output: self.form.told}
        self.metrics = {
            "density": Metric("%", 100.0), "dipole_moment": Metric("D", DEBYE), "quadrupole": Metric("D A", BUCKINGHAM),
            "electrons": Metric("e"), "negative_density": Metric("e/Bohr^3"),
        }  # fmt: skip
        self.weights = {name: float(name == "density") for name in self.metrics} | {"dipole_moment": dipole_weight}
        # of geometries that were seen, best parameters and dipoles: to find them costs more than a step
        self._best: dict[bytes, Tensor] = {}
        self._dipoles: dict[bytes, Tensor] = {}

    @classmethod
    def suits(cls, data: Graphs, target: str | None) -> bool:
        paired = getattr(data, "levels", {}).get("density") == "pair"
        return paired and target in (None, "density")

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone], told: Mapping[str, Any]) -> Suggestion:
        """The basis of the data, a model with tensors, a cosine schedule and averaged weights."""
        task: dict[str, Any] = {}
        degree, quadratic = 2, told.get("form") == QUADRATIC
        if text := told.get("basis") or getattr(data, "about", {}).get("basis"):
            basis = Basis.from_json(text).only(data.species())
            task["basis"] = basis.to_json()
            degree = max([1, *(shell.degree for shells in basis.shells.values() for shell in shells)])
        if quadratic:
            task["hidden"] = 192
        general = super().suggest(data, "density", model, told)["model"]
        size = {"width": 32 if quadratic else 16, "layers": 2} if model.__name__ == "NequIP" else {}
        features = Irreps([(1, (l, (-1) ** l)) for l in range((degree if quadratic else 2) + 1)])
        return {
            "task": task,
            "model": general | size | outputs_of(model, features),
            "training": dict(cls.pace.settings),
        }

    def labels(self, fields: Iterable[str]) -> list[str]:
        return ["density"]

    def output_of(self, target: str) -> str:
        """What is predicted; charges of model and baseline are exact, and neither has much below zero, so that there is
        nothing to compare."""
        return target if target in ("electrons", "negative_density") else self.form.output

    def make_baselines(self) -> dict[str, Baseline]:
        return {self.form.output: Guess(self.form)}

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        return {self.form.output: self.form(self.backbone(graph), graph)}

    def values(self, graph: Graph, rows: Float[Tensor, "..."], points: Float[Tensor, "points 3"]) -> Tensor:
        """The density of one molecule at points, float64, (points,).

        Args:
            graph: the molecule.
            rows: what is predicted of it.
            points: in A.
        """
        ones = one_molecule(graph)
        c = self.form.parameters_of(ones, rows.to(torch.float64))
        return self.form.values(ones, c, points.to(torch.float64).unsqueeze(0))[0]

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        """Of each molecule: NMAPE / 100, the dipole (e Bohr), the quadrupole (e Bohr^2), the number of electrons, and
        how far the density is below zero."""
        if graph.get("density") is None:
            return {}
        check_blocks(graph.density, self.orbitals, graph, "a batch")
        parts: dict[str, list[Tensor]] = {name: [] for name in self.metrics}
        for ones in molecules(graph):
            c, D = self._of(ones, prediction[self.form.output], graph)
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
        rows = prediction[self.form.output]
        total = sum(self._parts(rows, graph, self._turn() if self.training else None))
        made: dict[str, tuple[Tensor, int | float]] = {"density": (torch.as_tensor(total).to(self.dtype), graph.graphs)}
        if self.weights["dipole_moment"] > 0:
            squares = rows.new_zeros((), dtype=torch.float64)
            for ones in molecules(graph):
                c, D = self._of(ones, rows, graph)
                true = self._once(self._dipoles, ones, D, lambda part, D: self._moments(part, D)[1])
                apart = true - self.form.moments(ones, centred(ones), c)[1]
                squares = squares + (DEBYE * apart).square().sum()
            made["dipole_moment"] = squares.to(self.dtype), graph.graphs
        return made

    def _parts(self, rows: Tensor, graph: Graph, turn: Tensor | None) -> list[Tensor]:
        """The sums of the loss at points and of the loss of coefficients, of those that are asked for, each in units of
        what training begins at."""
        at_points, of_coefficients = rows.new_zeros(()), rows.new_zeros(())
        for ones in molecules(graph):
            c, D = self._of(ones, rows, graph)
            electrons = ones.numbers.sum()
            if self.loss != "coefficients":
                grid = molecular_quadrature(ones.pos, *TRAINED, turn)
                made, true = self._both(ones, c, D, grid.points.to(self.dtype))
                w = grid.weights.to(self.dtype)
                each = (made - true).abs() if self.loss == "l1" else (made - true).square() / (true + THIN)
                at_points = at_points + (w * each).sum() / electrons
            if self.loss in ("coefficients", "both"):
                of_coefficients = of_coefficients + self.form.apart(ones, c, self._nearest(ones, D)).sum() / electrons
        unit = self.spread if self.loss == "l1" else self.spread**2
        return [at_points / unit, of_coefficients / self.extent**2]

    def _nearest(self, ones: Molecules, D: Float[Tensor, "m n n"]) -> Tensor:
        """The best parameters of each molecule."""
        return self._once(self._best, ones, D, self.form.best)

    def _once(
        self, kept: dict[bytes, Tensor], ones: Molecules, D: Tensor, make: Callable[[Molecules, Tensor], Tensor]
    ) -> Tensor:
        """What is made of the label of each molecule, in the first step that sees it."""
        keys = [ones.numbers.cpu().numpy().tobytes() + x.cpu().numpy().tobytes() for x in ones.pos]
        if new := [k for k, key in enumerate(keys) if key not in kept]:
            part = Molecules(ones.numbers, ones.pos[new], ones.nodes[new], ones.pairs[new])
            kept.update(zip([keys[k] for k in new], make(part, D[new]).detach(), strict=True))
        return torch.stack([kept[key] for key in keys])

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

    def _of(self, ones: Molecules, rows: Tensor, graph: Graph) -> tuple[Tensor, Float[Tensor, "m n n"]]:
        """What is predicted, and density matrices, of molecules of one composition."""
        D = orbital_matrix(self.orbitals, ones.numbers, graph.density[ones.pairs].to(torch.float64))
        return self.form.parameters_of(ones, rows), D

    def _both(self, ones: Molecules, c: Tensor, D: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """The density as predicted, and as it is, at points (A)."""
        return self.form.values(ones, c, points), matrix_density(self.basis, ones.numbers, ones.pos, D, points)

    def _moment_errors(self, ones: Molecules, c: Tensor, D: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The charge of electrons, and errors of the first and second moments of all charge (Bohr), about the centre of
        the nuclei's."""
        charge, first, second = self.form.moments(ones, centred(ones), c)
        _, dipole, spread = self._moments(ones, D)
        return charge, dipole - first, spread - second

    def _moments(self, ones: Molecules, D: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of the labels: charge, first and second moments of the electrons (Bohr)."""
        return matrix_moments(self.basis, ones.numbers, centred(ones), D)

    def fit(self, graphs: Iterable[Graph]) -> None:
        """Means, scales and the floor from the first graphs of the training set.

        Raises:
            DataError: a matrix is missing, not finite, or of another basis; a molecule has an odd number of electrons,
                or more than its orbitals hold.
            GeometryError: functions are linearly dependent.
        """
        kept = labelled(graphs, "density", self.orbitals, self.form.FITTED)
        batch, few = collate(kept), collate(kept[:MEASURED])
        self.form.fit(self._best_rows(batch), batch)
        self.floor.fill_(self.residuals({self.form.output: self._best_rows(few)}, few)["density"].mean())
        self.spread.fill_(1.0)
        self.extent.fill_(1.0)
        points, coefficients = (float(part) / few.graphs for part in self._parts(self.form.mean(few), few, None))
        self.spread.fill_((points if self.loss == "l1" else points**0.5) or 1.0)
        self.extent.fill_(coefficients**0.5 or 1.0)
        self.step.zero_()

    def _best_rows(self, graph: Graph) -> Tensor:
        """What comes nearest to the labels, as a prediction is written."""
        output = self.form.told
        rows = torch.zeros(len(graph.density) if output.level == "pair" else graph.num_nodes,
                           output.representation.dim, dtype=torch.float64)  # fmt: skip
        for ones in molecules(graph):
            D = orbital_matrix(self.orbitals, ones.numbers, graph.density[ones.pairs].to(torch.float64))
            rows[ones.pairs if output.level == "pair" else ones.nodes] = self.form.rows_of(ones, self._nearest(ones, D))
        return rows

    def errors(self, target: str, mae: float, rmse: float, truth: Tensor | None) -> dict[str, Any]:
        """As of any task, with ``floor`` of the NMAPE: what the best coefficients leave of the training set (%)."""
        result = super().errors(target, mae, rmse, None)
        return result | ({"floor": 100 * float(self.floor)} if target == "density" else {})

    def line(self, target: str, errors: dict[str, Any]) -> str:
        if target != "density":
            return super().line(target, errors)
        share = of_the_baseline([ratio for kind, ratio in errors.get("ratio", {}).items() if kind == "mae"])
        best = f", of the best coefficients {figure(errors['floor'])} %" if self.form.output == Linear.output else ""
        return f"NMAPE {figure(errors['mae'])} %{best}" + (f" ({share})" if share else "")

    def pictures(
        self, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]
    ) -> dict[str, Callable[..., Any]]:
        graph, rows = graphs[0], torch.as_tensor(predictions[0][self.form.output])
        D = orbital_matrix(self.orbitals, graph.z, graph.density.to(torch.float64)).unsqueeze(0)
        pos = graph.pos.to(torch.float64)

        def true(points: Tensor) -> Tensor:
            return matrix_density(self.basis, graph.z, pos.unsqueeze(0), D, points.unsqueeze(0))[0]

        return pictures_of(graph.z, pos, partial(self.values, graph, rows), true)

    def describe(self) -> dict[str, Any]:
        if not isinstance(self.form, Linear):
            return {"basis": self.basis.name}
        return {
            "auxiliary basis": self.form.basis.name,
            "functions by element": {str(z): self.form.basis.size(z) for z in sorted(self.form.basis.shells)},
            "NMAPE of the best coefficients (%)": 100 * float(self.floor),
        }
