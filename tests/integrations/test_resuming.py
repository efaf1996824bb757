"""Log and trajectory of dynamics, and runs that go on from where they were interrupted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from systems import argon, copper

from intertwine.integrations import run_dynamics
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
    assert all(line.split(",")[7] == "" for line in (tmp_path / "a.csv").read_text().splitlines()[1:])
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
    with pytest.raises(InputError, match="all of the 40 steps are done"):
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
