"""Who is trained on and who is tested on: shares and counts, what is left, isolated atoms; and the labels that a run
remembers.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine.cli.console import size
from intertwine.data import GraphStore, Splits, open_dataset
from intertwine.data.partition import divide
from intertwine.data.splits import count
from intertwine.geometry import Graph
from intertwine.numerics import InputError
from intertwine.tasks import References
from intertwine.training import DataOptions, evaluate, load_checkpoint, load_run, parse_settings, resolve, train
from intertwine.training.sets import open_sets

FORCES = torch.zeros(2, 3, dtype=torch.float64)


def store(n: int, splits: Splits | None = None) -> GraphStore:
    graphs = [Graph([[0.0, 0, 0], [0, 0, 1.0 + k / 10]], z=[1, 6], energy=float(k), forces=FORCES) for k in range(n)]
    return GraphStore.from_graphs(graphs, name="some", splits=splits)


def sizes(n: int, **options) -> tuple[list[int], list[str]]:
    data = store(n)
    parts = divide(data, **options)
    everything = torch.cat([parts.train, parts.validation, parts.test])
    assert len(everything.unique()) == len(everything)
    return [len(parts.train), len(parts.validation), len(parts.test)], data.notes


@pytest.mark.parametrize(
    ("given", "expected", "words"),
    [
        ({"train": 1.0}, [40, 0, 0], "no test set"),
        ({"train": 1}, [1, 4, 4], ""),
        ({"train": 0.9, "validation": 0.1}, [36, 4, 0], "no test set"),
        ({"train": 0.7, "validation": 0.2, "test_size": 0.1}, [28, 8, 4], ""),
        ({"train": 0.5, "test_size": 0.5}, [20, 0, 20], "no validation set"),
        ({"train": 0.9}, [36, 2, 2], ""),
        ({"train": 36}, [36, 2, 2], ""),
        ({"train": 40}, [40, 0, 0], "no validation set"),
        ({"train": 0.999999}, [39, 1, 0], "no test set"),
        ({"validation": 0.001}, [36, 0, 4], "the share 0.001 of 40 structures is none"),
        ({"test_size": 1e-9}, [36, 4, 0], "test: the share 1e-09"),
        ({}, [32, 4, 4], ""),
        ({"train": 20.0}, [20, 4, 4], ""),
    ],
)
def test_sizes(given: dict, expected: list[int], words: str) -> None:
    parts, notes = sizes(40, **given)
    assert parts == expected
    assert any(words in note for note in notes) or not (words or notes)


def test_shares_that_are_one_fill_any_set() -> None:
    for n in (7, 11, 41, 99, 101):
        for shares in ((0.9, 0.1), (0.8, 0.2), (2 / 3, 1 / 3)):
            (training, validation, test), _ = sizes(n, train=shares[0], validation=shares[1])
            assert (training + validation, test) == (n, 0)
    assert [count(share, 100, "train") for share in (0.29, 0.57, 0.58, 1.0)] == [29, 57, 58, 100]


@pytest.mark.parametrize(
    "given", [{"train": 0.001}, {"train": 0.9, "validation": 0.2}, {"train": 1.0, "test_size": 0.1}, {"train": 41}]
)
def test_what_does_not_fit(given: dict) -> None:
    with pytest.raises(InputError, match="Remedy"):
        sizes(40, **given)


def test_one_and_all_everywhere(tmp_path: Path) -> None:
    """On the command line, in TOML, in settings, and for prescribed parts."""
    for text, value in {"1": 1, "1.0": 1.0, "1.": 1.0, "1e0": 1.0, "0.5": 0.5, "400": 400, "4e2": 400}.items():
        found = size(text, "--train")
        assert (found, type(found)) == (value, type(value)), text
    for text in ("all", "", "1,0"):
        with pytest.raises(InputError, match="--train"):
            size(text, "--train")
    for text, kind in (("1", int), ("1.0", float)):
        assert type(resolve(parse_settings([f"data.train={text}"])).data.train) is kind
        resolved = resolve({"data": {"train": kind(1)}})
        resolved.save(tmp_path / "c.toml")
        assert f"train = {text}\n" in (tmp_path / "c.toml").read_text()
    own = store(10, Splits(range(6), [6, 7], [8, 9]))
    assert [len(divide(own, train=one).train) for one in (1, 1.0, 0.5)] == [1, 6, 3]


def water(folder: Path, n: int = 24) -> Path:
    """Water with energies of -50 eV and more, and isolated atoms among them: the first and the last two frames."""
    draw = np.random.default_rng(0)
    frames = []
    for _ in range(n):
        rows = draw.normal(size=(3, 6))
        lines = [f"{symbol} {' '.join(f'{x:.6f}' for x in row)}" for symbol, row in zip("OHH", rows, strict=True)]
        frames.append(
            "\n".join(
                ["3", f"REF_energy={-50 - draw.random():.6f} Properties=species:S:1:pos:R:3:REF_forces:R:3", *lines]
            )
        )
    atom = "1\nREF_energy={} config_type=IsolatedAtom Properties=species:S:1:pos:R:3\n{} 0 0 0"
    frames = [atom.format(-30.0, "O"), *frames, atom.format(-7.0, "H"), atom.format(-8.0, "H")]
    (folder / "water.xyz").write_text("\n".join(frames) + "\n")
    return folder / "water.xyz"


def test_isolated_atoms_are_references_and_never_tested(tiny: dict, tmp_path: Path) -> None:
    path = water(tmp_path)
    for seed in range(4):
        sets = open_sets(DataOptions(source=str(path), validation=6, test_size=6, seed=seed), progress=False)
        assert [len(sets.train), len(sets.validation), len(sets.test)] == [15, 6, 6]
        assert sets.splits.train[:3].tolist() == [0, 25, 26]
        assert not sets.validation.isolated().any()
        assert not sets.test.isolated().any()
    (tmp_path / "splits.json").write_text(json.dumps({"train": [0, 1, 2, 3], "validation": [25, 4], "test": [26, 5]}))
    sets = open_sets(DataOptions(source=str(path), indices=str(tmp_path / "splits.json")), progress=False)
    assert sets.splits.to_dict() == {"train": [0, 1, 2, 3], "validation": [4], "test": [5]}
    assert any("left out" in note for note in sets.source.notes)
    apart = open_sets(DataOptions(source=str(path), test=str(path)), progress=False)
    assert len(apart.test) == 24
    tiny["data"] = {"source": str(path), "validation": 4}
    tiny["training"]["epochs"] = 1
    run = load_run(train(tiny, progress=False, run=tmp_path / "run"))
    assert run.task.references.values[[8, 1]].tolist() == [-30.0, -8.0]
    scores = evaluate(run, open_dataset(str(path), progress=False))
    assert all(np.isfinite(errors["mae"]) for errors in scores.values())
    assert np.isfinite(scores["forces"]["size"])


def test_references_of_isolated_atoms_are_exact() -> None:
    """Pinned whatever the molecules say; a species without an atom of its own is fitted around them."""
    counts = torch.zeros(5, 119, dtype=torch.float64)
    for row, (h, c, o) in enumerate(((1, 0, 0), (2, 0, 1), (4, 1, 0), (4, 1, 1), (2, 1, 2))):
        counts[row, [1, 6, 8]] = torch.tensor([h, c, o], dtype=torch.float64)
    y = counts @ torch.linspace(-1, -2, 119, dtype=torch.float64) + torch.tensor([0.0, 0.3, -0.2, 0.1, 0.4])
    isolated = torch.tensor([True, False, False, False, False])
    references = References()
    rest = references.fit(counts, y, isolated)
    assert references.values[1] == y[0]
    assert rest[0] == 0
    normal = counts[1:, [6, 8]].T @ rest[1:]
    assert torch.allclose(normal, torch.zeros(2, dtype=torch.float64), atol=1e-12)  # least squares of what is free
    assert torch.allclose(y - counts @ references.values, rest, atol=1e-12)


def test_a_run_remembers_its_labels(tiny: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tiny["data"] = {"source": str(water(tmp_path)), "validation": 4}
    tiny["training"]["epochs"] = 1
    folder = train(tiny, run=tmp_path / "run")
    shown = capfd.readouterr().out
    assert "labels   energy  from REF_energy  of the structure" in shown
    assert "24 of 27 structures" in shown
    labels = json.loads((folder / "report.json").read_text())["labels"]
    assert [(each["label"], each["key"], each["frames"], each["of"]) for each in labels] == [
        ("energy", "REF_energy", 27, 27),
        ("forces", "REF_forces", 24, 27),
    ]
    assert load_checkpoint(folder / "last.safetensors")["labels"] == labels
    assert load_checkpoint(folder / "best.safetensors")["labels"] == labels


def test_the_test_file_is_read_as_the_data_are(tmp_path: Path) -> None:
    """A second family that only the test file has does not decide there."""
    path = water(tmp_path)
    text = path.read_text()
    both = text.replace("REF_energy=-50", "energy=3 REF_energy=-50").replace(
        "REF_energy=-51", "energy=3 REF_energy=-51"
    )
    (tmp_path / "both.xyz").write_text(both)
    (tmp_path / "other.xyz").write_text(text.replace("REF_", "dft_"))
    for name in ("both.xyz", "other.xyz"):
        sets = open_sets(DataOptions(source=str(path), test=str(tmp_path / name)), progress=False)
        assert torch.equal(sets.test.field("energy"), sets.source.field("energy")[1:25])
    assert any("other.xyz has labels of other names: energy from 'dft_energy'" in note for note in sets.source.notes)


def test_a_mixed_file_trains_on_the_stress_there_is(tiny: dict, tmp_path: Path) -> None:
    """Molecules, slabs and crystals in one file, in batches of all; a test set of molecules alone has no errors of
    stress.
    """
    draw, frames = np.random.default_rng(1), []
    for k in range(18):
        pbc = ("F F F", "T T F", "T T T")[k % 3]
        box = (
            ""
            if k % 3 == 0
            else f'Lattice="5 0 0 0 5 0 0 0 9" pbc="{pbc}" stress="{" ".join(f"{x:.5f}" for x in draw.normal(size=6))}"'
        )
        lines = [f"C {' '.join(f'{x:.5f}' for x in row)}" for row in draw.normal(size=(3, 6)) * 1.5]
        frames.append(
            "\n".join(["3", f"energy={-draw.random():.5f} Properties=species:S:1:pos:R:3:forces:R:3 {box}", *lines])
        )
    (tmp_path / "mixed.xyz").write_text("\n".join(frames) + "\n")
    indices = {"train": [1, 2, *range(5, 18)], "validation": [4], "test": [0, 3]}
    (tmp_path / "splits.json").write_text(json.dumps(indices))
    tiny["data"] = {"source": str(tmp_path / "mixed.xyz"), "indices": str(tmp_path / "splits.json")}
    tiny["training"]["epochs"] = 2
    folder = train(tiny, progress=False, run=tmp_path / "run")
    report = json.loads((folder / "report.json").read_text())
    assert set(report["test"]) == {"energy", "forces"}
    assert np.isfinite(report["validation"]["stress_mae"])
    assert not any("not drawn" in picture for picture in report["pictures"])
