"""Other programs' harmonics: against their own values, and there and back."""

from __future__ import annotations

import itertools
from math import comb, cos, factorial, pi, sin, sqrt

import numpy as np
import pytest
import torch
from e3nn import o3 as e3nn_o3

from intertwine.numerics import InputError
from intertwine.o3.conventions import CONVENTIONS, convention_matrix, convert
from intertwine.o3.irreps import Irreps

REAL = [name for name in CONVENTIONS if name != "complex"]


def points() -> torch.Tensor:
    return torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def harmonics(l: int, normalization: str = "integral") -> np.ndarray:
    return e3nn_o3.spherical_harmonics(l, points(), True, normalization).numpy()


def angles() -> tuple[np.ndarray, np.ndarray]:
    x, y, z = torch.nn.functional.normalize(points(), dim=-1).T.numpy()
    return np.arccos(z), np.arctan2(y, x)


@pytest.mark.parametrize("l", range(7))
def test_pyscf(l: int):
    from pyscf.symm.sph import real_sph_vec

    theirs = real_sph_vec(points().numpy(), l, reorder_p=True)[l].T
    np.testing.assert_allclose(harmonics(l) @ convention_matrix(l, "pyscf").T, theirs, atol=1e-13)


@pytest.mark.parametrize("l", range(5))
def test_pyscf_orbitals(l: int):
    """The order in which PySCF lists the atomic orbitals of one shell, by their values in space and by their labels."""
    from pyscf import gto

    molecule = gto.M(atom="He 0 0 0", basis={"He": [[l, [0.8, 1.0]]]}, unit="Bohr", verbose=0)
    values = molecule.eval_gto("GTOval_sph", points().numpy())
    r = points().norm(dim=-1, keepdim=True).numpy()
    radial = gto.gto_norm(l, 0.8) * r**l * np.exp(-0.8 * r**2)
    np.testing.assert_allclose(values, radial * (harmonics(l) @ convention_matrix(l, "pyscf").T), atol=1e-13)
    if l == 2:
        assert [label.split()[2] for label in molecule.ao_labels()] == ["3dxy", "3dyz", "3dz^2", "3dxz", "3dx2-y2"]


@pytest.mark.parametrize("l", range(9))
def test_scipy(l: int):
    from scipy.special import sph_harm_y

    theirs = np.stack([sph_harm_y(l, m, *angles()) for m in range(-l, l + 1)], axis=-1)
    np.testing.assert_allclose(harmonics(l) @ convention_matrix(l, "complex").T, theirs, atol=1e-13)


@pytest.mark.parametrize("l", range(7))
def test_textbook(l: int):
    """The formula with associated Legendre functions, and sphericart."""
    import sphericart
    from scipy.special import lpmv

    theta, phi = angles()
    columns = []
    for m in range(-l, l + 1):
        k = abs(m)
        phase = (-1) ** k  # lpmv has that of Condon and Shortley
        norm = phase * sqrt((2 * l + 1) / (4 * pi) * factorial(l - k) / factorial(l + k))
        columns.append(
            norm
            * lpmv(k, l, np.cos(theta))
            * (1 if m == 0 else sqrt(2) * (np.sin(k * phi) if m < 0 else np.cos(k * phi)))
        )
    ours = harmonics(l) @ convention_matrix(l, "textbook").T
    np.testing.assert_allclose(ours, np.stack(columns, axis=-1), atol=1e-13)
    theirs = sphericart.SphericalHarmonics(l).compute(points().numpy())[:, l * l :]
    np.testing.assert_allclose(ours, theirs, atol=1e-13)


