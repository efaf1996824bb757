"""SEGNN: the contract with and without a cutoff, and the paper's equations in loops with e3nn's products at the same
weights.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from contract import ModelContract
from switches import as_users_run_it
from torch import Tensor

from intertwine.geometry import Graph, act, connect
from intertwine.groups import Isometry
from intertwine.models.segnn import SEGNN
from intertwine.nn import Backbone
from intertwine.nn.irreps.steerable_linear import GatheredSteerableLinear
from intertwine.numerics import GeometryError, InputError
from intertwine.o3 import Irreps

SMALL = {
    "width": 3,
    "layers": 1,
    "lmax": 1,
    "cutoff": 3.5,
    "species": (1, 6, 8),
    "radial_size": 3,
    "average_degree": 3.0,
}
PARTICLES = {
    "cutoff": None,
    "species": (),
    "node_inputs": ("speed",),
    "edge_inputs": ("charge_product",),
    "vector_inputs": ("vel",),
}


class TestSEGNN(ModelContract):
    @pytest.fixture
    def model(self) -> Backbone:
        return SEGNN(**SMALL).double()


class TestSEGNNOfParticles(ModelContract):
    """All pairs, velocities, charges, positions relative to the centre."""

    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        return SEGNN(**SMALL | PARTICLES, centred=True).double()


def test_both_parities_are_equivariant() -> None:
    """Pseudoscalars and pseudovectors of the features, too; irreps that only the second layer reaches."""
    options = {"parity": True, "layers": 2, "outputs": "0e+1o+0o+1e", "radial": "gaussian", "node_inputs": ("charge",)}
    model = SEGNN(**SMALL | options, vector_inputs=("vel",), edge_inputs=("charge_product",)).double()
    pos, vel = torch.randn(2, 6, 3, dtype=torch.float64)
    graph = Graph(pos, z=[1, 6, 8, 1, 6, 8], vel=vel, charge=torch.randn(6, dtype=torch.float64))
    plain = model(graph)
    assert all(model.irreps_out.part(plain, ir).abs().max() > 1e-3 for ir in ("0e", "0o", "1o", "1e"))
    for improper in (False, True):
        g = Isometry.random(3, generator=torch.Generator().manual_seed(1), improper=improper, shift=1.0)
        expected = model.irreps_out.transform(g.rotation, plain)
        assert (model(act(g, graph)) - expected).abs().max() < 1e-12 * plain.abs().max()


class Oracle:
    """The paper's blocks from e3nn's, in mul_ir."""

    def __init__(self) -> None:
        self.o3, moment = pytest.importorskip("e3nn.o3"), pytest.importorskip("e3nn.math").normalize2mom
        self.silu, self.sigmoid = moment(F.silu), moment(torch.sigmoid)
        self.products: dict[Any, Any] = {}  # they take long to make

    def linear(self, layer: Any, v: Tensor, a: Tensor) -> Tensor:
        irreps = tuple(str(one) for one in (layer.irreps_in, layer.irreps_attribute, layer.irreps_out))
        if irreps not in self.products:
            options = {"path_normalization": "path", "internal_weights": False, "shared_weights": True}
            self.products[irreps] = self.o3.FullyConnectedTensorProduct(*irreps, **options)
        z = self.products[irreps](v, a, layer.product_weight())
        bias = layer.bias if isinstance(layer, GatheredSteerableLinear) else layer.linear.bias
        return z + F.pad(bias, (0, z.shape[-1] - len(bias)))  # scalars come first here

    def gate(self, z: Tensor, width: int, lmax: int) -> Tensor:
        s, g, *rest = z.split([width, lmax * width, *[width * (2 * l + 1) for l in range(1, lmax + 1)]])
        numbers = self.sigmoid(g).view(lmax, width, 1)
        return torch.cat([self.silu(s), *[(x.view(width, -1) * n).flatten() for x, n in zip(rest, numbers)]])

    def harmonics(self, x: Tensor, lmax: int, normalize: bool = True) -> Tensor:
        return self.o3.spherical_harmonics(list(range(lmax + 1)), x, normalize, "component")


def naive(
    model: SEGNN, graph: Graph, width: int, lmax: int, degree: float, cutoff: float | None, start: list[Tensor]
) -> Tensor:
    """Node by node and edge by edge. ``start``: scalars and vectors of each node side by side, in mul_ir."""
    oracle, n, pos = Oracle(), graph.num_nodes, graph.pos
    edges: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor]] = {}
    for i in range(n):
        for j in range(n):
            x = pos[j] - pos[i]
            d = x.norm()
            if i == j or (cutoff is not None and d >= cutoff):
                continue
            invariants, c = [torch.log(1 + d * d).reshape(1)], torch.ones(())
            if cutoff is not None:
                u = d / cutoff
                c = 1 - 28 * u**6 + 48 * u**7 - 21 * u**8
                unit = math.sqrt(cutoff**3 / 3) * math.sqrt(2 / cutoff)
                invariants = [
                    (u * u).reshape(1),
                    torch.stack([unit * torch.sin(k * math.pi * u) / d for k in (1, 2, 3)]),
                ]
            else:
                gaussians = [torch.exp(-2 * (d / (d + 2) - centre) ** 2) for centre in (0, 0.5, 1)]
                invariants.append(math.sqrt(3 / math.sqrt(math.pi)) * torch.stack(gaussians))
            if "charge" in graph:
                invariants.append((graph.charge[i] * graph.charge[j]).reshape(1))
            edges[i, j] = (oracle.harmonics(x, lmax), torch.cat(invariants), c)
    attributes = []
    for i in range(n):
        mine = [edges[i, j] for j in range(n) if (i, j) in edges]
        a = sum(c * y for y, _, c in mine) / (sum(c for *_, c in mine) + (0 if cutoff is None else 1))
        if "vel" in graph:
            v = graph.vel[i]
            a = a + oracle.harmonics(v / (v @ v + 0.01).sqrt(), lmax, normalize=False)
        attributes.append(torch.cat([torch.ones(1), a[1:]]))
    f = [oracle.linear(model.start, x, a) for x, a in zip(start, attributes)]
    for layer in model.layers:
        new = []
        for i in range(n):
            total = torch.zeros_like(f[i])
            for j in range(n):
                if (i, j) in edges:
                    a, s, c = edges[i, j]
                    h = oracle.gate(oracle.linear(layer.first, torch.cat([f[i], f[j], s]), a), width, lmax)
                    total = total + c * oracle.gate(oracle.linear(layer.second.layers[0], h, a), width, lmax)
            u = oracle.linear(layer.update, torch.cat([f[i], total / math.sqrt(degree)]), attributes[i])
            new.append(f[i] + oracle.linear(layer.out, oracle.gate(u, width, lmax), attributes[i]))
        f = new
    one, two = model.end.layers
    return torch.stack(
        [oracle.linear(two, oracle.gate(oracle.linear(one, x, a), width, lmax), a) for x, a in zip(f, attributes)]
    )


def disturb(model: SEGNN) -> None:
    """Biases that are not zero."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)


