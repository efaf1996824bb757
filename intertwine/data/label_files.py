"""The files that `intertwine label` writes: what is in them, what regenerates the rest, and which may be mixed.

An HDF5 file. Its attributes say what it is (``format``, ``schema``) and hold the ``recipe``, a JSON document of
everything that decides the numbers. A group ``molecules/000000`` for each sequence of atomic numbers holds
``atomic_numbers`` (N,), ``conformations`` (C, N, 3), ``frame`` (C,), ``total_charge`` (C,) and the labels, each with
its unit in the attribute ``units``. Symmetric matrices of n orbitals are their upper triangles by rows,
(C, n (n + 1) / 2). ``failures`` holds ``frame`` and ``reason`` of structures without labels, ``remarks`` ``frame`` and
``remark`` of structures whose labels are doubtful.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from intertwine.data.frames import Frame, several
from intertwine.numerics import DataError, InputError

FORMAT, SCHEMA = "intertwine labels", 1
MOLECULES, FAILURES, REMARKS = "molecules", "failures", "remarks"
PACKED = "packed symmetric matrix"
NAMED = 5  # structures that a sentence names
#: What of a recipe makes its labels others than those of another one; versions and thresholds make small differences.
IDENTITY = ("method", "program", "xc", "functionals", "basis", "grid", "spin")
REMEDY = "give a file that `intertwine label` wrote."


@dataclass(frozen=True)
class LabelGroup:
    """The structures of one sequence of atomic numbers, with their labels.

    Args:
        numbers: atomic numbers (N,).
        positions: (C, N, 3) in A.
        frames: numbers of the structures in the file that was labelled (C,).
        labels: by name, a row for each structure; matrices whole, (C, n, n).
        units: of the labels, by name.
    """

    numbers: Int[np.ndarray, " atoms"]
    positions: Float[np.ndarray, "structures atoms 3"]
    frames: Int[np.ndarray, " structures"]
    labels: dict[str, np.ndarray]
    units: dict[str, str]


def read_labels(path: str | Path) -> tuple[dict[str, Any], list[LabelGroup]]:
    """The recipe of a file of labels, and its groups, matrices included.

    Args:
        path: a file that `intertwine label` wrote.

    Raises:
        InputError: h5py is not installed.
        DataError: it is no such file.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            "files of labels need the package h5py", where=str(path), remedy='pip install "intertwine[hdf5]"'
        ) from error
    try:
        with h5py.File(path, "r") as file:
            text = recipe_of(file, str(path))
            if not text:
                raise DataError("no file of labels", where=str(path), remedy=REMEDY)
            return json.loads(text), [_group(group) for group in file[MOLECULES].values()]
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"damaged, or no file of labels: {str(error)[:200]}", where=str(path), remedy=REMEDY) from error


def _group(group: Any) -> LabelGroup:
    known = ("atomic_numbers", "conformations", "frame")
    labels = {name: array[()] for name, array in group.items() if name not in known}
    for name in labels:
        if group[name].attrs.get("format") == PACKED:
            labels[name] = unpacked(labels[name])
    units = {name: str(group[name].attrs["units"]) for name in labels if "units" in group[name].attrs}
    numbers = group["atomic_numbers"][()].astype(np.int64)
    return LabelGroup(numbers, group["conformations"][()], group["frame"][()], labels, units)


def packed(matrix: Float[np.ndarray, "... n n"]) -> Float[np.ndarray, "... pairs"]:
    """The upper triangles of symmetric matrices, by rows.

    >>> packed(np.array([[1.0, 2.0], [2.0, 3.0]]))
    array([1., 2., 3.])
    """
    return matrix[(..., *np.triu_indices(matrix.shape[-1]))]


