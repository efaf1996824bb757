"""Plain and extended xyz, and the raw files of QM9: frame by frame, with the number of the line in every complaint.

Names that the format itself gives a meaning to (``Lattice``, ``pbc``, ``Properties``, ``species``, ``pos``, ...) count
in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from intertwine.data.elements import elements
from intertwine.data.frames import Frame, place
from intertwine.data.properties import QM9
from intertwine.numerics import DataError

PLAIN = "species:S:1:pos:R:3"
SPECIES = ("species", "symbols", "element", "elements")
NUMBERS = ("z", "numbers", "atomic_numbers")
POSITIONS = ("pos", "positions")
MOST_ATOMS = 10**9  # atoms


def read_xyz(file: Iterator[str], path: Any, size: int | None = None) -> Iterator[Frame]:
    """Frames of an xyz file, one at a time.

    Args:
        file: the lines.
        path: how messages name the file.
        size: bytes of the file, if known: no frame can have more atoms than that many bytes hold.

    Raises:
        DataError: the file is truncated or a line is not what the format wants; file, frame and line are named.
    """
    number, frame = 0, 0
    for line in file:
        number += 1
        if not line.strip():  # blank lines between frames and at the end
            continue
        where = place(path, frame)
        atoms = _count(line)
        if atoms is None:
            text, remedy = line.strip()[:40], "is the frame before it complete?"
            raise DataError(f"line {number} should be the number of atoms and is {text!r}", where=where, remedy=remedy)
        remedy = "the file is truncated; get it again or delete that frame."
        if atoms > min(MOST_ATOMS, MOST_ATOMS if size is None else size):
            raise DataError(
                f"line {number} says {atoms:,} atoms, more than the file can hold", where=where, remedy=remedy
            )
        lines = list(islice(file, atoms + 1))
        if len(lines) < atoms + 1:
            raise DataError(
                f"the file ends after {max(len(lines) - 1, 0)} of {atoms} atoms", where=where, remedy=remedy
            )
        number += 1
        if re.match(r"gdb(_9)?\s+\d+\s", lines[0]):
            yield _qm9_frame(lines, number, where)
            number += len(list(islice(file, 3)))  # frequencies, SMILES, InChI
        else:
            yield _frame(lines, number, where)
        number += atoms
        frame += 1


def _count(line: str) -> int | None:
    """The number of atoms that a line announces; None if it is something else."""
    words = line.split()
    return (
        int(words[0]) if len(words) == 1 and words[0].isascii() and words[0].isdigit() and len(words[0]) < 100 else None
    )


def _frame(lines: list[str], number: int, where: str) -> Frame:
    values = _comment(lines[0], number, where)
    layout = _layout(str(_take(values, ("properties",)) or PLAIN), number, where)
    columns = _columns(lines[1:], layout, number + 1, where)
    positions = _take(columns, POSITIONS)
    if positions is None or positions.shape[1:] != (3,):
        raise DataError(
            "the columns hold no positions", where=where, remedy="the comment line's Properties must name pos:R:3."
        )
    symbols, charges = _take(columns, SPECIES), _take(columns, NUMBERS)
    if symbols is not None:
        # LAMMPS writes this comment, and by default the types in place of the elements
        typed = re.match(r"\s*Atoms\. Timestep: ", lines[0]) is not None
        numbers, masses = elements([str(symbol) for symbol in symbols.tolist()], number + 1, where, typed=typed)
        if masses is not None and "masses" not in columns:
            columns["masses"] = masses
    elif charges is not None:
        numbers = charges.astype(np.int64)
    else:
        raise DataError(
            "the columns hold no elements",
            where=where,
            remedy="the comment line's Properties must name species:S:1 or Z:I:1.",
        )
    units = {name.removesuffix("_unit"): str(values[name]) for name in values if name.endswith("_unit")}
    cell, pbc = _box(values, number, where)
    return Frame(numbers, positions, where, cell, pbc, values, columns, units, reader="xyz", comment=lines[0].strip())


def _box(values: dict[str, Any], number: int, where: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The cell, its vectors as rows, and the periodicity, taken out of the comment's values."""
    cell, pbc = _take(values, ("lattice",)), _take(values, ("pbc",))
    try:
        if cell is not None:
            cell = np.asarray(cell, dtype=np.float64).reshape(3, 3)
        if pbc is not None:
            words = [str(word).lower() for word in np.ravel(pbc)]
            if len(words) not in (1, 3) or not set(words) <= {"t", "f", "true", "false", "0", "1"}:
                raise ValueError(f"pbc is {' '.join(words)[:40]!r}")
            pbc = np.resize([word in ("t", "true", "1") for word in words], 3)
    except (TypeError, ValueError) as error:
        remedy = 'write Lattice="ax ay az bx by bz cx cy cz" and pbc="T T T".'
        raise DataError(
            f"Lattice or pbc in line {number} can't be read: {error}", where=where, remedy=remedy
        ) from error
    return cell, pbc


