r"""Head for an expansion on atoms: coefficients of functions of every degree, of each atom.

.. math::
    c_i = \bar c_{z_i} + M_{z_i} u_i, \qquad
    u_{i,l} = \big(1 + g_l(x_{i,0}, z_i)\big) \circ W_{z_i, l}\, x_{i,l}, \qquad u_{i,0} \mathrel{+}= g_0(x_{i,0}, z_i)

with features x of a :class:`~intertwine.nn.lift.Lift`, a perceptron g of their scalars, and the mean :math:`\bar c` of
a species. The columns of M are the principal components of what the training set has beyond the mean, as long as their
standard deviation, so that all numbers u are of size one: coefficients of functions that overlap are large, and nearly
cancel. Components of different order m share theirs, so that M is equivariant.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn.embedding import SpeciesTable
from intertwine.nn.lift import Lift
from intertwine.nn.mlp import MLP
from intertwine.numerics import WideBuffers
from intertwine.o3 import Irreps


class AtomCoefficients(WideBuffers):
    """The head of the module's docstring.

    Args:
        irreps_in: of the node features.
        irreps: of the coefficients, of natural parity, in the layout mul_ir.
        species: atomic numbers that occur.
        width: channels of the features that coefficients are read from.
        hidden: features of the hidden layer of g.

    Raises:
        InputError: no product of the features has the degree of a function.
    """

    mean: Tensor
    mixing: Tensor

    def __init__(self, irreps_in: Irreps, irreps: Irreps, species: list[int], width: int, hidden: int) -> None:
        super().__init__()
        self.irreps, self.species = Irreps(irreps), SpeciesTable(species)
        self.lift, self.width = Lift(irreps_in, width, max(self.irreps.ls)), width
        self.shells = {ir.l: mul for mul, ir in self.irreps}
        kinds, size = len(species), self.irreps.dim
        self.weights = nn.ParameterDict(
            {str(l): nn.Parameter(torch.randn(kinds, count, width) / width**0.5) for l, count in self.shells.items()}
        )
        self.gate = MLP([width + kinds, hidden, sum(self.shells.values())])
        self.register_wide("mean", torch.zeros(kinds, size, dtype=torch.float64))
        self.register_wide("mixing", torch.eye(size, dtype=torch.float64).repeat(kinds, 1, 1))

    def forward(
        self, x: Float[Tensor, "nodes features"], z: Int[Tensor, " nodes"]
    ) -> Float[Tensor, "nodes coefficients"]:
        """Coefficients, float64."""
        kind = self.species(z)
        y = self.lift(x)
        which = nn.functional.one_hot(kind, len(self.mean)).to(x)
        gates = self.gate(torch.cat([y[:, 0, : self.width], which], dim=1)).split(list(self.shells.values()), dim=1)
        parts = []
        for l, gate in zip(self.shells, gates, strict=True):
            rows = y[:, l * l : (l + 1) ** 2, : self.width]
            values = (1 + gate).unsqueeze(2) * (self.weights[str(l)][kind] @ rows.mT)
            parts.append((values + gate.unsqueeze(2) if l == 0 else values).flatten(1))
        u = torch.cat(parts, dim=1).to(torch.float64)
        c = self.mean[kind]
        for each, mixing in enumerate(self.mixing):  # one product for each species: a matrix for each node is large
            rows = (kind == each).nonzero().squeeze(1)
            c = c.index_add(0, rows, u.index_select(0, rows) @ mixing.T)
        return c

    def fit(
        self,
        c: Float[Tensor, "nodes coefficients"],
        z: Int[Tensor, " nodes"],
        metric: dict[int, Float[Tensor, "coefficients coefficients"]],
    ) -> None:
        """Take means and principal components from the coefficients of a training set.

        Args:
            c: coefficients, zero where a species has no function.
            z: atomic numbers.
            metric: of each species, the overlaps of its functions; zero where there is none.
        """
        kind = self.species(z)
        self.mean.zero_()
        self.mixing.zero_()
        for each in kind.unique().tolist():
            rows = c[kind == each].to(torch.float64)
            overlaps, at = metric[self.species.known[each]], 0
            for l, count in self.shells.items():
                span = slice(at, at + count * (2 * l + 1))
                values = rows[:, span].unflatten(1, (count, 2 * l + 1))
                if l == 0:
                    self.mean[each, span] = rows[:, span].mean(0)
                    values = values - values.mean(0)
                own = overlaps[span, span][:: 2 * l + 1, :: 2 * l + 1]
                there = own.diagonal() > 0
                mixing = own.new_zeros(count, count)
                if bool(there.any()):
                    factor = torch.linalg.cholesky(own[there][:, there])
                    straight = factor.T @ values[:, there]  # of functions without overlap
                    spread = (straight @ straight.mT).mean(0) / (2 * l + 1)
                    variances, directions = torch.linalg.eigh(spread)
                    sizes = variances.flip(0).clamp(min=0).sqrt()
                    columns = torch.linalg.solve_triangular(factor.T, directions.flip(1) * sizes, upper=True)
                    mixing[: len(own), : len(sizes)][there] = columns
                self.mixing[each, span, span] = torch.kron(mixing, torch.eye(2 * l + 1, dtype=torch.float64))
                at = span.stop
