"""Convolutions on a grid times a group: the equation as loops, symmetries of the grid exactly, what has no answer."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry import act, raster, rasters
from intertwine.groups import FiniteGroup, Isometry, Subgroup, cyclic, dihedral, octahedral, symmetric
from intertwine.nn.groups.field_norm import FieldNorm
from intertwine.nn.groups.grid_convolution import GroupConvolution, GroupPool, RestrictToSubgroup, ScaleConvolution
from intertwine.nn.groups.kernel_basis import RingBasis, SplineBasis, kernel_basis, kernel_pixels
from intertwine.nn.groups.resampling import AntiAliasedStride, downward, places
from intertwine.numerics import InputError

EPS = torch.finfo(torch.float64).eps


def turned(f: Float[Tensor, "images maps *sizes"], matrix: Tensor) -> Float[Tensor, "images maps *others"]:
    """The maps of an image that is moved by an isometry of the grid: by its positions, as graphs are."""
    moved = []
    for image in f:
        graph = raster(image)
        graph = act(Isometry(matrix, torch.zeros(len(matrix), dtype=torch.float64)), graph)
        moved.append(rasters(graph, graph.x).values[0])
    return torch.stack(moved)


def shuffled(f: Float[Tensor, "images maps *sizes"], group: FiniteGroup, g: int) -> Float[Tensor, "images maps *sizes"]:
    """Left translation of functions on the group: what is at h comes from g^-1 h."""
    order = group.table[group.inverses[g]]
    return f.unflatten(1, (-1, len(order))).index_select(2, order).flatten(1, 2)


def distance(a: Tensor, b: Tensor) -> float:
    return float(((a - b).abs().max() / b.square().mean().sqrt()).detach())


GROUPS = {
    "C_4": (cyclic(4), SplineBasis(3)),
    "D_4": (dihedral(4), SplineBasis(3)),
    "C_8 harmonic": (cyclic(8), RingBasis(5)),
    "C_6 bspline": (cyclic(6), SplineBasis(5, kind="bspline", disk=True)),
    "D_8 bilinear": (dihedral(8), SplineBasis(3, kind="bilinear", disk=True)),
    "O": (octahedral(), SplineBasis(3, 3)),
    "Oh": (octahedral(True), SplineBasis(3, 3)),
}


@pytest.mark.parametrize("name", GROUPS)
def test_the_sum_over_positions_and_elements(name: str, generator: torch.Generator) -> None:
    """Both equations as loops, with k evaluated at g^-1 (y - x): no turned kernel, no convolution of torch."""
    group, basis = GROUPS[name]
    torch.manual_seed(0)
    lift = GroupConvolution(group, 2, 2, basis, lifting=True).double()
    convolution = GroupConvolution(group, 2, 3, basis).double()
    n, order = basis.dimension, group.order
    sizes = (4, 3) if n == 2 else (2, 3, 2)
    image = torch.randn(1, 2, *sizes, generator=generator, dtype=torch.float64)
    f = torch.randn(1, 2 * order, *sizes, generator=generator, dtype=torch.float64)
    graph = raster(image[0])
    x, every = graph.pos, group.elements()
    reach = basis.size // 2
    near = ((x[None] - x[:, None]).abs() <= reach + 1e-9).all(-1)  # (x, y): under the kernel
    at = f[0].unflatten(0, (2, order)).flatten(2)  # (channel, h, y)
    inverse = group.inverse(every)
    for g in torch.randperm(order, generator=generator)[:3].tolist():
        turned_back = group.act(inverse[g], x[None] - x[:, None])  # g^-1 (y - x)
        values = basis.sample(turned_back) * near[:, None]  # (x, basis, y)
        lifted = torch.einsum("oib,xby,iy->ox", lift.weight[:, :, 0], values, image[0].flatten(1))
        assert distance(lift(image)[0].unflatten(0, (2, order))[:, g].flatten(1), lifted) < 1e-12
        total = torch.zeros(3, len(x), dtype=torch.float64)
        for h in range(order):
            relative = int(group.product(inverse[g], every[h]))
            total += torch.einsum("oib,xby,iy->ox", convolution.weight[:, :, relative], values, at[:, h])
        assert distance(convolution(f)[0].unflatten(0, (3, order))[:, g].flatten(1), total) < 1e-12


@pytest.mark.parametrize("padding", ["zeros", "circular", "reflect", "none"])
@pytest.mark.parametrize("name", ["C_4", "D_4", "C_8 harmonic", "O", "Oh"])
def test_symmetries_of_the_grid_are_exact(name: str, padding: str, generator: torch.Generator) -> None:
    """f(g x) = g f(x), of an image that is not square."""
    group, basis = GROUPS[name]
    torch.manual_seed(0)
    lift = GroupConvolution(group, 1, 2, basis, True, padding).double()
    convolution = GroupConvolution(group, 2, 2, basis, False, padding).double()
    sizes = (9, 10) if basis.dimension == 2 else (5, 6, 7)
    image = torch.randn(1, 1, *sizes, generator=generator, dtype=torch.float64)
    f = convolution(lift(image).relu())
    whole = [g for g in range(group.order) if (group.matrices[g] - group.matrices[g].round()).abs().max() < 1e-9]
    assert len(whole) == min(group.order, {"C_8 harmonic": 4}.get(name, 48))
    for g in whole[:: max(1, len(whole) // 8)]:
        matrix = group.matrices[g].round()
        expected = shuffled(turned(f, matrix), group, g)
        assert distance(convolution(lift(turned(image, matrix)).relu()), expected) < 500 * EPS


@pytest.mark.parametrize("sizes", [(8, 8), (7, 7), (8, 5), (1, 2), (6, 5, 4)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_strides_keep_the_middle(sizes: tuple[int, ...], stride: int, generator: torch.Generator) -> None:
    """Blurred and subsampled, then turned, is turned, then blurred and subsampled; and back up as well."""
    layer, n = AntiAliasedStride(stride), len(sizes)
    f = torch.randn(2, 3, *sizes, generator=generator, dtype=torch.float64)
    group = dihedral(4) if n == 2 else octahedral(True)
    assert layer(f).shape[2:] == tuple(-(-size // stride) for size in sizes)
    for matrix in group.matrices[:: max(1, group.order // 8)].round():
        assert distance(layer(turned(f, matrix)), turned(layer(f), matrix)) < 100 * EPS
        moved = turned(f, matrix)
        up = layer.up(layer(moved), moved.shape[2:])
        assert up.shape == moved.shape
        assert distance(up, turned(layer.up(layer(f), f.shape[2:]), matrix)) < 100 * EPS
    ones = torch.ones(1, 1, *sizes, dtype=torch.float64)
    torch.testing.assert_close(layer.up(layer(ones), sizes), ones)


def test_strides_are_the_binomials() -> None:
    """1 2 1 of an odd size, 1 3 3 1 of an even one; samples between pixels there."""
    row = downward(9, 2)[2]
    torch.testing.assert_close(row, torch.tensor([0, 0, 0, 1, 2, 1, 0, 0, 0]).double() / 4)
    row = downward(10, 2)[2]
    torch.testing.assert_close(row, torch.tensor([0, 0, 0, 1, 3, 3, 1, 0, 0, 0]).double() / 8)
    assert places(10, 2).tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]


@pytest.mark.parametrize("members", [[4], [1], [2, 5]])
def test_restriction_commutes_with_the_subgroup(members: list[int], generator: torch.Generator) -> None:
    """Nothing is lost, and an element of H moves the functions on H as it moves those on G."""
    group = dihedral(4)
    subgroup = Subgroup(group, members)
    layer = RestrictToSubgroup(subgroup)
    f = torch.randn(2, 3 * group.order, 4, 5, generator=generator, dtype=torch.float64)
    assert torch.equal(layer(f).flatten(1).sort(1)[0], f.flatten(1).sort(1)[0])
    for k, g in enumerate(subgroup.members.tolist()):
        assert torch.equal(layer(shuffled(f, group, g)), shuffled(layer(f), subgroup, k))


def test_pooling_is_invariant(generator: torch.Generator) -> None:
    group = dihedral(3)
    f = torch.randn(2, 12, 4, 4, generator=generator, dtype=torch.float64)
    for kind in ("max", "mean"):
        pool = GroupPool(6, kind)
        assert pool(f).shape == (2, 2, 4, 4)
        for g in range(6):
            torch.testing.assert_close(pool(shuffled(f, group, g)), pool(f), rtol=0, atol=1e-15)


def test_scales_as_loops(generator: torch.Generator) -> None:
    """k_s(x) = s^-2 k(x / s), and sums over the scales from one's own on."""
    torch.manual_seed(0)
    basis, ratio, scales = SplineBasis(3, kind="bspline"), 1.5, 3
    lift = ScaleConvolution(scales, ratio, 1, 2, basis, lifting=True).double()
    convolution = ScaleConvolution(scales, ratio, 2, 2, basis, reach=2).double()
    image = torch.randn(1, 1, 5, 6, generator=generator, dtype=torch.float64)
    x = raster(image[0]).pos
    f = lift(image)
    reach = lift.size // 2
    near = ((x[None] - x[:, None]).abs() <= reach).all(-1)
    at, result = f[0].unflatten(0, (2, scales)).flatten(2), convolution(f)[0].unflatten(0, (2, scales)).flatten(2)
    for s in range(scales):
        values = basis.sample((x[None] - x[:, None]) / ratio**s) * near[:, None] / ratio ** (2 * s)
        lifted = torch.einsum("oib,xby,iy->ox", lift.weight[:, :, 0], values, image[0].flatten(1))
        assert distance(at[:, s], lifted) < 1e-12
        total = torch.zeros(2, len(x), dtype=torch.float64)
        for later in range(s, min(s + 2, scales)):
            total += torch.einsum("oib,xby,iy->ox", convolution.weight[:, :, later - s], values, at[:, later])
        assert distance(result[:, s], total) < 1e-12