@pytest.mark.parametrize("lmax", [1, 2])
def test_molecules_against_the_equations(lmax: int, generator: torch.Generator, oracle_in_double: None) -> None:
    graph = Graph(torch.randn(5, 3, generator=generator, dtype=torch.float64), z=[1, 6, 8, 1, 6])
    model = SEGNN(**SMALL | {"layers": 2, "lmax": lmax, "cutoff": 2.5}).double()
    disturb(model)
    start = [model.embedding.species.weight[{1: 0, 6: 1, 8: 2}[int(z)]] for z in graph.z]
    expected = naive(model, graph, 3, lmax, 3.0, 2.5, start)
    found = model(graph)
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-13


def test_particles_against_the_equations(generator: torch.Generator, oracle_in_double: None) -> None:
    pos, vel = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    graph = Graph(pos, vel=vel, charge=[1.0, -1.0, 1.0, -1.0])
    model = SEGNN(**SMALL | PARTICLES, centred=True).double()
    disturb(model)
    linear = model.embedding.linear
    vectors = [[u * u.norm().asinh() / u.norm() for u in (v, x - pos.mean(0))] for x, v in zip(pos, vel)]
    start = [torch.cat([linear.weight[:, 0] * v.norm() + linear.bias, *found]) for v, found in zip(vel, vectors)]
    expected = naive(model, graph, 3, 1, 3.0, None, start)
    found = model(graph)
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-13


