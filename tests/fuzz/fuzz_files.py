"""Sound files of many formats, and the ways in which they get hurt on the way to a program."""

from __future__ import annotations

import gzip
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write

TOKENS = (
    "nan", "-inf", "1e400", "1e300", "1e-320", "-1", "0", "99999999999", "1.5*^-6", "1.5D-6", "x", "", "Xx", "é", "T",
    '"', "=", ":", "\t", "\r",
    "None", "[[[", "}", "#", "Lattice=", 'Lattice="1 0 0"', 'Lattice="0 0 0 0 0 0 0 0 0"', "pbc=T",
    "Properties=pos:R:3", "energy=", "energy=a",
    "\ufeff", "\u2028", "\x00",
)  # fmt: skip

SDF = """water
  fuzz

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 O   0  0
    0.0000    0.0000    0.9600 H   0  0
    0.9300    0.0000   -0.2400 H   0  0
  1  2  1  0
  1  3  1  0
M  END
> <energy>
-10.0

$$$$
"""


def water(rng: np.random.Generator, crystal: bool = False) -> Atoms:
    """A water molecule with its atoms displaced, an energy (eV) and forces (eV/A); in a cell of 6 A if it is a
    crystal.
    """
    shift = 0.05 * rng.normal(size=(3, 3))
    pos = np.array([[0, 0, 0], [0, 0, 0.96], [0.93, 0, -0.24]]) + shift
    atoms = Atoms("OHH", positions=pos, cell=[6.0, 6.0, 6.0] if crystal else None, pbc=crystal)
    atoms.calc = SinglePointCalculator(atoms, energy=float(5 * (shift**2).sum() - 10), forces=-10 * shift)
    return atoms


def make_files(folder: Path) -> None:
    """The files that command lines speak of."""
    rng = np.random.default_rng(0)
    frames = [water(rng) for _ in range(12)]
    write(folder / "water.xyz", frames, format="extxyz")
    write(folder / "one.xyz", frames[:1], format="extxyz")
    write(folder / "crystal.xyz", [water(rng, crystal=True) for _ in range(3)], format="extxyz")
    pos, forces = (np.stack([get(atoms) for atoms in frames]) for get in (Atoms.get_positions, Atoms.get_forces))
    energies = np.array([atoms.get_potential_energy() for atoms in frames])
    np.savez(folder / "water.npz", nuclear_charges=frames[0].numbers, coords=pos, energies=energies, forces=forces)
    (folder / "folder").mkdir()
    (folder / "empty.xyz").touch()
    (folder / "text.txt").write_text("to whom it may concern\n")


def make_corpus(folder: Path) -> list[Path]:
    """One small sound file of each format."""
    rng = np.random.default_rng(1)
    molecules, crystal = [water(rng) for _ in range(4)], water(rng, crystal=True)
    folder.mkdir()
    write(folder / "a.xyz", molecules, format="extxyz")
    write(folder / "a.traj", molecules)
    write(folder / "a.json", molecules[:1])
    write(folder / "a.pdb", molecules[:1])
    write(folder / "a.cif", crystal)
    write(folder / "a.vasp", crystal)
    write(folder / "a.cube", crystal, data=np.zeros((2, 2, 2)))
    with connect(str(folder / "a.db")) as database:
        for atoms in molecules:
            database.write(atoms)
    np.savez(
        folder / "a.npz",
        z=np.array([8, 1, 1]),
        R=np.stack([a.positions for a in molecules]),
        E=np.zeros((4, 1)),
        F=np.zeros((4, 3, 3)),
    )
    (folder / "a.sdf").write_text(SDF * 2)
    (folder / "a.xyz.gz").write_bytes(gzip.compress((folder / "a.xyz").read_bytes(), mtime=0))
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        archive.add(folder / "a.xyz", arcname="a.xyz")
    return sorted(folder.iterdir())


def _flip(data: bytes, rng: random.Random) -> bytes:
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 40))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _remove(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice((1, 10, 200)) :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start : start + 300] * rng.choice((2, 50)) + data[start:]


def _garbage(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + rng.randbytes(rng.choice((1, 16, 500))) + data[start:]


def _token(data: bytes, rng: random.Random) -> bytes:
    words = data.split(b" ")
    for _ in range(rng.choice((1, 1, 3))):
        words[rng.randrange(len(words))] = rng.choice(TOKENS).encode()
    return b" ".join(words)


def _lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    if rng.random() < 0.5:
        del lines[first]
    return b"\n".join(lines)


def _digits(data: bytes, rng: random.Random) -> bytes:
    places = [k for k, byte in enumerate(data) if 48 <= byte <= 57]
    content = bytearray(data)
    for place in rng.sample(places, min(len(places), rng.choice((1, 5)))):
        content[place] = rng.choice(b"0123456789.-e ")
    return bytes(content)


def _foreign(data: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        (
            b"",
            b"\x00" * 64,
            b"\n" * 9,
            b"[" * 50_000,
            b'{"a":' * 50_000,
            b"\x1f\x8b\x08",
            b"PK\x03\x04",
            b"SQLite format 3\x00",
            rng.randbytes(400),
        )
    )


def _encoded(data: bytes, rng: random.Random) -> bytes:
    return data.decode("latin-1").encode(rng.choice(("utf-16", "utf-32", "utf-8-sig")))


HURTS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _flip, _cut, _remove, _repeat, _garbage, _token, _token, _lines, _digits, _foreign, _encoded,
)  # fmt: skip


def hurt(data: bytes, rng: random.Random) -> bytes:
    """A damaged copy, mostly in one way."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(HURTS)(data, rng) if data else data
    return data
