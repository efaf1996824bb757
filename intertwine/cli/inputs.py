"""What the commands that use a run share: structures, with the units and names that the run's data have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from intertwine.cli import console
from intertwine.numerics import DataError, InputError

Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        help=(
            "Name of a quantity in the file, as charge=q; repeatable. Default: the names that the run was trained with."
        ),
    ),
]
Units = Annotated[
    list[str] | None,
    typer.Option(
        "--unit",
        help=(
            "Unit of a quantity in the file, as pos=Bohr; repeatable. Default: what the file declares, else the units "
            "of the run."
        ),
    ),
]

DataPath = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Where the run's own data are now; that they are the same is checked. Default: where they were.",
    ),
]
TestPath = Annotated[
    str | None,
    typer.Option(
        "--test",
        metavar="PATH",
        help="Where the run's second file is now, if it was trained with --test. Default: where it was.",
    ),
]
WHERE = (
    "Where to compute: auto (a CUDA GPU if there is one, else the CPU), cpu, cuda, or cuda:1 (the second). "
    "Default: auto."
)
Device = Annotated[str, typer.Option(help=WHERE)]
SkipUnknown = Annotated[
    bool,
    typer.Option(
        "--skip-unknown",
        help=(
            "Leave out structures with elements that the run was not trained on, and say which. Default: the first one "
            "is an error."
        ),
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Read only the first so many structures. Default: all.")]
NAMED = 5  # structures that a line names


class Given(NamedTuple):
    """What is in a file: structures of ASE, or graphs of a data set that has a name; the names of the model's inputs;
    and the place of each structure, for messages.
    """

    structures: list[Any]
    keys: dict[str, str]
    places: list[str]
    read: int = 0  # structures that the file has, of which only the last may be here

    def only(self, kept: Sequence[int]) -> Given:
        """The structures of these indices."""
        return self._replace(structures=[self.structures[k] for k in kept], places=[self.places[k] for k in kept])


def read(
    source: Path,
    run: Any,
    key: list[str] | None,
    unit: list[str] | None,
    *,
    last: bool = False,
    limit: int | None = None,
) -> Given:
    """The structures of a file for a run (or none): what was assumed, and what the model does not look at, is said on
    standard error.

    Args:
        source: a file, or the name of a data set, also as ``module:name``.
        run: a :class:`~intertwine.training.Run`, or None.
        key: pairs as ``charge=q``, over the run's.
        unit: pairs as ``pos=Bohr``, over the run's.
        last: only the last structure.
        limit: only the first structures.
    """
    from intertwine.data import is_dataset, is_shapes, open_dataset, read_structures, unread
    from intertwine.data.frames import place
    from intertwine.training.evaluation import inputs_of

    told, units = console.pairs(key, "--key") or {}, console.pairs(unit, "--unit") or {}
    if (is_dataset(source) and not source.exists()) or is_shapes(source):
        store = open_dataset(str(source), keys=told, units=units, limit=limit, labelled=False, **sampled(run))
        structures = [store[k] for k in range(len(store))][-1 if last else 0 :]
        warn(structures, [(str(source), 0)], run, last)
        numbers = range(len(store))[-1 if last else 0 :]
        return Given(structures, {}, [place(source, k) for k in numbers], len(store))
    data = run.config.data if run is not None else None
    keys = ((data.keys if data is not None else None) or {}) | told
    of_run = (data.units if data is not None else None) or {}
    content = read_structures(source, units=units, of_run=of_run, keys=keys, last=last, limit=limit)
    notes = list(content.notes)
    if run is not None:
        inputs = inputs_of(run.task)
        notes += [
            f"{name} read from {keys[name]!r}, {'as --key says' if name in told else 'as in the data of the run'}"
            for name in inputs
            if name in keys
        ]
        notes += unread(content.atoms, inputs, keys)
    for note in notes:
        say(note)
    warn(content.atoms, content.files, run, last)
    return Given(content.atoms, keys, content.places, content.read)


def known(content: Given, run: Any, skip: bool | None = None) -> list[int]:
    """The indices of the structures whose elements a run has seen: all of them.

    Args:
        content: the structures.
        run: a :class:`~intertwine.training.Run`.
        skip: leave the others out, and say which; None where that can't be asked for.

    Raises:
        DataError: names the place of the first one with an element that it has not seen, or none is left.
    """
    return _seen([_numbers(structure) for structure in content.structures], content.places.__getitem__, run, skip)


def known_part(store: Any, run: Any, skip: bool) -> Any:
    """A data set without the structures of elements that a run has not seen; arguments and errors as those of
    :func:`known`.
    """
    from intertwine.data.frames import in_file, place

    if "z" not in store.fields or not run.species or set(store.species()) <= set(run.species):
        return store
    numbers = [part.tolist() for part in store.field("z").split(store.counts().tolist())]
    files = store.files or ((store.name or "data", 0),)
    kept = _seen(numbers, lambda k: place(*in_file(files, int(store.numbers()[k]))), run, skip)
    return store.subset(kept)


def _seen(numbers: list[list[int]], place: Callable[[int], str], run: Any, skip: bool | None) -> list[int]:
    from intertwine.data.frames import several
    from intertwine.training.evaluation import check_species

    known = set(run.species)
    bad = [k for k, each in enumerate(numbers) if known and not known.issuperset(each)]
    kept = sorted(set(range(len(numbers))) - set(bad))
    if not bad:
        return kept
    try:
        check_species(known, numbers[bad[0]])
    except DataError as error:
        if skip and kept:
            named = several([place(k) for k in bad], NAMED)
            elements = ", ".join(_symbol(z) for z in sorted({z for k in bad for z in numbers[k]} - known))
            count = f"{len(bad):,} of {len(numbers):,} structures"
            say(f"left out: {count}, with elements that the run was not trained on ({elements}): {named}")
            return kept
        remedy = error.remedy
        if skip is not None and kept:
            remedy = (
                f"leave out the {len(bad):,} of {len(numbers):,} structures that have such elements (--skip-unknown), "
                "or train on structures that contain them."
            )
        raise DataError(error.what, where=place(bad[0]), remedy=remedy) from error
    return kept


def _symbol(z: int) -> str:
    from ase.data import chemical_symbols

    return chemical_symbols[z] if 0 <= z < len(chemical_symbols) else str(z)


def species(content: Given) -> set[int]:
    """The atomic numbers that occur."""
    return {z for structure in content.structures for z in _numbers(structure)}


def _numbers(structure: Any) -> list[int]:
    numbers = structure.numbers if hasattr(structure, "calc") else structure.get("z")
    return [] if numbers is None else numbers.tolist()


def sampled(run: Any) -> dict[str, Any]:
    """How many points a mesh is sampled by for a run (or none), as :func:`intertwine.data.open_dataset` takes it."""
    return {} if run is None else {"points": run.config.data.points}


def warn(structures: list[Any], files: Sequence[tuple[str, int]], run: Any, last: bool) -> None:
    """Say on standard error what is suspicious in structures, and beside the training set of a run (or none)."""
    from intertwine.data.suspicion import Frames, Seen, suspicions
    from intertwine.training.folder import SEEN

    frames = Frames.of_structures(structures, files, last=last)
    if frames is None:
        return
    seen = Seen.load(run.folder / SEEN) if run is not None else None
    lines = [suspect.line for suspect in suspicions(frames)]
    for line in [*lines, *(seen.compositions_of(frames) if seen is not None else [])]:
        console.complain(line, "warning:")


def labels(
    source: str, run: Any, key: list[str] | None, unit: list[str] | None
) -> tuple[dict[str, str] | None, dict[str, str] | None]:
    """Names and units of the labels of a file for a run, as :func:`intertwine.data.open_dataset` takes them; the run's
    are said.

    What the file declares itself goes before the run's, and what the user says before both.
    """
    from intertwine.data import declared_units, is_dataset, is_shapes

    told, units = console.pairs(key, "--key"), console.pairs(unit, "--unit")
    if is_dataset(source) or is_shapes(source):
        return told, units
    data = run.config.data
    keys = (data.keys or {}) | (told or {})
    of_run = dict(data.units or {})
    if of_run:
        declared = declared_units(source)
        of_run = {
            name: value
            for name, value in of_run.items()
            if not {name, keys.get(name, name)} & declared.keys() and name not in (units or {})
        }
    if data.keys:
        say(
            "names of the run: "
            + ", ".join(f"{name} from {value!r}" for name, value in keys.items() if name in data.keys)
        )
    if of_run:
        say("units of the run: " + ", ".join(f"{name} in {value}" for name, value in of_run.items()))
    return keys or None, (of_run | (units or {})) or None


def spare(outputs: Iterable[Path | None], run: Any) -> None:
    """Raise an :class:`InputError` if one of the outputs would replace the data that a run was trained or tested on."""
    from intertwine.integrations.writing import same_file, sources

    data = run.config.data
    files = sources([Path(name) for name in (data.source, data.test) if name])
    for output in outputs:
        if output is not None and any(same_file(output, file) for file in files):
            raise InputError("is the data of the run", where=str(output), remedy="write to another file.")


def say(note: str) -> None:
    """A note on standard error."""
    console.err.print(f"note: {note}", markup=False, soft_wrap=True)
