"""Structures that are made with a symmetry have it, all of it and no more; its name is Schoenflies's."""

from __future__ import annotations

import math

import pytest
import torch
from frame_cases import EXACT, F64, nearly_degenerate
from torch import Tensor

from intertwine import Graph
from intertwine.geometry import collate
from intertwine.geometry.frames import diagnose, pca, point_group
from intertwine.geometry.frames.space import centre_of
from intertwine.groups import Isometry, icosahedral, octahedral, tetrahedral
from intertwine.groups.finite import FiniteGroup
from intertwine.numerics import GeometryError, InputError


def turn(n: int) -> Tensor:
    """By 360/n degrees about z."""
    c, s = math.cos(2 * math.pi / n), math.sin(2 * math.pi / n)
    return torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=F64)


def diagonal(x: float, y: float, z: float) -> Tensor:
    return torch.diag(torch.tensor([x, y, z], dtype=F64))


HALF, SIDE, ACROSS = diagonal(1, -1, -1), diagonal(1, -1, 1), diagonal(1, 1, -1)
INVERSION, DIAGONAL = -torch.eye(3, dtype=F64), torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=F64)


def named() -> dict[str, tuple[list[Tensor], int]]:
    """Symbol -> generators and order."""
    table = {"C_1": ([], 1), "C_s": ([ACROSS], 2), "C_i": ([INVERSION], 2)}
    for n in (2, 3, 4, 5, 6, 7):
        table |= {f"C_{n}": ([turn(n)], n), f"C_{n}v": ([turn(n), SIDE], 2 * n), f"C_{n}h": ([turn(n), ACROSS], 2 * n)}
        table |= {f"D_{n}": ([turn(n), HALF], 2 * n), f"D_{n}h": ([turn(n), HALF, ACROSS], 4 * n)}
        table |= {f"S_{2 * n}": ([turn(2 * n) @ ACROSS], 2 * n), f"D_{n}d": ([turn(2 * n) @ ACROSS, HALF], 4 * n)}
        if n % 2:  # S_2n of odd n is C_n with the inversion
            table[f"S_{2 * n}"] = ([turn(n), INVERSION], 2 * n)
            table[f"D_{n}d"] = ([turn(n), HALF, INVERSION], 4 * n)
    for letter, make in (("T", tetrahedral), ("O", octahedral), ("I", icosahedral)):
        for inversion in (False, True):
            group = make(inversion)
            table[letter + "_h" * inversion] = (list(group.linear(group.generators())), len(group.elements()))
    table["T_d"] = ([*table["T"][0], DIAGONAL], 24)
    return table


NAMED = named()


