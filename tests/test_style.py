"""What is public is documented, and the examples in the documentation are true."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest
from switches import does_not_apply

import intertwine

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(intertwine.__path__, "intertwine.") if "__main__" not in module.name
)
PACKAGES = [name for name in MODULES if name.count(".") == 1]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_exists_and_has_a_docstring(name: str) -> None:
    package = importlib.import_module(name)
    public = getattr(package, "__all__", None)
    if public is None:
        does_not_apply("no __all__: not a package with a public face")
    assert list(public) == sorted(public, key=lambda word: (not word.isupper(), not word[0].isupper(), word)), (
        "__all__ is not sorted"
    )
    for word in public:
        thing = getattr(package, word)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            own = thing.__dict__.get("__doc__") if inspect.isclass(thing) else thing.__doc__
            assert own, f"{name}.{word} has no docstring"
            assert not own.startswith(f"{word}("), f"{name}.{word} has only the docstring that dataclass made"


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
