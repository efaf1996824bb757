"""Cached data sets are what was written, or are made again: any change of any file is seen."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine.data import GraphStore, embedded, nbody
from intertwine.data.kept import cached
from intertwine.data.qm9 import PARTS, csv_files
from intertwine.geometry import Graph
from intertwine.numerics import DataError


def store(seed: int = 0) -> GraphStore:
    generator = torch.Generator().manual_seed(seed)
    graphs = [
        Graph(
            torch.randn(n, 3, generator=generator, dtype=torch.float64),
            z=[6] * n,
            energy=float(n),
            forces=torch.ones(n, 3).double(),
        )
        for n in range(2, 8)
    ]
    return GraphStore.from_graphs(graphs, name="some", units={"energy": "eV"}, notes=["a note"])


def equal(one: GraphStore, other: GraphStore) -> bool:
    same = one.fields.keys() == other.fields.keys() and all(
        torch.equal(one.field(name), other.field(name)) for name in one.fields
    )
    return same and torch.equal(one.node_ptr, other.node_ptr) and (one.name, one.units) == (other.name, other.units)


def flip(folder: Path, draw: random.Random) -> None:
    path = draw.choice(sorted(folder.iterdir()))
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def truncate(folder: Path, draw: random.Random) -> None:
    path = draw.choice(sorted(folder.iterdir()))
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data))])


def delete(folder: Path, draw: random.Random) -> None:
    draw.choice(sorted(folder.iterdir())).unlink()


def swap(folder: Path, draw: random.Random) -> None:
    one, other = draw.sample(sorted(folder.glob("*.npy")), 2)
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def lengthen(folder: Path, draw: random.Random) -> None:
    path = draw.choice(sorted(folder.iterdir()))
    path.write_bytes(path.read_bytes() + bytes(draw.randint(1, 9)))


def foreign_file(folder: Path, draw: random.Random) -> None:
    other = folder.parent / "foreign"
    store(draw.randint(1, 99)).save(other)
    name = draw.choice(["header.json", "SHA256SUMS", "pos.npy"])
    if name == "header.json":
        (other / name).write_text((other / name).read_text().replace("a note", "another"))
    elif name == "SHA256SUMS":
        (other / name).write_text((folder / name).read_text().replace("pos.npy", "pas.npy"))
    shutil.copy(other / name, folder / name)
    shutil.rmtree(other)


def rewritten(folder: Path, draw: random.Random) -> None:
    """Plausible content that numpy and json read without complaint."""
    path = draw.choice([*sorted(folder.glob("*.npy")), folder / "header.json"])
    if path.suffix == ".npy":
        np.save(path, np.load(path) + 1)
    else:
        header = json.loads(path.read_text())
        path.write_text(
            json.dumps(
                header | draw.choice([{"units": {"energy": "Ha"}}, {"schema": 1}, {"schema": 99}, {"name": "x"}, {}])
            )
        )
        if json.loads(path.read_text()) == header:
            path.write_text("[]")


CHANGES: list[Callable[[Path, random.Random], None]] = [flip, truncate, delete, swap, lengthen, foreign_file, rewritten]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", range(6))
def test_every_change_is_seen(change, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """42 changes: a store of one's own is refused, naming the folder, and one of the cache is made again, with one
    note.
    """
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path / "cache"))
    own, draw = tmp_path / "own", random.Random(seed)
    store().save(own)
    assert equal(GraphStore.load(own), store())
    change(own, draw)
    with pytest.raises(DataError, match="Remedy") as caught:
        GraphStore.load(own)
    assert str(own) in str(caught.value)
    cached("x", store)
    change(tmp_path / "cache" / "x", draw)
    again = cached("x", store)
    assert equal(again, store())
    assert [note for note in again.notes if "made again" in note] == again.notes[1:]
    made: list[int] = []
    assert cached("x", lambda: made.append(1) or store()).notes == ["a note"]
    assert not made


def test_another_data_set_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole and sound, and not what was asked for."""
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path))
    cached("x", store)
    cached("y", lambda: store(1))
    shutil.rmtree(tmp_path / "x")
    shutil.copytree(tmp_path / "y", tmp_path / "x")
    again = cached("x", store)
    assert equal(again, store())
    assert "it holds 'y'" in again.notes[-1]


def test_particles_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path))
    sizes = {"train": 2, "validation": 0, "test": 0, "progress": False}
    first = nbody(**sizes)
    positions = first.field("pos").clone()
    (folder,) = tmp_path.iterdir()
    np.save(folder / "pos.npy", 2 * positions.numpy())
    again = nbody(**sizes)
    assert torch.equal(again.field("pos"), positions)
    assert any("made again" in note for note in again.notes)


def test_the_packages_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be made again is an error that names the file."""
    text = gzip.decompress(embedded.ETHANOL.read_bytes()).replace(b"0.", b"1.", 1)
    (tmp_path / "ethanol.xyz.gz").write_bytes(gzip.compress(text))
    monkeypatch.setattr(embedded, "ETHANOL", tmp_path / "ethanol.xyz.gz")
    with pytest.raises(DataError, match=r"ethanol\.xyz\.gz: the file is damaged[\s\S]*reinstall"):
        embedded.ethanol()
    (tmp_path / "qm9pack" / "data").mkdir(parents=True)
    (tmp_path / "qm9pack" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in PARTS:
        (tmp_path / "qm9pack" / "data" / name).write_text("Index\n")
    with pytest.raises(DataError, match=r"qm9_part1\.csv: the table is damaged"):
        csv_files()


def test_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    store().save(tmp_path / "s")
    lines = (tmp_path / "s" / "SHA256SUMS").read_text().splitlines()
    assert len(lines) == len(list((tmp_path / "s").iterdir())) - 1
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "s" / name).read_bytes()).hexdigest() == digest
