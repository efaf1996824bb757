"""What the tests of labels share: water by the cheapest method, and computing in this process instead of in others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import molecule

from intertwine.labels import Recipe, Structure, program, recipe

WANT = ("energy", "forces", "dipole", "density", "hamiltonian")


def water(count: int, seed: int = 0) -> list[Atoms]:
    """Molecules of water that are bent and stretched a little."""
    rng, frames = np.random.default_rng(seed), []
    for _ in range(count):
        atoms = molecule("H2O")
        atoms.positions += rng.normal(scale=0.04, size=(3, 3))
        frames.append(atoms)
    return frames


def structure(atoms: Atoms, frame: int = 0, charge: int = 0) -> Structure:
    return Structure(frame, atoms.numbers.astype(np.int64), atoms.positions.astype(np.float64), charge)


def cheap(**options: Any) -> Recipe:
    """Hartree-Fock in the smallest basis."""
    return recipe("hf/sto-3g", **({"want": WANT} | options))


class Here(Executor):
    """Computes in this process, at once; what it computed is told by frame."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self.tell = tell

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments, **options))
        self.tell(arguments[0].frame)
        return future


def here(tell: Callable[[int], None] = lambda frame: None) -> Callable[[int], Any]:
    """Instead of :func:`intertwine.labels.processes`."""

    @contextlib.contextmanager
    def inside(count: int) -> Iterator[tuple[Executor, int]]:
        yield Here(tell), count

    return inside


def content(path: Path) -> dict[str, Any]:
    """Everything that is in an HDF5 file: arrays as bytes with their types, attributes as they are."""
    h5py, told = program("h5py"), dict[str, Any]()

    def visit(name: str, item: Any) -> None:
        told[name] = dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            value = item[()]
            told[name] |= {
                "": value.tolist() if value.dtype.kind == "O" else (value.dtype.str, value.shape, value.tobytes())
            }

    with h5py.File(path, "r") as file:
        told["/"] = dict(file.attrs)
        file.visititems(visit)
    return told
