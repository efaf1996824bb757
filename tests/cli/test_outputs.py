"""No output takes the place of a file that is there, and no two outputs are one file; logs are found again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from runs_in_use import refused, written

from intertwine.cli import outputs
from intertwine.integrations.observed import read_log
from intertwine.numerics import InputError

pytestmark = pytest.mark.usefixtures("own_folder")
DIMER = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.3]])
STANDS = {  # command, its outputs, and the one of them that is there already
    "predict": (["predict"], ["-o", "there.xyz"], "there.xyz"),
    "relax": (["relax"], ["-o", "there.xyz"], "there.xyz"),
    "relax by default": (["relax"], [], "a-relaxed.xyz"),
    "relax's steps": (["relax"], ["-o", "new.xyz", "--trajectory", "there.traj"], "there.traj"),
    "md": (["md"], ["-o", "there.traj"], "there.traj"),
    "md by default": (["md"], [], "a-md.traj"),
    "md's log": (["md"], ["-o", "new.traj", "--log", "there.csv"], "there.csv"),
    "md's log by default": (["md"], ["-o", "new.traj"], "new.csv"),
    "md's picture": (["md"], ["-o", "new.traj"], "new.png"),
    "md through a link": (["md"], ["-o", "link.traj"], "there.traj"),
}


@pytest.mark.parametrize("case", STANDS)
def test_what_is_there_stays(case: str, runs, run_cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before the run is read, with the ways out."""
    command, options, there = STANDS[case]
    written("a.xyz", DIMER)
    Path(there).write_text("precious")
    if "link" in case:
        Path("link.traj").symlink_to(there)
    monkeypatch.setattr("intertwine.training.load_run", lambda *a, **k: pytest.fail("the run was read"))
    result = run_cli(*command, runs["copper"], "a.xyz", *options)
    refused(result, "is there already", "--overwrite", "--resume" if command == ["md"] else "another file")
    assert Path(there).read_text() == "precious"


