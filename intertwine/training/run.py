"""A training run from configuration to report."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from intertwine.data import GraphStore, Splits
from intertwine.data.labels import table
from intertwine.numerics import CheckpointError, FolderLock, InputError, IntertwineError
from intertwine.tasks import Task
from intertwine.training.certification import conclude
from intertwine.training.checkpoint import load_checkpoint
from intertwine.training.config import Config, resolve
from intertwine.training.declared import check_state
from intertwine.training.evaluation import evaluate
from intertwine.training.folder import (
    CHECKPOINTS,
    CONFIG,
    REPORT,
    SPLITS,
    check_empty,
    load_run,
    make_folder,
    new_folder,
    rebuilt,
    write_json,
)  # fmt: skip
from intertwine.training.partition import read_splits
from intertwine.training.progress import Progress, duration, say
from intertwine.training.sections import merge, read_config, write_sections
from intertwine.training.sets import Sets, open_sets, save_splits
from intertwine.training.settle import settle
from intertwine.training.start import begin, begun


def train(
    config: Config | Mapping[str, Any] | str | Path | None = None, *, progress: bool = True, run: Path | str | None = None,
    resume: bool = False, store: GraphStore | None = None, allow: Collection[str] = (),
) -> Path:  # fmt: skip
    """Train a model: read the data, fit, test, draw pictures.

    A run that was killed at any moment goes on with ``resume=True`` from its last epoch, and on a CPU with the same number of threads
    ends with the same bits as one that was not (unless it has a time budget, whose learning rates follow the clock).

    Args:
        config: a configuration, its sections as dicts, or the path of a TOML file; what is missing takes its default or what the data
            suggest. With ``resume`` it may be left out; of a run that has begun only the section ``training`` may change.
        progress: report to the user.
        run: the folder; by default ``runs/<data>-<model>-<time>``. Nobody else can train in it meanwhile.
        resume: go on with the run in that folder, or start it over if it has no checkpoint yet.
        store: the data, if they are already open; then ``data.source`` is only their name.
        allow: modules outside the package whose models, tasks and data sets the configuration may name, as ``module:Class``.

    Returns:
        The run folder: ``config.toml``, ``splits.json``, ``best.safetensors``, ``last.safetensors``, ``metrics.csv``, ``report.json``,
        ``certificate.json`` and pictures.

    Raises:
        InputError: the configuration is wrong, or the folder is taken.
        DataError: the data are.
        CheckpointError: something can't be read or written, or another training is at work in the folder.
        KeyboardInterrupt: somebody asked to stop (Ctrl-C, or as :class:`~intertwine.numerics.Stopped` a signal to end); everything up to
            the last epoch is saved.
    """
    given = (
        read_config(config) if isinstance(config, str | Path) else config.sections() if isinstance(config, Config) else merge(config or {})
    )
    named = given if "name" in given["model"] else given | {"model": {}}  # the data will say which, and whose arguments these are
    checked = resolve(named, allow=allow)  # before anything is made
    _enough_devices(checked)
    if store is not None and checked.training.devices > 1:
        raise InputError(
            "data in memory can't be shared by several processes", where="training.devices", remedy="save them to a file and give its path."
        )
    opened = None
    if resume:
        folder = _existing(run)
    elif run is not None:
        folder = make_folder(run)
    else:  # is called after the model, which the data may decide
        opened = _open(given, None, store, progress, allow)
        folder = new_folder(f"{_stem(checked)}-{opened[1].model.name.rpartition(':')[2]}")
    with FolderLock(folder) as lock:
        try:
            return _locked(folder, lock, given, opened, resume, store, progress, allow)
        except KeyboardInterrupt:
            say(f"{_kept(folder)}\nstopped; go on with: intertwine train --resume {shlex.quote(str(folder))}", progress)
            raise


def _locked(
    folder: Path, lock: FolderLock, given: dict[str, Any], opened: tuple[Sets, Config] | None, resume: bool, store: GraphStore | None,
    show: bool, allow: Collection[str],
) -> Path:  # fmt: skip
    """The run, in a folder that nobody else writes to."""
    state = None
    for part in folder.glob(".*.part.*"):  # of a save that was cut short
        part.unlink(missing_ok=True)
    if resume:
        given, state = _reopen(folder, given, allow)
    else:
        check_empty(folder)
    try:
        if state is None:
            write_sections(given, folder / CONFIG)
        sets, settled = opened or _open(given, read_splits(folder / SPLITS) if state else None, store, show, allow)
        if len(sets.train) < settled.training.devices:  # before that many processes start
            what = f"{len(sets.train)} structures for {settled.training.devices} processes"
            raise InputError(what, where="training.devices", remedy="use fewer devices or more data.")
        settled.save(folder / CONFIG)
        save_splits(sets, folder / SPLITS)
        return _train(settled, sets, folder, state, show, lock, allow)
    except IntertwineError:
        if not resume:
            _withdraw(folder, lock)
        raise


def _open(
    given: dict[str, Any], splits: Splits | None, store: GraphStore | None, show: bool, allow: Collection[str]
) -> tuple[Sets, Config]:
    """The data, and the configuration that suits them."""
    sets = open_sets(resolve({"data": given["data"]}).data, splits=splits, store=store, progress=show, allow=allow)
    return sets, settle(sets, begun(sets, given, allow) if splits is None else given, allow=allow)


def _withdraw(folder: Path, lock: FolderLock) -> None:
    """Take away the folder of a run that could not begin, so that it is not in the way of the next attempt."""
    if any((folder / name).exists() for name in CHECKPOINTS.values()):
        return
    for name in (CONFIG, SPLITS):
        (folder / name).unlink(missing_ok=True)
    lock.release()
    with contextlib.suppress(OSError):  # there is something else in it
        folder.rmdir()


def _enough_devices(config: Config) -> None:
    """Raise an :class:`InputError` if there are fewer cores, or GPUs, than processes are asked for."""
    wanted, gpus = config.training.devices, torch.cuda.device_count()
    on_gpu = config.training.accelerator == "gpu" or (config.training.accelerator == "auto" and gpus > 0)
    there, name = (gpus, "GPUs") if on_gpu else (os.cpu_count() or 1, "cores")
    if wanted > there:
        raise InputError(f"{wanted} processes on {there} {name}", where="training.devices", remedy=f"give at most {there}.")


def _stem(config: Config) -> str:
    """The data set's name, without folders, endings and the signs of a pattern; that of the folder, where nothing else is left."""
    source = Path(config.data.source.rpartition(":")[2])
    names = (re.sub(r"[*?\[\]!]", "", each.split(".")[0]).strip("-_") for each in (source.name, source.parent.name))
    return next(filter(None, names), "data")


