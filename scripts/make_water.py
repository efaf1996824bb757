"""Regenerate ``intertwine/data/embedded/water.npz``, the Fock matrices of water that are shipped with the package.

Geometries: Langevin dynamics of one water molecule under GFN2-xTB (Bannwarth et al. 2019, through tblite) at 500 K, 15
trajectories of 100 frames, time step 0.5 fs, one frame every 50 fs after 1 ps. Labels: PBE/def2-SVP by
``intertwine.labels`` (PySCF), the gradient in the orbitals converged to 1e-8 Eh. Trajectories 0 to 4 are for training,
5 to 9 for validation, 10 to 14 for the test: no two parts share one.

    python scripts/make_water.py --workers 2        # about 10 minutes on two cores; goes on if it was killed

Arrays of the file: ``numbers`` (3,), ``positions`` (1500, 3, 3) in A, ``energy`` (1500,) in eV, ``fock`` (1500, 300),
the upper triangle by rows of the Fock matrix in PySCF's order of orbitals in Eh, ``split`` (1500,), 0 for training, 1
for validation, 2 for the test, and ``recipe``, a JSON text. The density is that of the five lowest orbitals of the Fock
matrix.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # PySCF and tblite: one thread a process is the fastest here

import argparse
import json
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.io import read, write
from sampling import trajectory

from intertwine.data.label_files import packed, read_labels
from intertwine.labels import label, recipe

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "intertwine" / "data" / "embedded" / "water.npz"
TEMPERATURE = 500.0  # K
TRAJECTORIES, FRAMES = 15, 100
PARTS = 3  # training, validation, test
DIGIT = 2.0**-34  # Eh, the last digit of the Fock matrices that is kept: 6e-11
DYNAMICS = (
    "Langevin dynamics of H2O under GFN2-xTB at 500 K, friction 0.02/fs, steps of 0.5 fs; "
    "15 trajectories of 100 frames, 50 fs apart after 1 ps"
)


def sample(seed: int) -> list[Atoms]:
    """The geometries, trajectory after trajectory, about their centre of mass."""
    frames: list[Atoms] = []
    for number in range(TRAJECTORIES):
        rng = np.random.default_rng([seed, number])
        frames += trajectory(molecule("H2O"), TEMPERATURE, rng, FRAMES, 100, {"trajectory": number})
        print(f"sampled {len(frames)} geometries", flush=True)
    return frames


def spread(positions: np.ndarray) -> tuple[float, float]:
    """Standard deviations of the O-H distance (A) and of the angle (degrees)."""
    bonds = positions[:, 1:] - positions[:, :1]
    lengths = np.linalg.norm(bonds, axis=2)
    cosines = (bonds[:, 0] * bonds[:, 1]).sum(1) / lengths.prod(1)
    return float(lengths.std()), float(np.degrees(np.arccos(cosines)).std())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, default=HERE.parent / "runs" / "make_water")
    arguments = parser.parse_args()
    arguments.scratch.mkdir(parents=True, exist_ok=True)

    geometries = arguments.scratch / f"geometries-{arguments.seed}.xyz"
    if not geometries.exists():
        partial = geometries.with_suffix(".part")
        write(partial, sample(arguments.seed), format="extxyz")
        partial.rename(geometries)
    frames = read(geometries, index=":")
    how = recipe("pbe/def2-svp", ["energy", "hamiltonian"], threshold=1e-12)
    output = arguments.scratch / f"water-{arguments.seed}.h5"
    print(label(frames, how, output, source=geometries.name, workers=arguments.workers))
    told, (group,) = read_labels(output)
    assert np.array_equal(group.frames, np.arange(TRAJECTORIES * FRAMES)), "some geometries have no labels"
    length, angle = spread(group.positions)
    told |= {"geometries": DYNAMICS, "seed": arguments.seed, "fock kept to (Eh)": DIGIT}
    np.savez_compressed(
        TARGET,
        numbers=group.numbers,
        positions=group.positions,
        energy=group.labels["energy"],
        fock=np.round(packed(group.labels["hamiltonian"]) / DIGIT) * DIGIT,
        split=np.repeat(np.arange(PARTS), TRAJECTORIES * FRAMES // PARTS).astype(np.int8),
        recipe=np.array(json.dumps(told, sort_keys=True)),
    )
    print(f"standard deviation of O-H {length:.4f} A, of the angle {angle:.2f} degrees")
    print(f"wrote {TARGET} ({TARGET.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
