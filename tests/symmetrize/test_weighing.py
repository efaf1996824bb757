"""Sums over copies in one pass: values and derivatives of two orders, and what is lost where copies have much in
common.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from intertwine.geometry import Graph, collate
from intertwine.geometry.plain import plain
from intertwine.groups import Cartesian
from intertwine.symmetrize import FrameAverage, weighing
from intertwine.symmetrize.weighing import weighted_sum

F64 = torch.float64


@pytest.fixture(params=[False, True], ids=["at once", "one after the other"])
def many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param:
        monkeypatch.setattr(weighing, "MANY", 0)
    return request.param


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_sums_and_their_derivatives(shape: tuple[int, ...], many: bool, generator: torch.Generator) -> None:
    value = torch.randn(3, 5, *shape, generator=generator, dtype=F64, requires_grad=True)
    logits = torch.randn(3, 5, generator=generator, dtype=F64, requires_grad=True)

    def mean(value: Tensor, logits: Tensor) -> Tensor:
        return weighted_sum(value, logits.softmax(0))

    expected = torch.einsum("kr,kr...->r...", logits.softmax(0), value)
    assert torch.allclose(mean(value, logits), expected, rtol=0, atol=1e-14)
    with torch.no_grad():
        assert torch.allclose(mean(value, logits), expected, rtol=0, atol=1e-14)
    assert torch.autograd.gradcheck(mean, (value, logits))
    assert torch.autograd.gradgradcheck(mean, (value, logits))
    part = (value[:2], logits[:2])  # whose weights do not add up to 1
    assert torch.autograd.gradcheck(lambda x, w: weighted_sum(x, w, whole=False), part)
    assert torch.autograd.gradgradcheck(lambda x, w: weighted_sum(x, w, whole=False), part)


def test_what_copies_have_in_common_costs_no_digits_of_derivatives(many: bool, generator: torch.Generator) -> None:
    value = (torch.randn(8, 5, 1024, generator=generator, dtype=F64) * 64).round() / 64  # in float32 with 1024 more
    logits = torch.randn(8, 5, generator=generator, dtype=F64)

    def slope(value: Tensor, whole: bool = True) -> Tensor:
        at = logits.to(value).requires_grad_()
        return torch.autograd.grad(weighted_sum(value, at.softmax(0), whole).sum(), at)[0]

    exact = slope(value)
    scale = float(exact.abs().max())
    assert float((slope((value + 1024).float()) - exact).abs().max()) < 1e-5 * scale
    assert float((slope((value + 1024).float(), whole=False) - exact).abs().max()) > 1e-5 * scale


@pytest.mark.parametrize("frames", ["pca", "weighted"])
@pytest.mark.parametrize("level", ["node", "graph", "edge"])
def test_rows_of_graphs_of_any_sizes(frames: str, level: str, generator: torch.Generator) -> None:
    """A batch gives what its graphs give alone: of one size, of several, mixed; invariants and vectors."""

    def network(graph: Graph) -> dict[str, Tensor]:
        x = (graph.pos - 0.3).sin()
        if level == "edge":
            x = x.index_select(0, graph.edge_index[0]) * x.index_select(0, graph.edge_index[1])
        if level == "graph":
            x = x.new_zeros(graph.graphs, 3).index_add(0, graph.membership(), x)
        return {"scalar": x.prod(1), "vector": x}

    def graph(n: int) -> Graph:
        ring = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
        return Graph(torch.randn(n, 3, generator=generator, dtype=F64), edge_index=torch.cat([ring, ring.flip(0)], 1))

    mean = FrameAverage(network, frames, {"scalar": None, "vector": Cartesian(1)})
    for sizes in ((4, 4, 4), (4, 6, 3)):
        graphs = [graph(n) for n in sizes]
        batch = collate(graphs)
        together, alone = mean(batch), [mean(each) for each in graphs]
        for name, value in together.items():
            assert torch.allclose(value, torch.cat([each[name] for each in alone]), rtol=0, atol=1e-12)
        spread = mean.spread(batch)
        assert torch.allclose(spread["vector"].mean, together["vector"], rtol=0, atol=1e-12)
        order = torch.randperm(len(batch.pos), generator=generator)
        place = torch.empty_like(order).index_copy(0, order, torch.arange(len(order)))
        mixed = batch.replaced(pos=batch.pos[order], batch=batch.batch[order], edge_index=place[batch.edge_index])
        again, moved = mean(mixed), order if level == "node" else slice(None)
        for name, value in together.items():
            assert torch.allclose(again[name], value[moved], rtol=0, atol=1e-12)


@pytest.mark.parametrize("frames", ["pca", "weighted"])
def test_other_points_of_the_nodes_move_with_their_positions(frames: str, generator: torch.Generator) -> None:
    """The backbone of residues, say: far from the origin, in both precisions."""
    pos = torch.randn(5, 3, generator=generator, dtype=F64)
    backbone = pos.unsqueeze(1) + torch.randn(5, 3, 3, generator=generator, dtype=F64)
    mean = FrameAverage(lambda graph: (graph.backbone[:, 0] - graph.pos / 2).cos().sum(-1), frames)
    here = mean(Graph(pos, backbone=backbone))
    far = mean(Graph(pos + 1000.0, backbone=backbone + 1000.0))
    assert torch.allclose(here, far, rtol=0, atol=1e-11)
    single = mean(Graph((pos + 8.0).float(), backbone=(backbone + 8.0).float()))
    assert torch.allclose(here, single.double(), rtol=0, atol=1e-4)


def test_a_graph_that_says_how_many_nodes_each_has(generator: torch.Generator) -> None:
    graphs = [Graph(torch.randn(n, 3, generator=generator)) for n in (4, 4, 2)]
    even, uneven = collate(graphs[:2]), collate(graphs)
    assert (even.nodes_each(), uneven.nodes_each(), graphs[2].nodes_each()) == (4, 0, 2)
    kept = plain(even)
    assert kept.nodes_each() == kept.replaced(pos=2 * kept.pos).nodes_each() == 4
    assert kept.replaced(batch=kept.batch.flip(0)).nodes_each() == 0
