"""Generators: the algebra, e3nn's values, and the derivative of the Wigner matrices."""

from __future__ import annotations

import pytest
import torch
from e3nn import o3 as oracle
from switches import as_users_run_it

from intertwine.groups.rotations import matrix_x, matrix_y, matrix_z
from intertwine.groups.wigner import wigner_d
from intertwine.numerics import InputError
from intertwine.o3.generators import change_basis_real_to_complex, so3_generators, su2_generators

F64 = torch.float64


@pytest.mark.usefixtures("oracle_in_double")
@pytest.mark.parametrize("l", range(9))
def test_equal_e3nn(l: int) -> None:
    torch.testing.assert_close(su2_generators(l), oracle.su2_generators(l), rtol=1e-15, atol=1e-15)
    torch.testing.assert_close(
        change_basis_real_to_complex(l), oracle.change_basis_real_to_complex(l), rtol=1e-15, atol=1e-15
    )
    # theirs rounds zeros to 1e-15
    torch.testing.assert_close(so3_generators(l), oracle.so3_generators(l), rtol=1e-15, atol=3e-15)


@pytest.mark.parametrize("j", [0, 0.5, 1, 1.5, 2, 2.5, 7, 20])
def test_algebra_of_su2(j: float) -> None:
    x = su2_generators(j, dtype=F64)
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        assert (x[a] @ x[b] - x[b] @ x[a] - x[c]).abs().max() < 1e-15 * max(1, j * j)
        assert torch.equal(x[a].mH, -x[a])
    casimir = -(x @ x).sum(0)
    assert (casimir - j * (j + 1) * torch.eye(round(2 * j) + 1)).abs().max() < 1e-15 * max(1, j * j)
    torch.testing.assert_close(x, oracle.su2_generators(j).to(torch.complex128), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("l", [0, 1, 2, 5, 12])
def test_generate_the_wigner_matrices(l: int) -> None:
    """dD/dt at the identity, and antisymmetry to the last digit."""
    x = so3_generators(l, dtype=F64)
    assert torch.equal(x.mT, -x)
    for k, about in enumerate((matrix_x, matrix_y, matrix_z)):
        slope = torch.func.jacfwd(lambda t, about=about: wigner_d(l, about(t)))(torch.zeros((), dtype=F64))
        assert (slope - x[k]).abs().max() < 1e-14 * max(1, l)


@pytest.mark.parametrize("l", [0, 1, 4, 9])
def test_change_of_basis_is_unitary_and_takes_the_real_generators_to_the_complex_ones(l: int) -> None:
    q = change_basis_real_to_complex(l, dtype=F64)
    assert (q @ q.mH - torch.eye(2 * l + 1)).abs().max() < 1e-15
    assert (q @ so3_generators(l, dtype=F64).to(q.dtype) @ q.mH - su2_generators(l, dtype=F64)).abs().max() < 1e-14


def test_precision_follows_the_argument_or_the_default() -> None:
    assert so3_generators(2).dtype == torch.get_default_dtype()
    assert su2_generators(2).dtype == change_basis_real_to_complex(2).dtype == torch.empty(0).dtype.to_complex()
    for real, pair in ((torch.float32, torch.complex64), (F64, torch.complex128)):
        assert so3_generators(2, dtype=real).dtype == real
        assert su2_generators(2, dtype=real).dtype == change_basis_real_to_complex(2, dtype=pair).dtype == pair
    one, two = so3_generators(3), so3_generators(3)
    one.zero_()
    assert two.abs().sum() > 0


@pytest.mark.parametrize("l", [-1, 0.3, True])
def test_what_is_no_spin_is_refused(l: float) -> None:
    for function in (so3_generators, change_basis_real_to_complex, su2_generators):
        if l is True and function is su2_generators:
            continue
        with as_users_run_it(), pytest.raises(InputError, match="is not a"):
            function(l)  # type: ignore[arg-type]
