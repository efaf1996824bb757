"""Plain and extended xyz, and the raw files of QM9: frame by frame, with the number of the line in every complaint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from intertwine.data.frames import Frame, place
from intertwine.data.properties import QM9
from intertwine.numerics import DataError

PLAIN = "species:S:1:pos:R:3"
SPECIES = ("species", "symbols", "element", "elements")
NUMBERS = ("Z", "numbers", "atomic_numbers")
POSITIONS = ("pos", "positions")


def read_xyz(file: Iterator[str], path: Any) -> Iterator[Frame]:
    """Frames of an xyz file, one at a time.

    Raises:
        DataError: the file is truncated or a line is not what the format wants; file, frame and line are named.
    """
    from ase.data import atomic_numbers

    number, frame = 0, 0
    for line in file:
        number += 1
        if not line.strip():  # blank lines between frames and at the end
            continue
        where = place(path, frame)
        try:
            atoms = int(line.split()[0]) if len(line.split()) == 1 else -1
        except ValueError:
            atoms = -1
        if atoms < 0:
            found = line.strip()[:40]
            raise DataError(
                f"line {number} should be the number of atoms and is {found!r}", where=where, remedy="is the frame before it complete?"
            )
        lines = list(islice(file, atoms + 1))
        if len(lines) < atoms + 1:
            raise DataError(
                f"the file ends after {max(len(lines) - 1, 0)} of {atoms} atoms",
                where=where,
                remedy="the file is truncated; get it again or delete that frame.",
            )
        number += 1
        if re.match(r"gdb(_9)?\s+\d+\s", lines[0]):
            yield _qm9_frame(lines, number, where, atomic_numbers)
            number += len(list(islice(file, 3)))  # frequencies, SMILES, InChI
        else:
            yield _frame(lines, number, where, atomic_numbers)
        number += atoms
        frame += 1


def _frame(lines: list[str], number: int, where: str, elements: dict[str, int]) -> Frame:
    values = _comment(lines[0], number, where)
    layout = _layout(str(values.pop("Properties", PLAIN)), number, where)
    rows = [line.split() for line in lines[1:]]
    width = layout[-1][3]
    short = next((k for k, row in enumerate(rows) if len(row) < width), None)
    if short is not None:
        raise DataError(
            f"line {number + 1 + short} has {len(rows[short])} columns instead of {width}",
            where=where,
            remedy="repair or delete that frame.",
        )
    columns: dict[str, np.ndarray] = {}
    for name, kind, start, stop in layout:
        words = [row[start:stop] for row in rows]
        if kind == "S":
            columns[name] = np.array(words)[:, 0] if words else np.empty(0, dtype=str)
        elif kind == "L":
            columns[name] = np.array([[word.lower() in ("t", "true", "1") for word in row] for row in words]).reshape(-1, stop - start)
        else:
            columns[name] = _numbers(words, name, number + 1, where).reshape(-1, stop - start)
        if stop - start == 1 and kind != "S":
            columns[name] = columns[name][:, 0]
    positions = _take(columns, POSITIONS)
    if positions is None or positions.shape[1:] != (3,):
        raise DataError("the columns hold no positions", where=where, remedy="the comment line's Properties must name pos:R:3.")
    symbols, charges = _take(columns, SPECIES), _take(columns, NUMBERS)
    if symbols is not None:
        numbers = _elements(symbols.tolist(), elements, number + 1, where)
    elif charges is not None:
        numbers = charges.astype(np.int64)
    else:
        raise DataError("the columns hold no elements", where=where, remedy="the comment line's Properties must name species:S:1 or Z:I:1.")
    cell, pbc = values.pop("Lattice", None), values.pop("pbc", None)
    if pbc is not None:
        pbc = np.resize(np.asarray(pbc, dtype=bool), 3)
    units = {name.removesuffix("_unit"): str(values[name]) for name in values if name.endswith("_unit")}
    return Frame(numbers, positions, where, None if cell is None else np.ascontiguousarray(cell.T), pbc, values, columns, units)


def _comment(line: str, number: int, where: str) -> dict[str, Any]:
    """The key=value pairs of a comment line; stress and virial as flat arrays, since both 6 and 9 components are in use."""
    from ase.io.extxyz import key_val_str_to_dict

    if "=" not in line:
        return {}
    try:
        pairs = key_val_str_to_dict(re.sub(r"\b(stress|virial)(\s*=)", r"\1__\2", line))
    except (ValueError, KeyError, IndexError) as error:
        raise DataError(
            f"the comment in line {number} can't be read: {error}", where=where, remedy='write key=value pairs, lists in "quotes".'
        ) from error
    return {name.removesuffix("__"): value for name, value in pairs.items()}


def _layout(properties: str, number: int, where: str) -> list[tuple[str, str, int, int]]:
    """Name, kind and range of columns of each entry of Properties=name:kind:count:..."""
    words = properties.split(":")
    try:
        if len(words) % 3 or not words:
            raise ValueError(f"{len(words)} words")
        layout, start = [], 0
        for name, kind, count in zip(words[::3], words[1::3], words[2::3], strict=True):
            if kind not in "SRIL" or int(count) < 1:
                raise ValueError(f"{name}:{kind}:{count}")
            layout.append((name, kind, start, start + int(count)))
            start += int(count)
    except ValueError as error:
        raise DataError(
            f"Properties in line {number} can't be read: {error}", where=where, remedy="write name:kind:columns, the kind S, R, I or L."
        ) from error
    return layout


def _numbers(words: list[list[str]], name: str, first: int, where: str) -> np.ndarray:
    """Columns of text as float64; also 1.5*^-6 (Mathematica, in QM9) and 1.5D-6 (Fortran)."""
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        values = []
        for k, row in enumerate(words):
            for word in row:
                try:
                    values.append(float(word.replace("*^", "e").replace("D", "e").replace("d", "e")))
                except ValueError as error:
                    raise DataError(
                        f"{word!r} in line {first + k} is not a number (column {name!r})",
                        where=where,
                        remedy="repair or delete that frame.",
                    ) from error
        return np.array(values)


def _elements(symbols: list[str], elements: dict[str, int], first: int, where: str) -> np.ndarray:
    numbers = []
    for k, symbol in enumerate(symbols):
        z = int(symbol) if symbol.isdigit() else elements.get(symbol.capitalize(), 0)
        if not 1 <= z <= 118:
            raise DataError(
                f"unknown element {symbol!r} in line {first + k}",
                where=where,
                remedy="use chemical symbols such as H, C, O, or atomic numbers.",
            )
        numbers.append(z)
    return np.array(numbers, dtype=np.int64)


def _take(columns: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    return next((columns.pop(name) for name in names if name in columns), None)


def _qm9_frame(lines: list[str], number: int, where: str, elements: dict[str, int]) -> Frame:
    """One molecule of QM9 as published: the comment is "gdb <index>" and 15 numbers, atoms have a Mulliken charge behind them."""
    rows = [line.split() for line in lines[1:]]
    words = lines[0].split()[2:]
    if len(words) < 15 or any(len(row) < 5 for row in rows):
        raise DataError("a molecule of QM9 lacks columns", where=where, remedy="the file is truncated; get it again.")
    numbers = _numbers([words[3:15]], "properties", number, where).reshape(-1)  # after the three rotational constants
    body = _numbers([row[1:5] for row in rows], "pos", number + 1, where).reshape(-1, 4)
    values = {target.name: float(value) for target, value in zip(QM9.values(), numbers, strict=True)}
    units = {target.name: target.raw for target in QM9.values()}
    species = _elements([row[0] for row in rows], elements, number + 1, where)
    return Frame(species, body[:, :3], where, values=values, columns={"mulliken": body[:, 3]}, units=units)
