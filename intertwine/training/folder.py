"""The run folder: what is in it, making it, and reading a trained task out of it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols

from intertwine.data.suspicion import Seen
from intertwine.data.suspicion.domain import Domain
from intertwine.nn.frozen_radial import freeze_radial
from intertwine.numerics import (
    CheckpointError,
    InputError,
    IntertwineError,
    check_tensors,
    choose,
    lack_of_memory,
    write_atomically,
)
from intertwine.numerics.checkpoint import load_checkpoint
from intertwine.numerics.devices import computing_device
from intertwine.numerics.locks import LOCK
from intertwine.numerics.plugins import NotAllowed
from intertwine.numerics.showing import facts_as_html, facts_as_text
from intertwine.tasks import Task
from intertwine.training.averaging import averaged
from intertwine.training.config import Config, resolve
from intertwine.training.declared import check_baselines, check_run, check_weights
from intertwine.training.deployed import SPLINES, Deployed, is_deployed, read_deployed

CERTIFICATE = "certificate.json"
CONFIG, SPLITS, REPORT, SEEN = "config.toml", "splits.json", "report.json", "seen.npz"
CHECKPOINTS = {"best": "best.safetensors", "last": "last.safetensors"}


@dataclass(repr=False)
class Run:
    """A trained task and where it came from.

    Args:
        folder: the run folder.
        config: its resolved configuration.
        task: the task, in evaluation mode.
        species: atomic numbers of the training set; empty if its nodes are not atoms.
        epoch: after which the weights were taken.
        which: "best" or "last".
        units: of the labels that it was trained on, by name.
        deployed: what the file says, of a run that was read from a deployed file; ``folder`` is that file then.
        labels: the names that labels had in the file that it was trained on, by label; empty where it does not say.
    """

    folder: Path
    config: Config
    task: Task
    species: tuple[int, ...]
    epoch: int
    which: str
    units: Mapping[str, str] = field(default_factory=dict)
    deployed: Deployed | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def domain(self) -> Domain | None:
        """The reach of its training data, as far as it tells."""
        if self.deployed is not None:
            return self.deployed.domain
        seen = Seen.load(self.folder / SEEN)
        return seen.domain if seen is not None else None

    @property
    def allow(self) -> tuple[str, ...]:
        """Modules outside the package whose code it may run."""
        return self.config.allow

    def __repr__(self) -> str:
        return facts_as_text("Run", self._facts())

    def _repr_html_(self) -> str:
        return facts_as_html("Run", self._facts())

    def _facts(self) -> dict[str, Any]:
        """What it is, in words; numbers of its test are in ``report.json``."""
        return {
            "folder": str(self.folder),
            "task": self.task.name,
            "outputs": ", ".join(f"{name} ({o.unit})" if o.unit else name for name, o in self.task.outputs.items()),
            "model": type(self.task.backbone).__name__,
            "weights": f"{sum(parameter.numel() for parameter in self.task.parameters()):,}",
            "species": " ".join(chemical_symbols[z] for z in self.species) or None,
            "data": self.config.data.source,
            "checkpoint": f"{self.which}, epoch {self.epoch}",
        }


def load_run(
    path: Path | str,
    *,
    which: str = "best",
    device: str | torch.device = "auto",
    dtype: torch.dtype | None = None,
    allow: Collection[str] = (),
) -> Run:
    """Read a run folder, one of its checkpoints, or a deployed file.

    Args:
        path: the folder, a ``.safetensors`` file in it, or a ``.iw`` file of ``intertwine deploy``.
        which: "best" or "last"; both are the averaged weights.
        device: where the task goes: "auto" (a CUDA GPU if torch sees one, else the CPU), "cpu", "cuda", "cuda:1".
        dtype: precision to compute in; None for that of the training.

    Raises:
        CheckpointError: the folder is missing or half-written, or the checkpoint is damaged, of a newer version, or has
            a tensor that is not what the task declares, which is named.
        InputError: ``which`` is neither, the device is unknown or not there, or the run names a class of a module that
            is not allowed.
    """
    path = Path(path)
    choose(which, CHECKPOINTS, kind="checkpoint", where="which")
    place = computing_device(device)
    if is_deployed(path):
        run = from_deployed(read_deployed(path), path, allow)
        run.task = (run.task if dtype is None else run.task.to(dtype)).to(place)
        return run
    file = path if path.suffix == ".safetensors" else path / CHECKPOINTS[which]
    if file is not path:
        check_folder(path, file)
    state = load_checkpoint(file)
    check_run(state, str(file))
    run = with_weights(*rebuilt(state["config"], file, allow), state, file, which)
    run.task = (run.task if dtype is None else run.task.to(dtype)).to(place)
    return run


def from_deployed(content: Deployed, path: Path, allow: Collection[str] = ()) -> Run:
    """The run of a deployed file, on the CPU in its own precision; its weights ask for no gradients.

    Args:
        content: of the file.
        path: of it.
        allow: modules outside the package whose classes it may name.

    Raises:
        CheckpointError: this version can't make it, or a tensor is not what the model declares.
    """
    about, weights = content.about, content.part("weights")
    config, task = rebuilt(about["configuration"], path, allow)
    if about["form"] == SPLINES:
        freeze_radial(task, int(about["knots"]))
    check_tensors(weights, task.state_dict(), where=str(path))
    task.load_state_dict(weights)
    for name, coefficients in content.part("baseline").items():
        if name in task.baselines:
            task.baselines[name].coefficients = coefficients
    species, units = tuple(int(z) for z in about["species"]), dict(about.get("label_units") or {})
    task = task.requires_grad_(False).eval()
    return Run(path, config, task, species, int(about["epoch"]), str(about["which"]), units, content)


def with_weights(config: Config, task: Task, state: dict[str, Any], file: Path, which: str) -> Run:
    """The run whose checkpoint is in this file: the task, built by this configuration, gets its weights.

    Raises:
        CheckpointError: a tensor is not what the task declares.
    """
    mean = check_weights(state, task, str(file))
    task.load_state_dict(state["weights"])
    for name, coefficients in check_baselines(state, str(file)).items():
        if name in task.baselines:
            task.baselines[name].coefficients = coefficients
    with torch.no_grad():
        for live, value in zip(averaged(task).values(), mean, strict=False):
            live.copy_(value)
    units = state["units"] if isinstance(state.get("units"), Mapping) else {}
    kept = state["labels"] if isinstance(state.get("labels"), list) else []
    labels = {each["label"]: each["key"] for each in kept if isinstance(each, Mapping) and {"label", "key"} <= {*each}}
    about = tuple(state["species"]), state["epoch"], which, units
    return Run(file.parent, config, task.eval(), *about, labels=labels)


def rebuilt(sections: Any, file: Path, allow: Collection[str] = ()) -> tuple[Config, Task]:
    """The configuration that a checkpoint keeps, and the untrained task that it describes.

    Raises:
        CheckpointError: this version can't make it.
    """
    try:
        config = resolve(sections, allow=allow)
        return config, config.build()
    except NotAllowed:
        raise
    except (IntertwineError, RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        if lack_of_memory(error):
            raise
        raise CheckpointError(
            f"does not fit this version: {error}",
            where=str(file),
            remedy="use the version that wrote it, or train again.",
        ) from error


def check_folder(folder: Path, file: Path) -> None:
    """Raise a :class:`CheckpointError` that says what a folder without the checkpoint is."""
    if not folder.is_dir():
        raise CheckpointError(
            "no such run folder", where=str(folder), remedy="give the folder that `intertwine train` printed."
        )
    if file.is_file():
        return
    if (folder / CONFIG).is_file():
        raise CheckpointError(
            f"the run is half-written: {file.name} is missing",
            where=str(folder),
            remedy=f"training ended before its first checkpoint; resume it: intertwine train --resume {folder}",
        )
    raise CheckpointError(
        "is not a run folder: it has neither config.toml nor checkpoints",
        where=str(folder),
        remedy="give the folder that `intertwine train` printed.",
    )


def make_folder(run: Path | str) -> Path:
    """A folder for a run, empty but for a lock.

    Raises:
        InputError: it is not empty.
        CheckpointError: it can't be made.
    """
    folder = Path(run)
    with _can_be_made(run):
        if folder.exists() and not (folder.is_dir() and ((folder / LOCK).exists() or not any(folder.iterdir()))):
            raise _taken(folder)
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def new_folder(name: str) -> Path:
    """A new folder ``runs/<name>-<time>``.

    Raises:
        CheckpointError: it can't be made.
    """
    stem, number = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}", 1
    folder = Path("runs") / stem
    with _can_be_made("runs"):
        while True:
            try:
                folder.mkdir(parents=True)
                return folder
            except FileExistsError:
                number += 1
                folder = Path("runs") / f"{stem}-{number}"


def existing(run: Path | str | None) -> Path:
    """The folder of a run to go on with.

    Raises:
        InputError: none is named.
        CheckpointError: there is none.
    """
    if run is None:
        raise InputError("which run?", where="run", remedy="give the run folder to resume.")
    folder = Path(run)
    if not folder.is_dir():
        raise CheckpointError(
            "no such run folder", where=str(folder), remedy="give the folder that `intertwine train` printed."
        )
    return folder


def check_empty(folder: Path) -> None:
    """Raise an :class:`InputError` if there is something in a folder that has just been locked."""
    if any(path.name != LOCK for path in folder.iterdir()):
        raise _taken(folder)


def _taken(folder: Path) -> InputError:
    remedy = f"choose another folder, or resume: intertwine train --resume {folder}"
    return InputError("exists and is not empty", where=str(folder), remedy=remedy)


@contextlib.contextmanager
def _can_be_made(folder: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"can't be made: {error.strerror}", where=str(folder), remedy="choose a folder that you can write to."
        ) from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, atomically; numbers that are not finite become null.

    Raises:
        CheckpointError: the file can't be written.
    """
    write_atomically(path, (json.dumps(_finite(content), indent=2) + "\n").encode())


def read_json(path: Path | None) -> dict[str, Any]:
    """A JSON file of a run; empty if there is none.

    Raises:
        CheckpointError: it is no JSON.
    """
    if path is None or not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"can't be read: {error}", where=str(path), remedy="delete it.") from error
    return content if isinstance(content, dict) else {}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and value - value != 0 else value
