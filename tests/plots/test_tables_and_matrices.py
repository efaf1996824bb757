"""Pictures of finite groups, and of matrices between orbitals, hold the numbers that they are pictures of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine.groups import cyclic, dihedral
from intertwine.numerics import InputError
from intertwine.orbitals import Basis, Shell
from intertwine.orbitals.basis import HARTREE
from intertwine.plots.groups import characters, multiplication_table
from intertwine.tasks.hamiltonian_pictures import pictures_of, shell_errors

BASIS = Basis("tiny", {1: (Shell(0, (0.5,), (1.0,)),), 8: (Shell(0, (0.6,), (1.0,)), Shell(1, (0.8,), (1.0,)))})
WATER = torch.tensor([8, 1, 1])


@pytest.mark.parametrize("group", [cyclic(4), dihedral(3), dihedral(15)], ids=str)
def test_tables_of_groups(group) -> None:
    """Labels up to 24 elements; D_15 has 30."""
    axes = multiplication_table(group).axes[0]
    assert np.array_equal(axes.images[0].get_array(), group.table.numpy())
    assert len(axes.get_xticks()) == (group.order if group.order <= 24 else 0)
    axes = characters(group).axes[0]
    table = np.asarray(axes.images[0].get_array())
    sizes = torch.bincount(group.classes).numpy()
    gram = (table * sizes) @ table.T / group.order
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-12
    assert len(axes.texts) == table.size


def test_a_table_that_is_a_grey_square_is_refused() -> None:
    with pytest.raises(InputError, match="draw a subgroup"):
        multiplication_table(cyclic(401))


@pytest.mark.parametrize("count", [1, 3])
def test_pictures_of_matrices(count: int, tmp_path: Path) -> None:
    """Three images, a ladder, errors by shells in 1e-6 Eh; of several molecules the errors are means."""
    generator = torch.Generator().manual_seed(0)
    H = torch.randn(count, 6, 6, generator=generator, dtype=torch.float64)
    H = H + H.mT
    off = torch.zeros_like(H)
    off[:, 0, 0] = HARTREE * 1e-6 * torch.arange(1, count + 1)
    pos = torch.tensor([[[0.0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]]], dtype=torch.float64).repeat(count, 1, 1)
    errors, names = shell_errors(BASIS, WATER, off)
    assert names == ["O1 1s", "O1 2p", "H2 1s", "H3 1s"]
    assert float(errors[0, 0]) == pytest.approx((count + 1) / 2)
    assert float(errors.sum()) == pytest.approx((count + 1) / 2)
    drawn = pictures_of(BASIS, WATER, pos, H + off, H, 3)
    assert set(drawn) == {"matrix.png", "orbital_energies.png", "block_errors.png"}
    for name, draw in drawn.items():
        draw(path=tmp_path / name)
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
