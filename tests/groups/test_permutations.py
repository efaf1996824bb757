"""The symmetric group and the index symmetries that it gives to tensors."""

from __future__ import annotations

import itertools
import random
from math import factorial

import pytest
import torch
from e3nn.math import germinate_formulas as e3nn_germinate_formulas
from e3nn.math import perm as e3nn_perm
from e3nn.math import reduce_permutation as e3nn_reduce_permutation

from intertwine.groups import permutations as perm
from intertwine.groups.index_symmetry import germinate_formulas, reduce_permutation
from intertwine.numerics import InputError

FORMULAS = [
    "ij",
    "ij=ji",
    "ij=-ji",
    "ijk=jki",
    "ijk=-kji",
    "ijk=jik=ikj",
    "ijk=-jik=-ikj",
    "ijkl=jikl=klij",
    "ijkl=-jikl=-ijlk=klij",
]


@pytest.mark.parametrize("n", range(6))
def test_the_group_axioms(n: int):
    group = perm.group(n)
    assert len(group) == factorial(n)
    assert group == set(itertools.permutations(range(n)))
    assert perm.is_group(group)
    for p in group:
        assert perm.compose(p, perm.inverse(p)) == perm.compose(perm.inverse(p), p) == perm.identity(n)
        assert perm.from_int(perm.to_int(p), n) == p
        assert perm.from_cycles(perm.to_cycles(p), n) == p


@pytest.mark.parametrize("n", range(5))
def test_oracle(n: int):
    for i in range(factorial(n)):
        p = perm.from_int(i, n)
        assert p == e3nn_perm.from_int(i, n)
        assert perm.to_int(p) == i
        assert perm.inverse(p) == e3nn_perm.inverse(p)
        assert perm.to_cycles(p) == e3nn_perm.to_cycles(p)
        assert perm.sign(p) == e3nn_perm.sign(p)
        if n:
            expected = e3nn_perm.natural_representation(p, dtype=torch.float64)
            assert torch.equal(perm.natural_representation(p, dtype=torch.float64), expected)


def test_standard_representation_is_that_of_e3nn():
    for p in perm.group(4):
        expected = e3nn_perm.standard_representation(p)
        torch.testing.assert_close(perm.standard_representation(p), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("n", [1, 3, 7])
def test_representations_are_homomorphisms(n: int):
    random.seed(n)
    p, q = perm.rand(n), perm.rand(n)
    for rho in (perm.natural_representation, perm.standard_representation):
        a, b, ab = (rho(x, dtype=torch.float64) for x in (p, q, perm.compose(p, q)))
        torch.testing.assert_close(a @ b, ab, atol=1e-14, rtol=0)
        torch.testing.assert_close(a @ a.T, torch.eye(len(a), dtype=torch.float64), atol=1e-14, rtol=0)
    natural = perm.natural_representation(p, dtype=torch.float64)
    standard = perm.standard_representation(p, dtype=torch.float64)
    assert float(standard.trace()) == pytest.approx(float(natural.trace()) - 1, abs=1e-14)
    assert float(torch.linalg.det(natural)) == pytest.approx(perm.sign(p))


def test_rand_follows_pythons_generator():
    drawn = set()
    for seed in range(20):
        random.seed(seed)
        drawn.add(p := perm.rand(6))
        random.seed(seed)
        assert p == e3nn_perm.rand(6)
    assert len(drawn) > 15


def test_generated_groups():
    assert len(perm.germinate({(1, 2, 3, 4, 0)})) == 5
    assert perm.germinate({(1, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2)}) == perm.group(4)
    assert len(perm.germinate({(1, 2, 0, 3), (0, 2, 3, 1)})) == 12
    assert perm.germinate(set()) == set()


def test_sets_that_are_no_groups():
    assert not perm.is_group(set())
    assert not perm.is_group({(1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1), (2, 1, 0)})
    assert not perm.is_group({(0, 1, 2), (1, 2, 0)})
    assert not perm.is_group({(0, 1, 2, 3), (3, 0, 1, 2), (1, 2, 3, 0)})


@pytest.mark.parametrize("p", [(0, 0), (1, 2), (0, 2), (-1, 0)])
def test_what_is_no_permutation(p: tuple[int, ...]):
    assert not perm.is_perm(p)
    for function in (
        perm.inverse,
        perm.to_int,
        perm.to_cycles,
        perm.natural_representation,
        perm.standard_representation,
    ):
        with pytest.raises(InputError, match="not a permutation"):
            function(p)


def test_bad_arguments():
    with pytest.raises(InputError, match="3 and of 2 points"):
        perm.compose((0, 1, 2), (1, 0))
    with pytest.raises(InputError, match="disjoint"):
        perm.from_cycles({(0, 1), (1, 2)}, 3)
    with pytest.raises(InputError, match="disjoint"):
        perm.from_cycles({(0, 3)}, 3)
    with pytest.raises(InputError, match="no points"):
        perm.standard_representation(())


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("dim", [0, 1, 2, 3])
def test_index_symmetries(formula: str, dim: int):
    indices, group = germinate_formulas(formula)
    assert (indices, group) == e3nn_germinate_formulas(formula)
    dims = dict.fromkeys(indices, dim)
    Q, entries = reduce_permutation(indices, group, dtype=torch.float64, **dims)
    expected, reference = e3nn_reduce_permutation(indices, group, dtype=torch.float64, **dims)
    assert Q.shape == expected.shape
    torch.testing.assert_close(Q, expected, atol=1e-15, rtol=0)
    assert entries == [sorted(found) for found in reference]
    for s, p in group:
        assert torch.equal(Q, s * Q.permute(0, *[1 + i for i in perm.inverse(p)]))


def test_a_contradiction_leaves_nothing():
    Q, entries = reduce_permutation(*germinate_formulas("ij=ji=-ji"), i=3)
    assert Q.shape == (0, 3, 3)
    assert entries == []


@pytest.mark.parametrize("formula", ["", "ij=jk", "ij=j", "ii=ii", "-ij=ji", "ij=ji=ijk", "ij==ji"])
def test_formulas_that_are_none(formula: str):
    with pytest.raises(InputError, match="not a permutation"):
        germinate_formulas(formula)


@pytest.mark.parametrize(
    ("dims", "message"),
    [({"i": 2, "j": 3}, "different"), ({"i": 2, "k": 3}, "do not appear"), ({}, "has no dimension")],
)
def test_dimensions_that_do_not_fit(dims: dict[str, int], message: str):
    with pytest.raises(InputError, match=message):
        reduce_permutation(*germinate_formulas("ij=ji"), **dims)


@pytest.mark.parametrize("i", [-1, 6, 100])
def test_there_are_n_factorial_permutations(i: int) -> None:
    with pytest.raises(InputError, match="no permutation"):
        perm.from_int(i, 3)
