"""Error after the same minutes of one core: our models by their defaults beside other programs by theirs.

    python benchmarks/papers/time_to_accuracy.py --sets silicon --minutes 4 --gap-python PYTHON
    python benchmarks/papers/time_to_accuracy.py --page     # only writes the table of docs/results.md again

Each cell (a set, minutes, a program) is a line of a file below benchmarks/results, so that what was killed goes on.
Data: 85 % of numpy's ``default_rng(0).permutation`` to train on (400 of ethanol, at most), the others to test; energies
and forces alone. PYTHON is an interpreter that has quippy-ase (GAP); without one GAP is left out. mace-torch is the
environment's own. The commands are in contestants.py. Test structures with an element that was not trained on are left
out for all. Minutes are those of the training itself, for mace-torch those of all its epochs, for GAP of the whole
command, which has no budget: it takes as long as its sparse points do.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from ase import Atoms
from ase.io import write
from classes import read, resumed
from contestants import OURS, PEERS, commands, errors
from measure import DOCS, RESULTS, insert, machine, markdown

from intertwine.data import open_dataset
from intertwine.numerics import InputError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SETS = {
    "ethanol": "ethanol",
    "silicon": "crystals/Si_training.json.gz",
    "germanium": "crystals/Ge_training.json.gz",
    "lithium": "crystals/Li_training.json.gz",
    "molybdenum": "crystals/Mo_training.json.gz",
    "3BPA": "forcefield/dataset_3BPA_train_300K.xyz.gz",
    "acetylacetone": "forcefield/dataset_acac_train_300K.xyz.gz",
    "water": "crystals/high_level_water.xyz.gz",
    "MPtrj": "crystals/mptrj-random-1k.xyz.gz",
}
TRAINED, MOST_MOLECULES = 0.85, 400


def frames(name: str) -> tuple[list[Atoms], list[Atoms]]:
    """The structures to train on, and those to test, with the labels that all programs are given."""
    source = name if name == "ethanol" else str(SHARED / SETS[name])
    store = open_dataset(source, progress=False)
    order = np.random.default_rng(0).permutation(len(store))
    count = int(TRAINED * len(store)) if name != "ethanol" else min(MOST_MOLECULES, int(TRAINED * len(store)))
    made = []
    for k in order:
        graph = store[int(k)]
        atoms = graph.to_ase()
        atoms.calc = None
        atoms.info = {"REF_energy": float(graph.energy)}
        atoms.arrays = {key: atoms.arrays[key] for key in ("numbers", "positions")}
        atoms.arrays["REF_forces"] = graph.forces.numpy()
        made.append(atoms)
    known = {z for atoms in made[:count] for z in atoms.numbers}
    return made[:count], [atoms for atoms in made[count:] if known.issuperset(atoms.numbers)]


def measured(cell: dict[str, Any], gap_python: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        train, test = frames(cell["set"])
        write(Path(folder) / "train.xyz", train, format="extxyz")
        write(Path(folder) / "test.xyz", test, format="extxyz")
        try:
            result = errors(cell["program"], Path(folder), cell["minutes"], gap_python)
        except InputError as error:
            result = {"reason": error.what.splitlines()[0][:100]}
    return result | {"train": len(train), "test": len(test)}


def page(rows: list[dict[str, Any]]) -> str:
    lines = []
    for name in SETS:
        for minutes in sorted({row["minutes"] for row in rows if row["set"] == name}):
            those = [row for row in rows if (row["set"], row["minutes"]) == (name, minutes)]
            lines += [_line(row) for row in sorted(those, key=lambda row: (*OURS, *PEERS).index(row["program"]))]
    done = {(row["set"], row["program"]) for row in rows}
    missing = [name for name in SETS if not any((name, program) in done for program in (*OURS, *PEERS))]
    where, tried = machine(), [program for program in (*OURS, *PEERS) if any(program == p for _, p in done)]
    words = [
        "Mean absolute errors on the test set after so many minutes of one core, energies and forces alone, by the "
        "defaults of each program (ours: by the name of the model).",
        markdown(lines),
        f"Not run: {', '.join(missing)}." if missing else "",
        "\n".join(f"- {program}: `{command}`" for program in tried for command in commands(program, minutes_of(rows))),
        f"{where['processor']}, one core, {where['date']}. `python benchmarks/papers/time_to_accuracy.py`",
    ]
    return "\n\n".join(filter(None, words))


def minutes_of(rows: list[dict[str, Any]]) -> float:
    return min(row["minutes"] for row in rows)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    known = "reason" not in row
    return {
        "set": f"{row['set']} ({row['train']} / {row['test']})",
        "program": row["program"],
        "minutes": f"{row['trained_s'] / 60:.1f}" if known else "",
        "energy, meV/atom": f"{row['energy']:.3g}" if known else row["reason"],
        "forces, meV/A": f"{row['forces']:.3g}" if known else "",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--programs", nargs="*", default=[*OURS, *PEERS], choices=[*OURS, *PEERS])
    parser.add_argument("--minutes", nargs="*", type=float, default=[4.0])
    parser.add_argument("--gap-python", default=None)
    parser.add_argument("--folder", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    file = arguments.folder / "time_to_accuracy.jsonl"
    if not arguments.page:
        cells = [
            {"set": name, "minutes": minutes, "program": program}
            for name in arguments.sets
            for minutes in arguments.minutes
            for program in arguments.programs
        ]
        resumed(file, cells, partial(measured, gap_python=arguments.gap_python))
    text = page(read(file))
    print(text)
    if arguments.folder == RESULTS:
        insert(DOCS / "results.md", "benchmarks/papers/time_to_accuracy.py", text)


if __name__ == "__main__":
    main()
