"""Actions: axioms of each, images moved exactly where pixels meet pixels, and by splines elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from intertwine.geometry import Graph, GraphAction, ImageAction, act, raster, raster_positions, rasters, resample
from intertwine.groups import (
    SE,
    SO,
    Action,
    Affine,
    AffineMap,
    Cartesian,
    Defining,
    DirectProduct,
    E,
    Isometry,
    LinearAction,
    Lorentz,
    Permutations,
    ProductAction,
    RowAction,
    Scaling,
    T,
    Unchanged,
    cyclic,
    dihedral,
    octahedral,
    symmetric,
)
from intertwine.numerics import GeometryError, InputError
from intertwine.o3 import Irreps

#: Each action with a thing that it acts on.
ACTIONS: dict[str, tuple[Action, Tensor]] = {
    "vectors": (LinearAction(2 * Defining(Lorentz())), torch.randn(3, 8)),
    "matrices": (LinearAction(Cartesian(2)), torch.randn(5, 3, 3)),
    "irreps": (LinearAction(Irreps("0e + 2x1o + 2e")), torch.randn(2, 12)),
    "table of permutations": (RowAction(symmetric(5)), torch.randn(2, 5, 3)),
    "permutations": (RowAction(Permutations(9), axis=0), torch.randn(9, 3)),
    "a product": (
        ProductAction(RowAction(Permutations(4)), LinearAction(Defining(SO(3)))), torch.randn(2, 4, 3),
    ),
    "squares": (ImageAction(dihedral(4)), torch.randn(2, 3, 5, 5)),
    "rectangles": (ImageAction(cyclic(4)), torch.randn(1, 2, 4, 7)),
    "fields of vectors": (ImageAction(dihedral(4), channels=Defining(dihedral(4))), torch.randn(1, 4, 6, 6)),
    "voxels": (ImageAction(octahedral(True)), torch.randn(1, 1, 3, 4, 5)),
    "a torus": (ImageAction(Affine(cyclic(4), lattice=True), edges="circular"), torch.randn(1, 1, 7, 7)),
    "unchanged": (Unchanged(SO(3)), torch.randn(4)),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIONS)
def test_axioms(name: str, generator: torch.Generator) -> None:
    action, x = ACTIONS[name]
    x, group = x.double(), action.group
    assert isinstance(action, Action)
    assert torch.allclose(action.act(group.identity(), x), x, rtol=0, atol=1e-12)
    for g, h in zip(*group.sample(8, generator).unflatten(0, (2, 4)), strict=True):
        together, after = action.act(group.product(g, h), x), action.act(g, action.act(h, x))
        assert torch.allclose(together, after, rtol=1e-11, atol=1e-11)
        assert action.exact(g, x)
    assert action.act(group.identity(), x.float()).dtype == torch.float32
    assert str(action)


@pytest.mark.parametrize("group", [E(3), Lorentz(), Scaling(3), Permutations(5), octahedral()], ids=str)
def test_graphs_under_any_group(group, generator: torch.Generator) -> None:
    n = group.space if group.space in (3, 4) else 3
    graph = Graph(torch.randn(5, n, generator=generator).double(), vel=torch.randn(5, n, generator=generator).double())
    action = GraphAction(group)
    for g, h in zip(*group.sample(6, generator).unflatten(0, (2, 3)), strict=True):
        together, after = action.act(group.product(g, h), graph), action.act(g, action.act(h, graph))
        assert torch.allclose(together.pos, after.pos, rtol=1e-11, atol=1e-11)
        assert torch.allclose(together.vel, after.vel, rtol=1e-11, atol=1e-11)
        if group.space == n:
            moved = act(g, graph, group)
            assert torch.allclose(moved.pos, group.act(g, graph.pos))
            assert torch.allclose(moved.vel, graph.vel @ group.linear(g).T)  # a velocity is not shifted
            assert torch.allclose(AffineMap.of(g, group).inverse()(moved.pos), graph.pos)


def test_right_angles_are_those_of_torch() -> None:
    x = torch.randn(2, 3, 4, 7)
    turn, flip = ImageAction(cyclic(4)), ImageAction(dihedral(4))
    for k in range(4):
        assert torch.equal(turn.act(torch.tensor(k), x), torch.rot90(x, k, (2, 3)))
    assert torch.equal(flip.act(torch.tensor(4), x), x.flip(2))  # y -> -y
    shift = T(2).make(torch.eye(2).double(), torch.tensor([1.0, 0.0]).double())
    assert torch.equal(ImageAction(T(2), edges="circular").act(shift, x), x.roll(1, 3))
    assert torch.equal(ImageAction(T(2)).act(shift, x)[..., 1:], x[..., :-1])
    assert not ImageAction(T(2)).act(shift, x)[..., 0].any()


def bump(points: Tensor) -> Tensor:
    return torch.exp(-(points - torch.tensor([3.0, 1.0]).double()).square().sum(-1) / 18)


def test_splines_follow_the_function() -> None:
    """A smooth function that is moved and then sampled, against its image moved: third and fourth order in the step."""
    group, n = SE(2), 32
    g = group.make(SO(2).exp(torch.tensor([0.5]).double()), torch.tensor([1.3, 0.4]).double())
    points = raster_positions(n, n)
    expected = bump(group.act(group.inverse(g), points))
    image = bump(points).reshape(1, 1, n, n)
    linear, cubic = (ImageAction(group, order=order).act(g, image).flatten() for order in (1, 3))
    assert not ImageAction(group).exact(g, image)
    assert float((linear - expected).abs().max()) < 0.03
    assert float((cubic - expected).abs().max()) < 3e-4
    graph = resample(g, raster(image[0]), group)
    assert torch.allclose(graph.x[:, 0], cubic, rtol=0, atol=1e-12)
    shuffled = raster(image[0])
    order = torch.randperm(n * n)
    shuffled.pos, shuffled.x = shuffled.pos[order], shuffled.x[order]
    assert torch.allclose(resample(g, shuffled, group).x[:, 0], cubic[order], rtol=0, atol=1e-12)
    # a spline goes through the values, and repeats with the image where that does
    step = T(2).make(torch.eye(2).double(), torch.tensor([0.5, 0.0]).double())
    torus = ImageAction(T(2), edges="circular")
    wave = (2 * torch.pi * torch.arange(n).double() / n).sin().expand(1, 1, n, n)
    assert float((torus.act(step, torus.act(step, wave)) - wave.roll(1, 3)).abs().max()) < 1e-5


def test_what_moves_nodes_and_what_resamples_agree() -> None:
    quarter = Isometry(torch.tensor([[0.0, -1.0], [1.0, 0.0]]).double(), torch.zeros(2).double())
    graph = raster(torch.randn(2, 6, 6).double())
    moved, sampled = act(quarter, graph), resample(quarter, graph)
    assert torch.equal(rasters(moved, moved.x).values, rasters(sampled, sampled.x).values)
    field = raster(torch.randn(2, 5, 5).double())
    field.vel = torch.randn(25, 2).double()
    turned, kept = act(quarter, field), resample(quarter, field)
    assert torch.allclose(rasters(turned, turned.vel).values, rasters(kept, kept.vel).values)


def test_wrong_input_is_named() -> None:
    quarter = torch.tensor(1)
    for call, match in (
        (lambda: ImageAction(SO(4)), "does not move images"),
        (lambda: ImageAction(SO(2), order=2), "order 2"),
        (lambda: ImageAction(SO(2), edges="mirror"), "edges"),
        (lambda: ImageAction(cyclic(4)).act(quarter, torch.randn(4, 4)), "moves 2 dimensions"),
        (lambda: ImageAction(cyclic(4), Defining(cyclic(4))).act(quarter, torch.randn(1, 3, 4, 4)), "3 channels"),
        (lambda: resample(quarter, raster(torch.randn(1, 3, 4)), cyclic(4)), "use act"),
        (lambda: resample(SO(2).identity(), raster(torch.randn(1, 3, 3))), "without its group"),
        (lambda: act(SO(2).identity(), Graph(torch.randn(3, 2))), "without its group"),
        (lambda: act(Scaling(3).sample(1, torch.Generator())[0], Graph(torch.randn(3, 3), dipole=torch.randn(1, 3),
                     representations={"dipole": "1o"}), Scaling(3)), "not a rotation"),
        (lambda: GraphAction(Permutations(4)).act(torch.arange(4), Graph(torch.randn(3, 3))), "3 nodes"),
        (lambda: LinearAction(Defining(SO(3))).act(SO(3).identity(), torch.randn(4)), "for 3 components"),
        (lambda: RowAction(symmetric(3)).act(torch.tensor(1), torch.randn(4, 2)), "3 rows"),
        (lambda: AffineMap.of(torch.tensor(0), DirectProduct(cyclic(2), symmetric(3))), "elements of"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=match):
            call()
    with pytest.raises(GeometryError, match="between the pixels"):
        resample(Isometry.identity(2), Graph(torch.rand(4, 2), x=torch.rand(4, 1)))
