"""Linear layers and perceptrons of every group commute with it, and have as many weights as there are maps."""

from __future__ import annotations

import pytest
import torch
from group_cases import GROUPS, representations

from intertwine import groups
from intertwine.groups import Cartesian, Defining, DirectSum, Trivial
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
    mlp = EquivariantMLP(rep_in, rep_in, width=4, layers=2, products=2).double()
    assert linear.num_maps == len(hom_basis(rep_in, rep_out, group))
    for module in (linear, mlp):
        rep_out = module.rep_out
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


def test_rotations_tell_left_from_right_and_reflections_do_not(generator: torch.Generator) -> None:
    """Three vectors of SO(3) have a triple product, which changes its sign under the inversion."""
    x = torch.randn(20, 9, generator=generator)
    for group, handed in ((groups.SO(3), True), (groups.O(3), False)):
        vector = Defining(group)
        mlp = EquivariantMLP(3 * vector, Trivial(group), width=8, layers=2, products=4)
        change = float((mlp(-x) - mlp(x)).abs().max() / mlp(x).std())
        assert change > 1e-3 if handed else change < 1e-5


def test_outputs_that_would_be_zero_are_refused(generator: torch.Generator) -> None:
    vector, axial = Cartesian(1), Cartesian(1, axial=True)
    x = torch.randn(5, 9, generator=generator)
    assert float(EquivariantMLP(3 * vector, axial, width=4, layers=1)(x).detach().abs().min()) > 0  # a cross product
    pseudoscalar, both = Cartesian(0, axial=True), axial + vector
    for rep_out, options in ((axial, {"products": 0}), (pseudoscalar, {"layers": 1}), (both, {"products": 0})):
        with pytest.raises(InputError, match="zero for every input"):
            EquivariantMLP(3 * vector, rep_out, width=4, **options)


def test_irreps_are_sums(generator: torch.Generator) -> None:
    """o3's sums are taken block by block: a weight for each pair of channels of one irrep."""
    irreps = Irreps("32x0e + 32x1o")
    linear = EquivariantLinear(irreps, irreps).double()
    assert linear.num_maps == 2 * 32**2
    mlp = EquivariantMLP(Irreps("4x1o + 2x0e"), Irreps("1x2e + 1o"), width=8).double()
    x, g = torch.randn(5, 14, generator=generator, dtype=torch.float64), groups.O(3).sample(1, generator)[0]
    error = mlp(mlp.rep_in.transform(g, x)) - mlp.rep_out.transform(g, mlp(x))
    assert float(error.abs().max()) < 1e-12
    assert float(mlp(x).abs().max()) > 1e-3


def test_maps_of_the_regular_representation_are_not_stored(generator: torch.Generator) -> None:
    """720 weights of S_6 stand for a matrix of half a million entries."""
    rep = regular(groups.symmetric(6))
    linear = EquivariantLinear(rep, rep, bias=False)
    assert linear.num_maps == 720
    assert sum(b.numel() for b in linear.buffers()) < 2 * 720**2
    x = torch.randn(2, 720, generator=generator)
    g = torch.tensor(411)
    assert torch.allclose(linear(rep.transform(g, x)), rep.transform(g, linear(x)), atol=1e-5)


def test_wrong_input_is_named() -> None:
    vector = Defining(groups.SO(3))
    with pytest.raises(InputError, match="commutes"):
        EquivariantLinear(vector, Trivial(groups.SO(3)))
    with pytest.raises(InputError, match="components"):
        EquivariantLinear(vector, vector)(torch.zeros(4))
    with pytest.raises(InputError, match="layer"):
        EquivariantMLP(vector, vector, layers=0)
