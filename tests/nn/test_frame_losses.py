"""Aligned point error, torsion loss and names of equal atoms, against loops over their equations."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from intertwine.geometry.residues import LETTERS, ideal_residues
from intertwine.groups import Isometry
from intertwine.nn import residue_frames
from intertwine.nn.frame_losses import Cells, aligned_point_error, torsion_loss
from intertwine.nn.side_chains import all_atoms, group_frames, renamed
from intertwine.numerics import GeometryError


def cells(count: int, generator: torch.Generator) -> Cells:
    n, ca, c = 3 * torch.randn(3, count, 3, generator=generator, dtype=torch.float64)
    return Cells(residue_frames(n, ca, c).transpose(1, 2), ca)


def moved(g: Isometry, frames: Cells) -> Cells:
    return Cells(g.rotation @ frames.axes, g(frames.origin))


def test_aligned_point_error(generator: torch.Generator) -> None:
    """Algorithm 28 in loops, of two graphs of other sizes, one of them with distances beyond the clamp."""
    of_frame, of_point = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 0, 0, 1, 1])
    frames, truth = cells(5, generator), cells(5, generator)
    x, y = 8 * torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    error = aligned_point_error(frames, x, truth, y, of_frame, of_point, 2, smoothing=1e-4)
    clamped = 0
    for k in range(2):
        parts = []
        for f, p in itertools.product(range(5), range(5)):
            if of_frame[f] == of_point[p] == k:
                a = torch.linalg.inv(frames.axes[f]) @ (x[p] - frames.origin[f])
                b = torch.linalg.inv(truth.axes[f]) @ (y[p] - truth.origin[f])
                d = math.sqrt(float((a - b).square().sum()) + 1e-4)
                clamped += d > 10
                parts.append(min(d, 10.0) / 10)
        assert float(error[k]) == pytest.approx(sum(parts) / len(parts), abs=1e-12)
    assert 0 < clamped < 12


def test_invariance_and_hands(generator: torch.Generator) -> None:
    """No motion of either structure changes it; the mirror image of a structure is not the structure."""
    frames, x = cells(6, generator), 4 * torch.randn(6, 3, generator=generator, dtype=torch.float64)
    owner = torch.zeros(6, dtype=torch.int64)
    g = Isometry.random(3, generator=generator, shift=9.0)
    same = aligned_point_error(moved(g, frames), g(x), frames, x, owner, owner, 1, smoothing=0.0)
    assert same < 1e-12
    n, ca, c = torch.randn(3, 6, 3, generator=generator, dtype=torch.float64)
    own = Cells(residue_frames(n, ca, c).transpose(1, 2), ca)
    hand = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    other = Cells(residue_frames(n * hand, ca * hand, c * hand).transpose(1, 2), ca * hand)
    assert aligned_point_error(other, ca * hand, own, ca, owner, owner, 1) > 0.05
    nothing = Cells(own.axes[:0], own.origin[:0])
    assert aligned_point_error(nothing, ca[:0], nothing, ca[:0], owner[:0], owner[:0], 1).tolist() == [0.0]


def test_torsion_loss(generator: torch.Generator) -> None:
    """Algorithm 27 in loops; a half turn of a symmetric angle costs nothing, of another one 4."""
    angles = torch.randn(4, 7, 2, generator=generator, dtype=torch.float64)
    turn = torch.rand(4, 7, generator=generator, dtype=torch.float64) * 6
    truth = torch.stack([turn.sin(), turn.cos()], dim=-1)
    known, symmetric = (torch.rand(2, 4, 7, generator=generator) > 0.4).unbind(0)
    owner = torch.tensor([0, 0, 0, 1])
    loss = torsion_loss(angles, truth, known, symmetric, owner, 2)
    for k in range(2):
        turns, lengths = [], []
        for i, f in itertools.product(range(4), range(7)):
            if owner[i] != k:
                continue
            size = float(angles[i, f].norm())
            lengths.append(abs(size - 1))
            if known[i, f]:
                unit = angles[i, f] / size
                options = [truth[i, f], -truth[i, f]] if symmetric[i, f] else [truth[i, f]]
                turns.append(min(float((unit - each).square().sum()) for each in options))
        expected = sum(turns) / max(len(turns), 1) + 0.02 * sum(lengths) / len(lengths)
        assert float(loss[k]) == pytest.approx(expected, abs=1e-12)
    everything = torch.ones(4, 7, dtype=torch.bool)
    assert torsion_loss(-truth, truth, everything, everything, owner, 2).max() < 1e-12
    assert torsion_loss(-truth, truth, everything, ~everything, owner, 2).min() == pytest.approx(4)


def test_a_pair_of_zeros_has_a_finite_gradient() -> None:
    angles = torch.zeros(1, 7, 2, dtype=torch.float64, requires_grad=True)
    truth = torch.tensor([0.0, 1.0], dtype=torch.float64).expand(1, 7, 2)
    everything = torch.ones(1, 7, dtype=torch.bool)
    torsion_loss(angles, truth, everything, everything, torch.tensor([0]), 1).sum().backward()
    assert torch.isfinite(angles.grad).all()


@pytest.mark.parametrize("letters", ["DAA", "AEA", "AFYD", "GAV"])
def test_names_of_equal_atoms(letters: str, generator: torch.Generator) -> None:
    """Truth with exchanged names is recognised, and named as the prediction; truth with right names is left alone."""
    kinds = torch.tensor([LETTERS.index(letter) for letter in letters])
    count = len(kinds)
    n, ca, c = 3 * torch.randn(3, count, 3, generator=generator, dtype=torch.float64)
    turn = 6 * torch.rand(count, 7, generator=generator, dtype=torch.float64)
    frames = residue_frames(n, ca, c).transpose(1, 2)
    groups = group_frames(kinds, frames, ca, torch.stack([turn.sin(), turn.cos()], dim=-1))
    atoms, present = all_atoms(kinds, *groups)
    owner = torch.zeros(count, dtype=torch.int64)
    assert not renamed(atoms, atoms, present, kinds, owner).any()
    exchanged = ideal_residues().exchanged[kinds]
    other: Tensor = torch.gather(atoms, 1, exchanged.unsqueeze(-1).expand_as(atoms))
    expected = [letter in "DEFY" for letter in letters]
    assert renamed(atoms, other, present, kinds, owner).tolist() == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, ca, c: n.__setitem__(2, torch.nan), "N of residue 2 is missing"),
        (lambda n, ca, c: c.__setitem__(0, torch.inf), "C of residue 0 is missing"),
        (lambda n, ca, c: n.__setitem__(1, ca[1]), "N and CA of residue 1 coincide"),
        (lambda n, ca, c: c.__setitem__(3, ca[3]), "CA and C of residue 3 coincide"),
        (lambda n, ca, c: n.__setitem__(3, c[3]), "N and C of residue 3 coincide"),
        (lambda n, ca, c: n.__setitem__(0, 2 * ca[0] - c[0]), "residue 0 are on a line"),
    ],
)
def test_backbones_without_a_frame(change, words: str, generator: torch.Generator) -> None:
    n, ca, c = (x.clone() for x in torch.randn(3, 4, 3, generator=generator, dtype=torch.float64))
    change(n, ca, c)
    with pytest.raises(GeometryError, match=words):
        residue_frames(n, ca, c)
