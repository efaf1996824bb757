"""Weighted frames have no jumps and continuous forces where principal axes have neither: at methane, benzene, chains, a
cube, and a thousand random structures near degenerate ones.
"""

from __future__ import annotations

import pytest
import torch
from frame_cases import EXACT, F64, Generic, energies, nearly_degenerate, with_forces
from torch import Tensor

from intertwine.geometry.frames import minimal, pca, weighted
from intertwine.geometry.frames.weighted import smooth_step

GROUPS = ("E(3)", "SE(3)")
#: Displacement in A (the norm over all atoms of a structure).
TINY = 1e-8


def directions(owner: Tensor, graphs: int, generator: torch.Generator) -> Tensor:
    """A random displacement of norm 1 of each structure."""
    step = torch.randn(len(owner), 3, generator=generator, dtype=F64)
    square = step.new_zeros(graphs).index_add(0, owner, step.square().sum(1))
    return step / square.sqrt()[owner].unsqueeze(1)


def largest(x: Tensor, owner: Tensor, graphs: int) -> Tensor:
    return x.new_zeros(graphs).scatter_reduce(0, owner, x.norm(dim=1), "amax")


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", EXACT)
def test_no_jump_and_continuous_forces_with_weights(name: str, group: str, generator: torch.Generator) -> None:
    """In 20 directions from the exact structure: energies by at most 1e-6 for 1e-8 A, forces in proportion to the
    displacement over six powers of ten.
    """
    x, z = EXACT[name]()
    copies = 20
    owner = torch.arange(copies).repeat_interleave(len(x))
    rest = (z.repeat(copies), owner, copies)
    step, network = directions(owner, copies, generator), Generic()
    energy, force = with_forces(network, weighted, x.repeat(copies, 1), *rest, group=group)
    changes = []
    for displacement in (1e-2, 1e-4, 1e-6, TINY):
        moved, pulled = with_forces(network, weighted, x.repeat(copies, 1) + displacement * step, *rest, group=group)
        changes.append(float(largest(pulled - force, owner, copies).max()) / displacement)
        if displacement == TINY:
            assert float(((moved - energy).abs() / energy.abs()).max()) < 1e-6
    assert max(changes) < 10 * changes[0]
    assert changes[-1] * TINY < 1e-6 * float(force.norm(dim=1).max())


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", ["methane", "benzene", "cube"])
def test_principal_axes_jump(name: str, group: str, generator: torch.Generator) -> None:
    """By more than 1e-4 for 1e-8 A, while an average over weighted frames changes by less than 1e-6."""
    x, z = EXACT[name]()
    copies = 20
    owner = torch.arange(copies).repeat_interleave(len(x))
    step, network = directions(owner, copies, generator), Generic()
    here = x.repeat(copies, 1) + TINY * step
    energy, force = with_forces(network, pca, here, z.repeat(copies), owner, copies, group=group)
    assert float((energy.max() - energy.min()) / energy.abs().mean()) > 1e-4
    assert float(force.abs().max()) > 1e3  # as 1/gap


@pytest.mark.parametrize("group", GROUPS)
def test_a_thousand_structures_near_degenerate_ones(group: str, generator: torch.Generator, quick: bool) -> None:
    """Jumps are relative to the root mean square of the energies, changes of forces to each structure's largest."""
    graphs = 250 if quick else 1000
    x, z, owner, kind = nearly_degenerate(graphs, generator)
    step, network = directions(owner, graphs, generator), Generic()
    energy, force = with_forces(network, weighted, x, z, owner, graphs, group=group)
    scale = energy.square().mean().sqrt()
    for displacement, jump, change in ((1e-6, 1e-5, 1e-4), (TINY, 1e-6, 1e-6)):
        moved, pulled = with_forces(network, weighted, x + displacement * step, z, owner, graphs, group=group)
        assert float((moved - energy).abs().max() / scale) < jump
        assert float((largest(pulled - force, owner, graphs) / largest(force, owner, graphs)).max()) < change
    with torch.no_grad():
        before = energies(network, pca, x, z, owner, graphs, group=group)
        after = energies(network, pca, x + TINY * step, z, owner, graphs, group=group)
    jumps = (after - before).abs() / scale
    assert all(float(jumps[kind == k].max()) > 1e-3 for k in (0, 1, 2, 4))  # at chains an energy has no jump, see below