def test_messages_are_not_linear_in_the_neighbours() -> None:
    """Two neighbours of other species: their messages do not add up as those of a convolution would; the species'
    values matter twice.
    """
    model = SEGNN(**SMALL).double()
    layer, width = model.layers[0], 3
    graph = connect(Graph([[0.0, 0, 0], [1.0, 0, 0]], z=[6, 1]), 3.5)
    f = torch.randn(2, model.start.irreps_out.dim, dtype=torch.float64)
    given = model.conditions(graph, [])
    one, two, zero = (layer(torch.stack([f[0], t * f[1]]), graph.edge_index, given)[0, :width] for t in (1.0, 2.0, 0.0))
    assert ((two - zero) - 2 * (one - zero)).abs().max() > 1e-3


def test_odd_scalars_tell_left_from_right() -> None:
    model = SEGNN(**SMALL | {"layers": 3, "cutoff": 4.0, "width": 4}, parity=True, outputs="0e+0o").double()
    pos = torch.tensor(
        [[0, 0, 0], [1.1, 0, 0], [0, 1.2, 0.1], [0.2, 0.3, 1.3], [-0.9, -0.8, -0.4]], dtype=torch.float64
    )
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    left, right = (
        model.irreps_out.part(model(Graph(x, z=[6, 1, 8, 6, 8])), "0o").sum(0).flatten() for x in (pos, pos @ mirror)
    )
    assert left.abs().max() > 1e-6
    assert (right + left).abs().max() < 1e-11 * left.abs().max()


def test_features_stay_of_order_one() -> None:
    """At the start, however deep: layers begin near the identity."""
    model = SEGNN(width=16, layers=8, average_degree=6.0, species=(1, 6, 8))
    graph = Graph(1.5 * torch.randn(12, 3), z=[1, 6, 8] * 4)
    assert 0.1 < model(graph).square().mean().sqrt() < 10


def test_compiled() -> None:
    model = SEGNN(**SMALL).double()
    graph = connect(Graph(torch.randn(6, 3, dtype=torch.float64), z=[8, 1, 1, 6, 8, 1]), 3.5)
    with as_users_run_it():
        torch.testing.assert_close(torch.compile(model, backend="aot_eager")(graph), model(graph), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", SEGNN.PRESETS)
def test_presets(name: str) -> None:
    model = SEGNN(**SEGNN.PRESETS[name])
    assert isinstance(model.irreps_out, Irreps)
    fields = {"vel": torch.ones(2, 3), "charge": torch.ones(2)} if name == "particles" else {"z": [6, 1]}
    assert model(Graph(torch.eye(3)[:2], **fields)).shape == (2, model.irreps_out.dim)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lmax": -1}, "lmax"),
        ({"outputs": "0e+3o"}, "nothing leads to 3o"),
        ({"average_degree": 0.0}, "neighbours on average"),
        ({"vector_scale": 0.0}, "vector_scale"),
        ({"centred": True}, "centred"),
        ({"width": 0}, "width"),
        ({"layers": 0}, "layers"),
        ({"cutoff": -1.0}, "cutoff"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SEGNN(**SMALL | arguments)


def test_the_plane_is_refused() -> None:
    with pytest.raises(GeometryError, match="2 dimensions"):
        SEGNN(**SMALL)(Graph(torch.zeros(2, 2), z=[1, 1]))
