"""Writes docs/settings.md: every setting with its meaning, unit and default, from the docstrings and signatures.

python docs/tools/settings.py writes the page; tests/test_docs.py checks that it is up to date.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

from intertwine.models import MODELS
from intertwine.nn.inputs import DEFAULTS, Inputs, RadialInputs, VectorInputs
from intertwine.numerics.signature import arguments
from intertwine.tasks import TASKS, ForceField
from intertwine.training.options import DataOptions, StartOptions, SymmetrizeOptions, TrainingOptions

CUTOFF = 5.0  # A, of most models
BY_DATA = {("dynamics", "clip"): "by data"}  # what a task works out from its data
PAGE = Path(__file__).resolve().parents[1] / "settings.md"
ENTRY = re.compile(r"^(\w+(?:, \w+)*): (.*)$")
ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")

HEAD = """# Settings

Every setting can be given on the command line as `--set SECTION.NAME=VALUE`, in a TOML file (`--config FILE`), or in
Python: `intertwine.training.train({"model": {"name": "mace", "width": 64}})`. The section comes first:

```sh
intertwine train molecules.xyz --set model.width=64 --set training.patience=20 --set task.force_weight=50
```

Later ones win: the defaults below, then what suits the data, then the file, then the options of the command line, then
`--set`. The value `none` stands for None. The `config.toml` of a run holds all settings that the run used.
"""


def described(thing: Any) -> dict[str, str]:
    """What the docstring of a class says of each argument, on one line."""
    _, _, rest = inspect.cleandoc(thing.__doc__ or "").partition("Args:\n")
    block = textwrap.dedent(re.split(r"\n(?=\S)", rest)[0])
    entries: dict[str, str] = {}
    for line in re.sub(r"\n {4,}", " ", block).splitlines():
        if match := ENTRY.match(line):
            entries |= dict.fromkeys(match[1].split(", "), match[2])
    return entries


def row(name: str, words: str, default: Any) -> str:
    words = ROLE.sub(r"`\1`", words).replace("``", "`").replace("|", "\\|")
    words = re.sub(r":math:`([^`]+)`", r"$\1$", words).rstrip(".")
    shown = {None: "none", "": '""'}.get(default) or str(list(default) if isinstance(default, tuple) else default)
    return f"| `{name}` | {words[:1].upper()}{words[1:]} | {shown} |"


def table(section: str, thing: Any, instead: dict[str, str] | None = None) -> list[str]:
    words = described(thing)
    rows = []
    for name, argument in arguments(thing).items():
        row_ = row(f"{section}.{name}", words[name], argument.default)
        rows.append(row_ if name not in (instead or {}) else row_.rsplit("| ", 1)[0] + f"| {(instead or {})[name]} |")
    return ["| setting | meaning | default |", "| --- | --- | --- |", *rows]


def tasks_own(name: str) -> dict[str, str]:
    """Task -> its own default of a setting of training, where that differs from the default of all."""
    common = arguments(TrainingOptions)[name].default
    of_tasks = {task: BY_DATA.get((task, name), kind.pace.settings.get(name, common)) for task, kind in TASKS.items()}
    return {task: str(value) for task, value in of_tasks.items() if value != common}


def models() -> list[str]:
    rows = ["| model | own arguments and their defaults |", "| --- | --- |"]
    shared: dict[str, Any] = {"cutoff": CUTOFF, **DEFAULTS}
    for name, kind in MODELS.items():
        given = {key: argument.default for key, argument in arguments(kind).items()}
        own = [f"`{key}={value!r}`" for key, value in given.items() if key not in shared or value != shared[key]]
        rows.append(f"| {name} | {', '.join(own)} |")
    return rows


def page() -> str:
    pace = ForceField.pace
    chosen = {
        "epochs": f"by task and data; force field: {pace.steps:,} steps, within {pace.least} to {pace.most} epochs",
        "batch_size": f"by task; force field: {pace.batch_size}",
        "learning_rate": f"by task and model; force field: {pace.learning_rate:g} times the model's factor",
        "threads": "by data",
    }
    for name, argument in arguments(TrainingOptions).items():
        if name not in chosen and (own := tasks_own(name)):
            chosen[name] = "; ".join([f"{argument.default}", *(f"{task}: {value}" for task, value in own.items())])
    shared = [
        row("model.name", "architecture; `intertwine models` lists them", "by task; force field: mace"),
        row("model.preset", "sizes of the model: small (fast), paper (as published), or one of the model's own", None),
        row("model.cutoff", "distance in A beyond which atoms are not neighbours; None connects all", CUTOFF),
    ]
    for kind in (Inputs, RadialInputs, VectorInputs):
        words = described(kind)
        own = [name for name in kind.__annotations__ if name in words]
        defaults: dict[str, Any] = {**DEFAULTS, "species": "by data"}
        shared += [row(f"model.{name}", words[name], defaults[name]) for name in own]
    parts = [
        ("The data: `[data]`", table("data", DataOptions)),
        ("The training: `[training]`", table("training", TrainingOptions, chosen)),
        ("The weights to start from: `[start]`", table("start", StartOptions)),
        ("Symmetry from outside: `[symmetrize]`", table("symmetrize", SymmetrizeOptions)),
        *((f"The task `{name}`: `[task]`", table("task", kind)) for name, kind in TASKS.items()),
        ("What models share: `[model]`", ["| setting | meaning | default |", "| --- | --- | --- |", *shared]),
        ("What each model has besides: `[model]`", models()),
    ]
    after = (
        "Their meaning is in the docstrings: `help(intertwine.models.MACE)`, or [the API](api/models.md). "
        "`average_degree` is the\naverage number of neighbours within the cutoff; `intertwine train` counts it in the "
        "data. Where a model has another\ndefault for a shared setting, it stands here.\n"
    )
    return "\n".join([HEAD, *(f"## {title}\n\n" + "\n".join(lines) + "\n" for title, lines in parts), after])


if __name__ == "__main__":
    PAGE.write_text(page())
