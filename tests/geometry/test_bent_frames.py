"""Weighted frames in NumPy are those of the plain formulas, and so are their derivatives, for batches of any kind."""

from __future__ import annotations

import sys
from functools import partial

import pytest
import torch
from frame_cases import EXACT, F64, nearly_degenerate
from torch import Tensor
from torch._subclasses import FakeTensorMode

from intertwine.geometry.frames import pca, weighted
from intertwine.geometry.frames.bent import bent_frames
from intertwine.geometry.frames.space import Space
from intertwine.geometry.frames.weighted import BENT, of_pairs
from intertwine.numerics import segment


def clouds(kind: str, generator: torch.Generator) -> Tensor:
    """Points of graphs side by side: of one size, of several, symmetric ones."""
    if kind == "symmetric":
        x = [EXACT[name]()[0] for name in ("methane", "benzene", "cube")]
    else:
        x = [1.5 * torch.randn(6 if kind == "even" else n, 3, generator=generator, dtype=F64) for n in (7, 9, 6, 8)]
    centred = [points - points.mean(0) for points in x]
    return torch.nn.utils.rnn.pad_sequence(centred, batch_first=True)


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("width", [0.2, 1.0])
@pytest.mark.parametrize("kind", ["even", "uneven", "symmetric"])
def test_values_and_derivatives_are_those_of_the_formulas(
    kind: str, width: float, special: bool, generator: torch.Generator
) -> None:
    x = clouds(kind, generator).requires_grad_()
    formulas = partial(of_pairs, space=Space(3, special, True), width=width, turns=3)
    made = bent_frames(x, formulas, special, 1 - width, BENT)
    assert made is not None
    expected = formulas(x)
    assert type(made[0].grad_fn) is not type(expected[0].grad_fn)
    for ours, plain in zip(made, expected, strict=True):
        assert torch.allclose(ours, plain, rtol=0, atol=1e-13)
    g = [torch.randn(y.shape, generator=generator, dtype=F64) for y in made]
    firsts = [torch.autograd.grad(y, x, g, create_graph=True)[0] for y in (made, expected)]
    first = torch.autograd.grad(bent_frames(x, formulas, special, 1 - width, BENT) or (), x, g)[0]
    scale = float(firsts[1].detach().abs().max())
    assert float((first - firsts[1]).detach().abs().max()) < 1e-11 * scale
    again = torch.randn(x.shape, generator=generator, dtype=F64)
    seconds = [torch.autograd.grad((y * again).sum(), x)[0] for y in firsts]
    assert float((seconds[0] - seconds[1]).abs().max()) < 1e-10 * float(seconds[1].abs().max())


def test_single_precision(generator: torch.Generator) -> None:
    x = clouds("even", generator).float()
    formulas = partial(of_pairs, space=Space(3, False, True), width=0.2, turns=3)
    for ours, plain in zip(bent_frames(x, formulas, False, 0.8, BENT) or (), formulas(x), strict=True):
        assert ours.dtype == torch.float32
        assert torch.allclose(ours, plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["chain", "lopsided"])
def test_chains_and_points_in_one_place_are_left_to_the_formulas(name: str) -> None:
    x = EXACT[name]()[0]
    formulas = partial(of_pairs, space=Space(3, False, True), width=0.2, turns=3)
    for points in (x - x.mean(0), torch.zeros(3, 3, dtype=F64), torch.zeros(0, 3, dtype=F64)):
        assert bent_frames(points[None], formulas, False, 0.8, BENT) is None


def test_near_degenerate_structures_all_at_once(generator: torch.Generator, quick: bool) -> None:
    """Of which some are linear: a batch of those that are not, beside the formulas."""
    graphs = 100 if quick else 400
    x, _, owner, kind = nearly_degenerate(graphs, generator)
    chosen = torch.isin(owner, (kind != 3).nonzero().squeeze(1))
    owner, count = owner[chosen].unique(return_inverse=True)[1], int((kind != 3).sum())
    x = x[chosen].requires_grad_()
    frames = weighted(x, owner, count)
    cloud = Space(3, False, True).cloud(x, owner, count)
    rotation, weight = of_pairs(cloud.dense(), Space(3, False, True), 0.2, 3)
    assert torch.allclose(frames.weight, weight, rtol=0, atol=1e-12)
    heavy = weight > 1e-9  # of others axes may be anything
    assert torch.allclose(frames.rotation[heavy], rotation[heavy], rtol=0, atol=1e-9)


def test_batches_whose_graphs_stand_in_any_order(generator: torch.Generator) -> None:
    owner = torch.arange(4).repeat_interleave(5)
    assert segment.even(owner, 4) == 5
    assert segment.even(owner[:-1], 4) == 0
    assert segment.even(owner.flip(0), 4) == 0
    assert segment.even(owner[:0], 4) == 0
    assert segment.even(torch.zeros(7, dtype=torch.int64), 1) == 7
    assert segment.even(torch.tensor([0, 0, 2, 2]), 2) == 0
    x, order = torch.randn(20, 3, generator=generator, dtype=F64), torch.randperm(20, generator=generator)
    there, mixed = weighted(x, owner, 4), weighted(x[order], owner[order], 4)
    assert torch.allclose(there.centre, mixed.centre, rtol=0, atol=1e-14)
    assert torch.allclose(there.weight.sort(1)[0], mixed.weight.sort(1)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["inference", "fake"])
def test_constants_of_a_first_call_serve_the_next_one(mode: str, generator: torch.Generator) -> None:
    principal = sys.modules[pca.__module__]
    principal._TABLES.clear()
    with torch.inference_mode() if mode == "inference" else FakeTensorMode():
        principal.sign_table(Space(3, False, True), torch.ones(1, dtype=F64))
    x = torch.randn(4, 3, generator=generator, dtype=F64, requires_grad=True)
    frames = pca(x, torch.zeros(4, dtype=torch.int64), 1)
    assert torch.equal(frames.weight, torch.full((1, 8), 1 / 8, dtype=F64))
    (slope,) = torch.autograd.grad((frames.rotation * torch.randn(8, 3, 3, generator=generator, dtype=F64)).sum(), x)
    assert slope.isfinite().all()
    assert slope.abs().max() > 0
