"""Parts of a package that its ``__init__`` imports are loaded at their first use, by whoever asks first."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from types import ModuleType

import pytest

from intertwine.numerics.deferred import deferred


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was executed of a package whose ``__init__`` imports all of its parts, in that order."""
    files = {
        "__init__": "import whole.part, whole.other, whole.broken\nfrom whole.log import LOG\nLOG.append('whole')",
        "log": "LOG = []",
        "part/__init__": "import time\nfrom whole.log import LOG\ntime.sleep(0.05)\nLOG.append('part')\nvalue = 7",
        "part/below": "from whole.log import LOG\nLOG.append('below')",
        "other": "from whole.log import LOG\nLOG.append('other')\nfrom whole.part import value as again",
        "broken": "from whole.log import LOG\nLOG.append('broken')\nraise RuntimeError('as ever')",
    }
    for name, text in files.items():
        path = tmp_path / "whole" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    finders = list(sys.meta_path)
    with deferred("whole.part", "whole.other", "whole.broken", "whole.absent"):
        whole = importlib.import_module("whole")
    assert sys.meta_path == finders
    yield whole.LOG
    for name in [name for name in sys.modules if name.split(".")[0] == "whole"]:
        del sys.modules[name]


def test_nothing_is_loaded_by_looking(loaded: list[str]) -> None:
    """Not by its name, its file, nor by whoever searches all modules for the one of a function."""
    part = sys.modules["whole.part"]
    assert isinstance(part, ModuleType)
    assert part.__name__ == "whole.part"
    assert Path(part.__file__ or "").name == "__init__.py"
    inspect.getmodule(threading.Thread.start)
    inspect.stack()
    assert loaded == ["whole"]


def test_files_and_sources_are_read_before_it_is_loaded(loaded: list[str], tmp_path: Path) -> None:
    (tmp_path / "whole" / "part" / "table.txt").write_text("7")
    assert pkgutil.get_data("whole.part", "table.txt") == b"7"
    assert (resources.files("whole.part") / "table.txt").read_text() == "7"
    assert "value = 7" in inspect.getsource(sys.modules["whole.part"])


@pytest.mark.parametrize(
    ("statement", "order"),
    [
        ("from whole.part import value", ["part"]),
        ("import whole; whole.part.value", ["part"]),
        ("import whole.part.below", ["part", "below"]),
        ("from whole.part import below", ["part", "below"]),
        ("from whole.other import again", ["other", "part"]),
        ("import whole; whole.part.added = 1", ["part"]),
        ("import whole; hasattr(whole.part, 'nothing')", ["part"]),
        ("from whole.part import *", ["part"]),
    ],
)
def test_the_first_use_loads_it_once(loaded: list[str], statement: str, order: list[str]) -> None:
    for _ in range(2):
        exec(statement, {})
        assert loaded == ["whole", *order]
    part = sys.modules["whole.part"]
    assert type(part) is ModuleType
    assert part.__spec__ is not None
    assert part.__loader__ is part.__spec__.loader
    assert part.value == 7
    assert importlib.reload(part).value == 7


def test_threads_wait_for_the_one_that_loads(loaded: list[str]) -> None:
    part, values = sys.modules["whole.part"], []
    threads = [threading.Thread(target=lambda: values.append(part.value)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == [7] * 8
    assert loaded == ["whole", "part"]


def test_what_fails_says_so_at_each_use(loaded: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError, match="as ever"):
            sys.modules["whole.broken"].value  # noqa: B018
    assert loaded == ["whole", "broken", "broken"]


def test_an_absent_module_is_absent(loaded: list[str]) -> None:
    with deferred("whole.absent"), pytest.raises(ImportError):
        importlib.import_module("whole.absent")


def test_what_is_loaded_stays(loaded: list[str]) -> None:
    value = importlib.import_module("whole.part").value
    with deferred("whole.part"):
        assert type(importlib.import_module("whole.part")) is ModuleType
    assert value == 7
    assert loaded == ["whole", "part"]
