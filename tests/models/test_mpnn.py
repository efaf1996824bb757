"""MPNN: the contract where it sees distances and where it sees no positions, its parts at torch's and PyG's weights,
the karate club.
"""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as pyg
from contract import ModelContract
from torch import nn

from intertwine.certify import certify
from intertwine.geometry import Graph, collate, permute
from intertwine.models.mpnn import MPNN
from intertwine.nn import Backbone
from intertwine.nn.recurrent import GRUCell, LSTMCell
from intertwine.nn.set2set import Set2Set, SetHead
from intertwine.numerics import GeometryError, InputError

SMALL = {"width": 6, "layers": 2, "edge_width": 5, "species": (1, 6, 8)}
EDGES = [[0, 1, 0, 2, 3, 3], [1, 0, 2, 0, 0, 2]]


class TestMPNNWithDistances(ModelContract):
    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return MPNN(**SMALL, cutoff=2.5, radial_size=4).double()

    def any_dimension(self, model: Backbone) -> bool:
        return True


class TestMPNNOfTowers(TestMPNNWithDistances):
    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return MPNN(**SMALL, cutoff=2.5, radial_size=4, towers=3, edge_layers=3).double()


class TestMPNNWithoutPositions(ModelContract):
    """Atoms with positions that it does not look at, all pairs connected."""

    fields, species, variable = ("charge",), (1, 6, 8), "charge"

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return MPNN(**SMALL, node_inputs=("charge",), edge_inputs=("charge_product",)).double()

    def any_dimension(self, model: Backbone) -> bool:
        return True


def bonded(**fields) -> Graph:
    bonds = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Graph.abstract(z=[6, 8, 1, 1], edge_index=EDGES, edge_attr=bonds, **fields)


def of_bonds(**options) -> MPNN:
    torch.manual_seed(0)
    return MPNN(**SMALL, edge_inputs={"edge_attr": 3}, **options).double()


def test_messages_are_those_of_pyg() -> None:
    """At the same weights: NNConv (a matrix for every edge), then torch's GRU."""
    model, graph = of_bonds(), bonded()
    functions, width = SMALL["edge_width"], SMALL["width"]
    last = nn.Linear(functions, width * width).double()
    H = model.layer.convolution.mix.weight.detach().unflatten(1, (functions + 1, width))  # (out, m, in)
    by_input = H.permute(2, 0, 1).reshape(width * width, functions + 1)  # NNConv's matrices are (in, out)
    network = nn.Sequential(model.network.layers[0], nn.SiLU(), model.network.layers[1], nn.SiLU(), last)
    convolution = pyg.NNConv(width, width, network, aggr="add", root_weight=False, bias=False)  # draws the weights anew
    last.weight.data, last.bias.data = by_input[:, :-1].clone(), by_input[:, -1].clone()
    gru = nn.GRUCell(width, width).double()
    gru.load_state_dict(model.layer.gru.state_dict())
    h = model.embedding(graph)
    for _ in range(model.steps):
        h = gru(convolution(h, graph.edge_index, graph.edge_attr), h)
    torch.testing.assert_close(model(graph), h, rtol=0, atol=1e-13)


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    return 1 / (1 + torch.exp(-x))


