"""predict says where its numbers mean little: a run that a baseline beats, and structures far outside of its data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from ethanol_springs import ethanol_frames
from switches import as_users_run_it

from intertwine.data.suspicion import Seen
from intertwine.integrations import Calculator
from intertwine.numerics import Caution
from intertwine.training import evaluate, load_run
from intertwine.training.summary import doubts

pytestmark = pytest.mark.usefixtures("own_folder")
FAR = "warning: far outside of the training data of "


def squeezed(atoms: Atoms) -> None:
    atoms.positions[0] = atoms.positions[1] + [0.5, 0.0, 0.0]


def pulled(atoms: Atoms) -> None:
    atoms.positions[8] += 9.0


def shrunk(atoms: Atoms) -> None:
    atoms.positions *= 0.5


def lines(result: Any, start: str) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith(start)]


@pytest.mark.parametrize("which", [[0], [2, 5], [1, 2, 3, 4, 5, 6, 7]])
@pytest.mark.parametrize(
    ("move", "how"), [(squeezed, "A apart, in training no nearer"), (pulled, "nearest neighbour"), (shrunk, "apart")]
)
def test_structures_far_outside_are_one_line(
    which: list[int], move: Callable[[Atoms], None], how: str, trained: Any, run_cli: Any
) -> None:
    frames = ethanol_frames(9)
    for k in which:
        move(frames[k])
        frames[k].calc.atoms = frames[k].copy()  # its labels are those of where it is now
    write("far.xyz", frames, format="extxyz")
    result = run_cli("predict", trained[0], "far.xyz", "-o", "out.xyz")
    assert result.exit_code == 0, result.output
    (line,) = lines(result, FAR)
    named = ", ".join(map(str, which[:5]))
    assert f"{len(which)} of 9 structures, far.xyz, frame{'s' * (len(which) > 1)} {named}" in line
    assert how in line or "has no neighbour within" in line
    assert line.endswith("leave them out, or train on structures like them")
    written = read("out.xyz", ":")
    assert len(written) == 9
    for atoms, given in zip(written, frames, strict=True):
        assert np.allclose(atoms.positions, given.positions, atol=1e-7)
        assert np.allclose(atoms.get_forces(), given.calc.results["forces"], atol=1e-7)
        assert np.isfinite(atoms.info["predicted_energy"])


def test_the_training_data_are_not_far(trained: Any, run_cli: Any, ethanol_file: Path) -> None:
    for command in ("predict", "evaluate"):
        assert "far outside" not in run_cli(command, trained[0], ethanol_file).stderr


def test_evaluate_says_it_too(trained: Any, run_cli: Any) -> None:
    frames = ethanol_frames(5)
    squeezed(frames[3])
    frames[3].calc.atoms = frames[3].copy()
    write("far.xyz", frames, format="extxyz")
    (line,) = lines(run_cli("evaluate", trained[0], "far.xyz"), FAR)
    assert "1 of 5 structures, far.xyz, frame 3 (counted from 0)" in line


def test_a_run_without_what_it_has_seen_says_nothing(trained: Any, run_cli: Any) -> None:
    """As those of former versions."""
    folder = Path(shutil.copytree(trained[0], "former"))
    (folder / "seen.npz").unlink()
    frames = ethanol_frames(2)
    squeezed(frames[0])
    write("far.xyz", frames, format="extxyz")
    result = run_cli("predict", folder, "far.xyz")
    assert result.exit_code == 0
    assert not lines(result, FAR)


def with_ratio(folder: Path, ratio: float, **more: Any) -> Path:
    """A copy of a run whose errors over its baseline's are these."""
    copy = Path(shutil.copytree(folder, f"run-{ratio:g}-{len(more)}"))
    report = json.loads((copy / "report.json").read_text()) | more
    for errors in report["test"].values():
        errors["ratio"] = dict.fromkeys(("mae", "rmse"), ratio)
    (copy / "report.json").write_text(json.dumps(report))
    return copy


@pytest.mark.parametrize(
    ("ratio", "more", "words"),
    [
        (2.0, {}, "the baseline is better than the model in energy and forces|train longer: 2 epochs"),
        (0.95, {}, "the model is hardly better than the baseline in energy and forces|train longer: 2 epochs"),
        (2.0, {"epochs": 900, "steps": 90000}, "the baseline is better|train longer, on more data"),
        (2.0, {"suspicions": {"train": ["energy"]}}, "the baseline is better|the data are suspicious"),
        (0.1, {}, ""),
    ],
)
def test_a_run_that_a_baseline_beats_says_so_in_one_line(
    ratio: float, more: dict[str, Any], words: str, trained: Any, run_cli: Any, ethanol_file: Path
) -> None:
    """With the remedy that the run's own report gave; the calculator warns of the same."""
    folder = with_ratio(trained[0], ratio, **more)
    result = run_cli("predict", folder, ethanol_file, "--json")
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)) == 20
    said = [line for line in lines(result, "warning:") if "baseline" in line]
    assert [line.removeprefix("warning: ") for line in said] == doubts(load_run(folder))
    assert len(said) == bool(words)
    if words:
        assert all(word in said[0] for word in words.split("|"))
        assert "its predictions mean little" in said[0]
        with pytest.warns(Caution, match=words.partition("|")[0]):
            Calculator(folder)


