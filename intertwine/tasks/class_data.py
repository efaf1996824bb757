"""What data say of classes: which field has them, how many there are, and how far nodes are apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from intertwine.geometry import Graphs
from intertwine.numerics import DataError, InputError
from intertwine.o3 import Irreps

LABELS = ("label", "node_label")
MOST_CLASSES = 10_000  # more are no classes, but a number
COUNTED_GRAPHS = 20  # graphs whose spacing is looked at
NEIGHBOURS = 16  # of a node within the cutoff that is suggested, on average
FINE = 2.0  # cutoffs below which Bessel functions, which grow as its power -3/2, are too large


def label_of(data: Graphs, target: str | None) -> str | None:
    """The field of classes that is meant: the target if it is one, else the first of ``LABELS``; None if none is."""
    names = LABELS if target is None else (target,)
    named = (*LABELS, *getattr(data, "classes", {}))
    return next((name for name in names if name in data.fields and name in named), None)


def classes_of(data: Graphs, target: str) -> list[str] | int:
    """The names of the classes, or their number where they have none.

    Raises:
        InputError: there is no such field, or it holds no classes, or a single one.
    """
    if names := getattr(data, "classes", {}).get(target):
        return list(names)
    where = data.name or "data"
    if target not in data.fields:
        raise InputError(f"no {target!r} to learn", where=where, remedy="give whole numbers from 0 as the label.")
    values = data.fields[target].reshape(-1)
    there = values[torch.isfinite(values)]
    if not len(there) or bool((there != there.round()).any()) or int(there.min()) < 0:
        odd = there[(there != there.round()) | (there < 0)]
        what = f"{target} {odd[0].item()} is no class" if len(odd) else f"{target} has no values"
        raise DataError(what, where=where, remedy="classes are whole numbers from 0.")
    count = int(there.max()) + 1
    if count > MOST_CLASSES:
        raise DataError(f"{count} classes", where=where, remedy="number the classes 0, 1, ... without gaps.")
    if count < 2:
        raise InputError("a single class", where=where, remedy="give data of two classes or more.")
    return count


def untrained(labels: Shaped[Tensor, "rows ..."], counts: Float[Tensor, " k"], names: Sequence[str]) -> list[str]:
    """A sentence for each class that labels have and that no entry of the training set had."""
    here = torch.bincount(labels.reshape(-1).to(torch.int64).clamp(0, len(counts) - 1), minlength=len(counts))
    lines = []
    for k in ((here > 0) & (counts.cpu() == 0)).nonzero().flatten().tolist():
        number = f"{int(here[k])} entr{'y' if int(here[k]) == 1 else 'ies'}"
        lines.append(f"class {names[k]!r} was never trained: its {number} can't be right")
    return lines


def reach(data: Graphs) -> float:
    """A radius within which a node has 16 others, on average over the first graphs; two digits.

    Of graphs with fewer nodes it reaches all.
    """
    radii: list[Any] = []
    for k in range(min(len(data), COUNTED_GRAPHS)):
        pos = data[k].pos.to(torch.float64)[:2000]
        if len(pos) > 1:
            distances = torch.cdist(pos[:200], pos).sort(dim=1).values
            radii.append(float(distances[:, min(NEIGHBOURS, len(pos) - 1)].mean()))
    radius = sum(radii) / len(radii) if radii else 1.0
    return float(f"{max(radius, 1e-3):.2g}")


def extent(data: Graphs) -> float:
    """The root mean square distance of the nodes of the first graphs from their centres; two digits."""
    first = [data[k].pos.to(torch.float64) for k in range(min(len(data), COUNTED_GRAPHS))]
    squares = torch.cat([(pos - pos.mean(0)).square().sum(1) for pos in first if len(pos)] or [torch.ones(1)])
    return float(f"{max(float(squares.mean().sqrt()), 1e-3):.2g}")


def form(data: Graphs) -> dict[str, int]:
    """Arguments of a model that follow from what an entry is: ``channels`` of an image or voxels, ``channels`` and
    ``lmax`` of a signal on the sphere.
    """
    domain = getattr(data, "domain", "graph")
    if domain in ("image", "voxels") and "x" in data.fields:
        return {"channels": data.fields["x"].shape[1:].numel()}
    if domain == "spherical signal" and "signal" in data.fields:
        irreps = Irreps(getattr(data, "representations", {}).get("signal", "1x0e"))
        return {"channels": min(mul for mul, _ in irreps), "lmax": irreps.lmax}
    return {}
