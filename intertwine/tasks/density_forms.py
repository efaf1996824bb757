r"""How a density is written: in functions on the atoms, or in products of orbitals of all pairs of atoms.

Both answer the same questions (:class:`Form`), so that the task, its pictures and its files know of neither.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import Backbone
from intertwine.nn.atom_coefficients import AtomCoefficients
from intertwine.nn.pair_blocks import PairBlocks, pair_graph
from intertwine.orbitals import (
    AtomLayout,
    Basis,
    BlockLayout,
    even_tempered,
    orbital_matrix,
    overlap_matrix,
    pair_blocks,
    purified,
)
from intertwine.orbitals.density import charges, density_moments, fitted, matrix_moments
from intertwine.orbitals.named import pyscf_basis
from intertwine.orbitals.values import expanded_density, matrix_density
from intertwine.tasks.baselines import Baseline
from intertwine.tasks.compositions import Molecules, tensors_of
from intertwine.tasks.output import Output

Moments = tuple[Float[Tensor, " m"], Float[Tensor, "m 3"], Float[Tensor, "m 3 3"]]


class Form(nn.Module, ABC):
    """Base: a head that predicts rows of numbers, of nodes or of pairs, and what density they are.

    Attributes:
        output: name of what is predicted. baseline: of :meth:`mean`. FITTED: graphs of the training set that
            :meth:`fit` looks at.
        told: what it is as an output of a task.
    """

    output: ClassVar[str]
    baseline: ClassVar[str]
    FITTED: ClassVar[int]
    told: Output
    basis: Basis

    @abstractmethod
    def forward(self, x: Float[Tensor, "nodes features"], graph: Graph) -> Tensor:
        """The rows."""

    @abstractmethod
    def mean(self, graph: Graph) -> Tensor:
        """The same without the network: what training begins at, and is held against."""

    @abstractmethod
    def fit(self, rows: Tensor, batch: Graph) -> None:
        """Take means and scales from the best rows of a training set."""

    @abstractmethod
    def parameters_of(self, ones: Molecules, rows: Tensor) -> Tensor:
        """Of molecules of one composition, what the functions below take."""

    @abstractmethod
    def rows_of(self, ones: Molecules, parameters: Tensor) -> Tensor:
        """The rows of each molecule; the inverse of :meth:`parameters_of`."""

    @abstractmethod
    def best(self, ones: Molecules, matrices: Float[Tensor, "m n n"]) -> Tensor:
        """The parameters that come nearest to density matrices."""

    @abstractmethod
    def apart(self, ones: Molecules, parameters: Tensor, best: Tensor) -> Float[Tensor, " m"]:
        """The square of the distance from the best parameters, in the metric of overlaps."""

    @abstractmethod
    def values(self, ones: Molecules, parameters: Tensor, points: Float[Tensor, "m p 3"]) -> Float[Tensor, "m p"]:
        """The density (e / Bohr^3) at points (A)."""

    @abstractmethod
    def moments(self, ones: Molecules, pos: Float[Tensor, "m atoms 3"], parameters: Tensor) -> Moments:
        """Electrons, and first and second moments (Bohr, Bohr^2), of atoms at ``pos`` (A)."""


class Linear(Form):
    r"""A sum of functions of an auxiliary basis, whose charge is made exact by the s functions of all atoms.

    Args:
        backbone: a model with tensors.
        orbitals: their basis.
        auxiliary: of the functions; None for even-tempered ones.
        ratio: of even-tempered exponents.
        width: channels of the features that coefficients are read from. hidden: of the hidden layer of the scalars.
    """

    output, baseline = "coefficients", "mean atoms"
    FITTED = 100
    head: AtomCoefficients

    def __init__(
        self, backbone: Backbone, orbitals: Basis, auxiliary: Basis | None, ratio: float, width: int, hidden: int
    ) -> None:
        super().__init__()
        species = sorted(orbitals.shells)
        self.orbitals, self.basis = orbitals, auxiliary or even_tempered(orbitals, species, ratio)
        self.layout = AtomLayout(self.basis.only(species))
        self.head = AtomCoefficients(tensors_of(backbone), self.layout.orbitals, species, width, hidden)
        self.told = Output(self.layout.orbitals, "node", "e/Bohr^1.5", label=self.output)
        self.metric = {z: self._overlaps(z) for z in species}
        self.charge = torch.zeros(len(species), self.layout.size, dtype=torch.float64)
        self.shift = torch.zeros_like(self.charge)
        for kind, z in enumerate(species):
            q = charges(self.basis, z)
            places, q = self.layout.places(z)[q != 0], q[q != 0]  # s functions
            self.charge[kind, places] = q
            self.shift[kind, places] = torch.linalg.solve(self.metric[z][places][:, places], q)

    def _overlaps(self, z: int) -> Float[Tensor, "size size"]:
        """Overlaps of the functions of one atom, in the places of its row."""
        places, whole = self.layout.places(z), torch.zeros(self.layout.size, self.layout.size, dtype=torch.float64)
        S = overlap_matrix(self.basis, torch.tensor([z]), torch.zeros(1, 3, dtype=torch.float64))
        whole[places.unsqueeze(1), places] = S
        return whole

    def forward(self, x: Float[Tensor, "nodes features"], graph: Graph) -> Float[Tensor, "nodes size"]:
        return self._neutral(self.head(x, graph.z), graph)

    def mean(self, graph: Graph) -> Float[Tensor, "nodes size"]:
        return self._neutral(self.head.mean[self.head.species(graph.z)], graph)

    def _neutral(self, c: Float[Tensor, "nodes size"], graph: Graph) -> Float[Tensor, "nodes size"]:
        """Coefficients whose charge is that of the nuclei of each molecule."""
        kind, owner = self.head.species(graph.z), graph.membership()
        q, shift = self.charge.to(c.device)[kind], self.shift.to(c.device)[kind]
        lack = graph.z - (q * c).sum(1)
        sums = c.new_zeros(2, graph.graphs).index_add(1, owner, torch.stack([lack, (q * shift).sum(1)]))
        return c + (sums[0] / sums[1])[owner].unsqueeze(1) * shift

    def fit(self, rows: Float[Tensor, "nodes size"], batch: Graph) -> None:
        self.head.fit(rows, batch.z, self.metric)

    def parameters_of(self, ones: Molecules, rows: Float[Tensor, "nodes size"]) -> Float[Tensor, "m functions"]:
        return self.layout.to_orbitals(ones.numbers, rows[ones.nodes])

    def rows_of(self, ones: Molecules, parameters: Float[Tensor, "m functions"]) -> Float[Tensor, "m atoms size"]:
        return self.layout.to_atoms(ones.numbers, parameters)

    def best(self, ones: Molecules, matrices: Float[Tensor, "m n n"]) -> Float[Tensor, "m functions"]:
        return fitted(self.orbitals, self.basis, ones.numbers, ones.pos, matrices)

    def apart(self, ones: Molecules, parameters: Tensor, best: Tensor) -> Float[Tensor, " m"]:
        r""":math:`\int (\rho - \rho_{best})^2`."""
        difference = parameters.to(torch.float64) - best
        S = overlap_matrix(self.basis, ones.numbers, ones.pos)
        return torch.einsum("mp,mpq,mq->m", difference, S, difference)

    def values(self, ones: Molecules, parameters: Tensor, points: Float[Tensor, "m p 3"]) -> Float[Tensor, "m p"]:
        return expanded_density(self.basis, ones.numbers, ones.pos, parameters, points)

    def moments(self, ones: Molecules, pos: Float[Tensor, "m atoms 3"], parameters: Tensor) -> Moments:
        return density_moments(self.basis, ones.numbers, pos, parameters)


class Quadratic(Form):
    r"""A density matrix of orbitals, :math:`\rho = \sum_{\mu\nu} \Gamma_{\mu\nu} \chi_\mu \chi_\nu`, of rank N/2.

    The blocks of :class:`~intertwine.nn.pair_blocks.PairBlocks` are what is predicted; the density is that of whole
    pairs of electrons (:func:`~intertwine.orbitals.purified`), so that the charge is exact and the density nowhere
    negative. Nothing is lost by the form: the labels have it.

    Args:
        backbone: a model with tensors, and a cutoff beyond which blocks vanish.
        orbitals: their basis.
        width: channels of the features that pairs look at. hidden: features of the hidden layers of pairs.
    """

    output, baseline = "density_matrix", "pairs of atoms alone"
    FITTED = 500
    head: PairBlocks

    def __init__(self, backbone: Backbone, orbitals: Basis, width: int, hidden: int) -> None:
        super().__init__()
        self.basis, self.layout = orbitals, BlockLayout(orbitals)
        irreps, species = tensors_of(backbone), sorted(orbitals.shells)
        self.head = PairBlocks(
            irreps, self.layout.irreps, self.layout.transposed, species, backbone.cutoff, width, hidden
        )
        self.told = Output(self.layout.irreps, "pair", "", label="density")

    def forward(self, x: Float[Tensor, "nodes features"], graph: Graph) -> Float[Tensor, "pairs dim"]:
        return self.head(x, graph.z, pair_graph(graph))

    def mean(self, graph: Graph) -> Float[Tensor, "pairs dim"]:
        return self.head.guessed(graph.z, pair_graph(graph))

    def fit(self, rows: Float[Tensor, "pairs dim"], batch: Graph) -> None:
        self.head.fit(rows, batch.z, pair_graph(batch))

    def parameters_of(self, ones: Molecules, rows: Float[Tensor, "pairs dim"]) -> Float[Tensor, "m n n"]:
        """The density matrices of whole pairs of electrons."""
        D = orbital_matrix(self.layout, ones.numbers, rows[ones.pairs].to(torch.float64))
        return purified(D, overlap_matrix(self.basis, ones.numbers, ones.pos), int(ones.numbers.sum()))

    def rows_of(self, ones: Molecules, parameters: Float[Tensor, "m n n"]) -> Float[Tensor, "m pairs dim"]:
        return pair_blocks(self.layout, ones.numbers, parameters)

    def best(self, ones: Molecules, matrices: Float[Tensor, "m n n"]) -> Float[Tensor, "m n n"]:
        return matrices.to(torch.float64)

    def apart(self, ones: Molecules, parameters: Tensor, best: Tensor) -> Float[Tensor, " m"]:
        r""":math:`\operatorname{tr}(\Delta S \Delta S)`, the squared norm in orthonormal orbitals."""
        product = (parameters.to(torch.float64) - best) @ overlap_matrix(self.basis, ones.numbers, ones.pos)
        return (product * product.mT).sum((1, 2))

    def values(self, ones: Molecules, parameters: Tensor, points: Float[Tensor, "m p 3"]) -> Float[Tensor, "m p"]:
        return matrix_density(self.basis, ones.numbers, ones.pos, parameters, points)

    def moments(self, ones: Molecules, pos: Float[Tensor, "m atoms 3"], parameters: Tensor) -> Moments:
        return matrix_moments(self.basis, ones.numbers, pos, parameters)


class Guess(Baseline):
    """What a form begins at, without the network.

    Args:
        form: of the density, whose :meth:`Form.fit` has seen the training set.
    """

    def __init__(self, form: Form) -> None:
        self.name, self.rows_of = form.baseline, form.mean

    def add(self, graph: Graph) -> None:
        """Nothing: the form has seen it."""

    def fit(self) -> None:
        """Nothing."""

    def predict(self, graph: Graph, like: Tensor) -> Tensor | None:
        return self.rows_of(graph)


def auxiliary_of(text: str, orbitals: Basis) -> Basis:
    """The basis of a text of :meth:`~intertwine.orbitals.Basis.to_json`, or of a name that PySCF knows."""
    return Basis.from_json(text) if text.lstrip().startswith("{") else pyscf_basis(text, orbitals.shells)
