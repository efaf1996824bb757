"""Folders and patterns of files: order, mixtures, what is passed over, and what is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.io import write
from bad_files import frame

from intertwine.data import declared_units, open_dataset, read_structures
from intertwine.numerics import DataError, InputError, IntertwineError

ATOMS = ("O 0.0 0.0 0.0 0.1 0.2 0.3", "H 0.0 0.0 0.96 0.0 0.0 -0.3", "H 0.93 0.0 -0.24 -0.1 -0.2 0.0")


def opened(source: Path | str, **options: Any) -> Any:
    return open_dataset(str(source), progress=False, **options)


def numbered(k: float, unit: str = "") -> str:
    """A molecule whose energy is its number."""
    return frame(header=f"Properties=species:S:1:pos:R:3:forces:R:3 energy={k}{unit}")


def filled(folder: Path, numbers: tuple[int, ...] = (1, 2, 10)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k in numbers:
        (folder / f"frame{k}.xyz").write_text(numbered(k))
    return folder


def test_files_come_in_natural_order(tmp_path: Path) -> None:
    folder = filled(tmp_path / "frames", (10, 2, 1, 100))
    for source in (folder, f"{folder}/*.xyz", f"{folder}/frame[0-9]*.xyz", f"{tmp_path}/**/*.xyz", f"{folder}/frame?*"):
        store = opened(source)
        assert store.field("energy").tolist() == [1, 2, 10, 100]
        assert "4 files in 1 format (4 .xyz)" in store.notes
    filled(tmp_path / "run10", (3, 1))
    filled(tmp_path / "run9", (4, 12))
    assert opened(f"{tmp_path}/run*/*.xyz").field("energy").tolist() == [4, 12, 1, 3]
    (folder / "frame3.xyz").write_text(numbered(3) + numbered(3.5))
    assert opened(folder).field("energy").tolist() == [1, 2, 3, 3.5, 10, 100]


def test_a_limit_opens_no_further_file(tmp_path: Path) -> None:
    folder = filled(tmp_path / "frames", (1, 2, 3))
    (folder / "frame4.xyz").write_text("broken")
    store = opened(folder, limit=3)
    assert len(store) == 3
    assert "the first 3 of 4 files in 1 format (3 .xyz)" in store.notes
    with pytest.raises(DataError, match=r"frame4\.xyz"):
        opened(folder, limit=4)


def test_formats_are_mixed(tmp_path: Path) -> None:
    folder = filled(tmp_path / "frames")
    (folder / "frame4.xyz.gz").write_bytes(gzip.compress(numbered(4).encode()))
    sites = [{"species": [{"element": e, "occu": 1}], "xyz": [float(k), 0.0, 0.0]} for k, e in enumerate("OHH")]
    molecule = {"@class": "Molecule", "sites": sites}
    (folder / "frame5.json").write_text(
        json.dumps([{"structure": molecule, "energy": 5.0, "forces": [[0.0, 0.0, 0.0]] * 3}])
    )
    np.savez(
        folder / "frame6.npz",
        Z=np.array([8, 1, 1]),
        R=np.ones((2, 3, 3)) * np.arange(3)[:, None],
        E=np.array([6.0, 6.5]),
        F=np.zeros((2, 3, 3)),
    )
    write(folder / "frame7.extxyz", Atoms("H2O", positions=np.eye(3)), format="extxyz")
    (folder / "frame7.extxyz").write_text(numbered(7))
    store = opened(folder)
    assert store.field("energy")[[0, 1, 2, 3, 6, 7]].tolist() == [1, 2, 4, 5, 7, 10]
    assert any("7 files in 4 formats" in note for note in store.notes)
    (folder / "frame8.xyz").write_text(frame(header="Properties=species:S:1:pos:R:3 energy=8"))
    with pytest.raises(DataError, match=r"frame8.xyz, frame 0 .*forces is missing"):
        opened(folder)


def test_files_of_different_units_are_brought_to_one(tmp_path: Path) -> None:
    (tmp_path / "a1.xyz").write_text(numbered(1.0, " energy_unit=Hartree forces_unit=Hartree/Bohr pos_unit=Bohr"))
    (tmp_path / "a2.xyz").write_text(numbered(2.0))
    (tmp_path / "a3.xyz").write_text(numbered(3.0, " energy_unit=kcal/mol"))
    store = opened(f"{tmp_path}/*.xyz")
    expected = [units.Hartree, 2.0, 3.0 * units.kcal / units.mol]
    assert np.allclose(store.field("energy").numpy(), expected, rtol=1e-14, atol=0)
    assert store[0].pos[1, 2].item() == pytest.approx(0.96 * units.Bohr, rel=1e-14)
    assert store[0].forces[0, 2].item() == pytest.approx(0.3 * units.Hartree / units.Bohr, rel=1e-14)
    assert store[1].pos[1, 2].item() == 0.96
    assert any("different units" in note for note in store.notes)
    for name in ("a1", "a3"):
        (tmp_path / f"{name}.xyz").unlink()
    assert opened(tmp_path, units={"energy": "Hartree"}).field("energy").tolist() == [2 * units.Hartree]


def test_what_is_passed_over_is_said(tmp_path: Path) -> None:
    folder = filled(tmp_path / "frames")
    filled(folder / "inside")
    for name in (".hidden.xyz", ".DS_Store", "README.md", "notes.txt", "mesh.off"):
        (folder / name).write_text("not a structure")
    store = opened(folder)
    assert len(store) == 3
    assert "passed over: 2 hidden files" in store.notes
    assert "passed over: 1 folder inside" in store.notes
    assert any(
        "passed over: 3 files of endings that are not read" in note and ".off" in note and ".txt" in note
        for note in store.notes
    )


def test_a_file_named_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].xyz").write_text(numbered(5))
    (tmp_path / "a1.xyz").write_text(numbered(6))
    assert opened(tmp_path / "a[1].xyz").field("energy").tolist() == [5]


def _folder(**files: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        for name, text in files.items():
            path = folder / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return str(folder)

    return make


GOOD = numbered(1)
#: case -> (what makes the source, words of the message).
BAD: dict[str, tuple[Callable[[Path], str], tuple[str, ...]]] = {
    "empty folder": (_folder(), ("a folder without files",)),
    "only hidden files": (_folder(_xyz=GOOD), ("a folder without files",)),
    "only folders": (_folder(sub__a_xyz=GOOD), ("a folder without files", "1 folder", "**/*.xyz")),
    "meshes": (_folder(a_off="OFF", b_ply="ply", c_off="OFF"), ("a.off", "the file is truncated")),
    "volumes": (_folder(a_stl="solid", b_obj="v", c_stl="solid"), (".stl, .obj",)),
    "texts": (_folder(a_txt="hello", b_csv="1,2"), ("no file of a format that is read", ".txt", ".csv")),
    "no match": (lambda folder: f"{_folder(a_xyz=GOOD)(folder)}/*.cif", ("no file matches", "*.cif")),
    "folders match": (lambda folder: f"{_folder(sub__a_xyz=GOOD)(folder)}/s*", ("only folders match",)),
    "one file is broken": (_folder(a_xyz=GOOD, b_xyz="3\n\nH 0 0 0\n"), ("b.xyz, frame 0", "1 of 3 atoms")),
    "one file is empty": (_folder(a_xyz=GOOD, b_xyz=""), ("b.xyz", "the file is empty")),
    "one file is blank": (_folder(a_xyz=GOOD, b_xyz="\n\n"), ("b.xyz", "no structures")),
    "a run's or another folder": (_folder(header_json="{}", pos_npy="x"), ("header.json", "pymatgen")),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_source_is_named(case: str, tmp_path: Path) -> None:
    make, words = BAD[case]
    source = make(tmp_path)
    with pytest.raises(IntertwineError) as caught:
        opened(source)
    for word in (*words, "Remedy"):
        assert word in str(caught.value)


def test_units_for_a_folder_with_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", Z=np.array([8]), R=np.zeros((1, 1, 3)), E=np.zeros(1))
    with pytest.raises(InputError, match=r"a.npz"):
        opened(tmp_path, units={"energy": "kcal/mol"})


def test_structures_to_be_used_come_from_folders_too(tmp_path: Path) -> None:
    """In natural order, each file in the units that it declares itself, and with the same errors."""
    folder = filled(tmp_path / "frames")
    write(folder / "frame3.cif", Atoms("Si2", positions=[(0, 0, 0), (1.3, 1.3, 1.3)], cell=[4, 4, 4], pbc=True))
    (folder / "frame4.xyz").write_text(frame(header="Properties=species:S:1:pos:R:3:forces:R:3 energy=4 pos_unit=Bohr"))
    found = read_structures(folder, progress=False)
    assert [len(atoms) for atoms in found.atoms] == [3, 3, 2, 3, 3]  # 1, 2, 3, 4, 10
    np.testing.assert_allclose(found.atoms[3].positions, found.atoms[0].positions * units.Bohr, rtol=1e-15)
    assert any("as the file declares" in note for note in found.notes)
    (folder / "README.md").write_text("about")
    assert any("passed over: 1 file of endings" in note for note in read_structures(folder, progress=False).notes)
    assert len(read_structures(f"{folder}/*.xyz", progress=False, limit=3).atoms) == 3
    assert declared_units(f"{folder}/frame4*") == {"pos": "Bohr"}
    with pytest.raises(DataError, match="no file matches"):
        read_structures(f"{folder}/*.traj", progress=False)
