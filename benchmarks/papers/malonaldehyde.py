"""50 frames of malonaldehyde: a force field that begins with the demo's weights (ethanol), and one that begins with
random ones.

    python benchmarks/papers/malonaldehyde.py          # the demo (4 minutes), then two runs for each of three seeds
    python benchmarks/papers/malonaldehyde.py --page   # only writes the table of docs/results.md again
    python benchmarks/papers/malonaldehyde.py --demo runs/ethanol-...   # with a demo that is there

What a user types: `intertwine train malonaldehyde_train_01.xyz.gz --train 50`, with and without `--from`; the numbers
of steps are the same, all else is what either is advised: the rate of both is the usual one, and rises over the first
ten epochs where the weights are the demo's. A seed decides the frames, the initial weights and the order.
50 other frames choose the weights that are tested, on the 1,000 of the published test set (rMD17, first split:
Christensen and von Lilienfeld 2020, arXiv:2007.09593). The demo is of PBE/def2-SVP as these frames are, but of another
molecule, another sampling and 400 frames. Runs are ordinary run folders: finished ones are not repeated, one that was
killed goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import DOCS, RESULTS, insert, markdown, table, write

from intertwine.training import read_config, train

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "malonaldehyde"
DATA = ROOT.parent / "shared" / "data" / "rmd17"
FILE = RESULTS / "malonaldehyde.json"
ARMS = ("from scratch", "from ethanol")


def finished(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The report of a run, which is made, or gone on with, if it is not there."""
    if not (folder / "report.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        train(config, run=folder, resume=folder.exists(), progress=False)
    return json.loads((folder / "report.json").read_text())


def rows(demo: Path, seeds: list[int], epochs: int | None, data: Path) -> list[dict[str, Any]]:
    """Errors on the test set, a row a run."""
    lines = []
    for seed in seeds:
        for arm in ARMS:
            config: dict[str, Any] = {
                "data": {
                    "source": str(data / "malonaldehyde_train_01.xyz.gz"),
                    "test": str(data / "malonaldehyde_test_01.xyz.gz"), "train": 50, "validation": 50, "seed": seed,
                },
                "training": {"certify": False, "seed": seed, **({} if epochs is None else {"epochs": epochs})},
                **({"start": {"run": str(demo)}} if arm == ARMS[1] else {}),
            }  # fmt: skip
            folder = RUNS / f"{arm.replace(' ', '-')}-{epochs or 'advised'}-{seed}"
            report, pace = finished(folder, config), read_config(folder / "config.toml")["training"]
            errors = {f"{name} {e['unit']}": e["mae"] for name, e in reversed(report["test"].items())}
            lines.append(
                {"begins": arm, "seed": seed, "steps": report["steps"], "rate": pace["learning_rate"],
                 "warm-up": pace["warmup"], **errors}
            )  # fmt: skip
            print(table(lines[-1:]), flush=True)
    return lines


def page(document: dict[str, Any]) -> str:
    """The table, and the means over seeds."""
    means = {
        arm: statistics.mean(row["forces meV/A"] for row in document["rows"] if row["begins"] == arm)
        for arm in dict.fromkeys(row["begins"] for row in document["rows"])
    }
    said = ", ".join(f"{mean:.1f} meV/A {arm}" for arm, mean in means.items())
    demo = document["demo"]
    return (
        f"{markdown(document['rows'])}\n\nMean absolute errors on 1,000 frames; mean of the forces: {said}. "
        f"The demo has errors of {demo['forces']:.1f} meV/A on ethanol after {demo['steps']:,} steps. "
        f"{document['machine']['date']}. `python benchmarks/papers/malonaldehyde.py`"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, help="a run of the demo; by default it is made")
    parser.add_argument("--minutes", type=float, default=4.0, help="for the demo, if it is made")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="of 50 frames; by default as advised")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of rMD17")
    parser.add_argument("--page", action="store_true", help="only write the table from the results that are there")
    chosen = parser.parse_args()
    if not chosen.page:
        demo = chosen.demo or RUNS / "ethanol"
        report = finished(demo, {"data": {"source": "ethanol"}, "training": {"minutes": chosen.minutes}})
        about = {"steps": report["steps"], "forces": report["test"]["forces"]["mae"]}
        write("malonaldehyde", {"demo": about, "rows": rows(demo, chosen.seeds, chosen.epochs, chosen.data)})
    document = json.loads(FILE.read_text())
    insert(DOCS / "results.md", "papers/malonaldehyde.py", page(document))
    print(page(document))


if __name__ == "__main__":
    main()
