"""What a training set holds: a number for each structure, and the compositions; kept beside a run."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase.formula import Formula

from intertwine.data.suspicion.copies import marks, shared
from intertwine.data.suspicion.domain import Domain, outside, span
from intertwine.data.suspicion.frames import Frames
from intertwine.data.suspicion.labels import isolated
from intertwine.data.suspicion.lines import more
from intertwine.data.suspicion.relabelled import Relabelled, relabelled, sentences, sizes_of_labels
from intertwine.numerics import write_atomically

MANY_COMPOSITIONS = 20  # of a training set, from which on it is usual that a new structure has another one
NAMED_COMPOSITIONS = 3
LIKE_IT = "put structures like it into the training set"


@dataclass(frozen=True)
class Seen:
    """What a training set holds.

    Args:
        marks: numbers of its structures (structures,) (:func:`~intertwine.data.suspicion.marks`).
        species: atomic numbers (species,).
        compositions: distinct numbers of atoms of each species (compositions, species).
        domain: how far its energies, forces and distances reach; None where the file is of a former version.
        labels: of its structures, by name: "energy", eV, and the root mean square of "forces", eV/A, and "stress",
            eV/A^3 (structures,), NaN where there is none; empty where the file is of a former version.
    """

    marks: np.ndarray
    species: np.ndarray
    compositions: np.ndarray
    domain: Domain | None = None
    labels: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, frames: Frames) -> Seen:
        species, counts = frames.composition()
        compositions = np.unique(counts.astype(np.int32), axis=0)
        return cls(marks(frames), species, compositions, Domain.of(frames), sizes_of_labels(frames))

    def save(self, path: Path) -> None:
        """Write it as ``.npz``, whole or not at all.

        Raises:
            CheckpointError: the file can't be written.
        """
        content = io.BytesIO()
        arrays = {name: getattr(self, name) for name in ("marks", "species", "compositions")}
        arrays |= self.domain.arrays() if self.domain is not None else {}
        arrays |= {f"label_{name}": values for name, values in self.labels.items()}
        np.savez_compressed(content, allow_pickle=False, **arrays)
        write_atomically(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> Seen | None:
        """What :meth:`save` wrote; None if it is not there, as in runs of former versions, or can't be read."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                domain = Domain.from_arrays(arrays)
                labels = {name.removeprefix("label_"): arrays[name] for name in arrays if name.startswith("label_")}
                seen = cls(arrays["marks"], arrays["species"], arrays["compositions"], domain, labels)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
            return None
        sound = seen.marks.dtype == np.uint64 and seen.marks.ndim == 1 and seen.species.dtype.kind == "i"
        sound &= all(values.shape == seen.marks.shape for values in seen.labels.values())
        return seen if sound and seen.compositions.shape[1:] == seen.species.shape else None

    def not_told_apart(self) -> list[int]:
        """Atomic numbers whose energies no combination of the compositions tells: of a single molecule all of them, of
        which only the sum is known.
        """
        shares = np.square(span(self.compositions.astype(np.float64))).sum(0)
        return [int(z) for z, share in zip(self.species, shares, strict=True) if share < 1 - 1e-6]

    def lines(self, frames: Frames, whose: str = "") -> list[str]:
        """What is said of structures beside the training set: which are in it, and whose composition is new.

        Args:
            frames: the structures.
            whose: such as "the test set"; empty for structures that the user gives.
        """
        other = sentences(self.relabelled(frames), frames, whose)
        return [*self.copies(frames, whose), *other, *self.compositions_of(frames, whose)]

    def relabelled(self, frames: Frames) -> list[Relabelled]:
        """The copies whose labels are others than here, by label
        (:func:`~intertwine.data.suspicion.relabelled.relabelled`).
        """
        return relabelled(self.marks, self.labels, frames)

    def copies(self, frames: Frames, whose: str = "") -> list[str]:
        """One sentence on structures that are in the training set too."""
        same = shared(marks(frames), self.marks)
        if not len(same):
            return []
        count = "all" if len(same) == len(frames) > 1 else str(len(same))
        total = f" of the {len(frames)}" if len(same) < len(frames) else f" {len(frames)}" if len(frames) > 1 else ""
        structures = f"{count}{total} structure{'s' * (len(frames) > 1)}{f' of {whose}' if whose else ''}"
        verb = "is a copy" if len(same) == 1 else "are copies"
        return [
            f"{structures} {verb} of training structures ({frames.place(int(same[0]))}{more(frames, same.tolist())}): "
            "their errors say nothing about new structures"
        ]

    def compositions_of(self, frames: Frames, whose: str = "") -> list[str]:
        """At most one sentence on compositions that the training set lacks; species are another matter. Arguments as
        those of :meth:`lines`.
        """
        of = f" of {whose}" if whose else ""
        species, counts = frames.composition()
        if not set(species.tolist()) <= set(self.species.tolist()):
            kept = np.isin(species, self.species)
            usable = counts[:, ~kept].sum(1) == 0
            species, counts = species[kept], counts[:, kept]
        else:
            usable = np.ones(len(frames), dtype=bool)
        if not (single := isolated(frames)).all():  # references of the others, of which nothing is asked
            usable = usable & ~single
        asked = np.zeros((len(frames), len(self.species)))
        asked[:, np.searchsorted(self.species, species)] = counts
        known = self.compositions.astype(np.float64)
        new = np.flatnonzero(usable & outside(asked, span(known)))
        trained = ", ".join(self._formula(row) for row in known[:NAMED_COMPOSITIONS])
        trained += ", ..." if len(known) > NAMED_COMPOSITIONS else ""
        if len(new):
            k = int(new[0])
            return [
                f"the composition of {frames.place(k)}{of}, {self._formula(asked[k])}, can't be made up of those of "
                f"the training set ({trained}): its energy has an unknown constant{more(frames, new.tolist())}; "
                f"{LIKE_IT}"
            ]
        if len(known) >= MANY_COMPOSITIONS:
            return []
        among = (asked[:, None] == known[None]).all(2).any(1)
        if frames.pbc is not None:  # a supercell or a slab is a multiple of a cell that is known
            multiple = (_reduced(asked)[:, None] == _reduced(known)[None]).all(2).any(1)
            among |= multiple & frames.pbc.any(1)
        new = np.flatnonzero(usable & ~among)
        if not len(new):
            return []
        k = int(new[0])
        return [
            f"the composition of {frames.place(k)}{of}, {self._formula(asked[k])}, is not in the training set "
            f"({trained}){more(frames, new.tolist())}; {LIKE_IT}"
        ]

    def _formula(self, counts: Sequence[float] | np.ndarray) -> str:
        from ase.data import chemical_symbols

        symbols = {
            chemical_symbols[z]: int(count) for z, count in zip(self.species.tolist(), counts, strict=True) if count
        }
        return Formula.from_dict(symbols).format("hill")


def _reduced(counts: np.ndarray) -> np.ndarray:
    """Rows of whole numbers without their greatest common divisor."""
    divisor = (
        np.gcd.reduce(counts.astype(np.int64), axis=1) if counts.shape[1] else np.ones(len(counts), dtype=np.int64)
    )
    return counts / np.maximum(divisor, 1)[:, None]
