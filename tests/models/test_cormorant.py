"""Cormorant: the contract, the paper's equations in loops with e3nn's coupling coefficients, and that it is a
polynomial.
"""

from __future__ import annotations

import math

import pytest
import torch
from contract import ModelContract
from switches import as_users_run_it
from torch import Tensor

from intertwine.geometry import Graph, act, connect
from intertwine.groups import Isometry
from intertwine.models.cormorant import Cormorant, CormorantLayer, channel_square
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError, InputError
from intertwine.o3 import Irreps, Linear

CUTOFF, WIDTH, DEGREE = 3.5, 4, 3.0
SMALL = {
    "width": WIDTH,
    "layers": 2,
    "lmax": 1,
    "cutoff": CUTOFF,
    "species": (1, 6, 8),
    "radial_size": 3,
    "average_degree": DEGREE,
}


class TestCormorant(ModelContract):
    @pytest.fixture(params=[False, True], ids=["linear", "invariants"])
    def model(self, request) -> Backbone:
        return Cormorant(**SMALL, invariants=request.param).double()


def inputs() -> dict:
    return {"vector_inputs": ("vel",), "node_inputs": ("charge",), "edge_inputs": ("charge_product",)}


def molecule(nodes: int = 6, seed: int = 0) -> Graph:
    generator = torch.Generator().manual_seed(seed)
    pos, vel = torch.randn(2, nodes, 3, generator=generator, dtype=torch.float64)
    charge = torch.randn(nodes, generator=generator, dtype=torch.float64)
    return Graph(1.2 * pos, z=[(1, 6, 8)[k % 3] for k in range(nodes)], vel=vel, charge=charge)


def test_both_parities_are_equivariant() -> None:
    """Pseudoscalars and pseudovectors of the features, too."""
    model = Cormorant(
        **SMALL | inputs() | {"layers": 3, "lmax": 2}, parity=True, outputs="0e+1o+0o+1e", radial="gaussian"
    ).double()
    graph = molecule()
    plain = model(graph)
    assert all(model.irreps_out.part(plain, ir).abs().max() > 1e-4 for ir in ("0e", "0o", "1o", "1e"))
    for improper in (False, True):
        g = Isometry.random(3, generator=torch.Generator().manual_seed(1), improper=improper, shift=1.0)
        expected = model.irreps_out.transform(g.rotation, plain)
        assert (model(act(g, graph)) - expected).abs().max() < 1e-12 * plain.abs().max()


Blocks = dict[str, Tensor]  # irrep -> (channels, components)


