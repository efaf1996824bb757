"""`intertwine label` as a function: structures in, a file of labels out, resumable at any moment."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from intertwine.data.label_files import FAILURES, REMARKS
from intertwine.labels.files import write_labels
from intertwine.labels.journal import Journal, differing
from intertwine.labels.pool import cluster, outcomes, processes
from intertwine.labels.programs import program
from intertwine.labels.recipe import Recipe
from intertwine.labels.structure import NoLabelsError, Outcome, Structure, charge_of
from intertwine.numerics import DataError, InputError, destination, progress_bar
from intertwine.numerics.showing import counted

ENDINGS = (".h5", ".hdf5")


@dataclass
class Summary:
    """What a call of :func:`label` did.

    Args:
        structures: that there are.
        before: of these, what was done when it began.
        failures: frame -> why it has no labels.
        remarks: frame -> what speaks against the labels that it has.
        seconds: that it took.
        computing: seconds that the processes took together, for what is done now.
    """

    structures: int
    before: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    remarks: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    computing: float = 0.0

    def by_reason(self) -> dict[str, list[int]]:
        """The frames without labels, by why they have none, the most frequent first."""
        return _by_words(self.failures)

    def by_remark(self) -> dict[str, list[int]]:
        """The frames with doubtful labels, by what speaks against them, the most frequent first."""
        return _by_words(self.remarks)

    def document(self) -> dict[str, Any]:
        """Everything, for JSON."""
        said = {"failures": self.failures, "remarks": self.remarks}
        return asdict(self) | {
            name: {str(frame): words for frame, words in sorted(each.items())} for name, each in said.items()
        }

    def __str__(self) -> str:
        before = f", {self.before} of them before" if self.before else ""
        return (
            f"{counted(self.structures, 'structures')}{before}, {len(self.failures)} of them without labels; "
            f"{self.seconds:.1f} s, {self.computing:.1f} s of the processes together"
        )


def _by_words(said: dict[int, str]) -> dict[str, list[int]]:
    """The frames of which the same is said, the most frequent first."""
    frames: dict[str, list[int]] = {}
    for frame, words in sorted(said.items()):
        frames.setdefault(words, []).append(frame)
    return dict(sorted(frames.items(), key=lambda entry: -len(entry[1])))


def journal_of(output: Path) -> Path:
    """Where the journal of an output is while it is not finished."""
    return output.with_name(f"{output.name}.journal")


def label(
    frames: Sequence[Atoms],
    recipe: Recipe,
    output: str | Path,
    *,
    source: str = "",
    workers: int = 1,
    scheduler: str = "",
    overwrite: bool = False,
    progress: bool = True,
) -> Summary:
    """Label structures, and write the file when all are done. What is done is on the disk after every structure: the
    same call after a kill goes on.

    Args:
        frames: the structures, positions in A.
        recipe: how (:func:`~intertwine.labels.recipe.recipe`).
        output: the file, .h5 or .hdf5.
        source: what the structures are of, for the file.
        workers: processes of this machine, one thread each.
        scheduler: address of a Dask scheduler, whose workers compute instead.
        overwrite: begin anew whatever is there.
        progress: show a bar with the time that is left.

    Raises:
        InputError: the output is there and of something else, or the program or the scheduler is not there.
        DataError: no structure could be labelled; the commonest reasons are told.
        CheckpointError: the output or its journal can't be written, or another process labels into it.
    """
    start, output = time.monotonic(), Path(output)
    if output.suffix.lower() not in ENDINGS:
        raise InputError(f"labels are not written as {output.suffix or 'a file without ending'}", where=str(output),
                         remedy="name it .h5 or .hdf5.")  # fmt: skip
    if workers < 1:
        raise InputError(f"{workers} processes", where="--processes", remedy="at least one.")
    h5py, place = program("h5py"), destination(output).path
    structures, refused = _structures(frames, recipe)
    digest = _digest(structures)
    if overwrite:
        journal_of(place).unlink(missing_ok=True)
    elif place.exists() and not journal_of(place).exists():
        return _finished(h5py, place, recipe, digest, len(structures))
    with Journal(journal_of(place), recipe, digest) as journal:
        summary = Summary(len(structures), before=len(journal.places))
        _compute(journal, structures, refused, summary, workers, scheduler, progress)
        if len(summary.failures) == len(structures):
            commonest = list(summary.by_reason().items())[:3]
            reasons = "; ".join(f"{reason} ({len(lost)} of them)" for reason, lost in commonest)
            remedy = "change --method, --charge or --spin, or repair the structures; then give --overwrite."
            raise DataError(f"no structure could be labelled: {reasons}", where=source or "structures", remedy=remedy)
        write_labels(place, journal, structures, source)
        journal.remove()
    summary.seconds = time.monotonic() - start
    return summary


def _structures(frames: Sequence[Atoms], recipe: Recipe) -> tuple[list[Structure], dict[int, str]]:
    """The structures, and why some of them are none to begin with."""
    structures, refused = [], {}
    for number, atoms in enumerate(frames):
        charge = recipe.charge or 0
        try:
            charge = charge_of(atoms.info, recipe.charge)
        except NoLabelsError as error:
            refused[number] = str(error)
        numbers, positions = np.asarray(atoms.numbers, dtype=np.int64), np.array(atoms.positions, dtype=np.float64)
        structures.append(Structure(number, numbers, positions, charge, bool(np.any(atoms.pbc))))
    return structures, refused


def _digest(structures: Sequence[Structure]) -> str:
    state = hashlib.sha256()
    for s in structures:
        state.update(np.array([len(s.numbers), s.charge, s.periodic], dtype=np.int64).tobytes() + s.numbers.tobytes())
        state.update(np.ascontiguousarray(s.positions).tobytes())
    return state.hexdigest()[:32]


def _finished(h5py: Any, place: Path, recipe: Recipe, digest: str, structures: int) -> Summary:
    """A file that is there, if it is the one that would be written."""
    what = "the file is there already, and is no file of labels"
    with contextlib.suppress(OSError, KeyError, ValueError, TypeError), h5py.File(place, "r") as file:
        former, same = Recipe.of(file.attrs["recipe"]), file.attrs["structures"] == digest
        if said := differing(former, recipe, same):
            what = f"the file is there already, and was labelled otherwise ({said})"
        else:
            told: list[dict[int, str]] = []
            for name, column in ((FAILURES, "reason"), (REMARKS, "remark")):
                group = file.get(name, {"frame": [], column: []})
                pairs = zip(group["frame"], group[column], strict=True)
                told.append({int(frame): words.decode() for frame, words in pairs})
            return Summary(structures, structures, failures=told[0], remarks=told[1])
    remedy = "name another --output, or give --overwrite to replace it."
    raise InputError(what, where=str(place), remedy=remedy)


def _compute(
    journal: Journal,
    structures: Sequence[Structure],
    refused: dict[int, str],
    summary: Summary,
    count: int,
    scheduler: str,
    progress: bool,
) -> None:
    """Everything that is not in the journal yet, into it; failures, also the former, into the summary."""
    for frame, reason in refused.items():
        if frame not in journal.places:
            journal.append(Outcome(frame, reason=reason))
    todo = [s for s in structures if s.frame not in journal.places]
    if todo:
        with (
            _executor(count, scheduler, len(todo)) as pool,
            progress_bar("labelling", len(todo), progress, starting=pool[1]) as advance,
        ):
            for outcome in outcomes(*pool, todo, journal.recipe):
                journal.append(outcome)
                summary.computing += outcome.seconds
                advance(1, outcome.reason and f"frame {outcome.frame} failed: {outcome.reason}")
    summary.failures |= {s.frame: reason for s in structures if (reason := journal.reason(s.frame))}
    labelled = [s.frame for s in structures if s.frame not in summary.failures]
    summary.remarks |= {frame: remark for frame in labelled if (remark := journal.remark(frame))}


@contextlib.contextmanager
def _executor(count: int, scheduler: str, structures: int) -> Iterator[tuple[Any, int]]:
    if scheduler:
        with cluster(scheduler) as workers:
            yield workers
    else:
        with processes(min(count, structures)) as children:
            yield children
