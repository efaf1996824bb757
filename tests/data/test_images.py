"""Images from IDX files and from the package, and entries that are turned by a seeded protocol."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine.data import GraphStore, open_dataset
from intertwine.data.idx import read_idx, read_images
from intertwine.data.images import image_store
from intertwine.data.shapes import SHAPES, cloud, shapes, voxels
from intertwine.data.spherical import on_sphere, spherical_digits
from intertwine.data.turning import rotation, turned_store
from intertwine.geometry import Graph, rasters, turned_images
from intertwine.models import SteerableCNN
from intertwine.numerics import DataError, InputError
from intertwine.o3 import Irreps, spherical_harmonics
from intertwine.tasks import Autoencoder
from intertwine.training.config import wants_labels
from intertwine.training.options import DataOptions
from intertwine.training.sets import open_sets

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "images"
CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx(array: np.ndarray) -> bytes:
    code = CODES[array.dtype.str[1:]]
    head = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def written(folder: Path, images: np.ndarray, labels: np.ndarray, packed: bool = False) -> Path:
    for name, array in {"a-images-idx3-ubyte": images, "a-labels-idx1-ubyte": labels}.items():
        content = gzip.compress(idx(array)) if packed else idx(array)
        (folder / (name + ".gz" * packed)).write_bytes(content)
    return folder / ("a-images-idx3-ubyte" + ".gz" * packed)


def some(n: int = 6, rows: int = 5, columns: int = 5) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (n, rows, columns)).astype(np.uint8), (np.arange(n) % 3).astype(np.uint8)


def few(**sizes: int) -> GraphStore:
    images, labels = some(**sizes)
    return image_store(images.astype(np.float32), labels.astype(np.int64), name="few")


@pytest.mark.parametrize("code", CODES)
def test_every_type_of_number_is_read(tmp_path: Path, code: str) -> None:
    array = np.array([[1, 2, 3], [4, 5, 100]], dtype=code)
    (tmp_path / "a.idx").write_bytes(idx(array))
    assert np.array_equal(read_idx(tmp_path / "a.idx"), array)
    assert read_idx(tmp_path / "a.idx").dtype == array.dtype


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
def test_images_find_their_labels(tmp_path: Path, packed: bool) -> None:
    images, labels = some()
    path = written(tmp_path, images, labels, packed)
    store = open_dataset(path, progress=False)
    assert (store.domain, store.task, store.classes) == ("image", "classification", {"label": ("0", "1", "2")})
    assert store.fields["x"].dtype == store.fields["pos"].dtype == torch.float32
    for k in range(6):
        graph = store[k]
        image = rasters(graph, graph.x).values[0, 0]
        assert torch.equal(image, torch.from_numpy(images[k].astype(np.float32)) / 255)
        assert graph.label.tolist() == [labels[k]]
    assert len(open_dataset(path, limit=2, progress=False)) == 2


def bad(folder: Path, kind: str) -> Path:
    images, labels = some()
    if kind == "labels of another count":
        return written(folder, images, labels[:4])
    if kind == "a pixel that is NaN":
        numbers = images.astype(np.float32)
        numbers[3, 1, 1] = np.nan
        return written(folder, numbers, labels)
    if kind == "a negative label":
        return written(folder, images, -labels.astype(np.int8))
    path = written(folder, images, labels)
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[:-7])
    elif kind == "too long":
        path.write_bytes(content + b"\0")
    elif kind == "truncated header":
        path.write_bytes(content[:9])
    elif kind == "no IDX":
        path.write_bytes(b"PNG" + content)
    elif kind == "no labels":
        (folder / "a-labels-idx1-ubyte").unlink()
    elif kind == "damaged gzip":
        path.write_bytes(gzip.compress(content)[:-20])
    elif kind == "labels for images":
        return folder / "a-labels-idx1-ubyte"
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("labels of another count", "a-labels-idx1-ubyte: 4 labels for 6 images"),
        ("a pixel that is NaN", "a-images-idx3-ubyte: image 3 has a pixel that is not finite"),
        ("a negative label", "label -1 of image 1"),
        ("truncated", "the file is truncated: it has 143 bytes of numbers, and 6 x 5 x 5 of them are 150"),
        ("too long", "the file is too long"),
        ("truncated header", "its header is not whole"),
        ("no IDX", "no IDX file"),
        ("no labels", r"no file of labels beside it \(a-labels-idx1-ubyte or a-labels-idx1-ubyte.gz\)"),
        ("damaged gzip", "the file is damaged"),
        ("labels for images", "an array of 6, not images"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(bad(tmp_path, kind), progress=False)


def test_the_digits_of_the_package() -> None:
    store = open_dataset("digits", progress=False)
    parts = store.splits.to_dict()
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [1200, 97, 500]
    assert sorted(k for part in parts.values() for k in part) == list(range(1797))
    assert torch.bincount(store.field("label")).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # UCI
    assert store.fields["x"].min() == 0
    assert store.fields["x"].max() == 1
    first = store[0].x.reshape(8, 8) * 16
    assert first[0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]  # as scikit-learn documents it


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no data at {SHARED}")
def test_the_mnist_file() -> None:
    store = open_dataset(SHARED / "t10k-images-idx3-ubyte.gz", progress=False)
    assert len(store) == 10_000
    assert torch.bincount(store.field("label")).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.parametrize("n", [2, 3])
def test_right_angles_are_exact_and_make_a_group(n: int) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(4, 2, *[5] * n, generator=generator)
    turns = torch.stack([rotation("quarter", n, 0, k) for k in range(4)])
    moved = turned_images(values, turns)
    assert torch.equal(turned_images(moved, turns.transpose(1, 2)), values)
    assert all(torch.equal(moved[k].flatten().sort().values, values[k].flatten().sort().values) for k in range(4))
    if n == 2:
        quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
        assert torch.equal(turned_images(values, quarter), torch.rot90(values, 1, (2, 3)))


def test_interpolation_is_linear() -> None:
    """Turned by 45 degrees a linear ramp is a linear ramp, where nothing comes from outside."""
    side = 9
    store = image_store(np.zeros((1, side, side), np.float32), np.zeros(1, np.int64), name="ramp")
    pos = store[0].pos.double()
    c = 0.5**0.5
    turn = torch.tensor([[c, -c], [c, c]], dtype=torch.float64)
    ramp = (pos @ torch.tensor([2.0, 1.0], dtype=torch.float64)).reshape(1, 1, side, side)
    expected = (pos @ turn) @ torch.tensor([2.0, 1.0], dtype=torch.float64)
    inside = (pos.abs().sum(1) <= 5).reshape(side, side)
    difference = turned_images(ramp, turn)[0, 0] - expected.reshape(side, side)
    assert difference[inside].abs().max() < 1e-12


def test_the_protocol_is_of_each_entry_alone() -> None:
    store = few()
    whole = turned_store(store, "any", 3)
    part = turned_store(store.subset([4, 1]), "any", 3)
    assert torch.equal(part[0].x, whole[4].x)
    some_turned = turned_store(store, "any", 3, [2])
    assert torch.equal(some_turned[2].x, whole[2].x)
    assert torch.equal(some_turned[1].x, store[1].x)
    assert (
        "1 of 6 entries turned by a random rotation each (seed 3, resampled linearly, zero outside)"
        in some_turned.notes
    )
    assert not torch.equal(turned_store(store, "any", 4)[0].x, whole[0].x)
    assert turned_store(store, "none") is store


@pytest.mark.parametrize("how", ["quarter", "z", "any"])
def test_rotations_of_space_are_what_they_say(how: str) -> None:
    turns = torch.stack([rotation(how, 3, 0, k) for k in range(400)])
    identity = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(turns @ turns.transpose(1, 2), identity.expand(400, 3, 3), rtol=0, atol=1e-14)
    assert torch.linalg.det(turns).min() > 0.99
    mean = turns.mean(0)
    assert (mean - (torch.diag(torch.tensor([0.0, 0.0, 1.0])) if how == "z" else 0 * mean)).abs().max() < 0.1
    assert len(torch.unique(turns.round(decimals=6), dim=0)) == (24 if how == "quarter" else 400)


def test_what_cannot_be_turned_is_named() -> None:
    with pytest.raises(InputError, match="an image of 4 x 6 can't be turned within its grid"):
        turned_store(few(rows=4, columns=6), "quarter")
    with pytest.raises(InputError, match="the plane has no z axis"):
        turned_store(few(), "z")
    crystal = GraphStore.from_graphs([Graph(torch.zeros(1, 3), z=[1], cell=torch.eye(3))])
    with pytest.raises(InputError, match="structures that repeat in space can't be turned"):
        turned_store(crystal, "any")


def test_clouds_and_signals_are_moved_as_they_are() -> None:
    clouds = shapes(points=20, parts=(1, 0, 0))
    turned = turned_store(clouds, "any", 1)
    for k in range(3):
        expected = clouds[k].pos.double() - clouds[k].pos.double().mean(0)
        expected = expected @ rotation("any", 3, 1, k).T + clouds[k].pos.double().mean(0)
        torch.testing.assert_close(turned[k].pos.double(), expected, rtol=0, atol=1e-5)
    signals = spherical_digits(lmax=2).subset(range(3))
    moved = turned_store(signals, "any", 1)
    irreps = Irreps.spherical_harmonics(2)
    expected = irreps.transform(rotation("any", 3, 1, 2), signals[2].signal.double())
    torch.testing.assert_close(moved[2].signal.double(), expected, rtol=0, atol=1e-5)


def test_shapes_come_in_pairs() -> None:
    """A left helix is the mirror image of a right one; the other two pairs have one topology and two proportions."""
    store = shapes()
    assert len(store) == 1700
    assert torch.bincount(store.field("label")).tolist() == [170] * 10
    assert torch.equal(store.fields["pos"], shapes().fields["pos"])
    torque = {}
    for kind in ("right helix", "left helix"):
        x = cloud(kind, 0, 0, 20_000, 0.0)
        angle = np.unwrap(np.sort(np.arctan2(x[:, 1], x[:, 0])))
        assert len(angle) == 20_000
        middle = np.abs(x[:, 2]) < 0.3 * x[:, 2].max()  # where the wire winds once, the angle grows with z or falls
        phase = np.angle(np.exp(1j * (np.arctan2(x[middle, 1], x[middle, 0]))) * np.exp(-1j * _start(x)))
        torque[kind] = np.corrcoef(phase, x[middle, 2])[0, 1]
    assert torque["right helix"] > 0.8
    assert torque["left helix"] < -0.8
    radii = [np.linalg.norm(cloud(kind, 0, 1), axis=1) for kind in SHAPES]
    assert all(8 < np.sqrt((r**2).mean()) < 13 for r in radii)


def _start(x: np.ndarray) -> float:
    """The angle of the wire at its middle."""
    near = x[np.abs(x[:, 2]) < 0.5]
    return float(np.angle(np.exp(1j * np.arctan2(near[:, 1], near[:, 0])).mean()))


def test_voxels_are_the_surfaces() -> None:
    store = voxels(parts=(1, 0, 0))
    graph = store[1]
    grid = rasters(graph, graph.x).values[0, 0]
    assert grid.shape == (16, 16, 16)
    assert set(grid.unique().tolist()) == {0.0, 1.0}
    assert grid[8, 8, 8] == 0  # a cube is hollow
    assert 100 < grid.sum() < 400


def test_digits_on_the_sphere_are_seen_where_they_were_laid() -> None:
    image = torch.zeros(1, 8, 8)
    image[0, :4] = 1.0  # its upper half
    c = on_sphere(image, 12)
    points = torch.nn.functional.normalize(torch.tensor([[0.0, 1, 0.5], [0, 1, -0.5], [0, -1, 0.1]]).double(), dim=1)
    f = spherical_harmonics(list(range(13)), points, True, "integral") @ c[0]
    assert abs(float(f[0]) - 1) < 0.25  # up in the image is towards z
    assert f[1:].abs().max() < 0.25
    assert torch.equal(on_sphere(image, 4), on_sphere(image, 4))
    torch.testing.assert_close(on_sphere(image, 4)[:, :9], c[:, :9], rtol=0, atol=1e-12)


def test_images_without_a_name_for_labels(tmp_path: Path) -> None:
    images, _ = some()
    path = tmp_path / "pictures.idx"
    path.write_bytes(idx(images))
    with pytest.raises(DataError, match="its name does not tell that of its labels"):
        read_images(path)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
def test_an_autoencoder_is_trained_on_images_without_labels(tmp_path: Path, packed: bool) -> None:
    path = written(tmp_path, *some(8), packed)
    (tmp_path / ("a-labels-idx1-ubyte" + ".gz" * packed)).unlink()
    data = DataOptions(source=str(path), train=4, validation=2, test_size=2)
    with pytest.raises(DataError, match="no file of labels"):
        open_sets(data, progress=False, labelled=wants_labels("classification"))
    sets = open_sets(data, progress=False, labelled=wants_labels("autoencoder"))
    assert "label" not in sets.source.fields
    torch.manual_seed(0)
    wishes = Autoencoder.suggest(sets.train, None, SteerableCNN, {})
    assert wishes["task"] == {"size": 5, "channels": 1}
    small = {"width": 4, "layers": 1, "kernel": 3, "strides": ()}
    task = Autoencoder(SteerableCNN(**wishes["model"] | small), code=3, moments=4, hidden=8, **wishes["task"])
    task.gather(sets.train[k] for k in range(4))
    assert task.eval()(sets.test[0])["code"].shape == (1, 3)


def test_images_to_be_predicted_need_no_labels(tmp_path: Path) -> None:
    path = written(tmp_path, *some())
    (tmp_path / "a-labels-idx1-ubyte").unlink()
    store = open_dataset(path, labelled=False, limit=4, progress=False)
    assert len(store) == 4
    assert "label" not in store.fields
    assert store[3].x.shape == (25, 1)
