"""The architectures side by side, from their classes: the map of the lecture "Equivariant GNNs" (3.2), with what each
costs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from intertwine.bench.cost import ATOMS, cost, short, standard_graph, standard_grid
from intertwine.models import MODELS

#: What a message looks at, from the invariant to the group element.
GEOMETRIES = ("none", "distance", "angle", "torsion", "vector", "spherical tensor", "group element")

HARDEST = 5  # body order from which on no test is harder

#: What is said below the table.
CAPTION = (
    f"Defaults of each model. FLOP and bytes of the features for each edge of {ATOMS} atoms within its cutoff; of "
    "networks of images for a pixel with each one under its kernel (28 x 28 pixels, 16^3 voxels), of signals for a "
    "node. Body: "
    f"what one layer tells apart, {HARDEST}+ for {HARDEST} and more."
)

#: key of an entry -> heading of its column.
COLUMNS = {
    "name": "model",
    "message": "message",
    "domain": "domain",
    "geometry": "looks at",
    "body order": "body",
    "symmetry": "group",
    "features": "features",
    "parameters": "weights",
    "flops": "FLOP an edge",
    "bytes": "bytes an edge",
}


def architectures(
    names: Sequence[str] = tuple(MODELS), progress: Callable[[int], object] = lambda done: None
) -> list[dict[str, Any]]:
    """What each architecture is, and what it costs at its defaults on :func:`~intertwine.bench.cost.standard_graph` or
    :func:`~intertwine.bench.cost.standard_grid`, in single precision.

    Args:
        names: of :data:`intertwine.models.MODELS`.
        progress: called with how many are done.

    Returns:
        entries with the keys of :data:`COLUMNS`, ``edges`` of the graph, ``presets`` (name -> source) and ``paper``;
        ordered by what a message looks at, body order and name.
    """
    entries = []
    for done, name in enumerate(names, 1):
        entries.append(dict(_entry(name, MODELS[name])))
        progress(done)
    return sorted(entries, key=lambda entry: (GEOMETRIES.index(entry["geometry"]), entry["body order"], entry["name"]))


@functools.cache  # seconds for all models, and the same each time a process asks
def _entry(name: str, kind: Any) -> dict[str, Any]:
    """An entry of :func:`architectures`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind()
    if kind.EDGES:
        graph = standard_graph(model.cutoff).cast(torch.float32)
        edges = graph.num_edges
    else:
        graph, edges = standard_grid(model.eval())
    return {
        "name": name,
        "message": model.card.message,
        "domain": model.card.domain,
        "geometry": model.card.geometry,
        "body order": model.card.body_order,
        "symmetry": model.card.symmetry,
        "features": str(model.irreps_out),
        "parameters": sum(p.numel() for p in model.parameters()),
        **cost(model, graph, edges),
        "edges": edges,
        "presets": {preset: getattr(kind.PRESETS[preset], "source", "") for preset in sorted(kind.PRESETS)},
        "paper": kind.CARD.paper,
    }


def cells(entry: Mapping[str, Any]) -> list[str]:
    """A row of the table, in the order of :data:`COLUMNS`."""
    shown = {key: short(entry[key]) for key in ("parameters", "flops", "bytes")}
    shown["body order"] = bodies(entry["body order"])
    return [shown.get(key, str(entry[key])) for key in COLUMNS]


def bodies(order: int) -> str:
    """A body order as it is shown."""
    return f"{order}+" if order == HARDEST else str(order)