def orbit(generators: list[Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images of three random points of three species under a group: they have its symmetry, and no other."""
    group = FiniteGroup.from_matrices("G", torch.stack(generators)) if generators else None
    elements = group.linear(group.elements()) if group is not None else torch.eye(3, dtype=F64)[None]
    radius = torch.tensor([[1.3], [1.9], [2.4]], dtype=F64)
    seeds = radius * torch.nn.functional.normalize(torch.randn(3, 3, generator=generator, dtype=F64), dim=1)
    seeds = torch.cat([seeds, seeds[:1] * 1.7 + seeds[1:2]])
    return (elements @ seeds.mT).mT.reshape(-1, 3), torch.tensor([6, 7, 8, 9]).repeat(len(elements))


@pytest.mark.parametrize("name", NAMED)
def test_every_point_group_is_recognised(name: str, generator: torch.Generator) -> None:
    """In any orientation, place and order of atoms, with noise well below the tolerance."""
    generators, order = NAMED[name]
    x, z = orbit(generators, generator)
    x = Isometry.random(3, generator=generator, improper=True, shift=5.0)(x)
    shuffled = torch.randperm(len(x), generator=generator)
    noise = 1e-4 * (2 * torch.rand(x.shape, generator=generator, dtype=F64) - 1)
    symmetry = point_group(Graph((x + noise)[shuffled], z=z[shuffled]))
    assert (symmetry.name, symmetry.order) == (name, order)
    centred = x - x.mean(0)
    mapped = (symmetry.elements @ centred[shuffled].mT).mT
    assert float((mapped - centred[shuffled][symmetry.images]).abs().max()) < 2e-3
    assert torch.allclose(symmetry.elements[0], torch.eye(3, dtype=F64), atol=1e-3)
    assert symmetry.rotations == sum(float(torch.linalg.det(g)) > 0 for g in symmetry.elements)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [("methane", "T_d"), ("benzene", "D_6h"), ("chain", "D_infh"), ("lopsided", "C_infv"), ("cube", "O_h")],
)
def test_molecules(name: str, symbol: str) -> None:
    x, z = EXACT[name]()
    symmetry = point_group(Graph(x, z=z))
    assert symmetry.name == symbol
    assert symmetry.finite == ("inf" not in symbol)
    assert (symmetry.order is None) == (symmetry.rotations is None) == (not symmetry.finite)


def test_species_and_tolerance_count() -> None:
    x, z = EXACT["methane"]()
    z[1] = 9
    assert point_group(Graph(x, z=z)).name == "C_3v"
    z[2] = 17
    assert point_group(Graph(x, z=z)).name == "C_s"
    x, z = EXACT["methane"]()
    x[1] *= 1.02  # by 0.022 A, of which the centre takes a fifth
    assert point_group(Graph(x, z=z)).name == "C_3v"
    loose = point_group(Graph(x, z=z), tolerance=0.05)
    assert (loose.name, loose.tolerance) == ("T_d", 0.05)
    assert point_group(Graph(x)).name == "C_3v"  # without species


def test_one_place_and_the_plane() -> None:
    assert point_group(Graph([[1.0, 2.0, 3.0]], z=[1])).name == "K_h"
    square = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]], dtype=F64)
    assert [point_group(Graph(square)).name, point_group(Graph(square)).order] == ["D_4", 8]
    pinwheel = torch.cat([square, square @ torch.tensor([[0.6, 0.9], [-0.9, 0.6]], dtype=F64)])
    assert point_group(Graph(pinwheel)).name == "C_4"
    assert point_group(Graph([[1.0, 2.0]])).name == "O(2)"


def test_refusals_of_symmetry() -> None:
    graph = Graph(torch.eye(3, dtype=F64))
    with pytest.raises(GeometryError, match="2 graphs"):
        point_group(collate([graph, graph]))
    with pytest.raises(GeometryError, match="periodic"):
        point_group(Graph(torch.eye(3), cell=torch.eye(3)))
    with pytest.raises(GeometryError, match="0 nodes"):
        point_group(Graph(torch.zeros(0, 3)))
    with pytest.raises(InputError, match="tolerance"):
        point_group(graph, tolerance=0.0)
    with pytest.raises(GeometryError, match="periodic"):
        diagnose(Graph(torch.eye(3), cell=torch.eye(3)))
    with pytest.raises(GeometryError, match="4 dimensions"):
        diagnose(Graph(torch.eye(4)))
    with pytest.raises(InputError, match="threshold"):
        diagnose(graph, threshold=-1.0)


def test_the_nearest_degenerate_structure_is_as_far_as_it_says(generator: torch.Generator) -> None:
    """One is made by moving singular values; no random displacement of that size closes the gap."""
    x = torch.randn(6, 3, generator=generator, dtype=F64)
    x = x - x.mean(0)
    u, sigma, v = torch.linalg.svd(x, full_matrices=False)
    diagnosis = diagnose(Graph(x), symmetry=False)
    assert torch.allclose(diagnosis.singular[0], sigma.flip(0))
    low = int((sigma[:-1] - sigma[1:]).argmin())
    level = sigma.clone()
    level[low : low + 2] = sigma[low : low + 2].mean()
    near = (u * level) @ v
    assert torch.allclose((near - x).norm() / 6**0.5, diagnosis.degenerate_at[0])
    assert float(diagnose(Graph(near), symmetry=False).degenerate_at[0]) < 1e-12
    step = torch.randn(200, 6, 3, generator=generator, dtype=F64)
    step = 0.999 * step / step.norm(dim=(1, 2), keepdim=True) * (near - x).norm()
    values = torch.linalg.svdvals(x + step - step.mean(1, keepdim=True))
    assert float((values[:, :-1] - values[:, 1:]).min()) > 0
    flat = u[:, :2] * sigma[:2] @ v[:2]
    assert torch.allclose((flat - x).norm() / 6**0.5, diagnosis.planar_at[0])
    straight = u[:, :1] * sigma[:1] @ v[:1]
    assert torch.allclose((straight - x).norm() / 6**0.5, diagnosis.linear_at[0])


def test_axes_turn_as_fast_as_it_says(generator: torch.Generator) -> None:
    """The norm of the derivative of an axis's turn in all displacements, by autograd."""
    x = torch.randn(5, 3, generator=generator, dtype=F64).requires_grad_()
    owner = torch.zeros(5, dtype=torch.int64)
    axes = pca(x, owner, 1, group="SE(3)").rotation[0, 0]
    rates = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        angle = axes.detach()[:, i] @ axes[:, j]  # d of it is the turn of axis j towards axis i
        rates.append(torch.autograd.grad(angle, x, retain_graph=True)[0].norm())
    assert torch.allclose(torch.stack(rates).max(), diagnose(Graph(x), symmetry=False).turning[0])


def test_verdicts() -> None:
    graphs = [Graph(*EXACT[name]()) for name in EXACT]
    graphs.append(Graph([[0.0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]], z=[8, 1, 1]))
    diagnosis = diagnose(collate(graphs))
    assert diagnosis.degenerate.tolist() == [True, True, True, True, True, False]
    assert diagnosis.planar.tolist() == [False, True, True, True, False, True]
    assert diagnosis.linear.tolist() == [False, False, True, True, False, False]
    assert [line.partition(":")[0] for line in diagnosis.verdicts()] == [
        "T_d, nearly degenerate",
        "D_6h, planar, nearly degenerate",
        "D_infh, linear, nearly degenerate",
        "C_infv, linear, nearly degenerate",
        "O_h, nearly degenerate",
        "C_2v, planar, regular",
    ]
    pair = diagnose(Graph([[0.0, 0.0], [1.0, 0.0]]))
    assert float(pair.planar_at[0]) == float(pair.linear_at[0]) == 0


def test_random_structures_near_degenerate_ones_are_named(generator: torch.Generator) -> None:
    """What was made within 1e-3 A of a degenerate structure."""
    x, z, owner, kind = nearly_degenerate(140, generator)
    power = (torch.arange(140) // 5) % 14
    graphs = [Graph(x[owner == k], z=z[owner == k]) for k in range(140)]
    diagnosis = diagnose(collate(graphs), symmetry=False)
    corners = (4 + torch.arange(140) % 7) // 2
    assert bool(diagnosis.degenerate[(power >= 1) & ((kind < 4) | (corners > 2))].all())
    assert bool(diagnosis.linear[(power >= 1) & (kind == 3)].all())
    assert bool(diagnosis.planar[(power >= 1) & (kind == 2)].all())
    assert not bool(diagnosis.linear[kind < 2].any())
    assert float(centre_of(x, owner, 140)[kind < 3].abs().max()) < 1e-10
