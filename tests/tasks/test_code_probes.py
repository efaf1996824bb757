"""Uses of codes: probes are least squares, neighbours are the nearest, a turned and permuted molecule is found."""

from __future__ import annotations

import pytest
import torch

from intertwine.geometry import Graph, act, permute
from intertwine.groups import Isometry
from intertwine.models import PaiNN
from intertwine.numerics import InputError
from intertwine.tasks import PointAutoencoder
from intertwine.tasks.code_alignment import aligned
from intertwine.tasks.code_probes import between, encoded, linear_probe, nearest, neighbour_means


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def molecules(count: int = 4, atoms: int = 5) -> list[Graph]:
    kinds = torch.tensor([1, 6, 8])
    return [
        Graph(draw(atoms, 3, seed=k), z=kinds[torch.arange(atoms) % 3 if k % 2 else torch.arange(atoms) // 2])
        for k in range(count)
    ]


def make() -> PointAutoencoder:
    torch.manual_seed(0)
    model = PaiNN(width=8, layers=2, species=[1, 6, 8])
    return PointAutoencoder(model, code=6, most=7, channels=6, hidden=16).double().eval()


def test_a_linear_map_is_found_and_noise_is_not() -> None:
    z, asked, map_ = draw(200, 4), draw(50, 4, seed=1), draw(4, 2, seed=2)
    z, asked = (torch.cat([each, torch.full((len(each), 1), 3.0)], dim=1) for each in (z, asked))  # a constant column
    y = z[:, :4] @ map_ + 5.0
    torch.testing.assert_close(linear_probe(z, y, asked), asked[:, :4] @ map_ + 5.0, rtol=0, atol=1e-4)
    noise = draw(200, seed=3)
    assert float(linear_probe(z, noise, asked).std()) < 0.5 * float(noise.std())
    with pytest.raises(InputError, match="3 codes to learn from"):
        linear_probe(z[:3], y[:3], asked)


def test_neighbours_are_the_nearest() -> None:
    codes, values = torch.tensor([[0.0], [0.1], [1.0], [1.1]]), torch.tensor([1.0, 3.0, 10.0, 20.0])
    assert nearest(codes, torch.tensor([[0.02], [1.09]]), 2).tolist() == [[0, 1], [3, 2]]
    assert neighbour_means(codes, values, torch.tensor([[0.0], [2.0]]), 2).tolist() == [2.0, 15.0]
    assert nearest(codes, torch.tensor([[5.0]]), 9).shape == (1, 4)


def test_a_turned_and_permuted_molecule_is_found_and_laid_on_its_original() -> None:
    task, graphs = make(), molecules()
    g = Isometry.random(3, generator=torch.Generator().manual_seed(1), shift=3.0)
    order = torch.tensor([3, 1, 4, 0, 2])
    moved = [permute(order, act(g, graph)) for graph in graphs]
    codes = encoded(task, graphs, at_once=3)
    assert nearest(codes, encoded(task, moved)).flatten().tolist() == [0, 1, 2, 3]
    laid = aligned(task, graphs[0], moved[0])
    torch.testing.assert_close(laid.rotation, g.rotation, rtol=0, atol=1e-8)
    assert max(laid.reached, laid.best, laid.same_order or 0.0) < 1e-8
    assert laid.partner is not None
    assert torch.equal(order[laid.partner], torch.arange(5))
    assert laid.change < 1e-10
    assert laid.open == ("", "")
    with pytest.raises(InputError, match="not of the same species"):
        aligned(task, graphs[0], graphs[0].replaced(z=torch.tensor([1, 1, 1, 6, 8])))


def test_between_two_codes_lie_molecules() -> None:
    task, graphs = make(), molecules(2)
    path = between(task, graphs[0], graphs[1], 5)
    assert len(path) == 5
    ends = task.decoded(encoded(task, graphs))
    for made, end in ((path[0], ends[0]), (path[-1], ends[1])):
        torch.testing.assert_close(made.pos, end.pos)
        assert torch.equal(made.z, end.z)
    assert all(1 <= graph.num_nodes <= 7 and set(graph.z.tolist()) <= {1, 6, 8} for graph in path)
    with pytest.raises(InputError, match="1 steps"):
        between(task, graphs[0], graphs[1], 1)
