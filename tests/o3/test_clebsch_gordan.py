"""Coupling coefficients: equal to exact arithmetic, orthonormal, invariant, and in e3nn's basis."""

from __future__ import annotations

import random
from fractions import Fraction
from math import factorial, prod

import numpy as np
import pytest
import torch
from e3nn import o3 as e3nn_o3

from intertwine.groups.wigner import wigner_d
from intertwine.numerics import InputError
from intertwine.o3.clebsch_gordan import clebsch_gordan, coupling, wigner_3j


def triples(lmax: int) -> list[tuple[int, int, int]]:
    degrees = range(lmax + 1)
    return [(a, b, c) for a in degrees for b in degrees for c in degrees if abs(a - b) <= c <= a + b]


def ladder(l1: int, l2: int, l3: int) -> dict[tuple[int, int], tuple[int, Fraction]]:
    """Sign and square of every <l1 m1 l2 m2 | l3 m1+m2>, in exact arithmetic and by another road than Racah's sum:
    lowering from the top.

    The highest state is fixed by J+ |l3 l3> = 0 and the sign of its largest m1. With c(m1, m2) = r(m1, m2) / sqrt(w(m1)
    w(m2)), w(m) = (l+m)! (l-m)!, the ladder operators act on r without roots.
    """

    def weight(l: int, m: int) -> int:
        return factorial(l + m) * factorial(l - m)

    r = {(m, l3 - m): Fraction((-1) ** (l1 - m) * factorial(l1 + m) * factorial(l2 + l3 - m))
         for m in range(max(-l1, l3 - l2), min(l1, l3 + l2) + 1)}  # fmt: skip
    norm = sum(v * v / (weight(l1, a) * weight(l2, b)) for (a, b), v in r.items())
    found = {}
    for m3 in range(l3, -l3 - 1, -1):
        found |= {
            (a, b): ((v > 0) - (v < 0), v * v / (weight(l1, a) * weight(l2, b) * norm)) for (a, b), v in r.items()
        }
        norm *= (l3 + m3) * (l3 - m3 + 1)
        r = {(a, m3 - 1 - a): (l1 - a) * r.get((a + 1, m3 - 1 - a), 0) + (l2 - m3 + 1 + a) * r.get((a, m3 - a), 0)
             for a in range(max(-l1, m3 - 1 - l2), min(l1, m3 - 1 + l2) + 1)}  # fmt: skip
    return found


def assert_rounded(value: float, sign: int, exact: Fraction) -> None:
    """``value`` is sign * sqrt(exact), correctly rounded: the exact square lies between those of the neighbouring
    midpoints.
    """
    if exact == 0:
        assert value == 0
        return
    assert np.sign(value) == sign
    v = Fraction(abs(value))
    below, above = Fraction(float(np.nextafter(abs(value), 0))), Fraction(float(np.nextafter(abs(value), np.inf)))
    assert ((v + below) / 2) ** 2 <= exact <= ((v + above) / 2) ** 2


def test_sympy():
    """Every triple of degrees up to 8 against sympy: all coefficients of the small ones, four of each of the others."""
    from sympy.physics.wigner import clebsch_gordan as reference

    draw, worst = random.Random(0), 0.0
    for l1, l2, l3 in triples(8):
        table = clebsch_gordan(l1, l2, l3, basis="complex")
        pairs = [(m1, m2) for m1 in range(-l1, l1 + 1) for m2 in range(-l2, l2 + 1) if abs(m1 + m2) <= l3]
        for m1, m2 in pairs if max(l1, l2, l3) <= 2 else draw.sample(pairs, min(4, len(pairs))):
            worst = max(
                worst, abs(float(reference(l1, l2, l3, m1, m2, m1 + m2)) - table[l1 + m1, l2 + m2, l3 + m1 + m2])
            )
    assert worst < 1e-15


def test_every_coefficient_to_degree_8_is_rounded_correctly():
    for l1, l2, l3 in triples(8):
        rest = clebsch_gordan(l1, l2, l3, basis="complex").copy()
        for (m1, m2), exact in ladder(l1, l2, l3).items():
            assert_rounded(rest[l1 + m1, l2 + m2, l3 + m1 + m2], *exact)
            rest[l1 + m1, l2 + m2, l3 + m1 + m2] = 0
        assert not rest.any()


