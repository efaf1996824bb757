"""The house rules of DESIGN.md, checked on the syntax tree of every file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE / "intertwine"
FLOORS = {
    "numerics": 0, "kernels": 1, "groups": 1, "o3": 2, "geometry": 3, "nn": 4, "certify": 4, "plots": 4, "models": 5,
    "symmetrize": 5, "tasks": 6, "data": 6, "training": 7, "integrations": 8, "e3nn": 8, "bench": 8,
    "cli": 9,
}  # fmt: skip
FILES = sorted(ROOT.rglob("*.py"))
BESIDE = sorted(file for folder in ("tests", "benchmarks", "scripts", "docs") for file in (HERE / folder).rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 350, 60
#: A test fixture of e3nn's that is nothing but this.
EXCUSED = {ROOT / "e3nn" / "fixtures.py": {"torch.set_default_dtype"}}

named = pytest.mark.parametrize("file", FILES, ids=[str(f.relative_to(ROOT)) for f in FILES])


def imported(tree: ast.AST, package: tuple[str, ...]) -> list[str]:
    """Full names of the modules (and of the names in them) that a file imports, relative imports resolved."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package[: len(package) - node.level + 1], base]).rstrip(".")
            names += [f"{base}.{alias.name}" for alias in node.names]
    return names


def violations(source: str, room: str) -> list[str]:
    """Imports of a file in package ``room`` that go upward, sideways, or through the top-level package."""
    found = []
    for name in imported(ast.parse(source), ("intertwine", room)):
        parts = name.split(".")
        if parts[0] != "intertwine" or (len(parts) > 1 and parts[1] == room):
            continue
        if room == "cli" and name == "intertwine":  # it prints the version, which only the package itself knows
            continue
        if len(parts) < 2 or parts[1] not in FLOORS or FLOORS[parts[1]] >= FLOORS[room]:
            found.append(name)
    return found


@named
def test_imports_only_from_lower_floors(file: Path) -> None:
    room = file.relative_to(ROOT).parts[0]
    if room.endswith(".py"):
        return  # the package's own files are above all floors
    assert room in FLOORS, f"{room} is no room of the house"
    assert not violations(file.read_text(), room)


@pytest.mark.parametrize(
    ("source", "room"),
    [
        ("from intertwine.models import PaiNN", "nn"),
        ("import intertwine.training", "data"),
        ("from intertwine import training", "models"),
        ("from intertwine.certify import certify", "nn"),
        ("def f():\n    from intertwine.tasks import TASKS", "data"),
        ("from ..models import PaiNN", "nn"),
        ("import intertwine", "nn"),
        ("from intertwine import Graph", "nn"),
    ],
)
def test_the_check_itself_sees_upward_and_sideways_imports(source: str, room: str) -> None:
    assert violations(source, room)


@pytest.mark.parametrize(
    ("source", "room"),
    [
        ("from intertwine.numerics import safe", "nn"),
        ("from intertwine.nn.mlp import MLP", "nn"),
        ("from .mlp import MLP", "nn"),
        ("import torch", "nn"),
    ],
)
def test_the_check_itself_lets_downward_imports_pass(source: str, room: str) -> None:
    assert not violations(source, room)


@named
def test_files_and_functions_are_short(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert len(lines) <= LONGEST_FILE
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body  # arguments and the docstring may be long
            length = node.end_lineno - body[0].lineno + 1 if body else 0
            assert length <= LONGEST_FUNCTION, f"{node.name}: {length} lines"


@named
def test_nothing_forbidden(file: Path) -> None:
    """No global default dtype, no pickle, no bare except, no code built from strings, no unfinished part."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
        if isinstance(node, ast.Call):
            called, options = ast.unparse(node.func), {keyword.arg for keyword in node.keywords}
            forbidden = {"eval", "exec", "compile", "torch.set_default_dtype", "torch.set_default_device"}
            forbidden -= EXCUSED.get(file, set())
            assert called not in forbidden, called
            assert called != "torch.load" or "weights_only" in options, (
                f"torch.load without weights_only in line {node.lineno}"
            )
            assert called != "torch.get_default_dtype", called
        if isinstance(node, ast.Raise) and node.exc is not None:
            assert "NotImplementedError" not in ast.unparse(node.exc), f"unfinished in line {node.lineno}"
    modules = {name.split(".")[0] for name in imported(ast.parse(file.read_text()), ("intertwine",))}
    assert not modules & {"pickle", "cPickle", "dill", "joblib", "shelve"}


@named
def test_future_annotations_and_docstring(file: Path) -> None:
    tree = ast.parse(file.read_text())
    if not tree.body:
        return
    assert ast.get_docstring(tree), "no docstring"
    if file.name not in ("__init__.py", "__main__.py"):
        assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)


@pytest.mark.parametrize("file", BESIDE, ids=[str(f.relative_to(HERE)) for f in BESIDE])
def test_files_beside_the_package_are_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= LONGEST_FILE


def test_tests_have_names_of_their_own() -> None:
    """pytest imports test files by their bare names: of two that share one, the second is an error, and only when both
    run.
    """
    names = [f.name for f in Path(__file__).parent.rglob("*.py") if f.name not in {"conftest.py", "__init__.py"}]
    assert not {name for name in names if names.count(name) > 1}
