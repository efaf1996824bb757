"""What happens around an epoch: validation, checkpoints, history, and the end of the run."""

from __future__ import annotations

import copy
import csv
import io
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint

from intertwine.data.loader import Loader
from intertwine.numerics import CheckpointError, DataError, FolderLock, InputError, finite, write_atomically
from intertwine.numerics.checkpoint import save_checkpoint
from intertwine.numerics.fence import fenced
from intertwine.training.interruption import Interrupted, Interruption
from intertwine.training.module import TrainingModule
from intertwine.training.progress import Progress
from intertwine.training.scoring import score

BEST, LAST, HISTORY = "best.safetensors", "last.safetensors", "metrics.csv"
WILD = "lower training.learning_rate or training.clip; look for wild labels."
SHARE = 20  # a checkpoint is due when this many times the duration of the last save has passed since


class Keeper:
    """Writes the files of a run. A failure to write is told and tried again at the next epoch; training goes on.

    Args:
        folder: of the run.
        about: what every checkpoint says of itself (configuration, species).
        say: prints a line.
        lock: of the folder, if it is locked.
    """

    def __init__(
        self, folder: Path, about: dict[str, Any], say: Callable[[str], None], lock: FolderLock | None = None
    ) -> None:
        self.folder, self.about, self.say, self.lock = folder, about, say, lock
        self.best: dict[str, Any] | None = None  # not yet on the disk
        self.waiting: dict[str, Any] | None = None  # the state after the last epoch, if that is not yet on the disk
        self.saved, self.duration = 0.0, 0.0
        self.failure: CheckpointError | None = None

    def keep(self, module: TrainingModule, *, final: bool) -> None:
        """Write the best weights, if new, then the last state; or wait if that was just done (a lost epoch is computed
        again).
        """
        state = {**self.about, "kind": "state", "epoch": module.epoch, **module.state()}
        if not final and time.monotonic() - self.saved < SHARE * self.duration:
            self.waiting = copy.deepcopy(state)
        else:
            self._write(state)

    def flush(self) -> None:
        """Training ends early: write what :meth:`keep` has put off."""
        if self.waiting is not None:
            self._write(self.waiting)

    def _write(self, state: dict[str, Any]) -> None:
        start = time.monotonic()
        try:
            if self.lock is not None and not self.lock.in_place():
                remedy = "move the folder back, or resume the run where it is now."
                raise CheckpointError(
                    "the folder of the run was moved or removed", where=str(self.folder), remedy=remedy
                )
            if self.best is not None:
                save_checkpoint(self.folder / BEST, self.best)
            save_checkpoint(self.folder / LAST, state)
            write_history(self.folder / HISTORY, state["rows"])
            self.best, self.waiting, self.failure = None, None, None
        except CheckpointError as error:
            if self.failure is None:
                self.say(f"warning: {error}\n  Training goes on; the next epoch tries again.")
            self.failure, self.waiting = error, copy.deepcopy(state)
        self.saved = time.monotonic()
        self.duration = self.saved - start

    def finish(self) -> None:
        """After training: raise if the results could not be written, having put them where there is room.

        Raises:
            CheckpointError: names the file that holds the weights instead.
        """
        if self.failure is None:
            return
        where = "nowhere: no other folder could be written either"
        if self.best is not None:
            try:
                rescue = Path(tempfile.mkdtemp(prefix="intertwine-")) / BEST
                save_checkpoint(rescue, self.best)
                where = str(rescue)
            except (OSError, CheckpointError):
                shutil.rmtree(rescue.parent, ignore_errors=True)
        else:
            where = str(self.folder / BEST)
        raise CheckpointError(
            f"the run could not be saved: {self.failure.what}",
            where=self.failure.where,
            remedy=f"the best weights are in {where}; free space, then resume the run.",
        ) from self.failure


