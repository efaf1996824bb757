"""Readers: the right numbers from good files, named errors from bad ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import read, write
from bad_files import BAD_FILES, BOX, HEADER, frame

from intertwine.data import open_dataset
from intertwine.data.files import read_frames
from intertwine.numerics import DataError, InputError, IntertwineError


def opened(path: Path, **options):
    return open_dataset(str(path), progress=False, **options)


def written(folder: Path, text: str, name: str = "a.xyz") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named(case: str, tmp_path: Path) -> None:
    make, words = BAD_FILES[case]
    path = make(tmp_path)
    with pytest.raises(IntertwineError) as caught:
        opened(path)
    message = str(caught.value)
    assert str(path) in message
    for word in words:
        assert word in message
    assert "Remedy" in message


@pytest.mark.parametrize("energy", ["energy", "Energy", "energies", "total_energy", "REF_energy", "dft_energy"])
@pytest.mark.parametrize("forces", ["forces", "Forces", "force", "REF_forces"])
def test_usual_names(energy: str, forces: str, tmp_path: Path) -> None:
    text = frame(header=f"Properties=species:S:1:pos:R:3:{forces}:R:3 {energy}=-1.5")
    graph = opened(written(tmp_path, text))[0]
    assert graph.energy.tolist() == [-1.5]
    assert graph.forces.tolist() == [[0.1, 0.2, 0.3], [0.0, 0.0, -0.3], [-0.1, -0.2, 0.0]]
    assert graph.z.tolist() == [8, 1, 1]
    assert graph.pos.dtype == torch.float64


def test_mapping_and_units(tmp_path: Path) -> None:
    text = frame(header='Properties=species:S:1:pos:R:3:F:R:3 MyE=-2.0 energy=7 mu="1 2 3" homo=-0.25')
    path = written(tmp_path, text)
    given = {"energy": "kcal/mol", "dipole": "Debye", "pos": "Bohr", "homo": "Ha"}
    store = opened(path, keys={"energy": "MyE", "forces": "F", "dipole": "mu"}, units=given, target="homo")
    graph = store[0]
    assert graph.energy.item() == -2.0 * units.kcal / units.mol
    assert torch.equal(
        graph.forces[0], torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64) * (units.kcal / units.mol / units.Bohr)
    )
    assert torch.equal(graph.dipole, torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64) * units.Debye)
    assert graph.pos[1, 2].item() == 0.96 * units.Bohr
    assert graph.homo.item() == -0.25 * units.Hartree
    assert store.units["homo"] == "eV"
    said = next(note for note in store.notes if note.startswith("units as --unit says: pos in Bohr"))
    assert "energy in kcal/mol" in said
    assert "assumed" not in said


def test_wrong_mappings_are_errors(tmp_path: Path) -> None:
    path = written(tmp_path, frame())
    with pytest.raises(DataError, match="did you mean 'energy'"):
        opened(path, keys={"energy": "enrgy"})
    with pytest.raises(DataError, match="no 'homo'"):
        opened(path, target="homo")
    with pytest.raises(InputError, match="unknown unit"):
        opened(path, units={"energy": "parsec"})
    with pytest.raises(InputError, match="did you mean 'energy'"):
        opened(path, units={"enrgy": "eV"})
    for name in ("pos", "my_index", "num_nodes", "two words"):
        with pytest.raises(InputError, match="can't be called"):
            opened(path, keys={name: "forces"})
    with pytest.raises(InputError, match="nbody"):
        opened("nbdy")
    with pytest.raises(InputError, match="limit"):
        opened(path, limit=0)


def test_no_labels_is_said(tmp_path: Path) -> None:
    store = opened(written(tmp_path, "1\n\nH 0 0 0\n\n1\nfree words\nhe 1 2 3 9 9\n\n"))
    assert len(store) == 2
    assert store.species() == [1, 2]
    assert "no energy in the file" in store.notes
    assert "no forces in the file" in store.notes


def test_stress_in_every_form(tmp_path: Path) -> None:
    full = torch.tensor([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]], dtype=torch.float64)
    for text in (
        'stress="1 2 3 4 5 6"',
        'stress="1 6 5 6 2 4 5 4 3"',
        'virial="-125 -750 -625 -750 -250 -500 -625 -500 -375"',
    ):
        graph = opened(written(tmp_path, frame(header=f"{BOX.format('0 0 5')} {text}")))[0]
        assert torch.allclose(graph.stress, full[None], rtol=1e-14, atol=0)
        assert graph.pbc.all()


def test_a_box_of_unsaid_periodicity(tmp_path: Path) -> None:
    lattice = 'Lattice="{0} 0 0 0 {0} 0 0 0 {0}" '
    wide = opened(written(tmp_path, frame(header=lattice.format(50) + HEADER)))
    assert wide[0].get("cell") is None
    assert any("open" in note for note in wide.notes)
    assert opened(written(tmp_path, frame(header=lattice.format(10) + HEADER)))[0].pbc.all()
    stressed = frame(header=lattice.format(50) + HEADER + ' stress="0 0 0 0 0 0"')
    assert opened(written(tmp_path, stressed))[0].pbc.all()
    slab = opened(written(tmp_path, frame(header=lattice.format(50) + 'pbc="T T F" ' + HEADER)))[0]
    assert slab.pbc.tolist() == [[True, True, False]]


def test_lattice_vectors_are_rows(tmp_path: Path) -> None:
    graph = opened(written(tmp_path, frame(header='Lattice="4 0 0 1 5 0 0 2 6" pbc="T T T" ' + HEADER)))[0]
    assert graph.cell.tolist() == [[[4, 0, 0], [1, 5, 0], [0, 2, 6]]]


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz.gz", "a.db", "a.traj", "a.json"])
def test_what_ase_writes_comes_back(name: str, tmp_path: Path, generator: torch.Generator) -> None:
    images = []
    for size in (2, 3):
        pos = torch.randn(size, 3, generator=generator, dtype=torch.float64).numpy()
        atoms = Atoms(["Si"] * size, pos, cell=[[5, 0, 0], [1, 6, 0], [0, 0, 7]], pbc=[True, True, False])
        atoms.calc = SinglePointCalculator(atoms, energy=-3.0 * size, forces=pos * 2, stress=np.arange(6.0))
        images.append(atoms)
    path = tmp_path / name
    if name.endswith(".db"):
        with connect(str(path)) as database:
            for atoms in images:
                database.write(atoms)
    else:
        write(str(path), images)
    store = opened(path)
    assert len(store) == 2
    for graph, atoms in zip(store, images, strict=True):
        tolerance = 1e-7 if "xyz" in name else 0.0  # eight digits are written
        assert np.allclose(graph.pos.numpy(), atoms.positions, rtol=0, atol=tolerance)
        assert np.allclose(graph.forces.numpy(), atoms.get_forces(), rtol=0, atol=tolerance)
        assert graph.energy.item() == atoms.get_potential_energy()
        assert np.array_equal(graph.stress[0].numpy(), atoms.get_stress(voigt=False))
        assert np.array_equal(graph.cell[0].numpy(), np.array(atoms.cell))
        assert graph.pbc[0].tolist() == [True, True, False]


def test_rmd17_npz(tmp_path: Path, generator: torch.Generator) -> None:
    pos = torch.randn(4, 2, 3, generator=generator, dtype=torch.float64).numpy()
    np.savez(
        tmp_path / "a.npz",
        nuclear_charges=np.array([8, 1]),
        coords=pos,
        energies=np.arange(4.0),
        forces=pos * 3,
        old_indices=np.arange(4),
    )
    store = opened(tmp_path / "a.npz", limit=3)
    assert len(store) == 3
    assert torch.equal(store[2].pos, torch.from_numpy(pos[2]))
    assert store[2].energy.item() == 2 * units.kcal / units.mol
    assert torch.equal(store[1].forces, torch.from_numpy(pos[1] * 3 * (units.kcal / units.mol)))
    assert store.species() == [1, 8]
    assert "units those of rMD17: pos in A, energy in kcal/mol, forces in kcal/mol/A" in store.notes
    other = opened(tmp_path / "a.npz", units={"pos": "Bohr"})  # the energy stays that of the data set
    assert other[2].energy.item() == store[2].energy.item()
    assert other[1].pos[0, 0] == store[1].pos[0, 0] * units.Bohr


def test_npz_with_more_labels(tmp_path: Path) -> None:
    arrays = {"mu": np.arange(6.0).reshape(2, 3), "spin": np.arange(4.0).reshape(2, 2), "gap": np.array([1.0, 2.0])}
    np.savez(tmp_path / "a.npz", Z=np.array([8, 1]), R=np.zeros((2, 2, 3)), **arrays)
    store = opened(tmp_path / "a.npz", keys={"dipole": "mu", "spin": "spin"}, units={"dipole": "D"}, target="gap")
    graph = store[1]
    assert torch.equal(graph.dipole, torch.tensor([[3.0, 4.0, 5.0]], dtype=torch.float64) * units.Debye)
    assert graph.spin.tolist() == [2.0, 3.0]
    assert graph.gap.tolist() == [2.0]
    assert not [
        note for note in store.notes if "no energy" in note or "no forces" in note
    ]  # another label is asked for
    assert "no energy in the file" in opened(tmp_path / "a.npz").notes
    with pytest.raises(DataError, match="no array 'homo'"):
        opened(tmp_path / "a.npz", target="homo")
    with pytest.raises(InputError, match="which is not read"):
        opened(tmp_path / "a.npz", units={"enrgy": "eV"})


def test_shared_files_agree_with_ase(shared_data: Path) -> None:
    for name in (
        "rmd17/ethanol_train_01.xyz.gz",
        "crystals/high_level_water.xyz.gz",
        "formats/metatrain/carbon_reduced_100.xyz",
    ):
        store, images = opened(shared_data / name, limit=20), read(shared_data / name, index=":20")
        assert len(store) == len(images)
        for graph, atoms in zip(store, images, strict=True):
            assert np.array_equal(graph.pos.numpy(), atoms.positions)
            assert np.array_equal(graph.z.numpy(), atoms.numbers)
            forces = atoms.arrays["force"] if "force" in atoms.arrays else atoms.get_forces()
            assert np.array_equal(graph.forces.numpy(), forces)
            energy = atoms.info["Energy"] if "Energy" in atoms.info else atoms.get_potential_energy()
            assert graph.energy.item() == energy


def test_raw_qm9_and_sdf_and_schnetpack(shared_data: Path) -> None:
    store = opened(shared_data / "formats/qm9_xyz/dsgdb9nsd_023311.xyz")
    graph = store[0]
    assert graph.pos[3].tolist() == [-2.4805253906, -1.9984e-6, 0.2308073774]  # written -1.9984*^-6
    assert graph.homo.item() == -0.2316 * units.Hartree
    assert graph.cv.item() == 32.341
    assert len(opened(shared_data / "formats/sdf/gdb1k.sdf.gz")) == 1000
    database = opened(shared_data / "formats/asedb/test_qm9.db", target="homo")
    assert database[0].homo.item() == -0.3877 * units.Hartree
    assert database.units["homo"] == "eV"


def test_gzip_is_read_as_plain(tmp_path: Path) -> None:
    plain = opened(written(tmp_path, frame() * 3))
    (tmp_path / "b.xyz.gz").write_bytes(gzip.compress((frame() * 3).encode()))
    assert torch.equal(plain.field("forces"), opened(tmp_path / "b.xyz.gz").field("forces"))


@pytest.mark.parametrize(("words", "kind"), [(("7", "-3"), "i"), (("7.0", "1"), "f"), (("9" * 30, "1"), "f")])
def test_whole_numbers_stay_whole(words: tuple[str, str], kind: str, tmp_path: Path) -> None:
    """A column of integers, where it is one; as a label it is a number as all others."""
    rows = "\n".join(f"H 0 0 {k} {word}" for k, word in enumerate(words))
    path = written(tmp_path, f"2\nProperties=species:S:1:pos:I:3:atomid:I:1\n{rows}\n")
    (frame,) = read_frames(path)
    assert frame.columns["atomid"].dtype.kind == kind
    assert frame.columns["atomid"].tolist() == [float(word) for word in words]
    assert frame.positions.dtype == np.float64
    label = opened(path, keys={"tag": "atomid"})[0].tag
    assert label.dtype == torch.float64
    assert label.flatten().tolist() == [float(word) for word in words]


def test_a_limit_counts_what_it_leaves() -> None:
    store = opened("ethanol", limit=40)
    assert {(each.frames, each.of) for each in store.decisions} == {(40, 40)}
    assert {each.of for each in opened("ethanol").decisions} == {552}
