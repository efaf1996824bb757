"""Frames move with what they are of: averages of a generic network are equivariant, and so are their derivatives."""

from __future__ import annotations

import math

import pytest
import torch
from frame_cases import EXACT, F64, Generic, energies, with_forces
from torch import Tensor, nn

from intertwine import Graph
from intertwine.geometry import collate
from intertwine.geometry.frames import FRAMES, Frames, centroid, minimal, pca, point_group, sorting, weighted
from intertwine.groups import E, Isometry, Permutations, RowAction
from intertwine.numerics import GeometryError, InputError
from intertwine.numerics.linalg import eigh

BUILDERS = {
    "pca": (pca, {}),
    "pca-minimal": (pca, {"signs": "minimal"}),
    "minimal": (minimal, {}),
    "weighted": (weighted, {}),
}
GROUPS = ("O", "SO", "E", "SE")


def batch(d: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, int]:
    """Three random structures of 1, 4 and 6 atoms: positions, species, the structure of each, how many."""
    owner = torch.tensor([0] + [1] * 4 + [2] * 6)
    return 1.5 * torch.randn(11, d, generator=generator, dtype=F64), torch.arange(11) % 5 + 1, owner, 3


def moved(group: str, x: Tensor, generator: torch.Generator) -> tuple[Isometry, Tensor]:
    isometry = Isometry.random(
        x.shape[1], generator=generator, improper=not group.startswith("S"), shift=3.0 if group.endswith("E") else 0.0
    )
    return isometry, isometry(x)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", BUILDERS)
def test_averages_are_invariant_and_vectors_turn(name: str, group: str, d: int, generator: torch.Generator) -> None:
    build, options = BUILDERS[name]
    options = options | {"group": f"{group}({d})"}
    x, z, owner, graphs = batch(d, generator)
    if "minimal" in name:
        options |= {"species": z}
    network, vectors = Generic(d), Generic(d, outputs=d)
    isometry, y = moved(group, x, generator)
    energy, force = with_forces(network, build, x, z, owner, graphs, **options)
    again, pulled = with_forces(network, build, y, z, owner, graphs, **options)
    assert float((energy - again).abs().max()) < 1e-12
    assert float((force @ isometry.rotation.mT - pulled).abs().max()) < 1e-10

    def vector(x: Tensor) -> Tensor:
        frames = build(x, owner, graphs, **options)
        local = vectors(frames.into(x, owner), z, owner, graphs)
        return frames.average(frames.turned_out(local, torch.arange(graphs)))

    assert float((vector(x) @ isometry.rotation.mT - vector(y)).detach().abs().max()) < 1e-12
    order = torch.randperm(11, generator=generator)
    if "minimal" in name:
        options |= {"species": z[order]}
    permuted = energies(network, build, x[order], z[order], owner[order], graphs, **options)
    assert float((permuted - energy).abs().max()) < 1e-12


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("group", ["E(3)", "SO(3)", "O(2)", "SE(2)"])
def test_what_they_are(name: str, group: str, generator: torch.Generator) -> None:
    """Orthogonal, of determinant 1 where the group is special, weights that add up to 1, padding with the identity."""
    build, options = BUILDERS[name]
    d = int(group[-2])
    x, _, owner, graphs = batch(d, generator)
    frames = build(x, owner, graphs, group=group, **options)
    identity = torch.eye(d, dtype=F64)
    assert float((frames.rotation.mT @ frames.rotation - identity).abs().max()) < 1e-14
    assert float((frames.weight.sum(1) - 1).abs().max()) < 1e-14
    assert bool((frames.weight >= 0).all())
    assert bool((frames.rotation[~frames.kept] == identity).all())
    determinant = torch.linalg.det(frames.rotation)[frames.kept]
    assert bool((determinant > 0).all()) == group.startswith("S")
    if group.endswith("O(2)"):
        assert float(frames.centre.abs().max()) == 0
    assert frames.number().max() == frames.frames
    assert frames.to(torch.float32).rotation.dtype == torch.float32


@pytest.mark.parametrize(("group", "number"), [("E(3)", 8), ("SE(3)", 4), ("O(2)", 4), ("SO(2)", 2)])
def test_all_signs_of_principal_axes(group: str, number: int, generator: torch.Generator) -> None:
    """The lecture's frame: eigenvectors of the covariance in ascending order, each with both signs."""
    d = int(group[-2])
    x, _, owner, graphs = batch(d, generator)
    frames = pca(x, owner, graphs, group=group)
    assert frames.number().tolist() == [number] * 3
    rows = x[owner == 2]
    rows = rows - rows.mean(0) if "E" in group else rows
    values, vectors = torch.linalg.eigh(rows.mT @ rows)
    for axes in frames.rotation[2]:
        assert torch.allclose((axes.mT @ vectors).abs(), torch.eye(d, dtype=F64), atol=1e-12)
        assert torch.allclose(axes.mT @ rows.mT @ rows @ axes, torch.diag(values), atol=1e-12)
    assert len({tuple((axes.mT @ vectors).diagonal().sign().tolist()) for axes in frames.rotation[2]}) == number


