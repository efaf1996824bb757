r"""Clouds of points from meshes: one file, or a folder whose sub-folders are the classes.

A point of a surface is drawn by area: a triangle with the probability of its share, in it
:math:`x = (1 - \sqrt u)\,a + \sqrt u (1 - v)\,b + \sqrt u\,v\,c` with u, v uniform (Osada, Funkhouser, Chazelle and
Dobkin 2002, ACM Transactions on Graphics 21, 807, eq. 1). A cloud is moved to its mean, and scaled so
that its largest distance from it is 10: then 256 points are about as far apart as atoms, for which the cutoffs of the
models are made.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from intertwine.data.folders import is_readable, natural
from intertwine.data.mesh_files import Mesh, is_mesh, read_mesh
from intertwine.data.opening import shown
from intertwine.data.progress import progress_bar
from intertwine.data.splits import Splits
from intertwine.data.store import GraphStore
from intertwine.numerics import DataError, InputError

POINTS, RADIUS = 256, 10.0
PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test", "validation": "validation",
         "valid": "validation", "val": "validation"}  # fmt: skip
VALIDATION_SHARE = 10  # one of so many training meshes validates, where no folder says which


def sample_surface(mesh: Mesh, points: int, draw: np.random.Generator, where: str = "mesh") -> Float[np.ndarray, "n 3"]:
    """Points of a mesh, uniform by area; of one without faces some of its vertices.

    Args:
        mesh: of a file.
        points: how many.
        draw: random numbers.
        where: what messages call it.

    Raises:
        DataError: it has faces and no area.
    """
    vertices, triangles = mesh
    if not len(triangles):
        return vertices[draw.choice(len(vertices), points, replace=len(vertices) < points)]
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    if not 0 < areas.sum() < np.inf:
        what = f"the mesh has no area: {len(triangles)} triangles of area {areas.sum():g}"
        raise DataError(what, where=where, remedy="repair the mesh, or take it out of the folder.")
    k = draw.choice(len(areas), points, p=areas / areas.sum())
    root, v = np.sqrt(draw.uniform(size=(points, 1))), draw.uniform(size=(points, 1))
    return (1 - root) * a[k] + root * (1 - v) * b[k] + root * v * c[k]


def cloud_of(path: Path, points: int, seed: int, name: str) -> Float[np.ndarray, "n 3"]:
    """The cloud of a file, centred, of radius 10.

    Args:
        path: of the mesh.
        points: of the cloud.
        seed: with ``name`` it decides the random numbers.
        name: of the file in its folder.

    Raises:
        DataError: as :func:`read_mesh` and :func:`sample_surface`; all points coincide.
    """
    draw = np.random.default_rng([seed, zlib.crc32(name.encode("utf-8", "surrogateescape"))])
    x = sample_surface(read_mesh(path), points, draw, shown(path))
    x = x - x.mean(0)
    radius = float(np.linalg.norm(x, axis=1).max())
    if points > 1 and not radius > 0:
        raise DataError("all points of the mesh coincide", where=shown(path), remedy="repair or remove the mesh.")
    return x * (RADIUS / (radius or 1.0))


def is_mesh_folder(source: Path) -> bool:
    """Whether a folder has meshes, in itself or up to three folders below, and no file of structures beside them."""
    if not source.is_dir():
        return False
    meshes = any(is_mesh(path) for depth in ("*", "*/*", "*/*/*") for path in source.glob(depth) if path.is_file())
    return meshes and not any(is_readable(path) for path in source.iterdir() if path.is_file())


def read_meshes(
    source: str | Path, *, points: int = POINTS, seed: int = 0, limit: int | None = None, progress: bool = True
) -> GraphStore:
    """Clouds of a mesh or of a folder of meshes: ``pos`` (N, 3) in float32, and ``label`` of those in sub-folders.

    Layouts: FOLDER/class/*.off; FOLDER/class/train/*.off and FOLDER/class/test/*.off (ModelNet's), or the other way
    round, which is then the split: a tenth of the training meshes validates, unless a folder says which.

    Args:
        source: the file or the folder.
        points: of each cloud.
        seed: of the points.
        limit: only so many, of all classes in turn.
        progress: show a bar.

    Raises:
        InputError: no points.
        DataError: a mesh can't be read, or has no area; there are none, or of a single class. The file is named.
    """
    if points < 1:
        raise InputError(f"{points} points", where="data.points", remedy="give 1 or more.")
    source = Path(source).expanduser()
    files = [source] if source.is_file() else sorted((p for p in source.rglob("*") if _wanted(p, source)), key=natural)
    if not files:
        raise DataError("no meshes (.off, .ply)", where=shown(source), remedy="give a folder of classes.")
    places = [_place(path, source) for path in files]
    names = sorted({kind for kind, _ in places if kind}, key=lambda name: natural(Path(name)))
    loose = [path for path, (kind, _) in zip(files, places, strict=True) if not kind]
    if names and loose:
        remedy = "put every mesh into the folder of its class."
        raise DataError("a mesh that is in no class's folder", where=shown(loose[0]), remedy=remedy)
    if len(names) == 1:
        raise DataError(f"a single class, {names[0]!r}", where=shown(source), remedy="give two folders or more.")
    turn: Counter[str] = Counter()
    ranks = []
    for kind, _ in places:
        ranks.append((turn[kind], kind))
        turn[kind] += 1
    order = sorted(range(len(files)), key=lambda k: (ranks[k][0], names.index(ranks[k][1]) if names else 0))[:limit]
    clouds = []
    with progress_bar(f"sampling {source.name}", len(order), progress) as advance:
        for k in order:
            name = str(files[k].relative_to(source)) if source.is_dir() else files[k].name
            clouds.append(cloud_of(files[k], points, seed, name))
            advance(1)
    fields = {"pos": torch.from_numpy(np.concatenate(clouds)).to(torch.float32)}
    if names:
        fields["label"] = torch.tensor([names.index(places[k][0]) for k in order])
    notes = [f"{len(order)} meshes, {points} points each by area (seed {seed}), centred, of radius {RADIUS:g}"]
    notes += [f"{name!r} has no meshes, so it is no class" for name in _empty(source, names)]
    return GraphStore(
        fields, torch.arange(len(order) + 1) * points, {"pos": "node", "label": "graph"} if names else {"pos": "node"},
        name=source.name, notes=notes, splits=_splits([places[k][1] for k in order]),
        classes={"label": names} if names else None, domain="point cloud",
        task="classification" if names else "", target="label" if names else "",
    )  # fmt: skip


def _wanted(path: Path, source: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
    return not hidden and is_mesh(path) and path.is_file()


def _place(path: Path, source: Path) -> tuple[str, str]:
    """The class of a file, and its part; "" where its folders do not say."""
    folders = path.relative_to(source).parts[:-1] if source.is_dir() else ()
    part = next((PARTS[name.lower()] for name in folders if name.lower() in PARTS), "")
    rest = [name for name in folders if name.lower() not in PARTS]
    return (rest[0] if rest else ""), part


def _empty(source: Path, names: Sequence[str]) -> list[str]:
    """Folders beside those of the classes that have no meshes."""
    if not source.is_dir() or not names:
        return []
    folders = [path for path in source.iterdir() if path.is_dir() and not path.name.startswith(".")]
    folders = [inner for path in folders for inner in (path.iterdir() if path.name.lower() in PARTS else [path])]
    return sorted({path.name for path in folders if path.is_dir()} - set(names) - set(PARTS))


def _splits(parts: Iterable[str]) -> Splits | None:
    """What the folders say, where they keep a test set apart."""
    parts = list(parts)
    if "test" not in parts or "train" not in parts:
        return None
    index = {name: [k for k, part in enumerate(parts) if part == name] for name in ("train", "validation", "test")}
    if not index["validation"]:
        shuffled = np.random.default_rng(0).permutation(index["train"])
        kept = len(shuffled) // VALIDATION_SHARE
        index["validation"], index["train"] = sorted(shuffled[:kept].tolist()), sorted(shuffled[kept:].tolist())
    return Splits(index["train"], index["validation"], index["test"])
