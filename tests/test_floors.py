"""The law of the house: floors, no cycles, short files, nothing forbidden; read from the syntax tree of every file.

``FLOORS`` is the one table of floors. The tables of CONTRIBUTING.md, docs/design.md and docs/api/index.md are checked
against it, and it against the folder.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from by_path import each_of

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE / "intertwine"
#: The packages, and the files beside them, by floor: each imports from lower floors and from itself.
FLOORS = {
    "numerics": 0,
    "kernels": 1, "groups": 1,
    "o3": 2,
    "geometry": 3, "orbitals": 3,
    "nn": 4, "certify": 4, "plots": 4,
    "models": 5, "symmetrize": 5, "e3nn": 5, "operators.py": 5,
    "tasks": 6, "data": 6,
    "training": 7, "labels": 7,
    "integrations": 8, "bench": 8,
    "__init__.py": 9,
    "cli": 10,
    "__main__.py": 11,
}  # fmt: skip
TABLES = [HERE / "CONTRIBUTING.md", HERE / "docs" / "design.md", HERE / "docs" / "api" / "index.md"]
FILES = sorted(ROOT.rglob("*.py"))
BESIDE = sorted(file for folder in ("tests", "benchmarks", "scripts", "docs") for file in (HERE / folder).rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 350, 60
#: A test fixture of e3nn's that is nothing but this.
EXCUSED = {ROOT / "e3nn" / "fixtures.py": {"torch.set_default_dtype"}}


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
    """Imports of a file in ``room``, a key of ``FLOORS``, that go upward or sideways."""
    above = []
    for name in imported(ast.parse(source), ("intertwine",) if room.endswith(".py") else ("intertwine", room)):
        first, second = [*name.split("."), ""][:2]
        if first != "intertwine":
            continue
        goal = next((key for key in (second, f"{second}.py") if key in FLOORS), "__init__.py")
        if goal != room and FLOORS[goal] >= FLOORS[room]:
            above.append(name)
    return above


@each_of(FILES)
def test_imports_only_from_lower_floors(file: Path) -> None:
    assert not violations(file.read_text(), file.relative_to(ROOT).parts[0])


def test_the_table_of_floors_is_that_of_the_folder() -> None:
    assert set(FLOORS) == {file.relative_to(ROOT).parts[0] for file in FILES}


def floors_of(page: str) -> dict[str, int]:
    """The names in code style of the second column of a page's table of floors, whose first column is a number."""
    rows = re.findall(r"^\| *(\d+) *\|([^|]*)\|", page, re.MULTILINE)
    return {name: int(floor) for floor, cell in rows for name in re.findall(r"`([^`]+?)/?`", cell)}


@pytest.mark.parametrize("page", TABLES, ids=[str(page.relative_to(HERE)) for page in TABLES])
def test_pages_say_the_same_of_the_floors(page: Path) -> None:
    assert floors_of(page.read_text()) == FLOORS


def named_files(page: str) -> list[str]:
    """The files and folders in code style on a page: names that end in .py, .md or /."""
    return re.findall(r"`((?:\w+/)*\w+(?:\.py|\.md|/))`", page)


def test_files_that_the_design_names_exist() -> None:
    files = named_files((HERE / "docs" / "design.md").read_text())
    assert len(files) > 30
    assert not [name for name in files if not (ROOT / name).exists() and not (HERE / name).exists()]


def test_the_reader_of_file_names_sees_files_and_folders() -> None:
    assert named_files("| `a/b.py`: `f` | `c/` and `d.md`, `e.f`, `g` |") == ["a/b.py", "c/", "d.md"]


def test_packages_say_their_floor() -> None:
    for name, floor in FLOORS.items():
        if (file := ROOT / name / "__init__.py").exists():
            said = re.match(r"Floor (\d+): ", ast.get_docstring(ast.parse(file.read_text())) or "")
            assert said is None or int(said[1]) == floor, name