def test_masses_move_centre_and_axes(generator: torch.Generator) -> None:
    graph = Graph(torch.randn(5, 3, generator=generator, dtype=F64), mass=torch.rand(5, generator=generator) + 0.5)
    mass = graph.mass.double()
    centre = (mass[:, None] * graph.pos).sum(0) / mass.sum()
    for name in ("pca", "weighted", "minimal", "centroid"):
        assert torch.allclose(FRAMES[name].build(graph, weights="mass").centre[0], centre)
    axes = FRAMES["pca"].build(graph, weights="mass").rotation[0, 0]
    x = graph.pos - centre
    turned = axes.mT @ (x.mT * mass) @ x @ axes
    assert float((turned - turned.diagonal().diag()).abs().max()) < 1e-12


@pytest.mark.parametrize("group", ["E(3)", "SE(3)"])
@pytest.mark.parametrize("name", ["methane", "benzene", "cube", "water", "chiral"])
def test_minimal_frames_have_as_many_elements_as_the_stabiliser(name: str, group: str) -> None:
    """Which is found in another way: every isometry that maps the structure to itself."""
    water = (torch.tensor([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]], dtype=F64), torch.tensor([8, 1, 1]))
    chiral = (torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=F64), torch.tensor([6, 1, 9, 17, 35]))
    x, z = {"water": water, "chiral": chiral}[name] if name in ("water", "chiral") else EXACT[name]()
    graph = Graph(Isometry.random(3, generator=torch.Generator().manual_seed(2), shift=1.0)(x), z=z)
    symmetry = point_group(graph)
    order = symmetry.order if group == "E(3)" else symmetry.rotations
    assert FRAMES["minimal"].build(graph, group=group).number().tolist() == [order]
    if name in ("water", "chiral"):  # where eigenvalues differ, signs are all that is free
        assert FRAMES["pca"].build(graph, group=group, signs="minimal").number().tolist() == [order]


@pytest.mark.parametrize("name", [*BUILDERS, "centroid"])
def test_graphs_of_a_batch_do_not_see_each_other(name: str, generator: torch.Generator) -> None:
    build, options = BUILDERS.get(name, (centroid, {}))
    x, _, owner, graphs = batch(3, generator)
    together = build(x, owner, graphs, **options)
    for k in range(graphs):
        rows = owner == k
        alone = build(x[rows], owner[rows] * 0, 1, **options)
        kept = together.kept[k]
        assert torch.allclose(alone.rotation[0][alone.kept[0]], together.rotation[k][kept], rtol=0, atol=1e-14)
        assert torch.allclose(alone.weight[0][alone.kept[0]], together.weight[k][kept], rtol=1e-14)
        assert torch.equal(alone.centre[0], together.centre[k])


@pytest.mark.parametrize("name", BUILDERS)
def test_derivatives(name: str, generator: torch.Generator) -> None:
    build, options = BUILDERS[name]
    x, z, owner, graphs = batch(3, generator)

    def energy(pos: Tensor) -> Tensor:
        return energies(Generic(), build, pos, z, owner, graphs, **options)

    pos = x.requires_grad_()
    assert torch.autograd.gradcheck(energy, pos)
    assert torch.autograd.gradgradcheck(energy, pos)


@pytest.mark.parametrize("name", [*BUILDERS, "centroid"])
def test_forces_through_detached_frames_are_not_the_gradient(name: str, generator: torch.Generator) -> None:
    """By more than a hundredth of the largest force, where those through the frame are right to 1e-7."""
    build, options = BUILDERS.get(name, (centroid, {}))
    x, z, owner, graphs = batch(3, generator)
    step, network = torch.randn(x.shape, generator=generator, dtype=F64), Generic()
    low, high = (energies(network, build, x + t * step, z, owner, graphs, **options).sum() for t in (-1e-5, 1e-5))
    slope = float(high - low) / 2e-5
    _, force = with_forces(network, build, x, z, owner, graphs, **options)
    _, wrong = with_forces(network, build, x, z, owner, graphs, detached=True, **options)
    scale = float(force.abs().max())
    assert abs(float((force * step).sum()) + slope) < 1e-7 * scale
    assert abs(float((wrong * step).sum()) + slope) > 1e-2 * scale


