r"""The digits on the sphere, as coefficients of spherical harmonics.

An image is laid on the hemisphere around the y axis, the polar axis of the harmonics, by stereographic projection from
the opposite pole (Cohen, Geiger, Köhler and Welling 2018, arXiv:1801.10130, section 5.1 project onto the northern
hemisphere): the point at the polar angle :math:`\theta` shows the image at the distance :math:`\tan(\theta / 2)` from
its centre, in halves of its width, by linear interpolation. Then :math:`c^l_m = \int f\, Y^l_m`, so that
:math:`f \approx \sum_{l \le L} c^l \cdot Y^l` with orthonormal harmonics.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.data.images import digits
from intertwine.data.store import GraphStore
from intertwine.numerics import InputError
from intertwine.o3 import FromS2Grid, Irreps

LMAX, LARGEST_LMAX = 8, 32
PARALLELS, PER_DEGREE = 64, 3  # of the grid, at least and for each degree: an image has edges, which need many


def on_sphere(images: Float[Tensor, "n rows columns"], lmax: int) -> Float[Tensor, "n coefficients"]:
    """Coefficients of images that are laid on the sphere, (lmax + 1)^2 each, degree by degree, in float64."""
    transform = FromS2Grid(max(PARALLELS, PER_DEGREE * (lmax + 1)), lmax, normalization="integral", dtype=torch.float64)
    points = transform.grid.reshape(-1, 3).to(torch.float64)
    # y is up; x and z span the plane of the image
    r = torch.sqrt(((1 - points[:, 1]) / (1 + points[:, 1]).clamp(min=1e-12)).clamp(min=0))  # tan(theta / 2)
    direction = torch.nn.functional.normalize(points[:, [0, 2]], dim=1)
    plane = direction * r.unsqueeze(1)
    seen = (plane.abs() <= 1).all(1)
    rows, columns = images.shape[1:]
    place = torch.stack([(1 - plane[:, 1]) * rows / 2 - 0.5, (1 + plane[:, 0]) * columns / 2 - 0.5], dim=1)
    values = torch.zeros(len(images), len(points), dtype=torch.float64)
    low = place.floor()
    share = place - low
    for down in (0, 1):
        for right in (0, 1):
            i, j = (low[:, 0] + down).long(), (low[:, 1] + right).long()
            inside = seen & (i >= 0) & (i < rows) & (j >= 0) & (j < columns)
            weight = (share[:, 0] if down else 1 - share[:, 0]) * (share[:, 1] if right else 1 - share[:, 1])
            read = images[:, i.clamp(0, rows - 1), j.clamp(0, columns - 1)].to(torch.float64)
            values += read * torch.where(inside, weight, 0.0)
    return transform(values.reshape(len(images), *transform.grid.shape[:2]))


def spherical_digits(*, lmax: int = LMAX, progress: bool = False) -> GraphStore:
    """The digits as signals on the sphere: graphs of one node at the origin with ``signal`` (1, (lmax + 1)^2), a field
    of irreps 0e + 1o + 2e + ... up to lmax, and ``label``; divided as the digits, 1,200 / 97 / 500.

    Args:
        lmax: largest degree.
        progress: not used.

    Raises:
        InputError: a degree below 0 or above 32.
    """
    if not 0 <= lmax <= LARGEST_LMAX:
        raise InputError(f"lmax {lmax}", where="spherical_digits", remedy=f"give a degree of 0 to {LARGEST_LMAX}.")
    flat = digits()
    n = len(flat)
    side = int(np.sqrt(len(flat.fields["x"]) // n))
    signal = on_sphere(flat.fields["x"].reshape(n, side, side), lmax)
    fields = {
        "pos": torch.zeros(n, 3, dtype=torch.float32),
        "signal": signal.to(torch.float32),
        "label": flat.fields["label"],
    }
    return GraphStore(
        fields, torch.arange(n + 1), {"pos": "node", "signal": "node", "label": "graph"}, name="spherical_digits",
        notes=[*flat.notes, f"laid on a hemisphere, harmonics to degree {lmax}"], splits=flat.splits,
        representations={"signal": str(Irreps.spherical_harmonics(lmax))}, classes=flat.classes,
        domain="spherical signal", task="classification", target="label",
    )  # fmt: skip
