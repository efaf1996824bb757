"""PONITA: the contract of a network on directions, its equations by loops over nodes, neighbours and directions, and
its grids."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lifted import LiftedContract, lively
from torch import Tensor

from intertwine.geometry import Graph, connect
from intertwine.groups import icosahedral, octahedral
from intertwine.models import PONITA
from intertwine.nn import Backbone
from intertwine.nn.groups.directions import directions
from intertwine.nn.groups.position_orientation import NORM_SMOOTHING
from intertwine.numerics import InputError

SMALL = {"width": 6, "layers": 2, "cutoff": 2.5, "vectors": 3, "functions": 8, "radial_size": 4, "species": (1, 6, 8)}


def made(**options: Any) -> PONITA:
    torch.manual_seed(0)
    return lively(PONITA(**SMALL | options).double())


class TestPONITA(LiftedContract):
    @pytest.fixture(
        params=[{}, {"grid": "octahedral", "orientations": 6, "layer_scale": 0.5, "vectors": 0, "hidden": 5}],
        ids=["icosahedral", "octahedral"],
    )
    def model(self, request) -> Backbone:
        return made(**request.param)


class TestPONITAOfParticlesInThePlane(LiftedContract):
    dimension, fields, species = 2, ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        options = {"species": (), "node_inputs": ("charge",), "edge_inputs": ("charge_product",)}
        return made(**options, dimension=2, vector_inputs=("vel",), orientations=4)


def network(mlp: Any, x: Tensor, last: bool = False) -> Tensor:
    first, second = mlp.layers
    x = second(F.gelu(first(x)))
    return F.gelu(x) if last else x


@pytest.mark.parametrize("options", [{}, {"dimension": 2, "orientations": 5, "layer_scale": 0.3, "hidden": 4}])
@torch.no_grad()
def test_loops_over_orientations(options: dict[str, Any], generator: torch.Generator) -> None:
    """One pair of nodes and of directions at a time; the kernel from the paper's invariants o.x and |x - (o.x) o|."""
    model = made(**options, vector_inputs=("vel",))
    for parameter in model.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    pos, vel = 1.1 * torch.randn(2, 4, model.dimension, generator=generator, dtype=torch.float64)
    graph = model.ready(connect(Graph(pos, z=[1, 6, 8, 1], vel=vel), model.cutoff))
    pairs, grid, count = list(zip(*graph.edge_index.tolist(), strict=True)), model.directions.points, 12
    count, basis = len(grid), model.basis

    def polynomials(c: Tensor) -> Tensor:
        legendre = [c, (3 * c**2 - 1) / 2, (5 * c**3 - 3 * c) / 2]
        return torch.stack([(2 * l + 3) ** 0.5 * p for l, p in enumerate(legendre)])

    def phi(x: Tensor, o: Tensor) -> Tensor:
        along = x @ o
        across = (x - along * o).norm()
        d = (along**2 + across**2).sqrt().reshape(1)
        hidden = F.gelu(basis.distance(model.edges.radial(d))[0] + basis.angle(polynomials(along / d[0])))
        return F.gelu(basis.spatial(hidden)) * model.edges.envelope(d)

    s, u = model.embedding(graph), model.vectors(graph)
    f = torch.stack([s + torch.einsum("x,ixc->ic", o, u) for o in grid], dim=1)
    for layer in model.layers:
        a = layer.self_weight * f
        for j, i in pairs:
            for o in range(count):
                a[i, o] += 16**-0.5 * layer.space(phi(pos[j] - pos[i], grid[o])) * f[j, o]
        b = torch.zeros_like(f) + layer.bias
        for o in range(count):
            for p in range(count):
                kernel = layer.sphere(network(basis.orientation, polynomials(grid[o] @ grid[p]), last=True))
                b[:, o] += kernel * a[:, p] / count
        centred = b - b.mean(-1, keepdim=True)
        normal = centred / (centred.square().mean(-1, keepdim=True) + NORM_SMOOTHING**2).sqrt()
        step = network(layer.block, layer.norm.weight * normal + layer.norm.bias)
        f = f + (step if layer.scale is None else layer.scale * step)
    torch.testing.assert_close(model.lifted(graph), f, rtol=0, atol=1e-12)
    scalars = f.mean(1)
    vectors = sum(model.out(f[:, o]).unsqueeze(-1) * grid[o] for o in range(count)) / count
    torch.testing.assert_close(model(graph), torch.cat([scalars, vectors.flatten(1)], dim=1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("grid", "count"), [("icosahedral", n) for n in (12, 20, 30, 32, 42, 50, 62)] + [("octahedral", n) for n in (6, 26)]
)
def test_a_polyhedral_grid_is_mapped_to_itself(grid: str, count: int) -> None:
    """Unit vectors, all different, that add up to nothing, and of which the group moves each to another."""
    points = directions(grid, 3, count).points.double()
    group = (icosahedral if grid == "icosahedral" else octahedral)(inversion=True)
    assert points.shape == (count, 3)
    assert (points.norm(dim=1) - 1).abs().max() < 1e-7
    assert points.sum(0).abs().max() < 1e-6
    assert torch.pdist(points).min() > 0.1
    assert torch.cdist(points @ group.matrices.mT, points).amin(-1).max() < 1e-6


def test_a_fibonacci_grid_is_spread_evenly() -> None:
    """Its mean of o o^T is that of the sphere but for an error of about 1/n; no two points are near."""
    for count in (50, 200, 800):
        points = directions("fibonacci", 3, count).points.double()
        error = (points.T @ points / count - torch.eye(3, dtype=torch.float64) / 3).abs().max()
        assert error < 0.5 / count
        assert torch.pdist(points).min() > 2.5 * count**-0.5


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a grid": ({"grid": "cubic"}, "grid: unknown grid of directions 'cubic'"),
    "a number": (
        {"orientations": 13},
        r"no icosahedral grid of 13 directions\n.*12, 20, 30, 32, 42, 50, 62.*fibonacci",
    ),
    "none": ({"orientations": 0}, "orientations = 0"),
    "four dimensions": ({"dimension": 4}, "dimension: 4 dimensions"),
    "a size": ({"degree": 0}, "degree"),
    "vectors": ({"vectors": -2}, "vectors"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_asked_for_wrongly_is_named(what: str) -> None:
    options, words = WRONG[what]
    with pytest.raises(InputError, match=words):
        PONITA(**options)
