"""Lightning's loggers by name: a run told to other programs, row by row as ``metrics.csv`` has it."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch import loggers as lightning_loggers
from lightning.pytorch.loggers import Logger

from intertwine.numerics import InputError
from intertwine.numerics.fence import fenced
from intertwine.numerics.plugins import find

#: Name -> Lightning's class, and the package that it needs.
LOGGERS = {
    "csv": ("CSVLogger", "csv"),
    "tensorboard": ("TensorBoardLogger", "tensorboard"),
    "wandb": ("WandbLogger", "wandb"),
}


def logger_classes(names: Sequence[str], allow: Collection[str] = ()) -> list[Any]:
    """The loggers of these names (of ``LOGGERS``, or ``module:Class``), not yet made.

    Raises:
        InputError: a name is unknown, its package is not installed, its module is not allowed, or it is no Lightning
            logger.
    """
    classes = []
    for name in names:
        candidate = find(name, LOGGERS, kind="logger", where="training.loggers", allow=allow)
        if name in LOGGERS:
            kind, package = candidate
            if find_spec(package) is None:
                raise InputError(f"{name} is not installed", where="training.loggers", remedy=f"pip install {package}.")
            candidate = getattr(lightning_loggers, kind)
        if not (inspect.isclass(candidate) and issubclass(candidate, Logger)):
            raise InputError(
                f"{name} is no logger",
                where="training.loggers",
                remedy="name a subclass of lightning.pytorch.loggers.Logger.",
            )
        classes.append(candidate)
    return classes


def make_loggers(names: Sequence[str], folder: Path, allow: Collection[str] = ()) -> list[Logger]:
    """The loggers of a run: they write into the folders ``csv``, ``tensorboard`` and ``wandb`` of its folder; one's own
    takes ``save_dir``.

    Raises:
        InputError: as :func:`logger_classes`, or one can't be made.
    """
    own: dict[str, dict[str, Any]] = {
        "csv": {"version": "", "flush_logs_every_n_steps": 1},
        "wandb": {"id": folder.name, "resume": "allow"},  # a run that goes on is one run there too
    }
    loggers = []
    for name, kind in zip(names, logger_classes(names, allow), strict=True):
        arguments = own.get(name, {})
        if name in LOGGERS or "save_dir" in inspect.signature(kind).parameters:
            arguments = {"save_dir": str(folder), "name": name.rpartition(":")[2], **arguments}
            if name not in LOGGERS:
                del arguments["name"]
        with fenced("the logger can't be made", name, "correct it, or leave it out of training.loggers."):
            loggers.append(kind(**arguments))
    return loggers
