"""One command trains on each format: HDF5, SDF with a field as target, pymatgen's JSON, a folder and a pattern of files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import write
from conftest import SMALL, ethanol_frames

QUICK = [*SMALL, "--epochs", 1, "--model", "painn", "--limit", 12, "--json", "--set", "training.certify=false"]


def trained(run_cli: Any, source: Path | str, *options: object) -> dict[str, Any]:
    result = run_cli("train", source, *QUICK, *options)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert sum(report["structures"].values()) == 12
    return report


def spice_file(path: Path) -> Path:
    """Ethanol in the layout of SPICE, without its units: Bohr and Hartree."""
    h5py = pytest.importorskip("h5py")
    frames = ethanol_frames(14)
    with h5py.File(path, "w") as file:
        group = file.create_group("CCO")
        group["atomic_numbers"] = frames[0].numbers
        group["conformations"] = np.array([atoms.positions for atoms in frames]) / 0.529177
        group["dft_total_energy"] = np.array([atoms.get_potential_energy() for atoms in frames]) / 27.2114
        group["dft_total_gradient"] = -np.array([atoms.get_forces() for atoms in frames]) * 0.529177 / 27.2114
    return path


def sdf_file(path: Path) -> Path:
    for k, atoms in enumerate(ethanol_frames(14)):
        write(path.with_name("one.sdf"), atoms, format="sdf")
        text = path.with_name("one.sdf").read_text()
        with path.open("a") as file:
            file.write(text.replace("$$$$", f"> <homo>\n{-0.2 - 0.01 * k}\n\n$$$$"))
    path.with_name("one.sdf").unlink()
    return path


def json_file(path: Path) -> Path:
    records = []
    for atoms in ethanol_frames(14):
        abc = (atoms.positions / 8).tolist()
        sites = [{"species": [{"element": s, "occu": 1}], "abc": x} for s, x in zip(atoms.symbols, abc, strict=True)]
        structure = {"@class": "Structure", "lattice": {"matrix": (8 * np.eye(3)).tolist()}, "sites": sites}
        outputs = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces().tolist(), "virial_stress": [0.0] * 6}
        records.append({"structure": structure, "outputs": outputs})
    path.write_text(json.dumps(records))
    return path


def test_hdf5(run_cli: Any, tmp_path: Path) -> None:
    report = trained(run_cli, spice_file(tmp_path / "spice.hdf5"), "--run", tmp_path / "run")
    assert set(report["test"]) >= {"energy", "forces"}
    assert any("dft_forces = -dft_total_gradient" in note for note in report["notes"])


def test_sdf_with_a_field_as_target(run_cli: Any, tmp_path: Path) -> None:
    report = trained(run_cli, sdf_file(tmp_path / "molecules.sdf"), "--target", "homo", "--run", tmp_path / "run")
    assert set(report["test"]) == {"homo"}


def test_pymatgen_json(run_cli: Any, tmp_path: Path) -> None:
    report = trained(run_cli, json_file(tmp_path / "records.json"), "--run", tmp_path / "run")
    assert set(report["test"]) >= {"energy", "forces"}
    assert any("stress = -virial_stress" in note for note in report["notes"])


def test_a_folder_and_a_pattern(run_cli: Any, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for k, atoms in enumerate(ethanol_frames(14)):
        write(folder / f"frame{k}.xyz", atoms, format="extxyz")
    one = trained(run_cli, folder, "--run", tmp_path / "one", "--seed", 1)
    other = trained(run_cli, f"{folder}/*.xyz", "--seed", 1)  # the run is named after what the pattern leaves
    assert "the first 12 of 14 files in 1 format (12 .xyz)" in one["notes"]
    assert one["test"] == other["test"]
    assert Path(other["run"]).name.startswith("frames-painn-")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("formats/hdf5/SPICE-1.1.4_n2.hdf5", ()),
        ("formats/sdf/gdb1k.sdf.gz", ("--target", "total_charge")),
        ("crystals/Li_training.json.gz", ()),
    ],
)
def test_shared_files(name: str, options: tuple[str, ...], run_cli: Any, shared_data: Path, tmp_path: Path) -> None:
    trained(run_cli, shared_data / name, *options, "--run", tmp_path / "run")
