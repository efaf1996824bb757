"""The search: trial after trial within a budget of time, resumable at any moment."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping
from math import ceil, isfinite
from pathlib import Path
from types import TracebackType
from typing import Any

from intertwine.data import DEFAULT, GraphStore
from intertwine.numerics import CheckpointError, FolderLock, InputError, progress_bar
from intertwine.numerics.locks import LOCK
from intertwine.numerics.showing import counted
from intertwine.training.config import Config, as_given, check
from intertwine.training.progress import duration, say
from intertwine.training.report import stem
from intertwine.training.run import lasting, opened
from intertwine.training.sections import merge
from intertwine.training.tuning import telling
from intertwine.training.tuning.knobs import knobs_of
from intertwine.training.tuning.proposals import optuna, propose
from intertwine.training.tuning.record import DONE, FAILED, FILE, Record, Trial, plain
from intertwine.training.tuning.yardstick import uses_loss

TRIALS_OF_A_BUDGET = 10  # trials that fill the time, where nobody says how long one is
FEW_EPOCHS = 5  # of the defaults in a trial, below which what learns fast at first looks better than it is
PAUSE_S = 2.0  # s between two savings of the time that is spent


def tune(
    config: Config | Mapping[str, Any] | str | Path | None = None, *, minutes: float | int = 10.0,
    trials: int | None = None, trial_minutes: float | int | None = None, run: Path | str | None = None,
    store: GraphStore | None = None, progress: bool = True, allow: Collection[str] = (),
) -> Path:  # fmt: skip
    """Search for settings: trial after trial, short trainings on the same sets and of the same time.

    The first trial has the default settings, those that :func:`intertwine.training.train` would take, so that the best
    one is never worse by the figure that is compared (:class:`~intertwine.training.tuning.Yardstick`). The test set is
    not looked at. A search that was killed goes on when this is called again; no trial that has ended is lost, and the
    time that was spent counts.

    Args:
        config: settings that are fixed, as of :func:`intertwine.training.train`: all others keep their defaults, but
            for those that are searched (:func:`~intertwine.training.tuning.knobs_of`). ``training.minutes`` and
            ``training.epochs`` are those of the training to come.
        minutes: of the whole search, without the reading of the data.
        trials: their largest number; None for no bound.
        trial_minutes: of the training in a trial; None takes a tenth of ``minutes``, or what the search began with.
        run: the folder; by default ``tune/<data>-<model>``. It is locked meanwhile.
        store: the data, if they are already open.
        progress: report to the user.
        allow: modules outside the package whose code may run.

    Returns:
        The folder: ``search.json`` (every trial), ``best.toml`` (settings for a training), ``trials.png``.

    Raises:
        InputError: Optuna is not installed, settings are wrong, there is nothing to search or no time for two trials,
            or the search in the folder is another one.
        DataError: the data are wrong, or no trial has ended with finite errors.
        CheckpointError: something can't be read or written, or another search is at work in the folder.
        KeyboardInterrupt: a request to stop; what has ended is saved.
    """
    options: dict[str, Any] = {"trials": trials, "trial_minutes": trial_minutes, "run": run, "store": store}
    with Search(config, minutes=minutes, progress=progress, allow=allow, **options) as search:
        search.run()
        telling.best_of(search.record)
        return search.folder


class Search:
    """A search in a folder, which is locked inside a ``with`` block; arguments and errors as of :func:`tune`."""

    def __init__(
        self, config: Config | Mapping[str, Any] | str | Path | None = None, *, minutes: float | int = 10.0,
        trials: int | None = None, trial_minutes: float | int | None = None, run: Path | str | None = None,
        store: GraphStore | None = None, progress: bool = True, allow: Collection[str] = (),
    ) -> None:  # fmt: skip
        optuna()
        _check_times(minutes, trials, trial_minutes)
        self.budget, self.most, self.show = 60.0 * minutes, trials, progress
        sections = as_given(config, allow)
        data, training = check(sections)
        if training.processes > 1:
            what, remedy = "a trial is of one process", "leave it out; the training to come can have more."
            raise InputError(what, where="training.devices, training.nodes", remedy=remedy)
        #: As the user named the data.
        self.source = str(sections["data"].get("source", DEFAULT))
        sets, defaults = opened(sections, data, store, progress)
        self.sets, self.defaults, self.epochs = sets, defaults, defaults.training.epochs
        if not len(sets.validation):
            remedy = "give more data, or say how many structures it has: --validation 20."
            raise InputError("there is no validation set to compare settings on", where=data.source, remedy=remedy)
        names = {"model": {"name": defaults.model.name}, "task": {"name": defaults.task.name}}
        #: What is fixed, with the names of model and task.
        self.fixed = merge(names, lasting(sections, store), allow=sections.allow)
        weights = not uses_loss(defaults.build())
        self.knobs = knobs_of(defaults, sections, len(sets.train), weights=weights)
        if not self.knobs:
            what, remedy = "every setting that could be searched is given", "leave out one of them."
            raise InputError(what, where="intertwine tune", remedy=remedy)
        self.folder = Path(run) if run is not None else Path("tune") / _name(stem(data), defaults)
        self.lock = _locked(self.folder)
        try:
            self.record = self._record(minutes, trial_minutes)
        except BaseException:
            self.close()
            raise
        from intertwine.training.tuning.laboratory import Laboratory  # brings lightning

        self._shown, self._advance = 0, _silent
        self.laboratory = Laboratory(sets, self.fixed, self.record.about["trial_minutes"], self.record.yardstick)

    def _record(self, minutes: float | int, trial_minutes: float | int | None) -> Record:
        """That of the folder, or a new one."""
        former = Record.load(self.folder)
        length = former.about.get("trial_minutes") if former is not None and trial_minutes is None else trial_minutes
        about = plain(
            {
                "data": self.sets.splits.fingerprint,
                "settings": {name: content for name, content in self.fixed.items() if content},
                "searched": {knob.name: knob.facts() for knob in self.knobs},
                "trial_minutes": length or minutes / TRIALS_OF_A_BUDGET,
            }
        )
        if former is None:
            if any(path.name != LOCK for path in self.folder.iterdir()):
                remedy = "choose another folder with --run."
                raise InputError(
                    "exists and is not empty, and no search is in it", where=str(self.folder), remedy=remedy
                )
            return Record(about)
        former.check_same(about, self.folder)
        return former

    @property
    def findings(self) -> telling.Findings:
        """What the table, the picture and the document are made of."""
        model, task = self.defaults.model.name, self.defaults.task.name
        return telling.Findings(self.folder, self.record, self.knobs, self.fixed, self.source, model, task)

    def run(self) -> None:
        """Trials, until the time is spent or their number is reached; then ``best.toml`` and the picture.

        Raises:
            KeyboardInterrupt: somebody asked to stop; the files are written all the same.
        """
        record = self.record
        self._introduce()
        total = max(1, round(self.budget))
        try:
            with progress_bar("searching", total, self.show) as advance:
                self._shown, self._advance = 0, advance
                self._reach(record.seconds)
                while self.has_time() and (values := record.running or self._proposed()) is not None:
                    self._try(values)
                    self._check_first()
        finally:
            if record.trials:
                telling.write(self.findings)

    def has_time(self) -> bool:
        """Whether another trial may begin: there are fewer than the largest number, and it would end in time."""
        record = self.record
        if self.most is not None and len(record.trials) >= self.most:
            return False
        longest = max((trial.seconds for trial in record.trials if trial.state == DONE), default=0.0)
        return record.seconds + (longest or 60 * self.laboratory.minutes) <= self.budget

    def _proposed(self) -> dict[str, Any] | None:
        return propose(self.knobs, self.record.trials, self.defaults.training.seed)

    def _try(self, values: dict[str, Any]) -> None:
        """One trial, which is on the disk when this returns. What it has spent so far is written meanwhile."""
        record, start, before, saved = self.record, time.monotonic(), self.record.seconds, 0.0
        record.running = values
        record.save(self.folder)

        def tell(part: float, figure: float) -> None:
            nonlocal saved
            record.seconds = before + time.monotonic() - start
            if time.monotonic() - saved > PAUSE_S:
                with contextlib.suppress(CheckpointError):  # the end of the trial says so
                    record.save(self.folder)
                saved = time.monotonic()
            self._reach(record.seconds, telling.now(record, figure))

        try:
            trial: Trial | None = None
            trial = self.laboratory.run(values, self.folder, record.trials, tell)
        finally:
            record.seconds = before + time.monotonic() - start
            record.yardstick = self.laboratory.yardstick
            if trial is not None:
                record.trials.append(trial)
                record.running = None
            with contextlib.nullcontext() if trial is not None else contextlib.suppress(CheckpointError):
                self.lock_or_raise()
                record.save(self.folder)
        self._reach(record.seconds)

    def lock_or_raise(self) -> None:
        """Raise a :class:`CheckpointError` if the folder is no longer where it was."""
        if not self.lock.in_place():
            remedy = "move it back; the same command goes on."
            raise CheckpointError(
                "the folder of the search was moved or removed", where=str(self.folder), remedy=remedy
            )

    def _check_first(self) -> None:
        """Raise an :class:`InputError`, and take the record away, if the first trial leaves no time for another."""
        trials = self.record.trials
        if len(trials) == 1 and trials[0].state == DONE and trials[0].epochs() < min(FEW_EPOCHS, self.epochs):
            say(
                f"warning: a trial has time for {counted(trials[0].epochs(), 'epochs')} of the defaults at most; what "
                "learns fast at first looks better than it is: give more --minutes, or longer trials (--trial-minutes)",
                self.show,
            )
        if len(trials) > 1 or trials[0].state == FAILED or 2 * trials[0].seconds <= self.budget:
            return
        if self.most == 1:
            return
        around = trials[0].seconds - 60 * self.laboratory.minutes
        (self.folder / FILE).unlink(missing_ok=True)
        enough = max(2 * self.budget, TRIALS_OF_A_BUDGET * max(around, 0.0), 3 * trials[0].seconds) / 60
        self.record.trials = []
        what = f"a trial takes {trials[0].seconds:.3g} s here, and {self.budget / 60:g} min are too few for two"
        remedy = f"give --minutes {ceil(enough) if enough > 1 else round(enough + 0.05, 1):g} or more."
        raise InputError(what, where="--minutes", remedy=remedy)

    def _introduce(self) -> None:
        record = self.record
        if not self.show:
            return
        for note in self.sets.source.notes:
            say(f"note: {note}")
        for warning in self.sets.source.warnings:
            say(f"warning: {warning}")
        names = ", ".join(knob.name for knob in self.knobs)
        say(f"search   {self.folder}: {names} of {self.defaults.model.name} ({self.defaults.task.name})")
        say(
            f"trials   of {duration(60 * self.laboratory.minutes)} each on {len(self.sets.train)} structures, compared "
            f"on {len(self.sets.validation)}; {duration(self.budget)} in all"
        )
        if record.trials or record.seconds:
            cut = ", one was cut short and begins again" if record.running else ""
            say(f"goes on  {len(record.trials)} trials are there{cut}; {duration(record.seconds)} are spent")

    def _reach(self, seconds: float, state: str = "") -> None:
        now = min(round(seconds), round(self.budget))
        self._advance(max(0, now - self._shown), state)
        self._shown = max(now, self._shown)

    def __enter__(self) -> Search:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder, and remove it if nothing is in it."""
        self.lock.release()
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def _silent(steps: int, state: str = "") -> None:
    """A bar that is not shown yet."""


def _name(data: str, config: Config) -> str:
    return f"{data}-{config.model.name.rpartition(':')[2]}"


def _locked(folder: Path) -> FolderLock:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "choose a folder that you can write to, with --run."
        raise CheckpointError(f"can't be made: {error.strerror}", where=str(folder), remedy=remedy) from error
    return FolderLock(folder, "search")


def _check_times(minutes: float | int, trials: int | None, trial_minutes: float | int | None) -> None:
    """Raise an :class:`InputError` if a time or the number of trials is out of range."""
    for name, value in (("--minutes", minutes), ("--trial-minutes", trial_minutes)):
        if value is not None and not (isfinite(value) and value > 0):
            raise InputError(f"{value} is out of range", where=name, remedy="give a number above 0.")
    if trials is not None and trials < 1:
        raise InputError(f"{trials} trials", where="--trials", remedy="give a number of at least 1.")
    if trial_minutes is not None and 2 * trial_minutes > minutes:
        what = f"a trial takes {trial_minutes:g} min, and {minutes:g} min are too few for two"
        raise InputError(what, where="--minutes", remedy=f"give --minutes {10 * trial_minutes:g}, or shorter trials.")
