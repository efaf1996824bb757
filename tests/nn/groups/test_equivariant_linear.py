"""Linear layers and perceptrons of every group commute with it, and have as many weights as there are maps."""

from __future__ import annotations

import pytest
import torch
from group_cases import GROUPS, representations

from intertwine import groups
from intertwine.groups import Defining, DirectSum, Trivial
from intertwine.groups.intertwiners import hom_basis
from intertwine.groups.regular import natural, regular
from intertwine.nn.groups.linear import EquivariantLinear
from intertwine.nn.groups.mlp import EquivariantMLP
from intertwine.numerics import InputError
from intertwine.o3 import Irreps


@pytest.mark.parametrize("name", GROUPS)
def test_layers_commute_with_the_group(name: str, generator: torch.Generator) -> None:
    group = GROUPS[name]()
    reps = [rep for rep in representations(group) if rep.axes == 1 and rep.dim <= 4]
    rep_in = DirectSum(tuple((2, rep) for rep in reps[:3]))
    rep_out = DirectSum(tuple((1, rep) for rep in (reps[min(1, len(reps) - 1)], reps[-1])))
    x = torch.randn(5, rep_in.dim, generator=generator, dtype=torch.float64)
    linear = EquivariantLinear(rep_in, rep_out, group=group).double()
    with torch.no_grad():
        for bias in linear.biases.values():
            bias.normal_(generator=generator)
    mlp = EquivariantMLP(rep_in, rep_out, width=4, layers=2, products=2).double()
    assert linear.num_maps == len(hom_basis(rep_in, rep_out, group))
    for module in (linear, mlp):
        y = module(x)
        for g in group.sample(4, generator):
            error = module(rep_in.transform(g, x)) - rep_out.transform(g, y)
            # of a group that is not compact a matrix stretches by its norm, and rounding with it
            stretch = float(
                torch.linalg.matrix_norm(rep_in.matrix(g), 2) * torch.linalg.matrix_norm(rep_out.matrix(g), 2)
            )
            size = float(module(rep_in.transform(g, x)).abs().max()) + float(y.abs().max())
            assert float(error.abs().max()) <= 1e-13 * stretch**2 * size


def test_numbers_of_weights() -> None:
    vector = Defining(groups.SO(3))
    assert EquivariantLinear(3 * vector, 2 * vector).num_maps == 6
    group = groups.symmetric(5)
    assert EquivariantLinear(natural(group), natural(group)).num_maps == 2  # Deep Sets
    assert EquivariantLinear(regular(groups.cyclic(4)), regular(groups.cyclic(4))).num_maps == 4  # circulant matrices
    irreps = Irreps("4x0e + 2x1o")
    assert (
        EquivariantLinear(irreps, irreps, group=groups.O(3)).num_maps == hom_basis(irreps, irreps, groups.O(3)).shape[0]
    )


def test_a_perceptron_learns_what_gates_cannot(generator: torch.Generator) -> None:
    """The invariant mass of two four-vectors, from their components."""
    lorentz = groups.Lorentz()
    vector = Defining(lorentz)
    mlp = EquivariantMLP(2 * vector, Trivial(lorentz), width=8, layers=1, products=4)
    x = 0.5 * torch.randn(256, 8, generator=generator)
    metric = lorentz.metric(torch.float32)
    p = x[:, :4] + x[:, 4:]
    y = torch.einsum("bi,ij,bj->b", p, metric, p)[:, None]
    optimizer = torch.optim.Adam(mlp.parameters(), lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        loss = (mlp(x) - y).square().mean() / y.square().mean()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.02


def test_wrong_input_is_named() -> None:
    vector = Defining(groups.SO(3))
    with pytest.raises(InputError, match="commutes"):
        EquivariantLinear(vector, Trivial(groups.SO(3)))
    with pytest.raises(InputError, match="components"):
        EquivariantLinear(vector, vector)(torch.zeros(4))
    with pytest.raises(InputError, match="layer"):
        EquivariantMLP(vector, vector, layers=0)
