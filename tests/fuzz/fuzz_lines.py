"""Command lines nobody would write, from the commands' own declarations: every option with values of the right and of
the wrong kind.
"""

from __future__ import annotations

import random
from typing import Any

import typer

from intertwine.cli import app

#: Words that stand where a number, a name, a path or a pair is wanted. No absolute path: what is written stays below
#: the test's folder.
WORDS = (
    "", " ", "-1", "0", "1", "2.5", "nan", "inf", "-inf", "1e400", "1e-400", "0x10", "1_0", "True", "none", "null",
    "None", "-", "--", "-o", "=", "a=", "=b", "a=b=c", "energy=", "energy=kcal/mol", "pos=parsec", "forces=forces",
    "model.width", "model.width=", "model..width=1", "model.width=-1", "model.width=4.5", "model.width=[1,2",
    "model={}", "training.epochs=true", "data.keys={energy='x'}", "[", "{}", "]]", "é", "水", "\udcff\udcfe", "\u202e",
    "a" * 300, "a\nb", "%s", "{0}", "$HOME", "*", "missing.xyz", "missing/a.xyz", "folder", "empty.xyz",
    "text.txt", "water.xyz", "water.npz", "run", "run/best.safetensors", "run/config.toml", "../below", "p", "p.xyz",
    "p.json", "p.npz", "p.traj",
    "painn", "schnet", "shcnet", "force_field", "dynamics", "E(3)", "SO(99)", "json:loads", "os:getcwd", "nosuch:Net",
    ":", "a:", ":b", "energy", "stress", "best", "float64", "float8", "nve", "kernels", "99999999999999999999",
)  # fmt: skip

#: What makes sense, by the name of the parameter.
SENSE: dict[str, tuple[str, ...]] = {
    "run": ("run",), "resume": ("run",), "source": ("water.xyz", "water.npz", "ethanol", "empty.xyz"),
    "structures": ("water.xyz", "crystal.xyz"),
    "structure": ("water.xyz", "crystal.xyz"), "molecules": ("water.xyz",), "test": ("water.xyz",),
    "model": ("painn", "schnet", "egnn"), "preset": ("small",), "task": ("force_field", "property"),
    "target": ("energy",), "output": ("p.xyz", "p.json", "p.npz", "p.traj"), "subject": ("run",),
    "symmetry": ("E(3)", "SE(3)", "T(3)"), "seed": ("0", "7"), "which": ("best", "last"),
    "precision": ("float32", "float64"), "ensemble": ("nve", "nvt"), "key": ("energy=energy", "forces=forces"),
    "unit": ("energy=eV", "energy=kcal/mol"), "settings": ("model.width=8", "training.threads=1", "model.cutoff=3.0"),
    "devices": ("1",), "config": ("run/config.toml",), "train_size": ("4", "0.5", "1.0"), "validation": ("2", "0.2"),
    "temperature": ("300", "0"), "timestep": ("0.5",), "every": ("1",), "fmax": ("0.05",), "limit": ("6",),
    "batch_size": ("2", "1000000"), "learning_rate": ("1e-3",),
}  # fmt: skip

#: Parameters whose large values are honest orders for long work; they get small ones, or words that are no orders at
#: all.
WORK = {"wait", "epochs", "steps", "equilibrate", "minutes", "repeats", "threads", "devices", "limit"}
LARGE = {"99999999999999999999", "0x10", "1_0"}
#: What bounds a command that would otherwise take its time, unless the line has said it.
BOUNDS: dict[str, tuple[tuple[str, str], ...]] = {
    "train": (
        ("--epochs", "1"), ("--limit", "6"), ("--set", "model.width=4"), ("--set", "model.layers=1"),
        ("--set", "training.certify=false"),
    ),
    "md": (("--steps", "3"), ("--equilibrate", "0")),
    "relax": (("--steps", "3"),),
    "certify": (("--molecules", "one.xyz"),),
    "bench": (("--only", "nonsense"),),
    "ipi": (("--wait", "0"),),
}  # fmt: skip


def command_line(rng: random.Random) -> list[str]:
    """One line, without the program's name: a command with some of its arguments, sensible or not."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    if rng.random() < 0.05:
        return [rng.choice(WORDS) for _ in range(rng.randint(0, 3))]
    name = rng.choice(sorted(commands))
    nonsense = rng.choice((0.0, 0.1, 0.3, 1.0))
    line: list[str] = []
    for parameter in commands[name].params:
        line += _given(parameter, rng, nonsense)
    said = set(line)
    for option, value in BOUNDS.get(name, ()):
        if option == "--set" or option not in said:
            line += [option, value]
    if rng.random() < 0.1:
        line.insert(rng.randint(0, len(line)), rng.choice((*WORDS, "--help", "--no-such-option")))
    return [name, *line]


def _given(parameter: Any, rng: random.Random, nonsense: float) -> list[str]:
    positional = parameter.param_type_name == "argument"
    if rng.random() < (0.05 if positional else 0.75):
        return []
    words = tuple(word for word in WORDS if word not in LARGE) if parameter.name in WORK else WORDS
    value = rng.choice(words if rng.random() < nonsense else SENSE.get(parameter.name or "", words))
    if parameter.name in WORK and value.strip().replace(".", "").isdigit():
        value = "1"
    if positional:
        return [value]
    option = parameter.opts[0]
    return [option] if getattr(parameter, "is_flag", False) else [option, value]
