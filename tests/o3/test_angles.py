"""Euler angles: e3nn's where they are well defined; at the poles, angles that still give the rotation back, and finite
derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import pytest
import torch
from e3nn import o3 as oracle
from rotation_cases import awkward_quaternions, derivatives, exact_matrix, joined, quaternions
from switches import as_users_run_it
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from intertwine.numerics import InputError
from intertwine.o3 import angles

F64 = torch.float64
OF_ANGLES = [
    "angles_to_matrix",
    "angles_to_quaternion",
    "angles_to_axis_angle",
    "inverse_angles",
    "compose_angles",
    "angles_to_xyz",
]
TO_ANGLES = ["matrix_to_angles", "quaternion_to_angles", "axis_angle_to_angles", "xyz_to_angles"]


def generic_angles(dtype: torch.dtype = F64) -> Tensor:
    """(20, 6): two triples a row, all ranges, beta away from the poles; rotations away from half turns."""
    x = torch.rand(60, 6, generator=torch.Generator().manual_seed(1), dtype=F64) * 8 - 4
    x[:, 1::3] = 0.3 + (x[:, 1::3] + 4) / 8 * 2.4
    composed = oracle.angles_to_matrix(*x[:, :3].T) @ oracle.angles_to_matrix(*x[:, 3:].T)
    turn = oracle.matrix_to_axis_angle(oracle.angles_to_matrix(*x[:, :3].T))[1]
    good = (turn > 0.3) & (turn < 2.8) & (composed[:, 1, 1].abs() < 0.9)
    return x[good][:20].to(dtype)


def of_rows(module: object, name: str) -> Callable[[Tensor], Tensor]:
    """A function as one of rows of numbers, passing through the group where its argument has to be in it."""
    function = getattr(module, name)

    def apply(x: Tensor) -> Tensor:
        if name == "compose_angles":
            return joined(function(*x.unbind(-1)))
        if name == "angles_to_xyz":
            return function(x[..., 0], x[..., 1])
        if name in OF_ANGLES:
            return joined(function(*x[..., :3].unbind(-1)))
        if name == "xyz_to_angles":
            return joined(function(x[..., :3]))
        if name == "axis_angle_to_angles":
            return joined(function(x[..., :3], x[..., 3]))
        q = x[..., :4] / x[..., :4].norm(dim=-1, keepdim=True)
        return joined(function(exact_matrix(q) if name == "matrix_to_angles" else q))

    return apply


@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", OF_ANGLES + TO_ANGLES)
def test_values_and_gradients_equal_e3nn_at_generic_rotations(name: str, dtype: torch.dtype, tolerance: float) -> None:
    x = generic_angles(dtype)
    if name in TO_ANGLES:
        q = quaternions(200, seed=2)
        q[:, 3] *= 4 if name == "axis_angle_to_angles" else 1
        beta = of_rows(oracle, name)(q)[:, 1]
        x = q[(beta > 0.5) & (beta < 2.6) & (q[:, 0].abs() > 0.1) & (q[:, 0].abs() < 0.9)].to(dtype)
    assert len(x) > 10
    ours, theirs = of_rows(angles, name), of_rows(oracle, name)
    assert ours(x).dtype == dtype
    torch.testing.assert_close(ours(x), theirs(x), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(
        derivatives(ours, x, 1)[0], derivatives(theirs, x, 1)[0], rtol=tolerance, atol=20 * tolerance
    )


@pytest.mark.usefixtures("oracle_in_double")
def test_matrix_to_angles_continues_outside_of_the_group_as_e3nn(generator: torch.Generator) -> None:
    r = exact_matrix(quaternions(10, seed=3))
    ours, theirs = ((lambda x, m=m: joined(m.matrix_to_angles(x))) for m in (angles, oracle))
    torch.testing.assert_close(derivatives(ours, r, 1)[0], derivatives(theirs, r, 1)[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [None, F64, torch.float32])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,)])
@pytest.mark.parametrize("name", ["rand_angles", "identity_angles"])
def test_random_angles_are_those_of_e3nn(name: str, shape: tuple[int, ...], dtype: torch.dtype | None) -> None:
    torch.manual_seed(7)
    theirs = getattr(oracle, name)(*shape, dtype=dtype)
    after = torch.rand(1)
    torch.manual_seed(7)
    ours = getattr(angles, name)(*shape, dtype=dtype, requires_grad=True)
    assert torch.equal(torch.rand(1), after)
    for a, b in zip(ours, theirs, strict=True):
        assert a.requires_grad
        assert a.is_leaf
        torch.testing.assert_close(a.detach(), b, rtol=0, atol=1e-12 if dtype == F64 else 5e-6)


def test_angles_are_seeded_by_a_generator() -> None:
    one, two = (angles.rand_angles(3, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(("dtype", "bound"), [(F64, 2e-15), (torch.float32, 1e-6)])
def test_angles_give_the_rotation_back_everywhere(dtype: torch.dtype, bound: float) -> None:
    """Within 1e-10 of a pole e3nn's are off by 3e-8."""
    q = torch.cat([awkward_quaternions(), quaternions(1000, seed=4)]).to(dtype)
    r = exact_matrix(q)
    assert (angles.angles_to_matrix(*angles.matrix_to_angles(r)) - r).abs().max() < bound
    assert (angles.angles_to_matrix(*angles.quaternion_to_angles(q)) - r).abs().max() < bound
    alpha, beta, gamma = angles.matrix_to_angles(r)
    for a in (alpha, gamma):
        assert a.abs().max() <= torch.tensor(math.pi, dtype=dtype)
    assert (beta >= 0).all()
    assert (beta <= torch.tensor(math.pi, dtype=dtype)).all()
    back = angles.angles_to_quaternion(alpha, beta, gamma)
    assert (exact_matrix(back) - r).abs().max() < bound
    composed = angles.compose_angles(alpha, beta, gamma, *angles.inverse_angles(alpha, beta, gamma))
    assert (angles.angles_to_matrix(*composed) - torch.eye(3, dtype=dtype)).abs().max() < bound


