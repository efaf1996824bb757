"""What the arrays of an HDF5 file of molecules mean: the layouts of SPICE, ANI and modelforge.

SPICE (Eastman et al. 2023): a group a molecule, with ``conformations`` (C, N, 3), ``atomic_numbers`` (N,), units in
    attributes.
ANI (Smith et al. 2017, 2018, 2020; Devereux et al. 2020): groups, nested in ANI-1, with ``coordinates`` (C, N, 3) and
``species`` (symbols (N,), or atomic numbers (C, N) in ANI-2x) or ``atomic_numbers`` (N,); A, Hartree and Hartree/A
without saying so.
modelforge: a group a molecule, whose arrays say what they are (attribute ``format``) and in which unit (``u``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Literal

import numpy as np

from intertwine.data.label_files import PACKED
from intertwine.data.units import spelled
from intertwine.numerics import DataError
from intertwine.numerics.once import once

NUMBERS = ("atomic_numbers", "species")
POSITIONS = ("conformations", "coordinates", "positions", "geometry")
NUMBERS_OF_A_MATRIX = 9  # numbers an atom: a matrix
AMBIGUOUS_ATOM_COUNTS = (1, 3, 6, 9)  # numbers of atoms that may be the components of a tensor

Level = Literal["structure", "atom", "text", "skipped"]


@dataclass(frozen=True)
class Quantity:
    """What an array is.

    Args:
        name: in the frame; the file's own unless it is a gradient.
        level: of the structure, of each atom, a text of the molecule, or not for frames.
        negated: a gradient, of which the forces are the negative.
    """

    name: str
    level: Level
    negated: bool = False


@dataclass(frozen=True)
class Layout:
    """A layout.

    Args:
        name: for messages.
        units: patterns of names with the unit that files of this layout use without saying so.
        omits_nan: an array of NaN alone means that the quantity was not computed for that conformation.
    """

    name: str
    units: tuple[tuple[str, str], ...] = ()
    omits_nan: bool = False

    def unit(self, name: str) -> str | None:
        return next((unit for pattern, unit in self.units if re.search(pattern, name)), None)


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "SPICE",
            (("^conformations$", "Bohr"), ("energy$", "Hartree"), ("gradient$", "Hartree/Bohr"), ("dipole$", "e*Bohr")),
        ),
        Layout(
            "ANI",
            (
                ("^coordinates$", "A"),
                ("energy$|energies$", "Hartree"),
                ("forces?$|gradients?$", "Hartree/A"),
                ("dipole$", "e*A"),
            ),
            omits_nan=True,
        ),
        Layout("modelforge"),
    )
}
#: Words for what an array belongs to: modelforge's of today, those of its first files, and those of our own labels.
FORMATS: dict[str, Level] = {
    "per_system": "structure", "single_rec": "structure", "single_mol": "structure", "series_mol": "structure",
    "per_atom": "atom", "single_atom": "atom", "series_atom": "atom", "meta_data": "text",
    PACKED: "skipped",
}  # fmt: skip


class Group:
    """A group of the file: the conformations of one molecule, or of one number of atoms.

    Args:
        name: its path in the file.
        arrays: its data sets by name.
    """

    def __init__(self, name: str, arrays: dict[str, Any]) -> None:
        self.name, self.arrays = name, arrays
        self.numbers = next((key for key in NUMBERS if key in arrays), "")
        self.positions = next((key for key in POSITIONS if key in arrays), "")

    @once
    def layout(self) -> Layout | None:
        if not self.numbers or not self.positions:
            return None
        if "format" in self.arrays[self.positions].attrs:
            return LAYOUTS["modelforge"]
        return LAYOUTS.get({"conformations": "SPICE", "coordinates": "ANI"}.get(self.positions, ""))

    @property
    def lacks(self) -> str:
        """What is missing of a structure that has begun."""
        if self.positions and not self.numbers:
            return f"has {self.positions!r} and no atomic numbers"
        if self.numbers and not self.positions:
            return f"has {self.numbers!r} and no positions"
        return ""

    @property
    def rest(self) -> list[str]:
        """Names of the arrays that are neither atomic numbers nor positions."""
        return [name for name in self.arrays if name not in (self.numbers, self.positions)]

    @once
    def size(self) -> tuple[int, int]:
        """Conformations and atoms, by the shape of the positions; zeros where it has a wrong one."""
        shape = self.arrays[self.positions].shape
        return (1, *shape[:1]) if len(shape) == 2 else shape[:2] if len(shape) == 3 else (0, 0)

    def structure(self, where: str) -> tuple[np.ndarray, Any]:
        """Atomic numbers (N,) or (C, N), and the array of positions, not read yet: (C, N, 3) or (N, 3).

        Raises:
            DataError: a shape is wrong, or a symbol is no element.
        """
        positions, species = self.arrays[self.positions], self.arrays[self.numbers]
        numbers = np.asarray(species[()])
        if numbers.ndim == 2 and numbers.shape[1] == 1 and numbers.shape[0] == self.size[1]:
            numbers = numbers[:, 0]
        if positions.ndim not in (2, 3) or positions.shape[-1] != 3 or numbers.shape not in (self.size, self.size[1:]):
            what = (
                f"group {self.name!r}: {self.positions} has shape {positions.shape} and {self.numbers} {species.shape}"
            )
            raise DataError(what, where=where, remedy="expected (conformations, atoms, 3) and (atoms,).")
        if positions.dtype.kind not in "iuf":
            raise DataError(
                f"group {self.name!r}: {self.positions} are no numbers", where=where, remedy="repair that group."
            )
        return (
            numbers.astype(np.int64) if numbers.dtype.kind in "iu" else _elements(numbers, self.name, where)
        ), positions

    def each(self, name: str, quantity: Quantity, where: str) -> bool:
        """Whether an array has one row for each conformation; else it is given once, for all of them.

        Raises:
            DataError: neither, or it holds no numbers.
        """
        array, (total, n) = self.arrays[name], self.size
        if array.dtype.kind not in "iufb":
            raise DataError(f"group {self.name!r}: {name} holds no numbers", where=where, remedy="repair that group.")
        single = self.arrays[self.positions].ndim == 2
        if array.shape[:2] == (total, n) if quantity.level == "atom" else array.shape[:1] == (total,) and not single:
            return True
        if array.shape[:1] == (n,) if quantity.level == "atom" else array.size == 1 or single:
            return False
        what = f"group {self.name!r}: {name} has shape {array.shape} for {total} conformations of {n} atoms"
        raise DataError(what, where=where, remedy="repair or delete that group.")

    def omits(self, value: np.ndarray) -> bool:
        """Whether the value says that the quantity was not computed."""
        return (
            self.layout is not None
            and self.layout.omits_nan
            and value.dtype.kind == "f"
            and bool(np.isnan(value).all())
        )

    def units(self, quantities: dict[str, Quantity]) -> dict[str, str]:
        """Units of the positions ("pos") and of each quantity: those declared, else those of the layout."""
        units_read = {}
        for name, target in [
            (self.positions, "pos"),
            *(
                (name, kind.name)
                for name, kind in quantities.items()
                if name in self.arrays and kind.level != "skipped"
            ),
        ]:
            unit = declared_unit(self.arrays[name]) or (self.layout.unit(name) if self.layout else None)
            if unit:
                units_read[target] = unit
        return units_read

    def assumed(self, quantities: dict[str, Quantity]) -> list[str]:
        """Units that are the layout's alone."""
        names = [self.positions, *(name for name in quantities if name in self.arrays)]
        units = {name: self.layout.unit(name) for name in names} if self.layout else {}
        return [unit for name, unit in units.items() if unit and not declared_unit(self.arrays[name])]


