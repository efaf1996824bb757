"""Which atom of one molecule is which of another: a turned and shuffled copy is found again, mirror images are not."""

from __future__ import annotations

import pytest
import torch

from intertwine.geometry import equivalent, matched
from intertwine.groups import SO
from intertwine.numerics import GeometryError


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


#: Methane: carbon and the corners of a tetrahedron (A).
METHANE = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64) * 0.63


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_turned_and_shuffled_copy_is_found(seed: int) -> None:
    x, generator = draw(7, 3, seed=seed), torch.Generator().manual_seed(seed)
    g, order = SO(3).sample(1, generator)[0], torch.randperm(7, generator=generator)
    y = ((x - 2.0) @ g.T)[order]
    match = matched(x, y)
    assert match.rmsd < 1e-12
    assert torch.equal(order[match.partner], torch.arange(7))
    torch.testing.assert_close(match.rotation @ g, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(match.centre_x - match.centre_y @ match.rotation.T, x.mean(0) - y.mean(0) @ g)


def test_symmetric_molecules_have_many_matches_and_mirror_images_none() -> None:
    match = matched(METHANE, METHANE[[0, 2, 1, 3, 4]])  # a reflection, and rotations that do the same
    assert match.rmsd < 1e-12
    assert float(torch.linalg.det(match.rotation)) == pytest.approx(1.0)
    chiral = draw(5, 3)
    assert matched(chiral, chiral * torch.tensor([1.0, 1.0, -1.0])).rmsd > 0.1


def test_costs_keep_atoms_of_other_species_apart() -> None:
    x = draw(4, 3)
    y, z, w = x[[1, 0, 2, 3]], torch.tensor([1, 1, 6, 6]), torch.tensor([1, 6, 1, 6])
    cost = 1e4 * (z.unsqueeze(1) != w).double()
    match = matched(x, y, cost)
    assert torch.equal(w[match.partner], z)
    assert match.rmsd > matched(x, y).rmsd


def test_points_on_a_line_and_a_single_one() -> None:
    line = torch.tensor([[-1.0, 0, 0], [0, 0, 0], [1.2, 0, 0]], dtype=torch.float64)
    turned = line[:, [2, 0, 1]][[2, 1, 0]]
    assert matched(line, turned).rmsd < 1e-12
    assert matched(line[:1], line[1:2]).rmsd == 0.0
    with pytest.raises(GeometryError, match="3 and 2 points"):
        matched(line, line[:2])


def test_equivalent_atoms_are_those_that_a_symmetry_exchanges() -> None:
    same = equivalent(METHANE, torch.tensor([6, 1, 1, 1, 1]))
    assert same[0].tolist() == [True, False, False, False, False]
    assert bool(same[1:, 1:].all())
    assert torch.equal(equivalent(draw(6, 3)), torch.eye(6) > 0)
    assert equivalent(METHANE, torch.tensor([6, 1, 1, 1, 9]))[1].tolist() == [False, True, True, True, False]
