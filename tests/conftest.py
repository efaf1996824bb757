"""Shared fixtures."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import importlib
import io
import os
import sys

# before torch is imported: the arrays are small, and the tests start processes
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import checked_calls
import pytest
import reach
import tiers
import torch
import torch_geometric  # noqa: F401 - before a hook is in place that would compile it, and what it imports, anew
from switches import as_users_run_it, default_precision

checked_calls.check_first_calls()  # before any file of the package is imported
CHECKED = tuple(f"tests/certify/test_{name}.py" for name in ("broken", "certificate", "any_group"))
PICTURES = tuple(
    f"tests/{name}"
    for name in (
        "plots/", "gallery/", "examples/", "test_site.py", "test_docs.py", "test_lectures.py", "test_first_day.py",
        "cli/test_voxels.py", "cli/test_dynamics_command.py", "cli/test_account.py", "cli/test_commands.py",
        "integrations/test_density_cubes.py", "tasks/test_structure.py", "tasks/test_signal_autoencoder.py",
        "training/test_class_runs.py", "training/test_refinement.py", "training/test_run.py",
    )
)  # fmt: skip
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_finish() -> None:
    """What was imported and collected stays: the collector of garbage need not walk through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(tiers.Tiers(config), "tiers")
    asked = os.environ.get("INTERTWINE_REACH") == "1"  # a profiler, which makes the tests half as long again
    if config.workerinput.get("reach") if hasattr(config, "workerinput") else asked:
        config.pluginmanager.register(reach.Reach(config, must=False), "reach")


@pytest.fixture(scope="session")
def quick(pytestconfig: pytest.Config) -> bool:
    """Whether this is the quick tier, where a test that proves by volume proves by less."""
    return tiers.is_quick(pytestconfig)


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data beside the repository; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no data at {SHARED}")
    return SHARED


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _repeats_unchecked() -> Iterator[None]:
    """A certificate evaluates a function hundreds of times: annotations are checked in the first evaluation of each
    structure in each precision, and in all of them where each check of a certificate is tested (:data:`CHECKED`).
    """
    suite = importlib.import_module("intertwine.certify.suite")  # once annotations are checked, which they are by now
    run = suite._run

    def repeated(*arguments: Any) -> Any:
        running = os.environ.get("PYTEST_CURRENT_TEST", "")
        with contextlib.nullcontext() if running.startswith(CHECKED) else as_users_run_it():
            return run(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite, "_run", repeated)
        yield


@pytest.fixture(autouse=True, scope="session")
def _pictures_unfitted() -> Iterator[None]:
    """Most of the time of a small training is that of its pictures: layouts, twice each, that titles fit, and letters.
    They are put together in all tests, and laid out and rendered in those of pictures (:data:`PICTURES`); elsewhere an
    empty one is written.
    """
    style = importlib.import_module("intertwine.plots.style")
    engine = importlib.import_module("matplotlib.layout_engine").ConstrainedLayoutEngine
    figure = importlib.import_module("matplotlib.figure").Figure
    rendered, empty = figure.savefig, functools.cache(_empty_picture)

    def where_looked_at(function: Callable[..., Any], otherwise: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            running = os.environ.get("PYTEST_CURRENT_TEST", "")
            looked_at = running.startswith(PICTURES) or not running
            return (function if looked_at else otherwise)(*arguments, **options)

        return called

    def write_empty(picture: Any, file: Any, *, format: str, **_: Any) -> None:
        file.write(empty(rendered, format))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "fit_titles", where_looked_at(style.fit_titles, lambda *_: None))
        patch.setattr(engine, "execute", where_looked_at(engine.execute, lambda *_: None))
        patch.setattr(figure, "savefig", where_looked_at(rendered, write_empty))
        yield


def _empty_picture(render: Callable[..., None], format: str) -> bytes:
    content = io.BytesIO()
    render(importlib.import_module("matplotlib.figure").Figure((1, 1)), content, format=format)
    return content.getvalue()


@pytest.fixture(autouse=True, scope="session")
def _ethanol_read_once() -> Iterator[None]:
    """Its file takes half a second and is read by most trainings: here once by each process, but for the tests of how
    files are read.
    """
    embedded = importlib.import_module("intertwine.data.embedded")
    read, stores = embedded.read_file, {}

    def read_once(path: Path, *, progress: bool = True, **options: Any) -> Any:
        running = os.environ.get("PYTEST_CURRENT_TEST", "")
        if path != embedded.ETHANOL or progress or running.startswith("tests/data/"):
            return read(path, progress=progress, **options)
        key = tuple(sorted(options.items()))
        if key not in stores:
            stores[key] = read(path, progress=progress, **options)
        return copy.deepcopy(stores[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "read_file", read_once)
        yield


@pytest.fixture(autouse=True)
def _seed() -> None:
    checked_calls.begin_test()
    torch.manual_seed(0)


@pytest.fixture
def oracle_in_double() -> Iterator[None]:
    """e3nn computes, and makes some of its constants, in the global default precision."""
    with default_precision(torch.float64):
        yield


@pytest.fixture(autouse=True)
def _peers_leave_no_trace() -> Iterator[None]:
    """nequip and mace-torch change torch's default precision and how e3nn compiles when they are used (a module that
    e3nn made for scripts can't be saved); no other test may see it, in whatever order they run.
    """
    precision = torch.get_default_dtype()
    yield
    torch.set_default_dtype(precision)
    e3nn = sys.modules.get("e3nn")
    if mode := getattr(e3nn, "_DEFAULT_JIT_MODE", None):
        e3nn.set_optimization_defaults(specialized_code=True, optimize_einsums=True, jit_mode=mode)
