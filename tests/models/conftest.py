"""Fixtures of the tests of architectures."""

from __future__ import annotations

import types
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """benchmarks/twins.py: other packages' models as ours, at the same weights."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("twins")