def join(folder: Path, rank: int, port: int, allow: Collection[str] = ()) -> None:
    """Take part in a run as helper process ``rank``; the first process is at ``port``."""
    from intertwine.training.fitting import fit, threads
    from intertwine.training.processes import say_ready

    config = resolve(read_config(folder / CONFIG), allow=allow)
    sets = open_sets(config.data, splits=read_splits(folder / SPLITS), progress=False, allow=allow)
    with threads(config.training), _seeded(config):
        task = _fitted(config, sets)
        prepared = sets.prepared(task.cutoff, task.labels(sets.source.fields))
        last = folder / CHECKPOINTS["last"]
        state = load_checkpoint(last) if last.is_file() else None
        if config.start.run and state is None:
            begin(task, config, prepared.train, allow)
        say_ready()
        fit(task, config, prepared, folder, state=state, rank=rank, port=port)


def _train(
    config: Config, sets: Sets, folder: Path, state: dict[str, Any] | None, show: bool, lock: FolderLock, allow: Collection[str]
) -> Path:
    from intertwine.training.fitting import fit, threads
    from intertwine.training.processes import helpers

    options = config.training
    with threads(options), _seeded(config):
        task = _fitted(config, sets)
        progress = Progress(
            {name: metric.unit for name, metric in task.metrics.items()}, epochs=options.epochs, minutes=options.minutes, enabled=show,
            steps=-(-len(sets.train) // (options.batch_size * options.devices)), frames=len(sets.train),
        )  # fmt: skip
        if show:
            _introduce(progress, config, sets, task, folder, state)
        about = {"config": config.sections(), "species": sets.train.species(), "units": sets.source.units, "data": sets.source.name}
        prepared = sets.prepared(task.cutoff, task.labels(sets.source.fields))
        several = helpers(folder, options.devices, torch.get_num_threads(), allow) if options.devices > 1 else contextlib.nullcontext(0)
        about["labels"] = [decision._asdict() for decision in sets.source.decisions]
        if state is not None:
            about["species"] = state["species"]
        elif config.start.run:
            lines, known = begin(task, config, prepared.train, allow)
            about["species"] = sorted({*known, *sets.train.species()}) if known else []  # none are all
            for line in lines if show else ():
                progress.say(line)
        with several as port:
            try:
                fit(task, config, prepared, folder, state=state, about=about, progress=progress, port=port, lock=lock)
            except Exception:
                if show and (folder / CHECKPOINTS["last"]).is_file():
                    progress.say(f"failed. {_kept(folder)}")
                raise
        _report(folder, config, prepared, task, progress.say if show else lambda line: None, allow)
    if show:
        progress.say(f"next     look at {folder / 'overview.png'}; intertwine {', '.join(task.uses)} {folder}")
        progress.say(f"results  {folder}")
    return folder


def _kept(folder: Path) -> str:
    """What of a run that ended early is on the disk."""
    try:
        return f"Everything up to epoch {load_checkpoint(folder / CHECKPOINTS['last'])['epoch']} is saved in {folder}"
    except CheckpointError:
        return f"No epoch was finished, so no weights are saved in {folder}"


def _existing(run: Path | str | None) -> Path:
    """The folder of a run to go on with."""
    if run is None:
        raise InputError("which run?", where="run", remedy="give the run folder to resume.")
    folder = Path(run)
    if not folder.is_dir():
        raise CheckpointError("no such run folder", where=str(folder), remedy="give the folder that `intertwine train` printed.")
    return folder


def _reopen(folder: Path, given: dict[str, Any], allow: Collection[str]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The configuration of a run to go on with, under the given changes, and its last state if there is one."""
    stored = read_config(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    last = folder / CHECKPOINTS["last"]
    if not last.is_file():
        if not stored and not any(given.values()):
            raise CheckpointError(
                "the run is half-written: it has no configuration", where=str(folder), remedy="delete the folder and train again."
            )
        return merge(stored, given), None
    state = load_checkpoint(last)
    if not isinstance(state, dict) or not {"config", "weights", "optimizer", "epoch"} <= state.keys():
        raise CheckpointError("is not the last state of a run", where=str(last), remedy="delete it to start the run over.")
    former, task = rebuilt(state["config"], last, allow)
    check_state(state, task, str(last))
    merged = merge(state["config"], given)
    changed = resolve(merged, allow=allow)
    for section in ("data", "model", "task", "start"):
        if getattr(changed, section) != getattr(former, section):
            raise InputError(
                f"section {section!r} differs from that of the run",
                where=str(folder),
                remedy="leave it out, or start a new run; only [training] may change.",
            )
    return merged, state


def _fitted(config: Config, sets: Sets) -> Task:
    """The untrained task with the statistics of the training set."""
    task = config.build()
    training = sets.train.only(*task.labels(sets.source.fields))
    task.fit(training[k] for k in range(len(training)))
    return task


@contextlib.contextmanager
def _seeded(config: Config):
    """Random numbers of the training (dropout) start from the seed, and those of the caller are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        yield


def _report(folder: Path, config: Config, sets: Sets, task: Task, say: Callable[[str], None], allow: Collection[str]) -> dict[str, Any]:
    """Test and certify the best weights; write ``report.json``, the certificate and pictures."""
    from intertwine.training.pictures import draw

    trained = load_run(folder, which="best" if (folder / CHECKPOINTS["best"]).is_file() else "last", allow=allow)
    last = load_checkpoint(folder / CHECKPOINTS["last"])
    rows = last["rows"]
    best = next((row for row in rows if row["epoch"] == trained.epoch), rows[-1])
    test = evaluate(trained, sets.test) if len(sets.test) else {}
    report: dict[str, Any] = {
        "run": str(folder), "data": config.data.source, "model": config.model.name, "task": config.task.name,
        "parameters": sum(p.numel() for p in task.parameters()),
        "structures": {"train": len(sets.train), "validation": len(sets.validation), "test": len(sets.test)},
        "epochs": last["epoch"], "steps": last["steps"], "seconds": last["seconds"], "best_epoch": trained.epoch,
        "start": config.sections().get("start"),
        "validation": {name.removeprefix("validation_"): value for name, value in best.items() if name.startswith("validation_")},
        "test": test, "statistics": task.describe(), "notes": list(sets.source.notes),
        "labels": [decision._asdict() for decision in sets.source.decisions], "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }  # fmt: skip
    write_json(folder / REPORT, report)  # before what may take a while or go wrong
    _conclude(say, report)
    certificate = conclude(trained, sets.test, say) if config.training.certify else None
    if certificate is not None:
        report["certificate"] = {"passed": certificate.passed, "summary": certificate.summary()}
    report["pictures"] = draw(folder, trained, rows, sets.test, certificate)
    write_json(folder / REPORT, report)
    return report


def _introduce(progress: Progress, config: Config, sets: Sets, task: Task, folder: Path, state: dict[str, Any] | None) -> None:
    for note in sets.source.notes:
        progress.say(f"note: {note}")
    for k, line in enumerate(table(sets.source.decisions)):
        progress.say(f"{'' if k else 'labels':8} {line}")
    progress.say(
        f"data     {_stem(config)}: {len(sets.train)} structures to train on, {len(sets.validation)} to validate, {len(sets.test)} to test"
    )
    for part, kept in (("validation", sets.validation), ("test", sets.test)):
        if len(kept) < FEW:
            progress.say(f"warning: {len(kept)} structures in the {part} set; errors on so few mean little")
    weights = sum(p.numel() for p in task.parameters())
    progress.say(f"model    {config.model.name}, {weights:,} weights, {config.training.precision}; task {config.task.name}")
    progress.say(f"run      {folder}" + (f", resumed after epoch {state['epoch']}" if state else ""))


FEW = 5  # structures, below which an error is an anecdote


def _conclude(say: Callable[[str], None], report: dict[str, Any]) -> None:
    time_taken = duration(report["seconds"])
    epochs = f"{report['epochs']} epoch{'s' * (report['epochs'] != 1)}"
    say(f"trained  {epochs}, {report['steps']} steps, {time_taken}; best after epoch {report['best_epoch']}")
    for target, errors in report["test"].items():
        relative = f" ({100 * errors['relative']:.1f} % of the labels' rms)" if "relative" in errors else ""
        mae = f"{errors['mae']:.4g} {errors['unit']}".rstrip()
        mse = f", MSE {errors['mse']:.4g}" if "mse" in errors else ""
        rmse = f"{errors['rmse']:.4g} {errors['unit']}".rstrip()
        say(f"test     {target}: MAE {mae}{relative}, RMSE {rmse}{mse}")
        if errors.get("relative", 0.0) > 1.0:
            say(f"warning: {target} are predicted worse than by zero; train longer, on more data, or check units and labels")
