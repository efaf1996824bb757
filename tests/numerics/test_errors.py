"""Errors say what is wrong, where, and what to do; and survive the way home from a worker process."""

from __future__ import annotations

import pickle

import pytest

from intertwine.numerics import CheckpointError, DataError, GeometryError, InputError, IntertwineError, choose, nearest

KINDS = [InputError, GeometryError, DataError, CheckpointError]


@pytest.mark.parametrize("kind", KINDS)
def test_message(kind: type[IntertwineError]) -> None:
    error = kind("no forces", where="a.xyz, frame 3", remedy="give labels.")
    assert str(error) == "a.xyz, frame 3: no forces\n  Remedy: give labels."
    assert (error.what, error.where, error.remedy) == ("no forces", "a.xyz, frame 3", "give labels.")
    assert str(kind("no forces")) == "no forces"


@pytest.mark.parametrize("kind", KINDS)
def test_pickle(kind: type[IntertwineError]) -> None:
    error = kind("no forces", where="frame 3", remedy="give labels.")
    home = pickle.loads(pickle.dumps(error))
    assert type(home) is kind
    assert (str(home), home.what, home.where, home.remedy) == (str(error), error.what, error.where, error.remedy)


def test_kinds_can_be_caught_as_the_builtin_they_are() -> None:
    assert issubclass(InputError, ValueError)
    assert issubclass(CheckpointError, RuntimeError)
    assert all(issubclass(kind, IntertwineError) for kind in KINDS)


def test_choose() -> None:
    assert choose("sum", ["sum", "mean"], kind="readout") == "sum"
    with pytest.raises(
        InputError, match=r"readout: unknown readout 'summ'\n  Remedy: did you mean 'sum'\? Known: mean, sum\."
    ):
        choose("summ", ["sum", "mean"], kind="readout", where="readout")
    with pytest.raises(InputError, match="use one of: mean, sum"):
        choose("zzz", iter(["sum", "mean"]), kind="readout")
    assert nearest("x", []) == "use one of: none."
