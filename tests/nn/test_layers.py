"""MLP, embeddings, heads and the core of message passing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from intertwine.geometry import Graph, collate, connect
from intertwine.groups import Cartesian, DirectSum, Isometry
from intertwine.nn import (
    MLP,
    EdgeEmbedding,
    MessagePassing,
    NodeEmbedding,
    ScalarHead,
    SpeciesTable,
    VectorHead,
    pool,
    shifted_softplus,
)
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.o3 import Irreps


@pytest.mark.parametrize("last", [False, True])
def test_mlp_is_its_formula(last: bool, generator: torch.Generator) -> None:
    net, x = MLP([3, 5, 2], torch.tanh, last=last), torch.randn(4, 3, generator=generator)
    a, b = net.layers
    expected = torch.tanh(x @ a.weight.T + a.bias) @ b.weight.T + b.bias
    torch.testing.assert_close(net(x), torch.tanh(expected) if last else expected)
    assert not a.bias.any()
    assert net(torch.zeros(0, 3)).shape == (0, 2)
    assert net(torch.zeros(2, 7, 3)).shape == (2, 7, 2)


def test_shifted_softplus() -> None:
    x = torch.tensor([-800.0, -1.0, 0.0, 2.0, 800.0], dtype=torch.float64)
    expected = [
        -math.log(2),
        math.log(0.5 * math.exp(-1) + 0.5),
        0.0,
        math.log(0.5 * math.exp(2) + 0.5),
        800 - math.log(2),
    ]
    torch.testing.assert_close(
        shifted_softplus(x), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-15 * 800
    )


def test_species_table() -> None:
    assert SpeciesTable([8, 1, 6, 1])(torch.tensor([1, 8, 6])).tolist() == [0, 2, 1]
    assert SpeciesTable(None)(torch.tensor([1, 118])).tolist() == [0, 117]
    for z, listed in ([7, 1], r"\[7\]"), ([0, 1], r"\[0\]"), ([-1, 200], r"\[-1, 200\]"):
        with pytest.raises(DataError, match=rf"z: unknown species: atomic numbers {listed}; the model knows \[1, 6\]"):
            SpeciesTable([1, 6])(torch.tensor(z))
    with pytest.raises(InputError, match="species"):
        SpeciesTable([119])


def test_node_embedding(generator: torch.Generator) -> None:
    graph = Graph(torch.randn(3, 3, generator=generator), z=[1, 6, 1], charge=[1.0, 2.0, 3.0], x=torch.ones(3, 2))
    both = NodeEmbedding(4, (1, 6), ("charge",))
    expected = both.species.weight[[0, 1, 0]] + graph.charge.float()[:, None] @ both.linear.weight.T + both.linear.bias
    torch.testing.assert_close(both(graph), expected)
    assert NodeEmbedding(4, (), {"x": 2, "charge": 1})(graph).shape == (3, 4)
    assert NodeEmbedding(4, (), ("charge",)).species is None
    bare = NodeEmbedding(4, ())  # of a cloud of points: all nodes begin alike, with what is learned
    torch.testing.assert_close(bare(Graph(graph.pos)), bare.constant.expand(3, 4), rtol=0, atol=0)
    assert len(list(bare.parameters())) == 1
    with pytest.raises(GeometryError, match="z: the graph has no atomic numbers"):
        NodeEmbedding(4)(Graph(torch.zeros(1, 3)))


def test_edge_embedding(generator: torch.Generator) -> None:
    graph = connect(Graph(torch.randn(4, 3, generator=generator), charge=[1.0, -1.0, 2.0, 1.0]), 3.0)
    embed = EdgeEmbedding(3.0, 6, "bessel", "polynomial", ("charge_product",))
    edges = embed(graph)
    assert embed.width == 7
    assert edges.attributes.shape == (graph.num_edges, 7)
    torch.testing.assert_close(edges.distances[:, None] * edges.directions, edges.vectors)
    torch.testing.assert_close(edges.envelope[:, 0], embed.envelope(edges.distances))
    assert torch.equal(edges.attributes[:, 6], graph.charge.float()[graph.edge_index].prod(0))


@pytest.mark.parametrize("how", ["sum", "mean", "max"])
def test_pool(how: str, generator: torch.Generator) -> None:
    graphs = [Graph(torch.randn(n, 3, generator=generator)) for n in (2, 0, 3)]
    x = torch.randn(5, 4, generator=generator)
    rows = [x[:2], x[:0], x[2:]]
    reduced = {"sum": lambda r: r.sum(0), "mean": lambda r: r.mean(0), "max": lambda r: r.amax(0)}[how]
    expected = torch.stack([reduced(r) if len(r) else torch.zeros(4) for r in rows])
    torch.testing.assert_close(pool(x, collate(graphs), how), expected)
    with pytest.raises(InputError, match="unknown readout 'median'"):
        pool(x, collate(graphs), "median")


@pytest.mark.parametrize("irreps", ["8x0e+4x1o", "4x1o+8x0e+1x2e", "1x1o+3x0e", "2x1o", "3x0e+2x1o+1x1o"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_vector_head_is_equivariant(irreps: str, outputs: int, generator: torch.Generator) -> None:
    representation, head = Irreps(irreps), VectorHead(Irreps(irreps), outputs).double()
    f = torch.randn(6, representation.dim, generator=generator, dtype=torch.float64)
    for improper in (False, True):
        q = Isometry.random(generator=generator, improper=improper).rotation
        torch.testing.assert_close(head(representation.transform(q, f)), head(f) @ q.T, rtol=0, atol=1e-13)
    assert head(f).shape == (6, outputs, 3)
    assert head(f[:0]).shape == (0, outputs, 3)
    assert not head(torch.zeros_like(f)).any()


def test_vector_head_takes_a_single_vector_at_its_word(generator: torch.Generator) -> None:
    f = torch.randn(5, 7, generator=generator)
    assert torch.equal(VectorHead(Irreps("4x0e+1o"))(f), f[:, None, 4:])
    assert not list(VectorHead(Irreps("4x0e+1o")).parameters())


def test_scalar_head_is_invariant(generator: torch.Generator) -> None:
    irreps = Irreps("8x0e+4x1o")
    head, f = ScalarHead(irreps, 2).double(), torch.randn(6, irreps.dim, generator=generator, dtype=torch.float64)
    q = Isometry.random(generator=generator, improper=True).rotation
    torch.testing.assert_close(head(irreps.transform(q, f)), head(f), rtol=0, atol=1e-14)
    assert head(f).shape == (6, 2)
    assert head(f[:0]).shape == (0, 2)


def test_heads_name_the_irreps_that_are_missing() -> None:
    with pytest.raises(InputError, match="a vector target needs 1o features; the model gives 8x0e"):
        VectorHead(Irreps("8x0e"))
    with pytest.raises(InputError, match="needs 1o"):
        VectorHead(Irreps("8x0e+2x1e"))
    with pytest.raises(InputError, match="a scalar target needs 0e"):
        ScalarHead(Irreps("8x1o"))
    with pytest.raises(InputError, match="needs 1o"):
        VectorHead(DirectSum(((1, Cartesian(1, dimension=2)),)))


class Pairs(MessagePassing):
    """A layer that shows what it is given: m_ij = f_i + 10 f_j + 100 a_ij, f' = (f, sum m)."""

    def message(self, f_i, f_j, a_ij):
        return f_i + 10 * f_j + 100 * a_ij

    def update(self, f_i, m_i):
        return f_i, m_i


