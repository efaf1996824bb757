"""``tests/cases``: inputs that once went wrong (the table in its README), those about reading files and labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.data import GraphStore, open_dataset
from intertwine.data.files import read_frames
from intertwine.numerics import DataError
from intertwine.training import load_run

CASES = Path(__file__).resolve().parent / "cases"
SMALL = ["--model", "painn", "--epochs", "1"]
SMALL += ["--set=model.width=4", "--set=model.layers=1", "--set=training.certify=false"]


def opened(name: str, **options) -> GraphStore:
    return open_dataset(str(CASES / name), progress=False, **options)


def trained(folder: Path, name: str, *options: str) -> tuple[dict, str]:
    """The report of a run on the command line, and what it printed."""
    result = CliRunner().invoke(app, ["train", str(CASES / name), *SMALL, "--run", str(folder / "run"), *options])
    assert result.exit_code == 0, result.output
    return json.loads((folder / "run" / "report.json").read_text()), result.output


def number(line: str, key: str) -> float:
    return float(line.split(f"{key}=")[1].split()[0])


def comments(name: str) -> list[str]:
    """The comment lines of an xyz file, by counting."""
    lines, found, at = (CASES / name).read_text().splitlines(), [], 0
    while at < len(lines):
        found.append(lines[at + 1])
        at += 2 + int(lines[at])
    return found


def test_keys_upper_case() -> None:
    store = opened("keys-upper-case.xyz")
    assert store.field("pbc").all()
    assert store.field("energy").tolist() == [number(line, "Energy") for line in comments("keys-upper-case.xyz")]
    for graph, line in zip(store, comments("keys-upper-case.xyz"), strict=True):
        cell, virial = (
            np.array(line.split(f'{key}="')[1].split('"')[0].split(), dtype=float).reshape(3, 3)
            for key in ("LATTICE", "Virial")
        )
        assert np.array_equal(graph.cell[0].numpy(), cell)
        assert np.allclose(graph.stress[0].numpy(), -virial / np.linalg.det(cell), rtol=1e-12, atol=0)


def test_two_label_families() -> None:
    store = opened("two-label-families.xyz")
    frames = list(read_frames(CASES / "two-label-families.xyz"))
    assert torch.equal(
        store.field("forces"), torch.from_numpy(np.concatenate([frame.columns["REF_forces"] for frame in frames]))
    )
    assert store.field("energy").tolist() == [number(line, "REF_energy") for line in comments("two-label-families.xyz")]
    assert any("several families" in note and "--key" in note for note in store.notes)


def test_energy_and_free_energy() -> None:
    store = opened("energy-and-free-energy.xyz")
    assert store.field("energy").tolist() == [
        number(line, "free_energy") for line in comments("energy-and-free-energy.xyz")
    ]
    assert any("free_energy" in note and "derivative" in note for note in store.notes)


def test_isolated_atoms(tmp_path: Path) -> None:
    report, output = trained(tmp_path, "isolated-atoms.xyz")
    assert "isolated atoms (H, O)" in output
    values = load_run(tmp_path / "run").task.references.values
    assert (values[1].item(), values[8].item()) == (-13.6, -432.1)
    splits = json.loads((tmp_path / "run" / "splits.json").read_text())
    assert {0, 1} <= set(splits["train"])
    assert not {0, 1} & {*splits["validation"], *splits["test"]}
    assert report["structures"]["train"] + report["structures"]["validation"] + report["structures"]["test"] == 26


def test_mulliken_column() -> None:
    store = opened("mulliken-column.xyz")
    assert store.field("energy").tolist() == [number(line, "energy") for line in comments("mulliken-column.xyz")]
    assert any("mulliken" in note for note in store.notes)


@pytest.mark.parametrize("label", ["stress", "virial"])
def test_molecules_and_crystals(label: str, tmp_path: Path) -> None:
    name = f"molecules-and-crystals-{label}.xyz"
    store, both = opened(name), [opened(f"molecules-and-crystals-{one}.xyz") for one in ("stress", "virial")]
    for k, graph in enumerate(store):
        assert bool(graph.pbc.all()) == (len(graph.z) == 4)
        assert graph.stress.isnan().all() == (len(graph.z) == 2)
        # eight digits are written
        assert torch.allclose(both[0][k].stress, both[1][k].stress, rtol=0, atol=1e-8, equal_nan=True)
    _, output = trained(tmp_path, name)
    assert "12 of 24 structures repeat along fewer than two vectors and have no stress" in output.replace("\n", " ")


def test_dump_without_elements() -> None:
    with pytest.raises(
        DataError,
        match=r"dump-without-elements\.lammpstrj, frame 0.*types and no elements[\s\S]*Remedy: say which elements",
    ):
        opened("dump-without-elements.lammpstrj")


def test_deuterium() -> None:
    assert opened("deuterium.xyz")[0].z.tolist() == [8, 1, 1]
    assert np.allclose(
        next(read_frames(CASES / "deuterium.xyz")).columns["masses"], [15.999, 2.014, 2.014], rtol=0, atol=2e-3
    )


def test_byte_order_mark() -> None:
    store = opened("byte-order-mark.xyz")
    assert torch.equal(store.field("pos"), opened("deuterium.xyz").field("pos"))
    assert store[3].energy.item() == -17.23


def test_archive() -> None:
    store = opened("archive.tar.gz")
    assert len(store) == 4
    assert {"energy", "forces"} <= store.fields.keys()


def test_energy_in_comment(tmp_path: Path) -> None:
    store = opened("energy-in-comment-orca.xyz", keys={"energy": "comment:1"})
    assert [round(float(energy), 10) for energy in store.field("energy")] == [
        round(-17.2 - 0.01 * k, 10) for k in range(12)
    ]
    result = CliRunner().invoke(
        app, ["train", str(CASES / "energy-in-comment-orca.xyz"), *SMALL, "--run", str(tmp_path / "none")]
    )
    assert result.exit_code == 2
    assert "--key energy=comment:1" in result.output.replace("\n", " ")
    _, output = trained(tmp_path, "energy-in-comment-orca.xyz", "--key", "energy=comment:1")
    assert "from comment:1" in output


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        (["--train", "1.0"], [40, 0, 0]),
        (["--train", "0.9", "--validation", "0.1"], [36, 4, 0]),
        (["--train", "1"], [1, 4, 4]),
    ],
)
def test_forty(options: list[str], sizes: list[int], tmp_path: Path) -> None:
    report, output = trained(tmp_path, "forty.xyz", *options)
    assert list(report["structures"].values()) == sizes
    assert ("no test set" in output) == (sizes[2] == 0)
