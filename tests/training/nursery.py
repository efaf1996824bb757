"""Trains a configuration in forked children and kills them: run as ``python nursery.py CONFIG.json FOLDER``.

Prints, for each child, how it ended. The parent never computes, so forking is safe, and torch is imported once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import lightning.pytorch  # noqa: F401 - so that children need not

import intertwine.training.fitting  # noqa: F401
from intertwine.training import run as running
from intertwine.training.module import TrainingModule


def at_event(module, name: str, count: int, *, after: bool) -> None:
    """Kill this process at the ``count``-th call of a function, before or after it does its work."""
    original, calls = getattr(module, name), [0]

    def wrapped(*args, **kwargs):
        calls[0] += 1
        if calls[0] == count and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if calls[0] == count and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(module, name, wrapped)


def main(config: dict, folder: Path) -> None:
    draw = random.Random(0)
    # in the setup, then inside the writing of the files (each epoch writes best, last, metrics), then at random times
    moments: list = [
        (running, "open_sets", 1, False),
        (os, "fsync", 4, False),
        (os, "replace", 5, False),
        (os, "replace", 3, True),
    ]
    moments += [(os, "fsync", 7, False), (os, "replace", 8, True)] + [draw.uniform(0.2, 0.5) for _ in range(2)]
    moments += [(TrainingModule, "training_step", draw.randint(40, 120), draw.random() < 0.5) for _ in range(2)]
    for moment in [*moments, None]:
        child = os.fork()
        if child == 0:
            if isinstance(moment, tuple):
                at_event(*moment[:3], after=moment[3])
            running.train(config, progress=False, run=folder, resume=folder.exists())
            os._exit(0)
        if isinstance(moment, float):
            time.sleep(moment)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        ended = "killed" if os.WIFSIGNALED(status) else f"ended {os.WEXITSTATUS(status)}"
        print(
            ended,
            moment if not isinstance(moment, tuple) else moment[1:],
            (folder / "last.safetensors").is_file(),
            flush=True,
        )


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
