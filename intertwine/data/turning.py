r"""Data whose entries are turned, each by a rotation of its own that the seed and its number decide.

The protocol: entry k gets the rotation that ``numpy.random.default_rng([seed, k])`` draws, so it does not depend on how
many entries are read or how they are divided. "quarter" is a right angle of the plane, or one of the 24 rotations of a
cube; "z" an angle about the z axis, uniform in [0, 360) degrees; "any" an angle of the plane, or a rotation of space,
by Haar's measure. Images and voxels are resampled linearly on their own grid, zero outside, exactly for right angles
(:func:`intertwine.geometry.turned_images`); everything else is moved as it is.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.data.store import GraphStore
from intertwine.geometry import is_raster, raster_positions, rasters, turned, turned_images
from intertwine.numerics import InputError, choose

#: The protocols, and what they are in words.
PROTOCOLS = {
    "none": "as they are",
    "quarter": "by a random multiple of 90 degrees each",
    "z": "by a random angle about z each",
    "any": "by a random rotation each",
}


def rotation(how: str, n: int, seed: int, number: int) -> Float[Tensor, "n n"]:
    """The rotation of an entry, float64.

    Args:
        how: one of ``PROTOCOLS``.
        n: dimension of space, 2 or 3.
        seed: of the protocol.
        number: of the entry in the whole data set.

    Raises:
        InputError: another protocol; an angle about z in the plane.
    """
    choose(how, PROTOCOLS, kind="rotation", where="rotate")
    draw = np.random.default_rng([seed, number])
    if how == "none":
        return torch.eye(n, dtype=torch.float64)
    if n == 2:
        if how == "z":
            raise InputError("the plane has no z axis", where="rotate", remedy="use quarter or any.")
        return _plane(90.0 * int(draw.integers(4)) if how == "quarter" else float(draw.uniform(0, 360)))
    if how == "quarter":
        return _cube()[int(draw.integers(24))]
    if how == "z":
        result = torch.eye(3, dtype=torch.float64)
        result[:2, :2] = _plane(float(draw.uniform(0, 360)))
        return result
    a, b, c, d = (q := draw.standard_normal(4)) / np.linalg.norm(q)  # a uniform unit quaternion
    return torch.tensor(
        [
            [1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)],
        ],
        dtype=torch.float64,
    )


def turned_store(
    store: GraphStore, how: str, seed: int = 0, entries: Sequence[int] | Tensor | None = None
) -> GraphStore:
    """The data with entries turned by a protocol; a note says by which.

    Args:
        store: the data, or a view of some.
        how: one of ``PROTOCOLS``.
        seed: of the protocol.
        entries: indices of those that are turned; None for all.

    Raises:
        InputError: another protocol, a structure that repeats in space, an image that is not square, or space of
            another dimension.
    """
    choose(how, PROTOCOLS, kind="rotation", where="rotate")
    numbers = store.numbers() if entries is None else store.numbers()[torch.as_tensor(entries, dtype=torch.int64)]
    if how == "none" or not len(numbers):
        return store
    first = store[0]
    n, where = first.dimension, store.name or "data"
    if n not in (2, 3) or first.get("cell") is not None:
        what = f"data of dimension {n}" if n not in (2, 3) else "structures that repeat in space"
        raise InputError(f"{what} can't be turned", where=where, remedy="leave rotate out.")
    view = copy.copy(store)
    view.fields, view.notes = dict(store.fields), list(store.notes)
    rotations = torch.stack([rotation(how, n, seed, k) for k in numbers.tolist()])
    grid = is_raster(first)
    if grid:
        view.fields["x"] = _turned_rasters(store, numbers, rotations, where)
    else:
        _move(view, store, numbers, rotations)
    resampling = ", resampled linearly, zero outside" if grid and how != "quarter" else ""
    which = "all" if len(numbers) == len(store) else f"{len(numbers):,} of {len(store):,}"
    view.note(f"{which} entries turned {PROTOCOLS[how]} (seed {seed}{resampling})")
    return view


def _turned_rasters(store: GraphStore, numbers: Tensor, rotations: Tensor, where: str) -> Tensor:
    """Values of all nodes of the whole store, where entries are images of one size, pixels in one order."""
    first = store[0]
    image = rasters(first, first.x)
    sizes, pixels = image.values.shape[2:], first.num_nodes
    if len(set(sizes)) > 1:
        what = f"an image of {' x '.join(map(str, sizes))} can't be turned within its grid"
        raise InputError(what, where=where, remedy="pad the images to squares, or leave rotate out.")
    whole = store.fields["x"].reshape(-1, pixels, first.x.shape[1])
    grid = raster_positions(*sizes).to(store.fields["pos"])
    standard = torch.equal(first.pos, grid) and len(whole) == len(store.node_ptr) - 1
    result = whole.clone()
    if standard and torch.equal(store.fields["pos"].reshape(-1, pixels, len(sizes))[-1], grid):
        values = whole[numbers].transpose(1, 2).unflatten(2, tuple(sizes))
        result[numbers] = turned_images(values, rotations).flatten(2).transpose(1, 2)
        return result.reshape(store.fields["x"].shape)
    raise InputError("images of several sizes, or pixels in several orders", where=where, remedy="leave rotate out.")


def _move(view: GraphStore, store: GraphStore, numbers: Tensor, rotations: Tensor) -> None:
    """All fields that turn, of entries that are no images."""
    whole = copy.copy(store)
    whole._indices = None
    changed: dict[str, Tensor] = {}
    for k, r in zip(numbers.tolist(), rotations, strict=True):
        before = whole[k]
        after = turned(before, r)
        for name, value in before.to_dict().items():
            if isinstance(value, Tensor) and name in store.fields and after[name] is not value:
                changed.setdefault(name, store.fields[name].clone())[store._slice(name, k)] = after[name]
    view.fields |= changed


def _plane(degrees: float) -> Float[Tensor, "2 2"]:
    """Counterclockwise; right angles to the last bit."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    if degrees % 90 == 0:
        c, s = round(float(c)), round(float(s))
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def _cube() -> Float[Tensor, "24 3 3"]:
    """The rotations that take a cube to itself: signed permutations of determinant 1."""
    matrices = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = torch.zeros(3, 3, dtype=torch.float64)
            matrix[range(3), order] = torch.tensor(signs, dtype=torch.float64)
            if torch.linalg.det(matrix) > 0:
                matrices.append(matrix)
    return torch.stack(matrices)
