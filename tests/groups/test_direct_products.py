"""Direct products of groups, irreps of rotations at floor 1, and permutations without a table."""

from __future__ import annotations

import pytest
import torch

from intertwine import groups
from intertwine.groups import Trivial
from intertwine.groups.spherical import SphericalIrrep
from intertwine.numerics import InputError
from intertwine.o3 import Irrep


def close(a: torch.Tensor, b: torch.Tensor, bound: float = 1e-12) -> None:
    assert float((a.to(torch.float64) - b.to(torch.float64)).abs().max()) <= bound


def test_spherical_irreps_are_those_of_o3(generator: torch.Generator) -> None:
    """Also of improper elements, and in the transform of a quantity."""
    group = groups.O(3)
    g, x = group.sample(20, generator), torch.randn(20, 7, generator=generator)
    for l, p in ((0, -1), (1, 1), (3, 1), (3, -1), (6, -1)):
        irrep = SphericalIrrep(group, l, p)
        close(irrep.matrix(g), Irrep(l, p).matrix(g))
        assert str(irrep) == str(Irrep(l, p))
    close(SphericalIrrep(group, 3).transform(g, x), Irrep(3, 1).transform(g, x), 1e-6)
    assert SphericalIrrep(group, 3).transform(g, x).dtype == torch.float32


def test_a_product_is_made_of_its_factors(generator: torch.Generator) -> None:
    group = groups.DirectProduct(groups.SE(2), groups.symmetric(4))
    g, h = groups.SE(2).sample(5, generator), groups.symmetric(4).sample(5, generator)
    both = group.make(g, h)
    assert torch.equal(group.first(both), g)
    assert torch.equal(group.second(both), h)
    assert group.second(both).dtype == torch.int64
    assert group.make(g[:, None], h).shape == (5, 5, 10)
    points = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    moved = group.act(both, points)
    close(moved[:, :2], groups.SE(2).act(g, points[:, :2]))
    close(moved[:, 2:], groups.symmetric(4).act(h, points[:, 2:]))
    square = groups.DirectProduct(groups.cyclic(2), groups.cyclic(3))
    assert square.order == len(square.elements()) == 6
    assert torch.equal(square.elements()[0], square.identity())
    assert square == groups.DirectProduct(groups.cyclic(2), groups.cyclic(3)) != group


def test_permutations_without_a_table_are_those_of_the_table(generator: torch.Generator) -> None:
    table, lists = groups.symmetric(4), groups.Permutations(4)
    elements, x = lists.elements(), torch.randn(24, 4, generator=generator)
    assert torch.equal(lists.linear(elements), table.matrices)
    assert torch.equal(lists.act(elements, x), table.act(table.elements(), x))


def test_what_does_not_fit_a_product_is_named() -> None:
    for wrong_call in (
        lambda: SphericalIrrep(groups.SO(3), 1, -1),
        lambda: SphericalIrrep(groups.SO(2), 1),
        lambda: groups.OuterProduct(groups.DirectProduct(groups.SO(2), groups.O(1)), *2 * [Trivial(groups.SO(2))]),
        lambda: groups.DirectProduct(groups.SO(3), groups.cyclic(2)).elements(),
        lambda: groups.DirectProduct(groups.cyclic(3), groups.cyclic(2)).log(torch.tensor([0, 1])),
        lambda: groups.Affine(groups.DirectProduct(groups.SO(2), groups.Scaling(1))),
        lambda: groups.Permutations(0),
        lambda: groups.Permutations(12).elements(),
    ):
        with pytest.raises(InputError):
            wrong_call()
