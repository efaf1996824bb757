"""The pairs of benchmarks/papers/expressivity.py are as hard as they claim to be."""

from __future__ import annotations

import types
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

PAPERS = Path(__file__).resolve().parents[2] / "benchmarks" / "papers"


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(PAPERS))
    return import_module("pairs")


def agree(pairs: types.ModuleType, pair: object, bodies: int, handed: bool = False) -> bool:
    first, second = pairs.invariants(pair, bodies, handed)
    return first == second


@pytest.mark.parametrize(("name", "bodies"), [("2-body", 2), ("3-body", 3), ("4-body", 4)])
def test_a_pair_agrees_up_to_its_body_order_and_no_further(pairs: types.ModuleType, name: str, bodies: int) -> None:
    pair = pairs.BODY[name]()
    assert all(agree(pairs, pair, k) for k in range(2, bodies + 1))
    assert not agree(pairs, pair, bodies + 1)
    assert not pairs.congruent(pair, proper=False)


def test_the_repaired_four_body_pair_agrees_with_handedness_too(pairs: types.ModuleType) -> None:
    assert agree(pairs, pairs.four_body(), 4, handed=True)
    assert not agree(pairs, pairs.four_body(), 5, handed=True)


def test_the_chiral_pair_are_mirror_images_that_no_rotation_joins(pairs: types.ModuleType) -> None:
    pair = pairs.chiral()
    assert np.array_equal(pair.first * [1, -1, 1], pair.second)
    assert pairs.congruent(pair, proper=False)
    assert not pairs.congruent(pair, proper=True)
    assert all(agree(pairs, pair, k) for k in range(2, 6))  # no invariant of mirrors tells them apart
    assert agree(pairs, pair, 4, handed=True)
    assert not agree(pairs, pair, 5, handed=True)


def test_the_published_pairs_are_congruent_by_a_rotation(pairs: types.ModuleType) -> None:
    assert pairs.congruent(pairs.four_body(pairs.ISOSCELES), proper=True)
    assert pairs.congruent(pairs.chiral(pairs.ISOSCELES), proper=True)


@pytest.mark.parametrize("k", [2, 4, 7])
def test_one_hop_of_the_chains_is_the_same(pairs: types.ModuleType, k: int) -> None:
    pair = pairs.chains(k)
    first, second = pairs.neighbourhoods(pair)
    assert first == second
    lengths = [np.linalg.norm(x[pair.edges[0]] - x[pair.edges[1]], axis=1) for x in (pair.first, pair.second)]
    assert np.allclose(lengths, 5.0 / pairs.LENGTH_UNIT, atol=1e-12)
    head_to_tail = [np.linalg.norm(x[-1] - x[-2]) for x in (pair.first, pair.second)]
    assert abs(head_to_tail[0] - head_to_tail[1]) > 0.1


@pytest.mark.parametrize("fold", [2, 3, 5, 10])
def test_a_polygon_turned_is_itself_only_after_a_whole_step(pairs: types.ModuleType, fold: int) -> None:
    def same(angle: float) -> bool:
        pair = pairs.turned(fold, angle)
        return all(np.linalg.norm(pair.second - point, axis=1).min() < 1e-12 for point in pair.first)

    assert same(2 * np.pi / fold)
    assert not same(2 * np.pi / (fold + 1))


NAMES = ["schnet", "dimenet", "egnn", "painn", "gvp", "point_conv", "ponita", "pointnet", "faenet"]


@pytest.mark.parametrize("name", NAMES)
def test_random_weights_tell_apart_what_theory_says(pairs: types.ModuleType, name: str) -> None:
    questions, distinguish = import_module("questions"), import_module("distinguish")
    row = questions.Row(name, name, {})
    asked = [cell for cell in questions.cells(row) if cell.kind != "chain" or cell.what in (2, 3)]
    found = {
        str(cell): distinguish.separation(name, cell.question(), {}, cell.pair(0))
        > distinguish.SAME_RELATIVE_DIFFERENCE
        for cell in asked
    }
    assert found == {str(cell): questions.expected(row, cell) for cell in asked}


def test_learning_ends_as_soon_as_both_are_right(pairs: types.ModuleType) -> None:
    distinguish = import_module("distinguish")
    question, pair = distinguish.Question(1, None, "scalars"), pairs.two_body()
    learned = distinguish.learn("dimenet", question, {}, pair, seed=0)
    assert learned["accuracy"] == 100
    assert learned["epochs"] < distinguish.EPOCHS
    blind = distinguish.learn("schnet", question, {}, pair, seed=0, possible=False)
    assert blind.pop("separation") < 1e-15  # 0 where the processor adds up either one in the same way
    assert blind == {"accuracy": 50.0, "epochs": 5}