def _columns(
    lines: list[str], layout: list[tuple[str, str, int, int]], first: int, where: str
) -> dict[str, np.ndarray]:
    """The columns of the atoms' lines, by name."""
    rows = [line.split() for line in lines]
    width = layout[-1][3]
    short = next((k for k, row in enumerate(rows) if len(row) < width), None)
    if short is not None:
        what = f"line {first + short} has {len(rows[short])} columns instead of {width}"
        raise DataError(what, where=where, remedy="repair or delete that frame.")
    columns: dict[str, np.ndarray] = {}
    for name, kind, start, stop in layout:
        words = [row[start:stop] for row in rows]
        if kind == "S":
            columns[name] = np.array(words)[:, 0] if words else np.empty(0, dtype=str)
        elif kind == "L":
            columns[name] = np.array([[word.lower() in ("t", "true", "1") for word in row] for row in words]).reshape(
                -1, stop - start
            )
        else:
            whole = _whole(words) if kind == "I" and name.lower() not in (*POSITIONS, "masses") else None
            numbers = _numbers(words, name, first, where) if whole is None else whole
            columns[name] = numbers.reshape(-1, stop - start)
        if stop - start == 1 and kind != "S":
            columns[name] = columns[name][:, 0]
    return columns


def _comment(line: str, number: int, where: str) -> dict[str, Any]:
    """The key=value pairs of a comment line; stress, virial and lattice as flat arrays: both 6 and 9 components are in
    use.
    """
    from ase.io.extxyz import key_val_str_to_dict

    if "=" not in line:
        return {}
    try:
        pairs = key_val_str_to_dict(re.sub(r"(?i)\b(stress|virial|lattice)(\s*=)", r"\1__\2", line))
    except (ValueError, KeyError, IndexError, RecursionError) as error:
        raise DataError(
            f"the comment in line {number} can't be read: {str(error)[:80]}",
            where=where,
            remedy='write key=value pairs, lists in "quotes".',
        ) from error
    return {name.removesuffix("__"): value for name, value in pairs.items() if not _is_number(name)}


def _is_number(word: str) -> bool:
    """Words of a comment that are no names: ``-17.2 converged=true``."""
    try:
        float(word)
    except ValueError:
        return False
    return True


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
            f"Properties in line {number} can't be read: {error}",
            where=where,
            remedy="write name:kind:columns, the kind S, R, I or L.",
        ) from error
    return layout


def _whole(words: list[list[str]]) -> np.ndarray | None:
    """Columns of text as int64, so that they are written as whole numbers again; None where they are not."""
    try:
        return np.array(words, dtype=np.int64)
    except (ValueError, OverflowError):
        return None


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


def _take(quantities: dict[str, Any], names: tuple[str, ...]) -> Any:
    """Remove and return the best of the names that is there, in any case; None if none is."""
    for name in names:
        for key in quantities:
            if key.lower() == name:
                return quantities.pop(key)
    return None


def _qm9_frame(lines: list[str], number: int, where: str) -> Frame:
    """One molecule of QM9 as published: the comment is "gdb <index>" and 15 numbers, atoms have a Mulliken charge
    behind them.
    """
    rows = [line.split() for line in lines[1:]]
    words = lines[0].split()[2:]
    if len(words) < 15 or any(len(row) < 5 for row in rows):
        raise DataError("a molecule of QM9 lacks columns", where=where, remedy="the file is truncated; get it again.")
    numbers = _numbers([words[3:15]], "properties", number, where).reshape(-1)  # after the three rotational constants
    body = _numbers([row[1:5] for row in rows], "pos", number + 1, where).reshape(-1, 4)
    values = {target.name: float(value) for target, value in zip(QM9.values(), numbers, strict=True)}
    units = {target.name: target.raw for target in QM9.values()}
    species, _ = elements([row[0] for row in rows], number + 1, where)
    return Frame(
        species, body[:, :3], where, values=values, columns={"mulliken": body[:, 3]}, units=units, reader="qm9"
    )