@pytest.mark.parametrize(
    ("command", "there", "runs_of"),
    [("export", "there.pt2", 1), ("compare", "there.png", 2), ("certify", "there.json", 1)],
)
def test_what_else_is_written_stays(
    command: str, there: str, runs_of: int, runs, run_cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(there).write_text("precious")
    for reads in ("training.load_run", "training.compare"):
        monkeypatch.setattr(f"intertwine.{reads}", lambda *a, **k: pytest.fail("the run was read"))
    result = run_cli(command, *[runs["copper"]] * runs_of, "-o", there)
    refused(result, "is there already", "--overwrite", "another file")
    assert Path(there).read_text() == "precious"


def test_what_is_there_is_replaced_where_it_is_told_to(runs, ok) -> None:
    written("a.xyz", DIMER)
    for name in ("p.xyz", "s.traj", "m.traj", "m.csv", "m.png"):
        Path(name).write_text("old")
    ok("predict", runs["copper"], "a.xyz", "-o", "p.xyz", "--overwrite")
    ok("relax", runs["copper"], "a.xyz", "--steps", 1, "--trajectory", "s.traj", "--overwrite")
    ok("md", runs["copper"], "a.xyz", "--steps", 1, "--equilibrate", 0, "-o", "m.traj", "--overwrite")
    assert "predicted_energy" in read("p.xyz").info
    assert len(read("s.traj", ":")) == 2
    assert len(read_log(Path("m.csv"))) == len(read("m.traj", ":"))


@pytest.mark.parametrize("second", ["o.traj", "./o.traj", "{}/o.traj", "soft/o.traj", "hard.traj", "soft.traj"])
@pytest.mark.parametrize("there", [False, True])
def test_two_outputs_are_two_files(second: str, there: bool, runs, run_cli) -> None:
    written("a.xyz", DIMER)
    Path("soft").symlink_to(".")
    Path("soft.traj").symlink_to("o.traj")
    if there:
        Path("o.traj").touch()
        Path("hard.traj").hardlink_to("o.traj")
    elif second == "hard.traj":
        return  # there is no link to nothing
    options = ["-o", "o.traj", "--trajectory", second.format(Path.cwd()), "--overwrite"]
    refused(run_cli("relax", runs["copper"], "a.xyz", *options), "--trajectory and --output are one file")
    assert not there or Path("o.traj").read_bytes() == b""


def test_streams_are_no_files() -> None:
    outputs.check({"--output": Path("/dev/null"), "--log": Path("/dev/null"), "picture": None}, False)
    outputs.check({"--output": Path("/dev/stdout"), "--log": Path("/dev/stdout")}, False)  # pytest's is a file
    with pytest.raises(InputError, match="is there already"):
        outputs.check({"--output": Path(__file__)}, False)


def test_logs_of_every_part_are_looked_at(runs, ok, run_cli) -> None:
    """Resumed with another log, then without one, and then from another folder."""
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    atoms.rattle(0.02, seed=1)
    short = ["--every", 3, "--timestep", 2, "--equilibrate", 0]
    ok("md", runs["copper"], written("c.xyz", atoms), *short, "--steps", 6, "-o", "r.traj", "--log", "A.csv")
    ok("md", runs["copper"], "r.traj", "--resume", "--steps", 12, "--log", "B.csv")
    Path("A.csv").unlink()
    done = ok("md", runs["copper"], "r.traj", "--resume", "--steps", 18)
    assert "made from the frames" not in done.stderr
    assert [row[0] for row in read_log(Path("B.csv"))] == list(range(0, 21, 3))
    assert not Path("A.csv").exists()
    assert not Path("r.csv").exists()
    Path("sub").mkdir()
    ok("md", runs["copper"], "r.traj", "--resume", "--steps", 21, "-o", "sub/s.traj", "--log", "sub/S.csv")
    Path("sub/S.csv").unlink()
    done = ok("md", runs["copper"], "sub/s.traj", "--resume", "--steps", 24, "--log", "T.csv")
    assert "1 of the 8 rows up to step 21 are in no log" in done.stderr  # the others are in ../B.csv
    assert "B.csv" in done.stderr
    assert [row[0] for row in read_log(Path("T.csv"))] == list(range(0, 27, 3))
    shutil.copy("r.traj", "r.unfinished.traj")
    refused(run_cli("md", runs["copper"], "r.unfinished.traj", "--resume", "--steps", 24), "r.traj", "--overwrite")
    rows = np.array(read_log(Path("B.csv")))
    assert np.isfinite(rows[:, :7]).all()


@pytest.mark.parametrize("options", [["relax", "--trajectory", "{}"], ["md", "-o", "{}"], ["relax", "-o", "{}"]])
def test_the_data_of_a_run_are_spared_by_every_output(options: list[str], runs, run_cli, monkeypatch) -> None:
    written("a.xyz", DIMER)
    data = Path("data.traj")
    data.write_bytes(b"data")
    monkeypatch.setattr(
        "intertwine.integrations.writing.sources", lambda source: [data.resolve()] * isinstance(source, list)
    )
    command, *rest = [word.format(data) for word in options]
    refused(run_cli(command, runs["copper"], "a.xyz", *rest, "--overwrite"), "is the data of the run")
    assert data.read_bytes() == b"data"


def test_what_takes_the_run_s_data_names_the_option(runs, run_cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of copper alone, of which the library has no structure, and whose data are not there any more."""
    monkeypatch.setattr("intertwine.training.location._is_there", lambda path: False)
    for command in (["certify"], ["export", "-o", "a.pt2"]):
        result = run_cli(command[0], runs["copper"], *command[1:])
        refused(result, "--data PATH", "not there any more")
        assert "at least one graph" not in result.stderr
        assert "--data" in run_cli(command[0], "--help").stdout
    refused(run_cli("certify", runs["copper"]), "is of Cu alone", "--molecules FILE")
