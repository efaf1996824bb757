"""Files as modules that are no part of a package (tools of the docs, examples), and tests of each file of a folder."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import pytest

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T", Path, str)


def module_at(path: Path) -> ModuleType:
    """The module of a file, executed."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def each_of(subjects: Iterable[T]) -> Callable[[Callable[[T], None]], Callable[[str], None]]:
    """A test of one file, or of one module by its name, becomes one of all of a folder, which names each that fails.

    A test for each file costs more than what it looks at.
    """
    folders: dict[str, list[T]] = defaultdict(list)
    for subject in subjects:
        if isinstance(subject, Path):
            parts: Sequence[str] = subject.relative_to(ROOT).parts
        else:
            parts = subject.split("/") if "/" in subject else subject.removesuffix(".py").split(".")
        folders["/".join(parts[:-1][:2])].append(subject)

    def whole(test: Callable[[T], None]) -> Callable[[str], None]:
        def of_folder(folder: str) -> None:
            faults = []
            for subject in folders[folder]:
                try:
                    test(subject)
                except AssertionError as fault:
                    faults.append(f"{subject}: {fault}")
            assert not faults, "\n".join(faults)

        of_folder.__name__, of_folder.__doc__, of_folder.__module__ = test.__name__, test.__doc__, test.__module__
        return pytest.mark.parametrize("folder", sorted(folders))(of_folder)

    return whole