@pytest.mark.parametrize("command", ["relax", "md", "export"])
def test_what_is_made_with_a_run_says_it_once(command: str, trained: Any, run_cli: Any) -> None:
    folder = with_ratio(trained[0], 2.0)
    write("start.xyz", ethanol_frames(1), format="extxyz")
    made = {"relax": "a.xyz --steps 1", "md": "a.traj --every 1 --steps 1", "export": "a.pt2 --example start.xyz"}
    start = [] if command == "export" else ["start.xyz"]
    with as_users_run_it():  # a program of tensors is traced, which a check of annotations is not made for
        result = run_cli(command, folder, *start, "-o", *made[command].split())
    assert Path(made[command].split()[0]).is_file(), result.output
    assert len([line for line in lines(result, "warning:") if "the baseline is better" in line]) == 1


def test_distances_are_known_without_energies_and_forces(trained: Any) -> None:
    """Of a run on another label, whose reach is that of its distances."""
    from intertwine.data import GraphStore
    from intertwine.data.suspicion import Domain, Frames
    from intertwine.geometry import Graph

    graphs = [Graph(a.positions, z=a.numbers, homo=[float(k)]) for k, a in enumerate(ethanol_frames(20))]
    domain = Domain.of(Frames.of_store(GraphStore.from_graphs(graphs)))
    for move in (squeezed, pulled, shrunk):
        (atoms,) = ethanol_frames(1)
        assert domain.departures_of(Frames.of_structures([atoms], "a"), 0, -1e9, np.full((9, 3), 1e9)) == []
        move(atoms)
        assert domain.departures_of(Frames.of_structures([atoms], "a"), 0)
    seen = Seen.load(trained[0] / "seen.npz")
    assert (
        seen.domain.departures_of(Frames.of_structures([Atoms("H")], "a"), 0) == []
    )  # an isolated atom is no structure


@pytest.mark.parametrize(
    ("lacking", "left"),
    [
        ({"energy": [3], "forces": [3]}, ["energy and forces: 1 of 8 structures, which have none: part.xyz, frame 3"]),
        (
            {"energy": [0, 7], "forces": [0, 2, 7]},
            ["energy: 2 of 8 structures, which have none: part.xyz, frames 0, 7",
             "forces: 3 of 8 structures, which have none: part.xyz, frames 0, 2, 7"],
        ),
        ({"energy": [], "forces": [1, 2]}, ["forces: 2 of 8 structures, which have none: part.xyz, frames 1, 2"]),
        ({"energy": list(range(7)), "forces": list(range(7))}, ["frames 0, 1, 2, 3, 4; and 2 more"]),
    ],
)  # fmt: skip
def test_a_file_that_is_labelled_in_part_is_scored(
    lacking: dict[str, list[int]], left: list[str], trained: Any, run_cli: Any
) -> None:
    """Each error is that of the structures that have the label, alone in a file."""
    frames = ethanol_frames(8)
    for label, which in lacking.items():
        for k in which:
            del frames[k].calc.results[label]
    write("part.xyz", frames, format="extxyz")
    result = run_cli("evaluate", trained[0], "part.xyz", "--json")
    assert result.exit_code == 0, result.stderr
    said = lines(result, "note: left out of the errors")
    assert len(said) == len(left)
    for line, words in zip(said, left, strict=True):
        assert words in line
    told = json.loads(result.stdout)
    assert told["structures"] == 8 - len(set(lacking["energy"]) & set(lacking["forces"]))
    for label, which in lacking.items():
        kept = [atoms for k, atoms in enumerate(ethanol_frames(8)) if k not in which]
        write("kept.xyz", kept, format="extxyz")
        alone = json.loads(run_cli("evaluate", trained[0], "kept.xyz", "--json").stdout)["errors"][label]
        for figure in ("mae", "rmse"):
            assert told["errors"][label][figure] == pytest.approx(alone[figure], rel=1e-5)
            assert told["errors"][label]["baseline"][figure] == pytest.approx(alone["baseline"][figure], rel=1e-5)


def test_a_file_without_any_label_is_refused(trained: Any, run_cli: Any) -> None:
    write("bare.xyz", [atoms.copy() for atoms in ethanol_frames(3)], format="extxyz")
    result = run_cli("evaluate", trained[0], "bare.xyz")
    assert result.exit_code == 2
    assert "none of the labels energy, forces" in " ".join(result.stderr.split())


def test_evaluate_in_python_notes_it(trained: Any) -> None:
    from intertwine.data import open_dataset
    from intertwine.numerics import DataError

    frames = ethanol_frames(4)
    for k, atoms in enumerate(frames):
        atoms.arrays["q"] = np.zeros(9)
        if k == 2:
            atoms.calc = None
    write("part.xyz", frames, format="extxyz")
    with pytest.raises(DataError, match=r"frame 2 .*energy is missing"):
        open_dataset("part.xyz", progress=False)
    store = open_dataset("part.xyz", required=(), progress=False)
    assert store.fields["energy"].isnan().tolist() == [False, False, True, False]
    assert evaluate(load_run(trained[0]), store)["energy"]["mae"] > 0
    assert "part.xyz, frame 2 (counted from 0)" in store.notes[-1]
    del frames[1].arrays["q"]  # an input is not a label: all need it
    write("part.xyz", frames, format="extxyz")
    with pytest.raises(DataError, match=r"frame 1 .*charge is missing"):
        open_dataset("part.xyz", required=("charge",), keys={"charge": "q"}, progress=False)