@pytest.mark.parametrize("build", [pca, minimal])
@pytest.mark.parametrize("name", ["chain", "lopsided"])
def test_energies_have_no_jump_at_a_chain_with_any_frame(build, name: str, generator: torch.Generator) -> None:
    """The network sees the same points whatever the second axis is."""
    x, z = EXACT[name]()
    owner = torch.zeros(len(x), dtype=torch.int64)
    step, network = directions(owner, 1, generator), Generic()
    with torch.no_grad():
        here, there = (float(energies(network, build, y, z, owner, 1)) for y in (x, x + TINY * step))
    assert abs(there - here) < 1e-6 * abs(here)


def hessian(network: Generic, build, x: Tensor, z: Tensor, **options: object) -> Tensor:
    owner = torch.zeros(len(x), dtype=torch.int64)
    return torch.autograd.functional.hessian(lambda pos: energies(network, build, pos, z, owner, 1, **options)[0], x)


@pytest.mark.parametrize("turns", [2, 3, 4])
def test_second_derivatives_at_a_chain_are_continuous_from_three_turns_on(
    turns: int, generator: torch.Generator
) -> None:
    x, z = EXACT["lopsided"]()
    step, network = torch.randn(len(x), 3, generator=generator, dtype=F64), Generic()
    here = hessian(network, weighted, x, z, turns=turns)
    changes = [
        float((hessian(network, weighted, x + d * step, z, turns=turns) - here).abs().max()) for d in (1e-3, 1e-5, 1e-8)
    ]
    if turns >= 3:
        assert changes[1] < 0.1 * changes[0]
        assert changes[2] < 1e-5 * float(here.abs().max())
    else:
        assert changes[2] > 1e-3 * float(here.abs().max())


def test_second_derivatives_at_a_chain_jump_with_principal_axes(generator: torch.Generator) -> None:
    x, z = EXACT["chain"]()
    step, network = torch.randn(2, len(x), 3, generator=generator, dtype=F64), Generic()
    one_way, other_way = (hessian(network, pca, x + 1e-6 * s, z) for s in step)
    assert float((one_way - other_way).abs().max()) > 0.01 * float(one_way.abs().max())


@pytest.mark.parametrize("group", ["SE(3)", "O(3)"])
@pytest.mark.parametrize("name", EXACT)
def test_derivatives_are_true_at_degenerate_structures(name: str, group: str) -> None:
    x, z = EXACT[name]()
    owner, network = torch.zeros(len(x), dtype=torch.int64), Generic()

    def energy(pos: Tensor) -> Tensor:
        return energies(network, weighted, pos, z, owner, 1, group=group)

    pos = x.clone().requires_grad_()
    assert torch.autograd.gradcheck(energy, pos)
    if len(x) < 6:  # the others take seconds, and have no turns
        assert torch.autograd.gradgradcheck(energy, pos)


def test_atoms_that_pass_through_the_centre_and_through_one_another() -> None:
    """Values, first and second derivatives along a path of one atom across a triangle's centre and through a corner."""
    network, z, owner = Generic(), torch.tensor([6, 7, 8, 1]), torch.zeros(4, dtype=torch.int64)
    triangle = torch.tensor([[1.2, 0, 0], [-0.6, 1.0, 0.0], [-0.6, -1.0, 0.0]], dtype=F64)

    def energy(t: Tensor) -> Tensor:
        return energies(network, weighted, torch.cat([triangle, t * triangle[:1]]), z, owner, 1, group="SO(3)")[0]

    for special in (0.0, 1.0):
        values = []
        for t in (special - 1e-7, special, special + 1e-7):
            at = torch.tensor(t, dtype=F64, requires_grad=True)
            first = torch.autograd.grad(energy(at), at, create_graph=True)[0]
            values.append([float(energy(at)), float(first), float(torch.autograd.grad(first, at)[0])])
        for low, here, high in zip(*values, strict=True):
            assert abs(low - here) + abs(high - here) < 1e-4 * (1 + abs(here))


def test_the_step_is_smooth_to_the_second_derivative() -> None:
    t = torch.tensor([-0.5, 0.0, 1.0, 1.5], dtype=F64, requires_grad=True)
    first = torch.autograd.grad(smooth_step(t).sum(), t, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), t)[0]
    assert smooth_step(t).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert first.tolist() == [0.0] * 4
    assert second.tolist() == [0.0] * 4
