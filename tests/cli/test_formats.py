"""One command trains on each format: HDF5, SDF with a field as target, pymatgen's JSON, a folder and a pattern of
files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import write
from child_processes import SMALL
from ethanol_springs import ethanol_frames

from intertwine.data import read_structures

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
        outputs = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces().tolist(),
            "virial_stress": [0.0] * 6,
        }
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


def test_a_folder_and_a_pattern(run_cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a run without a name is made below the folder where one is
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
    ("name", "options", "targets"),
    [
        ("formats/hdf5/SPICE-1.1.4_n2.hdf5", (), {"energy", "forces"}),
        ("formats/hdf5/ani1_n5.hdf5", (), {"energy"}),
        ("formats/hdf5/qm9_dataset_v1.1_ntc_10.hdf5", ("--key", "gap=lumo-homo_gap", "--target", "gap"), {"gap"}),
        ("formats/sdf/gdb1k.sdf.gz", ("--target", "total_charge"), {"total_charge"}),
        ("formats/asedb/test_qm9.db", ("--target", "gap"), {"gap"}),
        ("formats/qm9_xyz", ("--target", "gap"), {"gap"}),
        ("formats/qm9_xyz/*_0[0-2]*.xyz", ("--target", "u0"), {"u0"}),
        *(
            (f"crystals/{element}_training.json.gz", (), {"energy", "forces", "stress"})
            for element in ("Ge", "Li", "Mo", "Si")
        ),
    ],
)
def test_shared_files(
    name: str, options: tuple[str, ...], targets: set[str], run_cli: Any, shared_data: Path, tmp_path: Path
) -> None:
    """One command trains, another predicts for the same structures; what is not said is the default."""
    source, run, found = shared_data / name, tmp_path / "run", tmp_path / "found.json"
    result = run_cli(
        "train", source, "--epochs", 1, "--limit", 10, *SMALL, "--set", "training.certify=false", "--run", run, *options
    )
    assert result.exit_code == 0, result.output
    assert json.loads((run / "report.json").read_text())["epochs"] == 1
    first = tmp_path / "first.traj"
    write(first, read_structures(source, limit=2, progress=False).atoms)
    for output in (found, found.with_suffix(".xyz")):
        result = run_cli("predict", run, first, "-o", output)
        assert result.exit_code == 0, result.output
    assert targets <= set(json.loads(found.read_text())["predictions"][0])


def test_what_no_file_says_is_refused_by_name(run_cli: Any, shared_data: Path) -> None:
    """A drawing without labels, and a quantity whose name is no word."""
    result = run_cli("train", shared_data / "formats/sdf/example.sdf", *QUICK)
    assert result.exit_code == 2
    assert "which label to learn?" in result.stderr
    assert "--target NAME" in result.stderr
    result = run_cli(
        "train", shared_data / "formats/hdf5/qm9_dataset_v1.1_ntc_10.hdf5", *QUICK, "--target", "lumo-homo_gap"
    )
    assert result.exit_code == 2
    assert "--key homo='lumo-homo_gap'" in result.stderr


def test_predictions_for_a_folder_are_certified_and_those_of_its_files(run_cli: Any, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for k, atoms in enumerate(ethanol_frames(14)):
        write(folder / f"frame{k}.xyz", atoms, format="extxyz")
    trained(run_cli, folder, "--run", tmp_path / "run")
    whole, one = tmp_path / "whole.json", tmp_path / "one.json"
    for source, output in ((folder, whole), (folder / "frame13.xyz", one)):
        result = run_cli("predict", tmp_path / "run", source, "-o", output)
        assert result.exit_code == 0, result.output
    all_of_them, last = (json.loads(path.read_text())["predictions"] for path in (whole, one))
    assert len(all_of_them) == 14
    np.testing.assert_allclose(all_of_them[13]["forces"], last[0]["forces"], rtol=1e-5, atol=1e-7)
    result = run_cli("evaluate", tmp_path / "run", f"{folder}/frame1*.xyz", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["structures"] == 5
    assert run_cli("certify", tmp_path / "run").exit_code == 0
