"""Wigner matrices: by their own laws to the last digits, by definition in 40 digits, and against e3nn as far as e3nn is
exact.
"""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from e3nn import o3 as oracle
from rotation_cases import awkward_quaternions, derivatives, exact_matrix, quaternions
from switches import as_users_run_it
from torch import Tensor

from intertwine.groups.rotations import axis_angle_to_matrix, matrix_x, quaternion_to_matrix
from intertwine.groups.wigner import wigner_d, wigner_d_blocks
from intertwine.numerics import InputError

F64 = torch.float64


def exact_blocks(l: int, axis: list[float], angle: float) -> Tensor:
    r""":math:`\exp(\theta\,n \cdot X)` in 40 digits, the X from the ladder operators and the real form of the
    harmonics.
    """
    with mpmath.workdps(40):
        size, root = 2 * l + 1, mpmath.sqrt(0.5)
        up, change = mpmath.zeros(size), mpmath.zeros(size)
        for m in range(-l, l):
            up[m + 1 + l, m + l] = mpmath.sqrt(l * (l + 1) - m * (m + 1))
        change[l, l] = 1
        for m in range(1, l + 1):
            change[l - m, l + m], change[l - m, l - m] = root, -1j * root
            change[l + m, l + m], change[l + m, l - m] = (-1) ** m * root, 1j * (-1) ** m * root
        about_pole = mpmath.diag([mpmath.mpc(0, m) for m in range(-l, l + 1)])
        # e3nn's order and signs: x, y (the pole), z
        about_x, about_z = (up.T - up) / 2, mpmath.mpc(0, 0.5) * (up + up.T)
        length = mpmath.sqrt(sum(mpmath.mpf(c) ** 2 for c in axis))
        x, y, z = (mpmath.mpf(angle) * mpmath.mpf(c) / length for c in axis)
        d = change.H * mpmath.expm(x * about_x + y * about_pole + z * about_z) * change
        return torch.tensor([[float(d[i, j].real) for j in range(size)] for i in range(size)], dtype=F64)


AXIS_ANGLES = [
    ([0.3, -0.5, 0.7], 2.1),
    ([1.0, 2.0, -2.0], 0.4),
    ([0.0, 0.0, 1.0], math.pi),
    ([1.0, 0.0, 0.0], math.pi / 2),
    ([0.0, 1.0, 0.0], 1e-10),
    ([1.0, 1e-10, 0.0], 3.0),
]


@pytest.mark.parametrize("l", [0, 1, 2, 3, 5, 8])
def test_equals_its_definition_in_forty_digits(l: int) -> None:
    for axis, angle in AXIS_ANGLES:
        r = axis_angle_to_matrix(torch.tensor(axis, dtype=F64), torch.tensor(angle, dtype=F64))
        assert (wigner_d(l, r) - exact_blocks(l, axis, angle)).abs().max() < 1e-14 * max(1, l / 2)


def test_orthogonal_and_homomorphic_at_random_and_awkward_rotations() -> None:
    """1e-13 up to l = 12, 1e-11 up to l = 30, for 1,000 random rotations and 200 awkward ones, each times another of
    them.
    """
    q = torch.cat([quaternions(1000, seed=11), awkward_quaternions()])
    order = torch.randperm(len(q), generator=torch.Generator().manual_seed(3))
    for one, two in zip(quaternion_to_matrix(q).split(100), quaternion_to_matrix(q[order]).split(100), strict=True):
        for l, (a, b, ab) in enumerate(zip(*(wigner_d_blocks(30, x) for x in (one, two, one @ two)), strict=True)):
            bound = 1e-13 if l <= 12 else 1e-11
            assert (a @ a.mT - torch.eye(2 * l + 1, dtype=F64)).abs().max() < bound
            assert (a @ b - ab).abs().max() < bound


@pytest.mark.parametrize("l", range(13))
def test_exact_at_the_identity(l: int) -> None:
    assert (wigner_d(l, torch.eye(3, dtype=F64)) - torch.eye(2 * l + 1, dtype=F64)).abs().max() < 1e-15


def test_degree_one_is_the_rotation_itself_and_degree_zero_is_one() -> None:
    r = exact_matrix(awkward_quaternions())
    assert torch.equal(wigner_d(1, r), r)
    assert torch.equal(wigner_d(0, r), torch.ones(200, 1, 1, dtype=F64))


@pytest.mark.parametrize("l", range(12))
def test_rotates_the_spherical_harmonics_of_e3nn(l: int, generator: torch.Generator) -> None:
    """Y(R x) = D(R) Y(x): an oracle with no angles, hence one that is good to the last digits; and with a
    reflection.
    """
    x = torch.randn(10, 3, generator=generator, dtype=F64)
    r = exact_matrix(awkward_quaternions()[::5])
    r = torch.cat([r, -r])
    still, moved = (oracle.spherical_harmonics(l, y, normalize=True, normalization="norm") for y in (x, x @ r.mT))
    assert (moved - still @ wigner_d(l, r).mT).abs().max() < 1e-12
    assert (wigner_d(l, -r) - (-1) ** l * wigner_d(l, r)).abs().max() == 0