@pytest.mark.parametrize("name", BUILDERS)
def test_one_atom_coincident_atoms_and_none(name: str) -> None:
    """Energies are those of points in the centre; derivatives are finite."""
    build, options = BUILDERS[name]
    x = torch.tensor([[1.0, 2, 3], [0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]], dtype=F64)
    owner, z, network = torch.tensor([0, 1, 1, 3, 3, 3]), torch.ones(6, dtype=torch.int64), Generic()
    energy, force = with_forces(network, build, x, z, owner, 4, **options)
    assert bool(torch.isfinite(energy).all())
    assert bool(torch.isfinite(force).all())
    centred = network(torch.zeros(3, 1, 3, dtype=F64), z[:3], owner[:3], 2)[:, 0, 0]
    assert torch.allclose(energy[:2], centred)
    assert float(force[:3].abs().max()) < 1e-14  # no direction is known
    nothing = build(x[:0], owner[:0], 2, **options)
    assert float((nothing.weight.sum(1) - 1).abs().max()) < 1e-14


@pytest.mark.parametrize("name", BUILDERS)
def test_single_precision_and_far_from_the_origin(name: str, generator: torch.Generator) -> None:
    build, options = BUILDERS[name]
    x, z, owner, graphs = batch(3, generator)
    network, single = Generic(), Generic().float()
    energy, force = with_forces(network, build, x, z, owner, graphs, **options)
    low, pulled = with_forces(single, build, x.float(), z, owner, graphs, **options)
    assert low.dtype == pulled.dtype == torch.float32
    assert float((low - energy).abs().max()) < 1e-5
    assert float((pulled - force).abs().max()) < 1e-4 * float(force.abs().max() + 1)
    far, _ = with_forces(network, build, x + 1e4, z, owner, graphs, **options)
    assert float((far - energy).abs().max()) < 1e-10


def test_hands_are_told_apart_by_rotations_alone(generator: torch.Generator) -> None:
    x = torch.randn(5, 3, generator=generator, dtype=F64)
    z, owner, network = torch.arange(5), torch.zeros(5, dtype=torch.int64), Generic()
    mirrored = x * torch.tensor([1.0, 1.0, -1.0], dtype=F64)
    for build in (pca, minimal, weighted):
        one, other = (float(energies(network, build, y, z, owner, 1, group="SE(3)")) for y in (x, mirrored))
        assert abs(one - other) > 1e-5
        one, other = (float(energies(network, build, y, z, owner, 1, group=E(3))) for y in (x, mirrored))
        assert abs(one - other) < 1e-12


def test_the_lectures_example(generator: torch.Generator) -> None:
    r"""Numbers under a common shift: :math:`\Phi(x - t) + t` with t their mean."""
    x = torch.randn(7, 1, generator=generator, dtype=F64)
    network = nn.Sequential(nn.Linear(7, 16), nn.Tanh(), nn.Linear(16, 7)).double()
    owner = torch.zeros(7, dtype=torch.int64)

    def average(x: Tensor) -> Tensor:
        frames = centroid(x, owner, 1)
        return network(frames.into(x, owner)[:, 0, 0]) + frames.centre[0]

    assert torch.allclose(average(x), network((x - x.mean())[:, 0]) + x.mean())
    assert torch.allclose(average(x + 2.5), average(x) + 2.5)


def test_graphs_by_name(generator: torch.Generator) -> None:
    graphs = [Graph(torch.randn(n, 3, generator=generator, dtype=F64), z=[6] * n) for n in (3, 5)]
    together = collate(graphs)
    for name in ("pca", "minimal", "weighted", "centroid"):
        frames = FRAMES[name].build(together)
        assert isinstance(frames, Frames)
        assert frames.graphs == 2
        single = FRAMES[name].build(graphs[0].in_precision(torch.float32))
        assert single.rotation.dtype == F64  # positions are known to more digits than the network has
    assert FRAMES["pca"].build(Graph(torch.randn(4, 2, dtype=F64))).frames == 4
    assert [FRAMES[name].continuous for name in FRAMES] == [True, False, False, True, False]
    assert FRAMES["sorting"].build(graphs[0]).permutation.shape == (1, 1, 3)
    with pytest.raises(InputError, match="graphs of 3 to 5 nodes"):
        FRAMES["sorting"].build(together)


