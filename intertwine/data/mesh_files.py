"""Meshes of OFF and PLY files (ascii, and binary of both byte orders), as vertices and triangles."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from intertwine.data.opening import COMPRESSED, DAMAGED, ending, require_file, shown
from intertwine.numerics import DataError

ENDINGS = (".off", ".ply")
REMEDY = "get the file again, or write it as OFF or PLY with another program."
PLY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
PLY_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
CORNERS = ("vertex_indices", "vertex_index")


class Mesh(NamedTuple):
    """Vertices (v, 3) and the triangles between them (t, 3), by their numbers; none of a cloud of points."""

    vertices: Float[np.ndarray, "v 3"]
    triangles: Int[np.ndarray, "t 3"]


def is_mesh(path: Path) -> bool:
    """Whether a file's name says that it is a mesh, gzipped or not."""
    return ending(path)[0] in ENDINGS


def read_mesh(path: str | Path) -> Mesh:
    """The mesh of a file; polygons are cut into triangles at their first corner.

    Raises:
        DataError: the file is missing, damaged, truncated or of another format; it has no vertices, a coordinate that
            is not finite, or a face of a vertex that is not there. File and place are named.
    """
    path = Path(path)
    require_file(path)
    where, (kind, packing) = shown(path), ending(path)
    try:
        with COMPRESSED.get(packing, open)(path, "rb") as file:
            content: bytes = file.read()
    except DAMAGED as error:
        raise DataError(f"the file is damaged: {error}", where=where, remedy=REMEDY) from error
    mesh = _off(content, where) if kind == ".off" else _ply(content, where)
    v, t = mesh
    if not len(v):
        raise DataError("the mesh is empty: it has no vertices", where=where, remedy=REMEDY)
    if not np.isfinite(v).all():
        k = int(np.flatnonzero(~np.isfinite(v).all(1))[0])
        raise DataError(f"vertex {k} has a coordinate that is not finite", where=where, remedy=REMEDY)
    if len(t) and not 0 <= t.min() <= t.max() < len(v):
        bad = int(t[(t < 0) | (t >= len(v))][0])
        raise DataError(f"a face has the vertex {bad}, and there are {len(v)}", where=where, remedy=REMEDY)
    return mesh


