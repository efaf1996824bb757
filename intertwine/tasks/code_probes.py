"""What codes are good for: properties by linear probes and by neighbours, retrieval, and what lies between two."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry import Graph, collate
from intertwine.nn.evaluating import evaluating
from intertwine.numerics import InputError

FOLDS = 5  # of the cross-validation that chooses the ridge
RIDGES = tuple(10.0**k for k in range(-6, 3))  # relative to the number of rows
CONSTANT = 1e-9  # relative deviation below which a column says nothing


def linear_probe(
    codes: Float[Tensor, "n code"], values: Float[Tensor, "n *shape"], asked: Float[Tensor, "m code"]
) -> Float[Tensor, "m *shape"]:
    r"""Ridge regression on codes whose numbers are standardised, in float64,

    .. math:: \hat y = \bar y + W z, \qquad \min_W \sum_k \|y_k - \bar y - W z_k\|^2 + n \lambda \|W\|^2,

    with the :math:`\lambda` of the least error in cross-validation on the n rows.

    Args:
        codes: z, whose values are known; constant columns are left out.
        values: y, in any unit.
        asked: of what values are asked for.

    Raises:
        InputError: fewer than ten rows.
    """
    if len(codes) < 2 * FOLDS:
        remedy = f"give {2 * FOLDS} or more."
        raise InputError(f"{len(codes)} codes to learn from", where="linear_probe", remedy=remedy)
    z, y = codes.to(torch.float64), values.to(torch.float64).reshape(len(values), -1)
    fold = torch.arange(len(z)) % FOLDS
    errors = torch.zeros(len(RIDGES), dtype=torch.float64)
    for k in range(FOLDS):
        kept = fold != k
        made = _ridge(z[kept], y[kept], z[~kept])
        errors += torch.stack([(each - y[~kept]).square().sum() for each in made])
    best = _ridge(z, y, asked.to(torch.float64), (RIDGES[int(errors.argmin())],))[0]
    return best.reshape(len(asked), *values.shape[1:])


def _ridge(z: Tensor, y: Tensor, asked: Tensor, ridges: Sequence[float] = RIDGES) -> list[Float[Tensor, "m columns"]]:
    """The answers of every ridge, from one decomposition."""
    mean, deviation = z.mean(0), z.std(0)
    kept = deviation > CONSTANT * z.abs().amax(0).clamp(min=1e-300)
    a, b = ((each - mean)[:, kept] / deviation[kept] for each in (z, asked))
    u, s, v = torch.linalg.svd(a, full_matrices=False)
    centre = y.mean(0)
    inner = u.T @ (y - centre)
    return [centre + b @ (v.T @ (s / (s.square() + len(z) * ridge)).unsqueeze(1).mul(inner)) for ridge in ridges]


def nearest(codes: Float[Tensor, "n code"], asked: Float[Tensor, "m code"], k: int = 1) -> Int[Tensor, "m k"]:
    """The k nearest codes of each that is asked for, the nearest first; numbers of the code over their deviation.

    A molecule that was turned and whose atoms are listed anew is found by its code, which is the same.

    Args:
        codes: among which is looked.
        asked: what is looked for.
        k: how many, at most as many as there are.
    """
    deviation = codes.std(0) if len(codes) > 1 else torch.ones_like(codes[0])
    scale = torch.where(deviation > 0, deviation, 1.0)
    apart = torch.cdist(asked / scale, codes / scale, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.topk(min(k, len(codes)), dim=1, largest=False).indices


def neighbour_means(
    codes: Float[Tensor, "n code"], values: Float[Tensor, " n"], asked: Float[Tensor, "m code"], k: int = 5
) -> Float[Tensor, " m"]:
    """The mean of the values of the k nearest codes, in the unit of the values; arguments as of :func:`linear_probe`
    and :func:`nearest`."""
    return values[nearest(codes, asked, k)].mean(1)


def encoded(task: Any, graphs: Sequence[Graph], at_once: int = 64) -> Float[Tensor, "graphs code"]:
    """The codes of graphs, on the CPU, in double precision: a frame of its own magnifies the rounding of coordinates,
    so that in single precision some codes of turned molecules differ in the fourth digit and before.

    Args:
        task: :class:`~intertwine.tasks.Autoencoder`, :class:`~intertwine.tasks.PointAutoencoder` or
            :class:`~intertwine.tasks.SignalAutoencoder`; it keeps its precision.
        graphs: images, molecules or signals on the sphere, one or more.
        at_once: how many in a batch.
    """
    device, task = next(task.parameters()).device, copy.deepcopy(task).double()
    with evaluating(task):
        parts = [collate(list(graphs[k : k + at_once])).to(device) for k in range(0, len(graphs), at_once)]
        return torch.cat([task(part)["code"].cpu() for part in parts])


def between(task: Any, first: Graph, last: Graph, steps: int = 7) -> list[Any]:
    r"""What the decoder makes of codes on the line between two, :math:`\delta((1 - t) z_1 + t z_2)`: a sequence of
    canonical molecules, or of images (channels, edge, edge), or of signals on the sphere (coefficients).

    Args:
        task: as of :func:`encoded`.
        first, last: the ends.
        steps: how many, both ends included: t is 0, ..., 1.

    Raises:
        InputError: fewer than two steps.
    """
    if steps < 2:
        raise InputError(f"{steps} steps", where="between", remedy="give 2 or more: the ends are two.")
    codes = encoded(task, [first, last])
    t = torch.linspace(0.0, 1.0, steps, dtype=codes.dtype).unsqueeze(1)
    with torch.no_grad():
        return list(task.decoded(((1 - t) * codes[:1] + t * codes[1:]).to(next(task.parameters()).device)))
