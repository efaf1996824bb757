"""Heads that give an element of a group: equivariance, degenerate inputs told, derivatives finite."""

from __future__ import annotations

import itertools

import pytest
import torch

from intertwine.groups import SO, Permutations, cyclic
from intertwine.nn.codes import CyclicHead, OrderHead, ProductHead, RotationHead, ShiftHead
from intertwine.nn.codes.heads import soft_order
from intertwine.numerics import InputError


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("n", [2, 3])
def test_rotations_follow_the_vectors(n: int) -> None:
    vectors, head = draw(5, n - 1, n), RotationHead(n)
    g = SO(n).sample(5, torch.Generator().manual_seed(1))
    still, moved = head(vectors), head(vectors @ g.mT)
    torch.testing.assert_close(moved.element, g @ still.element, rtol=0, atol=1e-13)
    torch.testing.assert_close(torch.linalg.det(still.element), torch.ones(5, dtype=torch.float64))
    assert not still.open.any()
    assert still.reasons() == [""] * 5


def test_mirrored_vectors_give_a_rotation_all_the_same() -> None:
    vectors, mirror = draw(3, 2, 3), torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    element = RotationHead(3)(vectors @ mirror).element
    torch.testing.assert_close(torch.linalg.det(element), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["vanishing", "second vanishing", "collinear", "opposite"])
def test_vectors_that_fix_no_rotation_are_told(kind: str) -> None:
    vectors = draw(3, 2, 3)
    line = {"vanishing": 0.0, "second vanishing": 0.0, "collinear": 2.0, "opposite": -1.0}[kind]
    vectors[1, 1] = line * vectors[1, 0]
    if kind == "vanishing":
        vectors[1] = 0.0
    vectors.requires_grad_()
    estimate = RotationHead(3)(vectors)
    assert estimate.open.tolist() == [False, True, False]
    assert [bool(word) for word in estimate.reasons()] == [False, True, False]
    assert "symmetric" in estimate.reasons()[1]
    eye = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(estimate.element @ estimate.element.mT, eye.expand(3, 3, 3), rtol=0, atol=1e-12)
    (estimate.element * draw(3, 3, 3, seed=2)).sum().backward()
    assert bool(vectors.grad.isfinite().all())


def test_translations_follow_the_centroid() -> None:
    centroid, vector, head = draw(4, 3), draw(4, 3, seed=1), ShiftHead(3)
    shift = head((centroid, vector)).element
    torch.testing.assert_close(head((centroid + 1.5, vector)).element, shift + 1.5)
    assert not head((centroid, 0 * vector)).open.any()


@pytest.mark.parametrize("n", [2, 4, 5])
def test_elements_of_a_cyclic_group_follow_its_regular_representation(n: int) -> None:
    scores, head, group = draw(7, n), CyclicHead(n), cyclic(n)
    still = head(scores)
    for g in group.elements():
        shifted = scores[:, group.product(group.inverse(g), group.elements())]
        moved = head(shifted)
        assert torch.equal(moved.element, group.product(g, still.element))
        torch.testing.assert_close(moved.soft.gather(1, moved.element[:, None]), still.soft.amax(1, keepdim=True))


def test_tied_scores_are_told_and_have_finite_derivatives() -> None:
    scores = torch.tensor([[1.0, 1.0, 0.0, -1.0], [2.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], requires_grad=True)
    estimate = CyclicHead(4)(scores)
    assert estimate.open.tolist() == [True, False, True]
    (estimate.soft**2).sum().backward()
    assert bool(scores.grad.isfinite().all())


def sets() -> tuple[torch.Tensor, torch.Tensor, int]:
    return draw(9), torch.tensor([0, 0, 0, 0, 1, 2, 2, 2, 2]), 3


def test_the_order_of_a_set_follows_its_permutation() -> None:
    scores, owner, count = sets()
    still = OrderHead()((scores, owner, count)).element
    assert torch.equal(owner[still], owner)
    for k in range(3):
        values = scores[still][owner == k]
        assert bool((values[:-1] >= values[1:]).all())
    group = Permutations(9)
    g = group.sample(1, torch.Generator().manual_seed(3))[0]
    there = group.inverse(g)  # thing i comes from there[i]
    moved = OrderHead()((group.act(g, scores), owner[there], count)).element
    assert torch.equal(moved, g[still])  # psi(g x) = g psi(x)


def test_soft_orders_are_softsorts_and_become_the_order() -> None:
    scores = draw(1, 4).sort(descending=True).values
    P = soft_order(scores, 0.3)
    for k, i in itertools.product(range(4), range(4)):
        weights = torch.exp(-(scores[0, k] - scores[0]).abs() / 0.3)
        assert float(P[0, k, i]) == pytest.approx(float(weights[i] / weights.sum()), rel=1e-12)
    torch.testing.assert_close(soft_order(scores, 1e-4)[0], torch.eye(4, dtype=torch.float64))
    s = draw(2, 3).sort(descending=True).values.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: soft_order(x, 0.5), (s,))


def test_sets_of_several_sizes_keep_apart_and_ties_are_told() -> None:
    scores = torch.tensor([1.0, 1.0, 0.0, 5.0, 0.3, 0.2, 0.1], dtype=torch.float64, requires_grad=True)
    owner = torch.tensor([0, 0, 0, 1, 2, 2, 2])
    estimate = OrderHead().train()((scores, owner, 3))
    assert estimate.open.tolist() == [True, False, False]
    assert estimate.soft.shape == (3, 3, 3)
    assert float(estimate.soft[1].sum()) == pytest.approx(1.0)
    assert estimate.soft[1, 0, 0] == 1
    torch.testing.assert_close(estimate.soft[2].sum(1), torch.ones(3, dtype=torch.float64))
    (estimate.soft**2).sum().backward()
    assert bool(scores.grad.isfinite().all())
    assert OrderHead().eval()((scores, owner, 3)).soft is None


def test_a_product_is_open_where_a_factor_is() -> None:
    head = ProductHead(rotation=RotationHead(2), turn=CyclicHead(3))
    vectors, scores = draw(3, 1, 2), draw(3, 3)
    vectors[0] = 0.0
    scores[2] = 1.0
    estimate = head({"rotation": vectors, "turn": scores})
    assert estimate.open.tolist() == [True, False, True]
    assert set(estimate.element) == {"rotation", "turn"}
    torch.testing.assert_close(estimate.element["rotation"].element, RotationHead(2)(vectors).element)


def test_wrong_features_are_refused() -> None:
    with pytest.raises(InputError, match="vectors of shape"):
        RotationHead(3)(draw(2, 3, 3))
    with pytest.raises(InputError, match="scores of shape"):
        CyclicHead(4)(draw(2, 3))
    with pytest.raises(InputError, match="4 dimensions"):
        RotationHead(4)
    with pytest.raises(InputError, match="temperature"):
        OrderHead(0.0)
    with pytest.raises(InputError, match="no factors"):
        ProductHead()
