"""Where the data of a run are: absolute paths in its configuration, looked for elsewhere, or given again."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from intertwine.data import is_dataset
from intertwine.numerics import DataError, InputError
from intertwine.training.folder import CONFIG
from intertwine.training.options import DataOptions
from intertwine.training.sections import read_config

FILES = ("source", "test")  # of the section data; what a run that goes on may find elsewhere
PLACES = (*FILES, "indices")


def absolute(data: Mapping[str, Any], *, opened: bool = False) -> dict[str, Any]:
    """The section ``data`` with absolute paths, so that a run finds its data from any working directory.

    Args:
        data: as given; names of data sets and ``module:name`` are no paths.
        opened: the data are open already, and ``source`` is only their name.
    """
    result = dict(data)
    for name in PLACES:
        value = result.get(name)
        if isinstance(value, str | Path) and not (name == "source" and opened) and not is_dataset(value):
            result[name] = os.path.abspath(os.path.expanduser(value))
    return result


def located(
    options: DataOptions, folder: Path, *, source: str | Path | None = None, test: str | Path | None = None
) -> DataOptions:
    """The section ``data`` of a run with paths that lead to files.

    A path that is relative, as former versions stored it, is looked for in the working directory, then in the folders
    that the run is in. That the data are the same is another matter: :func:`~intertwine.training.sets.open_sets`
    compares their fingerprint.

    Args:
        options: of the run.
        folder: of the run.
        source, test: where the data, and the second file, are now; None where the run says.

    Raises:
        DataError: there is no such file; names the path that the run has.
    """
    now: dict[str, Any] = {"source": source, "test": test}
    changes: dict[str, Any] = {}
    for name in FILES:
        former, told = getattr(options, name), now[name]
        if former is None or (told is None and is_dataset(former)) or str(told) == former:
            continue
        option = {"source": "--data", "test": "--test"}[name]
        if told is not None:
            path = Path(told).expanduser().absolute()
            if not _is_there(path):
                remedy = f"give {option} the path of the file, folder or pattern that the run was trained on."
                raise DataError("no such file", where=str(told), remedy=remedy)
        else:
            path = next((path for path in _places(name, former, folder) if _is_there(path)), Path())
            if path == Path():
                whose = "the data of the run are" if name == "source" else "the second file of the run is"
                remedy = f"say where they are now, with {option} PATH; that they are the same is checked."
                raise DataError(f"{whose} not there any more", where=former, remedy=remedy)
        changes[name] = os.path.abspath(path)
    return replace(options, **changes)


def _places(name: str, former: str, folder: Path) -> Iterator[Path]:
    """Where a file of a run may be: where its checkpoint says, or its ``config.toml``, which a resumption has moved."""
    values = [former]
    with contextlib.suppress(InputError):
        values += [value for value in (read_config(folder / CONFIG)["data"].get(name),) if isinstance(value, str)]
    for value in values:
        path = Path(value).expanduser()
        yield from (
            [path] if path.is_absolute() else (start / path for start in (Path.cwd(), *folder.absolute().parents))
        )


def _is_there(path: Path) -> bool:
    return path.exists() or bool(glob.has_magic(str(path)) and glob.glob(str(path), recursive=True))
