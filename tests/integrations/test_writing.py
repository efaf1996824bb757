"""Outputs are whole or not at all, and hold what the structures said."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixBondLength, FixCartesian
from ase.io import read, write

import intertwine
from intertwine.data import read_structures
from intertwine.integrations import (
    Calculator,
    growing,
    run_dynamics,
    to_atoms,
    writable,
    write_predictions,
    write_structures,
)
from intertwine.numerics import CheckpointError, GeometryError, InputError


def talkative() -> Atoms:
    """A structure of entries that formats have trouble with."""
    atoms = molecule("H2O", vacuum=3.0)
    atoms.info |= {
        "words": "two words", "quotes": 'a "b" c', "lines": "two\nlines \\ back",
        "nested": {"a": [1, 2], "b": {"c": np.arange(3)}}, "matrix": np.arange(6).reshape(2, 3), "nothing": None,
        "flag": False, "number": np.int64(3), "list": [1.5, 2.5], "names": ["x", "y z"],
    }  # fmt: skip
    atoms.arrays["kind"] = np.array(["A", "", "b c"])
    atoms.arrays["label"] = np.array(["A", "B", "C"])
    atoms.arrays["tensor"] = np.arange(27.0).reshape(3, 3, 3)
    atoms.arrays["mask"] = np.array([True, False, True])
    atoms.set_masses([16, 2, 3])
    atoms.set_celldisp([0.5, 0, 0])
    return atoms


def test_nothing_is_lost_in_extended_xyz(tmp_path: Path) -> None:
    atoms = talkative()
    assert write_structures(tmp_path / "a.xyz", [atoms]) == []
    for found in (read(tmp_path / "a.xyz"), read_structures(tmp_path / "a.xyz", progress=False).atoms[0]):
        for name in ("words", "quotes", "lines", "names"):
            assert found.info[name] == atoms.info[name]
        assert found.info["nested"] == {"a": [1, 2], "b": {"c": [0, 1, 2]}}
        assert np.array_equal(found.info["matrix"], atoms.info["matrix"])
        assert found.info["nothing"] is None or found.info["nothing"] == np.array(None)
        assert not found.info["flag"]
        assert list(found.info["kind"]) == ["A", "", "b c"]
        assert found.arrays["label"].tolist() == ["A", "B", "C"]
        assert np.array_equal(found.arrays["tensor"].reshape(3, 3, 3), atoms.arrays["tensor"])
        assert found.arrays["mask"].tolist() == [True, False, True]
        assert found.get_masses().tolist() == [16, 2, 3]
    assert found.get_celldisp().ravel().tolist() == [0.5, 0, 0]


def test_nothing_is_lost_in_a_trajectory(tmp_path: Path) -> None:
    atoms = talkative()
    assert write_structures(tmp_path / "a.traj", [atoms, atoms]) == []
    (_, found) = read(tmp_path / "a.traj", ":")
    assert np.array_equal(found.info["tensor"], atoms.arrays["tensor"])
    assert found.info["lines"] == atoms.info["lines"]
    assert "tensor" in atoms.arrays  # the caller's is as it was


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.vasp", ["masses", "nested"]), ("a.cif", ["constraints (FixAtoms)", "label"]), ("a.pdb", ["tensor"])],
)
def test_what_a_format_does_not_hold_is_said(name: str, words: list[str], tmp_path: Path) -> None:
    atoms = talkative()
    atoms.pbc = True
    atoms.set_constraint(FixAtoms([0]))
    (note,) = write_structures(tmp_path / name, [atoms])
    assert all(word in note for word in words), note


def test_constraints_are_written_or_said(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.set_constraint([FixAtoms([0]), FixCartesian([1], [True, False, False])])
    for name in ("a.xyz", "a.traj", "a.json"):
        assert write_structures(tmp_path / name, [atoms]) == []
        moved = read(tmp_path / name)
        moved.set_positions(moved.positions + 1)
        assert np.isclose(moved.positions - atoms.positions, [[0, 0, 0], [0, 1, 1], [1, 1, 1]]).all(), name
    atoms.set_constraint(FixBondLength(0, 1))
    assert "FixBondLength" in write_structures(tmp_path / "a.xyz", [atoms])[0]
    assert write_structures(tmp_path / "a.traj", [atoms]) == []


def test_predictions_beside_what_was_given() -> None:
    """The given structure with its arrays and all of its results; predictions have names of their own."""
    atoms = talkative()
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.ones((3, 3)), magmoms=np.ones(3))
    both = to_atoms(atoms, {"energy": np.array(-2.0), "forces": np.zeros((3, 3))})
    assert both.calc.results.keys() == {"energy", "forces", "magmoms"}
    assert both.get_potential_energy() == -1
    assert both.info["predicted_energy"] == -2
    assert not both.arrays["predicted_forces"].any()
    homo = to_atoms(atoms, {"homo": np.array(0.5)})
    assert homo.calc.results.keys() == {"energy", "forces", "magmoms"}
    assert homo.info["predicted_homo"] == 0.5
    assert both.arrays.keys() == atoms.arrays.keys() | {"predicted_forces"}
    assert np.array_equal(both.get_celldisp(), atoms.get_celldisp())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("p", ".json or .npz"),
        ("p.", "no format"),
        ("a.banana", "no format"),
        ("a.json.gz", "no format"),
        ("none/a.xyz", "no folder"),
        (".", "is a folder"),
        ("in.xyz", "is the file that is read"),
        ("link.xyz", "is the file that is read"),
        ("../{}/in.xyz", "is the file that is read"),
    ],
)
def test_refused_before_the_work(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "in.xyz").write_text("1\n\nHe 0 0 0\n")
    (tmp_path / "link.xyz").symlink_to("in.xyz")
    with pytest.raises(InputError) as error:
        writable(tmp_path / name.format(tmp_path.name), source=tmp_path / "in.xyz")
    assert words in str(error.value)
    assert error.value.remedy


@pytest.mark.parametrize("source", ["frames", "frames/*.xyz", "frames/[ab].xyz", "./frames/../frames"])
@pytest.mark.parametrize("output", ["frames/b.xyz", "hard.xyz", "soft.xyz", "folder/b.xyz", "frames/../frames/./b.xyz"])
def test_a_file_of_a_folder_or_a_pattern_is_not_written_to(
    source: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    for name in ("a.xyz", "b.xyz"):
        (tmp_path / "frames" / name).write_text("1\n\nHe 0 0 0\n")
    (tmp_path / "hard.xyz").hardlink_to(tmp_path / "frames" / "b.xyz")
    (tmp_path / "soft.xyz").symlink_to("frames/b.xyz")
    (tmp_path / "folder").symlink_to("frames")
    for path in (Path(output), tmp_path / output):
        with pytest.raises(InputError, match="is the file that is read"):
            writable(path, source=Path(source))
    with pytest.raises(InputError, match="is the file that is read"):
        writable(Path(output), source=[Path("frames/a.xyz"), Path("frames/b.xyz")])
    assert writable(Path("frames/c.xyz"), source=Path(source)) == Path("frames/c.xyz")


def test_what_can_be_written_to(tmp_path: Path) -> None:
    for name in ("a.xyz", "a.json", "a.npz", "a.traj", "a.db", "a.xyz.gz", "POSCAR", os.fsdecode(b"\xff.xyz")):
        assert writable(tmp_path / name) == tmp_path / name
    assert writable(Path(os.devnull)) == Path(os.devnull)
    with pytest.raises(InputError, match="no format"):
        writable(tmp_path / "a.npz", tables=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
@pytest.mark.parametrize("kind", ["xyz", "json", "npz", "traj"])
def test_a_full_device_is_named(kind: str, force_field, tmp_path: Path) -> None:
    (tmp_path / f"a.{kind}").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match="No space left") as error:
        write_predictions(tmp_path / f"a.{kind}", [molecule("H2O")], [{"energy": np.array(1.0)}], force_field())
    assert f"a.{kind}" in str(error.value)
    assert Path("/dev/full").is_char_device()


FULL = """
import resource, signal, sys
from ase import Atoms
from ase.calculators.lj import LennardJones
from pathlib import Path
import numpy as np
from intertwine.integrations import run_dynamics, write_structures
from intertwine.numerics import CheckpointError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
corners = 3.8 * np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
atoms = Atoms("Ar8", positions=corners, calculator=LennardJones(sigma=3.4))
atoms.get_potential_energy()
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
for name in sys.argv[1:]:
    try:
        if name.endswith("traj"):
            run_dynamics(atoms, 1000, every=1, timestep=1.0, trajectory=Path(name))
        else:
            write_structures(Path(name), [atoms] * 200)
    except CheckpointError as error:
        print(error, end="\\0")
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limits")
def test_a_full_disk_leaves_the_former_file(tmp_path: Path) -> None:
    names = ["a.xyz", "a.cif", "a.json", "a.traj", "new.traj"]
    for name in names[:-1]:
        (tmp_path / name).write_bytes(b"precious")
    environment = os.environ | {"PYTHONPATH": str(Path(intertwine.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", FULL, *names], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    said = done.stdout.split("\0")[:-1]
    assert len(said) == len(names), done.stdout + done.stderr
    for name, message in zip(names, said, strict=True):
        assert message.startswith(f"{name}: can't be written: File too large")
        assert name == "new.traj" or (tmp_path / name).read_bytes() == b"precious"
    assert "a.unfinished.traj" in said[3]
    assert "in new.traj" in said[4]
    for name in ("a.unfinished.traj", "new.traj"):
        assert len(read(tmp_path / name, ":")) > 5
    assert {path.name for path in tmp_path.iterdir()} == {*names, "a.unfinished.traj"}  # no litter


def test_a_trajectory_appears_when_it_is_complete(force_field, tmp_path: Path) -> None:
    path, seen = tmp_path / "a.traj", []
    write(path, molecule("H2O"))
    former = path.read_bytes()

    def look(done: int, state: str) -> None:
        seen.append((path.read_bytes() == former, [p.name for p in tmp_path.glob("*unfinished*")]))

    atoms = molecule("CH4")
    atoms.calc = Calculator(force_field())
    run_dynamics(atoms, 4, every=1, equilibrate=2, trajectory=path, progress=look)
    assert all(old and names == ["a.unfinished.traj"] for old, names in seen)
    assert len(read(path, ":")) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["a.traj"]


BREAKS = [
    KeyboardInterrupt(),
    GeometryError("boom", where="x", remedy="Do."),
    OSError(28, "No space left"),
    SystemExit(143),
]


@pytest.mark.parametrize("error", BREAKS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("former", [True, False])
def test_what_a_broken_run_keeps(error: BaseException, former: bool, tmp_path: Path) -> None:
    path, said = tmp_path / "a.traj", []
    if former:
        path.write_text("old")
    (tmp_path / "a.unfinished.traj").write_text("of an earlier run")

    def run() -> None:
        with growing(path, said.append) as part:
            part.write_text("half")
            raise error

    with pytest.raises(CheckpointError if isinstance(error, OSError) else type(error)) as caught:
        run()
    kept = tmp_path / ("a.unfinished-2.traj" if former else "a.traj")
    assert kept.read_text() == "half"
    assert (tmp_path / "a.unfinished.traj").read_text() == "of an earlier run"
    if former:
        assert path.read_text() == "old"
    where = f"What was written until then is in {kept}."
    with_remedy = isinstance(error, GeometryError | OSError)
    assert said == ([] if with_remedy else [where])  # once
    if with_remedy:
        assert caught.value.remedy.endswith(where)


def test_several_files_of_a_broken_run_are_named_in_one_sentence(tmp_path: Path) -> None:
    names, said = [tmp_path / name for name in ("a.csv", "a.traj", "b.traj")], []

    def run() -> None:
        with ExitStack() as stack:
            for name in names:
                stack.enter_context(growing(name, said.append)).write_text("half")
            raise GeometryError("boom", where="x", remedy="Do.")

    with pytest.raises(GeometryError) as caught:
        run()
    assert caught.value.remedy == f"Do. What was written until then is in {names[2]} and {names[1]} and {names[0]}."
    assert said == []


def test_nothing_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="early"), growing(tmp_path / "a.traj"):
        raise ValueError("early")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CheckpointError, match="none"), growing(tmp_path / "none" / "a.traj"):
        pass


def test_open_and_periodic_together(force_field, tmp_path: Path) -> None:
    """Every frame says what it has, in every format."""
    task, frames = force_field(), [molecule("H2O"), bulk("C"), molecule("CO2")[:1]]
    predictions = [{"energy": np.array(1.0), "forces": np.zeros((len(atoms), 3))} for atoms in frames]
    predictions[1]["stress"] = np.eye(3)
    for name in ("a.xyz", "a.traj", "a.json", "a.npz", "a.db"):
        assert write_predictions(tmp_path / name, frames, predictions, task) == []
    for name in ("a.xyz", "a.traj"):
        assert ["predicted_stress" in atoms.info for atoms in read(tmp_path / name, ":")] == [False, True, False]
    for name in ("a.db", "a.json"):
        rows = ase.db.connect(tmp_path / name).select()
        assert ["predicted_stress" in row.data for row in rows] == [False, True, False]
    assert ["stress" in p for p in json.loads((tmp_path / "a.json").read_text())["predictions"]] == [False, True, False]


@pytest.mark.parametrize("name", ["a.traj", "a.db", "a.json", "a.xyz"])
@pytest.mark.parametrize("shape", [(6,), (3, 3), (9,)])
def test_a_stress_is_read_by_ase_from_every_format(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    """Files of extended xyz may give nine numbers; ASE knows six."""
    atoms = bulk("Cu", cubic=True)
    full = np.array([[0.1, 0.6, 0.5], [0.6, 0.2, 0.4], [0.5, 0.4, 0.3]])
    atoms.calc = SinglePointCalculator(atoms, energy=1.0)
    atoms.calc.results["stress"] = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) if shape == (6,) else full.reshape(shape)
    write_structures(tmp_path / name, [atoms])
    again = read(tmp_path / name)
    assert np.allclose(again.get_stress(), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert again.get_potential_energy() == 1.0
    assert atoms.calc.results["stress"].shape == shape  # the caller's stays
