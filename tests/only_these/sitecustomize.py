"""Python imports this by itself where its folder is on the path: what the file $REFUSED names is absent, as on another
machine: importing it raises ModuleNotFoundError, and ``importlib.util.find_spec`` gives None.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

REFUSED = frozenset(Path(os.environ["REFUSED"]).read_text().split())


class Without:
    """A finder of modules that finds no refused one."""

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return None if fullname.split(".")[0] in REFUSED else self.finder.find_spec(fullname, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