class Epochs(Callback):
    """The end of every epoch, in this order: validate, schedule, decide on stopping, save, report.

    Args:
        loader: of the training set.
        validation: of the validation set; None if it is empty, and then the training loss decides.
        keeper: writes files; None on all processes but the first.
        progress: tells the user; None on all processes but the first.
        interrupted: whether somebody asked to stop.
    """

    def __init__(
        self,
        loader: Loader,
        validation: Loader | None,
        keeper: Keeper | None,
        progress: Progress | None,
        interrupted: Interruption,
    ) -> None:
        self.loader = loader
        self.validation = validation
        self.keeper = keeper
        self.progress = progress
        self.interrupted = interrupted

    def on_train_start(self, trainer: Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        self.interrupted.install()  # Lightning has its own for SIGTERM, which ends with exit code 0
        # of a run that goes on: what a logger has on the disk may be older or newer than the state
        for row in module.rows:
            tell(trainer, row)

    def on_train_epoch_start(self, trainer: Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        self.loader.epoch = module.epoch

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, module: TrainingModule, outputs: Any, batch: Any, index: int
    ) -> None:
        if self.interrupted.number:
            raise Interrupted
        if module.out_of_time():
            trainer.should_stop = True
        if self.progress is not None:
            self.progress.step(module)

    def on_train_epoch_end(self, trainer: Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        loss = module.mean_loss()
        if loss != loss or loss in (float("inf"), float("-inf")):
            raise DataError(
                f"the training loss is {loss} in epoch {module.epoch + 1}",
                where="training",
                remedy=WILD,
            )
        if wild := [name for name, value in module.task.state_dict().items() if not finite(value)]:
            raise DataError(f"{wild[0]} is not finite after epoch {module.epoch + 1}", where="training", remedy=WILD)
        module.epoch += 1
        module.tick()
        final = module.epoch >= module.options.epochs or module.out_of_time()
        row: dict[str, float | int] = {"epoch": module.epoch, "step": module.steps, "seconds": module.seconds}
        row["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        row["train_loss"] = loss
        if final or module.epoch % module.options.evaluate_every == 0:
            final = self.validate(module, row) or final
        module.rows.append(row)
        tell(trainer, row)
        # for callbacks that monitor one
        module.log_dict({name: float(value) for name, value in row.items()}, logger=False)
        if final:
            trainer.should_stop = True
        if self.keeper is not None:
            self.keeper.keep(module, final=final)
        if self.progress is not None:
            self.progress.epoch(module, row, final=final)

    def validate(self, module: TrainingModule, row: dict[str, float | int]) -> bool:
        """Score the averaged weights, note them if they are the best; whether validation has stalled for good."""
        with module.average.applied():
            if self.validation is not None:
                scores = score(module.task, self.validation, reduce=module.summed)
                row.update({f"validation_{name}": value for name, value in scores.items()})
            value = row.get("validation_loss", row["train_loss"])
            module.schedule.validated(value)
            module.stopping.better(value)
            if module.best.better(value) and self.keeper is not None:
                weights = {name: tensor.detach().cpu().clone() for name, tensor in module.task.state_dict().items()}
                self.keeper.best = {
                    **self.keeper.about,
                    "kind": "best",
                    "epoch": module.epoch,
                    "weights": weights,
                    "row": dict(row),
                }
        module.tick()
        return module.exhausted() or module.out_of_time()


class Told(Callback):
    """A function of an epoch's row as a callback."""

    def __init__(self, function: Callable[[dict[str, float | int]], Any]) -> None:
        self.function = function

    def on_train_epoch_end(self, trainer: Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        self.function(dict(module.rows[-1]))


def tell(trainer: Trainer, row: dict[str, float | int]) -> None:
    """Give a row to the loggers.

    Raises:
        InputError: one of them failed; it is named.
    """
    for logger in trainer.loggers:
        with fenced(
            "the logger failed", type(logger).__name__, "correct it, or resume the run without it in training.loggers."
        ):
            logger.log_metrics(dict(row), step=int(row["step"]))


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Raise an :class:`InputError` unless they are Lightning callbacks or functions and leave checkpoints alone."""
    if not isinstance(callbacks, Sequence):
        raise InputError(
            f"a {type(callbacks).__name__} is no list", where="callbacks", remedy="give a list: callbacks=[...]."
        )
    for each in callbacks:
        if isinstance(each, Checkpoint):
            raise InputError(
                "the run writes its checkpoints itself",
                where=f"callbacks, {type(each).__name__}",
                remedy="leave it out.",
            )
        if not (isinstance(each, Callback) or callable(each)):
            what = f"a {type(each).__name__} is no callback"
            raise InputError(
                what, where="callbacks", remedy="give Lightning callbacks, or functions of an epoch's row."
            )


def blamed(error: BaseException, callbacks: list[Callback]) -> str | None:
    """The name of the callback that an error came out of, if it was one of these."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for callback in callbacks:
            if frame.f_locals.get("self") is callback:
                owner = callback.function if isinstance(callback, Told) else type(callback)
                return getattr(owner, "__qualname__", type(owner).__name__)
    return None


def write_history(path: Path, rows: list[dict[str, float | int]]) -> None:
    """Write the history of a run as CSV, whole: after a resume it has no line twice and none of a lost epoch.

    Raises:
        CheckpointError: the file can't be written.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
