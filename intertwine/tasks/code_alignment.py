r"""Two inputs laid on each other by the group elements that an autoencoder finds, :math:`\psi(b)\, \psi(a)^{-1}`."""

from __future__ import annotations

from math import atan2, degrees
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry import Graph, centred, collate, deviation, matched, rasters, turned_images
from intertwine.nn.evaluating import evaluating
from intertwine.numerics import InputError
from intertwine.tasks.code_matching import OTHER
from intertwine.tasks.code_scores import rotation_of

STEP = 1.0  # degrees between the angles that are tried beside the one that was found


class Alignment(NamedTuple):
    """How an input a lies on another one, b.

    Attributes:
        rotation: (n, n), of a to b.
        angle: of the rotation, in degrees: from -180 to 180 in the plane, from 0 to 180 in space.
        reached: distance after the motion that was found: RMSD of the atoms (A), or root mean square of the pixels (in
            their unit).
        same_order: likewise after the best rotation and translation with the order that was found, Kabsch's; None of
            images.
        best: likewise after the best of all motions and orders that were tried: of atoms within each species
            (:func:`intertwine.geometry.matched`), of images the angles of every degree.
        change: largest difference of the two codes, over their root mean square; no unit.
        partner: for each atom of a the one of b that is at the same place of the order; None of images.
        open: why the element of a, or that of b, is open: it is symmetric; "" where it is not.
    """

    rotation: Float[Tensor, "n n"]
    angle: float
    reached: float
    same_order: float | None
    best: float
    change: float
    partner: Int[Tensor, " atoms"] | None
    open: tuple[str, str]


def aligned(task: Any, a: Graph, b: Graph) -> Alignment:
    """The motion that takes one input to another.

    Args:
        task: :class:`~intertwine.tasks.Autoencoder` or :class:`~intertwine.tasks.PointAutoencoder`.
        a, b: two images of one size, or two molecules of the same atoms.

    Raises:
        InputError: a task without a head for the motion, or of signals on the sphere; other atoms.
    """
    if not {"rotation", "direction"} & set(task.outputs):
        what = f"the task {task.name} finds no motion"
        remedy = "train --task autoencoder of a group other than none, or --task point_autoencoder."
        raise InputError(what, where="task", remedy=remedy)
    if not {"place", "direction"} & set(task.outputs):
        remedy = "its output `rotation` has the axes of each: of b and a, psi(b) psi(a)^-1 takes a to b."
        raise InputError(f"{task.name} lays no signals on each other", where="task", remedy=remedy)
    if "rotation" in task.outputs:
        kinds = [sorted(graph.z.tolist()) if graph.get("z") is not None else graph.num_nodes for graph in (a, b)]
        if kinds[0] != kinds[1]:
            what = f"{a.num_nodes} and {b.num_nodes} atoms, not of the same species"
            raise InputError(what, where="align", remedy="give two structures of the same atoms, in any order.")
    with evaluating(task):
        batch = collate([a.cast(torch.float64), b.cast(torch.float64)]).to(next(task.parameters()).device)
        made = {name: value.cpu() for name, value in task(batch).items()}
        first, second = task.undefined(batch)
    code = made["code"].to(torch.float64)
    change = float((code[1] - code[0]).abs().max() / code.square().mean().sqrt().clamp(min=1e-12))
    laid = _molecules(made, a, b) if "rotation" in made else _images(made, batch)
    return laid._replace(change=change, open=(first, second))


def _molecules(made: dict[str, Tensor], a: Graph, b: Graph) -> Alignment:
    n = a.num_nodes
    x, y = (centred(graph.cast(torch.float64)).cpu() for graph in (a, b))
    frames = made["rotation"].to(torch.float64).mT  # axes as columns
    rotation = frames[1] @ frames[0].mT
    place = made["place"].round().to(torch.int64)
    partner = torch.argsort(place[n:])[place[:n]]
    distance = float((x @ rotation.T - y[partner]).square().sum(1).mean().sqrt())
    same = float(deviation(x, y[partner], torch.zeros(n, dtype=torch.int64), 1))
    z = (a.z.cpu(), b.z.cpu()) if a.get("z") is not None else (torch.zeros(n), torch.zeros(n))
    best = matched(x, y, OTHER * (z[0].unsqueeze(1) != z[1]).to(torch.float64)).rmsd
    sine = float((rotation - rotation.mT).norm()) / 8**0.5  # of small angles the cosine has half the digits
    angle = degrees(atan2(sine, (float(rotation.trace()) - 1) / 2))
    return Alignment(rotation, angle, distance, same, best, 0.0, partner, ("", ""))


def _images(made: dict[str, Tensor], batch: Graph) -> Alignment:
    direction = made["direction"].to(torch.float64)
    (c, s), (u, v) = direction.tolist()
    angle = degrees(atan2(v * c - u * s, u * c + v * s))
    images = rasters(batch, batch.x.flatten(1)).values.cpu()

    def apart(turn: float) -> float:
        return float((turned_images(images[:1], rotation_of(turn)) - images[1:]).square().mean().sqrt())

    best = min(apart(STEP * k) for k in range(round(360 / STEP)))
    return Alignment(rotation_of(angle), angle, apart(angle), None, min(best, apart(angle)), 0.0, None, ("", ""))
