"""Copies of training structures with other labels are told from those labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from suspicious import changed, first_of_ethanol

from intertwine.data import GraphStore
from intertwine.data.suspicion import Frames, Seen
from intertwine.data.units import factor

UNITS = {"energy": ["kcal/mol", "kJ/mol", "Hartree", "Ry", "meV"], "forces": ["Hartree/Bohr", "kcal/mol/A", "eV/nm"]}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """As a run keeps it."""
    path = tmp_path_factory.mktemp("seen") / "seen.npz"
    Seen.of(Frames.of_store(first_of_ethanol(40))).save(path)
    return Seen.load(path)


def lines(seen: Seen, store: GraphStore) -> list[str]:
    return [line for line in seen.lines(Frames.of_store(store)) if "other labels here" in line]


def test_the_same_labels_are_silent(seen: Seen) -> None:
    store = first_of_ethanol(60)
    assert lines(seen, store) == []
    assert lines(seen, store.subset(range(40, 60))) == []
    turned = changed(store, forces=store.fields["forces"] * (1 + 1e-5))
    assert lines(seen, turned) == []


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize(("label", "unit"), [(label, unit) for label, units in UNITS.items() for unit in units])
def test_an_exact_factor_is_a_unit(label: str, unit: str, inverse: bool, seen: Seen) -> None:
    store = first_of_ethanol(60)
    many = factor(unit, label) if inverse else 1 / factor(unit, label)
    (line,) = lines(seen, changed(store, **{label: store.fields[label] * many}))
    assert f"{many:.5g} times as large" in line
    assert f"in {unit} {'there' if inverse else 'here'}" in line
    assert line.endswith("; convert them")


@pytest.mark.parametrize("times", [0.5, 3.7, 100.0])
def test_a_factor_that_is_no_unit(times: float, seen: Seen) -> None:
    store = first_of_ethanol(60)
    (line,) = lines(seen, changed(store, energy=store.fields["energy"] * times))
    assert f"energy is {times:.5g} times as large; only one of the two can be right" in line


@pytest.mark.parametrize("label", ["energy", "forces"])
def test_labels_of_another_method_or_of_others(label: str, seen: Seen) -> None:
    store, rng = first_of_ethanol(60), np.random.default_rng(0)
    value = store.fields[label]
    noise = torch.from_numpy(rng.normal(size=value.shape)) * value.std()
    other = value[torch.randperm(len(value))] + 100 * noise if label == "energy" else value + noise
    (line,) = lines(seen, changed(store, **{label: other}))
    assert f"{label} {'is' if label == 'energy' else 'are'} another; only one of the two can be right" in line


def test_a_file_of_a_former_version_tells_nothing(seen: Seen, tmp_path: Path) -> None:
    store = first_of_ethanol(60)
    old = Seen(seen.marks, seen.species, seen.compositions, seen.domain)
    old.save(tmp_path / "seen.npz")
    again = Seen.load(tmp_path / "seen.npz")
    assert again is not None
    assert lines(again, changed(store, energy=2 * store.fields["energy"])) == []


@pytest.mark.parametrize(("compositions", "open_ones"), [([[1, 2, 0]], [1, 6]), ([[1, 2, 0], [0, 0, 1]], [1, 6]),
                                                         ([[1, 2, 0], [1, 3, 0], [0, 0, 1]], []),
                                                         ([[1, 2, 0], [1, 0, 0]], [])])  # fmt: skip
def test_species_that_compositions_do_not_tell_apart(compositions: list[list[int]], open_ones: list[int]) -> None:
    counts = np.array(compositions, dtype=np.int32)
    kept = counts.any(0)
    species = np.array([1, 6, 8])[kept]
    assert Seen(np.zeros(0, dtype=np.uint64), species, counts[:, kept]).not_told_apart() == open_ones
