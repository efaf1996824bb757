"""The pages for a first day: every command and program in them runs, every message in them is the program's."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import typing
from pathlib import Path
from typing import Any

import bad_input
import numpy as np
import pytest
from switches import as_users_run_it
from test_docs import BLOCK, ROOT, blocks, run
from typer.main import get_command
from typer.testing import CliRunner

from intertwine.cli import app

DOCS = ROOT / "docs"
TINY = [
    *("--epochs", "1", "--model", "painn", "--set", "training.threads=1", "--set", "training.certify=false"),
    *(word for size in ("width=8", "layers=1", "radial_size=4") for word in ("--set", f"model.{size}")),
]


@pytest.fixture(scope="module")
def water(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the page of errors speaks of: good and bad files, and two runs."""
    folder = tmp_path_factory.mktemp("faq")
    frame, molecules = bad_input.bad_files.frame, bad_input.water(20)
    atoms, columns = ("O 0 0 0 0 0 0", "H 0 0 1 0 0 0"), "Properties=species:S:1:pos:R:3:forces:R:3 energy=-1"
    files = {
        "molecules.xyz": molecules,
        "truncated.xyz": "".join(molecules.splitlines(keepends=True)[:13]),
        "notes.pdf": "no structures",
        "unlabelled.xyz": bad_input.UNLABELLED,
        "gold.xyz": bad_input.UNLABELLED.replace("O ", "Au "),
        "periodic.xyz": 12 * frame(header=f'{columns} pbc="T T T"', atoms=atoms),
        "flat.xyz": 12 * frame(header=f'Lattice="5 0 0 0 5 0 5 5 0" {columns}', atoms=atoms),
    }
    for name, content in files.items():
        (folder / name).write_text(content)
    former = Path.cwd()
    os.chdir(folder)
    try:
        for extra in (["--run", "runs/water"], ["--run", "runs/energies", "--task", "property", "--target", "energy"]):
            result = CliRunner().invoke(app, ["train", "molecules.xyz", *TINY, *extra])
            assert result.exit_code == 0, result.output
    finally:
        os.chdir(former)
    return folder


def said() -> list[tuple[str, str]]:
    """The commands of the page of errors, and the message under each."""
    found = [(kind, code.strip()) for kind, code in BLOCK.findall((DOCS / "faq.md").read_text())]
    kinds = [kind for kind, _ in found]
    assert kinds == ["sh", "text"] * 20  # the twenty commonest
    return [(found[k][1], found[k + 1][1]) for k in range(0, len(found), 2)]


