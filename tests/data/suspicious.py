"""Data that are changed to be suspicious, and what is said of them."""

from __future__ import annotations

import torch

from intertwine.data import GraphStore, ethanol
from intertwine.data.suspicion import suspicions


def changed(store: GraphStore, **fields: torch.Tensor) -> GraphStore:
    """A store with other values of some fields."""
    return GraphStore(store.fields | fields, store.node_ptr, store.levels, name="changed")


def first_of_ethanol(count: int) -> GraphStore:
    store = ethanol()
    return GraphStore.from_graphs([store[k] for k in range(count)], name="ethanol")


def kinds(store: GraphStore) -> dict[str, str]:
    return {suspect.kind: suspect.line for suspect in suspicions(store)}
