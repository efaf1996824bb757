"""Signals on the sphere: e3nn's numbers, exact peaks, derivatives everywhere."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
import torch
from switches import as_users_run_it
from torch import Tensor

from intertwine.groups.rotations import rand_matrix
from intertwine.numerics import InputError
from intertwine.o3.irreps import Irreps
from intertwine.o3.peaks import grid_maxima
from intertwine.o3.spherical_tensor import SphericalTensor

D = torch.float64
S = SphericalTensor(4, 1, -1)


def same(mine, theirs) -> None:
    if isinstance(theirs, tuple | list):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs):
            same(a, b)
    elif isinstance(theirs, dict):
        assert set(mine) == set(theirs)
        for key, value in theirs.items():
            same(torch.as_tensor(mine[key]), torch.as_tensor(value))
    else:
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("lmax", "p_arg"), [(0, 1), (3, -1), (5, 1), (8, -1)])
def test_against_e3nn(lmax: int, p_arg: int, generator: torch.Generator, oracle_in_double: None) -> None:
    from e3nn import io

    ours, theirs = SphericalTensor(lmax, 1, p_arg), io.SphericalTensor(lmax, 1, p_arg)
    assert str(ours) == str(theirs)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    vectors, heights = randn(min(4, ours.dim), 3), randn(min(4, ours.dim))
    same(ours.with_peaks_at(vectors), theirs.with_peaks_at(vectors))
    heights[1:2] = 0
    same(ours.with_peaks_at(vectors, heights), theirs.with_peaks_at(vectors, heights))
    for positions, values in (
        (randn(1, 3, 4, 3), randn(2, 1, 4)),
        (randn(1, 2, 0, 3), randn(3, 1, 0)),
        (randn(5, 3), randn(5)),
    ):
        same(ours.sum_of_diracs(positions, values), theirs.sum_of_diracs(positions, values))
        same(ours.from_samples_on_s2(positions, values, 20), theirs.from_samples_on_s2(positions, values, 20))
    signal = randn(2, ours.dim)
    same(ours.norms(signal), theirs.norms(signal))
    points = randn(2, 4, 3)
    points[0, 0] *= 1e-3
    same(ours.signal_xyz(signal, points), theirs.signal_xyz(signal, points))
    for normalization in ("integral", "component", "norm"):
        same(
            tuple(ours.signal_on_grid(signal, 20, normalization)),
            tuple(theirs.signal_on_grid(signal, 20, normalization)),
        )
    for options in ({}, {"radius": False}, {"relu": True}, {"center": randn(3)}, {"normalization": "component"}):
        same(ours.plot(signal[0], res=20, **options), theirs.plot(signal[0], res=20, **options))
    centers = randn(2, 3)
    same(ours.plotly_surface(signal, centers, res=20), theirs.plotly_surface(signal, centers, res=20))


@pytest.mark.parametrize("seed", range(8))
def test_peaks_on_the_grid_are_e3nns(seed: int, oracle_in_double: None) -> None:
    from e3nn import io

    ours, theirs = SphericalTensor(4, 1, -1), io.SphericalTensor(4, 1, -1)
    signal = ours.randn(-1, generator=torch.Generator().manual_seed(seed))
    where, height = theirs.find_peaks(signal, 40)
    order = height.argsort(descending=True)
    same(ours.find_peaks(signal, 40), (where[order], height[order]))


def test_line_maxima_are_scipys() -> None:
    from scipy import signal

    rows = torch.tensor(list(itertools.product((0.0, 1.0, 2.0), repeat=7)), dtype=D)  # every pattern, plateaus included
    found = grid_maxima(rows)
    columns = torch.zeros_like(found)
    for j in range(rows.shape[1]):
        columns[signal.find_peaks(rows[:, j].numpy())[0], j] = True
    for i, row in enumerate(rows):
        expected = torch.zeros(7, dtype=torch.bool)
        expected[signal.find_peaks(row.numpy())[0]] = True
        assert torch.equal(found[i], expected & columns[i])


@pytest.mark.parametrize("seed", range(4))
def test_refined_peaks_are_maxima_and_turn_with_the_signal(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    signal = S.randn(-1, dtype=D, generator=generator)
    where, height = S.find_peaks(signal, 50, refine=True)
    assert (height.diff() <= 0).all()
    x = where.clone().requires_grad_()
    values = S.signal_xyz(signal, x)
    torch.testing.assert_close(values, height)
    (slope,) = torch.autograd.grad(values.sum(), x)
    assert slope.abs().max() < 1e-12
    tangents = torch.linalg.cross(where[None], torch.randn(40, len(where), 3, dtype=D, generator=generator))
    assert (S.signal_xyz(signal, where + 1e-3 * tangents) < height).all()
    rotation = rand_matrix(dtype=D, generator=generator)
    turned, turned_height = S.find_peaks(S.transform(rotation, signal), 50, refine=True)
    torch.testing.assert_close(turned_height, height, rtol=0, atol=1e-12)
    torch.testing.assert_close(turned, where @ rotation.T, rtol=0, atol=1e-9)


def test_peaks_of_a_constant_of_a_single_cosine_and_their_derivative() -> None:
    assert [x.shape for x in S.find_peaks(torch.zeros(S.dim))] == [(0, 3), (0,)]
    signal = torch.zeros(S.dim, dtype=D)
    signal[2] = 1.0  # Y_10 has its maximum at the pole of the grid
    signal.requires_grad_()
    where, height = S.find_peaks(signal, 30, refine=True)
    torch.testing.assert_close(where, torch.tensor([[0.0, 1.0, 0.0]], dtype=D), rtol=0, atol=1e-12)
    (slope,) = torch.autograd.grad(height.sum(), signal)
    torch.testing.assert_close(slope, S._harmonics(where[0]).detach())


def test_parseval(generator: torch.Generator) -> None:
    from intertwine.o3.grids import quadrature

    signal = S.randn(3, -1, dtype=D, generator=generator)
    values = S.signal_on_grid(signal, 12).values
    integral = (
        torch.einsum("zba,b->z", values.square(), torch.from_numpy(quadrature(12))) * 2 * torch.pi / values.shape[-1]
    )
    torch.testing.assert_close(S.power(signal).sum(-1), integral, rtol=0, atol=1e-12)
    torch.testing.assert_close(S.norms(signal).square(), S.power(signal), rtol=0, atol=1e-12)


def test_with_peaks_at_batches_and_interpolates(generator: torch.Generator) -> None:
    vectors = torch.randn(2, 5, 6, 3, dtype=D, generator=generator)
    found = S.with_peaks_at(vectors)
    assert found.shape == (2, 5, S.dim)
    torch.testing.assert_close(found[1, 2], S.with_peaks_at(vectors[1, 2]), rtol=0, atol=1e-13)
    reached = torch.einsum("...i,...ni->...n", found, S._harmonics(vectors))
    torch.testing.assert_close(reached, vectors.norm(dim=-1), rtol=0, atol=1e-12)
    twice = torch.cat([vectors, vectors], dim=-2)  # consistent repetition changes nothing
    torch.testing.assert_close(S.with_peaks_at(twice), found, rtol=0, atol=1e-11)
    odd = SphericalTensor(4, -1, -1)
    torch.testing.assert_close(odd.with_peaks_at(vectors, vectors.norm(dim=-1)), found, rtol=0, atol=1e-13)
    assert not S.with_peaks_at(torch.zeros(0, 3)).any()
    assert not S.with_peaks_at(torch.zeros(2, 3)).any()


@pytest.mark.parametrize("lmax", [0, 2, 3])
def test_first_and_second_derivatives(lmax: int, generator: torch.Generator) -> None:
    s = SphericalTensor(lmax, 1, -1)
    signal = torch.randn(s.dim, dtype=D, generator=generator, requires_grad=True)
    r = torch.randn(2, 3, dtype=D, generator=generator, requires_grad=True)
    values = torch.randn(2, dtype=D, generator=generator, requires_grad=True)
    functions = [(s.signal_xyz, (signal, r)), (s.norms, (signal,)), (s.sum_of_diracs, (r, values))]
    functions.append((lambda x: s.plot(x, res=2 * lmax + 2)[0], (signal,)))
    functions.append((lambda v: s.from_samples_on_s2(r, v, 8), (values,)))
    if lmax:
        functions += [(s.with_peaks_at, (r,)), (s.with_peaks_at, (r, values))]
    for function, inputs in functions:
        assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


def test_derivatives_to_the_third_are_finite_at_singular_inputs() -> None:
    s = SphericalTensor(3, 1, -1)
    points = (
        torch.cat([torch.zeros(2, 3), torch.eye(3), -torch.eye(3), torch.eye(3)[:1] * 1e-200]).to(D).requires_grad_()
    )
    signals = torch.stack([torch.zeros(s.dim, dtype=D), torch.ones(s.dim, dtype=D)]).requires_grad_()
    for function, x in (
        (lambda r: s.signal_xyz(signals.detach(), r), points),
        (lambda r: s.sum_of_diracs(r, torch.ones(len(points), dtype=D)), points),
        (lambda r: s.with_peaks_at(r[:5]), points),
        (s.norms, signals),
        (s.power, signals),
        (lambda x: s.signal_on_grid(x, 8).values, signals),
    ):
        current = function(x)
        for _ in range(3):
            assert current.isfinite().all()
            weights = torch.linspace(0.5, 1.5, current.numel(), dtype=D).reshape(current.shape)
            if not current.requires_grad:
                break
            (current,) = torch.autograd.grad((current * weights).sum(), x, create_graph=True)
        assert current.isfinite().all()


def test_compiled_and_vectorised(generator: torch.Generator) -> None:
    signal, r = torch.randn(5, S.dim, dtype=D, generator=generator), torch.randn(7, 3, dtype=D, generator=generator)

    def every(signal: Tensor, r: Tensor) -> tuple[Tensor, ...]:
        return (
            S.signal_xyz(signal, r),
            S.norms(signal),
            S.power(signal),
            S.with_peaks_at(r),
            S.sum_of_diracs(r, r[:, 0]),
        )

    with as_users_run_it():
        same(torch.compile(every, fullgraph=True, backend="aot_eager")(signal, r), every(signal, r))
    same(torch.func.vmap(every, in_dims=(0, None), out_dims=(0, 0, 0, None, None))(signal, r), every(signal, r))


def test_is_irreps_and_travels() -> None:
    assert isinstance(S, Irreps)
    assert Irreps("0e+1o+2e+3o+4e") == S
    assert (S.p_val, S.p_arg, S.lmax, S.dim) == (1, -1, 4, 25)
    for p_val, p_arg in itertools.product((1, -1), (1, -1)):
        s = SphericalTensor(2, p_val, p_arg)
        for other in (pickle.loads(pickle.dumps(s)), copy.deepcopy(s), copy.copy(s)):
            assert type(other) is SphericalTensor
            assert (other, other.p_val, other.p_arg) == (s, p_val, p_arg)
        assert s.signal_xyz(s.randn(-1), torch.randn(3)).shape == ()
    single = torch.randn(25, dtype=torch.float32)
    assert S.signal_on_grid(single, 10).values.dtype == torch.float32
    assert S.with_peaks_at(torch.randn(3, 3, dtype=D)).dtype == D
    batch = S.plot(single.expand(2, 3, 25), torch.zeros(2, 3, 3), res=(10, 9))
    assert (batch[0].shape, batch[1].shape) == ((2, 3, 10, 10, 3), (2, 3, 10, 10))


def test_errors() -> None:
    close = torch.eye(3)[[0, 0]] * torch.tensor([[1.0], [2.0]])
    for bad in (
        lambda: SphericalTensor(-1, 1, 1),
        lambda: SphericalTensor(2, 0, 1),
        lambda: SphericalTensor(2, 1, 2),
        lambda: S.with_peaks_at(close),
        lambda: S.with_peaks_at(torch.tensor([[float("nan"), 0.0, 1.0]])),
        lambda: SphericalTensor(4, -1, 1).with_peaks_at(torch.eye(3)),
        lambda: S.signal_xyz(torch.ones(24), torch.ones(3)),
        lambda: S.signal_xyz(torch.ones(25), torch.ones(2)),
        lambda: S.norms(torch.ones(24)),
        lambda: S.power(torch.ones(24)),
        lambda: S.find_peaks(torch.ones(2, 25)),
        lambda: S.sum_of_diracs(torch.ones(2, 2), torch.ones(2)),
        lambda: S.from_samples_on_s2(torch.eye(3), torch.ones(3), 8),
        lambda: S.plotly_surface(torch.ones(2, 25), torch.zeros(3, 3)),
    ):
        with as_users_run_it(), pytest.raises(InputError):
            bad()


def test_peaks_in_inference_mode() -> None:
    tensor = SphericalTensor(4, 1, -1)
    signal = tensor.with_peaks_at(torch.tensor([[0.0, 2.0, 0.0]]))
    where, height = tensor.find_peaks(signal, refine=True)
    with torch.inference_mode():
        found = tensor.find_peaks(tensor.with_peaks_at(torch.tensor([[0.0, 2.0, 0.0]])), refine=True)
    torch.testing.assert_close(found, (where, height))