def test_refusals(generator: torch.Generator) -> None:
    x, owner = torch.randn(4, 3, generator=generator, dtype=F64), torch.zeros(4, dtype=torch.int64)
    crystal = Graph(x, z=[6] * 4, cell=5 * torch.eye(3))
    for name in ("pca", "minimal", "weighted", "centroid"):
        with pytest.raises(GeometryError, match="periodic"):
            FRAMES[name].build(crystal)
    assert FRAMES["pca"].build(crystal, group="O(3)").frames == 8
    for build in (pca, minimal, weighted):
        with pytest.raises(InputError, match="points in 3 dimensions and the group SE\\(2\\)"):
            build(x, owner, 1, group="SE(2)")
        with pytest.raises(InputError, match="no such frames of 'p4m'"):
            build(x, owner, 1, group="p4m")
        with pytest.raises(InputError, match="weight 0 of row 1"):
            build(x, owner, 1, weights=torch.tensor([1.0, 0, 1, 1], dtype=F64))
        with pytest.raises(GeometryError, match="point 2, of graph 0"):
            build(x.index_fill(0, torch.tensor([2]), math.inf), owner, 1, group="SO(3)")
    with pytest.raises(InputError, match="signs"):
        pca(x, owner, 1, signs="some")
    with pytest.raises(InputError, match="width"):
        weighted(x, owner, 1, width=0.0)
    with pytest.raises(InputError, match="turns"):
        weighted(x, owner, 1, turns=0)
    with pytest.raises(GeometryError, match="mass"):
        FRAMES["pca"].build(Graph(x), weights="mass")


def test_sets_in_order(generator: torch.Generator) -> None:
    """A network of the rows one after another becomes equivariant under S_5, and the elements act as the group says."""
    x = torch.randn(3, 5, 2, generator=generator, dtype=F64)
    network = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 10)).double()

    def average(x: Tensor) -> Tensor:
        orders = sorting(x)
        out = network(orders.into(x).flatten(2)).unflatten(2, (5, 2))
        return (orders.weight[:, :, None, None] * orders.out_of(out)).sum(1)

    action = RowAction(Permutations(5))
    x[1, 3] = x[1, 0]  # two equal rows of the second set
    x[2, 1] = -x[2, 4]  # two of one norm
    orders = sorting(x)
    assert (orders.weight > 0).sum(1).tolist() == [1, 2, 2]
    inverse = Permutations(5).inverse(orders.permutation[0, 0])
    assert torch.equal(orders.into(x)[0, 0], action.act(inverse, x)[0])
    assert torch.equal(orders.out_of(orders.into(x))[2, 1], x[2])
    for g in Permutations(5).sample(5, generator):
        assert torch.allclose(average(action.act(g, x)), action.act(g, average(x)), rtol=0, atol=1e-14)
    assert torch.equal(sorting(x, lambda rows: rows[..., 0]).into(x)[0, 0, :, 0], x[0, :, 0].sort().values)


def test_ties_are_named() -> None:
    x = torch.tensor([[[1.0], [2.0], [1.0], [1.0 + 1e-9]]], dtype=F64)
    with pytest.raises(InputError, match="rows 0, 2 of set 0 tie"):
        sorting(x, ties="refuse")
    with pytest.raises(InputError, match="rows 0, 2, 3 of set 0 tie"):
        sorting(x, ties="refuse", tolerance=1e-6)
    assert sorting(x, tolerance=1e-6).weight.tolist() == [[1 / 6] * 6]
    with pytest.raises(InputError, match="makes 720 orders"):
        sorting(torch.ones(1, 6, 2))
    with pytest.raises(InputError, match="shape"):
        sorting(x, lambda rows: rows)
    with pytest.raises(InputError, match="not finite"):
        sorting(x * math.nan)


def test_eigenvectors_have_torchs_derivatives_and_finite_ones_where_it_has_none(generator: torch.Generator) -> None:
    x = torch.randn(4, 3, 3, generator=generator, dtype=F64)
    coefficients = torch.randn(4, 3, 3, generator=generator, dtype=F64)

    def value(x: Tensor, function) -> Tensor:
        values, vectors = function(x + x.mT)
        return (values.pow(2).unsqueeze(1) * vectors.square() * coefficients).sum((1, 2))

    x.requires_grad_()
    ours, theirs = (torch.autograd.grad(value(x, f).sum(), x, create_graph=True)[0] for f in (eigh, torch.linalg.eigh))
    assert torch.allclose(ours, theirs, rtol=1e-10)
    twice = [torch.autograd.grad((g * coefficients).sum(), x, retain_graph=True)[0] for g in (ours, theirs)]
    assert torch.allclose(*twice, rtol=1e-9)
    for flat in (torch.zeros(4, 3, 3, dtype=F64), torch.eye(3, dtype=F64).expand(4, 3, 3).clone()):
        flat.requires_grad_()
        gradient = torch.autograd.grad(value(flat, eigh).sum(), flat)[0]
        assert bool(torch.isfinite(gradient).all())