@pytest.mark.parametrize(("l1", "l2", "l3"), [(20, 20, 20), (20, 13, 8), (30, 20, 40)])
def test_high_degrees_are_rounded_correctly(l1: int, l2: int, l3: int):
    table = clebsch_gordan(l1, l2, l3, basis="complex")
    for (m1, m2), exact in ladder(l1, l2, l3).items():
        assert_rounded(table[l1 + m1, l2 + m2, l3 + m1 + m2], *exact)


@pytest.mark.parametrize(("l1", "l2", "l3"), triples(3))
def test_real_basis_is_that_of_e3nn(l1: int, l2: int, l3: int):
    reference = e3nn_o3.wigner_3j(l1, l2, l3, dtype=torch.float64)
    torch.testing.assert_close(wigner_3j(l1, l2, l3, dtype=torch.float64), reference, atol=1e-15, rtol=0)


def test_orthogonality_to_degree_20():
    """The isometries of three degrees l3 have orthonormal columns together; every l1 and l3 up to 20 occurs."""
    draw = random.Random(3)
    for l in range(21):
        l2 = draw.randint(max(0, l // 2), 20)
        degrees = draw.sample(range(abs(l - l2), l + l2 + 1), min(3, 2 * min(l, l2) + 1))
        for basis in ("real", "complex") if l % 5 == 0 else ("real",):
            table = np.concatenate(
                [clebsch_gordan(l, l2, l3, basis).reshape(-1, 2 * l3 + 1) for l3 in degrees], axis=-1
            )
            assert np.abs(table.T @ table - np.eye(table.shape[1])).max() < 1e-13
        square = clebsch_gordan(20, 20, l).reshape(-1, 2 * l + 1)
        assert np.abs(square.T @ square - np.eye(2 * l + 1)).max() < 1e-13


@pytest.mark.parametrize(("l1", "l2", "l3"), [(0, 0, 0), (1, 1, 2), (2, 1, 2), (3, 4, 5), (8, 8, 8), (6, 10, 12)])
def test_invariance(l1: int, l2: int, l3: int):
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    q = q * torch.linalg.det(q)
    C = wigner_3j(l1, l2, l3, dtype=torch.float64)
    turned = torch.einsum("ijk,ia,jb,kc->abc", C, *[wigner_d(l, q) for l in (l1, l2, l3)])
    torch.testing.assert_close(turned, C, atol=1e-13, rtol=0)


def test_symmetries():
    """A cyclic permutation leaves the tensor unchanged up to e3nn's sign, a transposition gives (-1)^(l1+l2+l3)."""
    for l1, l2, l3 in triples(4):
        flipped = coupling(l2, l1, l3).transpose(1, 0, 2)
        assert np.array_equal(flipped, (-1) ** (l1 + l2 + l3) * coupling(l1, l2, l3))
        assert abs(np.linalg.norm(coupling(l1, l2, l3)) - 1) < 1e-15


def test_known_values():
    delta = coupling(1, 1, 0)[:, :, 0]
    assert np.array_equal(delta, np.eye(3) * prod([Fraction(1, 3)]) ** 0.5 * np.sign(delta[0, 0]))
    epsilon = coupling(1, 1, 1)
    assert epsilon[0, 1, 2] == (1 / 6) ** 0.5 == -epsilon[1, 0, 2]
    assert np.array_equal(coupling(0, 3, 3)[0], np.eye(7) * coupling(0, 3, 3)[0, 0, 0])


def test_tables_are_cached_and_safe():
    assert coupling(2, 2, 2) is coupling(2, 2, 2)
    with pytest.raises(ValueError, match="read-only"):
        coupling(2, 2, 2)[0, 0, 0] = 1.0
    wigner_3j(2, 2, 2, dtype=torch.float64).zero_()
    assert coupling(2, 2, 2).any()
    assert wigner_3j(2, 2, 2).dtype == torch.get_default_dtype()
    assert wigner_3j(2, 2, 2, dtype=torch.float32).dtype == torch.float32
    assert wigner_3j(2, 2, 2, device="meta").device.type == "meta"


@pytest.mark.parametrize("degrees", [(1, 1, 3), (0, 1, 0), (-1, 1, 1)])
def test_impossible_couplings(degrees: tuple[int, int, int]):
    with pytest.raises(InputError):
        coupling(*degrees)
    with pytest.raises(InputError):
        wigner_3j(*degrees)
    with pytest.raises(InputError):
        clebsch_gordan(*degrees, basis="complex")


def test_unknown_basis():
    with pytest.raises(InputError, match="did you mean 'complex'"):
        clebsch_gordan(1, 1, 1, basis="compelx")
