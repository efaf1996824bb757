"""Steerable kernels: their constraint, e3nn's convolution of voxels as oracle, and the Fourier link to regular ones."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from intertwine.groups import SO, Cartesian, O, cyclic
from intertwine.groups.plane import PlaneIrrep
from intertwine.nn.groups.ball_convolution import (
    boxes,
    channels_last_is_faster,
    convolve_boxes,
    several_are_faster,
)
from intertwine.nn.groups.field_activation import CircleFields, GatedFields, NormFields, TermsNorm
from intertwine.nn.groups.fourier_link import by_frequency, circle_functions, circle_terms, coefficient_kernel
from intertwine.nn.groups.grid_convolution import GroupConvolution
from intertwine.nn.groups.kernel_basis import RingBasis, kernel_pixels
from intertwine.nn.groups.steerable_convolution import (
    SteerableConvolution,
    plane_couplings,
    plane_harmonics,
    space_couplings,
    space_harmonics,
)
from intertwine.numerics import InputError
from intertwine.o3 import Irrep, Irreps

EPS = torch.finfo(torch.float64).eps
QUARTER = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
MIRROR = torch.diag(torch.tensor([-1.0, 1.0], dtype=torch.float64))


def of_group(name: str, channels: int = 2, frequencies: int = 2) -> tuple:
    group = SO(2) if name == "SO(2)" else O(2)
    odd = ((1, PlaneIrrep(group, 0, odd=True)),) if name == "O(2)" else ()
    return tuple((channels, PlaneIrrep(group, k)) for k in range(frequencies + 1)) + odd


def plane(name: str, terms_in: tuple, terms_out: tuple, size: int = 5) -> SteerableConvolution:
    group = SO(2) if name == "SO(2)" else O(2)
    harmonics = plane_harmonics(group, size, 4)
    return SteerableConvolution(terms_in, terms_out, size, harmonics, plane_couplings, 2).double()


def matrix(terms: tuple, g: Tensor) -> Tensor:
    return torch.block_diag(*[rep.matrix(g) for channels, rep in terms for _ in range(channels)])


@pytest.mark.parametrize("name", ["SO(2)", "O(2)"])
def test_the_constraint_of_kernels_in_the_plane(name: str) -> None:
    """K(g x) = rho_out(g) K(x) rho_in(g)^-1 at the pixels that g maps to each other."""
    terms = of_group(name)
    layer, pixels = plane(name, terms, terms), kernel_pixels(5, 2)
    kernel = layer.kernel().detach().flatten(2)
    for g in [QUARTER, QUARTER @ QUARTER] + [MIRROR, MIRROR @ QUARTER] * (name == "O(2)"):
        moved = torch.cdist(pixels @ g.T, pixels).argmin(1)  # the pixel that each goes to
        expected = torch.einsum("ab,bcx,cd->adx", matrix(terms, g), kernel, matrix(terms, g).T)
        assert (kernel[:, :, moved] - expected).abs().max() < 100 * EPS * kernel.abs().max()


def test_the_constraint_of_kernels_in_space() -> None:
    irreps = [Irrep("0e"), Irrep("1o"), Irrep("1e"), Irrep("2e")]
    terms = tuple((2, ir) for ir in irreps)
    layer = SteerableConvolution(terms, terms, 5, space_harmonics(5, 3, 3), space_couplings, 3).double()
    kernel, pixels = layer.kernel().detach().flatten(2), kernel_pixels(5, 3)
    turns = torch.eye(3, dtype=torch.float64)
    for g in (turns[[1, 2, 0]], turns[[1, 0, 2]], -turns, torch.diag(torch.tensor([1.0, -1.0, 1.0])).double()):
        moved = torch.cdist(pixels @ g.T, pixels).argmin(1)
        expected = torch.einsum("ab,bcx,cd->adx", matrix(terms, g), kernel, matrix(terms, g).T)
        assert (kernel[:, :, moved] - expected).abs().max() < 200 * EPS * kernel.abs().max()


@pytest.mark.parametrize("irreps", ["3x0e+2x1o+1x2e", "2x0e+1x0o+2x1e+1x1o"])
def test_voxels_as_e3nn_has_them(irreps: str, generator: torch.Generator) -> None:
    """The same weights, the same convolution: its linear layer is our pixel in the middle."""
    e3nn = pytest.importorskip("e3nn.o3")
    voxels = pytest.importorskip("e3nn.nn.models.v2104.voxel_convolution")
    theirs = voxels.Convolution(irreps, irreps, e3nn.Irreps.spherical_harmonics(2), 5, 3).double()
    terms = tuple((mul, ir) for mul, ir in Irreps(irreps))
    ours = SteerableConvolution(terms, terms, 5, space_harmonics(5, 2, 3), space_couplings, 3).double()
    dim = Irreps(irreps).dim
    middle = theirs.sc(torch.eye(dim, dtype=torch.float64)).T.detach()
    kernel = theirs.kernel().detach()
    kernel[:, :, 2, 2, 2] += middle
    assert ours.fit(kernel) < 1e-6  # the precision of e3nn's constants
    assert sum(w.numel() for w in ours.weights) == sum(p.numel() for p in theirs.parameters())
    x = torch.randn(2, dim, 6, 5, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    mine, other = ours(x), theirs(x)
    torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6)
    (a,), (b,) = (torch.autograd.grad(y.square().sum(), x) for y in (mine, other))
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "name"), [("gate", "O(2)"), ("gate", "SO(2)"), ("norm", "O(2)"), ("circle", "SO(2)")])
def test_nonlinearities_commute(kind: str, name: str, generator: torch.Generator) -> None:
    """With every rotation (and reflection); functions of the circle with those that map the angles to each other."""
    terms = of_group(name)[: 3 if kind == "circle" else None]
    layer = {"gate": GatedFields, "norm": NormFields, "circle": CircleFields}[kind](terms, "elu").double()
    f = torch.randn(2, sum(m * r.dim for m, r in layer.terms_in), 3, 4, generator=generator, dtype=torch.float64)
    angle = 2 * torch.pi * 5 / 12 if kind == "circle" else 0.7
    turn = torch.tensor([[0, -angle], [angle, 0]], dtype=torch.float64).matrix_exp()
    norm = TermsNorm(terms, "layer").double()
    for g in [turn] + [MIRROR @ turn] * (name == "O(2)"):
        moved = torch.einsum("ab,ibxy->iaxy", matrix(layer.terms_in, g), f)
        expected = torch.einsum("ab,ibxy->iaxy", matrix(terms, g), layer(f))
        assert (layer(moved) - expected).abs().max() < 1e-13
        expected = torch.einsum("ab,ibxy->iaxy", matrix(terms, g), norm(layer(f)))
        assert (norm(layer(moved)) - expected).abs().max() < 1e-12
    assert gradcheck(layer, f[:1, :, :1, :2].clone().requires_grad_(), fast_mode=True)


def test_wrong_fields_are_named() -> None:
    vector = ((2, PlaneIrrep(SO(2), 1)),)
    with pytest.raises(InputError, match="gates need invariants"):
        GatedFields(vector)
    with pytest.raises(InputError, match="fields of k=1 among those of the circle"):
        CircleFields(vector)
    with pytest.raises(InputError, match="2 angles for 3 frequencies"):
        CircleFields(of_group("SO(2)"), angles=2)
    odd = ((1, PlaneIrrep(O(2), 0, odd=True)),)
    with pytest.raises(InputError, match="no kernel leads to k=0 odd"):
        plane("O(2)", ((1, PlaneIrrep(O(2), 0)),), odd)
    with pytest.raises(InputError, match="irreps of O"):
        space_couplings(Cartesian(1), Irrep("0e"), Irrep("0e"))


# --- the Fourier link ---


def regular(n: int, weight) -> tuple[GroupConvolution, GroupConvolution]:
    """A lifting and a group convolution on C_n whose kernels are functions of the angle, sampled; sums are means."""
    basis, generator = RingBasis(5), torch.Generator().manual_seed(0)
    lift = GroupConvolution(cyclic(n), 2, 2, basis, lifting=True).double()
    convolution = GroupConvolution(cyclic(n), 2, 2, basis).double()
    with torch.no_grad():
        for layer, axis in ((lift, torch.ones(1, 1, dtype=torch.float64)), (convolution, weight(n) / n)):
            draw = torch.randn(2, 2, basis.count, axis.shape[1], generator=generator, dtype=torch.float64)
            layer.weight.copy_(torch.einsum("oibk,hk->oihb", draw, axis))
    return lift, convolution


def limited(n: int) -> Tensor:
    """Functions of frequencies up to 2."""
    return circle_functions(2, n)


def peaked(n: int) -> Tensor:
    """A function of all frequencies, e^(4 cos) of the angle."""
    theta = 2 * torch.pi * torch.arange(n, dtype=torch.float64) / n
    return torch.stack([(4 * theta.cos() - 4).exp(), (4 * theta.cos() - 4).exp() * theta.sin()], dim=1)


def test_a_regular_convolution_is_a_steerable_one_at_the_exact_quadrature(generator: torch.Generator) -> None:
    """Functions of frequencies up to 2 of n = 9 angles and more (2 + 2 + 4 of the kernel in x): lift, convolve, and
    transform; or transform and convolve by steerable kernels; to rounding, at any n.
    """
    image = torch.randn(1, 2, 7, 8, generator=generator, dtype=torch.float64)
    scalars = ((2, PlaneIrrep(SO(2), 0)),)
    terms, results = circle_terms(2, 2), []
    for n in (9, 12, 16):
        lift, convolution = regular(n, limited)
        first, second = plane("SO(2)", scalars, terms), plane("SO(2)", terms, terms)
        assert first.fit(coefficient_kernel(lift, 2)) < 1e-12
        assert second.fit(coefficient_kernel(convolution, 2)) < 1e-12
        E = circle_functions(2, n)
        coefficients = first(image)
        values = torch.einsum("ga,icaxy->icgxy", E, apart(coefficients)).flatten(1, 2)  # those of the lifted function
        after = torch.einsum("ga,icgxy->icaxy", E / n, convolution(values).unflatten(1, (2, n))).flatten(1, 2)
        torch.testing.assert_close(by_frequency(after, 2), second(coefficients), rtol=0, atol=1e-11)
        results.append(second(coefficients))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-11)
    torch.testing.assert_close(results[2], results[0], rtol=0, atol=1e-11)


def apart(f: Tensor) -> Tensor:
    """Coefficients of two channels by frequency, (images, 2, coefficients, ...)."""
    return torch.cat([f[:, :2].unflatten(1, (2, 1)), f[:, 2:6].unflatten(1, (2, 2)), f[:, 6:].unflatten(1, (2, 2))], 2)


def test_both_agree_as_the_grid_grows() -> None:
    """Fewer angles than that, or kernels of all frequencies: the distance from the nearest steerable kernel falls with
    n, and from the limit as well.
    """
    terms = circle_terms(2, 2)
    steerable = plane("SO(2)", terms, terms)
    far = {n: steerable.fit(coefficient_kernel(regular(n, limited)[1], 2)) for n in (4, 6, 8, 9)}
    assert far[4] > 0.1
    assert far[4] > far[6] > far[8] > 1e-4 > 1e-12 > far[9]
    limit = coefficient_kernel(regular(64, peaked)[1], 2)
    assert steerable.fit(limit) < 1e-12
    errors = [
        float((coefficient_kernel(regular(n, peaked)[1], 2) - limit).norm() / limit.norm()) for n in (4, 8, 16, 32)
    ]
    assert all(finer < coarser / 5 for coarser, finer in itertools.pairwise(errors))
    assert errors[-1] < 1e-9


def test_invariant_kernels_are_convolutions_on_the_homogeneous_space(generator: torch.Generator) -> None:
    """R^d = E(d)/O(d): functions on the group that no element of the stabiliser changes are functions on R^d, and a
    kernel that is constant over it, k(g^-1 x) = k(x), keeps them; it is k of the distance, and a plain convolution.
    """
    isotropic = RingBasis(5, limit=0)
    lift = GroupConvolution(cyclic(8), 1, 1, isotropic, lifting=True).double()
    convolution = GroupConvolution(cyclic(8), 1, 1, isotropic).double()
    with torch.no_grad():
        convolution.weight.copy_(convolution.weight[:, :, :1].expand_as(convolution.weight))
    image = torch.randn(1, 1, 9, 9, generator=generator, dtype=torch.float64)
    lifted = lift(image)
    assert (lifted - lifted[:, :1]).abs().max() < 1e-14
    after = convolution(lifted)
    assert (after - after[:, :1]).abs().max() < 1e-13
    distance = kernel_pixels(5, 2).norm(dim=1)
    profile = convolution.kernel()[0, 0].flatten()
    for shell in distance.unique():
        members = profile[(distance - shell).abs() < 1e-9]
        assert (members - members[0]).abs().max() < 1e-15
    plain = torch.nn.functional.conv2d(lifted[:, :1], 8 * convolution.kernel()[:1, :1], padding=2)
    torch.testing.assert_close(after[:, :1], plain, rtol=0, atol=1e-12)


# --- kernels that are zero outside a ball ---


def test_a_ball_of_taps_is_three_boxes() -> None:
    """Of 5 pixels 81 taps of 125 in three boxes, each tap once; a small ball, or a cube, is not split."""
    ball = (kernel_pixels(5, 3).norm(dim=1) < 2.5).reshape(5, 5, 5)
    covered = torch.zeros(5, 5, 5)
    for box in boxes(ball):
        covered[tuple(slice(2 - a, 3 + a, step) for a, step in box)] += 1
    assert torch.equal(covered, ball.float())
    assert covered.sum() == 81
    assert len(boxes(ball)) == 3
    assert boxes(torch.ones(5, 5, 5, dtype=torch.bool)) == []
    assert boxes((kernel_pixels(3, 3).norm(dim=1) < 1.5).reshape(3, 3, 3)) == []


def test_boxes_add_up_to_the_convolution(generator: torch.Generator) -> None:
    """Values, and derivatives to second order, are those of one convolution with the whole kernel."""
    ball = (kernel_pixels(5, 3).norm(dim=1) < 2.5).reshape(5, 5, 5)
    f = torch.randn(2, 3, 4, 3, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    kernel = (torch.randn(2, 3, 5, 5, 5, generator=generator, dtype=torch.float64) * ball).requires_grad_()
    whole = lambda f, kernel: torch.nn.functional.conv3d(f, kernel * ball, padding=2)  # noqa: E731
    split = lambda f, kernel: convolve_boxes(f, kernel * ball, boxes(ball))  # noqa: E731
    torch.testing.assert_close(split(f, kernel), whole(f, kernel), rtol=0, atol=1e-12)
    results = []
    for function in (split, whole):
        first = torch.autograd.grad(function(f, kernel).tanh().sum(), (f, kernel), create_graph=True)
        second = torch.autograd.grad(sum(x.square().sum() for x in first), (f, kernel))
        results.append((*first, *second))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


def test_the_network_takes_the_split_in_single_precision(generator: torch.Generator) -> None:
    """Two images of voxels: the same to rounding as in double precision, which is not split."""
    terms = tuple((2, ir) for ir in (Irrep("0e"), Irrep("1o")))
    layer = SteerableConvolution(terms, terms, 5, space_harmonics(5, 2, 3), space_couplings, 3)
    x = torch.randn(2, 8, 6, 7, 5, generator=generator)
    assert channels_last_is_faster(x)
    assert several_are_faster(x)
    assert not several_are_faster(x[:1])
    assert not channels_last_is_faster(x.double())
    assert len(layer.boxes) == 3
    single = layer(x).double()
    torch.testing.assert_close(layer(x[:1]), layer(x)[:1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        single, layer.double()(x.double()), rtol=0, atol=2e-5 * float(single.detach().abs().max())
    )
