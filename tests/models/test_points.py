"""Models look at differences of positions, never at positions, whose digits single precision does not hold."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import intertwine

ROOT = Path(intertwine.__file__).parent
CHECKS = "backbone.py"  # the one file that looks at positions: whether they are finite
READERS = sorted(path for room in ("models", "nn") for path in (ROOT / room).glob("*.py") if path.name != CHECKS)
POINTS = {"pos", "target_pos", "cell"}


@pytest.mark.parametrize("path", READERS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_model_reads_points_of_space(path: Path) -> None:
    """They come as ``edge_vectors(graph)`` and ``centred(graph)``, taken before anything is cast."""
    for node in ast.walk(ast.parse(path.read_text())):
        named: list[object] = []
        if isinstance(node, ast.Attribute):
            named = [node.attr]
        elif isinstance(node, ast.Subscript):
            named = [getattr(node.slice, "value", None)]
        elif isinstance(node, ast.Call) and not getattr(node.func, "id", "").endswith("Error"):
            named = [getattr(argument, "value", None) for argument in node.args]
        assert not POINTS & {name for name in named if isinstance(name, str)}, f"{path.name}:{node.lineno}"
