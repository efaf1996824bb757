"""Floor 5: e3nn's namespaces over our classes. A program written for e3nn 0.6 runs unchanged, with the same numbers.

By changing its imports::

    from intertwine.e3nn import io, math, nn, o3

or unchanged, with our namespaces in e3nn's place for that process and the Python processes that it starts::

    python -m intertwine.e3nn SCRIPT [arguments]
    python -m intertwine.e3nn -m MODULE [arguments]

or from within a program, before it imports e3nn: :func:`install`.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from intertwine.e3nn.namespace import OURS, Finder, homes, submodules
from intertwine.e3nn.replacement import install, uninstall

__all__ = [
    "get_optimization_defaults",
    "install",
    "io",
    "math",
    "nn",
    "o3",
    "set_optimization_defaults",
    "uninstall",
    "util",
]

if not any(isinstance(finder, Finder) and finder.root == OURS for finder in sys.meta_path):
    # for names of this package only: `import intertwine.e3nn.o3` has no file to be found in
    sys.meta_path.append(Finder(OURS))


def __getattr__(word: str) -> Any:
    if word in submodules(""):
        return importlib.import_module(f"{OURS}.{word}")
    if word in homes(""):
        home, there = homes("")[word]
        return getattr(importlib.import_module(home), there)
    raise AttributeError(f"module {__name__!r} has no attribute {word!r}")
