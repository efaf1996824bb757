"""Packages whose ``__init__`` imports all that they have: parts that nobody asks for are loaded at their first use.

``importlib.util.LazyLoader`` does as much, but loads a module when anybody reads its ``__file__`` (torch does, of every
module there is, through ``inspect.getmodule``), and before Python 3.12 hands it to a second thread half loaded.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

#: What is known of a module that isn't loaded. ``__path__`` is not: a part is imported after its package.
KNOWN = frozenset({"__class__", "__dict__", "__doc__", "__file__", "__loader__", "__name__", "__package__", "__spec__"})


class _Deferred(ModuleType):
    """A module until its first use; then it is an ordinary one."""

    def __getattribute__(self, name: str) -> Any:
        if name not in KNOWN:
            _load(self)
        return ModuleType.__getattribute__(self, name)  # it may be of another class by now

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in KNOWN:
            _load(self)
        ModuleType.__setattr__(self, name, value)


def _load(module: ModuleType) -> None:
    """Execute the module, once. Other threads wait for it; what it asks of itself meanwhile, it has or has not."""
    loader = module.__loader__
    if not isinstance(loader, _DeferringLoader):
        return
    with loader.lock:
        if not loader.begun:
            loader.begun = True
            spec = module.__spec__
            assert spec is not None
            try:
                loader.loader.exec_module(module)
            except BaseException:
                loader.begun = False  # the next use tries again, and says the same
                raise
            spec.loader = module.__loader__ = loader.loader
            module.__class__ = ModuleType


class _DeferringLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.lock = threading.RLock()
        self.begun = False

    def __getattr__(self, name: str) -> Any:
        """Sources and files of a package that isn't loaded yet are read as the interpreter's loader does."""
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _Deferred


class _Finder(MetaPathFinder):
    """Finds these modules as the interpreter does, and has them loaded later."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.names:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _DeferringLoader(spec.loader)
        return spec


@contextmanager
def deferred(*names: str) -> Iterator[None]:
    """Modules that are imported within this block are loaded at the first use of anything in them.

    Args:
        names: of modules, whole ("package.part"). Those that are loaded already stay as they are, and what the block
            itself uses is loaded by that.
    """
    finder = _Finder(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
