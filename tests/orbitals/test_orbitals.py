"""Atomic orbitals beside PySCF: overlaps, orders and signs, blocks, rotations, orbital energies."""

from __future__ import annotations

import pytest
import torch

from intertwine import o3
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.orbitals import (
    Basis,
    BlockLayout,
    Shell,
    matrix_rotation,
    orbital_atoms,
    orbital_matrix,
    order_matrix,
    overlap_matrix,
    pair_blocks,
    reordered,
    spectrum,
)
from intertwine.orbitals.named import pyscf_basis

BASES = ["def2-svp", "def2-tzvp", "6-31g**", "cc-pvqz"]  # d, f, d, and g functions
NUMBERS = torch.tensor([8, 1, 1, 6])
gto = pytest.importorskip("pyscf.gto")


def positions(seed: int = 0) -> torch.Tensor:
    return 1.2 * torch.randn(4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def molecule(name: str, pos: torch.Tensor):
    return gto.M(atom=list(zip(NUMBERS.tolist(), pos.tolist(), strict=True)), basis=name, verbose=0)


def degrees(basis: Basis) -> list[int]:
    return [shell.degree for z in NUMBERS.tolist() for shell in basis.of(z)]


def symmetric(n: int, *batch: int) -> torch.Tensor:
    x = torch.randn(*batch, n, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x + x.mT


@pytest.mark.parametrize("name", BASES)
def test_the_overlap_is_pyscfs(name: str) -> None:
    basis, pos = pyscf_basis(name, NUMBERS.tolist()), positions()
    ours = reordered(overlap_matrix(basis, NUMBERS, pos), degrees(basis), "intertwine", "pyscf")
    theirs = torch.tensor(molecule(name, pos).intor("int1e_ovlp"))
    assert float((ours - theirs).abs().max()) < 3e-14


@pytest.mark.parametrize("name", BASES)
def test_kinetic_energies_and_attractions_of_pyscf_turn_as_our_orbitals(name: str) -> None:
    """An operator that PySCF computes of a molecule and of its mirror image, which we rotate into each other."""
    basis, pos = pyscf_basis(name, NUMBERS.tolist()), positions()
    isometry = -o3.rand_matrix(dtype=torch.float64)
    core = [
        reordered(torch.tensor(mol.intor("int1e_kin") + mol.intor("int1e_nuc")), degrees(basis), "pyscf", "intertwine")
        for mol in (molecule(name, pos), molecule(name, pos @ isometry.T))
    ]
    D = matrix_rotation(basis, NUMBERS, isometry)
    assert float((D @ core[0] @ D.T - core[1]).abs().max()) < 1e-11 * float(core[0].abs().max())


def test_overlaps_of_many_geometries_are_those_of_each_and_differentiable() -> None:
    basis = pyscf_basis("def2-svp", NUMBERS.tolist())
    pos = torch.stack([positions(0), positions(1)]).requires_grad_()
    both = overlap_matrix(basis, NUMBERS, pos)
    torch.testing.assert_close(both[1], overlap_matrix(basis, NUMBERS, pos[1]), rtol=0, atol=1e-14)
    small = Basis("small", {1: (Shell(0, (1.3, 0.2), (0.4, 0.6)), Shell(2, (0.7,), (1.0,)))})
    pair = positions()[:2].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: overlap_matrix(small, torch.tensor([1, 1]), x), pair)


@pytest.mark.parametrize("program", ["pyscf", "orca"])
def test_orders_lead_there_and_back(program: str) -> None:
    matrix, all_degrees = symmetric(25 + 9), [0, 1, 2, 3, 4, 4]
    there = reordered(matrix, all_degrees, "intertwine", program)
    torch.testing.assert_close(reordered(there, all_degrees, program, "intertwine"), matrix, rtol=0, atol=1e-14)
    A = order_matrix(all_degrees, program)
    torch.testing.assert_close(A @ A.T, torch.eye(34, dtype=torch.float64), rtol=0, atol=1e-14)


def test_orcas_orders_and_signs() -> None:
    """From PySCF's: p is z, x, y; f and g begin at m = 0, and |m| of 3 and 4 have the opposite sign."""
    A = order_matrix([1, 2, 3, 4], "orca", "pyscf")
    p, d, f, g = (A[s, s] for s in (slice(0, 3), slice(3, 8), slice(8, 15), slice(15, 24)))
    order = {"p": [2, 0, 1], "d": [2, 3, 1, 4, 0], "f": [3, 4, 2, 5, 1, 6, 0], "g": [4, 5, 3, 6, 2, 7, 1, 8, 0]}
    for name, block, flipped in (("p", p, 0), ("d", d, 0), ("f", f, 2), ("g", g, 4)):
        signs = torch.ones(len(block), dtype=torch.float64)
        if flipped:
            signs[-flipped:] = -1
        expected = torch.eye(len(block), dtype=torch.float64)[order[name]] * signs.unsqueeze(1)
        torch.testing.assert_close(block, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", BASES)
def test_blocks_are_the_matrix_and_turn_as_their_irreps(name: str) -> None:
    basis = pyscf_basis(name, NUMBERS.tolist())
    layout, n = BlockLayout(basis), len(orbital_atoms(basis, NUMBERS))
    H = symmetric(n, 2)
    y = pair_blocks(layout, NUMBERS, H)
    assert y.shape == (2, 16, layout.irreps.dim)
    torch.testing.assert_close(orbital_matrix(layout, NUMBERS, y), H, rtol=0, atol=1e-13)
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    shuffled = torch.randperm(16, generator=torch.Generator().manual_seed(2))
    back = orbital_matrix(layout, NUMBERS, y[:, shuffled], pairs[shuffled])
    torch.testing.assert_close(back, H, rtol=0, atol=1e-13)
    grid = y.unflatten(1, (4, 4))
    torch.testing.assert_close(layout.transposed(grid).transpose(1, 2), grid, rtol=0, atol=1e-13)
    isometry = -o3.rand_matrix(dtype=torch.float64)
    D = matrix_rotation(basis, NUMBERS, isometry)
    turned = pair_blocks(layout, NUMBERS, D @ H @ D.T)
    assert float((turned - y @ layout.irreps.D_from_matrix(isometry).T).abs().max()) < 1e-11
    norms = y.square().sum((1, 2)), H.square().sum((1, 2))
    torch.testing.assert_close(*norms, rtol=1e-12, atol=0)  # the map is orthogonal


def test_masks_say_which_orbitals_an_element_has() -> None:
    layout = BlockLayout(pyscf_basis("def2-svp", [1, 8]))
    mask = layout.mask(torch.tensor([8, 1]))
    assert mask.sum(1).tolist() == [14, 5]
    assert mask[1].nonzero().flatten().tolist() == [0, 1, 3, 4, 5]


def test_orbital_energies_are_pyscfs() -> None:
    from pyscf import scf

    basis, pos = pyscf_basis("def2-svp", NUMBERS.tolist()), positions()
    mol = molecule("def2-svp", pos)
    core = mol.intor("int1e_kin") + mol.intor("int1e_nuc")
    theirs = scf.hf.eig(core, mol.intor("int1e_ovlp"))[0]
    ours = reordered(torch.tensor(core), degrees(basis), "pyscf", "intertwine")
    S = overlap_matrix(basis, NUMBERS, pos)
    energies, C = spectrum(ours.expand(2, -1, -1), S.expand(2, -1, -1))
    torch.testing.assert_close(energies[1], torch.tensor(theirs), rtol=0, atol=1e-10)
    torch.testing.assert_close(C[0].T @ S @ C[0], torch.eye(len(S), dtype=torch.float64), rtol=0, atol=1e-11)


def test_a_basis_is_kept_as_text() -> None:
    basis = pyscf_basis("def2-tzvp", [1, 8])
    assert Basis.from_json(basis.to_json()) == basis


def test_bad_input_of_orbitals() -> None:
    basis = pyscf_basis("def2-svp", [1, 8])
    with pytest.raises(DataError, match="no shells for element 6"):
        overlap_matrix(basis, NUMBERS, positions())
    with pytest.raises(DataError, match="24 orbitals"):
        pair_blocks(BlockLayout(basis), torch.tensor([8, 1, 1]), symmetric(20))
    with pytest.raises(GeometryError, match="linearly dependent"):
        spectrum(torch.eye(2), torch.ones(2, 2))
    with pytest.raises(GeometryError, match="not finite"):
        spectrum(torch.full((2, 2), torch.nan), torch.eye(2))
    with pytest.raises(InputError, match="does not know the basis"):
        pyscf_basis("def2-nothing", [1])
    with pytest.raises(DataError, match="no shells for"):
        pyscf_basis("6-31g**", [92])
    with pytest.raises(InputError, match="no shell"):
        Shell(0, (-1.0,), (1.0,))
    with pytest.raises(InputError, match="sorted"):
        Basis("mine", {1: (Shell(1, (1.0,), (1.0,)), Shell(0, (1.0,), (1.0,)))})
    with pytest.raises(DataError, match="no basis"):
        Basis.from_json("{}")
    with pytest.raises(InputError, match="degree 5 in ORCA"):
        order_matrix([5], "orca")
    with pytest.raises(InputError, match="4 orbitals"):
        reordered(symmetric(3), [0, 1], "pyscf", "intertwine")
