"""Intertwiners, decompositions and couplings of every group."""

from __future__ import annotations

import pytest
import torch
from group_cases import COMPACT, FINITE, GROUPS, representations

from intertwine import groups
from intertwine.groups import Cartesian, Conjugated, Defining, Group, Representation, TensorProduct, Trivial
from intertwine.groups.intertwiners import clebsch_gordan, decompose, hom_basis, invariant_basis
from intertwine.groups.regular import Induced, natural, regular
from intertwine.numerics import InputError
from intertwine.o3 import Irrep, Irreps, wigner_3j

TIGHT = 1e-12
SMALL = 24  # dimensions of representations that are compared in pairs, or decomposed


def pairs(group: Group) -> list[tuple[Representation, Representation]]:
    """Some of the pairs of a group's representations, large ones left out."""
    reps = [rep for rep in representations(group) if 0 < rep.dim <= SMALL]
    every = [(v, w) for v in reps for w in reps if v.dim * w.dim <= 150]
    return every[:: max(1, len(every) // 16)]


@pytest.mark.parametrize("name", GROUPS)
def test_intertwiners_commute_and_are_all(name: str, generator: torch.Generator) -> None:
    group = GROUPS[name]()
    g = group.sample(4, generator)
    grid = group.grid(8) if name in COMPACT and name not in ("SO(4)", "O(4)") else None
    for v, w in pairs(group):
        basis = hom_basis(v, w, group)
        a, b = v.matrix(g).to(torch.float64), w.matrix(g).to(torch.float64)
        left, right = b[:, None] @ basis, basis @ a[:, None]
        scale = max(1.0, float(a.abs().max()), float(b.abs().max()))
        assert not basis.numel() or float((left - right).abs().max()) <= TIGHT * scale**2
        flat = basis.flatten(1)
        assert torch.allclose(flat @ flat.T, torch.eye(len(flat), dtype=torch.float64), rtol=0, atol=TIGHT)
        if grid is None:
            continue
        # dim Hom is the inner product of the characters
        chi = v.matrix(grid.elements).diagonal(dim1=-2, dim2=-1).sum(-1)
        psi = w.matrix(grid.elements).diagonal(dim1=-2, dim2=-1).sum(-1)
        assert abs(float((grid.weights * chi * psi).sum()) - len(basis)) < 1e-9, (str(v), str(w))


@pytest.mark.parametrize("name", [name for name in COMPACT if name not in ("SO(4)", "O(4)", "O(1)")])
def test_any_representation_is_a_sum_of_irreps(name: str, generator: torch.Generator) -> None:
    group = COMPACT[name]()
    g = group.sample(4, generator)
    for rep in representations(group):
        if rep.dim > SMALL:
            continue
        turn, stretch = groups.O(rep.dim).sample(1, generator)[0], torch.linspace(0.5, 2, rep.dim, dtype=torch.float64)
        mixed = Conjugated(rep, turn @ torch.diag(stretch))
        for each, orthogonal in ((rep, True), (mixed, False)):
            parts = decompose(each)
            assert parts.rep.dim == rep.dim
            assert parts.multiplicities == decompose(rep).multiplicities
            q = parts.basis
            error = q @ each.matrix(g) - parts.rep.matrix(g) @ q
            assert float(error.abs().max()) <= (1e-12 if orthogonal else 1e-9)
            if orthogonal:
                assert torch.allclose(q @ q.T, torch.eye(rep.dim, dtype=torch.float64), rtol=0, atol=1e-12)


def test_of_rotations_too(generator: torch.Generator) -> None:
    irreps = [Irrep(l, p) for l in range(5) for p in (1, -1)]
    for rep, expected in (
        (Cartesian(2), "1x0e + 1x1e + 1x2e"),
        (Cartesian(3), "1x0o + 3x1o + 2x2o + 1x3o"),
        (TensorProduct(Irrep(2, 1), Irrep(1, -1)), "1x1o + 1x2o + 1x3o"),
        (Irreps("2x1e + 0o"), "1x0o + 2x1e"),
    ):
        parts = decompose(rep)
        assert Irreps(str(parts.rep)) == Irreps(expected)
        g = groups.O(3).sample(3, generator)
        error = parts.basis @ rep.matrix(g) - parts.rep.matrix(g) @ parts.basis
        assert float(error.abs().max()) < 1e-12
    with pytest.raises(InputError, match="in none of the irreps"):
        decompose(Cartesian(3), irreps[:4])
    plane = decompose(TensorProduct(Defining(groups.O(2)), Defining(groups.O(2))))
    assert str(plane.rep) == "1xk=0 + 1xk=0 odd + 1xk=2"


@pytest.mark.parametrize("degrees", [(1, 1, 0), (1, 1, 1), (1, 2, 3), (2, 2, 2), (2, 3, 1)])
def test_coupling_coefficients_are_those_of_o3(degrees: tuple[int, int, int]) -> None:
    """One for each triangle, equal to Wigner's up to sign and the norm, which is the root of the third dimension."""
    a, b, c = (Irrep(l, (-1) ** l) for l in degrees)
    target = Irrep(c.l, a.p * b.p)
    tensor = clebsch_gordan(a, b, target)
    assert tensor.shape == (1, c.dim, a.dim, b.dim)
    expected = wigner_3j(*degrees, dtype=torch.float64).permute(2, 0, 1) * c.dim**0.5
    sign = (tensor[0] * expected).sum().sign()
    assert torch.allclose(tensor[0], sign * expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["D_4", "T", "O", "S_4", "Q_8"])
def test_couplings_of_finite_groups(name: str, generator: torch.Generator) -> None:
    group = FINITE[name]()
    g = group.sample(3, generator)
    irreps = group.irreps()
    for a in irreps:
        for b in irreps:
            total = 0
            for c in irreps:
                tensor = clebsch_gordan(a, b, c)
                total += len(tensor) * c.dim // c.type
                moved = torch.einsum("kcij,gil,gjm->gkclm", tensor, a.matrix(g), b.matrix(g))
                expected = torch.einsum("gcd,kdlm->gkclm", c.matrix(g), tensor)
                assert not len(tensor) or float((moved - expected).abs().max()) < TIGHT
            assert total == a.dim * b.dim  # together they are the whole product


def test_permutations_are_exact() -> None:
    """Deep Sets: the maps of sets to sets are the identity and the sum, to the last bit."""
    group = groups.symmetric(4)
    basis = hom_basis(natural(group), natural(group))
    eye = torch.eye(4, dtype=torch.float64)
    assert torch.equal(basis, torch.stack([eye / 2, (1 - eye) / 12**0.5]))
    assert len(hom_basis(natural(group), Trivial(group))) == 1
    assert len(hom_basis(regular(group), regular(group))) == 24
    # tensors of rank 2 to rank 2: the Bell number of 4
    pair = natural(group) * natural(group)
    assert len(hom_basis(pair, pair)) == 15


def test_lorentz() -> None:
    """The metric is the only invariant of two vectors; of four there are the three products of it and epsilon."""
    lorentz = groups.Lorentz()
    vector = Defining(lorentz)
    metric = invariant_basis(vector * vector)
    expected = lorentz.metric().flatten() / 2
    assert len(metric) == 1
    assert min((metric[0] - s * expected).abs().max() for s in (1, -1)) < 1e-12
    assert len(hom_basis(vector * vector, vector * vector)) == 4
    assert len(hom_basis(vector, Trivial(lorentz))) == 0
    assert len(hom_basis(vector, vector.dual())) == 1


def test_wrong_input_is_named() -> None:
    with pytest.raises(InputError, match="not of"):
        hom_basis(Defining(groups.SO(3)), Defining(groups.O(3)))
    vector = Defining(groups.SO(3))
    big = vector * vector * vector * vector
    with pytest.raises(InputError, match="entries"):
        hom_basis(big, big)
    with pytest.raises(InputError, match="does not say its group"):
        groups.group_of(groups.DirectSum(()))
    with pytest.raises(InputError, match="not a Subgroup"):
        Induced(groups.cyclic(4), Trivial(groups.cyclic(2))).matrix(torch.tensor(0))


def test_the_empty_sum_has_no_maps() -> None:
    assert groups.terms_of(groups.DirectSum(())) == groups.terms_of(Irreps("")) == ()
    assert hom_basis(Defining(groups.O(3)), Irreps("")).shape == (0, 0, 3)
