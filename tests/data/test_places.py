"""Messages name file, frame and atom, of one file and of many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from intertwine.data import open_dataset, read_structures
from intertwine.data.frames import place, several
from intertwine.data.suspicion import Frames, suspicions
from intertwine.numerics import DataError

SHAPE = np.array([[0, 0, 0], [0.63, 0.63, 0.63], [-0.63, -0.63, 0.63], [0.63, -0.63, -0.63], [-0.63, 0.63, -0.63]])
SOURCES = ["all.xyz", "all.traj", "parts", "parts/*.xyz"]
WORDS = {"all.xyz": ("all.xyz", 7), "all.traj": ("all.traj", 7)}  # else frame 1 of the third file of three frames


def written(folder: Path, spoil: Callable[[Atoms], None]) -> Path:
    """Twelve frames of methane in one file and in four; the eighth (7) is spoilt."""
    generator = np.random.default_rng(0)
    frames = []
    for k in range(12):
        atoms = Atoms("CH4", positions=SHAPE + 0.05 * generator.normal(size=(5, 3)))
        energy, forces = -1100.0 + 0.1 * generator.normal(), generator.normal(size=(5, 3))
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        if k == 7:
            spoil(atoms)
        frames.append(atoms)
    (folder / "parts").mkdir()
    write(folder / "all.xyz", frames, format="extxyz")
    write(folder / "all.traj", frames)
    for part in range(4):
        write(folder / "parts" / f"part{part}.xyz", frames[3 * part : 3 * part + 3], format="extxyz")
    return folder


def no_place(atoms: Atoms) -> None:
    atoms.positions[2, 0] = np.nan
    atoms.calc.atoms = atoms.copy()


def no_force(atoms: Atoms) -> None:
    atoms.calc.results["forces"][3, 1] = np.nan


def no_energy(atoms: Atoms) -> None:
    atoms.calc.results["energy"] = np.nan


def coincident(atoms: Atoms) -> None:
    atoms.positions[2] = atoms.positions[4]
    atoms.calc.atoms = atoms.copy()


def wild(atoms: Atoms) -> None:
    atoms.calc.results["energy"] -= 5000.0


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_place, "the position of atom 2 (H) is not finite"),
        (no_force, "forces of atom 3 (H) are not finite"),
        (no_energy, "energy is not finite"),
    ],
)
def test_an_error_says_the_place(source: str, spoil: Callable[[Atoms], None], words: str, tmp_path: Path) -> None:
    path = written(tmp_path, spoil) / source
    file, frame = WORDS.get(source, ("part2.xyz", 1))
    with pytest.raises(DataError) as error:
        open_dataset(str(path), progress=False)
    assert error.value.what == words
    assert str(error.value.where).endswith(f"{file}, frame {frame} (counted from 0)")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("spoil", [coincident, wild])
def test_a_warning_says_the_place(source: str, spoil: Callable[[Atoms], None], tmp_path: Path) -> None:
    """Of data to learn from, and of structures to predict for."""
    path = written(tmp_path, spoil) / source
    file, frame = WORDS.get(source, ("part2.xyz", 1))
    (doubt,) = suspicions(open_dataset(str(path), progress=False))
    read = read_structures(path, progress=False)
    assert f"frame {frame} of " in doubt.line
    assert f"{file} (counted from 0)" in doubt.line
    assert read.places[7].endswith(f"{file}, frame {frame} (counted from 0)")
    if spoil is coincident:
        assert doubt.line.startswith("atoms 2 and 4 (H, H) of frame ")
        frames = Frames.of_structures(read.atoms, read.files)
        assert frames is not None
        assert [each.line for each in suspicions(frames)] == [doubt.line]


def test_likewise_frames_of_other_files_are_named_with_them(tmp_path: Path) -> None:
    folder = written(tmp_path, coincident) / "parts"
    (folder / "part3.xyz").write_text((folder / "part2.xyz").read_text() * 2)
    (doubt,) = suspicions(open_dataset(str(folder), progress=False))
    assert doubt.line.startswith(f"atoms 2 and 4 (H, H) of frame 1 of {folder / 'part2.xyz'} (counted from 0)")
    assert doubt.line.endswith(f"2 more: frames 1 of {folder / 'part3.xyz'}, 4 of {folder / 'part3.xyz'}")


@pytest.mark.parametrize(
    ("frames", "most", "said"),
    [
        ([("a.xyz", 13)], 5, "a.xyz, frame 13 (counted from 0)"),
        ([("a.xyz", k) for k in range(3)], 5, "a.xyz, frames 0, 1, 2 (counted from 0)"),
        ([("a, frame.xyz", k) for k in range(9)], 2, "a, frame.xyz, frames 0, 1; and 7 more (counted from 0)"),
        ([("a", 2), ("b", 0), ("a", 4), ("c", 1)], 3, "a, frames 2, 4; b, frame 0; and 1 more (counted from 0)"),
    ],
)
def test_of_several_frames_each_file_is_named_once(frames: list[tuple[str, int]], most: int, said: str) -> None:
    assert several([place(*each) for each in frames], most) == said
