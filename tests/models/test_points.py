"""Models look at differences of positions, never at positions, whose digits single precision does not hold."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import intertwine

ROOT = Path(intertwine.__file__).parent
READERS = sorted(path for room in ("models", "nn") for path in (ROOT / room).glob("*.py") if path.name != "backbone.py")  # which checks them
POINTS = {"pos", "target_pos", "cell"}


@pytest.mark.parametrize("path", READERS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_model_reads_points_of_space(path: Path) -> None:
    """They come as ``edge_vectors(graph)`` and ``centred(graph)``, taken before anything is cast."""
    for node in ast.walk(ast.parse(path.read_text())):
        read = isinstance(node, ast.Attribute) and node.attr in POINTS
        named = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value in POINTS
        asked = isinstance(node, ast.Call) and any(isinstance(a, ast.Constant) and a.value in POINTS for a in node.args)
        raised = asked and isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error")
        assert not (read or named or (asked and not raised)), f"{path.name}:{node.lineno}"
