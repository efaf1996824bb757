"""Structures whose labels stand apart from predictions are all told, by number, and sound labels never."""

from __future__ import annotations

import numpy as np
import pytest

from intertwine.data.suspicion.apart import Apart, apart, constant
from intertwine.data.suspicion.misread import Labelled
from intertwine.data.units import factor

SIZE, ERROR = 40, 0.02  # structures; eV/atom, of the energies of a model


def energies(seed: int = 0, error: float = ERROR) -> Labelled:
    """Of structures of 2 to 20 atoms: -3 eV/atom, which their form changes by 0.3, and a model's."""
    rng = np.random.default_rng(seed)
    atoms = rng.integers(2, 20, size=SIZE).astype(float)
    truth = (atoms * (-3 + 0.3 * rng.normal(size=SIZE)))[:, None]
    said = truth + (atoms * error * rng.normal(size=SIZE))[:, None]
    return Labelled(said, truth, atoms, 11 * atoms, SIZE, np.arange(SIZE))


def vectors(columns: int = 3, seed: int = 0, error: float = 0.4) -> Labelled:
    """Forces of four atoms, or a stress, of structures whose forces differ by a factor of ten, and a model's."""
    rng = np.random.default_rng(seed)
    each = 4 if columns == 3 else 1
    owner = np.repeat(np.arange(SIZE), each)
    size = np.exp(rng.uniform(-1.2, 1.2, size=SIZE))[owner][:, None]
    truth = size * rng.normal(size=(SIZE * each, columns))
    said = truth + error * size * rng.normal(size=truth.shape)
    return Labelled(said, truth, np.full(len(owner), 4.0), np.full(len(owner), 60.0), SIZE, owner)


def told(data: Labelled, columns: int) -> Apart:
    if columns == 1:
        return apart(data, "eV", extensive=True, per_atom=True, usual=ERROR, spread=0.25)
    return apart(data, "eV/A" if columns == 3 else "eV/A^3", vector=True, usual=0.5)


def changed(data: Labelled, odd: np.ndarray, times: float = 1.0, shift: float = 0.0) -> Labelled:
    which = np.isin(data.owner, odd)[:, None]
    return data._replace(truth=np.where(which, times * data.truth + shift * data.atoms[:, None], data.truth))


@pytest.mark.parametrize("count", [5, 12, 19, 26])
@pytest.mark.parametrize("columns", [1, 3, 6])
@pytest.mark.parametrize("unit", ["kcal/mol", "meV", "Ry"])
def test_some_in_another_unit_are_all_told(unit: str, columns: int, count: int) -> None:
    """Also where they are the most."""
    name = unit + {1: "", 3: "/A", 6: "/A^3"}[columns]
    name = "Ry/Bohr^3" if name == "Ry/A^3" else name
    data = energies() if columns == 1 else vectors(columns, error=0.25 if columns == 3 else 0.1)
    odd = np.sort(np.random.default_rng(count).permutation(SIZE)[:count])
    each = told(changed(data, odd, 1 / factor(name, {1: "energy", 3: "forces", 6: "stress"}[columns])), columns)
    if columns == 1:
        assert each.structures == tuple(odd)
    else:  # where a prediction is bad or small, nothing tells
        assert set(each.structures) <= set(odd.tolist())
        assert len(each.structures) >= 0.8 * count
    assert "times the predictions, as if in" in each.words
    assert name in each.words


@pytest.mark.parametrize("count", [4, 9, 14])
@pytest.mark.parametrize("columns", [3, 6])
@pytest.mark.parametrize("error", [0.1, 0.4])
def test_some_with_the_opposite_sign(error: float, columns: int, count: int) -> None:
    odd = np.arange(3, 3 + 2 * count, 2)
    each = told(changed(vectors(columns, error=error), odd, -1.0), columns)
    assert set(each.structures) <= set(odd.tolist())
    assert len(each.structures) >= 0.8 * count
    assert each.words.endswith("as if with the opposite sign")


@pytest.mark.parametrize("count", [1, 2, 8, 20, 26])
@pytest.mark.parametrize("shift", [0.9, -2.0, 40.0])
def test_some_energies_off_by_a_constant(shift: float, count: int) -> None:
    odd = np.sort(np.random.default_rng(7 + count).permutation(SIZE)[:count])
    each = told(changed(energies(), odd, shift=shift), 1)
    assert each.structures == tuple(odd)
    assert ("a constant" in each.words) == (count > 1)
    assert "eV/atom off the predictions" in each.words
    assert ("+" in each.words) == (shift > 0)


@pytest.mark.parametrize("size", [20.0, -60.0, 1e3])
@pytest.mark.parametrize("columns", [3, 6])
def test_a_wild_number_of_a_tensor(columns: int, size: float) -> None:
    data = vectors(columns)
    truth = data.truth.copy()
    truth[np.flatnonzero(data.owner == 17)[0], 1] += size
    each = told(data._replace(truth=truth), columns)
    assert each.structures == (17,)
    assert each.words == "far from the predictions"


