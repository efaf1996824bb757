"""Matrices, quaternions, axes with angles: e3nn's values where e3nn has them, and the right ones where it has not."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from e3nn import o3 as oracle
from rotation_cases import HALF_TURNS, awkward_quaternions, derivatives, exact_matrix, joined, quaternions
from switches import as_users_run_it
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from intertwine.groups import rotations as rotation
from intertwine.numerics import InputError
from intertwine.o3.generators import so3_generators

F64 = torch.float64
CONVERSIONS = [
    "matrix_to_quaternion",
    "matrix_to_axis_angle",
    "quaternion_to_axis_angle",
    "quaternion_to_matrix",
    "inverse_quaternion",
]
PAIRS = ["axis_angle_to_quaternion", "axis_angle_to_matrix"]


def on_the_group(module: object, name: str) -> Callable[[Tensor], Tensor]:
    """A conversion as a function of any four numbers, which pass through the group first: derivatives outside of it are
    a choice.
    """
    function = getattr(module, name)

    def of_numbers(x: Tensor) -> Tensor:
        q = x / x.norm(dim=-1, keepdim=True)
        if name.startswith("matrix"):
            return joined(function(exact_matrix(q)))
        if name.startswith("axis_angle"):
            return joined(function(x[..., :3], x[..., 3]))
        return joined(function(q))

    return of_numbers


@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", CONVERSIONS + PAIRS)
def test_values_and_gradients_equal_e3nn_at_generic_rotations(name: str, dtype: torch.dtype, tolerance: float) -> None:
    q = quaternions(60, seed=3)
    q = q[(q[:, 0].abs() > 0.2) & (q[:, 0].abs() < 0.9)].to(dtype)
    ours, theirs = on_the_group(rotation, name), on_the_group(oracle, name)
    torch.testing.assert_close(ours(q), theirs(q), rtol=tolerance, atol=tolerance)
    assert ours(q).dtype == dtype
    torch.testing.assert_close(
        derivatives(ours, q, 1)[0], derivatives(theirs, q, 1)[0], rtol=tolerance, atol=10 * tolerance
    )


@pytest.mark.parametrize("name", ["matrix_x", "matrix_y", "matrix_z"])
def test_rotations_about_the_axes_equal_e3nn(name: str) -> None:
    angle = torch.linspace(-4, 7, 12, dtype=F64).reshape(3, 4)
    assert torch.equal(getattr(rotation, name)(angle), getattr(oracle, name)(angle))
    axis = torch.eye(3, dtype=F64)["xyz".index(name[-1])]
    assert (getattr(rotation, name)(angle) - rotation.axis_angle_to_matrix(axis, angle)).abs().max() < 1e-15


def test_compositions_equal_e3nn() -> None:
    p, q = quaternions(30, seed=4), quaternions(30, seed=5)
    torch.testing.assert_close(rotation.compose_quaternion(p, q), oracle.compose_quaternion(p, q), rtol=0, atol=1e-15)
    assert rotation.compose_quaternion(p, q[0]).shape == (30, 4)
    torch.testing.assert_close(
        exact_matrix(rotation.compose_quaternion(p, q)), exact_matrix(p) @ exact_matrix(q), rtol=0, atol=1e-14
    )
    one, two = oracle.quaternion_to_axis_angle(p), oracle.quaternion_to_axis_angle(q)
    for ours, theirs in zip(rotation.compose_axis_angle(*one, *two), oracle.compose_axis_angle(*one, *two)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [None, F64, torch.float32])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,)])
@pytest.mark.parametrize("name", ["rand_matrix", "rand_quaternion", "rand_axis_angle", "identity_quaternion"])
def test_random_rotations_are_those_of_e3nn(name: str, shape: tuple[int, ...], dtype: torch.dtype | None) -> None:
    """One seed, one rotation: a program prints the same numbers."""
    torch.manual_seed(7)
    theirs = getattr(oracle, name)(*shape, dtype=dtype)
    after = torch.rand(1)
    torch.manual_seed(7)
    ours = getattr(rotation, name)(*shape, dtype=dtype, requires_grad=True)
    assert torch.equal(torch.rand(1), after)
    for a, b in zip(ours if isinstance(ours, tuple) else (ours,), theirs if isinstance(theirs, tuple) else (theirs,)):
        assert a.requires_grad
        assert a.is_leaf
        torch.testing.assert_close(a.detach(), b, rtol=0, atol=1e-12 if dtype == F64 else 5e-6)


def test_random_rotations_are_haar_and_seeded(generator: torch.Generator) -> None:
    r = rotation.rand_matrix(100_000, dtype=F64, generator=generator)
    assert (r @ r.mT - torch.eye(3, dtype=F64)).abs().max() < 1e-14
    assert r.mean(0).abs().max() < 0.01
    second = torch.einsum("zij,zkl->ijkl", r, r) / len(r)  # Haar: delta_ik delta_jl / 3
    assert (second - torch.einsum("ik,jl->ijkl", torch.eye(3), torch.eye(3)) / 3).abs().max() < 0.01
    again = rotation.rand_matrix(100_000, dtype=F64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(r, again)


def test_all_ways_round_at_awkward_rotations() -> None:
    """e3nn loses half of the digits here, and the axis of a half turn altogether."""
    q = torch.cat([awkward_quaternions(), quaternions(1000, seed=6)])
    assert len(q) == 1200
    r = exact_matrix(q)
    back = rotation.matrix_to_quaternion(r)
    assert (back[:, 0] >= 0).all()
    assert (back.norm(dim=-1) - 1).abs().max() < 1e-15
    ways = {
        "quaternion": rotation.quaternion_to_matrix(q),
        "matrix": rotation.quaternion_to_matrix(back),
        "axis": rotation.axis_angle_to_matrix(*rotation.matrix_to_axis_angle(r)),
        "axis of quaternion": rotation.axis_angle_to_matrix(*rotation.quaternion_to_axis_angle(q)),
        "composed": rotation.quaternion_to_matrix(rotation.compose_quaternion(rotation.inverse_quaternion(q), q)) @ r,
    }
    for name, found in ways.items():
        assert (found - r).abs().max() < 3e-15, name
    sign = (back * q).sum(-1, keepdim=True).sign()
    assert (sign * back - q).abs().max() < 1e-15


@pytest.mark.parametrize("size", [1e-3, 1e-8, 1e-12, 1e-30])
def test_tiny_and_almost_half_turns_keep_their_digits(size: float) -> None:
    axis = torch.tensor([2.0, -3.0, 6.0], dtype=F64) / 7
    for angle in (torch.tensor(size, dtype=F64), torch.tensor(math.pi - size, dtype=F64)):
        found, turn = rotation.matrix_to_axis_angle(rotation.axis_angle_to_matrix(axis, angle))
        torch.testing.assert_close(turn, angle, rtol=4e-16, atol=0)
        aligned = found if size > 1e-16 or angle < 1 else found * (found @ axis).sign()  # a half turn has two axes
        torch.testing.assert_close(aligned, axis, rtol=0, atol=1e-15)


def test_conventions_at_the_singular_points() -> None:
    identity = torch.eye(3, dtype=F64)
    axis, angle = rotation.matrix_to_axis_angle(identity)
    assert axis.tolist() == [0, 0, 0]
    assert angle.item() == 0
    assert torch.equal(rotation.axis_angle_to_matrix(torch.zeros(3, dtype=F64), torch.tensor(1.0, dtype=F64)), identity)
    assert torch.equal(rotation.quaternion_to_matrix(torch.zeros(4, dtype=F64)), identity)
    assert rotation.quaternion_to_axis_angle(torch.tensor([-1.0, 0, 0, 0], dtype=F64))[1].item() == pytest.approx(
        2 * math.pi
    )
    for half, direction in zip(HALF_TURNS, identity):
        found, turn = rotation.matrix_to_axis_angle(torch.diag(2 * half[1:] - 1))
        assert torch.equal(found, direction)
        assert turn.item() == math.pi


@pytest.mark.parametrize("name", CONVERSIONS + PAIRS)
@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_three_derivatives_are_finite_at_singular_points(name: str, dtype: torch.dtype) -> None:
    """In one batch with ordinary rotations, whose derivatives must not notice."""
    singular = awkward_quaternions()[: 50 if dtype == torch.float32 else 200].to(dtype)
    if name.startswith("axis_angle"):
        singular = torch.cat(
            [singular, torch.zeros(1, 4, dtype=dtype), torch.tensor([[0.0, 0, 0, math.pi]], dtype=dtype)]
        )
        # 1e-12**-3 is the last third derivative that single precision has
        singular = torch.where(singular.abs() < 1e-12, 0.0, singular)
    if name.startswith("quaternion"):
        function = lambda x: joined(getattr(rotation, name)(x))  # noqa: E731
        singular = torch.cat([singular, -singular[:1], torch.zeros(1, 4, dtype=dtype)])
    else:
        function = on_the_group(rotation, name)
    ordinary = quaternions(5, seed=8).to(dtype)
    for found in derivatives(function, torch.cat([singular, ordinary])):
        assert found.isfinite().all()
    value, together = function(ordinary), function(torch.cat([singular, ordinary]))[-5:]
    torch.testing.assert_close(together, value, rtol=0, atol=4 * torch.finfo(dtype).eps)


def test_derivatives_are_right_at_the_identity_and_at_half_turns() -> None:
    """matrix_to_quaternion of q0 (1, v) is that quaternion, normalised: Jacobian and Hessian at v = 0."""
    singular = torch.cat(
        [torch.tensor([[1.0, 0, 0, 0]], dtype=F64), HALF_TURNS, quaternions(3, seed=9) * torch.tensor([0.0, 1, 1, 1])]
    )
    for q0 in singular / singular.norm(dim=-1, keepdim=True):

        def moved(v: Tensor, q0: Tensor = q0) -> Tensor:
            q = rotation.compose_quaternion(q0, torch.cat([torch.ones(1, dtype=F64), v]))
            return q / q.norm()

        def back(v: Tensor, q0: Tensor = q0) -> Tensor:
            return rotation.matrix_to_quaternion(exact_matrix(moved(v, q0)))

        zero = torch.zeros(3, dtype=F64)
        sign = (back(zero) * q0).sum().sign()
        for order in (1, 2, 3):
            ours, exact = back, moved
            for _ in range(order):
                ours, exact = torch.func.jacfwd(ours), torch.func.jacfwd(exact)
            torch.testing.assert_close(sign * ours(zero), exact(zero), rtol=0, atol=1e-14)


def test_rotation_vectors() -> None:
    """Exponential and logarithm: inverse to each other, equal to axis times angle."""
    q = torch.cat([awkward_quaternions(), quaternions(1000, seed=11)])
    r = exact_matrix(q)
    v = rotation.matrix_to_rotation_vector(r)
    assert (rotation.rotation_vector_to_matrix(v) - r).abs().max() < 3e-15
    axis, angle = rotation.matrix_to_axis_angle(r)
    assert (v - axis * angle[..., None]).abs().max() < 2e-15
    for found in derivatives(rotation.matrix_to_rotation_vector, r):
        assert found.isfinite().all()
    for size in (1e-9, 1e-3, 0.19, 0.21, 0.29, 0.31, 3.0):
        x = size * v[-50:] / v[-50:].norm(dim=-1, keepdim=True)
        assert (rotation.matrix_to_rotation_vector(rotation.rotation_vector_to_matrix(x)) - x).abs().max() < 2e-15


@pytest.mark.parametrize("size", [0.0, 1e-9, 0.05, 0.2, 0.3, 1.5])
def test_three_derivatives_of_rotation_vectors_are_right(size: float) -> None:
    """exp(K) by its power series, about the identity too; log(exp(v)) = v to the third order."""
    v = size * torch.tensor([2.0, -3.0, 6.0], dtype=F64) / 7
    cross = so3_generators(1, dtype=F64)

    def series(x: Tensor) -> Tensor:
        k = torch.einsum("k,kij->ij", x, cross)
        total = term = torch.eye(3, dtype=F64)
        for n in range(1, 30):
            term = term @ k / n
            total = total + term
        return total

    ours, exact = rotation.rotation_vector_to_matrix, series
    identity: Callable[[Tensor], Tensor] = lambda x: rotation.matrix_to_rotation_vector(series(x))  # noqa: E731
    zero = torch.zeros((), dtype=F64)
    for expected in (v, torch.eye(3, dtype=F64), zero, zero):
        torch.testing.assert_close(ours(v), exact(v), rtol=0, atol=1e-13)
        found = identity(v)
        torch.testing.assert_close(found, expected.expand_as(found), rtol=0, atol=1e-12)
        ours, exact, identity = torch.func.jacfwd(ours), torch.func.jacfwd(exact), torch.func.jacfwd(identity)


@pytest.mark.parametrize("name", CONVERSIONS + PAIRS)
def test_gradcheck(name: str) -> None:
    q = torch.cat([quaternions(3, seed=10), torch.tensor([[0.5, 0.5, 0.5, 0.5]], dtype=F64)]).requires_grad_()
    assert gradcheck(on_the_group(rotation, name), q)
    assert gradgradcheck(on_the_group(rotation, name), q)


def test_compiled_exported_and_vectorised() -> None:
    def every(q: Tensor) -> Tensor:
        r = rotation.quaternion_to_matrix(q)
        axis, angle = rotation.matrix_to_axis_angle(r)
        p = rotation.compose_quaternion(
            rotation.matrix_to_quaternion(r), rotation.axis_angle_to_quaternion(axis, angle)
        )
        return rotation.matrix_x(angle) @ rotation.axis_angle_to_matrix(
            *rotation.quaternion_to_axis_angle(rotation.inverse_quaternion(p))
        )

    class Module(torch.nn.Module):
        def forward(self, q: Tensor) -> Tensor:
            return every(q)

    q = awkward_quaternions()
    with as_users_run_it():
        torch.testing.assert_close(
            torch.compile(every, fullgraph=True, backend="aot_eager")(q), every(q), rtol=0, atol=1e-14
        )
        torch.testing.assert_close(torch.export.export(Module(), (q,)).module()(q), every(q), rtol=0, atol=1e-14)
    torch.testing.assert_close(torch.func.vmap(every)(q), every(q), rtol=0, atol=1e-14)
    assert every(q[:0]).shape == (0, 3, 3)
    assert every(q.reshape(2, 4, 25, 4)).shape == (2, 4, 25, 3, 3)


@pytest.mark.parametrize("name", ["matrix_to_quaternion", "matrix_to_axis_angle"])
@pytest.mark.parametrize("bad", [-torch.eye(3), 2 * torch.eye(3), torch.full((3, 3), math.nan)])
def test_what_is_no_rotation_is_refused(name: str, bad: Tensor) -> None:
    with pytest.raises(InputError, match="not a proper rotation"):
        getattr(rotation, name)(bad)


@pytest.mark.parametrize("name", CONVERSIONS)
def test_wrong_shapes_and_types_are_named(name: str) -> None:
    for bad in (
        torch.zeros(5, 2),
        torch.zeros(3, 3, dtype=torch.int64),
        torch.zeros(4, 4, dtype=torch.int64),
        torch.tensor(1.0),
    ):
        with as_users_run_it(), pytest.raises(InputError, match="got torch"):
            getattr(rotation, name)(bad)


def test_a_volume_of_one_is_not_enough() -> None:
    with pytest.raises(InputError, match="not a proper rotation"):
        rotation.matrix_to_quaternion(torch.diag(torch.tensor([2.0, 0.5, 1.0])))
    with pytest.raises(InputError, match="not a proper rotation"):
        rotation.matrix_to_quaternion(torch.full((3, 3), torch.nan))
