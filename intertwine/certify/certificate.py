"""The report: one line a test, output and precision, with the worst case in words, and a verdict on the whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intertwine.numerics import DataError, write_atomically
from intertwine.numerics.showing import facts_as_text, rows_as_html

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = 1
PASSED, FAILED, SKIPPED, NOT_CLAIMED = "passed", "failed", "skipped", "not claimed"
#: A symmetry that holds in a weaker sense than exactly, and what is measured beside it.
APPROXIMATE, IN_DISTRIBUTION, MEASURED = "within approximation", "in distribution", "measured"
HOLDS = (PASSED, APPROXIMATE, IN_DISTRIBUTION)
PARTLY = "exact where frames are unique"  # of inputs that were left out, because nothing is claimed of them
ZERO = "identically zero: symmetry is trivial"
COLUMNS = ("test", "output", "dtype", "error", "bound", "verdict", "worst case")
STYLES = {
    PASSED: "green",
    APPROXIMATE: "green",
    IN_DISTRIBUTION: "green",
    PARTLY: "yellow",
    MEASURED: "dim",
    FAILED: "bold red",
    SKIPPED: "dim",
    NOT_CLAIMED: "yellow",
}


@dataclass(frozen=True)
class Line:
    """One measurement.

    Attributes:
        test: what was done, "random rotations" for example.
        symmetry: "translation", "rotation", "reflection", "permutation", "point group", or the name of a group; empty
            for a test of something else.
        output: name of the output, or empty where the test is about all of them.
        dtype: precision, "float32" or "float64".
        error: largest deviation, relative to the size of the output (dimensionless); None where nothing was measured.
        bound: the largest error that passes; None where nothing was measured.
        verdict: "passed", "within approximation" or "in distribution" (a symmetry that holds in that sense), "failed",
            "skipped", "not claimed", "exact where frames are unique" (the inputs where they are not, which are left
            out) or "measured" (for information).
        worst: the worst case, or the reason, in words.
    """

    test: str
    symmetry: str
    output: str
    dtype: str
    error: float | None
    bound: float | None
    verdict: str
    worst: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict != FAILED


@dataclass(frozen=True, repr=False)
class Certificate:
    """What :func:`~intertwine.certify.certify` found.

    Attributes:
        subject: name of the function.
        symmetry: the symmetry claimed.
        graphs: number of graphs, or other inputs, it was tried on.
        lines: every measurement.
        inputs: what they are, in the plural.
    """

    subject: str
    symmetry: str
    graphs: int
    lines: tuple[Line, ...]
    inputs: str = "graphs"

    @property
    def passed(self) -> bool:
        """Something was measured, and nothing failed."""
        return all(line.passed for line in self.lines) and any(line.verdict in HOLDS for line in self.lines)

    @property
    def verdict(self) -> str:
        """How the symmetry holds: "exact", "within approximation" (of a stated size, as where images are interpolated),
        "in distribution" (of a function that draws random numbers), "exact where frames are unique" (of a function
        that says where they are not; the certificate names these inputs), or "broken".

        The weakest of the lines about it.
        """
        if not self.passed:
            return "broken"
        senses = {line.verdict for line in self.lines if line.symmetry}
        return next((sense for sense in (*reversed(HOLDS[1:]), PARTLY) if sense in senses), "exact")

    @property
    def broken(self) -> tuple[str, ...]:
        """The claimed symmetries that do not hold."""
        return _distinct(line.symmetry for line in self.lines if line.verdict == FAILED and line.symmetry)

    @property
    def failed(self) -> tuple[str, ...]:
        """The tests that failed."""
        return _distinct(line.test for line in self.lines if line.verdict == FAILED)

    def summary(self) -> str:
        """One paragraph: the verdict, and what broke by how much, or what came closest to its bound."""
        measured = [
            (line.error / line.bound, line)
            for line in self.lines
            if line.error is not None and line.bound and line.verdict in HOLDS
        ]
        dtypes = " and ".join(_distinct(line.dtype for line in self.lines if line.dtype))
        count = f"{self.graphs} {self.inputs if self.graphs != 1 else self.inputs.removesuffix('s')}"
        head = f"{self.subject}, {self.symmetry}, {len(self.lines)} lines on {count} in {dtypes}"
        if not self.passed:
            return f"FAILED: {head}. {' '.join(self._failures())}"
        _, closest = max(measured, key=lambda item: item[0], default=(0.0, None))
        text = f"{self._short_verdict()}: {head}."
        if closest is not None:
            where = f"{closest.test}, {closest.output or 'all outputs'} in {closest.dtype}"
            text += f" Closest to its bound: {where}, {closest.error:.1e} of {closest.bound:.1e}."
        for output in _distinct(line.output for line in self.lines if line.worst == ZERO):
            text += f" {output} is {ZERO}."
        for words in _distinct(line.worst for line in self.lines if line.verdict == PARTLY):
            text += f" {words[0].upper()}{words[1:]}."
        reasons: dict[str, list[str]] = {}
        for line in self.lines:
            if line.verdict == SKIPPED and line.test not in reasons.setdefault(line.worst, []):
                reasons[line.worst].append(line.test)
        skipped = "; ".join(f"{', '.join(tests)} ({reason})" for reason, tests in reasons.items())
        return text + (f" Skipped: {skipped}." if skipped else "") + "".join(self._unclaimed())

    def __repr__(self) -> str:
        facts = {"symmetry": self.symmetry, self.inputs: self.graphs, "lines": len(self.lines), "passed": self.passed}
        return facts_as_text("Certificate", {"subject": self.subject, **facts, "failed": self.failed or None})

    def _repr_html_(self) -> str:
        rows = [
            (line.test, line.output, line.dtype, _short(line.error), _short(line.bound), line.verdict, line.worst)
            for line in self.lines
        ]
        return rows_as_html(f"Certificate {self.summary()}", COLUMNS, rows)

    def table(self) -> Table:
        """A table for ``rich.print``."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=f"{self.subject}: {self.symmetry}, {self._short_verdict()}")
        for column in COLUMNS:
            table.add_column(column, justify="right" if column in ("error", "bound") else "left", overflow="fold")
        for line in self.lines:
            numbers = [_short(line.error), _short(line.bound)]
            cells = [line.test, line.output, line.dtype, *numbers, line.verdict, line.worst]
            table.add_row(*(Text(cell, style=STYLES[line.verdict] if k == 5 else "") for k, cell in enumerate(cells)))
        return table

    def to_json(self) -> dict[str, Any]:
        """Plain data; errors that are not finite (a NaN output) are written as null, their verdict and words say so."""
        lines = [
            {key: None if isinstance(x, float) and not abs(x) < float("inf") else x for key, x in asdict(line).items()}
            for line in self.lines
        ]
        return {
            "schema": SCHEMA, "subject": self.subject, "symmetry": self.symmetry, "graphs": self.graphs,
            "inputs": self.inputs, "verdict": self.verdict, "passed": self.passed, "broken": list(self.broken),
            "summary": self.summary(), "lines": lines,
        }  # fmt: skip

    def save(self, path: str | Path) -> Path:
        """Write JSON, all of it or nothing.

        Raises:
            CheckpointError: it can't be written.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(self.to_json(), indent=1, allow_nan=False).encode())
        return path

    @classmethod
    def load(cls, path: str | Path) -> Certificate:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: the file is absent, no certificate, or of a newer schema.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            if data["schema"] > SCHEMA:
                raise DataError(
                    f"schema {data['schema']}, this version reads up to {SCHEMA}",
                    where=str(path),
                    remedy="upgrade intertwine, or certify again.",
                )
            lines = tuple(Line(**line) for line in data["lines"])
            return cls(data["subject"], data["symmetry"], data["graphs"], lines, data.get("inputs", "graphs"))
        except (OSError, KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DataError(
                f"no readable certificate: {error}", where=str(path), remedy="run `intertwine certify` again."
            ) from error

    def _short_verdict(self) -> str:
        if not self.passed:
            return "FAILED"
        comma = "," if self.verdict == PARTLY else ""
        return "passed" if self.verdict == "exact" else f"passed{comma} {self.verdict}"

    def _failures(self) -> list[str]:
        """A sentence for each broken symmetry and each other failed test: its worst line."""
        worst: dict[str, Line] = {}
        for line in self.lines:
            key = line.symmetry or line.test
            if line.verdict == FAILED and (key not in worst or (line.error or 0) > (worst[key].error or 0)):
                worst[key] = line
        return [f"{key}: {_change(line)} ({line.worst})." for key, line in worst.items()]

    def _unclaimed(self) -> list[str]:
        texts = []
        unclaimed = [line for line in self.lines if line.verdict == NOT_CLAIMED and line.error is not None]
        for name in _distinct(line.symmetry or line.test for line in unclaimed):
            lines = [line for line in unclaimed if (line.symmetry or line.test) == name]
            broken = [line for line in lines if (line.error or 0.0) > (line.bound or 0.0)]
            error = max(line.error or 0.0 for line in broken or lines)
            if broken:
                texts.append(f" Not claimed and not there: {name} (by {error:.2g}).")
            elif error > VISIBLE:  # within what interpolation, or the number of draws, can tell
                texts.append(f" Not claimed, and there as far as can be told: {name} (error {error:.2g}).")
        return texts


VISIBLE = 1e-3  # of an output's size: errors that are worth a word where no bound is broken


def _short(x: float | None) -> str:
    return "" if x is None else f"{x:.1e}"


def _change(line: Line) -> str:
    what = line.output or "output"
    if line.error is None:
        return "an exception"
    if line.symmetry and line.error >= 1e-3:
        return f"{what} changes by {100 * line.error:.3g} % of its size"
    return f"{what} is off by {line.error:.1e} of its size in {line.dtype}, the bound is {line.bound:.1e}"


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
