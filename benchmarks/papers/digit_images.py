"""The digits that rotated_digits.py and autoencoder.py train on: those of the package, and the file of MNIST.

digits: 1,797 images of 8 x 8 pixels, 1,200 to train on and 500 to test by the data set's own split. mnist: the 10,000
images of MNIST's test set (../shared/data/images), 8,000 to train on and 2,000 to test by a seeded split, averaged over
2 x 2 pixels to 14 x 14. Turned ones are resampled at their full size, each by the angle that seed 0 and its number
decide.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch

from intertwine.data import GraphStore, open_dataset
from intertwine.data.images import image_store
from intertwine.data.turning import turned_store

MNIST = Path(__file__).resolve().parents[3] / "shared" / "data" / "images" / "t10k-images-idx3-ubyte.gz"
TRAINED = {"digits": 1_200, "mnist": 8_000}
TESTED = {"digits": 500, "mnist": 2_000}
FULL = 28  # pixels along an edge of MNIST


@cache
def digits(name: str, side: int, *, turned: bool) -> tuple[GraphStore, GraphStore]:
    """Training and test images, of MNIST with so many pixels along an edge."""
    store = open_dataset("digits" if name == "digits" else MNIST, progress=False)
    store = turned_store(store, "any", 0) if turned else store
    if name == "digits":
        return store.subset(store.splits.train), store.subset(store.splits.test)
    x = torch.nn.functional.avg_pool2d(store.fields["x"].reshape(len(store), 1, FULL, FULL), FULL // side)[:, 0]
    small = image_store(x.numpy(), store.fields["label"].numpy(), name="mnist", classes=store.classes["label"])
    order = np.random.default_rng(0).permutation(len(small))
    return small.subset(order[: TRAINED["mnist"]]), small.subset(order[TRAINED["mnist"] :])
