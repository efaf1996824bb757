"""Training speaks of tasks and data sets in general: it compares no name of one with anything."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import intertwine.training
from intertwine.data import DATASETS
from intertwine.tasks import TASKS

FILES = sorted(Path(intertwine.training.__file__).parent.glob("*.py"))


def spoken(source: str) -> set[str]:
    """The strings of a file that are no docstrings."""
    tree = ast.parse(source)
    said = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    owners = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    return said - {ast.get_docstring(node, clean=False) for node in owners}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_name_of_a_task_or_a_data_set(file: Path) -> None:
    assert not spoken(file.read_text()) & {*TASKS, *DATASETS}


def test_the_check_itself_sees_names() -> None:
    assert spoken('if task.name == "dynamics":\n    pass') & set(TASKS)
    assert not spoken('"""dynamics"""') & set(TASKS)
