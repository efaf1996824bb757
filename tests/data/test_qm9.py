"""QM9 from qm9pack's tables."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from ase import units

from intertwine.data import DATASETS, QM9, open_dataset
from intertwine.data.qm9 import convert, csv_files
from intertwine.numerics import DataError, InputError
from intertwine.tasks import TASKS

needs_qm9 = pytest.mark.skipif(
    importlib.util.find_spec("qm9pack") is None, reason='qm9pack is not installed: pip install "intertwine[qm9]"'
)


@needs_qm9
def test_methane_and_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path))
    store = open_dataset("qm9", limit=50, progress=False)
    assert len(store) == 50
    methane = store[0]
    assert methane.z.tolist() == [6, 1, 1, 1, 1]
    assert methane.pos[0].tolist() == [-0.0126981359, 1.0858041578, 0.0080009958]
    hartree = {
        "homo": -0.3877,
        "lumo": 0.1171,
        "gap": 0.5048,
        "zpve": 0.044749,
        "u0": -40.47893,
        "u": -40.476062,
        "h": -40.475117,
        "g": -40.498597,
    }
    for name, value in hartree.items():
        assert methane[name].item() == value * units.Hartree
        assert store.units[name] == "eV"
    for name, value in {"mu": 0.0, "alpha": 13.21, "r2": 35.3641, "cv": 6.469}.items():
        assert methane[name].item() == value
        assert store.units[name] == QM9[name].unit
    assert torch.allclose(
        store.field("gap"), store.field("lumo") - store.field("homo"), rtol=0, atol=1.01e-4 * units.Hartree
    )


@needs_qm9
def test_one_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path))
    graph = open_dataset("qm9", target="homo", limit=3, progress=False)[2]
    assert [name for name in QM9 if name in graph] == ["homo"]
    with pytest.raises(DataError, match="did you mean 'homo'"):
        open_dataset("qm9", target="homoo", limit=3, progress=False)


@needs_qm9
def test_raw_file_agrees(shared_data: Path) -> None:
    raw = open_dataset(str(shared_data / "formats/qm9_xyz/dsgdb9nsd_000001.xyz"), progress=False)[0]
    packed = convert(csv_files(), limit=1)[0]
    assert torch.equal(raw.pos, packed.pos)
    assert all(torch.equal(raw[name], packed[name]) for name in QM9)


def test_missing_package_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "intertwine\[qm9\]"'):
        csv_files()


def test_damaged_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "part.csv").write_text("Index,Elements\n1,\"['C']\"\n")
    with pytest.raises(DataError, match=r"part\.csv: line 2"):
        convert([tmp_path / "part.csv"])


def test_the_catalogue_is_honest() -> None:
    shapes = {"digits", "shapes", "spherical_digits", "voxels"}
    assert set(DATASETS) == {"ethanol", "nbody", "qm9", "structure", "water"} | shapes
    for info in DATASETS.values():
        assert info.target in info.targets
        assert info.task in TASKS