@pytest.mark.parametrize(("command", "message"), said(), ids=[message.split("\n")[0] for _, message in said()])
def test_the_message_of_the_page_is_that_of_the_program(
    command: str, message: str, water: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(water)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 2, result.output
    assert message + "\n" in result.stderr


def test_the_first_force_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page from its first block to its last, with a smaller model and one epoch. The search, which needs an extra
    and minutes, has tests of its own: cli/test_tune_command.py.
    """
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "first_force_field"}
    ran = []
    page, heading, search = (DOCS / "first_force_field.md").read_text().partition("## Search for settings")
    assert heading
    for kind, code in BLOCK.findall(page + search[search.index("\n## ") :]):
        if kind == "python":
            with as_users_run_it():
                exec(compile(code.replace("range(200)", "range(20)"), "first_force_field", "exec"), namespace)
        for line in code.splitlines() if kind == "sh" else ():
            words = shlex.split(line, comments=True)[1:]
            tiny = TINY if words[:1] == ["train"] else []
            small = ["--steps", "5", "--equilibrate", "0"] if words[:1] == ["md"] else []
            small = ["--steps", "15"] if "--resume" in words else small
            with as_users_run_it():
                result = CliRunner().invoke(app, [*words, *tiny, *small])
            loose = words[0] == "relax"  # one epoch may not be enough for a minimum
            assert result.exit_code in ((0, 1) if loose else (0,)), result.output
            ran.append(words[0])
    assert {"train", "evaluate", "predict", "certify", "md", "relax"} <= set(ran)


@pytest.mark.parametrize("name", ["pitfalls.md", "gpu.md"])
def test_what_the_page_says_in_code_is_true(name: str) -> None:
    code = "\n".join(blocks(DOCS / name, "python"))
    assert "assert " in code
    with as_users_run_it():
        run(code, "page_" + name.removesuffix(".md"))


def test_the_figures_of_the_first_page_are_those_that_were_measured() -> None:
    """The table of models against benchmarks/results."""
    results = ROOT / "benchmarks" / "results"
    speed = json.loads((results / "models.json").read_text())["rows"]
    times = {(row["case"].split(",")[0].lower().rstrip("+"), row["pass"]): row["ours, ms"] for row in speed}
    particles = json.loads((results / "nbody.json").read_text())["rows"]
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", (DOCS / "first_force_field.md").read_text(), re.MULTILINE)
    assert len(rows) >= 6
    for name, rest in rows:
        _, prediction, step, error = (cell.strip() for cell in rest.split("|"))
        case = {"nequip": "nequip"}.get(name, name)
        kinds = ("features + displacements" if name == "egnn" else "energy + forces", "training step")
        for cell, kind in zip((prediction, step), kinds, strict=True):
            measured = times.get((case, kind))
            assert cell.split(" ")[0] == ("" if measured is None else f"{measured:.3g}"), (name, kind)
        assert error == (f"{particles[name]['mse']:.4f}" if name in particles else ""), name
    transfer = json.loads((results / "malonaldehyde.json").read_text())
    text = (DOCS / "first_force_field.md").read_text()
    for begins in ("from scratch", "from ethanol"):
        forces = [row["forces meV/A"] for row in transfer["rows"] if row["begins"] == begins]
        assert f"{np.mean(forces):.0f} meV/A" in text


def test_the_page_of_settings_is_that_of_the_code() -> None:
    """docs/settings.md; `python docs/tools/settings.py` writes it."""
    spec = importlib.util.spec_from_file_location("settings_page", DOCS / "tools" / "settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page()


#: Every number that an option or setting takes: the word of its help that says what it counts or measures.
UNITS = {
    "classes": "no unit", "code": "no unit", "size": "pixels", "channels": "no unit", "moments": "no unit",
    "smoothing": "no unit",
    "epochs": "passes", "minutes": "minutes", "batch_size": "structures", "learning_rate": "no unit",
    "train_size": "structures", "validation": "structures", "limit": "structures", "nodes": "machines",
    "devices": "processes", "seed": "seed", "steps": "steps", "temperature": "K", "timestep": "fs",
    "equilibrate": "steps", "every": "steps", "fmax": "eV/A", "repeats": "samples", "threads": "threads",
    "train": "structures", "test_size": "structures", "weight_decay": "no unit", "average": "no unit",
    "clip": "no unit", "clip_relative": "no unit",
    "warmup": "steps", "factor": "no unit", "plateau_patience": "validations",
    "threshold": "(no unit|Eh)", "minimum_rate": "no unit", "patience": "validations", "evaluate_every": "epochs",
    "workers": "processes", "energy_weight": "no unit", "force_weight": "no unit", "stress_weight": "no unit",
    "energy_loss_weight": "no unit", "points": "points", "ratio": "no unit",
    "dipole_weight": "D",
    "processes": "processes", "charge": "e", "spin": "electrons", "grid": "level", "cycles": "iterations",
    "field": "atomic units", "width": "(channels|no unit)", "hidden": "(features|no unit)",
    "friction": "1/fs", "thermostat_time": "fs", "pressure": "GPa", "barostat_time": "fs",
    "spacing": "in A", "frame_a": "frame", "frame_b": "frame", "most": "atoms", "size_weight": "no unit",
    "trials": "trials", "trial_minutes": "minutes", "port": "number", "wait": "in s",
    "softness": "no unit", "clear_weight": "no unit",
}  # fmt: skip


def options() -> dict[str, tuple[Any, bool]]:
    """Every option of every command, and whether it takes a number."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    found = {}
    for each in app.registered_commands:
        hints = typing.get_type_hints(each.callback)
        for option in commands[each.callback.__name__].params:
            if option.param_type_name == "option" and option.name != "help":
                kinds = {hints[option.name], *typing.get_args(hints[option.name])}
                number = bool(kinds & {int, float}) or option.metavar == "SIZE"
                found[f"{each.callback.__name__} {option.opts[0]}"] = option, number
    return found


@pytest.mark.parametrize(("option", "number"), options().values(), ids=options())
def test_help_says_unit_and_default(option: Any, number: bool) -> None:
    """Of every option: what it is, the unit of a number, and the default, unless it is a flag or typer shows it."""
    assert option.help
    shown = option.default not in (None, (), []) and option.show_default is not False
    assert option.is_flag or option.required or shown or "Default: " in option.help, option.help
    if number:
        assert re.search(rf"\b{UNITS[option.name]}\b", option.help, re.IGNORECASE), option.help


def test_every_command_has_its_numbers_checked() -> None:
    numbers = {name for name, (_, number) in options().items() if number}
    assert {"train --minutes", "train --train", "md --timestep", "relax --fmax", "bench --repeats"} <= numbers


def test_settings_say_unit_and_default() -> None:
    """Of every row of docs/settings.md with a number: its unit; every row has a default."""
    rows = re.findall(r"^\| `(\w+)\.(\w+)` \| (.*) \| (.*) \|$", (DOCS / "settings.md").read_text(), re.MULTILINE)
    assert len(rows) > 50
    checked = set()
    for section, name, meaning, default in rows:
        assert default, name
        if section in ("data", "training", "task") and name in UNITS:
            assert re.search(rf"\b{UNITS[name]}\b", meaning, re.IGNORECASE), (name, meaning)
            checked.add(name)
        elif section in ("data", "training", "task"):
            assert not re.fullmatch(r"-?[\d.]+(e-?\d+)?", default), f"{name} is a number without a unit"
    assert {"minutes", "learning_rate", "clip", "average", "warmup", "limit"} <= checked
    assert {"energy_loss_weight", "energy_weight"} <= checked
