"""A molecule that was turned in a box that repeats is a copy, a crystal that was turned in its cell is none."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.geometry.cell import cellpar_to_cell

from intertwine.data.suspicion import Frames, Seen, marks
from intertwine.data.suspicion.copies import in_boxes

BOXES = {
    "cube": np.diag([12.0, 12.0, 12.0]),
    "brick": np.diag([11.0, 14.0, 18.0]),
    "triclinic": cellpar_to_cell([16.0, 17.0, 18.0, 80.0, 75.0, 100.0]),
    "turned": np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0] * 13.0,
}
PBC = {"all": True, "two": (True, False, True), "one": (False, True, False)}


def turned(atoms: Atoms, seed: int) -> Atoms:
    """The same molecule turned and moved at random in its box, which stays; wrapped into it."""
    generator = np.random.default_rng(seed)
    rotation, triangle = np.linalg.qr(generator.normal(size=(3, 3)))
    rotation = rotation * np.sign(np.diag(triangle))
    copy = atoms.copy()
    centre = copy.positions.mean(0)
    copy.positions = (copy.positions - centre) @ rotation.T + generator.uniform(-20, 20, size=3)
    copy.wrap()
    return copy[generator.permutation(len(copy))]


@pytest.mark.parametrize("pbc", PBC.values(), ids=PBC)
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("name", ["CH3CH2OH", "C6H6", "H2O"])
def test_turned_in_its_box(name: str, box: np.ndarray, pbc: object) -> None:
    first = molecule(name)
    first.rattle(0.03, seed=1)
    first.set_cell(box)
    first.pbc = pbc
    frames = [first, *(turned(first, seed) for seed in range(6))]
    whole = Frames.of_structures(frames, "x")
    pos, boxed = in_boxes(whole)
    assert boxed.all()
    for k, start in enumerate(whole.starts[:-1]):  # whole again, though the box had cut it
        rows = pos[start : start + whole.counts[k]]
        assert np.ptp(rows, axis=0).max() < 6.0
    rows = marks(whole)
    assert (rows == rows[0]).all()
    other = first.copy()
    other.rattle(1e-3, seed=2)
    assert marks(Frames.of_structures([first, other], "x"))[1] != rows[0]


@pytest.mark.parametrize("what", ["narrow", "crystal", "layer", "one atom"])
def test_what_its_images_touch_is_not_a_molecule_in_a_box(what: str) -> None:
    if what == "narrow":
        first = molecule("CH3CH2OH", cell=[6.0, 6.0, 6.0], pbc=True)
    elif what == "crystal":
        first = bulk("Cu", cubic=True)
        first.rattle(0.05, seed=0)
    elif what == "layer":
        first = Atoms("C2", [[0, 0, 10], [1.42, 0, 10]], cell=cellpar_to_cell([2.46, 2.46, 20, 90, 90, 120]), pbc=True)
    else:
        first = bulk("Cs")
        first.set_cell(first.cell * 0.75, scale_atoms=True)
    frames = Frames.of_structures([first, turned(first, 0)], "x")
    assert not in_boxes(frames)[1].any()
    if what != "one atom":  # which has nothing to turn
        assert len(set(marks(frames).tolist())) == 2


def test_boxes_beside_open_and_repeating_structures() -> None:
    boxed = molecule("CH3OH", cell=[14.0, 14.0, 14.0], pbc=True)
    boxed.rattle(0.02, seed=0)
    free = molecule("CH3OH")
    crystal = bulk("Si", cubic=True)
    seen = Seen.of(Frames.of_structures([free, crystal, boxed], "train"))
    (line,) = seen.copies(
        Frames.of_structures([crystal * (2, 1, 1), turned(boxed, 5), free], "test.xyz"), "the test set"
    )
    assert line.startswith(
        "2 of the 3 structures of the test set are copies of training structures (frame 1 of test.xyz"
    )
    atoms = Atoms("H", cell=np.zeros((3, 3)), pbc=False)
    degenerate = Atoms(
        "H2", [[0, 0, 0], [0, 0, 0.7]], cell=[[10, 0, 0], [0, 10, 0], [0, 0, 0]], pbc=(True, True, False)
    )
    assert not in_boxes(Frames.of_structures([atoms, degenerate], "x"))[1].any()