@pytest.mark.parametrize("tilt", [1e-300, 1e-17, 1e-15, 1e-10, 1e-5, 1.0])
@pytest.mark.parametrize("pole", [1, -1])
def test_directions_near_the_poles(tilt: float, pole: int) -> None:
    """The polar angle to all digits, and the point back to rounding error."""
    xyz = torch.tensor([0.6 * tilt, pole, -0.8 * tilt], dtype=F64)
    alpha, beta = angles.xyz_to_angles(xyz)
    exact = mpmath.atan(mpmath.mpf(tilt))
    expected = float(exact if pole > 0 else mpmath.pi - exact)
    assert beta.item() == pytest.approx(expected, rel=4e-16, abs=2.3e-16)
    assert (angles.angles_to_xyz(alpha, beta) - xyz / xyz.norm()).abs().max() < 3e-16
    if tilt > 1e-16:
        assert alpha.item() == pytest.approx(math.atan2(0.6, -0.8), rel=1e-15)


def test_conventions_at_the_singular_points() -> None:
    identity = torch.eye(3, dtype=F64)
    assert [x.item() for x in angles.matrix_to_angles(identity)] == [0, 0, 0]
    assert [x.item() for x in angles.xyz_to_angles(torch.zeros(3, dtype=F64))] == [0, math.pi / 2]
    turn = angles.angles_to_matrix(*torch.tensor([0.4, math.pi, 0.1], dtype=F64))
    alpha, beta, gamma = (x.item() for x in angles.matrix_to_angles(turn))
    assert alpha == 0
    assert beta == pytest.approx(math.pi)
    assert gamma == pytest.approx(-0.3)
    about_y = torch.tensor([0.7], dtype=F64, requires_grad=True)
    gamma = angles.matrix_to_angles(
        angles.angles_to_matrix(about_y, torch.zeros(1, dtype=F64), torch.zeros(1, dtype=F64))
    )[2]
    assert gamma.item() == pytest.approx(0.7)
    # the true derivative of the defined combination
    assert torch.autograd.grad(gamma, about_y)[0].item() == pytest.approx(1)


