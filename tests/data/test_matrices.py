"""Matrices between orbitals as data: the embedded water set, files of labels, blocks of a crystal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine.data import open_dataset
from intertwine.data.hopping import geometry_of, read_hoppings
from intertwine.data.water import BASIS, water
from intertwine.geometry import Graph
from intertwine.numerics import DataError, InputError
from intertwine.orbitals import Basis, BlockLayout, orbital_matrix, overlap_matrix, reordered, spectrum
from intertwine.orbitals.basis import HARTREE
from intertwine.orbitals.named import pyscf_basis
from intertwine.orbitals.overlap import pair_overlap

h5py = pytest.importorskip("h5py")


def test_the_embedded_water_is_what_pyscf_computes() -> None:
    """Energies of orbitals in the embedded basis are those of the functional; the set is split in thirds."""
    pytest.importorskip("pyscf")
    from pyscf import dft, gto

    store = open_dataset("water", progress=False)
    assert (len(store), store.task, store.target) == (1500, "hamiltonian", "hamiltonian")
    assert [len(part) for part in (store.splits.train, store.splits.validation, store.splits.test)] == [500] * 3
    basis = Basis.from_json(store.about["basis"])
    assert basis == pyscf_basis("def2-svp", [1, 8])
    graph = store[0]
    mol = gto.M(atom=list(zip(graph.z.tolist(), graph.pos.tolist(), strict=True)), basis="def2-svp", verbose=0)
    method = dft.RKS(mol, xc="pbe").run(conv_tol=1e-11)
    H = orbital_matrix(BlockLayout(basis), graph.z, graph.hamiltonian) / HARTREE
    energies = spectrum(H, overlap_matrix(basis, graph.z, graph.pos)).energies
    np.testing.assert_allclose(energies, method.mo_energy, atol=1e-6)


def test_a_damaged_water_set_is_named(tmp_path: Path) -> None:
    (tmp_path / "water.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="missing or damaged"):
        water(path=tmp_path / "water.npz")
    assert Basis.from_json(BASIS.read_text()).name == "def2-svp"


def label_file(path: Path, **recipe: object) -> np.ndarray:
    """A file of labels as `intertwine label` writes it, of two molecules of hydrogen and one of water."""
    generator = np.random.default_rng(0)
    told = {"method": "pbe/sto-3g", "program": "pyscf", "basis": "sto-3g", "xc": "pbe", "spin": 0} | recipe
    with h5py.File(path, "w") as file:
        file.attrs["format"], file.attrs["schema"], file.attrs["recipe"] = "intertwine labels", 1, json.dumps(told)
        for number, (z, frames, n) in enumerate((([1, 1], [0, 2], 2), ([8, 1, 1], [1], 7))):
            group = file.create_group(f"molecules/{number:06d}")
            group["atomic_numbers"], group["frame"] = np.array(z), np.array(frames)
            group["conformations"] = generator.normal(size=(len(frames), len(z), 3))
            group["energy"] = generator.normal(size=len(frames))
            packed = generator.normal(size=(len(frames), n * (n + 1) // 2))
            group["hamiltonian"] = packed
            group["hamiltonian"].attrs["format"] = "packed symmetric matrix"
    return packed


def test_hamiltonians_of_a_file_of_labels(tmp_path: Path) -> None:
    packed = label_file(tmp_path / "labels.h5")
    store = open_dataset(tmp_path / "labels.h5", target="hamiltonian", progress=False)
    assert [store[k].z.tolist() for k in range(3)] == [[1, 1], [8, 1, 1], [1, 1]]
    basis = Basis.from_json(store.about["basis"])
    degrees = [shell.degree for z in (8, 1, 1) for shell in basis.of(z)]
    H = orbital_matrix(BlockLayout(basis), store[1].z, store[1].hamiltonian) / HARTREE
    theirs = reordered(H, degrees, "intertwine", "pyscf")
    np.testing.assert_allclose(theirs[torch.triu_indices(7, 7).unbind()], packed[0], atol=1e-13)
    label_file(tmp_path / "ions.h5", spin=1)
    with pytest.raises(DataError, match="open shells"):
        open_dataset(tmp_path / "ions.h5", target="hamiltonian")
    label_file(tmp_path / "none.h5", basis=None)
    with pytest.raises(DataError, match="no Hamiltonians"):
        open_dataset(tmp_path / "none.h5", target="hamiltonian")
    label_file(tmp_path / "strange.h5", basis="def2-strange")
    with pytest.raises(InputError, match="does not know the basis"):
        open_dataset(tmp_path / "strange.h5", target="hamiltonian")


def write_blocks(path: Path, table: dict[tuple[int, ...], np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for key, block in table.items():
            file[f"0/{'_'.join(map(str, key))}"] = block


def test_positions_are_solved_for_from_overlaps(tmp_path: Path) -> None:
    """A disordered crystal of four atoms, whose overlaps are computed, is found again, up to a translation."""
    basis = pyscf_basis("sto-3g", [6])
    sp = Basis("sp", {6: basis.of(6)[1:]})
    generator = torch.Generator().manual_seed(0)
    cell = 3.0 * torch.eye(3, dtype=torch.float64) + 0.3 * torch.rand(3, 3, generator=generator, dtype=torch.float64)
    pos = torch.rand(4, 3, generator=generator, dtype=torch.float64) @ cell
    shifts = torch.cartesian_prod(*[torch.arange(-1, 2)] * 3)
    table = {
        (i, j, *n.tolist()): pair_overlap(sp, 6, 6, ((pos[j] + n.double() @ cell - pos[i]) / 0.529177)[None])[0].numpy()
        for i in range(4)
        for j in range(4)
        for n in shifts
    }
    write_blocks(tmp_path / "overlaps.h5", table)
    made, lattice, sine = geometry_of(read_hoppings(tmp_path / "overlaps.h5"), float(cell.det().abs()))
    assert sine < 1e-6
    sign = float(torch.sign((lattice * cell).sum()))
    torch.testing.assert_close(sign * lattice, cell, rtol=0, atol=1e-7)
    torch.testing.assert_close(sign * made, pos - pos[:1], rtol=0, atol=1e-7)
    del table[0, 1, 0, 0, 0]
    write_blocks(tmp_path / "lacking.h5", table)
    with pytest.raises(DataError, match="not all of them"):
        read_hoppings(tmp_path / "lacking.h5")
    with pytest.raises(DataError, match="no blocks"):
        read_hoppings(tmp_path / "nothing.h5")


def test_silicons_overlaps_have_a_geometry(shared_data: Path) -> None:
    overlaps = read_hoppings(shared_data / "hamiltonian" / "si64_overlaps.h5")
    pos, cell, sine = geometry_of(overlaps, 8 * 5.431**3)
    assert sine < 1e-6
    torch.testing.assert_close(cell.abs().sum(1), torch.full((3,), 10.862, dtype=torch.float64), rtol=0, atol=1e-5)
    graph = Graph(pos, z=[14] * 64, cell=cell)
    assert graph.num_nodes == 64
    assert int((overlaps.i == overlaps.j).sum()) >= 64
