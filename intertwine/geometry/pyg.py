"""PyG's graphs and batches, without the rest of PyG: its ``__init__`` imports every layer, data set and language model
that it has, with pandas and torch's compiler, which takes longer than all of torch.
"""

from __future__ import annotations

from intertwine.numerics.deferred import deferred

PARTS = ("datasets", "explain", "nn", "profile", "transforms")

with deferred("numba", "torch._dynamo", *(f"torch_geometric.{part}" for part in PARTS)):
    from torch_geometric.data import Batch, Data
    from torch_geometric.data.storage import GlobalStorage

__all__ = ["Batch", "Data", "GlobalStorage"]
