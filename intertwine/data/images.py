"""Images with a class each, as graphs on the grid of pixels: scikit-learn's digits, and IDX files such as MNIST."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from intertwine.data.idx import read_images
from intertwine.data.splits import Splits
from intertwine.data.store import GraphStore
from intertwine.geometry import raster_positions

DIGITS = Path(__file__).resolve().parent / "embedded" / "digits-images-idx3-ubyte.gz"
DIGIT_LEVELS = 16  # the largest value of a pixel of the embedded digits
DIGIT_PARTS = (1_200, 97, 500)  # of a seeded shuffle: to train on, to validate, to test


def image_store(
    images: Float[np.ndarray, "n *channels rows columns"], labels: Int[np.ndarray, " n"] | None, *, name: str,
    classes: Sequence[str] | None = None, splits: Splits | None = None, notes: Iterable[str] = (),
) -> GraphStore:  # fmt: skip
    """Images as graphs (:func:`intertwine.geometry.raster`): ``pos`` (N, 2) in pixels from the centre, ``x`` (N, C) in
    float32, and ``label``.

    Args:
        images: (n, rows, columns) or (n, C, rows, columns).
        labels: class of each, from 0; None where they are not known.
        name: of the data set.
        classes: names of the classes; None where they have none.
        splits: the parts that are prescribed, if they are.
        notes: what was assumed.
    """
    values = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))
    values = values.unsqueeze(1) if values.ndim == 3 else values
    n, channels, rows, columns = values.shape
    fields = {
        "pos": raster_positions(rows, columns).to(torch.float32).repeat(n, 1),
        "x": values.flatten(2).transpose(1, 2).reshape(-1, channels).contiguous(),
    }
    if labels is not None:
        fields["label"] = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    return GraphStore(
        fields, torch.arange(n + 1) * (rows * columns), {"pos": "node", "x": "node", "label": "graph"}, name=name,
        notes=notes, splits=splits, classes={"label": classes} if classes else None, domain="image",
        task="classification", target="label",
    )  # fmt: skip


def digits(*, progress: bool = False) -> GraphStore:
    """1,797 images of handwritten digits, 8 x 8 pixels from 0 to 1, ten classes.

    The test part of Alpaydin and Kaynak 1998 (UCI Machine Learning Repository, CC BY 4.0), as scikit-learn has it. The
    split is a seeded shuffle: 1,200 / 97 / 500.

    Raises:
        DataError: a file of the package is damaged.
    """
    images, labels = read_images(DIGITS)
    order = np.random.default_rng(0).permutation(len(images))
    train, validation, _ = np.cumsum(DIGIT_PARTS)
    splits = Splits(order[:train], order[train:validation], order[validation:])
    images = images * np.float32(255 / DIGIT_LEVELS)
    note = "digits: pixels from 0 to 1; split by a seeded shuffle, so writers are in all parts"
    names = [str(k) for k in range(10)]
    return image_store(images, labels, name="digits", classes=names, splits=splits, notes=[note])


def read_idx_file(path: str | Path, limit: int | None = None, *, labelled: bool = True) -> GraphStore:
    """Images of an IDX file with the labels beside it, as :func:`image_store`.

    Args:
        path: ``NAME-images-idx3-ubyte``, also gzipped.
        limit: the first images only.
        labelled: whether labels are needed, as for training.

    Raises:
        DataError: as :func:`intertwine.data.idx.read_images`.
    """
    images, labels = read_images(path, labelled=labelled)
    name = Path(path).name.split("-images")[0]
    if labels is None:
        return image_store(images[:limit], None, name=name)
    names = [str(k) for k in range(int(labels.max()) + 1)]
    return image_store(images[:limit], labels[:limit], name=name, classes=names)
