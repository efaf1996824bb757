"""Modules that answer for e3nn's, and the finder that imports them: a name is resolved when it is first asked for."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from intertwine.e3nn.names import MODULES

OURS, THEIRS = "intertwine.e3nn", "e3nn"
MODELS = "nn.models"


@cache
def homes(module: str) -> dict[str, tuple[str, str]]:
    """For each name of one of e3nn's modules (relative: ``"o3._linear"``), the module here and the name there."""
    table = {}
    for home, names in MODULES[module]:
        for entry in names.split():
            name, _, there = entry.partition("=")
            table[name] = (home, there or name)
    return table


def submodules(module: str) -> list[str]:
    """The modules directly inside one of e3nn's modules."""
    prefix = f"{module}." if module else ""
    return [
        name[len(prefix) :] for name in MODULES if name.startswith(prefix) and name and "." not in name[len(prefix) :]
    ]


class Namespace(ModuleType):
    """One of e3nn's modules, over our classes."""

    def __init__(self, name: str, module: str) -> None:
        super().__init__(name, f"``{THEIRS}{'.' if module else ''}{module}``, over intertwine's classes and functions.")
        public = [word for word in homes(module) if not word.startswith("_") and word != "float_tolerance"]
        public += ["irrep"] if module == "o3" else []
        self.__dict__.update(_module=module, __all__=public, __file__=str(Path(__file__).with_name("__init__.py")))

    def __getattr__(self, word: str) -> Any:
        module = self.__dict__["_module"]
        table = homes(module)
        if word in table:
            home, there = table[word]
            value = getattr(importlib.import_module(home), there)
        elif word in submodules(module):
            return importlib.import_module(f"{self.__name__}.{word}")
        elif "__getattr__" in table and not word.startswith("__"):
            home, there = table["__getattr__"]
            return getattr(importlib.import_module(home), there)(word)
        else:
            raise AttributeError(
                f"module {self.__name__!r} (intertwine's replacement of e3nn's) has no attribute {word!r}"
            )
        self.__dict__[word] = value
        return value

    def __dir__(self) -> list[str]:
        module = self.__dict__["_module"]
        return sorted({*super().__dir__(), *homes(module), *submodules(module)})


class Finder(MetaPathFinder, Loader):
    """Imports the namespaces under one root: ``intertwine.e3nn.o3._linear``, or in e3nn's place ``e3nn.o3._linear``.

    Args:
        root: the package whose submodules it finds; with ``e3nn`` also the package itself.
        models: where the files of ``e3nn.nn.models`` lie, e3nn's example networks: they are programs, and run over our
            namespaces.
    """

    def __init__(self, root: str, models: Sequence[str] = ()) -> None:
        self.root, self.models = root, list(models)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.root and not fullname.startswith(f"{self.root}."):
            return None
        module = fullname[len(self.root) + 1 :]
        if module.startswith(f"{MODELS}."):
            if not self.models:
                raise ModuleNotFoundError(
                    f"{fullname} is one of e3nn's example networks. Their files come with e3nn (pip install --no-deps "
                    "e3nn==0.6.0); they then run on intertwine under `python -m intertwine.e3nn`.",
                    name=fullname,
                )
            return None  # a file of the installed e3nn: found by Python's own finder on the path below
        if module not in MODULES:
            if self.root == OURS:
                return None
            raise ModuleNotFoundError(
                f"{fullname} has no counterpart in intertwine's replacement of e3nn", name=fullname
            )
        spec = ModuleSpec(fullname, self, origin=OURS, is_package=bool(submodules(module)) or module == MODELS)
        if module == MODELS:
            spec.submodule_search_locations = list(self.models)
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Namespace(spec.name, spec.name[len(self.root) + 1 :])

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: names are resolved on demand."""


def model_files() -> list[str]:
    """The folder of the example networks of an installed e3nn, or nothing; to be asked before a :class:`Finder` takes
    e3nn's place.
    """
    spec = importlib.util.find_spec(THEIRS)
    places = spec.submodule_search_locations if spec is not None else None
    return [str(Path(place) / "nn" / "models") for place in places or ()]