@pytest.mark.parametrize("towers", [2, 3, 6])
def test_towers_in_loops(towers: int) -> None:
    """Section 5.4: each part with its matrix of every edge and its GRU, then g of the concatenation; one edge and one
    node at a time."""
    model, graph = of_bonds(towers=towers, edge_layers=1 + towers // 2), bonded()
    part, h = SMALL["width"] // towers, model.embedding(graph)
    for _ in range(model.steps):
        temporary = torch.zeros_like(h)
        for c, tower in enumerate(model.layer.towers):
            own = slice(c * part, (c + 1) * part)
            H = tower.convolution.mix.weight.unflatten(1, (-1, part))
            sums = torch.zeros(h.shape[0], part, dtype=torch.float64)
            for edge, (j, i) in enumerate(zip(*EDGES)):
                phi = graph.edge_attr[edge]
                for layer in model.network.layers:
                    phi = layer.weight @ phi + layer.bias
                    phi = phi * sigmoid(phi)
                matrix = torch.einsum("omi,m->oi", H, torch.cat([phi, torch.ones(1).double()]))
                sums[i] = sums[i] + matrix @ h[j, own]
            gru = tower.gru
            for i in range(h.shape[0]):
                a = (gru.weight_ih @ sums[i] + gru.bias_ih).view(3, part)
                b = (gru.weight_hh @ h[i, own] + gru.bias_hh).view(3, part)
                z = sigmoid(a[1] + b[1])
                temporary[i, own] = (1 - z) * torch.tanh(a[2] + sigmoid(a[0] + b[0]) * b[2]) + z * h[i, own]
        first, second = model.layer.mix.layers
        inner = temporary @ first.weight.T + first.bias
        h = (inner * sigmoid(inner)) @ second.weight.T + second.bias
    torch.testing.assert_close(model(graph), h, rtol=0, atol=1e-13)
    with pytest.raises(InputError, match="towers"):
        MPNN(width=6 * towers + 1, towers=towers)


def test_set2set_is_that_of_pyg() -> None:
    torch.manual_seed(0)
    ours, theirs = Set2Set(5, steps=4).double(), pyg.Set2Set(5, processing_steps=4).double()
    for name, value in theirs.lstm.named_parameters():
        getattr(ours.lstm, name.removesuffix("_l0")).data = value.data
    batch = collate([Graph.abstract(nodes=n) for n in (3, 1, 4)]).double()
    f = torch.randn(8, 5, dtype=torch.float64)
    torch.testing.assert_close(ours(f, batch), theirs(f, batch.batch), rtol=0, atol=1e-14)
    order = torch.randperm(8)
    torch.testing.assert_close(ours(f[order], permute(order, batch)), ours(f, batch), rtol=0, atol=1e-14)
    assert ours(f[:0], Graph.abstract(nodes=0)).isfinite().all()
    with pytest.raises(InputError, match="steps"):
        Set2Set(5, steps=0)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_recurrent_cells_are_those_of_torch(kind: str) -> None:
    torch.manual_seed(0)
    x, h, c = torch.randn(4, 3).double(), torch.randn(4, 5).double(), torch.randn(4, 5).double()
    ours, theirs = {"gru": (GRUCell, nn.GRUCell), "lstm": (LSTMCell, nn.LSTMCell)}[kind]
    ours, theirs, state = ours(3, 5).double(), theirs(3, 5).double(), h if kind == "gru" else (h, c)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x, state), theirs(x, state), rtol=0, atol=1e-14)
    assert torch.autograd.gradgradcheck(lambda x: ours(x, state), x[:1].repeat(4, 1).requires_grad_())


def test_a_molecule_without_coordinates() -> None:
    """Bonds only: certified, one by one as in a batch, and one number for the whole by set2set."""
    model = of_bonds()
    graphs = [bonded(), bonded(), Graph.abstract(z=[1], edge_index=[[], []], edge_attr=torch.zeros(0, 3).double())]
    head = SetHead(model.irreps_out, 2).double()
    singles = torch.cat([head(model(graph), graph) for graph in graphs])
    batch = collate(graphs)
    torch.testing.assert_close(head(model(batch), batch), singles, rtol=0, atol=1e-13)
    certificate = certify(model, graphs[:2], symmetry=model.card.symmetry, quick=True)
    assert certificate.passed, certificate.summary()


def test_edges_are_what_it_knows() -> None:
    """Two isomers of one composition differ by their bonds; positions, where there are any, say nothing."""
    torch.manual_seed(0)
    model, z = MPNN(**SMALL).double(), [6, 6, 8, 1]
    chain, star = ([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]], [[0, 1, 0, 2, 0, 3], [1, 0, 2, 0, 3, 0]])
    total = [model(Graph.abstract(z=z, edge_index=e).double()).sum(0) for e in (chain, star)]
    assert (total[0] - total[1]).abs().max() > 1e-4
    placed = Graph(torch.randn(4, 3).double(), z=z, edge_index=chain)
    assert torch.equal(model(placed).sum(0), total[0])


def test_the_karate_club_is_divided() -> None:
    """Which of four groups does a member join, if we know of one member of each, and who is friends with whom?"""
    from torch_geometric.datasets import KarateClub

    club = KarateClub()[0]
    graph = Graph.abstract(x=club.x, edge_index=club.edge_index)
    torch.manual_seed(0)
    model = MPNN(width=16, layers=2, species=(), node_inputs={"x": 34})
    network = nn.Sequential(model, nn.Linear(16, 4))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(graph)[club.train_mask], club.y[club.train_mask]).backward()
        optimizer.step()
    right = (network(graph).argmax(1) == club.y)[~club.train_mask]
    assert right.double().mean() > 0.45  # measured 0.50 with this seed; the largest group alone is 0.40 of the others


def test_what_is_asked_for_wrongly_is_named() -> None:
    with pytest.raises(GeometryError, match=r"edge_attr: 3 columns(.|\n)*edge_inputs = {'edge_attr': 3}"):
        MPNN(edge_inputs=("edge_attr",))(bonded().cast(torch.float32))
    with pytest.raises(GeometryError, match="has no positions"):
        MPNN(cutoff=3.0)(bonded().cast(torch.float32))
    with pytest.raises(GeometryError, match="edge_attr"):
        MPNN(edge_inputs={"edge_attr": 3})(Graph.abstract(z=[1, 6], edge_index=[[0], [1]]))
    with pytest.raises(GeometryError, match="how many nodes"):
        Graph.abstract(edge_index=[[0], [1]])
    with pytest.raises(GeometryError, match="z: shape"):
        Graph.abstract(z=[1, 6], nodes=3)
    with pytest.raises(InputError, match="layers"):
        MPNN(layers=0)
