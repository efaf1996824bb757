"""Everything that a machine with a graphics card can tell, in a few minutes: six parts, each a process with a deadline
of its own.

    scripts/gpu_check.sh                   # installs the wheels, then runs this
    python benchmarks/gpu_check.py --out FOLDER --minutes 8
    python benchmarks/gpu_check.py --dry   # in Triton's interpreter, tiny sizes: every line of the parts runs

A part writes its JSON after every row, so what a deadline cuts off is lost and no more. A failure is written down, with
its traceback, and stops neither the part nor the others. Time that a part leaves goes to those after it. Nothing is
written but the eight files in FOLDER: a JSON of each part, ``log.txt`` and ``summary.txt``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gpu_summary import summary
from measure import RESULTS

HERE = Path(__file__).resolve().parent
RESERVE_S = 8.0  # s: for the summary, and for processes that end slowly
GOAL_PER_BANDWIDTH = 0.6  # of the bandwidth of a copy, forward, at the large sizes


@dataclass(frozen=True)
class Part:
    """A part: its share of the time, and the least time (s) in which it is worth starting."""

    name: str
    share: float
    least: float


#: In order. Shares are about seconds of eight minutes.
PARTS = (
    Part("machine", 30, 10),
    Part("certificates", 95, 30),
    Part("convolutions", 100, 30),
    Part("models", 110, 30),
    Part("profile", 35, 20),
    Part("demo", 95, 40),
)


class Plan:
    """Who may run for how long."""

    def __init__(self, seconds: float, parts: Sequence[Part] = PARTS, started: float | None = None) -> None:
        self.parts, self.end = parts, (time.monotonic() if started is None else started) + seconds - RESERVE_S

    def deadline(self, place: int, now: float | None = None) -> float | None:
        """Seconds for the part at a place, with its share of what is left; None if it is too little to start."""
        left = self.end - (time.monotonic() if now is None else now)
        seconds = left * self.parts[place].share / sum(part.share for part in self.parts[place:])
        return seconds if seconds >= self.parts[place].least else None


def run(part: Part, seconds: float, folder: Path, log: IO[str], options: list[str]) -> str:
    """Run a part in a process of its own.

    Returns:
        how it ended, in words.
    """
    command = [sys.executable, str(HERE / "gpu_parts.py"), part.name, str(folder), f"{seconds:.1f}", *options]
    log.write(f"\n==== {part.name}: {seconds:.0f} s\n")
    log.flush()
    process = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"stopped after {seconds:.0f} s"
    finally:
        end(process)
    return "done" if code == 0 else f"ended with exit code {code}"


def end(process: subprocess.Popen[Any]) -> None:
    """End a process that we started, and its children: it leads a group of its own."""
    for number in (15, 9):
        try:
            os.killpg(process.pid, number)
            process.wait(3)
        except (ProcessLookupError, PermissionError):
            return
        except subprocess.TimeoutExpired:
            continue


def environment(scratch: Path, dry: bool) -> None:
    """Where compiled programs are kept, which all parts share, and what makes a run dry."""
    for name in ("TRITON_CACHE_DIR", "INTERTWINE_CACHE", "TORCH_EXTENSIONS_DIR", "NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        os.environ[name] = str(scratch / name.lower())
        (scratch / name.lower()).mkdir(mode=0o700)
    os.environ |= {
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
    }
    if dry:
        os.environ |= {
            "TRITON_INTERPRET": "1",
            "INTERTWINE_KERNELS": "gpu",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }


def build(log: IO[str], dry: bool) -> subprocess.Popen[Any] | None:
    """openequivariance compiles itself when it is imported first, for a minute or so: meanwhile other parts run."""
    if dry:
        return None
    command = [sys.executable, "-c", "import openequivariance"]
    return subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
    )


def check(folder: Path, seconds: float, only: list[str], dry: bool) -> dict[str, str]:
    """Run the parts.

    Returns:
        how each ended, in words; also of those that were skipped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [part for part in PARTS if part.name in only]
    for part in chosen:  # of a former run
        (folder / f"{part.name}.json").unlink(missing_ok=True)
    plan, ends = Plan(seconds, chosen), {part.name: "not asked for" for part in PARTS}
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch, (folder / "log.txt").open("w") as log:
        environment(Path(scratch), dry)
        background = build(log, dry)
        try:
            for place, part in enumerate(chosen):
                allotted = plan.deadline(place)
                if allotted is None:
                    ends[part.name] = "skipped: too little time is left"
                else:
                    unbuilt = background is not None and background.poll() != 0
                    options = [*(["--dry"] if dry else []), *(["--without", "openequivariance"] if unbuilt else [])]
                    started = time.monotonic()
                    ends[part.name] = f"{run(part, allotted, folder, log, options)}, {time.monotonic() - started:.0f} s"
                print(f"{part.name}: {ends[part.name]}", flush=True)
        finally:
            if background is not None:
                end(background)
    return ends


def main() -> None:
    """Run, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu", help="folder of the results")
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything")
    parser.add_argument("--spent", type=float, default=0.0, help="seconds of them that are gone already")
    parser.add_argument(
        "--only", nargs="+", choices=[part.name for part in PARTS], default=[part.name for part in PARTS]
    )
    parser.add_argument("--dry", action="store_true", help="Triton's interpreter and tiny sizes, on the processor")
    chosen = parser.parse_args()
    ends = check(chosen.out, 60 * chosen.minutes - chosen.spent, chosen.only, chosen.dry)
    documents = {part.name: read(chosen.out / f"{part.name}.json") for part in PARTS}
    text = summary(documents, ends, GOAL_PER_BANDWIDTH)
    (chosen.out / "summary.txt").write_text(text + "\n")
    print(text)


def read(path: Path) -> dict[str, Any]:
    """What a part wrote; nothing if it did not come to that."""
    return json.loads(path.read_text()) if path.exists() else {}


if __name__ == "__main__":
    main()
