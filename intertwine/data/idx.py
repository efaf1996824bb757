"""IDX files, the format of MNIST: arrays with a header of their type and sizes, also gzipped; and images with labels.

Two bytes of zero, a byte for the type, one for the number of axes, each size as a big-endian 32-bit integer, and the
numbers, big-endian, the last axis fastest (LeCun, Cortes, Burges, yann.lecun.com/exdb/mnist).
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from intertwine.data.opening import require_file, shown
from intertwine.numerics import DataError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
#: What in the name of a file of images stands where that of its labels has another word.
WORDS = (("images-idx3", "labels-idx1"), ("images.idx3", "labels.idx1"), ("images-idx4", "labels-idx1"))
MOST_AXES = 8
REMEDY = "get the file again."


def is_idx(path: Path) -> bool:
    """Whether a file's name says that it is one of IDX: ``t10k-images-idx3-ubyte.gz``, ``x.idx``."""
    name = path.name.lower().removesuffix(".gz")
    return "-idx" in name or ".idx" in name


def read_idx(path: str | Path) -> np.ndarray:
    """The array of an IDX file, in the byte order of this machine.

    Args:
        path: of the file, plain or gzipped (told by its first bytes).

    Raises:
        DataError: it is missing, truncated, or no IDX file; the file is named.
    """
    path = Path(path)
    require_file(path)
    where = shown(path)
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"the file is damaged: {error}", where=where, remedy=REMEDY) from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or not 0 < content[3] <= MOST_AXES:
        raise DataError("no IDX file: its first bytes are not those of one", where=where, remedy=REMEDY)
    kind, axes = np.dtype(TYPES[content[2]]), content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise DataError("the file is truncated: its header is not whole", where=where, remedy=REMEDY)
    sizes = tuple(int(k) for k in np.frombuffer(content, ">u4", axes, 4))
    needed = kind.itemsize
    for size in sizes:
        needed *= size
    if len(content) - start != needed:
        what = "truncated" if len(content) - start < needed else "too long"
        have = f"{len(content) - start} bytes of numbers, and {' x '.join(map(str, sizes))} of them are {needed}"
        raise DataError(f"the file is {what}: it has {have}", where=where, remedy=REMEDY)
    return np.frombuffer(content, kind, offset=start).reshape(sizes).astype(kind.newbyteorder("="))


def labels_file(images: Path) -> Path:
    """The file of labels that belongs to one of images, beside it, gzipped or not.

    Raises:
        DataError: there is none; the names that were looked for are told.
    """
    tried = []
    for word, other in WORDS:
        if word in images.name:
            name = images.name.replace(word, other)
            plain = name.removesuffix(".gz")
            tried += [name, plain if name != plain else f"{plain}.gz"]
    for name in tried:
        if (images.parent / name).is_file():
            return images.parent / name
    what = (
        f"no file of labels beside it ({' or '.join(tried)})" if tried else "its name does not tell that of its labels"
    )
    remedy = "call the files NAME-images-idx3-ubyte.gz and NAME-labels-idx1-ubyte.gz, in one folder."
    raise DataError(what, where=shown(images), remedy=remedy)


def read_images(path: str | Path, *, labelled: bool = True) -> tuple[np.ndarray, np.ndarray | None]:
    """Images (N, rows, columns) or (N, C, rows, columns) in float32, those of bytes from 0 to 1, and their labels (N).

    Args:
        path: of the images; :func:`labels_file` finds the labels.
        labelled: whether labels are needed; where not, and no file of labels is there, they are None.

    Raises:
        DataError: a file is missing or damaged, holds other axes or no images, a pixel is not finite, a label is not
            a whole number from 0, or the counts differ.
    """
    path = Path(path).expanduser()
    values = read_idx(path)
    where = shown(path)
    if values.ndim not in (3, 4) or not values.size:
        what = f"an array of {' x '.join(map(str, values.shape))}, not images"
        raise DataError(what, where=where, remedy="give the file of images; the labels beside it are found.")
    scale = 255.0 if values.dtype == np.uint8 else 1.0
    images = values.astype(np.float32) / np.float32(scale)
    if not np.isfinite(images).all():
        k = int(np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(1))[0])
        raise DataError(f"image {k} has a pixel that is not finite", where=where, remedy="repair or remove the image.")
    try:
        beside = labels_file(path)
    except DataError:
        if labelled:
            raise
        return images, None
    labels = read_idx(beside)
    if labels.shape != (len(images),):
        what = f"{' x '.join(map(str, labels.shape))} labels for {len(images)} images"
        raise DataError(what, where=shown(beside), remedy="give the two files of one set.")
    wrong = (labels < 0) | (labels != np.round(labels)) if labels.dtype.kind != "u" else np.zeros(len(labels), bool)
    if wrong.any():
        k = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"label {labels[k]} of image {k}", where=shown(beside), remedy="classes are whole numbers from 0."
        )
    return images, labels.astype(np.int64)
