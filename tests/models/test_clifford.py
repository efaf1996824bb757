"""Clifford: the contract with and without a cutoff; the geometric product and a layer against products of blades."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contract import ModelContract

from intertwine.certify import certify
from intertwine.geometry import Graph
from intertwine.models.clifford import Clifford, CliffordLayer, cayley_table, geometric_product
from intertwine.nn import Backbone
from intertwine.numerics import InputError

SMALL = {"width": 5, "channels": 2, "layers": 2, "cutoff": 3.5, "species": (1, 6, 8), "radial_size": 3}
PARTICLES = {
    "cutoff": None,
    "species": (),
    "node_inputs": ("speed",),
    "edge_inputs": ("charge_product",),
    "vector_inputs": ("vel",),
    "centred": True,
}

#: The blades of Cl(3, 0) times each other, by hand: row times column, with e1 e1 = e2 e2 = e3 e3 = 1.
BLADES = ["1", "e1", "e2", "e3", "e23", "e31", "e12", "e123"]
TABLE = """
1     e1    e2    e3    e23   e31   e12   e123
e1    1     e12  -e31   e123 -e3    e2    e23
e2   -e12   1     e23   e3    e123 -e1    e31
e3    e31  -e23   1    -e2    e1    e123  e12
e23   e123 -e3    e2   -1    -e12   e31  -e1
e31   e3    e123 -e1    e12  -1    -e23  -e2
e12  -e2    e1    e123 -e31   e23  -1    -e3
e123  e23   e31   e12  -e1   -e2   -e3   -1
"""


def by_hand() -> np.ndarray:
    """(M M')_k = sum_ij T_ijk M_i M'_j from the table."""
    dense = np.zeros((8, 8, 8))
    for i, row in enumerate(TABLE.strip().splitlines()):
        for j, entry in enumerate(row.split()):
            dense[i, j, BLADES.index(entry.lstrip("-"))] = -1 if entry.startswith("-") else 1
    return dense


class TestClifford(ModelContract):
    @pytest.fixture
    def model(self) -> Backbone:
        return Clifford(**SMALL).double()


class TestCliffordOfParticles(ModelContract):
    """All pairs, velocities, charges, positions relative to the centre."""

    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        return Clifford(**SMALL | PARTICLES).double()


def test_the_table_by_hand_is_an_algebra() -> None:
    table = by_hand()
    assert np.array_equal(np.einsum("ijk,klm->ijlm", table, table), np.einsum("jlk,ikm->ijlm", table, table))


def test_the_geometric_product_is_that_of_blades() -> None:
    layer, (x, y) = geometric_product(3, dtype=torch.float64), torch.randn(2, 10, 8, 3, dtype=torch.float64)
    expected = torch.einsum("ijk,ziu,zju->zku", torch.from_numpy(by_hand()), x, y)
    found = layer(torch.cat([x, y], dim=1).flatten(1)).view(10, 8, 3)
    assert (found - expected).abs().max() < 1e-12
    assert np.array_equal(cayley_table(), by_hand())


def test_a_layer_is_its_equations() -> None:
    """In loops, with products of blades; the last product with weights that training has changed."""
    width, channels, nodes = 3, 2, 4
    layer = CliffordLayer(width, channels, 2, 4.0, 0.1, F.silu).double()
    with torch.no_grad():
        layer.product.weight.mul_(1 + 0.3 * torch.randn_like(layer.product.weight))
    s, m = torch.randn(nodes, width).double(), torch.randn(nodes, 8, channels).double()
    pairs = [(j, i) for j, i in product(range(nodes), repeat=2) if i != j]
    edges = len(pairs)
    e, x = torch.randn(edges, 2).double(), F.normalize(torch.randn(edges, 3).double(), dim=1)
    c = torch.rand(edges, 1).double()
    found = layer(s, m, e, x, c, torch.tensor(pairs).T.contiguous())

    table, grade = torch.from_numpy(by_hand()), [0, 1, 1, 1, 2, 2, 2, 3]
    n = m / (m.square().sum(1, keepdim=True).mean(2, keepdim=True) + 0.01).sqrt()
    t = F.layer_norm(s, (width,), layer.norm.weight, layer.norm.bias)

    def mixed(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.stack([values[k] @ weight[grade[k]] for k in range(8)])

    received, moved = torch.zeros(nodes, width).double(), torch.zeros(nodes, 8, channels).double()
    a, b, values = layer.first.weight.split([1, 1, channels], dim=2)
    to, of = layer.first_scalars.weight.chunk(2)
    for k, (j, i) in enumerate(pairs):
        d = mixed(n[i], a) + mixed(n[j], b)
        d[1:4] += x[k].unsqueeze(1) * layer.direction
        squares = [sum(d[q].square() for q in range(8) if grade[q] == g) for g in range(4)]
        h = to @ t[i] + of @ t[j] + layer.first_scalars.bias.chunk(2)[0] + layer.first_scalars.bias.chunk(2)[1]
        h = h + layer.first_attributes.weight @ e[k]
        h = c[k] * F.silu(h + sum(squares[g] @ layer.first_squares[g] for g in range(4)))
        u, v = (layer.second.weight @ h + c[k] * layer.second.bias).chunk(2)
        factor = torch.zeros(8, channels).double()
        factor[0], factor[1:4] = u, v * x[k].unsqueeze(1)
        received[i] += h / 2
        moved[i] += torch.einsum("pqr,pu,qu->ru", table, mixed(n[j], values), factor) / 2
    for i in range(nodes):
        both = torch.cat([n[i], moved[i]], dim=1)
        one, two = mixed(both, layer.factors.weight).chunk(2, dim=1)
        p = layer.product(torch.cat([one, two]).flatten().unsqueeze(0)).view(9, channels)
        change, gate = layer.mlp(torch.cat([t[i], received[i], p[0]])).split([width, 4 * channels])
        gated = p[1:] * gate.view(4, channels)[grade]
        more = mixed(torch.cat([gated, moved[i]], dim=1), layer.out.weight)
        assert (found[0][i] - s[i] - change).abs().max() < 1e-12
        assert (found[1][i] - m[i] - more).abs().max() < 1e-12


def test_the_preset_of_particles_is_certified() -> None:
    generator = torch.Generator().manual_seed(0)
    pos, vel = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    graph = Graph(pos, vel=vel, charge=torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0], dtype=torch.float64))
    certificate = certify(Clifford(**Clifford.PRESETS["particles"]), graph, quick=True)
    assert certificate.verdict == "exact", certificate.summary()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"channels": 0}, "channels"),
        ({"activation": "tanh"}, "activation"),
        ({"centred": True}, "centre"),
        ({"average_degree": 0.0}, "average_degree"),
        ({"smoothing": -1.0}, "smoothing"),
    ],
)
def test_what_it_refuses(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Clifford(**SMALL | arguments)
