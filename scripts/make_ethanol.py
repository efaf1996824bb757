"""Regenerate ``intertwine/data/embedded/ethanol.xyz.gz``, the data set shipped with the package.

Geometries: Langevin dynamics of one ethanol molecule under GFN2-xTB (Bannwarth et al. 2019, through tblite) at 300, 500
and 700 K, two trajectories a temperature from both the anti and the gauche conformer, time step 0.5 fs, one frame every
125 fs after 1 ps. Labels: PBE/def2-SVP (PySCF), no density fitting, forces with grid response, so that the force is the
derivative of the energy actually printed. Energies in eV, forces in eV/A, positions in A.

    python scripts/make_ethanol.py --frames 552 --workers 2        # about 40 minutes on two cores; resumes if killed
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # PySCF and tblite: one thread a process is the fastest here

import argparse
import gzip
import multiprocessing
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.io import read, write
from sampling import trajectory

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "intertwine" / "data" / "embedded" / "ethanol.xyz.gz"
TEMPERATURES = (300.0, 500.0, 700.0)


def sample(frames: int, seed: int) -> list[Atoms]:
    """Shuffled geometries, the same number from each trajectory."""
    per_run = -(-frames // (2 * len(TEMPERATURES)))
    pool: list[Atoms] = []
    for number, (temperature, gauche) in enumerate((t, c) for t in TEMPERATURES for c in (False, True)):
        rng = np.random.default_rng([seed, number])
        atoms = molecule("CH3CH2OH")
        if gauche:
            atoms.set_dihedral(0, 1, 2, 3, 60.0, indices=[3])  # C-C-O-H
        pool += trajectory(atoms, temperature, rng, per_run, 250, {"temperature": temperature})
        print(f"sampled {len(pool)} geometries ({temperature:.0f} K)", flush=True)
    order = np.random.default_rng(seed).permutation(len(pool))[:frames]
    return [pool[i] for i in order]


def label(atoms: Atoms) -> tuple[float, np.ndarray]:
    """Energy in eV and forces in eV/A at PBE/def2-SVP."""
    from pyscf import dft, gto

    mol = gto.M(
        atom=list(zip(atoms.symbols, atoms.positions, strict=True)), basis="def2-svp", unit="Angstrom", verbose=0
    )
    scf = dft.RKS(mol, xc="pbe")
    scf.conv_tol = 1e-10
    scf.kernel()
    if not scf.converged:
        raise RuntimeError("the SCF of a frame did not converge; lower its temperature or raise max_cycle")
    gradient = scf.nuc_grad_method()
    gradient.grid_response = True
    return scf.e_tot * units.Hartree, -gradient.kernel() * units.Hartree / units.Bohr


def work(job: tuple[Path, Atoms]) -> None:
    """Label one frame into its own file; a rename makes it appear whole or not at all."""
    path, atoms = job
    energy, forces = label(atoms)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, energy=energy, forces=forces)
    partial.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=552)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, default=HERE.parent / "runs" / "make_ethanol")
    arguments = parser.parse_args()
    arguments.scratch.mkdir(parents=True, exist_ok=True)

    geometries = arguments.scratch / f"geometries-{arguments.seed}-{arguments.frames}.xyz"
    if not geometries.exists():
        write(geometries, sample(arguments.frames, arguments.seed), format="extxyz")
    frames = read(geometries, index=":")
    paths = [arguments.scratch / f"label-{arguments.seed}-{i:04d}.npz" for i in range(len(frames))]
    todo = [(path, atoms) for path, atoms in zip(paths, frames, strict=True) if not path.exists()]
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        for done, _ in enumerate(pool.imap_unordered(work, todo), len(frames) - len(todo) + 1):
            print(f"labelled {done} of {len(frames)}", flush=True)
    for path, atoms in zip(paths, frames, strict=True):
        labels = np.load(path)
        atoms.info["energy"] = float(labels["energy"])
        atoms.arrays["forces"] = labels["forces"].round(8)
    text = arguments.scratch / "ethanol.xyz"
    write(text, frames, format="extxyz", columns=["symbols", "positions", "forces"], write_results=False)
    with open(TARGET, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as file:
        file.write(text.read_bytes())  # no time stamp: the same frames give the same bytes
    print(f"wrote {TARGET} ({TARGET.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
