"""Meshes of every format that is read, the clouds that they become, and files that are none."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from intertwine.data import open_dataset
from intertwine.data.mesh_files import Mesh, read_mesh
from intertwine.data.meshes import sample_surface
from intertwine.numerics import DataError, InputError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats" / "off"
CORNERS = np.array([[x, y, z] for x in (0.0, 2.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])  # a box, 2 x 1 x 1
FACES = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
FORMATS = ("off", "glued", "coloured", "ascii", "little", "big", "gz")


def off(vertices=CORNERS, faces=FACES, head: str = "OFF\n", tail: str = "") -> bytes:
    lines = [f"{head}{len(vertices)} {len(faces)} 0"] + [" ".join(map(repr, map(float, v))) for v in vertices]
    return "\n".join([*lines, *(f"{len(f)} " + " ".join(map(str, f)) + tail for f in faces), ""]).encode()


def ply(order: str, vertices=CORNERS, faces=FACES) -> bytes:
    name = {"<": "binary_little_endian", ">": "binary_big_endian", "a": "ascii"}[order]
    head = (
        f"ply\nformat {name} 1.0\ncomment made here\nelement vertex {len(vertices)}\nproperty double x\n"
        "property double y\nproperty double z\nproperty uchar red\nelement edge 1\nproperty int a\n"
        f"element face {len(faces)}\nproperty float area\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode()
    if order == "a":
        rows = [" ".join(map(repr, map(float, v))) + " 7" for v in vertices]
        rows += ["3"] + ["0.5 " + " ".join(map(str, [len(f), *f])) for f in faces]
        return head + "\n".join(rows).encode() + b"\n"
    body = b"".join(struct.pack(order + "dddB", *v, 7) for v in vertices) + struct.pack(order + "i", 3)
    return head + body + b"".join(struct.pack(f"{order}fB{len(f)}i", 0.5, len(f), *f) for f in faces)


def content(form: str) -> tuple[str, bytes]:
    return {
        "off": ("a.off", off()),
        "glued": ("a.off", off(head="# made here\n  OFF")),
        "coloured": ("a.OFF", off(tail=" 0.5 0.5 0.5 1.0 # a colour")),
        "ascii": ("a.ply", ply("a")),
        "little": ("a.ply", ply("<")),
        "big": ("a.ply", ply(">")),
        "gz": ("a.off.gz", gzip.compress(off())),
    }[form]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_mesh(tmp_path: Path, form: str) -> None:
    name, data = content(form)
    (tmp_path / name).write_bytes(data)
    mesh = read_mesh(tmp_path / name)
    assert np.array_equal(mesh.vertices, CORNERS)
    assert mesh.triangles.tolist() == [t for a, b, c, d in FACES for t in ([a, b, c], [a, c, d])]


def test_points_are_uniform_by_area() -> None:
    """Of a box of 2 x 1 x 1 each end has a tenth of the area; points lie on the surface."""
    triangles = np.array([t for a, b, c, d in FACES for t in ([a, b, c], [a, c, d])])
    x = sample_surface(Mesh(CORNERS, triangles), 20_000, np.random.default_rng(0))
    on = [
        (np.abs(x[:, axis] - end) < 1e-12).mean()
        for axis, ends in ((0, (0, 2)), (1, (0, 1)), (2, (0, 1)))
        for end in ends
    ]
    assert np.allclose(on, [0.1, 0.1, 0.2, 0.2, 0.2, 0.2], atol=0.01)
    face = x[np.abs(x[:, 2]) < 1e-12]
    assert np.allclose(face[:, 0].mean(), 1.0, atol=0.03)
    assert np.allclose((face[:, 0] - 1).std(), 2 / 12**0.5, atol=0.02)  # of a uniform density


def folder(tmp_path: Path, modelnet: bool) -> Path:
    for kind, stretch in (("short", 1.0), ("long10", 3.0), ("long2", 2.0)):
        for part, count in (("train", 10), ("test", 2)):
            place = tmp_path / kind / part if modelnet else tmp_path / kind
            place.mkdir(parents=True, exist_ok=True)
            for k in range(count):
                vertices = CORNERS * np.array([stretch, 1.0 + 0.01 * k, 1.0])
                (place / f"{part}{k}.off").write_bytes(off(vertices))
    (tmp_path / "none").mkdir()
    (tmp_path / "short" / ".hidden.off").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("modelnet", [False, True])
def test_sub_folders_are_classes(tmp_path: Path, modelnet: bool) -> None:
    store = open_dataset(folder(tmp_path, modelnet), points=40, progress=False)
    assert store.classes == {"label": ("long2", "long10", "short")}
    assert len(store) == 36
    assert store.domain == "point cloud"
    assert "'none' has no meshes, so it is no class" in store.notes
    assert store.field("label")[:6].tolist() == [0, 1, 2, 0, 1, 2]  # in turn, so that a limit leaves all classes
    for k in range(3):
        pos = store[k].pos
        assert pos.shape == (40, 3)
        assert abs(float(pos.norm(dim=1).max()) - 10) < 1e-4
        assert pos.mean(0).abs().max() < 1e-5
    if modelnet:
        assert [len(store.splits.to_dict()[part]) for part in ("train", "validation", "test")] == [27, 3, 6]
    else:
        assert store.splits is None
    again = open_dataset(tmp_path, points=40, limit=5, progress=False)
    assert len(again) == 5
    assert again[4].pos.equal(store[4].pos)  # a cloud is of its file, however many are read
    assert not open_dataset(tmp_path, points=40, seed=1, progress=False)[0].pos.equal(store[0].pos)


def test_classes_keep_their_numbers_by_name(tmp_path: Path) -> None:
    store = open_dataset(folder(tmp_path, False), points=8, progress=False)
    other = store.numbered_as({"label": ("short", "long10", "long2")})
    assert other.field("label")[:3].tolist() == [2, 1, 0]
    with pytest.raises(DataError, match="12 entries of class 'short', which was never trained"):
        store.numbered_as({"label": ("long2", "long10")})
    assert store.subset([0, 1]).numbered_as({"label": ("long2", "long10")}).field("label").tolist() == [0, 1]


BAD: dict[str, tuple[str, bytes, str]] = {
    "no area": ("a.off", off(CORNERS * [1, 0, 0]), "the mesh has no area: 12 triangles of area 0"),
    "empty": ("a.off", off([], []), "the mesh is empty: it has no vertices"),
    "truncated vertices": ("a.off", off()[:60], "the file is truncated: it ends at line 7, within the vertices"),
    "truncated faces": ("a.off", b"\n".join(off().splitlines()[:-2]), "it ends at line 14, within face 4"),
    "words": ("a.off", off().replace(b"2.0", b"two", 1), "a.off, line 7: 'two' is no number, within the vertices"),
    "no OFF": ("a.off", b"solid x", "it does not begin with OFF"),
    "binary": ("a.off", b"OFF BINARY\n\0\0", "a binary OFF file is not read"),
    "NaN": ("a.off", off([*CORNERS[:7], [0, np.nan, 0]]), "vertex 7 has a coordinate that is not finite"),
    "face": ("a.off", off(faces=[[0, 1, 8]]), "a face has the vertex 8, and there are 8"),
    "one place": ("a.off", off([[1, 1, 1]] * 3, []), "all points of the mesh coincide"),
    "no ply": ("a.ply", b"PLY\n", "it does not begin with ply"),
    "header": ("a.ply", b"ply\nformat ascii 1.0\n", "the header has no end"),
    "property": ("a.ply", ply("a").replace(b"double y", b"real y"), "a.ply, line 6: 'property real y' is not"),
    "no x": ("a.ply", ply("a").replace(b"double x", b"double u"), "vertices have no x, y and z"),
    "truncated text": ("a.ply", ply("a")[:-12], "the file is truncated: it ends within face 5"),
    "truncated bytes": ("a.ply", ply("<")[:-9], "the file is truncated: it ends within face 5"),
    "truncated table": ("a.ply", ply(">")[:420], "the file is truncated: it ends within vertex"),
    "gzip": ("a.off.gz", gzip.compress(off())[:-30], "the file is damaged"),
    "nothing": ("a.off", b"", "the file is empty"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_meshes_are_named(tmp_path: Path, kind: str) -> None:
    name, data, message = BAD[kind]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path / name, points=10, progress=False)


def test_a_cloud_of_points_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_bytes(ply("<", faces=[]))
    store = open_dataset(tmp_path / "a.ply", points=8, progress=False)
    spread = store[0].pos.double()
    assert abs(float((spread[0] - spread[1]).norm())) > 1  # all eight corners, in some order
    assert len({tuple(row) for row in spread.round(decimals=3).tolist()}) == 8


def test_folders_that_are_no_set_are_named(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.off").write_bytes(off())
    with pytest.raises(DataError, match="a single class, 'only'"):
        open_dataset(tmp_path, progress=False)
    (tmp_path / "b.off").write_bytes(off())
    with pytest.raises(DataError, match=r"b.off: a mesh that is in no class's folder"):
        open_dataset(tmp_path, progress=False)
    with pytest.raises(InputError, match=r"data.points: 0 points"):
        open_dataset(tmp_path / "b.off", points=0, progress=False)
    with pytest.raises(InputError, match="keys, units and targets are for structures"):
        open_dataset(tmp_path / "b.off", units={"pos": "Bohr"}, progress=False)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no data at {SHARED}")
@pytest.mark.parametrize(("name", "counts"), [("ballA", (1900, 3796)), ("comments", (8, 12)), ("whitespace", (8, 12))])
def test_files_of_others(name: str, counts: tuple[int, int]) -> None:
    mesh = read_mesh(SHARED / f"{name}.off")
    assert (len(mesh.vertices), len(mesh.triangles)) == counts
