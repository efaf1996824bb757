"""Log and trajectory of dynamics, and runs that go on from where they were interrupted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.lj import LennardJones
from ase.io import read
from systems import argon, copper

from intertwine.integrations import Calculator, run_dynamics
from intertwine.integrations.observed import COLUMNS, read_log
from intertwine.integrations.resuming import whole
from intertwine.numerics import InputError

KINDS = {
    "nve": {},
    "nvt": {"ensemble": "nvt", "friction": 0.05},
    "bussi": {"ensemble": "nvt", "thermostat": "bussi"},
    "npt": {"ensemble": "npt", "pressure": 0.5},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_is_what_was_recorded(kind: str, tmp_path: Path) -> None:
    atoms, path = copper((1, 1, 1)), tmp_path / "a.csv"
    record = run_dynamics(
        atoms, 12, timestep=2.0, every=3, log=path, trajectory=tmp_path / "a.traj", seed=1, **KINDS[kind]
    )
    rows = np.array(read_log(path))
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert rows[:, 0].tolist() == [0, 3, 6, 9, 12]
    names = ("time", "temperature", "potential", None, "total", "effective", "pressure", "volume")
    for k, name in enumerate(names, 1):
        assert name is None or np.array_equal(rows[:, k], getattr(record, name)), name
    assert np.allclose(rows[:, 3] + rows[:, 4], rows[:, 5])
    assert rows[-1, 8] == pytest.approx(atoms.get_volume())
    assert rows[-1, 7] == pytest.approx(-atoms.get_stress(include_ideal_gas=True)[:3].mean() * 160.21766208, rel=1e-6)
    frames = read(tmp_path / "a.traj", ":")
    assert [frame.info["md_time_ps"] for frame in frames] == record.time
    assert [frame.get_potential_energy() for frame in frames] == record.potential
    assert "md_step" not in atoms.info


def test_a_structure_without_a_cell_has_no_pressure_in_its_log(tmp_path: Path) -> None:
    atoms = argon((1, 1, 1))
    atoms.pbc = False
    run_dynamics(atoms, 2, every=1, log=tmp_path / "a.csv")
    assert all(line.split(",")[7:] == ["", ""] for line in (tmp_path / "a.csv").read_text().splitlines()[1:])
    assert len(read_log(tmp_path / "a.csv")) == 3


class Stop(BaseException):
    """A signal."""


def stopped(at: int, system, kind: str, trajectory: Path, **options: object) -> None:
    def progress(step: int, state: str) -> None:
        assert state.endswith(" K")
        if step >= at:
            raise Stop

    with pytest.raises(Stop):
        run_dynamics(
            system, 40, every=4, trajectory=trajectory, log=trajectory.with_suffix(".csv"), progress=progress,
            **KINDS[kind], **options,
        )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("system", [copper, argon])
def test_an_interrupted_run_goes_on(kind: str, system, tmp_path: Path) -> None:
    options = {"timestep": 2.0, "temperature": 50.0}
    reference = system((1, 1, 1))
    run_dynamics(reference, 40, every=4, trajectory=tmp_path / "whole.traj", **KINDS[kind], **options)
    said: list[str] = []
    path = tmp_path / "a.traj"
    stopped(20, system((1, 1, 1)), kind, path, say=said.append, **options)
    assert "--resume goes on" in said[0]
    assert len(read(path, ":")) == 6
    atoms = system((1, 1, 1))
    record = run_dynamics(
        atoms, 40, every=4, trajectory=path, log=path.with_suffix(".csv"), resume=path, **KINDS[kind], **options
    )
    frames = read(path, ":")
    assert [frame.info["md_step"] for frame in frames] == list(range(0, 44, 4))
    assert record.time == pytest.approx([frame.info["md_time_ps"] for frame in frames])
    assert [row[0] for row in read_log(path.with_suffix(".csv"))] == list(range(0, 44, 4))
    assert np.ptp(record.effective) < 0.2 * np.ptp(record.potential)  # no step where it went on
    if kind == "nve":
        assert np.allclose(atoms.positions, reference.positions, atol=1e-9)
    with pytest.raises(InputError, match="40 steps, all of which are done"):
        run_dynamics(atoms, 40, every=4, resume=path, **KINDS[kind], **options)
    longer = run_dynamics(atoms, 48, every=4, resume=path, **KINDS[kind], **options)
    assert longer.time[-1] == pytest.approx(0.096)


@pytest.mark.parametrize("cut", [1, 700, 3000])
def test_what_was_written_in_part_is_left_out(cut: int, tmp_path: Path) -> None:
    """As after kill -9: bytes at the end of a frame that its index does not know yet, half a row of the log."""
    path = tmp_path / "a.unfinished.traj"
    stopped(20, copper((1, 1, 1)), "nve", path, timestep=2.0)
    with path.open("ab") as file:
        file.write(b"\1" * cut)
    with path.with_suffix(".csv").open("a") as file:
        file.write("24,0.0480,30")
    assert whole(path) == tmp_path / "a.traj"
    run_dynamics(
        copper((1, 1, 1)), 40, every=4, timestep=2.0, resume=path, trajectory=whole(path), log=tmp_path / "a.csv"
    )
    assert [frame.info["md_step"] for frame in read(tmp_path / "a.traj", ":")] == list(range(0, 44, 4))
    assert len(read_log(tmp_path / "a.csv")) == 11


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timestep": 1.0}, "the timestep is 1.0, and 2.0 in the trajectory"),
        ({"temperature": 400.0}, "the temperature is 400.0, and 300.0"),
        ({"ensemble": "nvt"}, "the name is nvt, and nve"),
        ({"every": 5}, "the every is 5, and 4"),
    ],
)
def test_other_settings_do_not_go_on(options: dict, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.traj"
    stopped(20, copper((1, 1, 1)), "nve", path, timestep=2.0)
    with pytest.raises(InputError, match=words):
        run_dynamics(copper((1, 1, 1)), 40, resume=path, **({"timestep": 2.0, "every": 4} | options))


def test_other_files_do_not_go_on(tmp_path: Path) -> None:
    atoms, options = copper((1, 1, 1)), {"timestep": 2.0, "every": 4}
    path = tmp_path / "a.traj"
    stopped(20, atoms, "nve", path, timestep=2.0)
    with pytest.raises(InputError, match="the atoms are others"):
        run_dynamics(argon((1, 1, 1)), 40, resume=path, **options)
    copper((1, 1, 1)).write(tmp_path / "other.traj")
    with pytest.raises(InputError, match="was not written by"):
        run_dynamics(atoms, 40, resume=tmp_path / "other.traj", **options)
    atoms.write(tmp_path / "a.xyz")
    for name in ("a.xyz", "gone.traj"):
        with pytest.raises(InputError, match="no trajectory that can be read"):
            run_dynamics(atoms, 40, resume=tmp_path / name, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_from_the_first_frame_on(kind: str, tmp_path: Path) -> None:
    """Interrupted before the second frame: the first is there once."""
    path = tmp_path / "a.traj"
    run_dynamics(copper((1, 1, 1)), 2, timestep=2.0, every=4, trajectory=path, log=tmp_path / "a.csv", **KINDS[kind])
    record = run_dynamics(
        copper((1, 1, 1)), 8, timestep=2.0, every=4, resume=path, trajectory=path, log=tmp_path / "a.csv", **KINDS[kind]
    )
    assert [frame.info["md_step"] for frame in read(path, ":")] == [0, 4, 8]
    assert [row[0] for row in read_log(tmp_path / "a.csv")] == [0, 4, 8]
    assert record.time == pytest.approx([0, 0.008, 0.016])


LOGS = {  # log of the first part, what becomes of it, output and log of the second part
    "default name": ("a.csv", None, "a.traj", "a.csv"),
    "other name": ("b.csv", None, "a.traj", "b.csv"),
    "another output": ("b.csv", None, "c.traj", "c.csv"),
    "in another folder": ("logs/b.csv", None, "c.traj", "c.csv"),
    "log deleted": ("b.csv", Path.unlink, "a.traj", "b.csv"),
    "log cut": ("a.csv", lambda path: path.write_text(path.read_text()[:300]), "a.traj", "a.csv"),
    "no log": (None, None, "a.traj", "a.csv"),
}


@pytest.mark.parametrize("case", LOGS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_row_of_the_first_part_is_lost(kind: str, case: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    name, change, output, second = LOGS[case]
    options = {"timestep": 2.0, "every": 4, **KINDS[kind]}
    system, said = copper if kind == "npt" else argon, []
    log = None if name is None else tmp_path / name
    record = run_dynamics(system((1, 1, 1)), 20, trajectory=tmp_path / "a.traj", log=tmp_path / "copy.csv", **options)
    if log is None:  # as written without one
        run_dynamics(system((1, 1, 1)), 20, trajectory=tmp_path / "a.traj", **options)
    else:
        run_dynamics(system((1, 1, 1)), 20, trajectory=tmp_path / "a.traj", log=log, **options)
    if change is not None:
        change(log)
    longer = run_dynamics(
        system((1, 1, 1)), 40, resume=tmp_path / "a.traj", trajectory=tmp_path / output, log=tmp_path / second,
        say=said.append, **options,
    )  # fmt: skip
    rows, before = np.array(read_log(tmp_path / second)), np.array(read_log(tmp_path / "copy.csv"))
    assert rows[:, 0].tolist() == list(range(0, 44, 4))
    assert np.allclose(rows[:6], before, rtol=1e-9, atol=1e-9, equal_nan=True)
    assert longer.temperature[:6] == pytest.approx(record.temperature)
    assert len(longer.temperature) == 11
    assert any("made from the frames" in line for line in said) == (change is not None or log is None)
    if kind == "nve":
        assert any("is that after step 20" in line for line in said)
    else:
        assert longer.conserved[0][0] == 0.0
        assert longer.conserved[-1][0] == pytest.approx(0.08)


def test_rows_that_were_not_read_are_not_overwritten(tmp_path: Path) -> None:
    options = {"timestep": 2.0, "every": 4}
    path, log = tmp_path / "a.traj", tmp_path / "b.csv"
    run_dynamics(copper((1, 1, 1)), 20, trajectory=path, log=log, **options)
    other = tmp_path / "other.csv"
    run_dynamics(copper((1, 1, 1)), 20, log=other, seed=1, **options)
    resumed = {"resume": path, "trajectory": tmp_path / "c.traj", **options}
    run_dynamics(copper((1, 1, 1)), 32, log=log, **resumed)
    broken, mine = tmp_path / "broken.csv", tmp_path / "mine.csv"
    broken.write_text(log.read_text().replace("0.008", "x"))
    mine.write_text("a,b\n1,2\n")
    for file in (log, other, broken, mine):
        text = file.read_text()
        with pytest.raises(InputError, match=r"lines that are not of a\.traj up to step 20"):
            run_dynamics(copper((1, 1, 1)), 40, log=file, **resumed)
        assert file.read_text() == text
    longer = run_dynamics(copper((1, 1, 1)), 40, log=tmp_path / "new.csv", **resumed)
    assert len(longer.time) == 11


def test_what_was_to_replace_a_former_log_still_does(tmp_path: Path) -> None:
    """A run over a complete one was interrupted: its parts lie beside the former files, which it goes on to replace."""
    path, options = tmp_path / "a.traj", {"timestep": 2.0}
    run_dynamics(copper((1, 1, 1)), 40, every=4, trajectory=path, log=path.with_suffix(".csv"), seed=5, **options)
    stopped(20, copper((1, 1, 1)), "nve", path, **options)
    said: list[str] = []
    part = tmp_path / "a.unfinished.traj"
    run_dynamics(
        copper((1, 1, 1)), 40, every=4, resume=part, trajectory=path, log=path.with_suffix(".csv"), say=said.append,
        **options,
    )  # fmt: skip
    assert not any("made from the frames" in line for line in said)
    whole_run = [frame.info["md_conserved_eV"] for frame in read(path, ":")]
    assert [row[6] for row in read_log(path.with_suffix(".csv"))] == pytest.approx(whole_run)


def test_another_potential_does_not_go_on(force_field, tmp_path: Path) -> None:
    """Two potentials in one trajectory, one shifted to fit the other, would look like one run."""

    def ethanol(scale: float, dtype: torch.dtype = torch.float64):
        atoms = molecule("CH3CH2OH")
        atoms.calc = Calculator(force_field(scale=scale), dtype=dtype)
        return atoms

    path, options = tmp_path / "a.traj", {"every": 2}
    run_dynamics(ethanol(1.0), 4, trajectory=path, **options)
    bytes_before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"made by a model \(weights \w{12}\), and a model \(weights \w{12}\) is another"
    ):
        run_dynamics(ethanol(2.0), 8, trajectory=path, resume=path, **options)
    with pytest.raises(InputError, match=r"(?s)precision is float32, and float64 .*resume with --precision float64"):
        run_dynamics(ethanol(1.0, torch.float32), 8, trajectory=path, resume=path, **options)
    foreign = argon((1, 1, 1))
    run_dynamics(foreign, 4, trajectory=tmp_path / "b.traj", **options)
    foreign.calc = copper((1, 1, 1)).calc
    with pytest.raises(InputError, match="by the calculator LennardJones, and the calculator EMT is another potential"):
        run_dynamics(foreign, 8, resume=tmp_path / "b.traj", **options)
    assert path.read_bytes() == bytes_before
    record = run_dynamics(ethanol(1.0), 8, trajectory=path, resume=path, **options)
    assert np.ptp(record.effective) < np.ptp(record.potential)


@pytest.mark.parametrize("kind", ["nve", "nvt", "bussi"])
def test_a_changed_energy_is_said_and_not_shifted_away(kind: str, tmp_path: Path) -> None:
    """Of a calculator without weights its name does not tell its parameters."""
    path, said, options = tmp_path / "a.traj", [], {"every": 2, "temperature": 20.0} | KINDS[kind]
    first = run_dynamics(argon((1, 1, 1)), 8, trajectory=path, **options)
    atoms = argon((1, 1, 1))
    run_dynamics(atoms, 16, resume=path, say=said.append, **options)
    assert not any("what calculates it has changed" in line for line in said)
    atoms = argon((1, 1, 1))
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0204, rc=6.5, ro=5.5, smooth=True)
    record = run_dynamics(atoms, 16, resume=path, say=said.append, **options)
    assert any("what calculates it has changed" in line for line in said)
    jump = first.potential[-1] * (0.0204 / 0.0104 - 1)
    assert record.effective[-1] - record.effective[0] == pytest.approx(jump, rel=0.05)
