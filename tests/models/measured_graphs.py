"""Small graphs that the columns of the map are measured on."""

from __future__ import annotations

import torch
from torch import Tensor

from intertwine.geometry import Graph

CARBON, OXYGEN = 6, 8


def star(leaves: Tensor, kind: int | list[int] = CARBON, dimension: int = 3) -> Graph:
    """A centre at the origin, node 0, joined to nodes (n, 3) in both directions."""
    n = len(leaves)
    edges = torch.tensor([[0] * n, list(range(1, n + 1))])
    z = [CARBON, *([kind] * n if isinstance(kind, int) else kind)]
    pos = torch.cat([leaves.new_zeros(1, dimension), leaves])
    return Graph(pos, z=z, edge_index=torch.cat([edges, edges.flip(0)], dim=1))


def path(points: list[tuple[float, float, float]]) -> Graph:
    """Nodes joined to the one before and the one behind."""
    n = len(points)
    edges = torch.stack([torch.arange(n - 1), torch.arange(1, n)])
    pos = torch.tensor(points, dtype=torch.float64)
    return Graph(pos, z=[CARBON] * n, edge_index=torch.cat([edges, edges.flip(0)], dim=1))


def with_vectors(graph: Graph) -> Graph:
    """With a vector ``u`` of each node, zero."""
    return Graph.from_dict(graph.to_dict() | {"u": torch.zeros_like(graph.pos), "representations": {"u": "1o"}})


def around(n: int, seed: int = 0, dimension: int = 3) -> Tensor:
    """Points (n, dimension) at 1.2 to 2.2 A from the origin."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(n, dimension, generator=generator, dtype=torch.float64)
    lengths = 1.2 + torch.rand(n, 1, generator=generator, dtype=torch.float64)
    return directions / directions.norm(dim=1, keepdim=True) * lengths
