"""Images and voxels as graphs, and back."""

from __future__ import annotations

import pytest
import torch

from intertwine.geometry import Graph, act, collate, permute, raster, raster_positions, rasters
from intertwine.groups import Isometry
from intertwine.numerics import GeometryError, InputError


@pytest.mark.parametrize("sizes", [(3, 5), (4, 4), (1, 1), (2, 3, 4), (3, 3, 3)])
def test_there_and_back(sizes: tuple[int, ...]) -> None:
    images = torch.randn(3, 2, *sizes)
    batch = collate([raster(image) for image in images])
    got = rasters(batch, batch.x)
    assert got.values.equal(images)
    assert got.at_nodes(got.values).equal(batch.x)
    assert raster_positions(*sizes).mean(0).abs().max() == 0


@pytest.mark.parametrize("sizes", [(3, 5), (4, 4)])
def test_a_quarter_turn_of_the_graph_is_one_of_the_image(sizes: tuple[int, ...]) -> None:
    image = torch.randn(2, *sizes)
    quarter = Isometry(torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64), torch.tensor([7.0, -2.5]).double())
    turned = act(quarter, raster(image))
    assert rasters(turned, turned.x).values[0].equal(torch.rot90(image, 1, (1, 2)))
    flip = Isometry(torch.diag(torch.tensor([-1.0, 1.0])).double(), torch.zeros(2).double())
    mirrored = act(flip, raster(image))
    assert rasters(mirrored, mirrored.x).values[0].equal(image.flip(2))


def test_voxels_turn_from_x_to_y() -> None:
    cube = torch.randn(1, 3, 4, 5)
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    turned = act(Isometry(quarter, torch.zeros(3).double()), raster(cube))
    assert rasters(turned, turned.x).values[0].equal(torch.rot90(cube, 1, (1, 2)))


def test_the_order_of_the_nodes_is_free() -> None:
    graph = raster(torch.randn(2, 4, 3))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    mixed = permute(order, graph)
    got = rasters(mixed, mixed.x)
    assert got.values.equal(rasters(graph, graph.x).values)
    assert got.at_nodes(got.values).equal(mixed.x)


def test_values_keep_their_gradient() -> None:
    graph = raster(torch.randn(2, 3, 3))
    x = graph.x.clone().requires_grad_()
    rasters(graph, x).values.square().sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad, 2 * x)


def test_no_grid() -> None:
    image = raster(torch.randn(1, 3, 3))
    eighth = Isometry(torch.tensor([[1.0, -1.0], [1.0, 1.0]], dtype=torch.float64) / 2**0.5, torch.zeros(2).double())
    turned = act(eighth, image)
    with pytest.raises(GeometryError, match=r"node \d is between the pixels"):
        rasters(turned, turned.x)
    hole = Graph(pos=image.pos[1:], x=image.x[1:])
    batch = collate([image, hole])
    with pytest.raises(GeometryError, match="image 1 of the batch has 8 pixels, a grid of 3 x 3 has 9"):
        rasters(batch, batch.x)
    twice = Graph(pos=torch.cat([image.pos[1:], image.pos[1:2]]), x=image.x)
    with pytest.raises(GeometryError, match="full grid"):
        rasters(twice, twice.x)
    batch = collate([image, raster(torch.randn(1, 3, 4))])
    with pytest.raises(GeometryError, match="images of one size"):
        rasters(batch, batch.x)
    with pytest.raises(GeometryError, match="dimension 1"):
        rasters(Graph(pos=torch.zeros(2, 1)), torch.zeros(2, 1))
    with pytest.raises(GeometryError, match="a node for each pixel"):
        rasters(Graph(pos=torch.zeros(0, 2)), torch.zeros(0, 1))
    with pytest.raises(InputError, match="give rows and columns"):
        raster(torch.zeros(1, 3))
    with pytest.raises(InputError, match="1 or more"):
        raster(torch.zeros(1, 0, 3))
