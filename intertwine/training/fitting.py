"""Lightning's trainer around our loop: one process or several, quiet, interruptible, resumable."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from intertwine.data.loader import Loader
from intertwine.geometry import collate
from intertwine.numerics import FolderLock, InputError, IntertwineError, Stopped
from intertwine.numerics.showing import counted
from intertwine.tasks import Task
from intertwine.training.callbacks import Epochs, Keeper, Told, blamed
from intertwine.training.checkpoint_io import SafeCheckpointIO
from intertwine.training.config import Config
from intertwine.training.interruption import Interrupted, interruption
from intertwine.training.module import TrainingModule
from intertwine.training.nodes import FIRST_PLACE, Place
from intertwine.training.processes import accelerator, chosen_devices
from intertwine.training.progress import Progress
from intertwine.training.schedule import Schedule
from intertwine.training.sets import Sets


class Process(LightningEnvironment):
    """One of several processes that were started by us or by a launcher.

    Args:
        place: which.
        port: where the first process listens.
    """

    def __init__(self, place: Place, port: int) -> None:
        super().__init__()
        self.place, self._main_port = place, port

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return self.place.local

    def node_rank(self) -> int:
        return self.place.node

    def teardown(self) -> None:
        """Lightning's would take away WORLD_SIZE, which is the launcher's."""


def fit(
    task: Task, config: Config, sets: Sets, folder: Path, *, state: dict[str, Any] | None = None,
    about: dict[str, Any] | None = None, progress: Progress | None = None, place: Place = FIRST_PLACE, port: int = 0,
    lock: FolderLock | None = None, loggers: Sequence[Logger] = (), callbacks: Sequence[Any] = (),
) -> None:  # fmt: skip
    """Train a task whose statistics are fitted, writing checkpoints into the folder.

    Args:
        task: trained in place; ends with the last (not the best) weights.
        config: of the run.
        sets: training and validation sets, with edges.
        folder: of the run.
        state: of the run that is resumed; None starts anew.
        about: what checkpoints say of themselves.
        progress: tells the user; None on all processes but the first.
        place: which process this is.
        port: where the first one listens, if there are several.
        lock: of the folder; nothing is written into a folder that has taken its place.
        loggers: get every row of the history.
        callbacks: Lightning callbacks, or functions of an epoch's row.

    Raises:
        InputError: one of the callbacks failed.
        Stopped: the user, or the system, asked to stop; everything up to the last epoch is saved.
        CheckpointError: results could not be written.
        DataError: the loss is not finite.
        IntertwineError: a process that prepares batches died.
    """
    options = config.training
    rank = place.node * options.devices + place.local
    shared = {"rank": rank, "processes": options.processes}
    loader = Loader(sets.train, options.batch_size, seed=options.seed, workers=options.workers, **shared)
    validation = (
        Loader(sets.validation, 2 * options.batch_size, **shared) if len(sets.validation) >= options.processes else None
    )
    module = TrainingModule(task, options, len(loader))
    if state is not None:
        module.announce(state)
        if nothing_left := finished(module, folder, state.get("config", {}).get("training", {})):
            if progress is not None:
                progress.say(f"note: nothing is left to train, the run is only scored again: {nothing_left}")
            return
    keeper = Keeper(folder, about or {}, progress.say, lock) if progress is not None else None
    with quiet(), interruption(ignore=rank > 0) as interrupted:
        strategy = (
            DDPStrategy(find_unused_parameters=has_unused(task, sets), broadcast_buffers=False)
            if options.processes > 1
            else None
        )
        ours = Epochs(loader, validation, keeper, progress, interrupted)
        theirs = [each if isinstance(each, Callback) else Told(each) for each in callbacks]
        trainer = make_trainer(config, folder, [ours, *theirs], strategy, Process(place, port), loggers)
        epochs: Any = trainer.fit_loop.epoch_progress.current
        epochs.ready = epochs.started = epochs.processed = epochs.completed = module.epoch
        if progress is not None:
            progress.begin()
        try:
            trainer.fit(module, train_dataloaders=loader)
        except BaseException as error:
            # an exit is Lightning's, after the second signal
            if isinstance(error, Interrupted | SystemExit) and interrupted.number:
                raise Stopped(interrupted.number) from None
            if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
                raise _lost_worker(error) from error
            if isinstance(error, Exception) and (name := blamed(error, theirs)):
                remedy = f"correct it, then resume the run with the corrected one: every finished epoch is in {folder}."
                raise InputError(
                    f"{name} failed: {type(error).__name__}: {error}", where="callbacks", remedy=remedy
                ) from error
            raise
        finally:
            if keeper is not None:  # a callback may have ended the training before the last epoch
                keeper.flush()
            if progress is not None:
                progress.end()
            if options.processes > 1 and torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
    if keeper is not None:
        keeper.finish()


def finished(module: TrainingModule, folder: Path, kept: Mapping[str, Any]) -> str:
    """Why a run that is resumed has nothing left to train, the command that gives it more, and what the learning rate
    is and would then be; empty if it has.

    Args:
        module: with the options that this time were asked for.
        folder: of the run.
        kept: its section ``training``, which holds again where a command says nothing else.
    """
    o, done, more = module.options, module.epoch, f"extend it by: intertwine train --resume {shlex.quote(str(folder))}"
    spent = module.seconds / 60
    longer = 2 * max(o.minutes or 0.0, round(spent, 1) or spent)
    budget = kept.get("minutes")
    # what else ends a run that is given more of one thing
    minutes = ""
    if isinstance(budget, int | float) and spent >= budget:
        minutes = f" --minutes {longer if module.out_of_time() else o.minutes or longer:g}"
    epochs = f" --epochs {o.epochs}" if done < o.epochs and kept.get("epochs", o.epochs) <= done else ""
    if done >= o.epochs:
        epochs = f"done: {counted(done, 'epochs')}" + ("" if done == o.epochs else f", of {o.epochs}")
        words = f"{epochs}; {more} --epochs {2 * done}{minutes}"
        return f"{words} (counted from the start{_rates(module, epochs=2 * done)})"
    if o.minutes is not None and module.out_of_time():
        words = f"the time budget of {o.minutes:g} min is spent; {more} --minutes {longer:g}{epochs}"
        return f"{words} (all of the training{_rates(module, minutes=longer)})"
    if module.exhausted():
        stalled = module.stopping.stalled
        words = f"{stalled} validations brought no improvement; {more} --set training.patience={2 * stalled}"
        words += epochs + minutes
        return f"{words} (the learning rate is {module.schedule.rate(module.steps, module.seconds):.1e})"
    return ""


def _rates(module: TrainingModule, **extended: Any) -> str:
    """That the learning rate is spent, and from where it goes on under these options."""
    o, before = module.options, module.schedule
    longer = dataclasses.replace(o, **extended)
    after = Schedule(longer, round(before.steps / o.epochs * longer.epochs))
    after.scale = before.scale
    now, then = (schedule.rate(module.steps, module.seconds) for schedule in (before, after))
    rises = f", and rises to {then:.1e} again" if then > 1.01 * now else ""
    return f"; the learning rate has come down to {now:.1e}{rises}" if now < 0.99 * o.learning_rate else ""


def _lost_worker(error: RuntimeError) -> IntertwineError:
    shared = "shared memory" in str(error) or "Bus error" in str(error)
    return IntertwineError(
        "a process that prepares batches was killed" + (": there is too little shared memory" if shared else ""),
        where="training.workers",
        remedy="it may have lacked memory: resume the run with fewer workers (--set training.workers=0 needs none).",
    )


def has_unused(task: Task, sets: Sets) -> bool:
    """Whether the loss does not reach some weights (EGNN's last move of coordinates, say); the same answer in every
    process.
    """
    with torch.random.fork_rng(devices=[]):
        batch = collate([sets.train[k] for k in range(min(2, len(sets.train)))])
        torch.stack(
            [task.weights[name] * loss for name, (loss, _) in task.losses(task(batch), batch).items()]
        ).sum().backward()
    unused = any(p.grad is None for p in task.parameters() if p.requires_grad)
    task.zero_grad(set_to_none=True)
    return unused


def make_trainer(
    config: Config,
    folder: Path,
    callbacks: list[Callback],
    strategy: DDPStrategy | None,
    process: Process,
    loggers: Sequence[Logger],
) -> Trainer:
    """A trainer with everything switched off that we do ourselves."""
    options = config.training
    plugins: list[Any] = [SafeCheckpointIO()]
    if strategy is not None:
        plugins.append(process)
    return Trainer(
        accelerator=accelerator(options.accelerator), num_nodes=options.nodes,
        devices=chosen_devices(options.accelerator, options.devices),
        max_epochs=options.epochs, callbacks=callbacks, plugins=plugins, logger=list(loggers) or False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        num_sanity_val_steps=0, inference_mode=False, default_root_dir=folder, strategy=strategy or "auto",
        use_distributed_sampler=False,
    )  # fmt: skip


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Lightning's own messages are kept from the user inside the ``with`` block."""
    loggers = [
        logging.getLogger(name)
        for name in ("lightning.pytorch", "lightning.fabric", "lightning", "lightning.pytorch.utilities.rank_zero")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", module=r"lightning|torch\.distributed|torch\.nn\.parallel|torch\.autograd"
            )
            warnings.filterwarnings(
                "ignore", message=".*(does not have many workers|find_unused_parameters|lightning).*"
            )
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def threads(options: Any) -> Iterator[None]:
    """Each process has its share of the cores inside the ``with`` block, or as many threads as the options say."""
    former = torch.get_num_threads()
    count = options.threads or (max(1, (os.cpu_count() or 1) // options.devices) if options.devices > 1 else former)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(former)
