"""Radial functions from a table: close to the network, smooth, differentiable, and zero from the cutoff on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from molecular import MODELS
from switches import as_users_run_it
from torch import Tensor

from intertwine.certify import certify
from intertwine.data import GraphStore
from intertwine.geometry import Graph, collate
from intertwine.nn.embedding import EdgeEmbedding
from intertwine.nn.radial_spline import RadialNetwork
from intertwine.numerics import InputError
from intertwine.tasks import ForceField, TensorForm

D, CUTOFF = torch.float64, 5.0
SIZES = {"mace": {"width": 4, "lmax": 1, "correlation": 2}, "nequip": {"width": 4, "lmax": 1}}


def network(columns: int = 6, dtype: torch.dtype = D) -> RadialNetwork:
    torch.manual_seed(0)
    return RadialNetwork([8, 16, 16, columns], F.silu, 0.024).to(dtype)


def of(
    net: RadialNetwork, d: Tensor, knots: int, radial: str = "bessel", cutoff_function: str = "polynomial"
) -> Tensor:
    """The radial functions of edges of these lengths along x."""
    edges = EdgeEmbedding(CUTOFF, 8, radial, cutoff_function, knots=knots)
    far = F.pad(d.unsqueeze(1), (0, 2))
    pos = torch.cat([torch.zeros_like(far[:1]), far])
    index = torch.stack([torch.zeros(len(d), dtype=torch.int64), torch.arange(1, len(d) + 1)])
    return net.weights(edges.filters(edges(Graph(pos, edge_index=index))))


@pytest.mark.parametrize("radial", ["bessel", "gaussian"])
@pytest.mark.parametrize(("cutoff_function", "end"), [("polynomial", 5.2), ("cosine", 4.8)])
def test_the_network_at_every_edge_is_neared_by_the_fourth_power(radial: str, cutoff_function: str, end: float) -> None:
    """From a distance of zero on; under the cosine, whose second derivative jumps, up to two knots from the cutoff."""
    net, d, kind = network(), torch.linspace(0.01, end, 500, dtype=D), (radial, cutoff_function)
    exact = of(net, d, 0, *kind)
    errors = [float((of(net, d, knots, *kind) - exact).norm() / exact.norm()) for knots in (128, 256, 512, 1024)]
    assert errors[0] < 2e-3
    for coarse, fine in pairwise(errors[1:]):
        assert 13 < coarse / fine < 18  # 16, where halves are small enough


@pytest.mark.parametrize("knots", [8, 33])
def test_two_derivatives_are_continuous_and_vanish_at_the_cutoff(knots: int) -> None:
    net, h = network(columns=1), CUTOFF / knots
    places = torch.arange(1, knots + 1, dtype=D) * h
    sides = []
    for d in (places - 1e-9, places + 1e-9):
        d.requires_grad_()
        value = of(net, d, knots)
        (first,) = torch.autograd.grad(value.sum(), d, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), d)
        sides.append((value.detach().squeeze(1), first.detach(), second))
    for left, right in zip(*sides):
        scale = float(left.abs().max())
        assert scale > 0
        assert float((left - right).abs().max()) < 1e-5 * scale  # 1e-9 A times the next derivative
        assert float(left[-1].abs()) < 1e-5 * scale
        assert float(right[-1].abs()) == 0


@pytest.mark.usefixtures("_as_users_run_it")
def test_derivatives_of_both_orders_are_right() -> None:
    net, h = RadialNetwork([8, 4, 2], F.silu, 0.024).double(), CUTOFF / 8
    d = torch.tensor([0.3, 1.0, 2 * h, 3.3, CUTOFF + 0.1], dtype=D, requires_grad=True)
    weights = tuple(net.parameters())

    def function(d: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(
            _Of(net), {f"net.{name}": value for (name, _), value in zip(net.named_parameters(), values)}, (d,)
        )

    at_knot = 2  # where the third derivative jumps, differences of the second are none
    smooth = torch.cat([d[:at_knot], d[at_knot + 1 :]]).detach().requires_grad_()
    torch.autograd.gradcheck(function, (d, *weights))
    torch.autograd.gradgradcheck(function, (smooth, *weights))


class _Of(torch.nn.Module):
    def __init__(self, net: RadialNetwork) -> None:
        super().__init__()
        self.net = net

    def forward(self, d: Tensor) -> Tensor:
        return of(self.net, d, 8)


def test_no_edges_and_a_distance_of_zero() -> None:
    net = network()
    assert of(net, torch.zeros(0, dtype=D), 16).shape == (0, 6)
    assert torch.isfinite(of(net, torch.zeros(1, dtype=D), 16)).all()


@pytest.mark.parametrize("knots", [-1, 1, 7, 64.5])
def test_too_few_knots_are_named(knots: int) -> None:
    for inputs in ({}, {"edge_inputs": ("charge_product",)}):
        with as_users_run_it(), pytest.raises(InputError, match="radial_knots"):
            MODELS["mace"](radial_knots=knots, **inputs)


@pytest.mark.parametrize(("size", "knots"), [(8, 128), (16, 128), (20, 160), (64, 512)])
def test_the_shortest_wave_has_sixteen_knots(size: int, knots: int) -> None:
    assert MODELS["nequip"](radial_size=size, radial_knots=128).edges.spline.knots == knots


def test_half_precision_asks_at_every_edge() -> None:
    graph = structure(6, 5)
    one, other = (field("nequip", knots).bfloat16()(graph) for knots in (0, 128))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_autocast_does_not_reach_the_knots() -> None:
    """Where a rounding of v by 2^-9 would be one of the forces by 0.1 v/A."""
    task, graph = field("nequip", 128).float(), structure(6, 5)
    edges = task.backbone.edges(task.backbone.connected(graph).in_precision(torch.float32))
    radial = task.backbone.layers[0].radial
    exact = radial.weights(task.backbone.edges.filters(edges))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(radial.weights(task.backbone.edges.filters(edges)), exact)


def structure(atoms: int, seed: int) -> Graph:
    generator = torch.Generator().manual_seed(seed)
    z = torch.tensor([1, 6, 8])[torch.randint(3, (atoms,), generator=generator)]
    return Graph(2.0 * atoms ** (1 / 3) * torch.rand(atoms, 3, generator=generator, dtype=D), z=z)


def field(name: str, knots: int, **more: object) -> ForceField:
    torch.manual_seed(0)
    model = MODELS[name](layers=2, cutoff=4.0, species=(1, 6, 8), radial_knots=knots, **SIZES[name], **more)
    return ForceField(model).double().eval()


@pytest.mark.parametrize("name", SIZES)
def test_a_force_field_is_close_to_the_one_without_a_table(name: str) -> None:
    """With the same weights, under the same names; a batch is its structures one by one."""
    graphs = [structure(5, 1), structure(8, 2), structure(1, 3)]
    exact, table = field(name, 0), field(name, 256)
    table.load_state_dict(exact.state_dict())
    one, other = exact(collate(graphs)), table(collate(graphs))
    for key in ("energy", "forces"):
        assert 0 < float((one[key] - other[key]).norm()) < 1e-2 * float(one[key].norm())
    alone = torch.cat([table(graph)["forces"] for graph in graphs])
    torch.testing.assert_close(alone, other["forces"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", SIZES)
def test_it_is_certified(name: str) -> None:
    with as_users_run_it():
        certificate = certify(field(name, 32), [structure(6, 4)], symmetry="E(3)", quick=True, rotations=1)
    assert certificate.passed, str(certificate)


@pytest.mark.parametrize("name", SIZES)
def test_what_edges_bring_along_is_asked_of_the_network(name: str) -> None:
    """A table knows distances only."""
    torch.manual_seed(0)
    graph = structure(6, 5)
    inputs = {"edge_inputs": ("charge_product",), "node_inputs": ("charge",)}
    one, other = (field(name, knots, **inputs) for knots in (0, 32))
    graph = Graph(graph.pos, z=graph.z, charge=torch.randn(6, dtype=D))
    assert torch.equal(one(graph)["energy"], other(graph)["energy"])


@pytest.mark.parametrize("name", SIZES)
def test_the_default_of_a_force_field_has_a_table(name: str) -> None:
    one = structure(4, 1)
    data = GraphStore.from_graphs(
        [Graph(one.pos, z=one.z, energy=torch.zeros(1, dtype=D), forces=torch.zeros(4, 3, dtype=D))]
    )
    chosen = ForceField.suggest(data, None, MODELS[name], {})["model"]
    assert chosen["radial_knots"] >= 64
    assert MODELS[name].PRESETS["paper"]["radial_knots"] == 0  # as published


@pytest.fixture
def _as_users_run_it() -> Iterator[None]:
    with as_users_run_it():
        yield


@pytest.mark.usefixtures("_as_users_run_it")
def test_a_table_is_exported() -> None:
    task = field("nequip", 32)
    form = TensorForm(task, collate([structure(5, 1), structure(4, 2)]))
    program = form.exported(collate([structure(5, 1), structure(4, 2)])).module()
    other = collate([structure(7, 3), structure(3, 5), structure(6, 6)])
    found, wanted = program(form.inputs(other)), task(other)
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-10)
