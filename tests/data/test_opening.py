"""Files in other encodings and archives are read; what is no file of structures, and what would take all memory or
time, is named.
"""

from __future__ import annotations

import io
import os
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write
from bad_files import frame

from intertwine.data import GraphStore, Splits, open_dataset
from intertwine.data.files import read_frames
from intertwine.numerics import DataError, IntertwineError
from intertwine.training import resolve

TEXT = frame() * 3


def opened(path: Path, **options) -> GraphStore:
    return open_dataset(str(path), progress=False, **options)


@pytest.fixture
def plain(tmp_path: Path) -> GraphStore:
    (tmp_path / "plain.xyz").write_text(TEXT)
    return opened(tmp_path / "plain.xyz")


def tarred(path: Path, mode: str, **files: str) -> None:
    with tarfile.open(path, mode) as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("__xyz", ".xyz"))
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))


def zipped(path: Path, **files: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__xyz", ".xyz"), text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(encoding: str, newline: str, plain: GraphStore, tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(TEXT.replace("\n", newline).encode(encoding))
    assert torch.equal(opened(tmp_path / "a.xyz").field("forces"), plain.field("forces"))


@pytest.mark.parametrize("kind", ["vasp", "cif", "json", "lammpstrj", "gen"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_of_what_ase_reads(kind: str, encoding: str, tmp_path: Path) -> None:
    atoms = Atoms("OHH", np.eye(3), cell=[5, 6, 7], pbc=True)
    path = tmp_path / f"a.{kind}"
    if kind == "lammpstrj":
        dump = (
            "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n3\nITEM: BOX BOUNDS pp pp pp\n0 5\n0 6\n0 7\n"
            "ITEM: ATOMS id element x y z\n"
        )
        path.write_text(dump + "1 O 1 0 0\n2 H 0 1 0\n3 H 0 0 1\n")
    else:
        write(path, atoms)
    plain = opened(path)
    path.write_bytes(path.read_text().encode(encoding))
    assert torch.equal(opened(path).field("pos"), plain.field("pos"))
    path.write_bytes(b"\xff\xfe" + bytes(range(1, 256, 2)) * 3)  # a mark, and no text behind it
    with pytest.raises(DataError, match=path.name):
        opened(path)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar", "a.tar.bz2", "a.tar.xz", "a.zip", "A.TAR.GZ"])
def test_archives_of_one_file(name: str, plain: GraphStore, tmp_path: Path) -> None:
    kind = {"tgz": "gz", "gz": "gz", "bz2": "bz2", "xz": "xz"}.get(name.rsplit(".", 1)[1].lower(), "")

    def pack(**files: str) -> None:
        if name.endswith("zip"):
            zipped(tmp_path / name, **files)
        else:
            tarred(tmp_path / name, f"w:{kind}", **files)

    pack(**{"folder/a.xyz": TEXT, "__MACOSX/._a.xyz": "rubbish"})
    assert torch.equal(opened(tmp_path / name).field("forces"), plain.field("forces"))
    pack(a__xyz=TEXT + frame(count=5))
    with pytest.raises(DataError, match=r"a\.xyz, frame 3.*3 of 5 atoms") as caught:
        opened(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    pack(a__xyz=TEXT, b__xyz=TEXT)
    with pytest.raises(DataError, match=r"holds 2 files[\s\S]*a\.xyz, b\.xyz"):
        opened(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="Remedy"):
        opened(tmp_path / name)


def test_an_archive_of_what_ase_reads(tmp_path: Path) -> None:
    write(tmp_path / "a.traj", [Atoms("H2", [[0, 0, 0], [0, 0, 0.7]])] * 2)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.traj", "deep/inside/a.traj")
    assert len(opened(tmp_path / "a.zip")) == 2


@pytest.mark.parametrize("kind", [".xyz", ".traj", ".db", ".npz", ".sdf", ".tar.gz", ".cif"])
def test_what_is_no_file(kind: str, tmp_path: Path) -> None:
    """Devices and pipes are not read: some of them never end."""
    zero, pipe = tmp_path / f"zero{kind}", tmp_path / f"pipe{kind}"
    zero.symlink_to("/dev/zero")
    os.mkfifo(pipe)
    for path in (zero, pipe):
        with pytest.raises(DataError, match="a device or a pipe"):
            opened(path)
        with pytest.raises(DataError, match="a device or a pipe"):
            next(read_frames(path))
    (tmp_path / f"folder{kind}").mkdir()
    with pytest.raises(DataError, match="a folder"):
        opened(tmp_path / f"folder{kind}")
    (tmp_path / f"loop{kind}").symlink_to(tmp_path / f"loop{kind}")
    with pytest.raises(DataError, match=r"can't be opened|no such file"):
        opened(tmp_path / f"loop{kind}")


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.xyz"))
    path.write_text(TEXT)
    with pytest.raises(DataError, match="not UTF-8") as caught:
        opened(path)
    str(caught.value).encode()
    for name in ("source", "test", "indices"):
        with pytest.raises(IntertwineError, match="not UTF-8") as caught:
            resolve({"data": {name: str(path)}})
        str(caught.value).encode()
    (tmp_path / "Wasser-größe.xyz").write_text(TEXT)
    assert len(opened(tmp_path / "Wasser-größe.xyz")) == 3


DEEP = "[" * 100_000
HOSTILE: dict[str, tuple[str, str | bytes, str]] = {
    "count of atoms beyond memory": ("a.xyz", "999999999999999\nenergy=1\nH 0 0 0\n", "more than the file can hold"),
    "count of ten thousand digits": ("a.xyz", "9" * 10_000 + "\n\nH 0 0 0\n", "frame 0"),
    "negative count": ("a.xyz", "-3\n\nH 0 0 0\n", "number of atoms"),
    "underscores": ("a.xyz", "1_0\n\nH 0 0 0\n", "number of atoms"),
    "position 1e300": (
        "a.xyz",
        frame() + frame(atoms=("O 0 0 1e300 0 0 0",)),
        r"frame 1.*position of atom 0 \(O\) is beyond",
    ),
    "position -1e8": ("a.xyz", frame(atoms=("O 0 0 -1e8 0 0 0",)), "position of atom 0"),
    "cell of 1e-30": (
        "a.xyz",
        '1\nLattice="1e-30 0 0 0 1e-30 0 0 0 1e-30" pbc="T T T"\nH 0 0 0\n',
        "frame 0.*lattice vector is 1e-30",
    ),
    "one vector of 1e-30": ("a.xyz", '1\nLattice="5 0 0 0 1e-30 0 0 0 5" pbc="T T T"\nH 0 0 0\n', "frame 0"),
    "cell of 1e300": (
        "a.xyz",
        '1\nLattice="1e300 0 0 0 1e300 0 0 0 1e300" pbc="T T T"\nH 0 0 0\n',
        "frame 0.*lattice vector is",
    ),
    "deep JSON in a comment": ("a.xyz", f'1\nx="_JSON {DEEP}"\nH 0 0 0\n', "frame 0"),
    "deep ASE JSON": ("a.json", DEEP, "frame 0"),
    "pbc of words": ("a.xyz", '1\nLattice="5 0 0 0 5 0 0 0 5" pbc="maybe"\nH 0 0 0\n', "frame 0.*pbc"),
    "lattice of words": ("a.xyz", '1\nlattice="a b c"\nH 0 0 0\n', "frame 0.*Lattice"),
    "zeros": ("a.xyz", b"\0" * 5000, "number of atoms"),
    "text in a trajectory": ("a.traj", "hello", "a.traj"),
    "zip that is none": ("a.zip", "hello", "archive is damaged"),
    "tar that is none": ("a.tar.gz", "hello", "archive is damaged"),
    "latin-1": ("a.xyz", "1\nunit=Å\nH 0 0 0\n".encode("latin-1"), "frame 0.*damaged or not"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_named(case: str, tmp_path: Path) -> None:
    name, content, words = HOSTILE[case]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=words) as caught:
        opened(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_isotopes(tmp_path: Path) -> None:
    """D and T are hydrogen with a mass of its own; the others have their usual ones."""
    (tmp_path / "a.xyz").write_text("4\n\nO 0 0 0\nD 0 0 1\nt 0 1 0\nH 1 0 0\n")
    (read,) = read_frames(tmp_path / "a.xyz")
    assert read.numbers.tolist() == [8, 1, 1, 1]
    assert np.allclose(read.columns["masses"], [15.999, 2.0141, 3.016, 1.008], rtol=0, atol=1e-3)
    sdf = "\n\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n"
    sdf += (
        "".join(f"{0:10.4f}{0:10.4f}{z:10.4f} {s:3} 0  0\n" for s, z in (("O", 0), ("D", 1)))
        + "  1  2  1  0\nM  END\n$$$$\n"
    )
    (tmp_path / "a.sdf").write_text(sdf)
    (read,) = read_frames(tmp_path / "a.sdf")
    assert read.numbers.tolist() == [8, 1]
    assert abs(read.columns["masses"][1] - 2.0141) < 1e-3
    (tmp_path / "b.xyz").write_text("1\nProperties=species:S:1:pos:R:3:masses:R:1\nD 0 0 0 2.5\n")
    assert next(read_frames(tmp_path / "b.xyz")).columns["masses"].tolist() == [2.5]  # what the file says holds


def damaged(data: bytes, draw: random.Random) -> bytes:
    """A file with bytes changed, taken out, repeated or put in."""
    result = bytearray(data)
    for _ in range(draw.randint(1, 6)):
        at, much = draw.randrange(len(result) or 1), draw.randint(1, 40)
        how = draw.randrange(4)
        if how == 0 and result:
            result[at] = draw.randrange(256)
        elif how == 1:
            del result[at : at + much]
        elif how == 2:
            result[at:at] = result[at : at + much]
        else:
            result[at:at] = draw.choice(
                [b"nan", b"1e999", b"\xff\xfe", b"=", b'"', b"{[", b"-1", b"\0", b"9" * 30, b"stress=1 "]
            )
    return bytes(result)


def make_xyz(folder: Path) -> Path:
    (folder / "f.xyz").write_text('3\nLattice="9 0 0 0 9 0 0 0 9" pbc="T T T" ' + TEXT.split("\n", 1)[1])
    return folder / "f.xyz"


def make_ase(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write(folder / name, Atoms("OHH", np.eye(3), cell=[5, 6, 7], pbc=True))
        return folder / name

    return make


def make_npz(folder: Path) -> Path:
    np.savez(folder / "f.npz", z=[8, 1], R=np.ones((3, 2, 3)), E=np.arange(3.0), F=np.ones((3, 2, 3)))
    return folder / "f.npz"


def make_tar(folder: Path) -> Path:
    tarred(folder / "f.tar.gz", "w:gz", a__xyz=TEXT)
    return folder / "f.tar.gz"


@pytest.mark.parametrize(
    "make",
    [make_xyz, make_npz, make_tar, *(make_ase(f"f.{kind}") for kind in ("traj", "cif", "vasp", "json", "gen", "db"))],
)
def test_damaged_files_are_read_or_named(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """Twenty damages each: structures, or an error that names the file; never anything else."""
    path = make(tmp_path)
    sound, draw = path.read_bytes(), random.Random(path.name)
    opened(path)
    for _ in range(20):
        path.write_bytes(damaged(sound, draw))
        message = ""
        try:
            assert all(bool(torch.isfinite(graph.pos).all()) for graph in opened(path))
        except IntertwineError as error:
            message = str(error)
        assert not message or (path.name in message and "Remedy" in message)


def test_deep_splits(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(DEEP)
    with pytest.raises(DataError, match="can't read the splits"):
        Splits.load(tmp_path / "s.json")
