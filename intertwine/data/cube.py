r"""Gaussian's cube files: values on a regular grid about atoms, read and written.

A file has two lines of comment, the number of atoms with the origin, three lines of counts and steps, a line for each
atom, and the values, of which those along the third step are next to each other. Lengths are in Bohr, or in A if the
counts are negative. A negative number of atoms says that the numbers of orbitals stand before the values, and how many
values each point has. Values have the unit that the program gave them, which the file does not say: a density is in
e / Bohr^3.

Source: Gaussian's documentation of cubegen; the negative counts are as VMD reads them.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.data.opening import DAMAGED, require_file, shown, text
from intertwine.numerics import DataError, InputError, write_atomically
from intertwine.orbitals.basis import BOHR
from intertwine.orbitals.grid import Grid

REPAIR = "get the file again, or write it again."
A_LINE = 6  # values
DECIMALS = 6  # of lengths in Bohr
FORTRAN = re.compile(r"(?<=[\d.])([+-]\d{3})$")  # an exponent of three digits, which has no letter before it
NEGLIGIBLE = 1e-99  # a smaller value needs an exponent of three digits, for which the format has no room
CHARGE = 0.1  # of the nuclei's, by which the sum of a density may be off before its unit is doubted

#: Sums of densities in other units, over that in e / Bohr^3.
CONFUSED = {
    BOHR**3: "its lengths are in A and are said to be in Bohr",
    BOHR**-3: "its values are in e / A^3, or its lengths are in Bohr and are said to be in A",
}


class Cube(NamedTuple):
    """Values on a grid.

    Attributes:
        numbers: atomic numbers; 0 of a point charge.
        pos: positions (A).
        grid: where the values are.
        values: of each point; the last axis is that of several values, and often of length 1.
        charges: of the nuclei as the file says them (e), smaller than ``numbers`` where a core is left out; None for
            the atomic numbers.
        comment: the first two lines.
        orbitals: numbers of what the values of each point are; empty where the file does not say it.
    """

    numbers: Int[Tensor, " atoms"]
    pos: Float[Tensor, "atoms 3"]
    grid: Grid
    values: Float[Tensor, "a b c values"]
    charges: Float[Tensor, " atoms"] | None = None
    comment: str = ""
    orbitals: tuple[int, ...] = ()

    def integral(self) -> Float[Tensor, " values"]:
        """The sum of the values times the volume of a step: of a density in e / Bohr^3 its electrons."""
        return self.values.sum((0, 1, 2)) * self.grid.volume

    def nuclear_charge(self) -> float:
        """Of all atoms (e); PySCF writes zeros, which are not taken for charges."""
        said = 0.0 if self.charges is None else float(self.charges.sum())
        return said or float(self.numbers.sum())


def read_cube(path: Path | str) -> Cube:
    """The values of a cube file, float64, with lengths in A, whatever the file has; compressed or not.

    Args:
        path: of the file.

    Raises:
        DataError: there is no such file, it is damaged, or its steps span no volume; the line is named.
    """
    path = Path(path)
    require_file(path)
    try:
        with text(path) as source:
            lines = source.read().splitlines()
    except DAMAGED as error:
        raise DataError(f"is no text: {error}", where=shown(path), remedy=REPAIR) from error
    reader = _Reader(shown(path), lines)
    first = reader.row(2, (4, 5))
    atoms, at = reader.whole(2, first[0]), 6
    rows = [reader.row(line, (4,)) for line in (3, 4, 5)]
    counts = [reader.whole(line, row[0]) for line, row in zip((3, 4, 5), rows, strict=True)]
    if 0 in counts or len({count > 0 for count in counts}) > 1:
        raise reader.error(3, f"counts of {counts[0]}, {counts[1]} and {counts[2]} points", "give three of one sign.")
    unit = BOHR if counts[0] > 0 else 1.0
    steps = np.array([row[1:] for row in rows]) * unit
    if not abs(np.linalg.det(steps)) > 1e-12 * np.prod(np.linalg.norm(steps, axis=1)):
        raise reader.error(3, "the three steps span no volume", "give three that are independent.")
    table = np.array([reader.row(at + k, (5,)) for k in range(abs(atoms))]).reshape(-1, 5)
    numbers = [reader.whole(at + k, z) for k, z in enumerate(table[:, 0])]
    at += abs(atoms)
    several = reader.whole(2, first[4]) if len(first) == 5 else 1
    orbitals: list[int] = []
    if atoms < 0:
        at, orbitals = reader.orbitals(at)
        several *= len(orbitals)
    if several < 1:
        raise reader.error(2, f"{several} values of each point", "give one or more.")
    shape = (abs(counts[0]), abs(counts[1]), abs(counts[2]))
    values = reader.values(at, math.prod(shape) * several).reshape(*shape, several)
    grid = Grid(torch.tensor(first[1:4], dtype=torch.float64) * unit, torch.from_numpy(steps), shape)
    return Cube(
        torch.tensor(numbers, dtype=torch.int64), torch.from_numpy(table[:, 2:] * unit), grid,
        torch.from_numpy(values), torch.from_numpy(table[:, 1].copy()), "\n".join(lines[:2]), tuple(orbitals),
    )  # fmt: skip


def write_cube(path: Path | str, cube: Cube) -> None:
    """Write a cube file in Bohr, with six digits of each value, whole or not at all.

    Args:
        path: where to.
        cube: what.

    Raises:
        InputError: shapes do not fit, or a value is not finite.
        CheckpointError: it can't be written; the former file is intact.
    """
    values = cube.values.detach().cpu().to(torch.float64).numpy()
    several = values.shape[-1]
    if values.shape[:-1] != tuple(cube.grid.counts) or len(cube.orbitals) not in (0, several):
        what = f"values of shape {values.shape} on a grid of {cube.grid.counts}, with {len(cube.orbitals)} orbitals"
        raise InputError(what, where=str(path), remedy="give (a, b, c, values), and a number of each value or none.")
    if not np.isfinite(values).all():
        raise InputError("a value is not finite", where=str(path), remedy="write what is finite.")
    charges = cube.numbers.to(torch.float64) if cube.charges is None else cube.charges
    first, second = [*cube.comment.splitlines(), "", ""][:2]
    count = len(cube.numbers)
    lines = [first, second, _line(-count if cube.orbitals else count, cube.grid.origin / BOHR)]
    lines[2] += f"{several:5d}" if several > 1 and not cube.orbitals else ""
    lines += [_line(n, step / BOHR) for n, step in zip(cube.grid.counts, cube.grid.steps, strict=True)]
    table = torch.cat([charges.to(torch.float64).unsqueeze(1), cube.pos.to(torch.float64) / BOHR], dim=1)
    lines += [_line(z, row) for z, row in zip(cube.numbers.tolist(), table, strict=True)]
    if cube.orbitals:
        lines.append("".join(f"{number:5d}" for number in (several, *cube.orbitals)))
    values = np.where(np.abs(values) < NEGLIGIBLE, 0.0, values)
    run = cube.grid.counts[2] * several
    rows = [min(A_LINE, run - k) for k in range(0, run, A_LINE)]
    form = "\n".join("%13.5E" * count for count in rows)
    lines += [form % tuple(row) for row in values.reshape(-1, run).tolist()]
    write_atomically(Path(path), ("\n".join(lines) + "\n").encode())


def as_written(grid: Grid) -> Grid:
    """The grid with the six decimals (Bohr) that a file has of it: over many steps the seventh would add up."""
    origin, steps = (torch.round(x / BOHR, decimals=DECIMALS) * BOHR for x in (grid.origin, grid.steps))
    return Grid(origin, steps, grid.counts)


def require_density(cube: Cube) -> float:
    """The electrons of a cube that is a density of a neutral molecule in e / Bohr^3.

    Raises:
        DataError: several values of each point, or their sum is off by more than a tenth of the nuclei's charge: it is
            in other units, of something else, or the grid is too coarse or small.
    """
    if cube.values.shape[-1] != 1:
        what = f"{cube.values.shape[-1]} values of each point"
        raise DataError(what, where="cube", remedy="a density has one: choose it by values[..., k : k + 1].")
    electrons, charge = float(cube.integral()[0]), cube.nuclear_charge()
    if abs(electrons - charge) <= CHARGE * charge:
        return electrons
    reason = "it is no density, or its grid is too coarse or small"
    for factor, cause in CONFUSED.items():
        if charge and abs(electrons / charge / factor - 1) <= CHARGE:
            reason = cause
    remedy = "give a density in e / Bohr^3 on a grid in Bohr, or in A with negative counts of points."
    raise DataError(f"{electrons:.4g} electrons for nuclei of {charge:g}: {reason}", where="cube", remedy=remedy)


def _line(count: int, numbers: Tensor) -> str:
    """An integer and lengths, as the format has them."""
    return f"{count:5d}" + "".join(f"{x:12.6f}" for x in numbers.tolist())


class _Reader:
    """The lines of a file, as numbers; an error names the line, which counts from 1."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name, self.lines = name, lines

    def error(self, line: int, what: str, remedy: str = REPAIR) -> DataError:
        return DataError(what, where=f"{self.name}, line {line + 1}", remedy=remedy)

    def row(self, line: int, lengths: tuple[int, ...]) -> list[float]:
        """The numbers of a line, of which there are as many as one of ``lengths`` says, or none are looked at."""
        if line >= len(self.lines):
            raise self.error(line, "the file ends before its values: it is truncated")
        row = [self.number(line, word) for word in self.lines[line].split()]
        if lengths and len(row) not in lengths:
            wanted = " or ".join(map(str, lengths))
            raise self.error(line, f"{self.lines[line].strip()[:60]!r}: a cube file has {wanted} numbers here")
        return row

    def number(self, line: int, word: str) -> float:
        try:
            value = float(FORTRAN.sub(r"E\1", word.upper().replace("D", "E")))
        except ValueError:
            raise self.error(line, f"{word[:40]!r} is no number") from None
        if not math.isfinite(value):
            raise self.error(line, f"{word} is not finite", "write what is finite.")
        return value

    def whole(self, line: int, value: float) -> int:
        if value != int(value):
            raise self.error(line, f"{value:g} is no whole number")
        return int(value)

    def orbitals(self, line: int) -> tuple[int, list[int]]:
        """The line after, and the numbers of orbitals, before which their count stands; they may take several lines."""
        numbers = [self.whole(line, x) for x in self.row(line, ())]
        if not numbers or numbers[0] < 1:
            raise self.error(line, "no count of orbitals, which a negative number of atoms asks for")
        start, count = line, numbers.pop(0)
        while len(numbers) < count:
            line += 1
            numbers += [self.whole(line, x) for x in self.row(line, ())]
        if len(numbers) > count:
            raise self.error(start, f"{len(numbers)} numbers of orbitals where {count} are said")
        return line + 1, numbers

    def values(self, line: int, count: int) -> Float[np.ndarray, " values"]:
        """All numbers from a line on."""
        try:
            numbers = np.array(" ".join(self.lines[line:]).split(), dtype=np.float64)
        except ValueError:  # a word that Fortran wrote, or none
            numbers = np.array([x for k in range(line, len(self.lines)) for x in self.row(k, ())])
        if len(numbers) != count:
            what = f"the file has {len(numbers):,} values, and its first lines say {count:,}"
            raise self.error(len(self.lines) - 1, what)
        if not np.isfinite(numbers).all():
            at = next(k for k in range(line, len(self.lines)) if not np.isfinite(self._plain(k)).all())
            raise self.error(at, "a value is not finite", "write what is finite.")
        return numbers

    def _plain(self, line: int) -> Float[np.ndarray, " values"]:
        return np.array(self.lines[line].split(), dtype=np.float64)
