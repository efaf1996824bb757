r"""Matrices between atomic orbitals, learned block by block: Hamiltonians (Fock matrices) of molecules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry import Graph, Graphs, collate, pair_list
from intertwine.nn import Backbone
from intertwine.nn.pair_blocks import PairBlocks, pair_graph
from intertwine.numerics import choose
from intertwine.o3 import Irreps
from intertwine.orbitals import Basis, BlockLayout, orbital_matrix, overlap_matrix, spectrum
from intertwine.orbitals.basis import HARTREE
from intertwine.tasks.compositions import basis_of, check_blocks, labelled, molecules, occupied, tensors_of
from intertwine.tasks.hamiltonian_pictures import pictures_of
from intertwine.tasks.output import Metric, Output
from intertwine.tasks.pace import ELECTRONS, Pace
from intertwine.tasks.representations import outputs_of
from intertwine.tasks.task import LOSSES, Suggestion, Task

SETTINGS = ELECTRONS | {"evaluate_every": 5}  # epochs
MICRO = 1e6 / HARTREE  # from eV to 1e-6 Eh
UNIT = "1e-6 Eh"
FITTED_GRAPHS = 2000  # of the training set, from which guess and scales are taken
BOTH = "l1+l2"


class Hamiltonian(Task):
    r"""A symmetric matrix between atomic orbitals (eV), as blocks :math:`H_{ij}` of all pairs of atoms.

    The model's features become blocks in :class:`~intertwine.nn.pair_blocks.PairBlocks`, which begins at the best guess
    of two centres and makes :math:`H_{ij} = H_{ji}^T` hold exactly. The loss is of matrix elements, and of occupied
    orbital energies if ``energy_weight`` says so. Overlaps are computed, never learned.

    Errors are reported in 1e-6 Eh: of all elements, of diagonal and off-diagonal blocks, of the energies of occupied
    orbitals and of the gap; and one minus the cosine of the coefficients of occupied orbitals, their sign apart.

    Args:
        backbone: a model with tensors, and a cutoff beyond which blocks vanish.
        basis: of the orbitals, as :meth:`intertwine.orbitals.Basis.to_json` writes it; a data set says it.
        width: channels of the features that pairs look at.
        hidden: features of the hidden layers of pairs.
        energy_weight: of the energies of occupied orbitals in the loss (no unit).
        loss: "l1", "l2", "huber", or "l1+l2", the sum of the first two.
        guess: what the network adds to, of least squares: "pairs", functions of the distances of two atoms; "atoms",
            a constant of each species; or "none".

    Raises:
        InputError: no basis, a model without tensors, an unknown loss or guess.
        DataError: the text of the basis is damaged.
    """

    name: ClassVar[str] = "hamiltonian"
    model: ClassVar[str] = "nequip"
    pace: ClassVar[Pace] = Pace(batch_size=10, learning_rate=2e-3, steps=20_000, least=20, most=1000, settings=SETTINGS)
    loss_arguments: ClassVar[tuple[str, ...]] = ("loss", "energy_weight")
    levers: ClassVar[dict[str, str]] = {"occupied_energies": "energy_weight"}
    loss_buffers: ClassVar[tuple[str, ...]] = ("spread",)
    spread: Tensor

    def __init__(
        self, backbone: Backbone, basis: str = "", width: int = 16, hidden: int = 192, energy_weight: float = 0.0,
        loss: str = BOTH, guess: str = "pairs",
    ) -> None:  # fmt: skip
        super().__init__(backbone, "l1" if loss == BOTH else choose(loss, [*LOSSES, BOTH], kind="loss", where="loss"))
        self.loss = loss
        self.basis = basis_of(basis)
        self.layout = BlockLayout(self.basis)
        species = sorted(self.basis.shells)
        self.head = PairBlocks(
            tensors_of(backbone),
            self.layout.irreps,
            self.layout.transposed,
            species,
            backbone.cutoff,
            width,
            hidden,
            guess=guess,
        )
        self.register_buffer("spread", torch.ones(()))
        self.outputs = {"hamiltonian": Output(self.layout.irreps, "pair", "eV")}
        parts = ("hamiltonian", "diagonal_blocks", "other_blocks", "occupied_energies", "gap")
        self.metrics = {name: Metric(UNIT, MICRO) for name in parts} | {"orbitals": Metric("1 - cosine")}
        self.weights = dict.fromkeys(self.metrics, 0.0) | {"hamiltonian": 1.0, "occupied_energies": energy_weight}

    @classmethod
    def suits(cls, data: Graphs, target: str | None) -> bool:
        return "hamiltonian" in data.fields and target in (None, "hamiltonian")

    @classmethod
    def suggest(cls, data: Graphs, target: str | None, model: type[Backbone], told: Mapping[str, Any]) -> Suggestion:
        """The basis of the data, a model with tensors of its degrees, a cosine schedule and averaged weights."""
        task: dict[str, Any] = {}
        degree = 1
        if text := told.get("basis") or getattr(data, "about", {}).get("basis"):
            basis = Basis.from_json(text).only(data.species())
            task["basis"] = basis.to_json()
            degree = max(1, *(shell.degree for shells in basis.shells.values() for shell in shells))
        features = outputs_of(model, Irreps([(1, (l, (-1) ** l)) for l in range(degree + 1)]))
        general = super().suggest(data, "hamiltonian", model, told)["model"]
        size = {"width": 32, "layers": 2} if model.__name__ == "NequIP" else {}
        return {
            "task": task,
            "model": general | size | features,
            "training": dict(cls.pace.settings),
        }

    def output_of(self, target: str) -> str:
        return "hamiltonian"

    def predict(self, graph: Graph) -> dict[str, Tensor]:
        return {"hamiltonian": self.head(self.backbone(graph), graph.z, pair_graph(graph))}

    def residuals(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, Tensor]:
        if graph.get("hamiltonian") is None:
            return {}
        i, j = pair_list(graph).T
        elements, kept = self._elements(prediction, graph)
        parts = {
            "hamiltonian": elements[kept],
            "diagonal_blocks": elements[i == j][kept[i == j]],
            "other_blocks": elements[i != j][kept[i != j]],
        }
        return parts | self._of_orbitals(prediction["hamiltonian"], graph)

    def losses(self, prediction: dict[str, Tensor], graph: Graph) -> dict[str, tuple[Tensor, int | float]]:
        if graph.get("hamiltonian") is None:
            return {}
        elements, kept = self._elements(prediction, graph)
        r = (elements[kept] / self.spread.to(elements)).to(self.dtype)
        result: dict[str, tuple[Tensor, int | float]] = {"hamiltonian": (self._loss(r), r.numel())}
        if self.weights["occupied_energies"] > 0:
            r = self._of_orbitals(prediction["hamiltonian"], graph, energies=True)["occupied_energies"]
            r = (r / self.spread.to(r)).to(self.dtype)
            result["occupied_energies"] = (self._loss(r), r.numel())
        return result

    def _loss(self, r: Tensor) -> Tensor:
        return LOSSES["l1"](r) + LOSSES["l2"](r) if self.loss == BOTH else LOSSES[self.loss](r)

    def _elements(self, prediction: dict[str, Tensor], graph: Graph) -> tuple[Tensor, Tensor]:
        """Errors of the blocks (pairs, n, n), and which elements the atoms of the pair have."""
        check_blocks(graph.hamiltonian, self.layout, graph, "a batch")
        i, j = pair_list(graph).T
        mask = self.layout.mask(graph.z)
        r = prediction["hamiltonian"] - graph.hamiltonian.to(prediction["hamiltonian"])
        return self.layout.to_blocks(r), mask[i].unsqueeze(2) & mask[j].unsqueeze(1)

    def _of_orbitals(self, y: Tensor, graph: Graph, energies: bool = False) -> dict[str, Tensor]:
        """Errors of energies and coefficients of the occupied orbitals, one composition after the other."""
        parts: dict[str, list[Tensor]] = {"occupied_energies": [], "gap": [], "orbitals": []}
        for numbers, pos, _, rows in molecules(graph):
            S = overlap_matrix(self.basis, numbers, pos)
            true, made = (
                spectrum(orbital_matrix(self.layout, numbers, blocks[rows].to(torch.float64)), S)
                for blocks in (graph.hamiltonian, y)
            )
            n = occupied(numbers)
            parts["occupied_energies"].append((made.energies - true.energies)[:, :n].flatten())
            if energies:
                continue
            if n < true.energies.shape[1]:
                gaps = [levels.energies[:, n] - levels.energies[:, n - 1] for levels in (made, true)]
                parts["gap"].append(gaps[0] - gaps[1])
            cosine = torch.nn.functional.cosine_similarity(made.coefficients, true.coefficients, dim=1)[:, :n]
            parts["orbitals"].append((1 - cosine.abs()).flatten())
        return {name: torch.cat(values) for name, values in parts.items() if values}

    def fit(self, graphs: Iterable[Graph]) -> None:
        """Guess and scales from the training set.

        Raises:
            DataError: a matrix is missing, not finite, or of another basis; a molecule has an odd number of electrons.
        """
        batch = collate(labelled(graphs, "hamiltonian", self.layout, FITTED_GRAPHS))
        self.spread.fill_(self.head.fit(batch.hamiltonian, batch.z, pair_graph(batch)))

    def matrix(self, numbers: Int[Tensor, " atoms"], y: Float[Tensor, "*batch pairs dim"]) -> Tensor:
        """The whole matrix (eV) of blocks of all pairs of one molecule, in the order of ``intertwine.orbitals``; equal
        to its transpose to the last bit."""
        whole = orbital_matrix(self.layout, numbers, y)
        return 0.5 * (whole + whole.mT)

    def pictures(
        self, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]
    ) -> dict[str, Callable[..., Any]]:
        numbers = graphs[0].z
        alike = [k for k, graph in enumerate(graphs) if torch.equal(graph.z, numbers)]
        made, true = (
            self.matrix(numbers, torch.stack([torch.as_tensor(value) for value in values]).to(torch.float64))
            for values in ([predictions[k]["hamiltonian"] for k in alike], [graphs[k].hamiltonian for k in alike])
        )
        pos = torch.stack([graphs[k].pos for k in alike])
        return pictures_of(self.basis, numbers, pos, made, true, occupied(numbers))

    def describe(self) -> dict[str, Any]:
        return {"basis": self.basis.name, "size beyond the guess (eV)": float(self.spread)}