def quantity(name: str, groups: list[Group]) -> Quantity:
    """What an array of this name is: by its attribute, by its name, and where both are silent by its shapes in these
    groups.
    """
    arrays = [group.arrays[name] for group in groups]
    layout = groups[0].layout
    # high energies, of conformations of their own
    if name == "n_configs" or (layout is LAYOUTS["ANI"] and name.endswith("HE")):
        return Quantity(name, "skipped")
    if any(array.dtype.kind not in "iufb" for array in arrays):
        return Quantity(name, "text")
    level = FORMATS.get(plain(arrays[0].attrs.get("format", "")))
    if level == "text":
        level = "structure"  # a number about the molecule
    if level is None and re.search(r"(gradients?|forces?)$", name):
        level = "atom"
    elif level is None and re.search(r"(energy|energies|dipole|quadrupole)$", name):
        level = "structure"
    elif level is None:
        atoms = [group.size[1] for group in groups]
        rows = all(array.shape[:2] == group.size for array, group in zip(arrays, groups, strict=True))
        level = "atom" if rows and any(n not in AMBIGUOUS_ATOM_COUNTS for n in atoms) else "structure"
        if (
            rows
            and all(array.shape[2:] == (n,) for array, n in zip(arrays, atoms, strict=True))
            and any(n != 3 for n in atoms)
        ):
            return Quantity(name, "skipped")  # a matrix of pairs
    if level == "atom" and any(np.prod(array.shape[2:]) > NUMBERS_OF_A_MATRIX for array in arrays):
        return Quantity(name, "skipped")
    gradient = re.fullmatch(r"(.*?)(total_)?gradients?", name) if level == "atom" else None
    # dft_forces, as dft_total_energy
    return Quantity(f"{gradient[1]}forces", level, negated=True) if gradient else Quantity(name, level)


def declared_unit(array: Any) -> str | None:
    """The unit in an array's attributes; None if it states none."""
    attributes = array.attrs
    for name in ("u", "units", "unit"):
        if name in attributes:
            text = plain(attributes[name])
            return None if text in ("", "dimensionless") else _symbols(text)
    return None


_symbols = lru_cache(maxsize=1000)(spelled)  # asked for every array of every molecule


def words(array: Any) -> str | None:
    """A text: one string, or an array of its characters."""
    parts = [plain(part) for part in np.ravel(array[()])]
    return parts[0] if len(parts) == 1 else "".join(parts) if parts and all(len(part) == 1 for part in parts) else None


def describe(file: Any, most: int = 8) -> str:
    """The first arrays of a file, with their shapes, for messages."""
    lines: list[str] = []

    def visit(name: str, item: Any) -> bool | None:
        if hasattr(item, "shape"):
            lines.append(f"{plain(name)} {item.shape} {item.dtype}")
        return True if len(lines) > most else None

    file.visititems(visit)
    return ", ".join([*islice(lines, most), *(["..."] if len(lines) > most else [])]) or "it holds no arrays"


def plain(value: Any) -> str:
    """Text that can be printed, also where the file's is not UTF-8."""
    text = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
    return text.decode("utf-8", "backslashreplace")


def _elements(symbols: np.ndarray, group: str, where: str) -> np.ndarray:
    from ase.data import atomic_numbers

    names = [plain(symbol).strip() for symbol in symbols.reshape(-1)]
    unknown = next(
        (name for name in names if name.capitalize() not in atomic_numbers or name.capitalize() == "X"), None
    )
    if unknown is not None:
        raise DataError(
            f"group {group!r}: unknown element {unknown!r}",
            where=where,
            remedy="use chemical symbols or atomic numbers.",
        )
    return np.array([atomic_numbers[name.capitalize()] for name in names], dtype=np.int64).reshape(symbols.shape)
