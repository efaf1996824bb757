"""An input file of LAMMPS, run with a force field in the place of its pair style."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ase import Atoms

from intertwine.integrations.engines.field import calculator_of
from intertwine.integrations.engines.lammps_fix import NAME, LammpsField
from intertwine.integrations.engines.lammps_library import open_lammps
from intertwine.numerics import InputError, write_atomically

FORM = f"write `pair_style {NAME}` and `pair_coeff * * O H`, with a symbol for each type of atom."
#: Styles that would take a field's share from single atoms, where there is none, and go on with zero.
OF_ATOMS = ("pe/atom", "stress/atom", "centroid/stress/atom", "heat/flux")
RANGE = 5.0  # A, of LAMMPS's own lists where the field has no cutoff


@dataclass(frozen=True)
class LammpsRun:
    """What a run of an input file came to.

    Attributes:
        atoms: the last structure whose forces were asked for (A), with its calculator; None where none was.
        calls: how often LAMMPS asked for forces.
        step: the number of the last step.
        seconds: wall time of what follows the pair style.
        departures: in which ways the last structure is far outside of the training data; empty where it is not.
    """

    atoms: Atoms | None
    calls: int
    step: int
    seconds: float
    departures: list[str] = field(default_factory=list)


def run_lammps(
    field: Any,
    script: Path | str,
    *,
    variables: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    dtype: torch.dtype | None = None,
    device: str | None = "auto",
    allow: Collection[str] = (),
) -> LammpsRun:
    """Run an input file of LAMMPS that has the lines ``pair_style intertwine`` and ``pair_coeff * * O H``.

    Where the second stands, the field becomes part of the simulation (:class:`LammpsField`), beside a ``pair_style
    zero`` of its cutoff, for computes that need a list of neighbours. All other lines are LAMMPS's. Relative paths in
    the file begin at the current folder, as for LAMMPS's ``-in``.

    Args:
        field: a run folder, a run, a force field, or any calculator of ASE.
        script: the input file.
        variables: LAMMPS's variables by name, as ``-var``.
        arguments: further arguments of LAMMPS's command line, such as ``["-log", "none"]``.
        dtype: precision; None keeps the model's.
        device: where to compute.
        allow: modules outside the package whose classes a run may name.

    Raises:
        InputError: the file is not there or lacks the lines; LAMMPS is missing or too old; LAMMPS stopped with an
            error, whose words are in it; and what :class:`LammpsField` raises.
        GeometryError, DataError: what the field can't compute, such as elements that it was not trained on.

    >>> run_lammps("runs/water", "in.water", variables={"T": "300"})  # doctest: +SKIP
    """
    path = Path(script)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise InputError(f"can't be read: {error}", where=str(path), remedy="give an input file of LAMMPS.") from error
    before, elements, after = divided(text, str(path))
    calculator = calculator_of(field, dtype=dtype, device=device, allow=allow)
    task = getattr(calculator, "task", None)
    named = [word for name, value in (variables or {}).items() for word in ("-var", name, str(value))]
    engine = open_lammps([*named, *arguments])
    try:
        _run(engine, before, str(path))
        held = LammpsField(engine, calculator, elements)
        reach = ((task.cutoff if task is not None else None) or RANGE) / held.length_unit
        _run(engine, f"pair_style zero {reach:.10g}\npair_coeff * *\n", str(path))
        begin = time.perf_counter()
        _run(engine, after, str(path), held)
        seconds = time.perf_counter() - begin
        step = int(engine.extract_global("ntimestep"))
        return LammpsRun(held.atoms, held.calls, step, seconds, list(getattr(calculator, "departures", ())))
    finally:
        engine.close()


def divided(text: str, where: str) -> tuple[str, list[str], str]:
    """What stands before the line of coefficients (without ``pair_style``), its elements, and what stands after it.

    Raises:
        InputError: a line is missing, of another form or there twice; or the file asks for what the field has not.
    """
    lines = text.splitlines(keepends=True)
    style = coefficients = None
    elements: list[str] = []
    for first, last, words in commands(lines):
        number = f"{where}, line {first + 1}"
        if words[0] == "pair_style" and NAME in words:
            if len(words) > 2 or style is not None:
                what = "it is there twice" if style is not None else f"`{' '.join(words)}`: it takes no more words"
                raise InputError(what, where=number, remedy=f"{FORM} Terms are added by LammpsField in Python.")
            style = (first, last)
        elif words[0] == "pair_style" and style is not None:
            raise InputError("a second pair_style", where=number, remedy=f"leave it out. {FORM}")
        elif words[0] == "pair_coeff" and style is not None:
            if coefficients is not None or words[1:3] != ["*", "*"] or len(words) < 4:
                raise InputError(f"`{' '.join(words)}` is not `pair_coeff * * ...`", where=number, remedy=FORM)
            coefficients, elements = (first, last), words[3:]
        elif words[0] == "clear" and coefficients is not None:
            remedy = "run each system by an input file of its own."
            raise InputError("`clear` takes the force field away", where=number, remedy=remedy)
        elif words[0] == "compute" and (missing := set(words) & set(OF_ATOMS)):
            what = f"{missing.pop()}: a force field gives LAMMPS no energies and stresses of single atoms"
            raise InputError(what, where=number, remedy="leave it out; pe and press have the field's part.")
    if style is None or coefficients is None:
        what = f"there is no `pair_style {NAME}`" if style is None else "no pair_coeff follows its pair_style"
        raise InputError(what, where=where, remedy=FORM)
    lines[style[0] : style[1] + 1] = ["\n"] * (style[1] + 1 - style[0])
    return "".join(lines[: coefficients[0]]), elements, "".join(lines[coefficients[1] + 1 :])


def commands(lines: Sequence[str]) -> list[tuple[int, int, list[str]]]:
    """The commands of an input file: numbers of the first and the last line, and the words. A line that ends in ``&``
    goes on in the next; what follows ``#`` is a comment.
    """
    result, first, text = [], 0, ""
    for k, line in enumerate(lines):
        text += re.sub(r"#.*", "", line).rstrip()
        if text.endswith("&"):
            text = text[:-1] + " "
            continue
        if words := text.split():
            result.append((first, k, words))
        first, text = k + 1, ""
    return result


def _run(engine: Any, text: str, where: str, held: LammpsField | None = None) -> None:
    """Let LAMMPS read a part of a file; what the field said comes before what LAMMPS made of it."""
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.in"
        write_atomically(part, text.encode("utf-8"))
        try:
            engine.file(str(part))
        except Exception as error:  # LAMMPS's package raises no class of its own
            if held is not None:
                held.check()
            remedy = "the words are LAMMPS's; its log has the command that they are about."
            raise InputError(f"LAMMPS stopped: {_plain(error)}", where=where, remedy=remedy) from error
    if held is not None:
        held.check()


def _plain(error: Exception) -> str:
    """LAMMPS's message without the place in its own source."""
    return re.sub(r"\s*\(src/[^)]*\)", "", " ".join(str(error).split())).removeprefix("ERROR: ")
