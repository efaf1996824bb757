"""GemNet: the contract of T and Q, paths and one block in loops, what angles and torsions tell."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from contract import ModelContract
from scipy.special import lpmv, spherical_jn
from torch import Tensor

from intertwine.geometry import Graph, collate, connect, distances, edge_vectors
from intertwine.geometry.quadruplets import meetings, quadruplets, reverse, within
from intertwine.models.gemnet import GemNet
from intertwine.nn import Backbone
from intertwine.nn.paths.spherical_bessel import spherical_bessel_zeros
from intertwine.numerics import GeometryError, InputError

SMALL = {
    "width": 6,
    "layers": 2,
    "cutoff": 2.5,
    "radial_size": 3,
    "degrees": 4,
    "torsion_degrees": 3,
    "triplet_width": 4,
}
SMALL |= {"quadruplet_width": 3, "basis_width": 3, "average_degree": 5.0}
ATOMS = {"species": (1, 6, 8)}


class Contract(ModelContract):
    """Without the isolated atom of the relative bounds: where there are no edges there is nothing, as in the paper."""

    def structures(self, model: Backbone) -> dict[str, Graph]:
        return {name: graph for name, graph in super().structures(model).items() if name != "isolated"}

    def any_dimension(self, model: Backbone) -> bool:
        return not model.vectors


class TestGemNetQ(Contract):
    """Quadruplets whose middle edge is longer than the others, and direct vectors."""

    @pytest.fixture
    def model(self) -> Backbone:
        return GemNet(**SMALL | ATOMS | {"layers": 1, "vectors": 2, "features": 4, "interaction_cutoff": 2.8}).double()


class TestGemNetT(Contract):
    """Triplets, with data of nodes and edges instead of species."""

    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        inputs = {"species": (), "node_inputs": ("charge", "speed"), "edge_inputs": ("charge_product",)}
        return GemNet(**SMALL | inputs, quadruplets=False).double()


def molecule(nodes: int, generator: torch.Generator, spread: float = 1.2) -> Graph:
    return Graph(
        spread * torch.randn(nodes, 3, generator=generator, dtype=torch.float64),
        z=[(1, 6, 8)[k % 3] for k in range(nodes)],
    )


def crystal(generator: torch.Generator) -> Graph:
    cell = 1.9 * torch.eye(3).double() + 0.2 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    return Graph(torch.rand(2, 3, generator=generator, dtype=torch.float64), z=[1, 6], cell=cell)


def ends(graph: Graph) -> list[tuple[int, int, tuple[int, ...]]]:
    """Of each edge the source, the destination and where the source's image is as seen from the destination."""
    return [(int(j), int(i), tuple(s)) for j, i, s in zip(*graph.edge_index, graph.shifts.tolist(), strict=True)]