class Tuples(MessagePassing):
    """Tuples in tuples, and None for what is not looked at."""

    def prepare(self, f):
        return None, (f[0], (f[1], None))

    def message(self, f_i, f_j, a_ij):
        assert f_i is None
        assert f_j[1][1] is None
        return f_j[0], (f_j[1][0] * a_ij, None)

    def update(self, f_i, m_i):
        return m_i


def test_message_passing_gathers_from_sources_and_sums_at_destinations() -> None:
    f, a = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0])
    edge_index = torch.tensor([[0, 2, 0], [1, 1, 2]])  # 0 -> 1, 2 -> 1, 0 -> 2
    _, m = Pairs()(f, a, edge_index)
    assert m.tolist() == [0.0, (2 + 10 + 100) + (2 + 30 + 200), 3 + 10 + 300]


def test_message_passing_with_tuples_and_none() -> None:
    s, v = torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    m_s, (m_v, nothing) = Tuples()((s, v), torch.tensor([[2.0]]), torch.tensor([[1], [0]]))
    assert m_s.tolist() == [2.0, 0.0]
    assert m_v.tolist() == [[6.0, 8.0], [0.0, 0.0]]
    assert nothing is None


def test_unfinished_layers_say_so() -> None:
    with pytest.raises(TypeError, match=r"MessagePassing with.*message.*update"):
        MessagePassing()
    assert issubclass(MessagePassing, nn.Module)
