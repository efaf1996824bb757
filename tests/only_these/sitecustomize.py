"""Python imports this by itself where its folder is on the path: what the file $REFUSED names is not available, as on
another machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path


class Refusal:
    """A finder before all others that does not find."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        if fullname.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"no module named {fullname!r} here", name=fullname)
        return None


sys.meta_path.insert(0, Refusal(frozenset(Path(os.environ["REFUSED"]).read_text().split())))  # type: ignore[arg-type]