def _off(content: bytes, where: str) -> Mesh:
    """OFF: a word, three counts, vertices, faces; comments begin with #. The word may stand before the counts without
    a space, as in some files of ModelNet."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("no text: a binary OFF file is not read", where=where, remedy=REMEDY) from error
    lines = [line.split("#")[0].split() for line in text.splitlines()]
    tokens, numbers = [], []
    for number, line in enumerate(lines, 1):
        tokens += line
        numbers += [number] * len(line)
    word = tokens[0] if tokens else ""
    head, _, glued = word.partition("OFF")
    if not word or "OFF" not in word or any(letter not in "STCNst4n" for letter in head) or "4" in head or "n" in head:
        raise DataError("no OFF file: it does not begin with OFF", where=where, remedy=REMEDY)
    if "BINARY" in tokens[:2]:
        raise DataError("a binary OFF file is not read", where=where, remedy=REMEDY)
    tokens, numbers = ([glued] if glued else []) + tokens[1:], ([1] if glued else []) + numbers[1:]
    columns = 3 + 3 * ("N" in head) + 4 * ("C" in head) + 2 * ("ST" in head)
    at = 0

    def take(count: int, kind: type, what: str) -> list:
        nonlocal at
        values = tokens[at : at + count]
        if len(values) < count:
            last = f"line {numbers[-1]}" if numbers else "its first line"
            raise DataError(f"the file is truncated: it ends at {last}, within {what}", where=where, remedy=REMEDY)
        try:
            made = [kind(value) for value in values]
        except ValueError as error:
            place = next(k for k, value in enumerate(values) if not _is(kind, value))
            what = f"{values[place]!r} is no number, within {what}"
            raise DataError(what, where=f"{where}, line {numbers[at + place]}", remedy=REMEDY) from error
        at += count
        return made

    vertices, faces, _ = take(3, int, "the counts")
    if "C" in head:  # colours may have three or four numbers: the lines tell
        body = [line for line in lines if line]
        first = 2 if not glued and len(body[0]) == 1 else 1
        columns = len(body[first]) if vertices and first < len(body) else columns
    v = np.array(take(columns * vertices, float, "the vertices"), dtype=np.float64).reshape(vertices, columns)[:, :3]
    polygons = []
    row = numbers[at] if at < len(numbers) else 0
    for k in range(faces):
        count = take(1, int, f"face {k}")[0]
        row = numbers[at - 1]
        polygons.append(take(max(count, 0), int, f"face {k}"))
        while at < len(tokens) and numbers[at] == row and k + 1 < faces:  # colours of the face
            at += 1
    return Mesh(v, _triangles(polygons))


def _is(kind: type, text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _triangles(polygons: list[list[int]]) -> np.ndarray:
    """A fan of each polygon; what has fewer than three corners has no area."""
    fans = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]
    return np.array(fans, dtype=np.int64).reshape(-1, 3)


class _Element(NamedTuple):
    """An element of a PLY header: name, number of rows, and of each property its name, type, and type of the count of
    a list or ""."""

    name: str
    rows: int
    properties: list[tuple[str, str, str]]


def _ply(content: bytes, where: str) -> Mesh:
    order, elements, start = _ply_header(content, where)
    reader = _Ascii(content[start:], where) if order == "=" else _Binary(content, start, order, where)
    vertices, triangles = np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)
    for element in elements:
        columns = reader.rows(element)
        if element.name == "vertex":
            if not {"x", "y", "z"} <= columns.keys():
                raise DataError("vertices have no x, y and z", where=where, remedy=REMEDY)
            vertices = np.stack([np.asarray(columns[axis], dtype=np.float64) for axis in "xyz"], axis=1)
        elif element.name == "face":
            name = next((name for name in CORNERS if name in columns), None)
            if element.rows and name is None:
                raise DataError("faces have no vertex_indices", where=where, remedy=REMEDY)
            triangles = _triangles([list(map(int, p)) for p in columns[name]]) if name is not None else triangles
    return Mesh(vertices.reshape(-1, 3), triangles)


def _ply_header(content: bytes, where: str) -> tuple[str, list[_Element], int]:
    """The byte order ("=" of text), the elements, and where their rows begin."""
    mark = content.find(b"end_header")
    end = content.find(b"\n", mark)
    if not content.startswith(b"ply") or mark < 0 or end < 0:
        what = "no PLY file: it does not begin with ply" if not content.startswith(b"ply") else "the header has no end"
        raise DataError(what, where=where, remedy=REMEDY)
    order, elements = "", []
    for number, line in enumerate(content[:mark].decode("latin-1").splitlines(), 1):
        match line.split():
            case ["format", name, *_] if name in PLY_ORDERS:
                order = PLY_ORDERS[name]
            case ["element", name, count] if count.isdecimal():
                elements.append(_Element(name, int(count), []))
            case ["property", "list", counts, kind, name] if elements and {counts, kind} <= PLY_TYPES.keys():
                elements[-1].properties.append((name, PLY_TYPES[kind], PLY_TYPES[counts]))
            case ["property", kind, name] if elements and kind in PLY_TYPES:
                elements[-1].properties.append((name, PLY_TYPES[kind], ""))
            case ["ply"] | ["comment" | "obj_info", *_] | []:
                pass
            case _:
                what = f"{line.strip()[:60]!r} is not understood"
                raise DataError(what, where=f"{where}, line {number}", remedy=REMEDY)
    if not order or not any(element.name == "vertex" for element in elements):
        raise DataError("the header names no format or no vertices", where=where, remedy=REMEDY)
    return order, elements, end + 1


class _Ascii:
    """Rows of elements from words."""

    def __init__(self, content: bytes, where: str) -> None:
        self.words, self.at, self.where = content.split(), 0, where

    def rows(self, element: _Element) -> dict[str, list]:
        columns: dict[str, list] = {name: [] for name, _, _ in element.properties}
        for row in range(element.rows):
            for name, _, counts in element.properties:
                place = f"{element.name} {row}"
                if counts:
                    columns[name].append([self._number(place) for _ in range(int(self._number(place)))])
                else:
                    columns[name].append(self._number(place))
        return columns

    def _number(self, place: str) -> float:
        if self.at >= len(self.words):
            raise DataError(f"the file is truncated: it ends within {place}", where=self.where, remedy=REMEDY)
        word = self.words[self.at]
        self.at += 1
        try:
            return float(word)
        except ValueError as error:
            what = f"{word.decode('latin-1')[:30]!r} is no number, in {place}"
            raise DataError(what, where=self.where, remedy=REMEDY) from error


class _Binary:
    """Rows of elements from bytes of one order."""

    def __init__(self, content: bytes, start: int, order: str, where: str) -> None:
        self.content, self.at, self.order, self.where = content, start, order, where

    def rows(self, element: _Element) -> dict[str, list | np.ndarray]:
        if not any(counts for _, _, counts in element.properties):
            kind = np.dtype([(name, self.order + code) for name, code, _ in element.properties])
            table = self._take(kind, element.rows, element.name)
            return {name: table[name] for name, _, _ in element.properties}
        columns: dict[str, list | np.ndarray] = {name: [] for name, _, _ in element.properties}
        for row in range(element.rows):
            for name, code, counts in element.properties:
                place, kind = f"{element.name} {row}", np.dtype(self.order + code)
                number = int(self._take(np.dtype(self.order + counts), 1, place)[0]) if counts else 1
                values = self._take(kind, number, place)
                columns[name].append(values.tolist() if counts else values[0])  # type: ignore[union-attr]
        return columns

    def _take(self, kind: np.dtype, count: int, place: str) -> np.ndarray:
        size = kind.itemsize * count
        if count < 0 or self.at + size > len(self.content):
            raise DataError(f"the file is truncated: it ends within {place}", where=self.where, remedy=REMEDY)
        values = np.frombuffer(self.content, kind, count, self.at)
        self.at += size
        return values
