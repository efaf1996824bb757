"""Structures as a few flat arrays, wherever they come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from intertwine.data.frames import in_file
from intertwine.data.store import GraphStore
from intertwine.numerics.once import once


@dataclass
class Frames:
    """Structures one after the other.

    Args:
        pos: positions (nodes, n), in A.
        z: atomic numbers (nodes,).
        counts: nodes of each structure (structures,).
        cell: lattice vectors as rows (structures, 3, 3), in A; None if no structure repeats.
        pbc: along which of them each repeats (structures, 3).
        energy: (structures,), in eV, or None.
        forces: (nodes, 3), in eV/A, or None.
        others: what else a model reads, by name, each with a row a node or a structure.
        files: the names of the files, and the first structure of each; one without a name where none is known.
        numbers: number of each structure in all files together (structures,).
        stress: (structures, 3, 3), in eV/A^3, NaN where there is none, or None.
        units: what the labels of the file were read in, by label, where that is known.
    """

    pos: np.ndarray
    z: np.ndarray
    counts: np.ndarray
    cell: np.ndarray | None
    pbc: np.ndarray | None
    energy: np.ndarray | None
    forces: np.ndarray | None
    others: dict[str, np.ndarray]
    files: tuple[tuple[str, int], ...]
    numbers: np.ndarray
    stress: np.ndarray | None = None
    units: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_store(cls, store: GraphStore) -> Frames | None:
        """Those of a data set; None if its nodes are not atoms in space."""
        if "z" not in store.fields or store.fields["pos"].shape[-1] != 3 or not len(store):
            return None
        fields = {name: store.field(name).numpy() for name in store.fields if name in _READ}
        counts = store.counts().numpy()
        energy = fields["energy"] if "energy" in fields and fields["energy"].shape == (len(counts),) else None
        periodic = "cell" in fields and "pbc" in fields
        return cls(
            fields["pos"], fields["z"], counts, fields["cell"] if periodic else None,
            fields["pbc"] if periodic else None, energy, fields.get("forces"),
            {name: fields[name] for name in _OTHERS if name in fields}, store.files or ((store.name, 0),),
            store.numbers().numpy(), fields.get("stress"),
            {decision.label: decision.unit for decision in store.decisions if decision.unit},
        )  # fmt: skip

    @classmethod
    def of_structures(
        cls, structures: Iterable[Any], files: str | Sequence[tuple[str, int]], *, last: bool = False
    ) -> Frames | None:
        """Those of ASE's structures, or of graphs; None if there are none, or if their nodes are not atoms in space.
        ``files``: the name of their file, or those of several and the first structure of each; ``last``: it is the last
        one of a file.
        """
        parts = [(s.numbers, s.positions, np.array(s.cell), s.pbc) if hasattr(s, "numbers") else _of(s)
                 for s in structures]  # fmt: skip
        if not parts or any(z is None or pos.shape[1:] != (3,) for z, pos, _, _ in parts):
            return None
        files = ((files, 0),) if isinstance(files, str) else tuple(files)
        counts = np.array([len(z) for z, _, _, _ in parts])
        repeats = np.array([np.any(pbc) for _, _, _, pbc in parts])
        cell, pbc = np.stack([c for _, _, c, _ in parts]), np.stack([np.asarray(p, dtype=bool) for _, _, _, p in parts])
        return cls(
            np.concatenate([pos for _, pos, _, _ in parts]), np.concatenate([z for z, _, _, _ in parts]), counts,
            cell if repeats.any() else None, pbc if repeats.any() else None, None, None, {}, files,
            np.arange(len(counts)) - last * len(counts),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.counts)

    @once
    def owner(self) -> np.ndarray:
        """The structure of each node (nodes,)."""
        return np.repeat(np.arange(len(self)), self.counts)

    @once
    def starts(self) -> np.ndarray:
        """The first node of each structure, and the number of nodes (structures + 1,)."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    @once
    def periodic(self) -> np.ndarray:
        """Whether each repeats in space (structures,)."""
        return np.zeros(len(self), dtype=bool) if self.pbc is None else np.asarray(self.pbc.any(1))

    def composition(self) -> tuple[np.ndarray, np.ndarray]:
        """The species (species,), ascending, and how many atoms of each every structure has (structures, species)."""
        species, which = np.unique(self.z, return_inverse=True)
        flat = np.bincount(self.owner * len(species) + which, minlength=len(self) * len(species))
        return species, flat.reshape(len(self), len(species))

    def place(self, k: int) -> str:
        """How a line names a structure: its number in its file, from 0."""
        number = int(self.numbers[k])
        if number < 0:
            return f"the last frame of {self.files[0][0]}"
        name, frame = in_file(self.files, number)
        return f"frame {frame}" + (f" of {name}" if name else "") + " (counted from 0)"

    def number(self, k: int, beside: int) -> str:
        """The number of a structure in its file, and the file if it is another than that of ``beside``."""
        (name, frame), (other, _) = (in_file(self.files, int(self.numbers[index])) for index in (k, beside))
        return f"{frame}" if name == other else f"{frame} of {name}"


_OTHERS = ("vel", "charge", "x")
_READ = ("pos", "z", "cell", "pbc", "energy", "forces", "stress", *_OTHERS)


def _of(graph: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    z, cell = graph.get("z"), graph.get("cell")
    repeats = cell is not None and graph.dimension == 3
    return (
        None if z is None else z.numpy(), graph.pos.numpy(), cell[0].numpy() if repeats else np.zeros((3, 3)),
        graph.pbc[0].numpy() if repeats else np.zeros(3, dtype=bool),
    )  # fmt: skip


def volumes(frames: Frames) -> np.ndarray:
    """Of the cells of structures that repeat, A^3 (structures,); 1 of others."""
    assert frames.cell is not None
    return np.abs(np.linalg.det(np.where(frames.periodic[:, None, None], frames.cell, np.eye(3))))
