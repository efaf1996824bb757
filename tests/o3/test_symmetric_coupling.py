"""Symmetric couplings: orthonormal, equivariant, all of them, in a fixed order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from intertwine.numerics import InputError
from intertwine.o3 import Irrep, Irreps, ReducedTensorProducts, rand_matrix
from intertwine.o3.symmetric_coupling import symmetric_couplings

SYMMETRY = {2: "ij=ji", 3: "ijk=jik=kij", 4: "ijkl=jikl=jkli"}
CASES = [("0e+1o", 4), ("0e+1o+2e", 3), ("1o+1o", 3), ("1o+0o+2e", 3), ("3o", 4), ("0e+1o+2e+3o", 2)]


@pytest.mark.parametrize(("irreps", "degree"), CASES)
def test_orthonormal_complete_and_equivariant(irreps: str, degree: int) -> None:
    dim = Irreps(irreps).dim
    reduced = ReducedTensorProducts(SYMMETRY[degree], i=irreps).irreps_out
    q = -rand_matrix(dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.randn(dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    moved = Irreps(irreps).D_from_matrix(q) @ x
    for ir in [Irrep(l, p) for l in range(4) for p in (1, -1)]:
        found = symmetric_couplings(irreps, ir, degree)
        assert len(found.coefficients) == reduced.count(ir)
        U = found.tensor(dim)
        for axes in ((0, 1, 3, 2, *range(4, degree + 2)), (0, 1, *range(3, degree + 2), 2)):
            np.testing.assert_allclose(U, U.transpose(axes), rtol=0, atol=1e-15)
        rows = U.reshape(len(U) * ir.dim, dim**degree)
        assert np.abs(rows @ rows.T - np.eye(len(rows))).max(initial=0.0) < 1e-14
        # paths, components
        values = [
            torch.from_numpy(found.coefficients.copy()) @ point[found.monomials.copy()].prod(1) for point in (x, moved)
        ]
        torch.testing.assert_close(values[1], values[0] @ ir.D_from_matrix(q).T, rtol=1e-12, atol=1e-12)


def test_order_and_values() -> None:
    found = symmetric_couplings("0e+1o", "0e", 3)
    assert found.monomials.tolist() == [[0, 0, 0], [0, 1, 1], [0, 2, 2], [0, 3, 3]]
    np.testing.assert_allclose(found.coefficients[:, 0], [[1, 0, 0, 0], [0, 1, 1, 1]], atol=1e-15)
    assert symmetric_couplings(Irreps("0e+1o"), Irrep("0e"), 3) is found
    assert not found.coefficients.flags.writeable
    nothing = symmetric_couplings("0e+1o", "0o", 2)
    assert nothing.coefficients.shape == (0, 1, 0)
    assert nothing.tensor(4).shape == (0, 1, 4, 4)
    assert symmetric_couplings("", "0e", 2).monomials.shape == (0, 2)


def test_degree_one_is_the_identity() -> None:
    for ir in ("1o", "2e"):
        found = symmetric_couplings("0e+1o+2e", ir, 1)
        np.testing.assert_array_equal(found.coefficients[0], np.eye(Irrep(ir).dim))


@pytest.mark.parametrize(("irreps", "degree"), [("2x0e", 2), ("0x0e+1o", 2), ("0e", 0), ("0e", True)])
def test_errors(irreps: str, degree: int) -> None:
    with pytest.raises(InputError):
        symmetric_couplings(irreps, "0e", degree)