@pytest.mark.parametrize("dtype", [F64, torch.float32])
@pytest.mark.parametrize("name", OF_ANGLES + TO_ANGLES)
def test_three_derivatives_are_finite_at_singular_points(name: str, dtype: torch.dtype) -> None:
    """Poles, identity, half turns, the zero vector and the polar axis, in one batch with ordinary rotations."""
    q = awkward_quaternions().to(dtype)
    q = torch.where(q.abs() < 1e-12, 0.0, q)
    if name in TO_ANGLES:
        extra = torch.eye(4, dtype=dtype)
        x = torch.cat(
            [q, extra, torch.zeros(1, 4, dtype=dtype) if not name.startswith(("matrix", "quat")) else extra, -extra]
        )
    else:
        quarter = torch.tensor([0.0, math.pi / 2, math.pi, -math.pi], dtype=dtype)
        grid = torch.cartesian_prod(quarter, torch.tensor([0.0, math.pi, 1e-10, math.pi / 2], dtype=dtype), quarter)
        x = torch.cat([grid, grid.flip(0)], dim=-1)
    for found in derivatives(of_rows(angles, name), torch.cat([x, x[:1] + 0.3])):
        assert found.isfinite().all()


@pytest.mark.parametrize("name", OF_ANGLES + TO_ANGLES)
def test_gradcheck(name: str) -> None:
    x = generic_angles()[:3] if name in OF_ANGLES else quaternions(3, seed=5)
    assert gradcheck(of_rows(angles, name), x.clone().requires_grad_())
    assert gradgradcheck(of_rows(angles, name), x.clone().requires_grad_())


@pytest.mark.parametrize("l", range(6))
def test_wigner_matrices_of_angles_equal_e3nn(l: int) -> None:
    x = generic_angles()[:, :3]
    with torch.no_grad():
        theirs = _in_double(lambda: oracle.wigner_D(l, *x.T))
    torch.testing.assert_close(angles.wigner_D(l, *x.T), theirs, rtol=0, atol=1e-10)
    ours = derivatives(lambda y: angles.wigner_D(l, *y.unbind(-1)), x, 1)[0]
    theirs = _in_double(lambda: derivatives(lambda y: oracle.wigner_D(l, *y.unbind(-1)), x, 1)[0])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    assert angles.wigner_D(l, x[:, 0], x[0, 1], x[0, 2]).shape == (20, 2 * l + 1, 2 * l + 1)


def _in_double(compute: Callable[[], Tensor]) -> Tensor:
    before = torch.get_default_dtype()
    torch.set_default_dtype(F64)
    try:
        return compute()
    finally:
        torch.set_default_dtype(before)


def test_compiled_exported_and_vectorised() -> None:
    def every(q: Tensor) -> Tensor:
        alpha, beta, gamma = angles.quaternion_to_angles(q)
        axis, angle = angles.angles_to_axis_angle(*angles.compose_angles(alpha, beta, gamma, gamma, beta, alpha))
        point = angles.angles_to_xyz(*angles.xyz_to_angles(axis))
        return angles.angles_to_matrix(*angles.axis_angle_to_angles(point, angle))

    class Module(torch.nn.Module):
        def forward(self, q: Tensor) -> Tensor:
            return every(q)

    q = quaternions(20, seed=6)
    with as_users_run_it():
        torch.testing.assert_close(
            torch.compile(every, fullgraph=True, backend="aot_eager")(q), every(q), rtol=0, atol=1e-13
        )
        torch.testing.assert_close(torch.export.export(Module(), (q,)).module()(q), every(q), rtol=0, atol=1e-13)
    torch.testing.assert_close(torch.func.vmap(every)(q), every(q), rtol=0, atol=1e-13)
    assert every(q[:0]).shape == (0, 3, 3)
    assert every(q.reshape(2, 2, 5, 4)).shape == (2, 2, 5, 3, 3)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="not a proper rotation"):
        angles.matrix_to_angles(-torch.eye(3))
    with as_users_run_it(), pytest.raises(InputError, match="xyz_to_angles"):
        angles.xyz_to_angles(torch.zeros(2, 4))