def add(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("periodic", [False, True])
def test_paths_in_loops(periodic: bool, generator: torch.Generator) -> None:
    """All triplets, quadruplets and opposite edges; the middle edge of a quadruplet from another list."""
    graph = crystal(generator) if periodic else molecule(7, generator, 0.9)
    far = connect(graph, 2.4)
    near = within(far, 2.0)
    edges, middle = ends(near), ends(far)
    assert 0 < len(edges) < len(middle)
    triplets = [
        [e, f] for f, e in itertools.product(range(len(edges)), repeat=2) if e != f and edges[e][1] == edges[f][1]
    ]
    assert meetings(near).T.tolist() == triplets
    opposite = [edges.index((i, j, tuple(-s for s in shift))) for j, i, shift in edges]
    assert reverse(near).tolist() == opposite
    expected = set()
    for (x, (d, b1, s_db)), (y, (b, a, s_ba)), (k, (c, a1, s_ca)) in itertools.product(
        enumerate(edges), enumerate(middle), enumerate(edges)
    ):
        places = [(a, (0, 0, 0)), (b, s_ba), (c, s_ca), (d, add(s_db, s_ba))]  # images as seen from a
        if b1 == b and a1 == a and len(set(places)) == 4:
            expected.add((x, y, k))
    pairs, paths = quadruplets(near, far)
    found = [(*pairs[:, p].tolist(), k) for p, k in paths.T.tolist()]
    assert len(found) == len(expected) > 50
    assert set(found) == expected
    assert (paths[1].diff() >= 0).all()
    assert (pairs[1].diff() >= 0).all()


def test_paths_of_a_batch_and_of_few_atoms(generator: torch.Generator) -> None:
    """A batch has the paths of its graphs; three atoms or fewer have no quadruplet; edges without an opposite
    are told.
    """
    graphs = [connect(molecule(n, generator), 3.0) for n in (5, 0, 1, 2, 3, 6)]
    counts = [quadruplets(graph).paths.shape[1] for graph in graphs]
    assert counts[0] > 0
    assert counts[1:5] == [0, 0, 0, 0]
    assert quadruplets(collate(graphs)).paths.shape[1] == sum(counts)
    bare = Graph([[0.0], [1.0], [2.0]])
    for function in (quadruplets, meetings, reverse):
        with pytest.raises(GeometryError, match="edge_index"):
            function(bare)
    one_way = Graph([[0.0], [1.0], [2.0]], edge_index=[[0, 1, 2], [1, 2, 1]])
    assert reverse(one_way).tolist() == [3, 2, 1]
    oriented = molecule(4, generator).cast(torch.float32)
    oriented.edge_index = torch.tensor([[0, 1, 2, 3], [1, 2, 1, 1]])
    assert GemNet(**SMALL, **ATOMS)(oriented).isfinite().all()


def sigma(x: Tensor) -> Tensor:
    return math.sqrt(2) * x / (1 + torch.exp(-x))


def dense(layer, x: Tensor) -> Tensor:
    return sigma(layer.linear.weight @ x)


def residual(layers, x: Tensor) -> Tensor:
    for layer in layers:
        x = (x + dense(layer.layers[1], dense(layer.layers[0], x))) / math.sqrt(2)
    return x


class Naive:
    """The equations of the paper, one edge and one path at a time."""

    def __init__(self, model: GemNet, graph: Graph, far: Graph) -> None:
        self.model, self.basis, self.z = model, model.basis, graph.z
        self.edges, self.middle = ends(graph), ends(far)
        self.x, self.y = edge_vectors(graph), edge_vectors(far)
        self.waves = [self.radial(model.basis.waves, float(d)) for d in distances(self.x)]
        self.far = [self.radial(model.basis.far, float(d)) for d in distances(self.y)]

    def radial(self, module, d: float) -> np.ndarray:
        """(degrees, size), to the module's constants."""
        cutoff, size = module.envelope.cutoff, self.basis.triplet.shape[1]
        u, zeros = d / cutoff, spherical_bessel_zeros(module.degrees, size)
        inside = 1 - 28 * u**6 + 48 * u**7 - 21 * u**8 if u < 1 else 0.0
        rows = [
            [math.sqrt(2) / abs(spherical_jn(l + 1, z)) * spherical_jn(l, z * u) for z in zeros[l]]
            for l in range(module.degrees)
        ]
        return inside * np.array(rows) * module.scale.numpy().reshape(module.degrees, size)

    def cosine(self, x: Tensor, y: Tensor) -> float:
        return float(x @ y / x.norm() / y.norm())

    def angular(self, cosine: float, degrees: int) -> np.ndarray:
        return np.array([math.sqrt(2 * l + 1) * lpmv(0, l, cosine) for l in range(degrees)])

    def triplets(self, layer, m: list[Tensor]) -> list[Tensor]:
        sent = [
            dense(layer.down, dense(layer.sent, m[e]) * (layer.radial.linear.weight @ torch.tensor(w[0])))
            for e, w in enumerate(self.waves)
        ]
        found = []
        for ca, (c, a, s) in enumerate(self.edges):
            total = torch.zeros(layer.product.linear.in_features, dtype=torch.float64)
            for ba, (b, a1, s1) in enumerate(self.edges):
                if a1 == a and (b, s1) != (c, s):
                    values = self.angular(self.cosine(self.x[ba], self.x[ca]), len(self.basis.triplet))
                    e = torch.einsum(
                        "ln,l,lni->i", *map(torch.tensor, (self.waves[ca][: len(values)], values)), self.basis.triplet
                    )
                    total = total + torch.outer(e, sent[ba]).flatten()
            found.append(layer.scale * layer.product.linear.weight @ total)
        return self.both_ways(layer, found)

    def quadruplets(self, layer, m: list[Tensor]) -> list[Tensor]:
        sent = [
            dense(layer.down, dense(layer.sent, m[e]) * (layer.radial.linear.weight @ torch.tensor(w[0])))
            for e, w in enumerate(self.waves)
        ]
        found, degrees = [], self.basis.far.degrees
        for ca, (c, a, s_ca) in enumerate(self.edges):
            total = torch.zeros(layer.product.linear.in_features, dtype=torch.float64)
            for (ba, (b, a1, s_ba)), (db, (d, b1, s_db)) in itertools.product(
                enumerate(self.middle), enumerate(self.edges)
            ):
                places = [(a, (0, 0, 0)), (b, s_ba), (c, s_ca), (d, add(s_db, s_ba))]
                if a1 != a or b1 != b or len(set(places)) < 4:
                    continue
                bend = self.angular(-self.cosine(self.x[db], self.y[ba]), degrees)
                circular = self.basis.circular.linear.weight @ torch.tensor(self.far[ba] * bend[:, None]).flatten()
                u, v, w = (torch.nn.functional.normalize(x, dim=0) for x in (self.x[ca], self.x[db], self.y[ba]))
                functions = self.basis.torsions((u @ w)[None], (v @ w)[None], (u @ v)[None])[0]
                rows = torch.tensor(self.waves[ca])[[l for l, _ in self.basis.torsions.orders]]
                e = torch.einsum("sn,s,sni->i", rows, functions, self.basis.quadruplet)
                total = total + torch.outer(e, sent[db] * (layer.circular.linear.weight @ circular)).flatten()
            found.append(layer.scale * layer.product.linear.weight @ total)
        return self.both_ways(layer, found)

    def both_ways(self, layer, y: list[Tensor]) -> list[Tensor]:
        opposite = [self.edges.index((a, c, tuple(-k for k in s))) for c, a, s in self.edges]
        return [(dense(layer.up, y[e]) + dense(layer.back, y[o])) / math.sqrt(2) for e, o in enumerate(opposite)]

    def atoms(self, block, m: list[Tensor]) -> list[Tensor]:
        sums = [torch.zeros_like(m[0]) for _ in self.z]
        for e, (_, a, _) in enumerate(self.edges):
            sums[a] = sums[a] + block.scale * (block.radial.linear.weight @ torch.tensor(self.waves[e][0])) * m[e]
        return [residual(block.hidden[1:], dense(block.hidden[0], x)) for x in sums]

    def concat(self, linear, h: list[Tensor], c: int, a: int, x: Tensor) -> Tensor:
        y = linear.received.weight @ h[a] + linear.sent.weight @ h[c] + linear.attributes.weight @ x
        return y if linear.attributes.bias is None else y + linear.attributes.bias

    def features(self) -> Tensor:
        model, edges = self.model, self.edges
        h = [model.embedding.species.weight[model.embedding.table.known.index(int(z))] for z in self.z]
        m = [
            sigma(self.concat(model.first, h, c, a, torch.tensor(self.waves[e][0])))
            for e, (c, a, _) in enumerate(edges)
        ]
        outputs = [self.atoms(model.outputs[0], m)]
        for layer, output in zip(model.layers, model.outputs[1:], strict=True):
            t, q = self.triplets(layer.triplets, m), self.quadruplets(layer.quadruplets, m)
            x = [(dense(layer.own, m[e]) + t[e] + q[e]) / math.sqrt(3) for e in range(len(m))]
            m = [residual(layer.after, (m[e] + residual(layer.before, x[e])) / math.sqrt(2)) for e in range(len(m))]
            h = [(old + new) / math.sqrt(2) for old, new in zip(h, self.atoms(layer.atom, m), strict=True)]
            new = [
                residual(layer.edge, sigma(self.concat(layer.concat, h, c, a, m[e])))
                for e, (c, a, _) in enumerate(edges)
            ]
            m = [(x + y) / math.sqrt(2) for x, y in zip(m, new, strict=True)]
            outputs.append(self.atoms(output, m))
        blocks = [torch.stack(x) @ block.out.linear.weight.T for x, block in zip(outputs, model.outputs, strict=True)]
        return sum(blocks) / math.sqrt(len(blocks))


@pytest.mark.parametrize("periodic", [False, True])
def test_against_the_equations(periodic: bool, generator: torch.Generator) -> None:
    model = GemNet(
        **SMALL | {"cutoff": 2.0, "interaction_cutoff": 2.3, "layers": 1 if periodic else 2}, **ATOMS
    ).double()
    far = connect(crystal(generator) if periodic else molecule(5, generator, spread=0.9), 2.3)
    with torch.no_grad():
        expected, found = Naive(model, within(far, 2.0), far).features(), model(far)
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-12


def chain(torsion: float) -> Graph:
    """Four atoms, bonds of 1 A, right angles: neighbours but one are out of a cutoff of 1.4 A."""
    turn = math.radians(torsion)
    return Graph([[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [math.cos(turn), math.sin(turn), 1]], z=[1, 8, 8, 1])


def test_torsions_are_seen_with_quadruplets_alone() -> None:
    """Bonds and angles of the two chains agree, torsions do not: T is blind, Q sees it. Neither sees the sign of a
    torsion.
    """
    options = SMALL | ATOMS | {"cutoff": 1.4}
    for blind in (True, False):
        model = GemNet(**options, quadruplets=not blind).double()
        assert model.card.geometry == ("angle" if blind else "torsion")
        first, second, mirrored = (model(chain(torsion)) for torsion in (60, 100, -60))
        difference = (first - second).abs().max() / first.abs().max()
        assert difference < 1e-13 if blind else difference > 1e-6, difference
        torch.testing.assert_close(mirrored, first, rtol=0, atol=1e-13)


def test_collinear_atoms_have_the_derivatives_of_their_neighbourhood() -> None:
    """On a line there is no torsion, and nothing happens: forces are the limit of forces nearby, second derivatives
    exist.
    """
    model = GemNet(**SMALL, **ATOMS).double()
    values = []
    for bend in (0.0, 1e-7):
        pos = torch.tensor(
            [[0.0, 0, 0], [1, bend, 0], [2, 0, 0], [3, 0, bend]], dtype=torch.float64, requires_grad=True
        )
        (force,) = torch.autograd.grad(model(Graph(pos, z=[1, 6, 8, 1])).square().sum(), pos, create_graph=True)
        (second,) = torch.autograd.grad(force.square().sum(), pos)
        values.append((force.detach(), second))
    for on, off in zip(*values, strict=True):
        assert (on - off).abs().max() < 1e-5 * on.abs().max()


def test_fewer_than_three_neighbours(generator: torch.Generator) -> None:
    """Without torsions the quadruplets' term is zero: a graph of three atoms in a batch, alone, and with a term that no
    path can enter.
    """
    model = GemNet(**SMALL, **ATOMS).double()
    three, many = molecule(3, generator, 0.5), molecule(6, generator, 0.8)
    alone = model(three)
    torch.testing.assert_close(model(collate([three, many]))[:3], alone, rtol=0, atol=1e-13)
    with torch.no_grad():
        model.basis.quadruplet.normal_()
        model.basis.circular.linear.weight.normal_()
    torch.testing.assert_close(model(three), alone, rtol=0, atol=0)


def test_activations_keep_their_size(generator: torch.Generator) -> None:
    """Deep networks neither blow up nor die, at few and at many neighbours."""
    for nodes, spread in ((9, 1.2), (24, 1.8)):
        graph = connect(molecule(nodes, generator, spread), 5.0).cast(torch.float32)
        for quads in (True, False):
            model = GemNet(layers=4, quadruplets=quads, average_degree=graph.num_edges / nodes, **ATOMS)
            assert 0.001 < model(graph).square().mean() < 1


def test_presets_and_arguments() -> None:
    for options in GemNet.PRESETS.values():
        model = GemNet(**options | {"cutoff": 3.0})
        assert model(chain(60).cast(torch.float32)).isfinite().all()
    for name in ("degrees", "torsion_degrees", "triplet_width", "quadruplet_width", "basis_width", "features"):
        with pytest.raises(InputError, match=name):
            GemNet(**{name: 0})
    with pytest.raises(InputError, match="average_degree"):
        GemNet(average_degree=0.0)
