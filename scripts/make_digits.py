"""Makes the files of `intertwine train digits`: scikit-learn's digits as gzipped IDX files.

The images are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine
Learning Repository, 1998, doi:10.24432/C50P49; licence CC BY 4.0): 1,797 images of 8 x 8 pixels, 0 to 16, from 13
writers. scikit-learn (BSD-3-Clause) ships them as sklearn/datasets/data/digits.csv.gz, of which this is a copy in
another form, in its order.

    pip download scikit-learn --no-deps && python scripts/make_digits.py scikit_learn-*.whl
"""

from __future__ import annotations

import gzip
import io
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

TARGET = Path(__file__).resolve().parents[1] / "intertwine" / "data" / "embedded"
MEMBER = "sklearn/datasets/data/digits.csv.gz"


def idx(array: np.ndarray) -> bytes:
    """Bytes as a gzipped IDX file, the same at every run."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def main(wheel: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read(MEMBER)).decode()
    table = np.loadtxt(io.StringIO(text), delimiter=",", dtype=np.int64)
    assert table.shape == (1797, 65), table.shape
    assert 0 <= table.min() <= table.max() <= 16
    for name, array in {"images-idx3": table[:, :64].reshape(-1, 8, 8), "labels-idx1": table[:, 64]}.items():
        file = TARGET / f"digits-{name}-ubyte.gz"
        file.write_bytes(idx(array))
        print(file, file.stat().st_size, "bytes")


if __name__ == "__main__":
    main(sys.argv[1])