def e3x_harmonic(l: int, m: int, x: float, y: float, z: float) -> float:
    """Y_lm of e3x's documentation (e3x.so3.spherical_harmonics, Racah's normalisation) at a point of the unit
    sphere.
    """
    k = abs(m)
    polar = sqrt(factorial(l - k) / factorial(l + k)) * sum(
        (-1) ** i
        / 2**l
        * comb(l, i)
        * comb(2 * l - 2 * i, l)
        * factorial(l - 2 * i)
        / factorial(l - 2 * i - k)
        * z ** (l - 2 * i - k)
        for i in range((l - k) // 2 + 1)
    )
    wave = sin if m < 0 else cos
    return (
        (sqrt(2) if m else 1)
        * polar
        * sum(comb(k, i) * x**i * y ** (k - i) * wave(pi / 2 * (k - i)) for i in range(k + 1))
    )


@pytest.mark.parametrize("l", range(6))
def test_e3x(l: int):
    """Its Cartesian order begins with Y_1^1, Y_1^-1, Y_1^0 and then Y_2^2: m = l, -l, l - 1, ..., 0; Racah's
    normalisation is our norm.
    """
    order = [sign * m for m in range(l, 0, -1) for sign in (1, -1)] + [0]
    unit = torch.nn.functional.normalize(points(), dim=-1).tolist()
    theirs = np.array([[e3x_harmonic(l, m, *r) for m in order] for r in unit])
    np.testing.assert_allclose(harmonics(l, "norm") @ convention_matrix(l, "e3x").T, theirs, atol=1e-13)


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(CONVENTIONS, 2)))
def test_round_trip(source: str, target: str):
    for l in (0, 1, 2, 5, 12):
        there, back = convention_matrix(l, target, source), convention_matrix(l, source, target)
        np.testing.assert_allclose(back @ there, np.eye(2 * l + 1), atol=1e-13)
        np.testing.assert_allclose(back, there.conj().T, atol=1e-14)
    irreps = Irreps("2x0e+3x1o+0x2e+2x3o")
    x = torch.randn(4, irreps.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = x.to(torch.complex128) if source == "complex" else x
    for layout in ("mul_ir", "ir_mul"):
        y = convert(x, irreps, source=source, target=target, layout=layout)
        assert y.is_complex() == ("complex" in (source, target))
        z = convert(y, irreps, source=target, target=source, layout=layout)
        torch.testing.assert_close(z, x.to(z.dtype), atol=1e-13, rtol=0)


@pytest.mark.parametrize("target", CONVENTIONS)
def test_irreps_and_layouts(target: str):
    irreps, l2 = Irreps("0e+2x1o+2x2e"), convention_matrix(2, target)
    x = torch.randn(irreps.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    y = convert(x, irreps, source="e3nn", target=target)
    np.testing.assert_allclose(y[-5:].numpy(), l2 @ x[-5:].numpy(), atol=1e-14)
    turned = torch.cat([x[s].unflatten(-1, (mul, ir.dim)).T.flatten() for (mul, ir), s in zip(irreps, irreps.slices())])
    expected = torch.cat(
        [y[s].unflatten(-1, (mul, ir.dim)).T.flatten() for (mul, ir), s in zip(irreps, irreps.slices())]
    )
    torch.testing.assert_close(
        convert(turned, irreps, source="e3nn", target=target, layout="ir_mul"), expected, atol=1e-14, rtol=0
    )


def test_coefficients_in_the_complex_basis():
    """The docstring's rule: coefficients of an expansion take the conjugate matrix, so that the function stays the
    same.
    """
    from scipy.special import sph_harm_y

    c = torch.randn(7, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    d = convert(c.conj(), "3o", source="e3nn", target="complex").conj().resolve_conj().numpy()
    f = sum(d[3 + m] * sph_harm_y(3, m, *angles()) for m in range(-3, 4))
    np.testing.assert_allclose(f, harmonics(3) @ c.numpy(), atol=1e-13)


@pytest.mark.parametrize("name", REAL)
def test_scalars_are_left_alone(name: str):
    assert np.array_equal(convention_matrix(0, name), [[1.0]])
    assert np.array_equal(convention_matrix(4, name, source=name), np.eye(9))


def test_precision_and_nothing():
    x = torch.randn(2, 8, generator=torch.Generator().manual_seed(4))
    assert convert(x, "1o+2e", source="e3nn", target="pyscf").dtype == torch.float32
    assert convert(x, "1o+2e", source="e3nn", target="complex").dtype == torch.complex64
    assert convert(x[:0], "1o+2e", source="e3nn", target="e3x").shape == (0, 8)
    assert convert(torch.zeros(2, 0), "", source="e3nn", target="complex").shape == (2, 0)
    double = x.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: convert(y, "1o+2e", source="e3nn", target="complex"), double)


def test_the_default_device_does_not_matter():
    with torch.device("meta"):
        assert convention_matrix(11, "pyscf").shape == (23, 23)


def test_bad_input():
    with pytest.raises(InputError, match="did you mean 'pyscf'"):
        convention_matrix(1, "pyscff")
    with pytest.raises(InputError, match="not a degree"):
        convention_matrix(-1, "pyscf")
    with pytest.raises(InputError, match="last axis must be 5 long"):
        convert(torch.randn(3), "2e", source="e3nn", target="pyscf")
    with pytest.raises(InputError, match="unknown layout"):
        convert(torch.randn(5), "2e", source="e3nn", target="pyscf", layout="mul")
    with pytest.raises(ValueError, match="read-only"):
        convention_matrix(2, "e3x")[0, 0] = 1.0
