"""What a process, here or on another machine, does with one structure."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from intertwine.labels.programs import program
from intertwine.labels.recipe import Recipe
from intertwine.labels.scf import scf_labels
from intertwine.labels.structure import NoLabelsError, Outcome, Structure
from intertwine.labels.xtb import xtb_labels
from intertwine.numerics import IntertwineError

#: What libraries read when they are loaded to decide on their threads.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def label_structure(structure: Structure, recipe: Recipe) -> Outcome:
    """The labels of one structure, or why there are none: a structure that fails stops no others.

    Args:
        structure: what to label.
        recipe: how.

    Raises:
        InputError: the program is not installed on this machine.
    """
    start = time.monotonic()
    labels: dict[str, np.ndarray] = {}
    reason = remark = ""
    try:
        structure.check(recipe.spin)
        labels, remark = _compute(structure, recipe)
        bad = next((name for name, value in labels.items() if not np.isfinite(value).all()), None)
        if bad is not None:
            raise NoLabelsError(f"{bad} is not finite")
    except NoLabelsError as error:
        labels, reason = {}, str(error)
    except (IntertwineError, MemoryError, OSError):
        raise
    except Exception as error:  # of a program that is not ours, about this structure
        labels, reason = {}, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return Outcome(structure.frame, labels, reason, time.monotonic() - start, "" if reason else remark)


def _compute(structure: Structure, recipe: Recipe) -> tuple[dict[str, np.ndarray], str]:
    """The labels of one structure, and what speaks against them."""
    if recipe.program == "tblite":
        return xtb_labels(structure, recipe)
    library = program("pyscf.lib")
    library.num_threads(1)
    return scf_labels(structure, recipe), ""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Processes that begin in the ``with`` block have one thread each: they share the cores by structures."""
    former = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def prepare(lifeline: Any) -> None:
    """Begin a process of ours: it ends with the one that made it, however that ends, and leaves Ctrl-C to it.

    Args:
        lifeline: reading end of a pipe whose writing end the other one holds.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(lifeline,), daemon=True).start()


def _follow(lifeline: Any) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)