@pytest.mark.parametrize("error", [0.0, 0.02, 0.3, 1.0])
@pytest.mark.parametrize("columns", [1, 3, 6])
def test_sound_labels_are_silent(columns: int, error: float) -> None:
    """Of good models and of bad ones, which may err by as much as the baseline."""
    for seed in range(12):
        data = energies(seed, 0.3 * error) if columns == 1 else vectors(columns, seed, error)
        assert told(data, columns) == Apart()


@pytest.mark.parametrize("columns", [1, 3, 6])
@pytest.mark.parametrize("tail", [3.0, 4.0])
def test_heavy_tails_are_silent(tail: float, columns: int) -> None:
    """Errors of Student's distribution: of 480 structures some are far larger than usual ones, and none stands apart by
    as much as a wrong label.
    """
    for seed in range(12):
        data = energies(seed) if columns == 1 else vectors(columns, seed)
        wider = np.random.default_rng(seed).standard_t(tail, size=data.truth.shape)
        usual = ERROR * data.atoms[:, None] if columns == 1 else 0.3 * np.linalg.norm(data.truth, axis=1)[:, None] / 2
        assert told(data._replace(predicted=data.truth + usual * wider), columns) == Apart()


@pytest.mark.parametrize("relaxed", [6, 20, 34])
def test_relaxed_and_hot_structures_are_silent(relaxed: int) -> None:
    """Whose forces and errors differ by a factor of fifty; of relaxed ones the direction is noise."""
    for seed in range(6):
        data = vectors(3, seed)
        small = (data.owner < relaxed)[:, None]
        noise = 0.02 * np.random.default_rng(seed).normal(size=data.truth.shape)
        data = data._replace(truth=np.where(small, 0.02 * data.truth, data.truth),
                             predicted=np.where(small, 0.02 * data.predicted + noise, data.predicted))  # fmt: skip
        assert told(data, 3) == Apart()


@pytest.mark.parametrize("columns", [1, 3, 6])
@pytest.mark.parametrize("times", [23.0605, 96.4853, 1e3])
def test_where_all_are_of_another_unit_none_stands_apart(times: float, columns: int) -> None:
    data = energies() if columns == 1 else vectors(columns, error=0.2)
    assert told(data._replace(truth=times * data.truth), columns) == Apart()


def compositions(seed: int = 0) -> np.ndarray:
    """Atoms of two species in each of the structures of :func:`energies`."""
    atoms = energies(seed).atoms
    first = np.random.default_rng(seed).integers(0, atoms.astype(int) + 1)
    return np.stack([first, atoms - first], axis=1).astype(float)


@pytest.mark.parametrize("how", ["/atom", "/structure", "for Cu"])
@pytest.mark.parametrize("size", [0.375, -1.5, 900.0])
def test_all_off_by_a_constant(size: float, how: str) -> None:
    data, counts = energies(), compositions()
    shift = {"/atom": size * data.atoms, "/structure": 20 * size + 0 * data.atoms,
             "for Cu": counts @ np.array([size, -2 * size])}[how]  # fmt: skip
    off = constant(data._replace(truth=data.truth + shift[:, None]), counts, ["Cu", "Au"], ERROR)
    assert how in off.words
    value = float(off.words.split()[1])
    assert value == pytest.approx(size * (20 if how == "/structure" else 1), abs=0.02 * 20)
    assert off.left == pytest.approx(ERROR * np.sqrt(2 / np.pi), rel=0.3)


@pytest.mark.parametrize("usual", [0.02, 0.2, None])
@pytest.mark.parametrize("shift", [0.0, 0.03, 0.1])
def test_what_a_model_errs_by_itself_is_no_constant(shift: float, usual: float | None) -> None:
    for seed in range(8):
        data = energies(seed)
        off = constant(
            data._replace(truth=data.truth + shift * data.atoms[:, None]), compositions(seed), ["Cu", "Au"], usual
        )
        assert bool(off.words) == (shift == 0.1 and usual == 0.02)


@pytest.mark.parametrize("count", [12, 20, 28])
def test_a_constant_of_some_is_none_of_all(count: int) -> None:
    data = changed(energies(), np.arange(count), shift=0.8)
    assert constant(data, compositions(), ["Cu", "Au"], ERROR).words == ""


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("error", "learnt"), [(0.005, True), (0.01, True), (0.12, False), (0.15, False)])
def test_the_tail_of_a_model_that_has_hardly_learnt_is_not_told(error: float, learnt: bool, seed: int) -> None:
    """Two energies that are eight usual errors off: of a good model they stand apart, of a bad one they are its own."""
    data = changed(energies(seed, error), np.array([3, 17]), shift=12 * error + 1.0)
    usual = apart(data, "eV", extensive=True, per_atom=True, usual=error, spread=0.25)
    assert set(usual.structures) == ({3, 17} if learnt else set())