def unpacked(triangle: Float[np.ndarray, "... pairs"]) -> Float[np.ndarray, "... n n"]:
    """Symmetric matrices of their upper triangles.

    Raises:
        DataError: as many numbers are no triangle.

    >>> unpacked(np.array([1.0, 2.0, 3.0]))
    array([[1., 2.],
           [2., 3.]])
    """
    pairs = triangle.shape[-1]
    n = int((np.sqrt(8 * pairs + 1) - 1) / 2)
    if n * (n + 1) // 2 != pairs:
        raise DataError(f"{pairs} numbers are no triangle of a matrix", where="matrix", remedy=REMEDY)
    rows, columns = np.triu_indices(n)
    matrix = np.zeros((*triangle.shape[:-1], n, n), dtype=triangle.dtype)
    matrix[..., rows, columns] = matrix[..., columns, rows] = triangle
    return matrix


def recipe_of(file: Any, name: str) -> str:
    """The recipe of an open HDF5 file as JSON; "" if it is no file of labels.

    Args:
        file: the file.
        name: how messages name it.

    Raises:
        DataError: it is of a later version of intertwine.
    """
    if file.attrs.get("format") != FORMAT:
        return ""
    if int(file.attrs.get("schema", 0)) > SCHEMA:
        what = f"labels of schema {file.attrs['schema']}; this version reads up to {SCHEMA}"
        raise DataError(what, where=name, remedy="install the intertwine that wrote it, or a later one.")
    return str(file.attrs["recipe"])


def remarks_of(file: Any) -> dict[int, str]:
    """What an open file of labels says against the labels of structures, by the number that each had in the file that
    was labelled; empty where it says nothing.
    """
    if REMARKS not in file:
        return {}
    group = file[REMARKS]
    return dict(zip(group["frame"][()].tolist(), (str(text) for text in group["remark"].asstr()[()]), strict=True))


def remarks_in(path: str | Path) -> dict[int, str]:
    """:func:`remarks_of` of a file that :func:`read_labels` read."""
    import h5py

    with h5py.File(path, "r") as file:
        return remarks_of(file)


def doubtful(places: Mapping[str, str]) -> list[str]:
    """One sentence for each remark, with the structures that it is on.

    Args:
        places: file and frame of a structure (:func:`intertwine.data.frames.place`) -> the remark on its labels.
    """
    by_words: dict[str, list[str]] = {}
    for where, words in places.items():
        by_words.setdefault(words, []).append(where)
    return [f"doubtful labels: {several(those, NAMED)}: {words}" for words, those in by_words.items()]


def described(text: str) -> str:
    """One sentence on a recipe, for the notes of a data set."""
    told = json.loads(text)
    version = told.get("versions", {}).get(told["program"], "")
    grid = "" if told.get("grid") is None else f", grid level {told['grid']}"
    xc = f" ({told['xc']})" if told.get("xc") else ""
    return f"labels: {told['method']}{xc}{grid} by {told['program']} {version}".rstrip()


def check_one_method(frames: Iterable[Frame]) -> Iterator[str]:
    """Notes about the recipes of frames that come from several files of labels.

    Raises:
        DataError: two of the files are of different methods; both are named, and what differs.
    """
    first: dict[str, Frame] = {}
    for frame in frames:
        if frame.recipe:
            first.setdefault(frame.recipe, frame)
    texts = list(first)
    for text in texts[1:]:
        one_recipe, other = json.loads(texts[0]), json.loads(text)
        differing = {key for key in {*one_recipe, *other} if one_recipe.get(key) != other.get(key)}
        files = [first[key].where.rpartition(", frame ")[0] for key in (texts[0], text)]
        if of_method := [key for key in IDENTITY if key in differing]:
            said = "; ".join(f"{key}: {one_recipe.get(key)} and {other.get(key)}" for key in of_method)
            what = f"labels of another method than those of {files[0]} ({said})"
            raise DataError(what, where=files[1], remedy="take one of them out of the folder or the pattern.")
        if small := sorted(differing - {"want", "charge"}):
            yield f"{files[1]}: labelled with other {', '.join(small)} than {files[0]}"
