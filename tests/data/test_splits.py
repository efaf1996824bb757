"""Splits: reproducible, disjoint, saved and read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine.data import Splits, split
from intertwine.numerics import DataError, InputError


def test_sizes_and_disjointness() -> None:
    parts = split(100, train=60, validation=15, test=25, seed=3)
    everything = torch.cat([parts.train, parts.validation, parts.test])
    assert [len(parts.train), len(parts.validation), len(parts.test)] == [60, 15, 25]
    assert torch.equal(everything.sort().values, torch.arange(100))
    assert torch.equal(split(100, train=60, validation=15, test=25, seed=3).train, parts.train)
    assert not torch.equal(split(100, train=60, validation=15, test=25, seed=4).train, parts.train)


def test_fractions_and_rest() -> None:
    parts = split(101, train=None, validation=0.1, test=0.2)
    assert [len(parts.train), len(parts.validation), len(parts.test)] == [71, 10, 20]
    assert len(split(10, train=4, validation=2, test=None).test) == 4


def test_a_smaller_training_set_keeps_the_test_set() -> None:
    large = split(50, train=30, validation=5, test=10, seed=1)
    small = split(50, train=10, validation=5, test=10, seed=1)
    assert torch.equal(large.test, small.test)
    assert torch.equal(large.train[:10], small.train)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"train": 90, "validation": 11}, "101 entries"),
        ({"train": None, "validation": None}, "take the rest"),
        ({"train": -1}, "size -1"),
        ({"train": 1.5}, "size 1.5"),
        ({"train": None, "test": 100}, "left for training"),
    ],
)
def test_impossible_sizes(sizes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        split(100, **sizes)


def test_files(tmp_path: Path) -> None:
    parts = split(20, train=10, validation=5, test=5)
    parts.save(tmp_path / "splits.json")
    assert Splits.load(tmp_path / "splits.json").to_dict() == parts.to_dict()
    assert [path.name for path in tmp_path.iterdir()] == ["splits.json"]
    np.savez(
        tmp_path / "s.npz", train_idx=np.array([3, 1]), val_idx=np.array([0]), test_idx=np.array([], dtype=np.int64)
    )
    assert Splits.load(tmp_path / "s.npz").to_dict() == {"train": [3, 1], "validation": [0], "test": []}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"train": [0, 1], "test": [1]}', "both train and test"),
        ('{"train": [0, 0]}', "twice in train"),
        ('{"train": [-1]}', "negative"),
        ('{"train": [0.5]}', "not whole"),
        ('{"test": [1]}', "no training part"),
        ("[1, 2]", "named lists"),
        ('{"train": [1', "can't read"),
    ],
)
def test_bad_files(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    path.write_text(content)
    with pytest.raises(DataError, match=words) as caught:
        Splits.load(path)
    assert str(path) in str(caught.value)


def test_out_of_range_and_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="index 7 is out of range for 5"):
        Splits([0, 7]).check(5)
    with pytest.raises(DataError, match="no such file"):
        Splits.load(tmp_path / "absent.json")
    (tmp_path / "bad.npz").write_text(json.dumps({}))
    with pytest.raises(DataError, match="can't read"):
        Splits.load(tmp_path / "bad.npz")