@pytest.mark.parametrize("kind", ["batch", "layer", "none"])
@pytest.mark.parametrize("centred", [True, False])
def test_normalisation_is_that_of_torch(kind: str, centred: bool, generator: torch.Generator) -> None:
    """Statistics of a channel run over images, components and pixels; evaluation uses those of training."""
    norm = FieldNorm(3, 4, kind, centred).double()
    x = 2 + 3 * torch.randn(5, 12, 4, 4, generator=generator, dtype=torch.float64)
    if kind == "batch":
        grouped = x.unflatten(1, (3, 4))
        mean = grouped.mean((0, 2, 3, 4)) if centred else torch.zeros(3).double()
        square = (grouped - mean[:, None, None, None]).square().mean((0, 2, 3, 4))
        expected = (grouped - mean[:, None, None, None]) / (square[:, None, None, None] + 1e-5).sqrt()
        torch.testing.assert_close(norm(x), expected.flatten(1, 2))
        for _ in range(300):
            norm(x)
        norm.eval()
        torch.testing.assert_close(norm(x), expected.flatten(1, 2), rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(norm(x[:2]), norm(x)[:2])
    else:
        torch.testing.assert_close(norm(x[:2]), norm(x)[:2])
        assert kind == "none" or abs(float(norm(x)[0].detach().square().mean()) - 1) < 1e-3
    alone = FieldNorm(1, 1, kind, centred).double()
    assert alone(torch.ones(1, 1, 1, 1, dtype=torch.float64)).isfinite().all()  # one value in training


def test_what_can_not_be_convolved_is_named() -> None:
    with pytest.raises(InputError, match="kernel of 4 pixels has no pixel in its middle"):
        SplineBasis(4)
    with pytest.raises(InputError, match="S_3 moves points of dimension 3"):
        GroupConvolution(symmetric(3), 1, 1, SplineBasis(3))
    with pytest.raises(InputError, match="moves no points"):
        GroupConvolution(FiniteGroup("swap", torch.tensor([[0, 1], [1, 0]])), 1, 1, SplineBasis(3))
    with pytest.raises(InputError, match="moves points of dimension 2"):
        GroupConvolution(cyclic(4), 1, 1, SplineBasis(3, 3))
    with pytest.raises(InputError, match="basis"):
        kernel_basis("fourier", 3, exact=True)
    with pytest.raises(InputError, match="ratio"):
        ScaleConvolution(3, 1.0, 1, 1, SplineBasis(3))
    with pytest.raises(InputError, match="features of shape"):
        GroupConvolution(cyclic(4), 2, 1, SplineBasis(3))(torch.zeros(1, 2, 5, 5))
    small = torch.zeros(1, 1, 2, 5)
    for padding, answer in (("zeros", None), ("circular", None), ("reflect", "at least 3"), ("none", "at least 5")):
        layer = GroupConvolution(cyclic(4), 1, 1, SplineBasis(5), True, padding)
        if answer is None:
            assert layer(small).shape == (1, 4, 2, 5)
        else:
            with pytest.raises(InputError, match=f"kernel of 5 pixels on an image of 2 x 5(.|\n)*{answer}"):
                layer(small)


def test_pixels_of_a_kernel_are_those_of_an_image() -> None:
    """A kernel that is 1 at one pixel moves an image by that pixel's position, backwards: sums are over x + p."""
    image = torch.randn(1, 5, 5).double()
    layer = GroupConvolution(cyclic(1), 1, 1, SplineBasis(3), lifting=True).double()
    for k, pixel in enumerate(kernel_pixels(3, 2)):
        with torch.no_grad():
            layer.weight.zero_()
            layer.weight[0, 0, 0, k] = 1
        graph = raster(image)
        at = {tuple(p): v for p, v in zip(graph.pos.tolist(), graph.x[:, 0].tolist(), strict=True)}
        expected = [at.get(tuple((p + pixel).tolist()), 0.0) for p in graph.pos]
        assert layer(image[None]).flatten().tolist() == expected
