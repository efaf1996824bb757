"""What is public is documented, the examples in the documentation are true, and a variable says what it holds."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from by_path import each_of
from switches import does_not_apply

import intertwine

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(intertwine.__path__, "intertwine.") if "__main__" not in module.name
)
PACKAGES = [name for name in MODULES if name.count(".") == 1]
ROOT = Path(intertwine.__path__[0])
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
#: Names that stand for nearly everything.
VAGUE = {"found", "given", "one"}
#: file -> the vague names that it may use, here for the number 1.
EXCEPTIONS = {
    "kernels/harmonics/cpu_text.py": {"one"},
    "kernels/harmonics/definition.py": {"one"},
    "o3/low_harmonics.py": {"one"},
    "groups/rotations.py": {"one"},
    "o3/solid_harmonics.py": {"one"},
}


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_exists_and_has_a_docstring(name: str) -> None:
    package = importlib.import_module(name)
    public = getattr(package, "__all__", None)
    if public is None:
        does_not_apply("no __all__: not a package with a public face")
    assert list(public) == sorted(
        public, key=lambda word: (not (word.isupper() and len(word) > 1), not word[0].isupper(), word)
    ), "__all__ is not sorted"
    for word in public:
        thing = getattr(package, word)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            own = thing.__dict__.get("__doc__") if inspect.isclass(thing) else thing.__doc__
            assert own, f"{name}.{word} has no docstring"
            assert not own.startswith(f"{word}("), f"{name}.{word} has only the docstring that dataclass made"


@each_of(MODULES)
def test_examples(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def bound(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of whatever is bound to a variable or an argument."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name is not None:
            yield node.lineno, node.name
        elif isinstance(node, ast.MatchMapping) and node.rest is not None:
            yield node.lineno, node.rest
        elif isinstance(node, ast.alias) and node.asname is not None:
            yield node.lineno, node.asname


@each_of(FILES)
def test_a_variable_says_what_it_holds(file: str) -> None:
    names = list(bound(ast.parse((ROOT / file).read_text(encoding="utf-8"))))
    allowed = EXCEPTIONS.get(file, set())
    vague = [f"{file}:{line}: {name}" for line, name in sorted(names) if name in VAGUE - allowed]
    assert not vague, "name what it holds: " + ", ".join(vague)
    assert allowed <= {name for _, name in names}, f"an exception that {file} no longer needs"


def test_every_exception_is_of_a_file_that_exists() -> None:
    assert EXCEPTIONS.keys() <= set(FILES)


@pytest.mark.parametrize(
    "source",
    [
        "NAME = 1",
        "NAME: int",
        "NAME += 1",
        "first, (second, *NAME) = values",
        "for NAME in values: pass",
        "async def f():\n async for k, NAME in values: pass",
        "[NAME for NAME in values]",
        "{k: v for k, NAME in values}",
        "sum(k for row in rows for NAME in row)",
        "if NAME := f(): pass",
        "with f() as NAME: pass",
        "with f() as (first, NAME): pass",
        "try: f()\nexcept ValueError as NAME: pass",
        "def f(NAME): pass",
        "def f(NAME, /, a): pass",
        "def f(a, *, NAME=1): pass",
        "def f(*NAME): pass",
        "def f(**NAME): pass",
        "lambda NAME: 1",
        "class C:\n NAME: int",
        "import os as NAME",
        "from os import path as NAME",
        "match f():\n case [k, *NAME]: pass",
        "match f():\n case {**NAME}: pass",
        "match f():\n case C(a=NAME): pass",
    ],
)
@pytest.mark.parametrize("name", sorted(VAGUE))
def test_every_kind_of_variable_is_seen(source: str, name: str) -> None:
    text = source.replace("NAME", name)
    assert name in {word for _, word in bound(ast.parse(text))}


@pytest.mark.parametrize(
    "source", ["f(NAME=1)", "x.NAME", "print(NAME)", "'NAME'", "NAMEly = 1", "# NAME", "x.NAME = 1", "x['NAME'] = 1"]
)
@pytest.mark.parametrize("name", sorted(VAGUE))
def test_what_is_no_variable_is_not_seen(source: str, name: str) -> None:
    assert name not in {word for _, word in bound(ast.parse(source.replace("NAME", name)))}
