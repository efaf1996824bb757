"""What turning an image does to an autoencoder: its error, its code, and the angle that it finds."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.geometry import Graph, collate, rasters, turned_images

AT_ONCE = 20_000  # nodes
ALIKE = 0.5  # distance from the turned image, over the deviation of the pixels: an image so close to it is symmetric
FOLDS = (4, 3, 2)  # symmetries that are looked for, the largest first


class TurnedScores(NamedTuple):
    """Of images turned by the same angles, all against the images as they are.

    Attributes:
        angles: degrees.
        rmse: root mean square error of the pixels, against the turned image.
        deviation: of the pixels of the turned images, which interpolation makes smaller.
        change: root mean square change of the code, over the deviation of codes between images; no unit.
        largest: the largest change of a number of the code, over the root mean square of the code; no unit.
        apart: the angle that was found, less the angle, in (-180, 180] degrees; NaN without a group.
        folds: n of the largest C_n that leaves each image as it is, or nearly.
        open: of which images the angle is open.
    """

    angles: Float[Tensor, " angles"]
    rmse: Float[Tensor, " angles"]
    deviation: Float[Tensor, " angles"]
    change: Float[Tensor, " angles"]
    largest: Float[Tensor, " angles"]
    apart: Float[Tensor, "angles images"]
    folds: Int[Tensor, " images"]
    open: Bool[Tensor, " images"]

    def errors(self) -> Float[Tensor, "angles images"]:
        """Of the angle, modulo the symmetry of each image (degrees)."""
        period = 360 / self.folds.to(self.apart)
        rest = self.apart.remainder(period)
        return torch.minimum(rest, period - rest)


def turned_scores(task: Any, graphs: Sequence[Graph], angles: Sequence[float | int], order: int = 1) -> TurnedScores:
    """Scores of images that are turned about their centre, by interpolation where they leave the grid.

    Args:
        task: an :class:`~intertwine.tasks.Autoencoder`.
        graphs: images.
        angles: degrees.
        order: of the interpolation, 1 or 3.
    """
    still = _predicted(task, graphs)
    truth = torch.cat([rasters(g, g.x.flatten(1)).values for g in graphs])
    size = (still["code"] - still["code"].mean(0)).square().mean().sqrt().clamp(min=1e-12)
    rms = still["code"].square().mean().sqrt().clamp(min=1e-12)
    rmse, deviation, change, largest, apart = [], [], [], [], []
    for angle in angles:
        images = turned_images(truth, rotation_of(angle), order)
        made = _predicted(task, [_with(g, image) for g, image in zip(graphs, images, strict=True)])
        rmse.append(float((made["values"] - images).square().mean().sqrt()))
        deviation.append(float(images.std()))
        change.append(float((made["code"] - still["code"]).square().mean().sqrt() / size))
        largest.append(float((made["code"] - still["code"]).abs().max() / rms))
        apart.append((made["angle"] - still["angle"] - angle + 180).remainder(360) - 180)
    reasons = [bool(word) for start in _chunks(graphs) for word in task.undefined(_batch(task, graphs[start]))]
    return TurnedScores(
        torch.tensor(list(angles), dtype=torch.float64), torch.tensor(rmse), torch.tensor(deviation),
        torch.tensor(change), torch.tensor(largest), torch.stack(apart), folds_of(truth), torch.tensor(reasons),
    )  # fmt: skip


def codes_of(task: Any, graphs: Sequence[Graph]) -> Float[Tensor, "images code"]:
    """The codes of images."""
    return _predicted(task, graphs)["code"]


def nearest_neighbours(
    codes: Float[Tensor, "n code"], labels: Int[Tensor, " n"], asked: Float[Tensor, "m code"], k: int = 5
) -> Int[Tensor, " m"]:
    """The class of most of the k nearest codes, the smallest of several; numbers of the code over their deviation.

    Args:
        codes, labels: whose classes are known.
        asked: whose classes are asked for.
        k: number of neighbours.
    """
    mean, deviation = codes.mean(0), codes.std(0).clamp(min=1e-12)
    distance = torch.cdist((asked - mean) / deviation, (codes - mean) / deviation)
    near = labels[distance.topk(min(k, len(codes)), dim=1, largest=False).indices]
    return torch.nn.functional.one_hot(near, int(labels.max()) + 1).sum(1).argmax(1)


def folds_of(images: Float[Tensor, "images channels size size"]) -> Int[Tensor, " images"]:
    """n of the largest of C_4, C_3 and C_2 that changes an image by less than half of the deviation of its pixels; 1
    where there is none.
    """
    spread = images.flatten(1).std(1)
    result = torch.ones(len(images), dtype=torch.int64)
    for n in reversed(FOLDS):
        apart = (turned_images(images, rotation_of(360 / n)) - images).flatten(1).square().mean(1).sqrt()
        result[apart < ALIKE * spread] = n
    return result


def rotation_of(angle: float | int) -> Float[Tensor, "2 2"]:
    """Counterclockwise by an angle (degrees), right angles to the last bit."""
    t = torch.tensor(angle * pi / 180, dtype=torch.float64)
    c, s = (part.round() if angle % 90 == 0 else part for part in (t.cos(), t.sin()))
    return torch.stack([c, -s, s, c]).reshape(2, 2)


def _with(graph: Graph, image: Float[Tensor, "channels size size"]) -> Graph:
    """The same graph with the values of another image."""
    places = rasters(graph, graph.x.flatten(1)).places
    return graph.replaced(x=image.flatten(1).T[places].to(graph.x))


def _predicted(task: Any, graphs: Sequence[Graph]) -> dict[str, Tensor]:
    """Codes, values and angles (degrees) of images."""
    parts: dict[str, list[Tensor]] = {"code": [], "values": [], "angle": []}
    for chunk in _chunks(graphs):
        batch = _batch(task, graphs[chunk])
        made = {name: value.cpu() for name, value in task(batch).items()}
        parts["code"].append(made["code"])
        image = rasters(batch, made["reconstruction"].to(batch.pos.device))
        parts["values"].append(image.values.cpu())
        direction = made.get("direction")
        angle = made["code"].new_full((len(made["code"]),), torch.nan) if direction is None else (
            torch.atan2(direction[:, 1], direction[:, 0]) * 180 / pi
        )  # fmt: skip
        parts["angle"].append(angle)
    return {name: torch.cat(values) for name, values in parts.items()}


def _batch(task: Any, graphs: Sequence[Graph]) -> Graph:
    return collate(list(graphs)).to(next(task.parameters()).device)


def _chunks(graphs: Sequence[Graph]) -> list[slice]:
    size = max(1, AT_ONCE // max(1, graphs[0].num_nodes))
    return [slice(start, start + size) for start in range(0, len(graphs), size)]