@pytest.mark.usefixtures("oracle_in_double")
@pytest.mark.parametrize("l", range(12))
def test_equals_e3nn(l: int) -> None:
    """e3nn goes through angles and matrix_exp: to 1e-10 at random rotations, to 1e-7 only near poles (its ``acos``)."""
    random, awkward = exact_matrix(quaternions(30, seed=12)), exact_matrix(awkward_quaternions()[:50])
    assert (wigner_d(l, random) - oracle.Irrep(l, 1).D_from_matrix(random)).abs().max() < 1e-10
    assert (wigner_d(l, awkward) - oracle.Irrep(l, 1).D_from_matrix(awkward)).abs().max() < 1e-7


@pytest.mark.parametrize("l", [0, 1, 4, 8])
def test_character(l: int) -> None:
    """The trace is sin((l + 1/2) angle) / sin(angle / 2)."""
    angle = torch.tensor([0.3, 1.7, 3.0], dtype=F64)
    trace = wigner_d(l, matrix_x(angle)).diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(trace, ((l + 0.5) * angle).sin() / (angle / 2).sin(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("l", [1, 2, 5])
def test_derivatives_in_every_mode(l: int) -> None:
    with torch.inference_mode():
        wigner_d(l, torch.eye(3, dtype=F64))
    r = exact_matrix(quaternions(1, seed=13)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: wigner_d(l, x), r)
    assert torch.autograd.gradgradcheck(lambda x: wigner_d(l, x), r, gen_non_contig_grad_outputs=True)
    q = torch.cat([awkward_quaternions(), torch.zeros(1, 4, dtype=F64)])
    for found in derivatives(lambda x: wigner_d(l, quaternion_to_matrix(x)), q):
        assert found.isfinite().all()


@pytest.mark.usefixtures("oracle_in_double")
@pytest.mark.parametrize("l", [1, 2, 3, 4])
def test_gradients_along_the_group_equal_e3nn(l: int) -> None:
    """The product rule: dD/dt of exp(t X) R."""
    r = exact_matrix(quaternions(5, seed=14))

    def along(d, t: Tensor) -> Tensor:
        return d(oracle.angles_to_matrix(*t.unbind(-1)) @ r)

    t = torch.tensor([0.3, 0.8, -0.4]).expand(5, 3)
    ours = derivatives(lambda t: along(lambda x: wigner_d(l, x), t), t, 1)[0]
    theirs = derivatives(lambda t: along(oracle.Irrep(l, 1).D_from_matrix, t), t, 1)[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def test_batches_blocks_and_precision() -> None:
    r = exact_matrix(quaternions(24, seed=15))
    for l, block in enumerate(wigner_d_blocks(4, r.reshape(2, 3, 4, 3, 3))):
        assert block.shape == (2, 3, 4, 2 * l + 1, 2 * l + 1)
        single = torch.stack([wigner_d(l, x) for x in r])
        torch.testing.assert_close(block.flatten(0, 2), single, rtol=0, atol=2e-15)
        torch.testing.assert_close(torch.func.vmap(lambda x, l=l: wigner_d(l, x))(r), single, rtol=0, atol=2e-15)
        float32 = wigner_d(l, r.float())
        assert float32.dtype == torch.float32
        assert (float32.double() - single).abs().max() < 5e-6
        assert wigner_d(l, r[:0]).shape == (0, 2 * l + 1, 2 * l + 1)


def test_no_digits_are_lost_under_autocast() -> None:
    r = exact_matrix(quaternions(10, seed=17)).float()
    expected = wigner_d(6, r)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(wigner_d(6, r), expected)
    assert (expected.double() - wigner_d(6, r.double())).abs().max() < 1e-7


def test_compiled_and_exported() -> None:
    def every(r: Tensor) -> Tensor:
        return wigner_d(2, r).sum((-1, -2)) + torch.cat([d.flatten(1) for d in wigner_d_blocks(4, r)], dim=1).sum(1)

    class Module(torch.nn.Module):
        def forward(self, r: Tensor) -> Tensor:
            return every(r)

    r = exact_matrix(quaternions(7, seed=16))
    with as_users_run_it():
        compiled = torch.compile(every, fullgraph=True, backend="aot_eager")
        one, two = (
            torch.autograd.grad(f(x).sum(), x)[0]
            for f, x in ((f, r.clone().requires_grad_()) for f in (compiled, every))
        )
        torch.testing.assert_close(one, two, rtol=1e-13, atol=1e-13)
        for program in (
            compiled,
            *(torch.export.export(Module(), (r,), strict=strict).module() for strict in (True, False)),
        ):
            torch.testing.assert_close(program(r), every(r), rtol=1e-13, atol=1e-13)
    assert every(r.to("meta")).shape == (7,)  # a device that is not the constants'


@pytest.mark.parametrize("l", [-1, 1.5, True])
def test_bad_degrees_are_named(l: object) -> None:
    with as_users_run_it(), pytest.raises(InputError, match="is not a degree"):
        wigner_d(l, torch.eye(3))  # type: ignore[arg-type]
    with as_users_run_it(), pytest.raises(InputError, match="wigner_d: got"):
        wigner_d(2, torch.eye(4))


def test_the_result_is_not_the_argument() -> None:
    R = torch.eye(3, dtype=torch.float64)
    wigner_d(1, R).mul_(2)
    wigner_d_blocks(2, R)[1].mul_(2)
    assert R.equal(torch.eye(3, dtype=torch.float64))
