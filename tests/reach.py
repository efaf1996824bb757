"""Which modules and functions of intertwine the tests run, by Python's own profiler, in the processes of the tests."""

from __future__ import annotations

import ast
import cProfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "intertwine"

#: Modules that run in processes of their own only, which nobody profiles, and the tests that start these.
ELSEWHERE: dict[str, str] = {
    "e3nn/__main__.py": "e3nn/test_dropin.py runs programs of others by it",
    "e3nn/children/sitecustomize.py": "e3nn/test_dropin.py starts processes that start others",
    "kernels/convolution/gpu/programs.py": "kernels/test_gpu.py runs them in Triton's interpreter",
}

Place = tuple[str, str, int]  # file below intertwine/, function, line of its def or of its first decorator


def _bodies(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions that do something: not the members of protocols, overloads and abstract classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [one for one in node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
            if body and not (len(body) == 1 and isinstance(body[0], ast.Raise)):
                yield node


def functions(package: Path = PACKAGE) -> dict[str, dict[Place, Place]]:
    """For each module its functions: every place by which a profile may call one, and the one that stands for it."""
    found: dict[str, dict[Place, Place]] = {}
    for path in sorted(package.rglob("*.py")):
        name, places = str(path.relative_to(package)), {}
        for node in _bodies(ast.parse(path.read_text())):
            lines = range(min([node.lineno, *(one.lineno for one in node.decorator_list)]), node.lineno + 1)
            places |= {(name, node.name, line): (name, node.name, node.lineno) for line in lines}
        found[name] = places
    return found


class Reach:
    """The plugin: profiles a whole session, and prints how much of the package it ran. Where ``must`` is set, a session
    that passes fails nevertheless if there is a module with functions of which none ran.
    """

    def __init__(self, config: pytest.Config, must: bool) -> None:
        self.config, self.must = config, must
        self.profile = cProfile.Profile(subcalls=False, builtins=False)
        self.ran: set[Place] = set()
        self.missing: list[str] = []

    def pytest_sessionstart(self) -> None:
        self.profile.enable()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["reach"] = True

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.profile.disable()
        self.ran |= set(_ran(self.profile.getstats()))
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["ran"] = [list(place) for place in self.ran]
            return
        known = functions()
        self.missing = [
            name
            for name, places in known.items()
            if places and name not in ELSEWHERE and not any(place in self.ran for place in places)
        ]
        if self.must and self.missing and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.ran |= {(file, name, line) for file, name, line in getattr(node, "workeroutput", {}).get("ran", ())}

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        known = functions()
        wanted = {place for places in known.values() for place in places.values()}
        ran = {places[place] for places in known.values() for place in places if place in self.ran}
        modules = [name for name, places in known.items() if places]
        reached = [name for name in modules if any(place in self.ran for place in known[name])]
        terminalreporter.section("reach")
        terminalreporter.write_line(
            f"run in the tests' own processes: {len(reached)} of the {len(modules)} modules of intertwine that have "
            f"functions, {len(ran)} of {len(wanted)} functions ({100 * len(ran) / len(wanted):.0f} %)"
        )
        for name in sorted(set(modules) - set(reached)):
            terminalreporter.write_line(f"  not reached: {name}  ({ELSEWHERE.get(name, 'by no test')})")


def _ran(stats: Iterable[Any]) -> Iterator[Place]:
    for entry in stats:
        code = entry.code
        if not isinstance(code, str) and code.co_filename.startswith(f"{PACKAGE}/"):
            yield code.co_filename[len(str(PACKAGE)) + 1 :], code.co_name, code.co_firstlineno