class Oracle:
    """Coupling by e3nn's coefficients; a map of channels for each block."""

    def __init__(self) -> None:
        self.o3 = pytest.importorskip("e3nn.o3")

    def couple(self, x: Tensor, y: Tensor, l1: int, l2: int, l3: int) -> Tensor:
        """Channel by channel, coefficients of norm one."""
        return torch.einsum("ui,uj,ijk->uk", x, y, self.o3.wigner_3j(l1, l2, l3, dtype=torch.float64))

    def mix(self, linear: Linear, blocks: list[Tensor]) -> list[Tensor]:
        out = [torch.zeros(mul, ir.dim, dtype=torch.float64) for mul, ir in linear.irreps_out]
        for path, view in zip(linear.instructions, linear.weight_views()):
            out[path.i_out] = out[path.i_out] + path.path_weight * view.T @ blocks[path.i_in]
        return out

    def squares(self, f: list[Tensor], irreps: Irreps, wanted: Irreps) -> list[Tensor]:
        """Normalised by the second moments of normal features."""
        found = []
        for a, (_, one) in enumerate(irreps):
            for b, (_, other) in list(enumerate(irreps))[a:]:
                for ir in one * other:
                    if ir not in wanted or (a == b and ir.l % 2):
                        continue
                    z = self.couple(f[a], f[b], one.l, other.l, ir.l)
                    second = 1 / ir.dim if a != b else (one.dim + 2) / ir.dim if ir.l == 0 else 2 / ir.dim
                    found.append(z / math.sqrt(second))
        return found

    def layer(
        self, layer: CormorantLayer, f: list[list[Tensor]], edges: dict, state: dict, gain: float
    ) -> tuple[list, dict]:
        irreps, net = layer.irreps_in, layer.edge
        new_state, total = {}, [[0.0 for _ in layer.convolution.irreps_out] for _ in f]
        for (i, j), (x, eta, c) in edges.items():
            dots = torch.cat([(p * q).sum(1) / math.sqrt(ir.dim) for p, q, (_, ir) in zip(f[i], f[j], irreps)])
            g = (eta @ net.from_radial + dots @ net.from_dots).view(net.degrees, WIDTH)
            if state:
                g = g + torch.stack([state[i, j][l] @ net.from_state[l] for l in range(net.degrees)])
            new_state[i, j] = c * g
            for number, path in enumerate(layer.convolution.instructions):
                l1, l2, l3 = irreps[path.i_in1].ir.l, path.i_in2, layer.convolution.irreps_out[path.i_out].ir.l
                y = self.o3.spherical_harmonics(l2, x, True, "component")
                filters = new_state[i, j][l2][:, None] * y
                m = self.couple(f[j][path.i_in1], filters, l1, l2, l3) * math.sqrt((2 * l3 + 1) / DEGREE)
                assert path.i_out == number
                total[i][number] = total[i][number] + m
        new = []
        for i in range(len(f)):
            z = self.mix(layer.from_neighbours, total[i])
            if layer.square is not None:
                z = [
                    p + q for p, q in zip(z, self.mix(layer.from_square, self.squares(f[i], irreps, layer.irreps_out)))
                ]
            own = self.mix(layer.from_self, f[i])
            new.append([(p + gain * q) / math.sqrt(1 + 2 * gain**2) for p, q in zip(own, z)])
        return new, new_state


@pytest.mark.parametrize("invariants", [False, True])
@pytest.mark.parametrize("parity", [False, True])
def test_against_the_equations(parity: bool, invariants: bool, oracle_in_double: None) -> None:
    oracle, graph, gain = Oracle(), molecule(4), 0.7
    model = Cormorant(**SMALL | inputs(), parity=parity, gain=gain, invariants=invariants).double()
    species, linear = model.embedding.species.weight, model.embedding.linear
    f = []
    for i in range(4):
        scalars = species[{1: 0, 6: 1, 8: 2}[int(graph.z[i])]] + linear.weight[:, 0] * graph.charge[i] + linear.bias
        speed = graph.vel[i].norm()
        f.append([scalars[:, None], model.vectors.linear.weight * graph.vel[i] * speed.asinh() / speed])
    edges = {}
    for i in range(4):
        for j in range(4):
            x = graph.pos[j] - graph.pos[i]
            d = x.norm()
            if i != j and d < CUTOFF:
                u = d / CUTOFF
                waves = [math.sqrt(CUTOFF**3 / 3 * 2 / CUTOFF) * torch.sin(k * math.pi * u) / d for k in (1, 2, 3)]
                eta = torch.stack([*waves, graph.charge[i] * graph.charge[j]])
                edges[i, j] = (x, eta, 1 - 28 * u**6 + 48 * u**7 - 21 * u**8)
    expected, state = [0.0] * 4, {}
    for number, (layer, end) in enumerate(zip(model.layers, model.ends)):
        f, state = oracle.layer(layer, f, edges, state, gain)
        outputs = [torch.cat([block.flatten() for block in oracle.mix(end, one)]) for one in f]
        if invariants:  # squared lengths of every channel of every irrep, to the scalars, which come first
            lengths = [torch.cat([(block**2).sum(1) / block.shape[1] for block in one]) for one in f]
            more = [model.squares[number].linear.weight @ squares for squares in lengths]
            outputs = [torch.cat([a[:WIDTH] + b, a[WIDTH:]]) for a, b in zip(outputs, more)]
        expected = [total + output for total, output in zip(expected, outputs)]
    found, expected = model(graph), torch.stack(expected)
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-13


