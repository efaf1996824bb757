"""What labelling costs: ethanol by `intertwine label`, with one process and with two, beside the labels of the package.

    python benchmarks/labels.py --method pbe/def2-svp --count 60       # prints a table; goes on if it was killed

Speed is structures a second of the wall clock, start of the processes included, and the seconds of CPU that all
processes took together: where other programs use the cores, only the latter means something.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from intertwine.data.embedded import ethanol
from intertwine.data.label_files import read_labels
from intertwine.labels import label, recipe

SHIPPED = "pbe/def2-svp"  # the method of the package's own labels


def cpu() -> float:
    """Seconds of CPU of this process and of its children that have ended."""
    return sum(os.times()[:4])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default=SHIPPED)
    parser.add_argument("--want", default="energy,forces")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folder", type=Path, default=None, help="Where the files of labels stay. Default: nowhere.")
    arguments = parser.parse_args()
    store = ethanol()
    frames = [store[k].to_ase() for k in range(arguments.count)]
    how = recipe(arguments.method, arguments.want.split(","))
    print(f"{arguments.count} geometries of ethanol, {how.method}, {', '.join(how.want)}; {how.versions}")
    print(f"{'processes':>9}  {'done':>5}  {'wall s':>8}  {'CPU s':>8}  {'CPU s each':>10}  {'1/s of wall':>11}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for workers in arguments.workers:
            output = folder / f"ethanol-{workers}.h5"
            start, before = time.monotonic(), cpu()
            summary = label(frames, how, output, source="ethanol of the package", workers=workers, progress=False)
            wall, spent, done = time.monotonic() - start, cpu() - before, summary.structures - summary.before
            each = f"{spent / done:10.2f}  {done / wall:11.3f}" if done else ""
            print(f"{workers:9d}  {done:5d}  {wall:8.1f}  {spent:8.1f}  {each}", flush=True)
        _, (group,) = read_labels(output)
    if how.method == SHIPPED:
        for name, unit in (("energy", "eV"), ("forces", "eV/A")):
            shipped = np.stack([store[int(k)][name].numpy() for k in group.frames])
            difference = np.abs(group.labels[name].reshape(shipped.shape) - shipped).max()
            print(f"largest difference to the {name} of the package: {difference:.1e} {unit}")


if __name__ == "__main__":
    main()
