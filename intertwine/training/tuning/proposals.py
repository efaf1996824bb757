"""Which settings to try next: Optuna's tree-structured Parzen estimator on the trials so far."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from intertwine.numerics import InputError
from intertwine.training.tuning.knobs import Knob, rounded
from intertwine.training.tuning.record import DONE, STOPPED, Trial

RANDOM_TRIALS = 4  # before the estimator proposes, the defaults among them
ATTEMPTS = 50  # at settings that were not tried yet


def optuna() -> Any:
    """The package.

    Raises:
        InputError: it is not installed, or can't be imported; pip's command is the remedy.
    """
    try:
        import optuna as package
    except ImportError as error:
        what = f"a search needs the package optuna, which can't be imported ({error})"
        raise InputError(what, where="intertwine tune", remedy='pip install "intertwine[tune]"') from error
    return package


def propose(knobs: Sequence[Knob], trials: Sequence[Trial], seed: int) -> dict[str, Any] | None:
    """Settings to try next, by their full names: the defaults first; None if no others are left.

    The tree-structured Parzen estimator is that of Bergstra et al. 2011 (Algorithms for hyper-parameter optimization),
    in Optuna's multivariate form.

    Args:
        knobs: what is searched.
        trials: those that have ended.
        seed: of the proposals; the same trials and seed give the same settings.
    """
    if not trials:
        return {knob.name: knob.default for knob in knobs}
    tried = [trial.values for trial in trials]
    for attempt in range(ATTEMPTS):
        values = _asked(knobs, trials, seed + len(trials) + 1000 * attempt)
        if values not in tried:
            return values
    return None


def _asked(knobs: Sequence[Knob], trials: Sequence[Trial], seed: int) -> dict[str, Any]:
    package = optuna()
    with _quiet(package):
        sampler = package.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=RANDOM_TRIALS)
        study = package.create_study(sampler=sampler, direction="minimize")
        distributions = {knob.name: _distribution(package, knob) for knob in knobs}
        for trial in trials:
            study.add_trial(_as_optunas(package, trial, knobs, distributions))
        asked = study.ask(distributions).params
    return {knob.name: knob.values[asked[knob.name]] if knob.values else rounded(asked[knob.name]) for knob in knobs}


def _distribution(package: Any, knob: Knob) -> Any:
    if knob.values:
        return package.distributions.IntDistribution(0, len(knob.values) - 1)
    return package.distributions.FloatDistribution(knob.low, knob.high, log=True)


def _as_optunas(package: Any, trial: Trial, knobs: Sequence[Knob], distributions: dict[str, Any]) -> Any:
    """A trial as Optuna keeps it: one that failed is worse than all that have a figure."""
    states = package.trial.TrialState
    done = trial.state == DONE
    params = {k.name: k.values.index(trial.values[k.name]) if k.values else trial.values[k.name] for k in knobs}
    return package.trial.create_trial(
        state=states.COMPLETE if done else states.PRUNED,
        value=trial.figure if done else None,
        params=params,
        distributions=distributions,
        intermediate_values={1: trial.figure} if trial.state == STOPPED else {},
    )


@contextlib.contextmanager
def _quiet(package: Any) -> Iterator[None]:
    former = package.logging.get_verbosity()
    package.logging.set_verbosity(package.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts that Optuna calls experimental
            yield
    finally:
        package.logging.set_verbosity(former)
