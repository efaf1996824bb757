"""Runs whose test sets differ: the structures that all of them have, each run's errors on these, or what differs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from intertwine.data import Splits
from intertwine.numerics import DataError, IntertwineError
from intertwine.training.certification import test_set
from intertwine.training.evaluation import evaluate
from intertwine.training.folder import SPLITS, load_run


class CommonGround(NamedTuple):
    """Errors of several runs on the same structures.

    ``structures``: how many there are; ``errors``: of each run, as :func:`intertwine.training.evaluate` returns them.
    """

    structures: int
    errors: list[dict[str, dict[str, Any]]]


def common_ground(
    paths: Sequence[Path], everything: Sequence[Mapping[str, Any]], *, allow: Collection[str] = ()
) -> CommonGround:
    """Errors of runs on the structures that the test sets of all of them have: none of these has any run trained on.

    Args:
        paths: of the runs.
        everything: of each what :func:`intertwine.training.info` tells.
        allow: modules outside the package whose code may run.

    Raises:
        DataError: the runs are not of the same data, labels and units, or no structure is in all test sets; the
            message says what differs.
        IntertwineError: the data can't be read; as :func:`intertwine.training.test_set`.
    """
    reason = unlike([each["data"] or {} for each in everything])
    remedy = "compare on one file: intertwine evaluate RUN FILE."
    if reason:
        raise DataError(reason, where="compare", remedy=remedy)
    runs = [load_run(path, device="cpu", allow=allow) for path in paths]
    indices = [set(Splits.load(run.folder / SPLITS).test.tolist()) for run in runs]
    common = set.intersection(*indices)
    if not common:
        raise DataError("no structure is in all of them", where="compare", remedy=remedy)
    errors = []
    for run in runs:
        store = test_set(run)
        here = [k for k, number in enumerate(store.numbers().tolist()) if number in common]
        errors.append(evaluate(run, store.subset(here)))
    return CommonGround(len(common), errors)


def unlike(data: Sequence[Mapping[str, Any]]) -> str:
    """What differs between the data of runs, so that no structure of one is known to be one of another; empty if
    nothing does.

    Args:
        data: of each run what :func:`intertwine.training.info` tells of its data.
    """

    def told(name: str) -> list[str]:
        return [str(each.get(name)) for each in data]

    if len({*told("test")}) > 1 or told("test")[0] != "None":
        return f"they are files that differ ({_apart(told('test'))})"
    if len({*told("fingerprint")}) == 1:
        return ""
    if len({*told("source")}) > 1:
        return f"the data differ ({_apart(told('source'))})"
    labels = [
        ", ".join(f"{e['label']} from {e['key']!r} in {e['unit'] or 'no unit'}" for e in each.get("labels") or [])
        for each in data
    ]
    if len({*labels}) > 1:
        return f"the labels differ ({_apart(labels)})"
    return "the data have changed between the runs"


def _apart(words: Sequence[str]) -> str:
    return "; ".join("split off" if word == "None" else word for word in dict.fromkeys(words))


def attempt(
    paths: Sequence[Path], everything: Sequence[Mapping[str, Any]], *, allow: Collection[str] = ()
) -> CommonGround | str:
    """The common ground, or a sentence that says why there is none."""
    try:
        return common_ground(paths, everything, allow=allow)
    except IntertwineError as error:
        return error.what
