"""What the user sees of a run: a bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

from intertwine.numerics.showing import figure

if TYPE_CHECKING:
    from intertwine.training.module import TrainingModule

LINES_PER_RUN = 25  # of a run, where the output is not a terminal


class Progress:
    """Reports rate, remaining time of the whole run and current errors.

    Args:
        units: printed unit of each target.
        epochs: of the whole run.
        steps: of an epoch.
        frames: structures in an epoch.
        minutes: time budget.
        enabled: False prints nothing but warnings.
        mean: what the errors of the validation are called.
    """

    def __init__(
        self,
        units: dict[str, str],
        *,
        epochs: int,
        steps: int,
        frames: int,
        minutes: float | None,
        enabled: bool = True,
        mean: str = "MAE",
    ) -> None:
        self.units = units
        self.epochs = epochs
        self.steps = steps
        self.frames = frames
        self.minutes = minutes
        self.enabled = enabled
        self.heading = f"validation {mean}".rstrip()
        self.bar: Any = None
        self.handle: Any = None
        self.start, self.first, self.shown, self.printed = time.monotonic(), -1, 0.0, 0
        self.errors, self.silence = "", 60.0

    def begin(self) -> None:
        """Show the bar, where there is a terminal."""
        from rich.console import Console

        self.start = time.monotonic()
        console = Console()
        if self.enabled and console.is_terminal:
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (BarColumn(bar_width=12), TextColumn("{task.fields[text]}"))
            self.bar = Bar(*columns, console=console, refresh_per_second=4)
            self.bar.start()
            self.handle = self.bar.add_task("training", total=1.0, text="")

    def end(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def say(self, line: str) -> None:
        """Print a line, also above the bar."""
        if self.bar is not None:
            self.bar.console.print(line, markup=False, highlight=False)
        else:
            say(line, self.enabled)

    def step(self, module: TrainingModule) -> None:
        """After a step of the optimizer."""
        if self.first < 0:
            self.first, self.start = module.steps, time.monotonic()
        now = time.monotonic()
        if self.bar is not None and now - self.shown > 0.25:
            self.shown = now
            rate = self.rate(module)
            text = f"{self.place(module.epoch + 1)}  {rate:.0f}/s  {self.remaining(module)} left  {self.errors}"
            self.bar.update(self.handle, completed=self.done(module), text=text)
        elif self.bar is None and self.enabled and now - self.start > self.silence:
            self.silence *= 2  # a long epoch in a log: a sign of life after one minute, two, four, ...
            self.say(
                f"{100 * self.done(module):>12.1f} %  {self.rate(module):.0f} structures/s  "
                f"{self.remaining(module)} left"
            )

    def epoch(self, module: TrainingModule, row: dict[str, float | int], *, final: bool) -> None:
        """After an epoch."""
        self.errors = (
            ", ".join(
                f"{target} {figure(row[f'validation_{target}_mae'])} {unit}".rstrip()
                for target, unit in self.units.items()
                if f"validation_{target}_mae" in row
            )
            or self.errors
        )
        self.silence = float("inf")  # from here on epochs speak
        if not self.enabled:
            return
        due = int(self.done(module) * LINES_PER_RUN)
        if self.bar is None and (final or module.epoch == 1 or due > self.printed):
            self.printed = due
            where = f"epoch {self.place(module.epoch)}"
            left = "done" if final else f"{self.remaining(module)} left"
            self.say(
                f"{where:>14}  loss {row['train_loss']:.3e}  {self.heading}: {self.errors or 'none'}  "
                f"lr {row['learning_rate']:.1e}  {self.rate(module):.0f} structures/s  {left}"
            )

    def place(self, epoch: int) -> str:
        """An epoch as "3/150"; as "3" where the time budget ends the run, and the epochs are only a bound."""
        return f"{epoch}/{self.epochs}" if self.minutes is None else f"{epoch}"

    def done(self, module: TrainingModule) -> float:
        """The part of the run that is done, by epochs or by time, whichever is more."""
        by_time = module.seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(module.steps / max(1, self.epochs * self.steps), by_time))

    def rate(self, module: TrainingModule) -> float:
        """Structures a second, since training began."""
        return (module.steps - self.first) * self.frames / self.steps / max(1e-9, time.monotonic() - self.start)

    def remaining(self, module: TrainingModule) -> str:
        """Time to the end of the run at the present rate, or of the budget."""
        rate = self.rate(module)
        seconds = (self.epochs * self.steps - module.steps) * self.frames / self.steps / rate if rate else float("inf")
        if self.minutes:
            seconds = min(seconds, 60 * self.minutes - module.seconds)
        return duration(seconds)


def say(line: str, enabled: bool = True) -> None:
    """Print a line; on standard error where there shall be none but warnings. A training does not end because the
    output is closed.
    """
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stdout if enabled else sys.stderr, flush=True)


def duration(seconds: float | int) -> str:
    """Seconds as "42 s", "3:05 min" or "2:40 h"."""
    if not seconds < 1e9:
        return "?"
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02d} min"
    return f"{seconds // 3600}:{seconds % 3600 // 60:02d} h"