def test_the_reader_of_tables_sees_packages_and_files() -> None:
    page = "| floor | package |\n|---|---|\n| 0 | `a`, [`b`](b.md) | `x` |\n| 12 | `c/`, `d.py` | text |\n"
    assert floors_of(page) == {"a": 0, "b": 0, "c": 12, "d.py": 12}


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
        ("from intertwine import operators", "models"),
        ("import intertwine.operators", "e3nn"),
        ("from intertwine.plots import draw", "certify"),
        ("from intertwine.models import PaiNN", "operators.py"),
        ("from intertwine.cli import main", "__init__.py"),
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
        ("import intertwine", "cli"),
        ("from intertwine.nn import MLP", "operators.py"),
        ("from intertwine.cli import main", "__main__.py"),
    ],
)
def test_the_check_itself_lets_downward_imports_pass(source: str, room: str) -> None:
    assert not violations(source, room)


def dependencies(source: str, package: tuple[str, ...], modules: set[str]) -> set[str]:
    """The modules that a file of a package names in an import: at its top, in functions, for type checkers only, or as
    a text that ``import_module`` is given.
    """
    tree = ast.parse(source)
    names = imported(tree, package)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__"):
            names += [str(part.value) for part in node.args[:1] if isinstance(part, ast.Constant)]
    return {name if name in modules else name.rpartition(".")[0] for name in names} & modules


def cycle(sources: Mapping[str, str]) -> list[str]:
    """A cycle of modules that import each other, of those given as path -> source; empty if there is none.

    That an import of a module runs the packages that it is in is not counted: a package may import what is in it.
    """
    modules = {".".join(Path(path).with_suffix("").parts).removesuffix(".__init__"): path for path in sources}
    graph = {
        name: dependencies(sources[path], Path(path).parent.parts, set(modules)) - {name}
        for name, path in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert not cycle({str(file.relative_to(HERE)): file.read_text() for file in FILES})


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("import p.b", "import p.a"),
        ("from p.b import x", "from p.a import y"),
        ("from p import b", "from p import a"),
        ("from .b import x", "def f():\n    from . import a"),
        ("from p.b import x", "if TYPE_CHECKING:\n    from p.a import y"),
        ("from p.b import x", "class C:\n    def f(self):\n        import p.a as other"),
        ("import p.b", "importlib.import_module('p.a')"),
        ("from p.q.c import x", "from p.a import y"),
        ("from p.q import x", "from p.a import y"),
    ],
)
def test_the_check_itself_sees_cycles(a: str, b: str) -> None:
    inner = {"p/q/__init__.py": "from p.q.c import x", "p/q/c.py": "import p.b"}
    assert {"p.a", "p.b"} <= set(cycle({"p/__init__.py": "", "p/a.py": a, "p/b.py": b, **inner}))


def test_the_check_itself_sees_a_module_that_imports_its_package() -> None:
    assert cycle({"p/__init__.py": "from p.a import x", "p/a.py": "from p import y"})


def test_the_check_itself_lets_ladders_pass() -> None:
    sources = {
        "p/__init__.py": "from p.a import x\nfrom p.b import y",
        "p/a.py": "def f():\n    from p.b import y",
        "p/b.py": "import p.c, torch",
        "p/c.py": "from p.d import *",
        "p/d.py": "'import p.a'",
    }
    assert not cycle(sources)


@each_of(FILES)
def test_files_and_functions_are_short(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert len(lines) <= LONGEST_FILE
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body  # arguments and the docstring may be long
            length = node.end_lineno - body[0].lineno + 1 if body else 0
            assert length <= LONGEST_FUNCTION, f"{node.name}: {length} lines"


@each_of(FILES)
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


@each_of(FILES)
def test_future_annotations_and_docstring(file: Path) -> None:
    tree = ast.parse(file.read_text())
    if not tree.body:
        return
    assert ast.get_docstring(tree), "no docstring"
    if file.name not in ("__init__.py", "__main__.py"):
        assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)


@each_of(BESIDE)
def test_files_beside_the_package_are_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= LONGEST_FILE


def test_tests_have_names_of_their_own() -> None:
    """pytest imports test files by their bare names: of two that share one, the second is an error, and only when both
    run.
    """
    names = [f.name for f in Path(__file__).parent.rglob("*.py") if f.name not in {"conftest.py", "__init__.py"}]
    assert not {name for name in names if names.count(name) > 1}
