"""SDF: every molecule of a file (V2000 and V3000), with its data fields and its formal charges."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from intertwine.data.elements import ISOTOPES, elements
from intertwine.data.frames import Frame, place
from intertwine.numerics import DataError

END = "$$$$"
REPAIR = "repair or delete that molecule."
CHARGES = {1: 3, 2: 2, 3: 1, 5: -1, 6: -2, 7: -3}  # the old code in an atom's line; 4 is a radical
#: Fields whose list is one number an atom: RDKit's lists (atom.dprop.NAME), and names that say so.
ATOMIC = re.compile(r"^atom\.[dif]?prop\.|atom|charges$|forces?$|(?<![a-z])(shifts|shieldings)$", re.IGNORECASE)


def read_sdf(file: Iterator[str], path: Any) -> Iterator[Frame]:
    """Molecules of an SDF or a mol file, one at a time.

    Fields (``> <name>``) are values under their own names: a number, several numbers as a list, else text; lists of one
    or three numbers an atom are columns if the field's name says so (RDKit's ``atom.dprop.NAME``, ``partial_charges``,
    ``forces``). The first line is ``name``, the sum of the formal charges ``total_charge``, and they themselves
    ``formal_charges``. A flat drawing is said in the notes.

    Args:
        file: its lines.
        path: for messages.

    Raises:
        DataError: a molecule is truncated, or a line is not what the format wants; file, molecule and line are named.
    """
    record: list[str] = []
    frame, number = 0, 0
    for line in file:
        number += 1
        if line.startswith(END):
            if any(text.strip() for text in record):
                yield _molecule(record, number - len(record), place(path, frame))
                frame += 1
            record = []
        else:
            record.append(line.rstrip("\r\n"))
    if any(text.strip() for text in record):
        if frame or any(line.startswith(">") for line in record):  # a mol file is one molecule, without fields
            raise DataError(
                f"the file ends within a molecule: there is no {END}", where=place(path, frame), remedy=REPAIR
            )
        yield _molecule(record, number - len(record) + 1, place(path, frame))


def _molecule(record: list[str], first: int, where: str) -> Frame:
    """One molecule; ``first`` is the line of the file in which it begins."""
    version = record[3][33:39].strip() if len(record) > 3 else ""
    end = next((k for k, line in enumerate(record) if re.match(r"M\s+END", line)), None)
    if len(record) < 4 or version not in ("", "V2000", "V3000"):
        last_line = record[3][:40] if len(record) > 3 else "end of file"
        raise DataError(
            f"not a V2000 or V3000 molecule (line {first + 3} is {last_line!r})", where=where, remedy=REPAIR
        )
    if end is None:
        raise DataError("not a V2000 or V3000 molecule, or truncated: there is no 'M  END'", where=where, remedy=REPAIR)
    try:
        atoms = (_v3000 if version == "V3000" else _v2000)(record[:end])
    except (ValueError, IndexError) as error:
        raise DataError(f"not a V2000 or V3000 molecule: {error}", where=where, remedy=REPAIR) from error
    numbers, masses = elements(atoms.symbols, first + atoms.line, where)
    frame = Frame(
        numbers, np.array(atoms.positions, dtype=np.float64).reshape(-1, 3), where, units={"pos": "A"}, reader="sdf"
    )
    frame.columns["formal_charges"] = np.array([atoms.charges.get(k, 0) for k in range(len(numbers))], dtype=np.int64)
    frame.values["total_charge"] = int(frame.columns["formal_charges"].sum())
    if masses is not None or atoms.isotopes:
        frame.columns["masses"] = _masses(numbers, masses, atoms.isotopes)
    if record[0].strip():
        frame.values["name"] = record[0].strip()
    if record[1][20:22].upper() == "2D" and not frame.positions[:, 2].any():
        frame.notes = ("molecules are drawn in two dimensions: their positions are a drawing, not a geometry",)
    _fields(record[end + 1 :], frame)
    return frame


class _Atoms(NamedTuple):
    """What the lines of the atoms say: charges and mass numbers by index of the atom, and the index of the first atom's
    line.
    """

    symbols: list[str]
    positions: list[list[float]]
    charges: dict[int, int]
    isotopes: dict[int, int]
    line: int


def _v2000(lines: list[str]) -> _Atoms:
    if not lines[3][:3].strip().isdigit():
        raise ValueError(f"{lines[3][:3]!r} is not the number of atoms")
    count = int(lines[3][:3])
    rows = lines[4 : 4 + count]
    if len(rows) < count:
        raise ValueError(f"{len(rows)} of {count} atoms")
    symbols, positions, charges = [], [], {}
    for k, line in enumerate(rows):
        words = line.split()
        try:
            point = _point(words[:3])
        except ValueError:  # columns of ten without a blank between them
            words = [line[:10], line[10:20], line[20:30], *line[30:].split()]
            point = _point(words[:3])
        if len(words) < 4:
            raise ValueError(f"atom {k} is {line[:40]!r}")
        symbols.append(words[3])
        positions.append(point)
        if len(words) > 5 and words[5].isdigit() and int(words[5]) in CHARGES:
            charges[k] = CHARGES[int(words[5])]
    marks: dict[str, dict[int, int]] = {}
    for line in lines[4 + count :]:
        if match := re.match(r"M\s+(CHG|RAD|ISO)\s+\d+((\s+-?\d+\s+-?\d+)+)\s*$", line):
            pairs = [int(word) for word in match[2].split()]
            marks.setdefault(match[1], {}).update(zip((atom - 1 for atom in pairs[::2]), pairs[1::2], strict=True))
    if "CHG" in marks or "RAD" in marks:  # these replace the codes in the atoms' lines
        charges = marks.get("CHG", {})
    return _Atoms(symbols, positions, _inside(charges, count), _inside(marks.get("ISO", {}), count), 4)


def _v3000(lines: list[str]) -> _Atoms:
    """From ``M  V30 index symbol x y z map CHG=charge MASS=isotope``; a line that ends in "-" goes on in the next."""
    rows: list[tuple[int, list[str]]] = []
    going_on = False
    for k, line in enumerate(lines):
        if line.startswith("M  V30"):
            text = line[6:].strip()
            words = text.removesuffix("-").split()
            if going_on:
                rows[-1][1].extend(words)
            else:
                rows.append((k, words))
            going_on = text.endswith("-")
    starts = [i for i, (_, words) in enumerate(rows) if words[:2] == ["BEGIN", "ATOM"]]
    ends = [i for i, (_, words) in enumerate(rows) if words[:2] == ["END", "ATOM"]]
    counts = next((words for _, words in rows if words[:1] == ["COUNTS"]), None)
    if len(starts) != 1 or len(ends) != 1 or counts is None:
        raise ValueError("no block of atoms")
    atoms = [words for _, words in rows[starts[0] + 1 : ends[0]]]
    if len(atoms) != int(counts[1]):
        raise ValueError(f"{len(atoms)} of {counts[1]} atoms")
    marks = {
        key: {k: int(word.removeprefix(key)) for k, words in enumerate(atoms) for word in words if word.startswith(key)}
        for key in ("CHG=", "MASS=")
    }
    return _Atoms(
        [w[1] for w in atoms], [_point(w[2:5]) for w in atoms], marks["CHG="], marks["MASS="], rows[starts[0]][0] + 1
    )


def _point(words: list[str]) -> list[float]:
    point = [float(word) for word in words]
    if len(point) != 3:
        raise ValueError(f"{len(point)} coordinates")
    return point


def _inside(marks: dict[int, int], count: int) -> dict[int, int]:
    outside = next((atom for atom in marks if not 0 <= atom < count), None)
    if outside is not None:
        raise ValueError(f"a property of atom {outside + 1}, and there are {count}")
    return marks


def _masses(numbers: np.ndarray, masses: np.ndarray | None, isotopes: dict[int, int]) -> np.ndarray:
    """Masses in u: mass numbers do for isotopes other than those of hydrogen."""
    from ase.data import atomic_masses

    masses = atomic_masses[np.clip(numbers, 0, len(atomic_masses) - 1)].copy() if masses is None else masses
    known = {(z, round(mass)): mass for z, mass in ISOTOPES.values()}
    for atom, isotope in isotopes.items():
        masses[atom] = known.get((int(numbers[atom]), isotope), float(isotope))
    return masses


def _fields(lines: list[str], frame: Frame) -> None:
    """The data fields behind the atoms: ``> <name>``, then lines up to an empty one."""
    name: str | None = None
    body: list[str] = []
    for line in [*lines, ""]:
        header = re.match(r">.*?<([^>]*)>", line) if name is None or not body else None
        if header:
            name, body = header[1].strip(), []
        elif name is not None and line.strip():
            body.append(line)
        elif name is not None:
            _sort(name, "\n".join(body), frame)
            name, body = None, []


def _sort(name: str, text: str, frame: Frame) -> None:
    """A field's text as a number, a list of numbers or text; into the columns where its name and its length say that it
    is of the atoms.
    """
    words = [word for word in re.split(r"[,;]?\s+", text.strip("[]() \n")) if word]  # not at "1,000"
    n = len(frame.numbers)
    try:
        # float("1_0") is 10
        numbers = [math.nan if word.lower() == "n/a" else float(word.replace("_", "?")) for word in words]
    except ValueError:
        frame.values[name] = text
        return
    if not numbers:
        return
    pairs = name.upper().endswith("MMFF94_PARTIAL_CHARGES") and len(numbers) == 1 + 2 * numbers[0]
    if pairs:  # PubChem: how many, and then atom and charge of those that are not 0
        charges = np.zeros(n)
        charges[[int(atom) - 1 for atom in numbers[1::2]]] = numbers[2::2]
        frame.columns[name] = charges
    elif ATOMIC.search(name) and len(numbers) in (n, 3 * n) and n > 1:
        frame.columns[name] = np.array(numbers).reshape((n,) if len(numbers) == n else (n, 3))
    else:
        frame.values[name] = numbers[0] if len(numbers) == 1 else np.array(numbers)