def test_is_a_polynomial_of_its_features() -> None:
    """One layer is of degree three in F: at fixed geometry its fourth differences vanish."""
    model = Cormorant(**SMALL | {"layers": 1}).double()
    graph = connect(molecule(4), CUTOFF)
    edges, layer = model.edges(graph), model.layers[0]
    f = torch.randn(4, layer.irreps_in.dim, dtype=torch.float64)
    harmonics = model.harmonics(edges.vectors)

    def value(t: float) -> Tensor:
        return layer(t * f, None, edges.attributes, edges.envelope, harmonics, graph.edge_index)[0]

    third = value(3.0) - 3 * value(2.0) + 3 * value(1.0) - value(0.0)
    fourth = value(4.0) - 4 * value(3.0) + 6 * value(2.0) - 4 * value(1.0) + value(0.0)
    assert third.abs().max() > 1e-2
    assert fourth.abs().max() < 1e-11 * value(4.0).abs().max()


def test_squares_have_second_moment_one(generator: torch.Generator) -> None:
    irreps = Irreps("8x0e+8x1o+8x2e")
    square = channel_square(irreps, Irreps("0e+1o+2e"))
    z = square(*[torch.randn(20_000, irreps.dim, generator=generator)] * 2).square().mean(0)
    for block in z.split([mul * ir.dim for mul, ir in square.irreps_out]):
        assert abs(block.mean() - 1) < 0.05
    assert channel_square(Irreps("8x0o"), Irreps("1o")) is None


@pytest.mark.parametrize("options", [{}, {"parity": True}, {"layers": 6}], ids=["default", "both parities", "deep"])
def test_features_stay_of_order_one(options: dict) -> None:
    model = Cormorant(**{"species": (1, 6, 8), "average_degree": 8.0} | options)
    graph = Graph(1.5 * torch.randn(12, 3), z=[1, 6, 8] * 4)
    assert 0.03 < model(graph).square().mean().sqrt() < 30


def test_compiled() -> None:
    model = Cormorant(**SMALL).double()
    graph = connect(molecule(), CUTOFF)
    with as_users_run_it():
        torch.testing.assert_close(torch.compile(model, backend="aot_eager")(graph), model(graph), rtol=0, atol=1e-13)


@pytest.mark.parametrize("outputs", ["0e", "1o+0e", "0e+1o+2e"])
def test_invariants_reach_scalars_only(outputs: str) -> None:
    """Without their weights the model is the linear readout; with them vectors are the same; scalars are invariants."""
    model, graph = Cormorant(**SMALL | {"outputs": outputs}, invariants=True).double(), molecule(4)
    with_them = model(graph)
    for square in model.squares:
        torch.nn.init.zeros_(square.linear.weight)
    without = model(graph)
    change = (with_them - without).abs().detach()
    blocks = change.split([block.dim for block in model.irreps_out], dim=1)
    for block, (_, ir) in zip(blocks, model.irreps_out):
        assert (float(block.max()) > 1e-3) == (str(ir) == "0e")


def test_invariants_need_scalars() -> None:
    for outputs in ("1o", "2e", "1o+2e"):
        with pytest.raises(InputError, match="0e"):
            Cormorant(outputs=outputs, invariants=True)


@pytest.mark.parametrize("name", Cormorant.PRESETS)
def test_presets(name: str) -> None:
    model = Cormorant(**Cormorant.PRESETS[name])
    assert model(Graph(torch.zeros(1, 3), z=[6])).shape == (1, model.irreps_out.dim)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lmax": -1}, "lmax"),
        ({"gain": 0.0}, "gain"),
        ({"outputs": "0e+3o"}, "nothing leads to 3o"),
        ({"average_degree": 0.0}, "neighbours on average"),
        ({"width": 0}, "width"),
        ({"layers": 0}, "layers"),
        ({"cutoff": -1.0}, "cutoff"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Cormorant(**SMALL | arguments)


def test_the_plane_is_refused() -> None:
    with pytest.raises(GeometryError, match="2 dimensions"):
        Cormorant(**SMALL)(Graph(torch.zeros(2, 2), z=[1, 1]))
