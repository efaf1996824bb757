"""Files that a reader must refuse, each with words that its message must hold. Shared with tests/test_bad_input.py."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

HEADER = "Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5"
ATOMS = ("O 0.0 0.0 0.0 0.1 0.2 0.3", "H 0.0 0.0 0.96 0.0 0.0 -0.3", "H 0.93 0.0 -0.24 -0.1 -0.2 0.0")


def frame(*, header: str = HEADER, atoms: tuple[str, ...] = ATOMS, count: int | str | None = None) -> str:
    """One frame of extended xyz: a water molecule unless told otherwise."""
    return "\n".join([str(len(atoms) if count is None else count), header, *atoms]) + "\n"


def check_words(words: object) -> None:
    """Raises TypeError unless the words are a tuple of strings: of a lone string, ``("cell")``, each letter would be
    looked for.
    """
    if not (isinstance(words, tuple) and words and all(isinstance(word, str) and word for word in words)):
        raise TypeError(f"the words of a message are a tuple of strings, not {words!r}: is a comma missing?")


def _text(name: str, content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_text(content)
        return path

    return make


def _bytes(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def _link(name: str, target: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).symlink_to(target)
        return folder / name

    return make


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.xyz")
    return folder / "a.xyz"


def _npz(**arrays: np.ndarray) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "md.npz"
        sound = {
            "nuclear_charges": np.array([8, 1]),
            "coords": np.zeros((3, 2, 3)),
            "energies": np.zeros(3),
            "forces": np.zeros((3, 2, 3)),
        }
        np.savez(path, **{name: value for name, value in (sound | arrays).items() if value is not None})
        return path

    return make


GOOD = frame()
PACKED = gzip.compress(GOOD.encode() * 200, mtime=0)
BOX = 'Lattice="5 0 0 0 5 0 {}" pbc="T T T" ' + HEADER
NAN_FORCES = np.zeros((3, 2, 3))
NAN_FORCES[2, 1, 0] = np.nan

#: case -> (how to make the file in a folder, words of the message).
BAD_FILES: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "missing file": (lambda folder: folder / "absent.xyz", ("no such file", "absent.xyz")),
    "a folder": (lambda folder: folder, ("a folder",)),
    "empty file": (_text("a.xyz", ""), ("empty",)),
    "only blank lines": (_text("a.xyz", "\n\n\n"), ("no structures",)),
    "truncated frame": (_text("a.xyz", GOOD + frame(count=5)), ("frame 1", "3 of 5 atoms")),
    "truncated after the count": (_text("a.xyz", GOOD + "3\n"), ("frame 1", "0 of 3 atoms")),
    "count is not a number": (_text("a.xyz", GOOD + frame(count="three")), ("frame 1", "line 6", "'three'")),
    "too few atoms announced": (_text("a.xyz", frame(count=2) + GOOD), ("frame 1", "number of atoms")),
    "no atoms": (_text("a.xyz", GOOD + frame(atoms=())), ("frame 1", "no atoms")),
    "not a number": (_text("a.xyz", frame(atoms=(*ATOMS[:2], "H 0.9 oops 0 0 0 0"))), ("frame 0", "line 5", "'oops'")),
    "missing column": (
        _text("a.xyz", frame(atoms=(*ATOMS[:2], "H 0.9 0.0 0.0 0.0 0.0"))),
        ("frame 0", "line 5", "6 columns instead of 7"),
    ),
    "unknown element": (_text("a.xyz", GOOD + frame(atoms=("Xx 0 0 0 0 0 0",))), ("frame 1", "'Xx'", "line 8")),
    "NaN position": (
        _text("a.xyz", GOOD + frame(atoms=(*ATOMS[:2], "H nan 0 0 0 0 0"))),
        ("frame 1", "position of atom 2"),
    ),
    "infinite position": (_text("a.xyz", frame(atoms=("H inf 0 0 0 0 0",))), ("frame 0", "position of atom 0")),
    "NaN force": (_text("a.xyz", GOOD + frame(atoms=(ATOMS[0], "H 0 0 1 0 nan 0"))), ("frame 1", "forces of atom 1")),
    "NaN energy": (_text("a.xyz", GOOD + frame(header=HEADER.replace("-1.5", "nan"))), ("frame 1", "energy")),
    "energy is a word": (_text("a.xyz", frame(header=HEADER.replace("-1.5", "low"))), ("frame 0", "'low'")),
    "energy is a list": (_text("a.xyz", frame(header=HEADER.replace("-1.5", '"1 2 3"'))), ("frame 0", "(3,)")),
    "energy missing in a frame": (
        _text("a.xyz", GOOD * 2 + frame(header=HEADER.split()[0])),
        ("frame 2", "energy is missing"),
    ),
    "forces missing in a frame": (
        _text("a.xyz", GOOD + frame(header="Properties=species:S:1:pos:R:3 energy=0")),
        ("frame 1", "forces is missing"),
    ),
    "forces have two columns": (
        _text("a.xyz", frame(header=HEADER.replace("forces:R:3", "forces:R:2"))),
        ("frame 0", "forces", "(3, 2)"),
    ),
    "broken Properties": (
        _text("a.xyz", frame(header="Properties=species:S:1:pos:R")),
        ("frame 0", "line 2", "Properties"),
    ),
    "no positions": (_text("a.xyz", frame(header="Properties=species:S:1:forces:R:3")), ("frame 0", "no positions")),
    "singular cell": (_text("a.xyz", GOOD + frame(header=BOX.format("5 5 0"))), ("frame 1", "singular")),
    "NaN in the cell": (_text("a.xyz", frame(header=BOX.format("0 0 nan"))), ("frame 0", "not finite")),
    "lattice of eight numbers": (_text("a.xyz", frame(header=BOX.format("0 0"))), ("frame 0", "line 2")),
    "periodic without a cell": (_text("a.xyz", frame(header='pbc="T T T" ' + HEADER)), ("frame 0", "without a cell")),
    "stress of seven numbers": (
        _text("a.xyz", frame(header=BOX.format("0 0 5") + ' stress="1 2 3 4 5 6 7"')),
        ("frame 0", "stress", "(7,)"),
    ),
    "corrupt gzip": (_bytes("a.xyz.gz", b"not gzip at all"), ("damaged", "frame 0")),
    "truncated gzip": (_bytes("a.xyz.gz", PACKED[: len(PACKED) // 2]), ("damaged",)),
    "flipped byte in gzip": (_bytes("a.xyz.gz", PACKED[:-6] + bytes([PACKED[-6] ^ 255]) + PACKED[-5:]), ("damaged",)),
    "binary called xyz": (_bytes("a.xyz", bytes(range(128, 256)) * 4), ("damaged",)),
    "unknown format": (_text("a.banana", "hello"), ("unknown file format",)),
    "not a database": (_text("a.db", "hello"), ("not an ASE database",)),
    "broken cif": (_text("a.cif", "data_x\nloop_\n_atom_site_label\nQ"), ("no structures",)),
    "words in a POSCAR": (
        _text("a.vasp", "water\n1.0\nfive 0 0\n0 5 0\n0 0 5\nO\n1\nDirect\n0 0 0\n"),
        ("ASE can't read it",),
    ),
    "broken sdf": (_text("a.sdf", "one\ntwo\nthree\nfour\n"), ("frame 0", "V2000")),
    "not an npz": (_text("a.npz", "hello"), ("npz",)),
    "npz of objects": (_npz(nuclear_charges=None, z=None, coords=np.array([{}], dtype=object)), ("npz",)),
    "npz without positions": (_npz(coords=None), ("'pos'",)),
    "npz with wrong atoms": (_npz(coords=np.zeros((3, 4, 3))), ("(3, 4, 3)", "2 atoms")),
    "npz with few energies": (_npz(energies=np.zeros(2)), ("energy", "(2,)")),
    "a device": (_link("a.xyz", "/dev/zero"), ("a device or a pipe",)),
    "a pipe": (_pipe, ("a device or a pipe",)),
    "types of LAMMPS": (
        _text("a.xyz", "2\nAtoms. Timestep: 7\n1 0 0 0\n2 0 0 1\n"),
        ("frame 0", "types", "no elements"),
    ),
    "more atoms than the file holds": (_text("a.xyz", frame(count=10**12)), ("frame 0", "1,000,000,000,000 atoms")),
    "an atom a light year away": (
        _text("a.xyz", GOOD + frame(atoms=("H 0 0 1e26 0 0 0",))),
        ("frame 1", "position of atom 0"),
    ),
    "a cell of nothing": (
        _text("a.xyz", '1\nLattice="1e-30 0 0 0 1 0 0 0 1" pbc="T T T"\nH 0 0 0\n'),
        ("frame 0", "lattice vector"),
    ),
    "half an atom": (
        _text("a.xyz", "1\nProperties=species:S:1:pos:R:3:occupancy:R:1\nH 0 0 0 0.5\n"),
        ("frame 0", "occupied"),
    ),
    "archive that is none": (_bytes("a.tar.gz", PACKED), ("archive",)),
    "npz with NaN": (_npz(forces=NAN_FORCES), ("forces", "frame 2")),
}
for _, _words in BAD_FILES.values():
    check_words(_words)

#: Where only the labels are wrong: `predict`, which reads none, answers with an energy for each structure.
BAD_LABELS = {
    "NaN force",
    "NaN energy",
    "energy is a word",
    "energy is a list",
    "energy missing in a frame",
    "forces missing in a frame",
    "forces have two columns",
    "stress of seven numbers",
    "npz with few energies",
    "npz with NaN",
}
