"""Contestants compute the same; one that does not is found."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from intertwine.bench import convolutions, others
from intertwine.bench.contest import OURS, PASSES, Contestant, agree, beyond, contest
from intertwine.bench.convolutions import SIZES, Problem, Size
from intertwine.numerics import DataError

SMALL = Size(30, 7, 4, (1, 2, 2))


def test_sizes_have_the_paths_that_they_name() -> None:
    assert {name: len(size.paths) for name, size in SIZES.items()} == {"A": 11, "B": 10, "C": 23, "tiny": 11}
    left, right, out = SIZES["A"].irreps
    assert (str(left), str(right), out.dim) == ("32x0e+32x1o+32x2e", "1x0e+1x1o+1x2e", 1120)
    assert SIZES["A"].bytes["forward"] == 4 * (500 * (288 + 1120) + 10_000 * (9 + 352)) + 16 * 10_000


def test_peers_of_the_convolution_agree() -> None:
    pytest.importorskip("e3nn")
    found = convolutions.peers(Problem.of(SMALL), compiled=False)
    assert list(found)[:2] == [OURS, "e3nn"]
    assert max(agree(found, "here").values()) < 1e-5


def test_peers_of_harmonics_and_contraction_agree() -> None:
    pytest.importorskip("e3nn")
    assert max(agree(others.harmonics(40, 3), "here").values()) < 1e-5
    pytest.importorskip("mace")
    differences = agree(others.contraction(4, 1, 12), "here")
    assert set(differences) == {"mace-torch"}
    assert differences["mace-torch"] < 1e-5


def test_a_peer_that_differs_is_refused() -> None:
    right = Contestant(torch.sin, (torch.ones(3, requires_grad=True),), torch.ones(3))
    wrong = dataclasses.replace(right, function=lambda x: 1.001 * torch.sin(x))
    with pytest.raises(DataError, match=r"peer and ours differ by 0\.00"):
        contest({OURS: right, "peer": wrong}, 1, lambda: None)
    silent = dataclasses.replace(right, function=lambda x: x.sin() * torch.nan)
    with pytest.raises(DataError, match="nan"):
        agree({OURS: right, "peer": silent}, "here")


def test_rows_have_times_memory_and_differences() -> None:
    x = torch.ones(500, requires_grad=True)
    ours = Contestant(torch.sin, (x,), torch.ones(500))
    peer = Contestant(
        lambda x: torch.stack([x, x]).sin()[1], (x,), torch.ones(500), passes=("forward", "forward + backward")
    )
    ticks: list[int] = []
    rows = contest({OURS: ours, "peer": peer}, 2, lambda: ticks.append(1))
    assert [row["pass"] for row in rows] == list(PASSES)
    assert [sorted(row["ms"]) for row in rows] == [[OURS, "peer"], [OURS, "peer"], [OURS]]
    assert len(ticks) == 2 * len(PASSES)
    assert rows[0]["memory"] == {OURS: 0, "peer": pytest.approx(4000, abs=300)}
    assert all(row["difference"] == {"peer": 0.0} for row in rows)
    assert "memory" not in contest({OURS: ours}, 1, lambda: None, passes=("forward",), check=False)[0]


def test_memory_does_not_count_results() -> None:
    x = torch.ones(1000)
    assert beyond(lambda: [x.neg()]) == 0
    assert beyond(lambda: [x.neg().sum()]) >= 4000
