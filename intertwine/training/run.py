"""A training run from configuration to report."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from intertwine.data import GraphStore, Splits
from intertwine.numerics import CheckpointError, FolderLock, InputError, IntertwineError
from intertwine.numerics.checkpoint import load_checkpoint
from intertwine.numerics.showing import counted
from intertwine.tasks import Task
from intertwine.training.config import Config, as_given, check, resolve, wants_labels
from intertwine.training.declared import check_state
from intertwine.training.evaluation import fields_of
from intertwine.training.folder import (
    CHECKPOINTS,
    CONFIG,
    SEEN,
    SPLITS,
    check_empty,
    existing,
    make_folder,
    new_folder,
    rebuilt,
)  # fmt: skip
from intertwine.training.interruption import kept_in, stopped_at
from intertwine.training.location import FILES, absolute, located
from intertwine.training.nodes import Place, Team
from intertwine.training.options import DataOptions
from intertwine.training.processes import check_processes, helpers
from intertwine.training.progress import Progress, say
from intertwine.training.report import afterwards, introduce, report, shown, stem
from intertwine.training.sections import Sections, given, given_in, merge, read_config, write_sections
from intertwine.training.sets import Sets, open_sets
from intertwine.training.settle import settle
from intertwine.training.start import begin, begun
from intertwine.training.summary import versions


def train(
    config: Config | Mapping[str, Any] | str | Path | None = None, *, progress: bool = True,
    run: Path | str | None = None, resume: bool = False, store: GraphStore | None = None, allow: Collection[str] = (),
    callbacks: Sequence[Any] = (),
) -> Path:  # fmt: skip
    """Train a model: read the data, fit, test, draw pictures.

    A run that was killed at any moment goes on with ``resume=True`` from its last epoch, and on a CPU with the same
    number of threads ends with the same bits as one that was not (unless it has a time budget, whose learning rates
    follow the clock).

    Args:
        config: a configuration, its sections as dicts, or the path of a TOML file; what is missing takes its default or
            what the data suggest. With ``resume`` it may be left out; of a run that has begun only the section
            ``training`` may change, and in ``data`` the paths ``source`` and ``test`` of the same data.
        progress: report to the user.
        run: the folder; by default ``runs/<data>-<model>-<time>``. It is locked while the training runs.
        resume: go on with the run in that folder, or start it over if it has no checkpoint yet.
        store: the data, if they are already open; then ``data.source`` is only their name.
        allow: modules outside the package whose models, tasks, data sets and loggers the configuration may name, as
            ``module:Class``.
        callbacks: Lightning callbacks, or functions of an epoch's metrics (a row of ``metrics.csv``). They are not
            saved: give them again with ``resume``.

    Returns:
        The run folder: ``config.toml``, ``splits.json``, ``best.safetensors``, ``last.safetensors``, ``metrics.csv``,
        ``report.json``, ``certificate.json`` and pictures.

    Raises:
        InputError: the configuration is wrong, the folder is taken, or a callback failed (it is named).
        DataError: the data are.
        CheckpointError: something can't be read or written, or another training is at work in the folder.
        KeyboardInterrupt: a request to stop (Ctrl-C, or as :class:`~intertwine.numerics.Stopped` a signal to end);
            everything up to the last epoch is saved.
    """
    sections = as_given(config, allow)
    data, training = check(sections)  # before anything is made
    if callbacks:
        from intertwine.training.callbacks import check_callbacks

        check_callbacks(callbacks)
    check_processes(training, callbacks=len(callbacks) > 0, store=store is not None)
    if training.loggers:
        from intertwine.training.loggers import logger_classes

        logger_classes(training.loggers, allow)
    with Team(training) as team:
        if not team.first:
            return join(Path(team.hear("folder")), team.launch.place, team.launch.port, sections.allow, team)
        return _lead(team, sections, data, progress, run, resume, store, callbacks)


def _lead(
    team: Team, sections: Sections, data: DataOptions, progress: bool, run: Path | str | None, resume: bool,
    store: GraphStore | None, callbacks: Sequence[Any],
) -> Path:  # fmt: skip
    """The run, as the process that has the folder."""
    ready = None
    if resume:
        folder = existing(run)
    elif run is not None:
        folder = make_folder(run)
    else:  # is called after the model, which the data may decide
        ready = opened(sections, data, store, progress)
        folder = new_folder(f"{stem(data)}-{ready[1].model.name.rpartition(':')[2]}")
    with FolderLock(folder) as lock:
        try:
            return _locked(folder, lock, sections, data, ready, resume, store, progress, callbacks, team)
        except KeyboardInterrupt:
            say(stopped_at(folder), progress)
            raise


def _locked(
    folder: Path, lock: FolderLock, sections: Sections, data: DataOptions, ready: tuple[Sets, Config] | None,
    resume: bool, store: GraphStore | None, show: bool, callbacks: Sequence[Any], team: Team,
) -> Path:  # fmt: skip
    """The run, in a folder that is locked for it."""
    kept, changes, former = None, sections, given_in(folder / CONFIG) if resume else None
    for part in folder.glob(".*.part.*"):  # of a save that was cut short
        part.unlink(missing_ok=True)
    if resume:
        sections, kept = _reopen(folder, sections, store)
        data = data if kept else check(sections)[0]  # that the folder keeps
    else:
        check_empty(folder)
    try:
        if kept is not None:
            config, task, state = kept
            sets = _divided(folder, config, store, show)
        else:
            write_sections(lasting(sections, store), folder / CONFIG)
            sets, config = ready or opened(sections, data, store, show)
            task, state = None, None
        team.check(config.training)
        if len(sets.train) < config.training.processes:  # before that many start
            what = f"{counted(len(sets.train), 'structures')} for {config.training.processes} processes"
            raise InputError(what, where="training.devices", remedy="use fewer devices or more data.")
        # of a run that has not begun, what it is told now and what its configuration says
        named = given(changes, state or former) if state or former else given(sections)
        config.save(folder / CONFIG, named)
        sets.splits.save(folder / SPLITS)
        if sets.seen is not None:
            sets.seen.save(folder / SEEN)
        team.say("folder", str(folder.resolve()))
        return _train(config, sets, folder, task, state, show, lock, callbacks, team, named)
    except IntertwineError:
        if not resume:
            _withdraw(folder, lock)
        raise


def opened(sections: Sections, data: DataOptions, store: GraphStore | None, show: bool) -> tuple[Sets, Config]:
    """The data, and the configuration that suits them."""
    labelled = wants_labels(sections["task"].get("name"), sections.allow)
    sets = open_sets(data, store=store, progress=show, allow=sections.allow, labelled=labelled)
    return sets, settle(sets, begun(sets, lasting(sections, store)))


def lasting(sections: Sections, store: GraphStore | None) -> Sections:
    """The sections with paths that hold in any working directory."""
    return merge(sections, {"data": absolute(sections["data"], opened=store is not None)})


def _divided(folder: Path, config: Config, store: GraphStore | None = None, show: bool = False) -> Sets:
    """The data of a run that has begun, divided as its folder says."""
    splits = Splits.load(folder / SPLITS) if (folder / SPLITS).is_file() else None
    labelled = wants_labels(config.task.name, config.allow)
    return open_sets(config.data, splits=splits, store=store, progress=show, allow=config.allow, labelled=labelled)


def _withdraw(folder: Path, lock: FolderLock) -> None:
    """Take away the folder of a run that could not begin, so that it is not in the way of the next attempt."""
    if any((folder / name).exists() for name in CHECKPOINTS.values()):
        return
    for name in (CONFIG, SPLITS, SEEN):
        (folder / name).unlink(missing_ok=True)
    lock.release()
    with contextlib.suppress(OSError):  # there is something else in it
        folder.rmdir()


def join(folder: Path, place: Place, port: int, allow: Collection[str] = (), team: Team | None = None) -> Path:
    """Take part in a run as a process that is not the first, which meets at ``port``; without a team, as its machine's
    helper.
    """
    from intertwine.training.fitting import fit, threads
    from intertwine.training.processes import say_ready

    if not (folder / CONFIG).is_file():
        remedy = (
            "all machines need the folder of the run, by the same path: choose one of a shared file system with --run."
        )
        raise CheckpointError("is not on this machine", where=str(folder), remedy=remedy)
    config = resolve(read_config(folder / CONFIG), allow=allow)
    sets = _divided(folder, config)
    with threads(config.training), seeded(config), contextlib.ExitStack() as stack:
        task = fitted(config.build(), sets)
        prepared = sets.prepared(task, fields_of(task, sets.source.fields))
        last = folder / CHECKPOINTS["last"]
        state = load_checkpoint(last) if last.is_file() else None
        if state is None:
            begin(task, config, prepared.train)
        if team is None:
            say_ready()
        else:
            stack.enter_context(_gathered(team, folder, config))
        fit(task, config, prepared, folder, state=state, place=place, port=port)
    return folder


@contextlib.contextmanager
def _gathered(team: Team, folder: Path, config: Config) -> Iterator[int]:
    """All processes of the run are prepared inside the ``with`` block, those started that are this one's to start;
    gives their port.
    """
    where, count = team.launch, team.starts
    shared = (
        helpers(folder, count, torch.get_num_threads(), config.allow, where.place.node, where.port)
        if count > 1
        else None
    )
    with shared or contextlib.nullcontext(where.port) as port:
        team.gather()
        yield port


def _train(
    config: Config, sets: Sets, folder: Path, task: Task | None, state: dict[str, Any] | None, show: bool,
    lock: FolderLock, callbacks: Sequence[Any], team: Team, named: Sequence[str] | None,
) -> Path:  # fmt: skip
    """Fit, test and report; ``task`` and ``state`` are those of a run that goes on, ``named`` the settings of users."""
    from intertwine.training.fitting import fit, threads
    from intertwine.training.loggers import make_loggers

    options = config.training
    with threads(options), seeded(config):
        task = fitted(task or config.build(), sets)
        sets.source.warn(task.doubts(sets.test))
        progress = Progress(
            shown(task, sets.source.fields), epochs=options.epochs, minutes=options.minutes, enabled=show,
            mean=task.heading,
            steps=-(-len(sets.train) // (options.batch_size * options.processes)), frames=len(sets.train),
        )  # fmt: skip
        if show:
            introduce(progress, config, sets, task, folder, state)
        about = {
            "config": config.sections(),
            "species": sets.train.species(),
            "units": sets.source.units,
            "data": sets.source.name,
            "labels": [decision._asdict() for decision in sets.source.decisions],
            "versions": versions(),
            "baselines": {name: b.coefficients for name, b in task.baselines.items() if b.coefficients is not None},
        }
        prepared = sets.prepared(task, fields_of(task, sets.source.fields))
        loggers = make_loggers(options.loggers, folder, config.allow)
        about |= {} if named is None else {"given": list(named)}
        if state is not None:
            about["species"] = state["species"]
        else:
            lines, species = begin(task, config, prepared.train)
            about["species"] = sorted({*species, *sets.train.species()}) if species else []  # none are all
            for line in lines if show else ():
                progress.say(line)
        with _gathered(team, folder, config) as port:
            try:
                fit(
                    task, config, prepared, folder, state=state, about=about, progress=progress, port=port, lock=lock,
                    loggers=loggers, callbacks=callbacks,
                )  # fmt: skip
            except Exception:
                if show and (folder / CHECKPOINTS["last"]).is_file():
                    progress.say(f"failed. {kept_in(folder)}")
                raise
        results = report(folder, config, prepared, task, progress.say if show else lambda line: None)
    if show:
        progress.say(f"next     {afterwards(folder, results, task)}")
        progress.say(f"results  {folder}")
    return folder


def _reopen(
    folder: Path, sections: Sections, store: GraphStore | None
) -> tuple[Sections, tuple[Config, Task, dict[str, Any]] | None]:
    """The sections of a run to go on with, under the given changes; and if it has begun, its configuration, its task
    and its last state.

    What has begun is settled: the data suggest nothing more.
    """
    last = folder / CHECKPOINTS["last"]
    if not last.is_file():
        stored = read_config(folder / CONFIG) if (folder / CONFIG).is_file() else {}
        if not stored and not any(sections.values()):
            what, remedy = "the run is half-written: it has no configuration", "delete the folder and train again."
            raise CheckpointError(what, where=str(folder), remedy=remedy)
        return merge(stored, sections), None
    state = load_checkpoint(last)
    if not isinstance(state, dict) or not {"config", "weights", "optimizer", "epoch"} <= state.keys():
        raise CheckpointError(
            "is not the last state of a run", where=str(last), remedy="delete it to start the run over."
        )
    config, task = rebuilt(state["config"], last, sections.allow)
    check_state(state, task, str(last))
    where = {name: sections["data"].pop(name) for name in FILES if name in sections["data"]}
    if store is None:
        config = replace(config, data=located(config.data, folder, **where))
    if not any(sections.values()):
        return sections, (config, task, state)
    if run := sections["start"].get("run"):  # the run keeps where it is, and what it was
        sections["start"] |= {"run": str(Path(run).resolve()), "weights": config.start.weights or "none"}
    changed = resolve(merge(config.sections(), sections))
    for section in ("data", "model", "symmetrize", "task", "start"):
        if getattr(changed, section) != getattr(config, section):
            raise InputError(
                f"section {section!r} differs from that of the run",
                where=str(folder),
                remedy="leave it out, or start a new run; only [training] may change, and where the data are.",
            )
    if changed.training.precision != config.training.precision:
        task = changed.build()
    return sections, (changed, task, state)


def fitted(task: Task, sets: Sets) -> Task:
    """With the statistics and the baselines of the training set."""
    training = sets.train.only(*task.labels(sets.source.fields))
    task.gather(training[k] for k in range(len(training)))
    return task


@contextlib.contextmanager
def seeded(config: Config):
    """Random numbers of the training (dropout) start from the seed, and those of the caller are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        yield
